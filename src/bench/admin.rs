//! What is asked once, before and after a run: versions, topics, producer ids, offsets. Blocks.
//!
//! Only the bootstrap server is talked to: runs are against one broker.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kafka_protocol::messages::ProducerId as WireProducerId;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreateTopicsRequest, FindCoordinatorRequest, InitProducerIdRequest,
    ListOffsetsRequest, ListOffsetsResponse, MetadataRequest, TopicName, TransactionalId,
};
use kafka_protocol::protocol::{Request, StrBytes};

use super::BenchError;
use super::request::CLIENT_ID;
use crate::client::{COORDINATOR_MOVES, ClientError, Connection, open_any, until_ready};
use crate::types::{ErrorCode, Offset, PartitionIndex, ProducerEpoch, ProducerId};

/// Time for each answer. Kafka takes long to create thousands of partitions.
const PATIENCE: Duration = Duration::from_secs(120);

/// Time until the partitions of a new topic have a leader.
const LEADER_PATIENCE: Duration = Duration::from_secs(60);

/// Partitions that Kafka's controller creates at a time, and that one ListOffsets asks for.
const PARTITIONS_PER_REQUEST: i32 = 10_000;

/// Which end of a partition ListOffsets is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Earliest,
    Latest,
}

/// The broker that is measured.
pub(super) struct Admin {
    connection: Connection,
    /// Where the broker is.
    pub(super) address: SocketAddr,
}

impl Admin {
    /// Connects to `bootstrap` (host:port, or the first of several that answers) and asks for its versions.
    pub(super) fn connect(bootstrap: &str) -> Result<Self, BenchError> {
        let connection = open_any(bootstrap, CLIENT_ID, PATIENCE)?;
        Ok(Self { address: connection.address(), connection })
    }

    /// The highest version of an API that both sides know.
    pub(super) fn version(&self, api: &'static str, key: i16, versions: (i16, i16)) -> Result<i16, BenchError> {
        Ok(self.connection.version(api, key, versions)?)
    }

    /// Number of partitions of `topic`, all of them with a leader; none if there is no such topic.
    pub(super) fn partition_count(&mut self, topic: &str) -> Result<Option<i32>, BenchError> {
        let asked = MetadataRequestTopic::default().with_name(Some(name(topic)));
        let request = MetadataRequest::default().with_topics(Some(vec![asked])).with_allow_auto_topic_creation(false);
        let give_up = Instant::now() + LEADER_PATIENCE;
        loop {
            let answer = self.call("Metadata", &request, (4, 9))?;
            let Some(topic) = answer.topics.first() else { return Ok(None) };
            match ErrorCode(topic.error_code) {
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => return Ok(None),
                ErrorCode::NONE => {
                    let mut errors = topic.partitions.iter().map(|partition| ErrorCode(partition.error_code));
                    let unready = errors.find(|error| !error.is_none());
                    match unready {
                        None => return Ok(i32::try_from(topic.partitions.len()).ok()),
                        Some(error) if Instant::now() > give_up => {
                            return Err(refused("Metadata", error));
                        }
                        Some(_) => {}
                    }
                }
                ErrorCode::LEADER_NOT_AVAILABLE if Instant::now() < give_up => {}
                error => return Err(refused("Metadata", error)),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Creates `topic` if it is missing. Answers how many partitions it has.
    pub(super) fn create_topic(
        &mut self,
        topic: &str,
        partitions: i32,
        configs: &[(String, String)],
    ) -> Result<i32, BenchError> {
        if let Some(count) = self.partition_count(topic)? {
            return Ok(count);
        }
        let configs = configs
            .iter()
            .map(|(key, value)| CreatableTopicConfig::default().with_name(text(key)).with_value(Some(text(value))));
        let mut created = partitions.min(PARTITIONS_PER_REQUEST);
        let asked = CreatableTopic::default()
            .with_name(name(topic))
            .with_num_partitions(created)
            .with_replication_factor(1)
            .with_configs(configs.collect());
        let request = CreateTopicsRequest::default().with_topics(vec![asked]).with_timeout_ms(60_000);
        let answer = self.call("CreateTopics", &request, (2, 6))?;
        for topic in &answer.topics {
            ClientError::check("CreateTopics", topic.error_code, topic.error_message.as_deref())?;
        }
        while created < partitions {
            self.wait_for_partitions(topic, created)?;
            created = partitions.min(created + PARTITIONS_PER_REQUEST);
            let asked =
                CreatePartitionsTopic::default().with_name(name(topic)).with_count(created).with_assignments(None);
            let request = CreatePartitionsRequest::default().with_topics(vec![asked]).with_timeout_ms(60_000);
            let answer = self.call("CreatePartitions", &request, (0, 3))?;
            for result in &answer.results {
                ClientError::check("CreatePartitions", result.error_code, result.error_message.as_deref())?;
            }
        }
        self.wait_for_partitions(topic, partitions)
    }

    /// A broker knows of what its controller did a little later.
    fn wait_for_partitions(&mut self, topic: &str, partitions: i32) -> Result<i32, BenchError> {
        let give_up = Instant::now() + LEADER_PATIENCE;
        loop {
            match self.partition_count(topic)? {
                Some(count) if count >= partitions => return Ok(count),
                _ if Instant::now() > give_up => {
                    let error = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
                    return Err(refused("Metadata", error));
                }
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// A fresh producer id and its epoch.
    pub(super) fn init_producer_id(&mut self) -> Result<(ProducerId, ProducerEpoch), BenchError> {
        self.init(None)
    }

    /// The producer id and a fresh epoch of a transactional id, of which an open transaction is aborted.
    pub(super) fn init_transactions(
        &mut self,
        transactional_id: &str,
    ) -> Result<(ProducerId, ProducerEpoch), BenchError> {
        let request = FindCoordinatorRequest::default().with_key(text(transactional_id)).with_key_type(1);
        // Kafka creates its topic of transactions only now. Whether there is a coordinator, the next request finds out.
        self.call("FindCoordinator", &request, (1, 3))?;
        self.init(Some(transactional_id))
    }

    fn init(&mut self, transactional_id: Option<&str>) -> Result<(ProducerId, ProducerEpoch), BenchError> {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(transactional_id.map(|id| TransactionalId(text(id))))
            .with_transaction_timeout_ms(60_000)
            .with_producer_id(WireProducerId(-1))
            .with_producer_epoch(-1);
        // A Kafka that has just started has no block of ids yet.
        let not_ready = [COORDINATOR_MOVES, &[ErrorCode::CONCURRENT_TRANSACTIONS]].concat();
        let (code, answer) = until_ready(LEADER_PATIENCE, &not_ready, || {
            let answer = self.connection.call("InitProducerId", &request, (2, 4))?;
            Ok((ErrorCode(answer.error_code), answer))
        })?;
        ClientError::check("InitProducerId", code.0, None)?;
        Ok((ProducerId(answer.producer_id.0), ProducerEpoch(answer.producer_epoch)))
    }

    /// First or next offset of partitions 0 to `partitions` of `topic`.
    pub(super) fn offsets(&mut self, topic: &str, partitions: i32, end: End) -> Result<Vec<Offset>, BenchError> {
        let timestamp = match end {
            End::Earliest => -2,
            End::Latest => -1,
        };
        let mut offsets = vec![0; usize::try_from(partitions).unwrap_or(0)];
        for from in (0..partitions).step_by(PARTITIONS_PER_REQUEST as usize) {
            let asked = (from..partitions.min(from + PARTITIONS_PER_REQUEST)).map(|index: PartitionIndex| {
                ListOffsetsPartition::default()
                    .with_partition_index(index)
                    .with_current_leader_epoch(-1)
                    .with_timestamp(timestamp)
            });
            let asked = ListOffsetsTopic::default().with_name(name(topic)).with_partitions(asked.collect());
            let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![asked]);
            let answer = self.settled_offsets(&request)?;
            for partition in answer.topics.iter().flat_map(|topic| &topic.partitions) {
                let place = usize::try_from(partition.partition_index).ok().and_then(|index| offsets.get_mut(index));
                if let Some(place) = place {
                    *place = partition.offset;
                }
            }
        }
        Ok(offsets)
    }

    /// The answer without errors. A Kafka that has just created partitions tells of them before it leads them.
    fn settled_offsets(&mut self, request: &ListOffsetsRequest) -> Result<ListOffsetsResponse, BenchError> {
        let not_ready =
            [ErrorCode::NOT_LEADER_OR_FOLLOWER, ErrorCode::LEADER_NOT_AVAILABLE, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION];
        let (code, answer) = until_ready(LEADER_PATIENCE, &not_ready, || {
            let answer = self.connection.call("ListOffsets", request, (2, 7))?;
            let mut errors = answer.topics.iter().flat_map(|topic| &topic.partitions).map(|p| ErrorCode(p.error_code));
            Ok((errors.find(|error| !error.is_none()).unwrap_or(ErrorCode::NONE), answer))
        })?;
        ClientError::check("ListOffsets", code.0, None)?;
        Ok(answer)
    }

    fn call<R: Request>(
        &mut self,
        api: &'static str,
        request: &R,
        versions: (i16, i16),
    ) -> Result<R::Response, BenchError> {
        Ok(self.connection.call(api, request, versions)?)
    }
}

fn refused(api: &'static str, error: ErrorCode) -> BenchError {
    ClientError::Refused { api, error, message: String::new() }.into()
}

fn name(topic: &str) -> TopicName {
    TopicName(text(topic))
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
