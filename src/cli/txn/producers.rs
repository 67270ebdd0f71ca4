//! `einmal txn producers`.

use clap::Args;

use super::ask;
use crate::cli::CliError;
use crate::cli::output::{Cell, Listing};
use crate::cli::target::Target;
use crate::client::PartitionLeader;

/// Where.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Topic
    topic: String,
    /// Only this partition, as often as needed
    #[arg(short, long, value_name = "N")]
    partition: Vec<i32>,
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(options: &Options) -> Result<(), CliError> {
    let mut cluster = options.target.connect()?;
    let mut partitions = cluster.partitions(std::slice::from_ref(&options.topic))?;
    if let Some(missing) = missing_of(&partitions, &options.partition) {
        return Err(CliError::NotFound(format!("the topic {} has no partition {missing}", options.topic)));
    }
    partitions.retain(|at| options.partition.is_empty() || options.partition.contains(&at.partition));
    let mut listing = Listing::new(&[
        "topic",
        "partition",
        "producer_id",
        "producer_epoch",
        "last_sequence",
        "last_time_ms",
        "coordinator_epoch",
        "transaction_start_offset",
    ]);
    for (topic, partition, producer) in ask::producers(&mut cluster, &partitions)? {
        listing.row(vec![
            topic.as_str().into(),
            Cell::Number(partition.into()),
            Cell::Number(producer.producer_id.0),
            Cell::Number(producer.producer_epoch.into()),
            Cell::or_absent(producer.last_sequence.into()),
            Cell::Moment(Some(producer.last_timestamp).filter(|ms| *ms >= 0)),
            Cell::or_absent(producer.coordinator_epoch.into()),
            Cell::or_absent(producer.current_txn_start_offset),
        ]);
    }
    Ok(listing.print(options.target.output)?)
}

/// The first of the partitions asked for that there is not.
pub(super) fn missing_of(there: &[PartitionLeader], asked: &[i32]) -> Option<i32> {
    asked.iter().copied().find(|asked| !there.iter().any(|at| at.partition == *asked))
}
