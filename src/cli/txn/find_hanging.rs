//! `einmal txn find-hanging`.

use std::time::Duration;

use clap::Args;
use kafka_protocol::messages::describe_producers_response::ProducerState;

use super::open::{Open, is_hanging, transactions_of};
use super::{ask, producers};
use crate::cli::output::{Cell, Listing};
use crate::cli::target::Target;
use crate::cli::{CliError, now, span};
use crate::client::NodeId;

pub(super) const EXAMPLES: &str = "\
Each row can be ended, once nobody writes there any more:
  einmal txn abort --topic TOPIC --partition PARTITION --start-offset START-OFFSET";

/// Where.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Only in this topic, as often as needed; all topics unless given
    #[arg(long)]
    topic: Vec<String>,
    /// Only in this partition of the one topic
    #[arg(short, long, value_name = "N", requires = "topic")]
    partition: Option<i32>,
    /// Only in partitions that this broker leads
    #[arg(long, value_name = "ID")]
    broker: Option<NodeId>,
    /// Transactions that were written to within this time are left alone: transaction.max.timeout.ms of the cluster
    #[arg(long, value_name = "SPAN", default_value = "15m", value_parser = span::parse)]
    max_transaction_timeout: Duration,
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(options: &Options) -> Result<(), CliError> {
    let mut cluster = options.target.connect()?;
    let mut partitions = cluster.partitions(&options.topic)?;
    if let Some(asked) = options.partition {
        if options.topic.len() > 1 {
            return Err(CliError::Unfit("--partition needs exactly one --topic".to_owned()));
        }
        if let Some(missing) = producers::missing_of(&partitions, &[asked]) {
            return Err(CliError::NotFound(format!(
                "the topic {} has no partition {missing}",
                options.topic.join(" ")
            )));
        }
        partitions.retain(|at| at.partition == asked);
    }
    partitions.retain(|at| options.broker.is_none_or(|broker| at.leader == Some(broker)));
    let now = now();
    let span_ms = i64::try_from(options.max_transaction_timeout.as_millis()).unwrap_or(i64::MAX);
    let open = ask::producers(&mut cluster, &partitions)?.into_iter().map(|(topic, partition, producer)| Open {
        topic,
        partition,
        producer,
    });
    let old: Vec<Open> = open.filter(|open| is_candidate(&open.producer, now, span_ms)).collect();
    let known = transactions_of(&mut cluster, &old, options.target.timeout())?;
    let mut listing = Listing::new(&[
        "topic",
        "partition",
        "producer_id",
        "producer_epoch",
        "coordinator_epoch",
        "start_offset",
        "last_time_ms",
        "idle_ms",
    ]);
    for Open { topic, partition, producer } in old.into_iter().filter(|open| is_hanging(open, &known)) {
        listing.row(vec![
            topic.as_str().into(),
            Cell::Number(partition.into()),
            Cell::Number(producer.producer_id.0),
            Cell::Number(producer.producer_epoch.into()),
            Cell::or_absent(producer.coordinator_epoch.into()),
            Cell::Number(producer.current_txn_start_offset),
            Cell::Moment(Some(producer.last_timestamp)),
            Cell::Span(Some(now.saturating_sub(producer.last_timestamp).max(0))),
        ]);
    }
    Ok(listing.print(options.target.output)?)
}

/// Whether the producer has a transaction open here, and has not written to it for long.
fn is_candidate(producer: &ProducerState, now: i64, span_ms: i64) -> bool {
    producer.current_txn_start_offset >= 0 && now.saturating_sub(producer.last_timestamp) >= span_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn producer(start_offset: i64, last_timestamp: i64) -> ProducerState {
        ProducerState::default()
            .with_producer_id(7.into())
            .with_current_txn_start_offset(start_offset)
            .with_last_timestamp(last_timestamp)
    }

    #[test]
    fn only_what_is_open_and_old_is_looked_at() {
        for (start_offset, last_timestamp, expected) in
            [(0, 1_000, true), (0, 1_001, false), (-1, 0, false), (5, -1, true), (5, i64::MIN, true)]
        {
            let producer = producer(start_offset, last_timestamp);
            assert_eq!(is_candidate(&producer, 2_000, 1_000), expected, "{start_offset} {last_timestamp}");
        }
    }
}
