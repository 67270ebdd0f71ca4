//! A transaction of one producer, request by request, as clients without KIP-890 send them, which every Kafka understands.

use std::time::Duration;

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, EndTxnRequest, ProducerId as WireProducerId, TransactionalId,
};

use super::{append, text};
use crate::client::{ClientError, Cluster, NodeId, until_ready};
use crate::types::{ErrorCode, PartitionIndex, ProducerEpoch, ProducerId};

/// Who has begun it, and who coordinates it.
pub(super) struct TransactionalProducer {
    transactional_id: String,
    /// As batches carry them.
    pub producer: (ProducerId, ProducerEpoch),
    /// Also of [`TransactionalProducer::end`].
    pub coordinator: NodeId,
    patience: Duration,
}

impl TransactionalProducer {
    /// The producer of `transactional_id` from here on: what an earlier one has open is aborted, and it is fenced.
    pub(super) fn init(cluster: &mut Cluster, transactional_id: &str, patience: Duration) -> Result<Self, ClientError> {
        let producer = append::init_producer_id(cluster, Some(transactional_id), patience)?;
        let coordinator = cluster.transaction_coordinator(transactional_id)?;
        Ok(Self { transactional_id: transactional_id.to_owned(), producer, coordinator, patience })
    }

    /// The id that batches and requests name.
    pub(super) fn transactional_id(&self) -> &str {
        &self.transactional_id
    }

    /// Makes a partition part of the transaction, which begins with its first one.
    pub(super) fn add_partition(
        &self,
        cluster: &mut Cluster,
        topic: &str,
        partition: PartitionIndex,
    ) -> Result<(), ClientError> {
        let topic = AddPartitionsToTxnTopic::default().with_name(text(topic).into()).with_partitions(vec![partition]);
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(TransactionalId(text(&self.transactional_id)))
            .with_v3_and_below_producer_id(WireProducerId(self.producer.0.0))
            .with_v3_and_below_producer_epoch(self.producer.1.0)
            .with_v3_and_below_topics(vec![topic]);
        let not_ready = [ErrorCode::CONCURRENT_TRANSACTIONS, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION];
        let (code, ()) = until_ready(self.patience, &not_ready, || {
            let answer = cluster.broker(self.coordinator)?.call("AddPartitionsToTxn", &request, (0, 3))?;
            let results = answer.results_by_topic_v3_and_below.iter().flat_map(|topic| &topic.results_by_partition);
            let code = results.map(|result| result.partition_error_code).next().unwrap_or(0);
            Ok((ErrorCode(code), ()))
        })?;
        ClientError::check("AddPartitionsToTxn", code.0, None)
    }

    /// Commits or aborts it.
    pub(super) fn end(&self, cluster: &mut Cluster, committed: bool) -> Result<(), ClientError> {
        let request = EndTxnRequest::default()
            .with_transactional_id(TransactionalId(text(&self.transactional_id)))
            .with_producer_id(WireProducerId(self.producer.0.0))
            .with_producer_epoch(self.producer.1.0)
            .with_committed(committed);
        let (code, ()) = until_ready(self.patience, &[ErrorCode::CONCURRENT_TRANSACTIONS], || {
            let answer = cluster.broker(self.coordinator)?.call("EndTxn", &request, (0, 3))?;
            Ok((ErrorCode(answer.error_code), ()))
        })?;
        ClientError::check("EndTxn", code.0, None)
    }
}
