//! The requests that subcommands share.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::describe_producers_response::ProducerState;
use kafka_protocol::messages::describe_transactions_response::TransactionState;
use kafka_protocol::messages::list_transactions_response::TransactionState as Listed;
use kafka_protocol::messages::{
    DescribeProducersRequest, DescribeTransactionsRequest, ListTransactionsRequest, TopicName, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;

use crate::client::{ClientError, Cluster, NodeId, PartitionLeader};
use crate::types::{ErrorCode, PartitionIndex};

/// Between two tries of what a broker is not ready for.
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Wall clock, ms since 1970, to tell how long something has been open.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// Asks all brokers, as each knows the transactional ids that it coordinates.
pub(super) fn list(
    cluster: &mut Cluster,
    request: &ListTransactionsRequest,
    timeout: Duration,
) -> Result<Vec<(NodeId, Listed)>, ClientError> {
    // Filters are no use to a broker that does not know them.
    let min = match () {
        () if request.transactional_id_pattern.is_some() => 2,
        () if request.duration_filter >= 0 => 1,
        () => 0,
    };
    let mut listed = Vec::new();
    for broker in cluster.brokers() {
        let give_up = Instant::now() + timeout;
        let answer = loop {
            let answer = cluster.broker(broker)?.call("ListTransactions", request, (min, 2))?;
            if answer.error_code != ErrorCode::COORDINATOR_LOAD_IN_PROGRESS.0 || Instant::now() > give_up {
                break answer;
            }
            thread::sleep(RETRY_AFTER);
        };
        ClientError::check("ListTransactions", answer.error_code, None)?;
        listed.extend(answer.transaction_states.into_iter().map(|state| (broker, state)));
    }
    listed.sort_by(|one, other| one.1.transactional_id.cmp(&other.1.transactional_id));
    Ok(listed)
}

/// A transactional id in full, and its coordinator; the answer may be an error code.
pub(super) fn describe(
    cluster: &mut Cluster,
    transactional_id: &str,
    timeout: Duration,
) -> Result<(NodeId, TransactionState), ClientError> {
    let request =
        DescribeTransactionsRequest::default().with_transactional_ids(vec![TransactionalId(text(transactional_id))]);
    let give_up = Instant::now() + timeout;
    loop {
        let coordinator = cluster.transaction_coordinator(transactional_id)?;
        let answer = cluster.broker(coordinator)?.call("DescribeTransactions", &request, (0, 0))?;
        let described = answer.transaction_states.into_iter().next();
        let described = described.ok_or_else(|| ClientError::Decode {
            api: "DescribeTransactions",
            detail: "the transactional id is missing".to_owned(),
        })?;
        let is_moving = matches!(
            ErrorCode(described.error_code),
            ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
        );
        if !is_moving || Instant::now() > give_up {
            return Ok((coordinator, described));
        }
        thread::sleep(RETRY_AFTER);
    }
}

/// Producers of each of `partitions`, which their leaders are asked for.
pub(super) fn producers(
    cluster: &mut Cluster,
    partitions: &[PartitionLeader],
) -> Result<Vec<(String, PartitionIndex, ProducerState)>, ClientError> {
    let mut by_leader: BTreeMap<NodeId, BTreeMap<&str, Vec<PartitionIndex>>> = BTreeMap::new();
    for PartitionLeader { topic, partition, leader } in partitions {
        if let Some(leader) = leader {
            by_leader.entry(*leader).or_default().entry(topic).or_default().push(*partition);
        }
    }
    let mut found = Vec::new();
    for (leader, topics) in by_leader {
        let topic = |(name, partitions): (&str, Vec<PartitionIndex>)| {
            TopicRequest::default().with_name(TopicName(text(name))).with_partition_indexes(partitions)
        };
        let request = DescribeProducersRequest::default().with_topics(topics.into_iter().map(topic).collect());
        let answer = cluster.broker(leader)?.call("DescribeProducers", &request, (0, 0))?;
        for topic in answer.topics {
            for partition in topic.partitions {
                ClientError::check("DescribeProducers", partition.error_code, partition.error_message.as_deref())?;
                let name = topic.name.to_string();
                let index = partition.partition_index;
                found.extend(partition.active_producers.into_iter().map(|producer| (name.clone(), index, producer)));
            }
        }
    }
    found.sort_by(|(one, index, producer), (other, other_index, other_producer)| {
        (one, index, producer.producer_id.0).cmp(&(other, other_index, other_producer.producer_id.0))
    });
    Ok(found)
}
