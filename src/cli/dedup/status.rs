//! `einmal dedup status`.

use clap::Args;

use super::ask::{AdminTarget, number, rows, text};
use crate::cli::CliError;
use crate::cli::output::{Cell, Listing};
use crate::client::admin::quoted;

/// Which topics.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Only this one; else all that look for repeated messages
    #[arg(value_name = "TOPIC")]
    topic: Option<String>,
    #[command(flatten)]
    target: AdminTarget,
}

pub(super) fn run(options: &Options) -> Result<(), CliError> {
    let query = options.topic.as_ref().map(|topic| format!("?topic={}", quoted(topic.as_bytes())));
    let answer = options.target.ask(&format!("/api/v1/dedup{}", query.unwrap_or_default()))?;
    let mut listing = Listing::new(&[
        "topic",
        "mode",
        "window_ms",
        "live_ids",
        "oldest_id_age_ms",
        "window_ids_max",
        "index_bytes",
        "slices",
        "sealed_bytes",
        "checked_records",
        "records_without_id",
        "known_messages",
        "rejected_batches",
        "throttled_batches",
        "pending_conflicts",
        "evicted_ids",
        "audit_topic",
    ]);
    for row in rows(&answer, "topics") {
        listing.row(vec![
            text(&row, "topic"),
            text(&row, "mode"),
            Cell::Span(row["window_ms"].as_i64()),
            number(&row, "live_ids"),
            Cell::Span(row["oldest_id_age_ms"].as_i64()),
            number(&row, "window_ids_max"),
            number(&row, "index_bytes"),
            number(&row, "slices"),
            number(&row, "sealed_bytes"),
            number(&row, "checked_records"),
            number(&row, "records_without_id"),
            number(&row, "known_messages"),
            number(&row, "rejected_batches"),
            number(&row, "throttled_batches"),
            number(&row, "pending_conflicts"),
            number(&row, "evicted_ids"),
            text(&row, "audit_topic"),
        ]);
    }
    let left_out = answer["topics_left_out"].as_u64().unwrap_or(0);
    let failure = (left_out > 0)
        .then(|| CliError::Unfit(format!("{left_out} topics are left out, which know fewest messages: name one")));
    listing.print_before(failure, options.target.output)
}
