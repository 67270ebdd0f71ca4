//! A transactional producer as clients of KIP-890 play it: what it sends next, and what an answer makes of it. No socket, no clock.
//!
//! A transaction is two requests. Produce makes its partitions members of the transaction; EndTxn commits it and gives the epoch
//! of the next one, so that every transaction begins with sequence 0.

use bytes::Bytes;
use kafka_protocol::messages::{EndTxnRequest, EndTxnResponse, ProducerId as WireProducerId, TransactionalId};
use kafka_protocol::protocol::{Decodable, StrBytes};

use super::BenchError;
use super::payload::{Payload, Producer};
use super::produce_codec::{ProduceFrame, read_response};
use super::request::put_request;
use crate::client::ClientError;
use crate::types::{ErrorCode, PartitionIndex, ProducerEpoch, ProducerId};

/// First version with which partitions join by being written to.
pub(super) const PRODUCE_VERSION: i16 = 12;

/// First version that answers the next epoch.
pub(super) const END_TXN_VERSION: i16 = 5;

/// Bytes of an answer's header: correlation id and no tags.
const HEADER_BYTES: usize = 5;

/// What the producer does next.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    /// Writes to the partitions that have not acknowledged.
    Writing(Vec<PartitionIndex>),
    Ending,
}

/// What an answer means to those who run the producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Every record is acknowledged; the commit comes next.
    Written,
    /// The transaction is committed.
    Committed,
    /// The broker wants to be asked again.
    Again(ErrorCode),
    /// The broker refused what is not to be refused.
    Refused(ErrorCode),
}

/// One transactional producer.
#[derive(Debug)]
pub(super) struct TransactionalProducer {
    transactional_id: TransactionalId,
    id: ProducerId,
    epoch: ProducerEpoch,
    frame: ProduceFrame,
    stage: Stage,
    correlation_id: i32,
}

impl TransactionalProducer {
    pub(super) fn new(transactional_id: &str, id: ProducerId, epoch: ProducerEpoch, topic: &str) -> Self {
        let frame = ProduceFrame {
            version: PRODUCE_VERSION,
            transactional_id: Some(transactional_id.to_owned()),
            topic: topic.to_owned(),
            acks: -1,
            timeout_ms: 30_000,
        };
        let transactional_id = TransactionalId(StrBytes::from_string(transactional_id.to_owned()));
        Self { transactional_id, id, epoch, frame, stage: Stage::Ending, correlation_id: 0 }
    }

    /// Begins a transaction that writes to `partitions`.
    pub(super) fn begin(&mut self, partitions: Vec<PartitionIndex>) {
        self.stage = Stage::Writing(partitions);
    }

    /// Appends the request that is to be sent now.
    pub(super) fn put(&mut self, out: &mut Vec<u8>, payload: &Payload, now_ns: u64) -> Result<(), BenchError> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        match &self.stage {
            Stage::Writing(partitions) => {
                let producer = Producer { id: self.id, epoch: self.epoch, base_sequence: 0 };
                let partitions = partitions.iter().copied();
                self.frame.put(out, self.correlation_id, partitions, payload, Some(producer), now_ns);
                Ok(())
            }
            Stage::Ending => {
                let request = EndTxnRequest::default()
                    .with_transactional_id(self.transactional_id.clone())
                    .with_producer_id(WireProducerId(self.id.0))
                    .with_producer_epoch(self.epoch.0)
                    .with_committed(true);
                put_request(out, "EndTxn", &request, END_TXN_VERSION, self.correlation_id)
            }
        }
    }

    /// Takes in the answer to the last request.
    pub(super) fn on_answer(&mut self, frame: &[u8]) -> Result<Step, BenchError> {
        let body = frame.get(HEADER_BYTES..).unwrap_or_default();
        match &mut self.stage {
            Stage::Writing(missing) => {
                let (mut again, mut refused) = (None, None);
                let read = read_response(body, |partition, error, _| match error {
                    ErrorCode::NONE => missing.retain(|each| *each != partition),
                    error if is_retriable(error) => again = Some(error),
                    error => refused = Some(error),
                });
                read.ok_or_else(|| ClientError::Decode { api: "Produce", detail: "cut short".to_owned() })?;
                match (refused, again) {
                    (Some(error), _) => Ok(Step::Refused(error)),
                    (None, Some(error)) => Ok(Step::Again(error)),
                    (None, None) if missing.is_empty() => {
                        self.stage = Stage::Ending;
                        Ok(Step::Written)
                    }
                    (None, None) => {
                        Err(ClientError::Decode { api: "Produce", detail: "partitions are missing".to_owned() }.into())
                    }
                }
            }
            Stage::Ending => {
                let mut body = Bytes::copy_from_slice(body);
                let decoded = EndTxnResponse::decode(&mut body, END_TXN_VERSION);
                let answer =
                    decoded.map_err(|error| ClientError::Decode { api: "EndTxn", detail: format!("{error:#}") })?;
                match ErrorCode(answer.error_code) {
                    ErrorCode::NONE => {
                        self.id = ProducerId(answer.producer_id.0);
                        self.epoch = ProducerEpoch(answer.producer_epoch);
                        Ok(Step::Committed)
                    }
                    error if is_retriable(error) => Ok(Step::Again(error)),
                    error => Ok(Step::Refused(error)),
                }
            }
        }
    }
}

/// Kafka answers the first request of a transaction so while it still writes the markers of the one before.
fn is_retriable(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::CONCURRENT_TRANSACTIONS
            | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
            | ErrorCode::COORDINATOR_NOT_AVAILABLE
            | ErrorCode::NOT_COORDINATOR
            | ErrorCode::NOT_LEADER_OR_FOLLOWER
            | ErrorCode::NOT_ENOUGH_REPLICAS
    )
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut as _, BytesMut};
    use kafka_protocol::messages::ProduceResponse;
    use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
    use kafka_protocol::protocol::Encodable;

    use super::*;
    use crate::bench::payload::PayloadSpec;
    use crate::record::codec::Codec;

    fn answer<T: Encodable>(body: &T, version: i16) -> Vec<u8> {
        let mut frame = BytesMut::new();
        frame.put_bytes(0, HEADER_BYTES);
        body.encode(&mut frame, version).expect("it encodes");
        frame.to_vec()
    }

    fn written(partitions: &[(i32, ErrorCode)]) -> Vec<u8> {
        let partitions = partitions
            .iter()
            .map(|(index, error)| PartitionProduceResponse::default().with_index(*index).with_error_code(error.0));
        let topic = TopicProduceResponse::default().with_partition_responses(partitions.collect());
        answer(&ProduceResponse::default().with_responses(vec![topic]), PRODUCE_VERSION)
    }

    fn ended(error: ErrorCode, epoch: i16) -> Vec<u8> {
        let body = EndTxnResponse::default()
            .with_error_code(error.0)
            .with_producer_id(WireProducerId(9))
            .with_producer_epoch(epoch);
        answer(&body, END_TXN_VERSION)
    }

    #[test]
    fn what_is_not_acknowledged_is_sent_again_and_the_next_transaction_has_the_epoch_that_the_end_gave() {
        let mut producer = TransactionalProducer::new("p", ProducerId(9), ProducerEpoch(0), "t");
        producer.begin(vec![0, 1, 2]);
        let concurrent = ErrorCode::CONCURRENT_TRANSACTIONS;
        let some = producer.on_answer(&written(&[(0, ErrorCode::NONE), (1, concurrent), (2, concurrent)]));
        assert_eq!(some.expect("an answer"), Step::Again(concurrent));
        assert_eq!(producer.stage, Stage::Writing(vec![1, 2]));
        let rest = producer.on_answer(&written(&[(1, ErrorCode::NONE), (2, ErrorCode::NONE)]));
        assert_eq!(rest.expect("an answer"), Step::Written);
        assert_eq!(producer.on_answer(&ended(concurrent, 0)).expect("an answer"), Step::Again(concurrent));
        assert_eq!(producer.on_answer(&ended(ErrorCode::NONE, 1)).expect("an answer"), Step::Committed);
        assert_eq!(producer.epoch, ProducerEpoch(1));
        producer.begin(vec![0]);
        let fenced = producer.on_answer(&written(&[(0, ErrorCode::INVALID_PRODUCER_EPOCH)]));
        assert_eq!(fenced.expect("an answer"), Step::Refused(ErrorCode::INVALID_PRODUCER_EPOCH));
        assert!(producer.on_answer(&written(&[])).is_err(), "a partition without an answer");
    }

    #[test]
    fn batches_are_of_the_transaction() {
        let spec = PayloadSpec {
            record_bytes: 20,
            record_count: 1,
            codec: Codec::None,
            is_transactional: true,
            timestamp: 1,
            seed: 1,
            ids: None,
        };
        let mut producer = TransactionalProducer::new("p", ProducerId(9), ProducerEpoch(3), "t");
        producer.begin(vec![0]);
        let mut out = Vec::new();
        producer.put(&mut out, &Payload::new(&spec), 5).expect("it encodes");
        let batch_from = out.len() - 3 - Payload::new(&spec).batch_bytes();
        let header = crate::record::BatchHeader::parse(&out[batch_from..out.len() - 3]).expect("a batch");
        assert!(header.is_transactional());
        assert_eq!(
            (header.producer_id, header.producer_epoch, header.base_sequence),
            (ProducerId(9), ProducerEpoch(3), 0)
        );
    }
}
