//! `einmal txn abort`: in a producer's stead, or in one partition.

use clap::Args;
use kafka_protocol::messages::describe_producers_response::ProducerState;
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::{
    InitProducerIdRequest, ListTransactionsRequest, ProducerId, TopicName, TransactionalId, WriteTxnMarkersRequest,
};

use super::{ask, producers};
use crate::cli::output::{Cell, Listing};
use crate::cli::target::Target;
use crate::cli::{CliError, text};
use crate::client::{ClientError, Cluster, NodeId, PartitionLeader, until_ready};
use crate::types::ErrorCode;

pub(super) const EXAMPLES: &str = "\
Examples:
  einmal txn abort payments
      aborts what the producer of payments has open, and fences it: its next request fails
  einmal txn abort --topic orders --partition 3 --start-offset 1207
      writes an abort marker for a transaction that hangs (see find-hanging, producers)";

/// What is to be aborted.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Whose open transaction; its producer is fenced
    #[arg(required_unless_present = "topic", conflicts_with_all = ["topic", "partition", "start_offset", "force"])]
    transactional_id: Option<String>,
    /// Topic in which a transaction hangs
    #[arg(long, requires_all = ["partition", "start_offset"])]
    topic: Option<String>,
    /// Partition in which it hangs
    #[arg(short, long, value_name = "N", requires = "topic")]
    partition: Option<i32>,
    /// Where it begins there
    #[arg(long, value_name = "OFFSET", requires = "topic")]
    start_offset: Option<i64>,
    /// Also if its coordinator still has it open, and would end it otherwise than this
    #[arg(long, requires = "topic")]
    force: bool,
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(options: &Options) -> Result<(), CliError> {
    let mut cluster = options.target.connect()?;
    match (&options.transactional_id, &options.topic, options.partition, options.start_offset) {
        (Some(id), ..) => of_transactional_id(&mut cluster, options, id),
        (None, Some(topic), Some(partition), Some(start_offset)) => {
            in_partition(&mut cluster, options, topic, partition, start_offset)
        }
        _ => Err(CliError::Unfit("name a transactional id, or --topic, --partition and --start-offset".to_owned())),
    }
}

/// As a new instance of the producer would: InitProducerId aborts what is open.
fn of_transactional_id(cluster: &mut Cluster, options: &Options, id: &str) -> Result<(), CliError> {
    let timeout = options.target.timeout();
    let (coordinator, described) = ask::describe(cluster, id, timeout)?;
    if described.error_code == ErrorCode::TRANSACTIONAL_ID_NOT_FOUND.0 {
        return Err(CliError::NotFound(format!("no producer has used the transactional id {id:?}")));
    }
    ClientError::check("DescribeTransactions", described.error_code, None)?;
    let state = described.transaction_state.as_str();
    if state != "Ongoing" {
        return Err(CliError::Unfit(format!("nothing of {id:?} is open: its state is {state}")));
    }
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(TransactionalId(text(id))))
        .with_transaction_timeout_ms(described.transaction_timeout_ms)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    // While the abort is under way.
    let (code, answer) = until_ready(timeout, &[ErrorCode::CONCURRENT_TRANSACTIONS], || {
        let answer = cluster.broker(coordinator)?.call("InitProducerId", &request, (2, 5))?;
        Ok((ErrorCode(answer.error_code), answer))
    })?;
    ClientError::check("InitProducerId", code.0, None)?;
    let mut listing = Listing::new(&["transactional_id", "producer_id", "producer_epoch", "outcome"]);
    listing.row(vec![
        id.into(),
        Cell::Number(answer.producer_id.0),
        Cell::Number(answer.producer_epoch.into()),
        "aborted".into(),
    ]);
    Ok(listing.print(options.target.output)?)
}

/// One abort marker, in one partition; no coordinator is told.
fn in_partition(
    cluster: &mut Cluster,
    options: &Options,
    topic: &str,
    partition: i32,
    start_offset: i64,
) -> Result<(), CliError> {
    let mut partitions = cluster.partitions(&[topic.to_owned()])?;
    if producers::missing_of(&partitions, &[partition]).is_some() {
        return Err(CliError::NotFound(format!("the topic {topic} has no partition {partition}")));
    }
    partitions.retain(|at| at.partition == partition);
    let leader = partitions.first().and_then(|at: &PartitionLeader| at.leader);
    let leader = leader.ok_or_else(|| CliError::Unfit(format!("nobody leads {topic}-{partition}")))?;
    let found: Vec<ProducerState> =
        ask::producers(cluster, &partitions)?.into_iter().map(|(_, _, producer)| producer).collect();
    let producer = beginning_at(&found, start_offset).map_err(|begin| {
        CliError::NotFound(format!("no transaction begins at offset {start_offset} of {topic}-{partition}: {begin}"))
    })?;
    if !options.force
        && let Some(owner) = owner_of(cluster, options, producer.producer_id, topic, partition)?
    {
        return Err(CliError::Unfit(format!(
            "this is part of the open transaction of {owner:?}, which `einmal txn abort` with that id ends everywhere; \
             --force for this partition alone"
        )));
    }
    write_marker(cluster, leader, producer, topic, partition)?;
    let mut listing = Listing::new(&["topic", "partition", "producer_id", "producer_epoch", "start_offset", "outcome"]);
    listing.row(vec![
        topic.into(),
        Cell::Number(partition.into()),
        Cell::Number(producer.producer_id.0),
        Cell::Number(producer.producer_epoch.into()),
        Cell::Number(start_offset),
        "aborted".into(),
    ]);
    Ok(listing.print(options.target.output)?)
}

/// The producer whose transaction begins there, or in words where others do.
fn beginning_at(producers: &[ProducerState], start_offset: i64) -> Result<&ProducerState, String> {
    let is_it = |producer: &&ProducerState| start_offset >= 0 && producer.current_txn_start_offset == start_offset;
    producers.iter().find(is_it).ok_or_else(|| {
        let open = producers.iter().map(|producer| producer.current_txn_start_offset).filter(|offset| *offset >= 0);
        let open: Vec<String> = open.map(|offset| offset.to_string()).collect();
        if open.is_empty() {
            "none is open there".to_owned()
        } else {
            format!("open ones begin at {}", open.join(", "))
        }
    })
}

/// The transactional id that has this partition in its open transaction.
fn owner_of(
    cluster: &mut Cluster,
    options: &Options,
    producer_id: ProducerId,
    topic: &str,
    partition: i32,
) -> Result<Option<String>, CliError> {
    let timeout = options.target.timeout();
    let request =
        ListTransactionsRequest::default().with_producer_id_filters(vec![producer_id]).with_duration_filter(-1);
    for (_, listed) in ask::list(cluster, &request, timeout)? {
        let (_, described) = ask::describe(cluster, &listed.transactional_id, timeout)?;
        let is_in = |named: &str, partitions: &[i32]| named == topic && partitions.contains(&partition);
        if described.topics.iter().any(|of| is_in(&of.topic, &of.partitions)) {
            return Ok(Some(listed.transactional_id.to_string()));
        }
    }
    Ok(None)
}

fn write_marker(
    cluster: &mut Cluster,
    leader: NodeId,
    producer: &ProducerState,
    topic: &str,
    partition: i32,
) -> Result<(), CliError> {
    let epoch = i16::try_from(producer.producer_epoch)
        .map_err(|_| CliError::Unfit(format!("{} is no epoch of a producer", producer.producer_epoch)))?;
    let topic =
        WritableTxnMarkerTopic::default().with_name(TopicName(text(topic))).with_partition_indexes(vec![partition]);
    let marker = WritableTxnMarker::default()
        .with_producer_id(producer.producer_id)
        .with_producer_epoch(epoch)
        // None has written there yet.
        .with_coordinator_epoch(producer.coordinator_epoch.max(0))
        .with_transaction_result(false)
        .with_topics(vec![topic]);
    let request = WriteTxnMarkersRequest::default().with_markers(vec![marker]);
    let answer = cluster.broker(leader)?.call("WriteTxnMarkers", &request, (1, 1))?;
    for partition in answer.markers.iter().flat_map(|marker| &marker.topics).flat_map(|topic| &topic.partitions) {
        ClientError::check("WriteTxnMarkers", partition.error_code, None)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_found_by_where_it_begins_or_the_open_ones_are_told() {
        let producer = |id: i64, start: i64| {
            ProducerState::default().with_producer_id(id.into()).with_current_txn_start_offset(start)
        };
        let producers = [producer(1, -1), producer(2, 5), producer(3, 9)];
        assert_eq!(beginning_at(&producers, 9).map(|producer| producer.producer_id.0), Ok(3));
        assert_eq!(beginning_at(&producers, 6), Err("open ones begin at 5, 9".to_owned()));
        assert_eq!(beginning_at(&producers[..1], -1), Err("none is open there".to_owned()));
    }
}
