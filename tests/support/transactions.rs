//! Transactional producers and readers of committed records, by raw requests.

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, DescribeTransactionsRequest, EndTxnRequest, GroupId,
    InitProducerIdRequest, OffsetFetchRequest, ProducerId, TransactionalId, TxnOffsetCommitRequest,
};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

use super::TestClient;
use super::requests::{FETCH_VERSION, fetch_request, produce_request, topic_name};

/// Which protocol a producer speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    V1,
    V2,
}

/// A producer with a transactional id.
#[derive(Debug, Clone)]
pub struct TransactionalProducer {
    pub protocol: Protocol,
    pub transactional_id: String,
    pub id: i64,
    pub epoch: i16,
    /// Next sequence of each partition.
    pub sequences: std::collections::HashMap<(String, i32), i32>,
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

impl TransactionalProducer {
    /// InitProducerId, as often as an open transaction of an older instance is in the way.
    pub fn init(client: &mut TestClient, protocol: Protocol, transactional_id: &str) -> Self {
        Self::init_with(client, protocol, transactional_id, 60_000)
    }

    pub fn init_with(client: &mut TestClient, protocol: Protocol, transactional_id: &str, timeout_ms: i32) -> Self {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(text(transactional_id))))
            .with_transaction_timeout_ms(timeout_ms)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        loop {
            let answer = client.call(&request, 4);
            if answer.error_code == 51 {
                continue;
            }
            assert_eq!(answer.error_code, 0, "InitProducerId");
            let (id, epoch) = (answer.producer_id.0, answer.producer_epoch);
            let transactional_id = transactional_id.to_owned();
            return Self { protocol, transactional_id, id, epoch, sequences: Default::default() };
        }
    }

    /// Adds a partition (V1).
    pub fn add(&self, client: &mut TestClient, topic: &str, partition: i32) -> i16 {
        let answer = client.call(&self.add_request(topic, vec![partition]), 3);
        answer.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code
    }

    pub fn add_request(&self, topic: &str, partitions: Vec<i32>) -> AddPartitionsToTxnRequest {
        let topic = AddPartitionsToTxnTopic::default().with_name(topic_name(topic)).with_partitions(partitions);
        AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(TransactionalId(text(&self.transactional_id)))
            .with_v3_and_below_producer_id(ProducerId(self.id))
            .with_v3_and_below_producer_epoch(self.epoch)
            .with_v3_and_below_topics(vec![topic])
    }

    /// Adds the partition if the protocol wants it, and sends one batch. Answers code and base offset.
    pub fn send(&mut self, client: &mut TestClient, topic: &str, partition: i32, values: &[&str]) -> (i16, i64) {
        if self.protocol == Protocol::V1 {
            assert_eq!(self.add(client, topic, partition), 0, "AddPartitionsToTxn");
        }
        self.send_without_adding(client, topic, partition, values)
    }

    pub fn send_without_adding(
        &mut self,
        client: &mut TestClient,
        topic: &str,
        partition: i32,
        values: &[&str],
    ) -> (i16, i64) {
        let sequence = *self.sequences.get(&(topic.to_owned(), partition)).unwrap_or(&0);
        let answer = self.send_at(client, topic, partition, sequence, values);
        if answer.0 == 0 {
            self.sequences.insert((topic.to_owned(), partition), sequence + values.len() as i32);
        }
        answer
    }

    pub fn send_at(
        &self,
        client: &mut TestClient,
        topic: &str,
        partition: i32,
        sequence: i32,
        values: &[&str],
    ) -> (i16, i64) {
        let request = produce_request(topic, partition, -1, self.batch(sequence, values))
            .with_transactional_id(Some(TransactionalId(text(&self.transactional_id))));
        let version = if self.protocol == Protocol::V1 { 11 } else { 12 };
        let answer = client.call(&request, version);
        let answer = &answer.responses[0].partition_responses[0];
        (answer.error_code, answer.base_offset)
    }

    fn batch(&self, base_sequence: i32, values: &[&str]) -> bytes::Bytes {
        let record = |(index, value): (usize, &&str)| Record {
            transactional: true,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: -1,
            producer_id: self.id,
            producer_epoch: self.epoch,
            timestamp_type: TimestampType::Creation,
            offset: index as i64,
            sequence: base_sequence.wrapping_add(index as i32),
            timestamp: 1_700_000_000_000 + index as i64,
            key: None,
            value: Some(bytes::Bytes::copy_from_slice(value.as_bytes())),
            headers: Default::default(),
        };
        let records: Vec<Record> = values.iter().enumerate().map(record).collect();
        let mut bytes = bytes::BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: Compression::None };
        RecordBatchEncoder::encode(&mut bytes, &records, &options).expect("plain records encode");
        bytes.freeze()
    }

    /// Stages one offset of `group`. Answers its code.
    pub fn commit_offset(&self, client: &mut TestClient, group: &str, topic: &str, offset: i64) -> i16 {
        if self.protocol == Protocol::V1 {
            assert_eq!(client.call(&self.add_offsets_request(group), 3).error_code, 0, "AddOffsetsToTxn");
        }
        let version = if self.protocol == Protocol::V1 { 3 } else { 5 };
        client.call(&self.offset_request(group, topic, offset), version).topics[0].partitions[0].error_code
    }

    pub fn add_offsets_request(&self, group: &str) -> AddOffsetsToTxnRequest {
        AddOffsetsToTxnRequest::default()
            .with_transactional_id(TransactionalId(text(&self.transactional_id)))
            .with_producer_id(ProducerId(self.id))
            .with_producer_epoch(self.epoch)
            .with_group_id(GroupId(text(group)))
    }

    pub fn offset_request(&self, group: &str, topic: &str, offset: i64) -> TxnOffsetCommitRequest {
        let partition =
            TxnOffsetCommitRequestPartition::default().with_partition_index(0).with_committed_offset(offset);
        let topic =
            TxnOffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
        TxnOffsetCommitRequest::default()
            .with_transactional_id(TransactionalId(text(&self.transactional_id)))
            .with_group_id(GroupId(text(group)))
            .with_producer_id(ProducerId(self.id))
            .with_producer_epoch(self.epoch)
            .with_generation_id(-1)
            .with_topics(vec![topic])
    }

    /// EndTxn as sent; V2 goes on with the answered epoch if there is one.
    pub fn end(&mut self, client: &mut TestClient, committed: bool) -> i16 {
        let (error, next) = self.end_once(client, committed);
        if error == 0 && self.protocol == Protocol::V2 {
            (self.id, self.epoch) = next;
            self.sequences.clear();
        }
        error
    }

    /// EndTxn of which the answer is not taken over.
    pub fn end_once(&self, client: &mut TestClient, committed: bool) -> (i16, (i64, i16)) {
        let version = if self.protocol == Protocol::V1 { 3 } else { 5 };
        let answer = client.call(&self.end_request(committed), version);
        (answer.error_code, (answer.producer_id.0, answer.producer_epoch))
    }

    pub fn end_request(&self, committed: bool) -> EndTxnRequest {
        EndTxnRequest::default()
            .with_transactional_id(TransactionalId(text(&self.transactional_id)))
            .with_producer_id(ProducerId(self.id))
            .with_producer_epoch(self.epoch)
            .with_committed(committed)
    }
}

/// Offset and code of the first partition, for a reader that wants stable ones.
pub fn committed_offset(client: &mut TestClient, group: &str, topic: &str) -> (i64, i16) {
    let topic = OffsetFetchRequestTopics::default().with_name(topic_name(topic)).with_partition_indexes(vec![0]);
    let group = OffsetFetchRequestGroup::default().with_group_id(GroupId(text(group))).with_topics(Some(vec![topic]));
    let request = OffsetFetchRequest::default().with_groups(vec![group]).with_require_stable(true);
    let answer = client.call(&request, 9);
    let partition = &answer.groups[0].topics[0].partitions[0];
    (partition.committed_offset, partition.error_code)
}

/// State of a transactional id, by Kafka's name.
pub fn transaction_state(client: &mut TestClient, transactional_id: &str) -> String {
    let request =
        DescribeTransactionsRequest::default().with_transactional_ids(vec![TransactionalId(text(transactional_id))]);
    client.call(&request, 0).transaction_states[0].transaction_state.to_string()
}

/// Fetches committed records from `offset`.
pub fn fetch_committed(client: &mut TestClient, topic: &str, partition: i32, offset: i64) -> PartitionData {
    let mut answer = client.call(&fetch_request(topic, partition, offset).with_isolation_level(1), FETCH_VERSION);
    assert_eq!(answer.error_code, 0, "Fetch");
    answer.responses.remove(0).partitions.remove(0)
}

/// Values that a read_committed consumer is shown, filtered as clients do: a transaction's records from the offset that the
/// broker names until its abort marker.
pub fn drain_committed(client: &mut TestClient, topic: &str, partition: i32) -> Vec<String> {
    let mut values = Vec::new();
    let mut from = 0;
    loop {
        let data = fetch_committed(client, topic, partition, from);
        assert_eq!(data.error_code, 0, "Fetch {topic}-{partition} from {from}");
        if from >= data.last_stable_offset {
            return values;
        }
        let mut aborted = data.aborted_transactions.expect("an array, be it empty");
        aborted.sort_by_key(|transaction| transaction.first_offset);
        let mut aborting = std::collections::HashSet::new();
        let mut aborted = aborted.into_iter().peekable();
        let mut records = data.records.unwrap_or_default();
        let before = from;
        for set in RecordBatchDecoder::decode_all(&mut records).expect("stored batches decode") {
            for record in set.records {
                while let Some(next) = aborted.next_if(|next| next.first_offset <= record.offset) {
                    aborting.insert(next.producer_id.0);
                }
                let is_new = record.offset >= before;
                from = from.max(record.offset + 1);
                if record.control {
                    let key = record.key.expect("markers have a key");
                    if key[3] == 0 {
                        aborting.remove(&record.producer_id);
                    }
                } else if is_new && !(record.transactional && aborting.contains(&record.producer_id)) {
                    values.push(String::from_utf8(record.value.expect("a value").to_vec()).expect("text"));
                }
            }
        }
        assert!(from > before, "no progress from {from} below {}", data.last_stable_offset);
    }
}
