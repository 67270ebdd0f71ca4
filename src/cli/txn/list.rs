//! `einmal txn list`.

use std::time::Duration;

use clap::Args;
use kafka_protocol::messages::{ListTransactionsRequest, ProducerId};

use super::ask;
use crate::cli::output::{Cell, Listing};
use crate::cli::target::Target;
use crate::cli::{CliError, span, text};

/// Which ones.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Only in this state, as often as needed: Empty, Ongoing, PrepareCommit, PrepareAbort, CompleteCommit, CompleteAbort
    #[arg(long, value_name = "STATE", value_parser = STATES)]
    state: Vec<String>,
    /// Only of this producer, as often as needed
    #[arg(long, value_name = "ID")]
    producer_id: Vec<i64>,
    /// Only those whose transaction began longer ago than this, such as 15m or 2h
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    older_than: Option<Duration>,
    /// Only transactional ids that this regular expression matches as a whole
    #[arg(long, value_name = "REGEX")]
    pattern: Option<String>,
    #[command(flatten)]
    target: Target,
}

const STATES: [&str; 8] = [
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "PrepareEpochFence",
    "Dead",
];

pub(super) fn run(options: &Options) -> Result<(), CliError> {
    let mut cluster = options.target.connect()?;
    let older_than_ms = options.older_than.map_or(-1, |span| i64::try_from(span.as_millis()).unwrap_or(i64::MAX));
    let request = ListTransactionsRequest::default()
        .with_state_filters(options.state.iter().map(|state| text(state)).collect())
        .with_producer_id_filters(options.producer_id.iter().copied().map(ProducerId).collect())
        .with_duration_filter(older_than_ms)
        .with_transactional_id_pattern(options.pattern.as_deref().map(text));
    let mut listing = Listing::new(&["transactional_id", "coordinator", "producer_id", "state"]);
    for (coordinator, listed) in ask::list(&mut cluster, &request, options.target.timeout())? {
        listing.row(vec![
            listed.transactional_id.as_str().into(),
            Cell::Number(coordinator.into()),
            Cell::Number(listed.producer_id.0),
            listed.transaction_state.as_str().into(),
        ]);
    }
    Ok(listing.print(options.target.output)?)
}
