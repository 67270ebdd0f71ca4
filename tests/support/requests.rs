//! Requests that many tests send: topics, producer ids, batches, fetches.

use bytes::{Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{
    BrokerId, CreateTopicsRequest, FetchRequest, InitProducerIdRequest, ProduceRequest, ProducerId, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

use super::TestClient;

/// Version of Produce that tests speak when the version is not their subject: the last one with topic names.
pub const PRODUCE_VERSION: i16 = 12;
/// The same for Fetch.
pub const FETCH_VERSION: i16 = 12;

/// Who a batch says it is from.
#[derive(Debug, Clone, Copy)]
pub struct Producer {
    pub id: i64,
    pub epoch: i16,
}

impl Producer {
    /// No producer id.
    pub const NONE: Self = Self { id: -1, epoch: -1 };

    /// A fresh id from the broker.
    pub fn init(client: &mut TestClient) -> Self {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(60_000)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        let answer = client.call(&request, 4);
        assert_eq!(answer.error_code, 0, "InitProducerId");
        Self { id: answer.producer_id.0, epoch: answer.producer_epoch }
    }
}

/// The name as the crate wants it.
pub fn topic_name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

/// Creates `topic`; it must not exist.
pub fn create_topic(client: &mut TestClient, topic: &str, partitions: i32) {
    create_topic_with(client, topic, partitions, &[]);
}

/// The same, with settings.
pub fn create_topic_with(client: &mut TestClient, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
    let text = |text: &str| StrBytes::from_string(text.to_owned());
    let configs = settings
        .iter()
        .map(|(name, value)| CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value))));
    let topics = vec![
        CreatableTopic::default()
            .with_name(topic_name(topic))
            .with_num_partitions(partitions)
            .with_replication_factor(1)
            .with_configs(configs.collect()),
    ];
    let answer = client.call(&CreateTopicsRequest::default().with_topics(topics).with_timeout_ms(30_000), 6);
    assert_eq!(answer.topics[0].error_code, 0, "CreateTopics {topic}: {:?}", answer.topics[0].error_message);
}

/// A batch of `values` as `producer` would send it, its first record with `base_sequence`.
pub fn batch(producer: Producer, base_sequence: i32, values: &[&str]) -> Bytes {
    let records: Vec<Record> = values
        .iter()
        .enumerate()
        .map(|(index, value)| Record {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: -1,
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            timestamp_type: TimestampType::Creation,
            offset: index as i64,
            // The encoder begins a new batch where sequences do not follow offsets, also those of no producer.
            sequence: base_sequence.wrapping_add(index as i32),
            timestamp: 1_700_000_000_000 + index as i64,
            key: None,
            value: Some(Bytes::copy_from_slice(value.as_bytes())),
            headers: IndexMap::new(),
        })
        .collect();
    let mut bytes = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut bytes, &records, &options).expect("plain records encode");
    bytes.freeze()
}

/// A batch of one record with a key.
pub fn keyed_batch(key: &str, value: &str) -> Bytes {
    let record = Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset: 0,
        sequence: -1,
        timestamp: 1_700_000_000_000,
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        headers: IndexMap::new(),
    };
    let mut bytes = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut bytes, &[record], &options).expect("plain records encode");
    bytes.freeze()
}

/// A Produce of one batch to one partition.
pub fn produce_request(topic: &str, partition: i32, acks: i16, records: Bytes) -> ProduceRequest {
    let partition = PartitionProduceData::default().with_index(partition).with_records(Some(records));
    let topic = TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![partition]);
    ProduceRequest::default()
        .with_transactional_id(None)
        .with_acks(acks)
        .with_timeout_ms(30_000)
        .with_topic_data(vec![topic])
}

/// Sends one batch with acks=all and returns what the partition answered.
pub fn produce(client: &mut TestClient, topic: &str, partition: i32, records: Bytes) -> PartitionProduceResponse {
    let mut answer = client.call(&produce_request(topic, partition, -1, records), PRODUCE_VERSION);
    answer.responses.remove(0).partition_responses.remove(0)
}

/// A Fetch of one partition outside any session.
pub fn fetch_request(topic: &str, partition: i32, offset: i64) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_partition(partition)
        .with_current_leader_epoch(-1)
        .with_fetch_offset(offset)
        .with_last_fetched_epoch(-1)
        .with_log_start_offset(-1)
        .with_partition_max_bytes(8 << 20);
    let topic = FetchTopic::default().with_topic(topic_name(topic)).with_partitions(vec![partition]);
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(0)
        .with_min_bytes(0)
        .with_max_bytes(64 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}

/// Fetches one partition from `offset`, without waiting.
pub fn fetch(client: &mut TestClient, topic: &str, partition: i32, offset: i64) -> PartitionData {
    let mut answer = client.call(&fetch_request(topic, partition, offset), FETCH_VERSION);
    assert_eq!(answer.error_code, 0, "Fetch");
    answer.responses.remove(0).partitions.remove(0)
}

/// Offset and value of every record of a partition, from its start to its high watermark.
pub fn drain(client: &mut TestClient, topic: &str, partition: i32) -> Vec<(i64, String)> {
    let mut drained: Vec<(i64, String)> = Vec::new();
    loop {
        let from = drained.last().map_or(0, |(offset, _)| offset + 1);
        let data = fetch(client, topic, partition, from);
        assert_eq!(data.error_code, 0, "Fetch {topic}-{partition} from {from}");
        if from >= data.high_watermark {
            return drained;
        }
        let before = drained.len();
        let mut records = data.records.unwrap_or_default();
        for set in RecordBatchDecoder::decode_all(&mut records).expect("stored batches decode") {
            for record in set.records.into_iter().filter(|record| record.offset >= from) {
                let value = String::from_utf8(record.value.unwrap_or_default().to_vec()).expect("tests write text");
                drained.push((record.offset, value));
            }
        }
        assert!(drained.len() > before, "no progress at offset {from} of {topic}-{partition}");
    }
}
