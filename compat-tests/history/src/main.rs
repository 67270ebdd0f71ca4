//! Checks the history of a run of real clients against what the broker kept.
//!
//! `history FILE...` reads JSON lines, each file in the order in which its writer saw things happen, prints what it counted
//! and every anomaly, and exits with 1 if there is any, with 2 if the history proves nothing (no acknowledged value, no final
//! drain; of a group no commit, or no look at the committed offsets; of transactions none committed, none aborted, nothing read meanwhile).

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::ExitCode;

use history::check::{Counts, check};
use history::event::Event;
use history::group::{GroupCounts, check_group};
use history::transaction::{TransactionCounts, check_transactions};

const ANOMALIES_SHOWN_MAX: usize = 20;

fn read(paths: &[String]) -> Result<Vec<Vec<Event>>, String> {
    let mut histories = Vec::new();
    for path in paths {
        let file = File::open(path).map_err(|error| format!("{path}: {error}"))?;
        let mut events = Vec::new();
        for (index, line) in BufReader::new(file).lines().enumerate() {
            let line = line.map_err(|error| format!("{path}: {error}"))?;
            events.push(serde_json::from_str(&line).map_err(|error| format!("{path}:{}: {error}", index + 1))?);
        }
        histories.push(events);
    }
    Ok(histories)
}

fn main() -> ExitCode {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let histories = match read(&paths) {
        Ok(histories) if !histories.is_empty() => histories,
        Ok(_) => {
            eprintln!("usage: history FILE...");
            return ExitCode::from(2);
        }
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let (counts, anomalies) = check(&histories);
    let Counts { invoked, acknowledged, unknown, unknown_stored, drained, read } = counts;
    println!(
        "{invoked} values sent, {acknowledged} acknowledged, {unknown} unknown of which {unknown_stored} stored, \
         {drained} drained, {read} read meanwhile, {} anomalies",
        anomalies.len()
    );
    for anomaly in anomalies.iter().take(ANOMALIES_SHOWN_MAX) {
        println!("ANOMALY {anomaly:?}");
    }
    if acknowledged == 0 || drained == 0 {
        eprintln!("this history proves nothing: {acknowledged} acknowledged, {drained} drained");
        return ExitCode::from(2);
    }
    let of_clients = report_transactions(&histories).and_then(|of_transactions| match of_transactions {
        Some(count) => Ok(count),
        None => report_group(&histories),
    });
    match of_clients {
        Err(nothing) => {
            eprintln!("{nothing}");
            ExitCode::from(2)
        }
        Ok(0) if anomalies.is_empty() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
    }
}

/// Anomalies of a group, none without one.
///
/// # Errors
/// The history proves nothing.
fn report_group(histories: &[Vec<Event>]) -> Result<usize, String> {
    let (group, anomalies) = check_group(histories);
    let GroupCounts { members, assignments, processed, again, commits, looks } = group;
    if members == 0 {
        return Ok(0);
    }
    println!(
        "{members} members, {assignments} assignments, {processed} records processed of which {again} again, {commits} commits, \
         {looks} looks at them, {} anomalies",
        anomalies.len()
    );
    for anomaly in anomalies.iter().take(ANOMALIES_SHOWN_MAX) {
        println!("ANOMALY {anomaly:?}");
    }
    if commits == 0 || looks == 0 {
        return Err(format!("this history of a group proves nothing: {commits} commits, {looks} looks"));
    }
    Ok(anomalies.len())
}

/// Anomalies of transactions; none if the history has none.
///
/// # Errors
/// The history proves nothing.
fn report_transactions(histories: &[Vec<Event>]) -> Result<Option<usize>, String> {
    let (counts, anomalies) = check_transactions(histories);
    let TransactionCounts { begun, committed, aborted, unknown, unknown_committed, values, polled, looks } = counts;
    if begun == 0 {
        return Ok(None);
    }
    println!(
        "{begun} transactions, {committed} committed, {aborted} aborted, {unknown} unknown of which {unknown_committed} committed, \
         {values} values committed, {polled} read meanwhile, {looks} looks at committed offsets, {} anomalies",
        anomalies.len()
    );
    for anomaly in anomalies.iter().take(ANOMALIES_SHOWN_MAX) {
        println!("ANOMALY {anomaly:?}");
    }
    if [committed, aborted, values, polled, looks].contains(&0) {
        return Err("this history of transactions proves nothing: one of these is 0".to_owned());
    }
    Ok(Some(anomalies.len()))
}
