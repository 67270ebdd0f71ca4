//! A broker for the handlers' tests: the real engine over rows in memory, asked with encoded requests through [`APIS`].
//!
//! [`APIS`]: super::APIS

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::describe_transactions_response::TransactionState;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{DescribeTransactionsRequest, InitProducerIdRequest, ProduceRequest, TopicName};
use kafka_protocol::protocol::{Decodable, HeaderVersion, Request as TypedRequest, StrBytes};
use tokio::sync::watch;

use super::apis::find;
use super::fetch_memory::FetchMemory;
use super::fetch_session::FetchSessions;
use super::produce::RecompressMemory;
use super::turns::{Gone, Turns};
use super::{Answer, Broker, Context, Endpoint, Pending};
use crate::config::load::{Sources, load};
use crate::config::loggers::{Levels, Loggers};
use crate::coordinator::{self, Coordinator};
use crate::engine::Engine;
use crate::engine::command::{Acks, AppendBatch, Marker, NewTopic};
use crate::engine::environment::SystemEnvironment;
use crate::engine::settings::Settings;
use crate::log::catalog::Topic;
use crate::producer::MarkerWriter;
use crate::record::BatchHeader;
use crate::record::build::BatchBuilder;
use crate::store::Store;
use crate::store::memory::MemoryStore;
use crate::transaction::TransactionVersion;
use crate::types::{Arrival, Offset, ProducerEpoch, ProducerId, Timestamp, TransactionResult};
use crate::wire::{Close, Request, RequestHeader, Segments};

const CORRELATION_ID: i32 = 0x0123_4567;

/// A running broker, and one connection's surroundings.
pub(crate) struct TestBroker {
    pub(crate) cx: Context,
    stop: watch::Sender<bool>,
}

impl TestBroker {
    pub(crate) fn start() -> Self {
        Self::with_settings(&[])
    }

    pub(crate) fn with_settings(settings: &[(&str, &str)]) -> Self {
        Self::over(Arc::new(MemoryStore::new()), settings)
    }

    pub(crate) fn over(store: Arc<dyn Store>, settings: &[(&str, &str)]) -> Self {
        let flags = settings.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let sources = Sources { flags, host_name: "localhost".into(), ..Sources::default() };
        let config = load(&sources).expect("good settings").config;
        let fatal = Box::new(|error| panic!("rows in memory failed: {error}"));
        let started =
            Engine::start(store, Settings::from(&config), Box::new(SystemEnvironment), fatal).expect("starts");
        let (stop, stopping) = watch::channel(false);
        let endpoint =
            |listener: &str, host: &str, port| Endpoint { listener: listener.into(), host: host.into(), port };
        let endpoints = vec![endpoint("PLAINTEXT", "localhost", 9092), endpoint("EXTERNAL", "kafka.example", 19092)];
        let coordinator = Coordinator::start(
            started.engine.clone(),
            started.catalog.clone(),
            started.offsets.clone(),
            started.groups,
            coordinator::Settings::from(&config),
        );
        let broker = Broker {
            coordinator,
            cluster_id: started.cluster_id,
            directory_id: started.directory_id,
            leader_epoch: started.leader_epoch,
            catalog: started.catalog,
            engine: started.engine,
            reader: started.reader,
            extractor: started.extractor,
            id_scan_duration: metrics::histogram!(crate::metrics::DEDUP_SCAN_SECONDS),
            sealed_ids: started.sealed_ids,
            senders: Arc::default(),
            offsets: started.offsets,
            fetch_sessions: FetchSessions::new(config.fetch_session_slots, config.fetch_session_partitions_max),
            fetch_memory: FetchMemory::new(config.fetch_memory_bytes),
            turns: Turns::default(),
            recompress_memory: RecompressMemory::new(config.queued_max_request_bytes),
            clients: Arc::default(),
            config_changes: tokio::sync::Mutex::default(),
            loggers: Arc::new(Loggers::new(Levels::of(&config.log_level), |_| ())),
            endpoints,
            config: ArcSwap::from_pointee(config),
        };
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 40000));
        let arrival = Arrival::default();
        let cx = Context { broker: Arc::new(broker), listener: "PLAINTEXT".into(), peer, arrival, stopping };
        Self { cx, stop }
    }

    pub(crate) async fn create_topic(&self, name: &str, partitions: u32) -> Arc<Topic> {
        self.create_topic_with(name, partitions, &[]).await
    }

    pub(crate) async fn create_topic_with(&self, name: &str, partitions: u32, own: &[(&str, &str)]) -> Arc<Topic> {
        let overrides = own.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let topic = NewTopic { name: name.into(), partitions, overrides };
        let mut created = self.cx.broker.engine.create_topics(vec![topic], false).await.expect("the engine runs");
        created.remove(0).expect("created")
    }

    /// Makes the caller the producer of a transactional id; answers producer id and epoch.
    pub(crate) async fn init_transactions(&self, transactional_id: &str) -> (i64, i16) {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(text(transactional_id).into()))
            .with_transaction_timeout_ms(60_000);
        let answer = self.call(5, &request).await;
        assert_eq!(answer.error_code, 0, "{answer:?}");
        (answer.producer_id.0, answer.producer_epoch)
    }

    /// DescribeTransactions of one id.
    pub(crate) async fn describe(&self, transactional_id: &str) -> TransactionState {
        let request =
            DescribeTransactionsRequest::default().with_transactional_ids(vec![text(transactional_id).into()]);
        self.call(0, &request).await.transaction_states.remove(0)
    }

    /// Tells parked requests that the broker stops.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Sends an encoded request; its answer is under way when this returns, if the API is one of those that pipeline.
    pub(crate) fn send<R: TypedRequest>(&self, version: i16, request: &R) -> Pending {
        let mut body = BytesMut::new();
        request.encode(&mut body, version).expect("the request encodes");
        self.send_body(R::KEY, version, body)
    }

    /// As [`TestBroker::send`] of a request that may have to wait for its turn, with what tells it that its client has gone.
    pub(crate) fn ask<R: TypedRequest>(&self, version: i16, request: &R) -> (Pending, Gone) {
        let mut body = BytesMut::new();
        request.encode(&mut body, version).expect("the request encodes");
        match self.begin(R::KEY, version, body) {
            Answer::Turned(pending, gone) => (pending, gone),
            _ => panic!("the API takes no turns"),
        }
    }

    /// Begins a request of any body.
    pub(crate) fn begin(&self, api_key: i16, api_version: i16, body: BytesMut) -> Answer {
        let header =
            RequestHeader { api_key, api_version, correlation_id: CORRELATION_ID, client_id: Some("test".into()) };
        let frame_bytes = body.len();
        let api = find(api_key).expect("an API of the table");
        (api.handler)(self.cx.clone(), Request { header, body, frame_bytes })
    }

    pub(crate) fn send_body(&self, api_key: i16, api_version: i16, body: BytesMut) -> Pending {
        match self.begin(api_key, api_version, body) {
            Answer::Pipelined(pending)
            | Answer::Serial(pending)
            | Answer::Turned(pending, _)
            | Answer::Cancellable(pending)
            | Answer::LongPoll(pending) => pending,
            Answer::Close(close) => Box::pin(std::future::ready(Err(close))),
        }
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn call<R: TypedRequest>(&self, version: i16, request: &R) -> R::Response {
        self.try_call(version, request).await.expect("answered").expect("not silent")
    }

    /// As [`TestBroker::call`]; no answer and a closed connection are results, too.
    pub(crate) async fn try_call<R: TypedRequest>(
        &self,
        version: i16,
        request: &R,
    ) -> Result<Option<R::Response>, Close> {
        Ok(self.send(version, request).await?.map(|segments| decode::<R>(version, segments)))
    }
}

/// Reads a whole answer frame with the crate's client side, to the last byte.
pub(crate) fn decode<R: TypedRequest>(version: i16, segments: Segments) -> R::Response {
    let mut frame = Bytes::from(segments.concat());
    assert_eq!(frame.get_i32() as usize, frame.len(), "the frame is as long as it says");
    assert_eq!(frame.get_i32(), CORRELATION_ID);
    if R::Response::header_version(version) >= 1 {
        assert_eq!(frame.get_u8(), 0, "the header has no tags");
    }
    let answer = R::Response::decode(&mut frame, version).expect("the answer decodes");
    assert!(frame.is_empty(), "{} bytes are left", frame.len());
    answer
}

/// A name as requests carry it.
pub(crate) fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

/// A text as requests carry it.
pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A batch of as many records as values, all at `timestamp`.
pub(crate) fn batch(timestamp: Timestamp, values: &[&str]) -> BytesMut {
    let records = values
        .iter()
        .fold(BatchBuilder::new(), |batch, value| batch.record(timestamp, Some(b"key"), Some(value.as_bytes())));
    records.build()
}

/// A Produce request with one batch per entry of `batches`: index of the partition and the batch.
pub(crate) fn produce_request(topic: &Topic, acks: i16, batches: &[(i32, BytesMut)]) -> ProduceRequest {
    let partitions = batches.iter().map(|(index, batch)| {
        PartitionProduceData::default().with_index(*index).with_records(Some(batch.clone().freeze()))
    });
    let data = TopicProduceData::default()
        .with_name(StrBytes::from_string(topic.name.to_string()).into())
        .with_topic_id(topic.id)
        .with_partition_data(partitions.collect());
    ProduceRequest::default()
        .with_transactional_id(None)
        .with_acks(acks)
        .with_timeout_ms(30_000)
        .with_topic_data(vec![data])
}

impl TestBroker {
    /// Appends one batch with acks=all; answers its base offset.
    pub(crate) async fn append(&self, topic: &Topic, index: i32, batch: BytesMut) -> Offset {
        let answer = self.call(9, &produce_request(topic, -1, &[(index, batch)])).await;
        let answer = &answer.responses[0].partition_responses[0];
        assert_eq!(answer.error_code, 0, "{answer:?}");
        answer.base_offset
    }

    /// Appends one batch of a transaction that has no coordinator to the first partition; answers its base offset.
    pub(crate) async fn append_transactional(
        &self,
        topic: &Topic,
        producer_id: i64,
        base_sequence: i32,
        values: &[&str],
    ) -> Offset {
        let records = values.iter().fold(BatchBuilder::new(), |batch, value| {
            batch.record(1_000 * producer_id, Some(b"key"), Some(value.as_bytes()))
        });
        let producer = (ProducerId(producer_id), ProducerEpoch(0), base_sequence);
        let bytes = records.producer(producer.0, producer.1, producer.2).transactional().build();
        let header = BatchHeader::parse(&bytes).expect("a batch");
        let batch = AppendBatch {
            partition: topic.partitions[0].id,
            header,
            bytes,
            transaction: None,
            ids: None,
            refused: None,
        };
        let appended = self.cx.broker.engine.append(Acks::All, vec![batch]).await.expect("answered").remove(0);
        assert!(appended.error.is_none(), "{appended:?}");
        appended.base_offset
    }

    /// Ends it.
    pub(crate) async fn end_transaction(&self, topic: &Topic, producer_id: i64, result: TransactionResult) {
        let marker = Marker {
            producer_id: ProducerId(producer_id),
            producer_epoch: ProducerEpoch(0),
            coordinator_epoch: 0,
            result,
            version: TransactionVersion::V1,
            by: MarkerWriter::Coordinator,
        };
        let refused = self.cx.broker.engine.write_markers(marker, vec![topic.partitions[0].id]).await;
        assert!(refused.expect("answered").is_empty());
    }
}
