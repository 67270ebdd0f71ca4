//! `einmal txn describe`.

use clap::Args;
use kafka_protocol::messages::describe_transactions_response::TransactionState;

use super::ask;
use crate::cli::output::{Cell, Listing};
use crate::cli::target::Target;
use crate::cli::{CliError, now};
use crate::client::{ClientError, NodeId};
use crate::types::ErrorCode;

/// Which ones.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Transactional ids
    #[arg(required = true, value_name = "TRANSACTIONAL_ID")]
    transactional_ids: Vec<String>,
    #[command(flatten)]
    target: Target,
}

/// Shows those that are there, and fails if one is not.
pub(super) fn run(options: &Options) -> Result<(), CliError> {
    let mut cluster = options.target.connect()?;
    let mut listing = listing();
    let mut missing = Vec::new();
    for id in &options.transactional_ids {
        let (coordinator, described) = ask::describe(&mut cluster, id, options.target.timeout())?;
        if described.error_code == ErrorCode::TRANSACTIONAL_ID_NOT_FOUND.0 {
            missing.push(id.clone());
            continue;
        }
        ClientError::check("DescribeTransactions", described.error_code, None)?;
        listing.row(row(coordinator, described, now()));
    }
    listing
        .print_before(CliError::missing("no producer has used the transactional id", &missing), options.target.output)
}

fn listing() -> Listing {
    Listing::new(&[
        "transactional_id",
        "coordinator",
        "producer_id",
        "producer_epoch",
        "state",
        "timeout_ms",
        "start_time_ms",
        "duration_ms",
        "partitions",
    ])
}

fn row(coordinator: NodeId, described: TransactionState, now: i64) -> Vec<Cell> {
    let start_time = Some(described.transaction_start_time_ms).filter(|ms| *ms >= 0);
    let mut topics: Vec<(String, Vec<i32>)> =
        described.topics.into_iter().map(|topic| (topic.topic.to_string(), topic.partitions)).collect();
    topics.iter_mut().for_each(|(_, partitions)| partitions.sort_unstable());
    topics.sort_unstable();
    vec![
        described.transactional_id.as_str().into(),
        Cell::Number(coordinator.into()),
        Cell::Number(described.producer_id.0),
        Cell::Number(described.producer_epoch.into()),
        described.transaction_state.as_str().into(),
        Cell::Span(Some(described.transaction_timeout_ms.into())),
        Cell::Moment(start_time),
        Cell::Span(start_time.map(|ms| now.saturating_sub(ms).max(0))),
        Cell::Partitions(topics),
    ]
}
