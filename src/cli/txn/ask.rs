//! The requests that subcommands share.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::describe_producers_response::ProducerState;
use kafka_protocol::messages::describe_transactions_response::TransactionState;
use kafka_protocol::messages::list_transactions_response::TransactionState as Listed;
use kafka_protocol::messages::{
    DescribeProducersRequest, DescribeTransactionsRequest, ListTransactionsRequest, TopicName, TransactionalId,
};

use crate::cli::text;
use crate::client::{COORDINATOR_MOVES, ClientError, Cluster, NodeId, PartitionLeader, until_ready};
use crate::types::{ErrorCode, PartitionIndex};

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
        let (code, answer) = until_ready(timeout, &[ErrorCode::COORDINATOR_LOAD_IN_PROGRESS], || {
            let answer = cluster.broker(broker)?.call("ListTransactions", request, (min, 2))?;
            Ok((ErrorCode(answer.error_code), answer))
        })?;
        ClientError::check("ListTransactions", code.0, None)?;
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
    let (_, found) = until_ready(timeout, COORDINATOR_MOVES, || {
        let coordinator = cluster.transaction_coordinator(transactional_id)?;
        let answer = cluster.broker(coordinator)?.call("DescribeTransactions", &request, (0, 0))?;
        let described = answer.transaction_states.into_iter().next();
        let described = described.ok_or_else(|| ClientError::Decode {
            api: "DescribeTransactions",
            detail: "the transactional id is missing".to_owned(),
        })?;
        Ok((ErrorCode(described.error_code), (coordinator, described)))
    })?;
    Ok(found)
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
