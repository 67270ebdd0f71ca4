//! Appends batches: idempotent, in transactions, or neither, waiting for all replicas.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{InitProducerIdRequest, ProduceRequest, ProducerId as WireProducerId, TransactionalId};

use super::text;
use crate::client::{COORDINATOR_MOVES, ClientError, Cluster, NodeId, until_ready};
use crate::types::{ErrorCode, Offset, PartitionIndex, ProducerEpoch, ProducerId, Timestamp};

/// A transaction that a coordinator ends by itself when its command died, ms.
const TRANSACTION_TIMEOUT_MS: i32 = 60_000;

/// Where a batch came to lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Appended {
    /// Of its first record.
    pub base_offset: Offset,
    /// When, by the broker's clock, ms; none unless the topic's times are those of appending.
    pub time: Option<Timestamp>,
}

/// A producer id with its epoch; of a transactional id, whose open transaction is aborted.
pub(super) fn init_producer_id(
    cluster: &mut Cluster,
    transactional_id: Option<&str>,
    patience: Duration,
) -> Result<(ProducerId, ProducerEpoch), ClientError> {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(transactional_id.map(|id| TransactionalId(text(id))))
        .with_transaction_timeout_ms(TRANSACTION_TIMEOUT_MS)
        .with_producer_id(WireProducerId(-1))
        .with_producer_epoch(-1);
    let not_ready = [COORDINATOR_MOVES, &[ErrorCode::CONCURRENT_TRANSACTIONS]].concat();
    let (code, answer) = until_ready(patience, &not_ready, || {
        let broker = match transactional_id {
            Some(id) => cluster.transaction_coordinator(id)?,
            None => any_broker(cluster)?,
        };
        let answer = cluster.broker(broker)?.call("InitProducerId", &request, (0, 4))?;
        Ok((ErrorCode(answer.error_code), answer))
    })?;
    ClientError::check("InitProducerId", code.0, None)?;
    Ok((ProducerId(answer.producer_id.0), ProducerEpoch(answer.producer_epoch)))
}

fn any_broker(cluster: &Cluster) -> Result<NodeId, ClientError> {
    cluster.brokers().first().copied().ok_or(ClientError::NoBroker(-1))
}

/// Appends `batch` to a partition that `leader` leads, and again while a new partition has no leader yet.
pub(super) fn append(
    cluster: &mut Cluster,
    leader: NodeId,
    (topic, partition): (&str, PartitionIndex),
    batch: &Bytes,
    transactional_id: Option<&str>,
    patience: Duration,
) -> Result<Appended, ClientError> {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch.clone()));
    let data = TopicProduceData::default().with_name(text(topic).into()).with_partition_data(vec![data]);
    let request = ProduceRequest::default()
        .with_transactional_id(transactional_id.map(|id| TransactionalId(text(id))))
        .with_acks(-1)
        .with_timeout_ms(i32::try_from(patience.as_millis()).unwrap_or(i32::MAX))
        .with_topic_data(vec![data]);
    let not_ready = [
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ErrorCode::LEADER_NOT_AVAILABLE,
        ErrorCode::CONCURRENT_TRANSACTIONS,
    ];
    let (code, appended) = until_ready(patience, &not_ready, || {
        let answer = cluster.broker(leader)?.call("Produce", &request, (3, 9))?;
        let partition = answer.responses.into_iter().flat_map(|topic| topic.partition_responses).next();
        let partition = partition
            .ok_or_else(|| ClientError::Decode { api: "Produce", detail: "the partition is missing".to_owned() })?;
        Ok((ErrorCode(partition.error_code), partition))
    })?;
    ClientError::check("Produce", code.0, appended.error_message.as_deref())?;
    let time = Some(appended.log_append_time_ms).filter(|time| *time >= 0);
    Ok(Appended { base_offset: appended.base_offset, time })
}
