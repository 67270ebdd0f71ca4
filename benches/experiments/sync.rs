//! `sync`: clients that each wait until their batch is durable, and what group commit makes of them.
//!
//! Takes `dir`, `scheme=group` (the writer syncs what it has written, then takes what has come meanwhile) or `scheme=thread`
//! (another thread syncs while the writer writes on), `clients`, `seconds`, and what `write` takes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use einmal::store::Store;
use hdrhistogram::Histogram;
use serde_json::json;

use crate::load::{self, Load};
use crate::{Outcome, Parameters, meter};

/// A client's batch under way: when it was sent.
type Sent = Instant;

pub fn measure(parameters: &Parameters) -> Outcome {
    let store = load::store(parameters)?;
    let clients = parameters.number("clients", 64)?;
    let seconds = parameters.number("seconds", 8)?;
    let is_threaded = parameters.text("scheme") == "thread";
    let (to_writer, arrivals) = channel::<Sent>();
    let (to_syncer, written) = channel::<Vec<Sent>>();
    let (stopping, syncs) = (AtomicBool::new(false), AtomicU64::new(0));
    let cpu = meter::cpu_s();
    let latency_us = std::thread::scope(|scope| -> Outcome<Histogram<u64>> {
        for _ in 0..clients {
            to_writer.send(Instant::now())?;
        }
        let sync = |groups: Vec<Sent>, latency: &mut Histogram<u64>, again: &Sender<Sent>| -> Outcome<()> {
            store.sync()?;
            syncs.fetch_add(1, Ordering::Relaxed);
            for sent in groups {
                latency.saturating_record(sent.elapsed().as_micros() as u64);
                // The client sends its next batch.
                again.send(Instant::now())?;
            }
            Ok(())
        };
        let writer = scope.spawn({
            let again = to_writer.clone();
            let (store, stopping) = (&store, &stopping);
            move || -> Outcome<Histogram<u64>> {
                let mut latency = meter::latencies()?;
                let mut load = Load::of(parameters)?;
                while let Some(group) = next(&arrivals).filter(|_| !stopping.load(Ordering::Relaxed)) {
                    load.batches_per_commit = group.len();
                    store.write(&load.commit(), 0)?;
                    if is_threaded {
                        to_syncer.send(group)?;
                    } else {
                        sync(group, &mut latency, &again)?;
                    }
                }
                Ok(latency)
            }
        });
        let syncer = scope.spawn({
            let again = to_writer.clone();
            let stopping = &stopping;
            move || -> Outcome<Histogram<u64>> {
                let mut latency = meter::latencies()?;
                while let Ok(first) = written.recv() {
                    let groups = std::iter::once(first).chain(written.try_iter()).flatten().collect();
                    if sync(groups, &mut latency, &again).is_err() && !stopping.load(Ordering::Relaxed) {
                        return Err("the writer has ended".into());
                    }
                }
                Ok(latency)
            }
        });
        std::thread::sleep(Duration::from_secs(seconds));
        stopping.store(true, Ordering::Relaxed);
        to_writer.send(Instant::now())?;
        let mut latency = writer.join().map_err(|_| "the writer panicked")??;
        latency.add(syncer.join().map_err(|_| "the syncer panicked")??)?;
        Ok(latency)
    })?;
    let batches = latency_us.len();
    Ok(json!({
        "batches_per_s": batches as f64 / seconds as f64,
        "syncs_per_s": syncs.load(Ordering::Relaxed) as f64 / seconds as f64,
        "p50_us": latency_us.value_at_quantile(0.5),
        "p99_us": latency_us.value_at_quantile(0.99),
        "p99_9_us": latency_us.value_at_quantile(0.999),
        "cpu_us_per_batch": (meter::cpu_s() - cpu) * 1e6 / batches as f64,
    }))
}

/// All that waits, at least one; none at the end.
fn next(arrivals: &Receiver<Sent>) -> Option<Vec<Sent>> {
    let first = arrivals.recv().ok()?;
    Some(std::iter::once(first).chain(arrivals.try_iter()).collect())
}
