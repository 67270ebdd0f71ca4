//! What can be asked of the engine, and how it answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::BytesMut;

use crate::log::catalog::Topic;
use crate::record::BatchHeader;
use crate::types::{ErrorCode, LeaderEpoch, Offset, PartitionId, PartitionIndex, ProducerEpoch, ProducerId, Timestamp, TopicNo, Uuid};

/// When an append is answered (DESIGN §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// Never; errors close the connection.
    None,
    /// Once the write is in the operating system.
    Leader,
    /// Once the write is fsynced, unless the topic relaxes it.
    All,
}

/// One batch to append, validated by the connection that received it.
#[derive(Debug)]
pub struct AppendBatch {
    /// Where to.
    pub partition: PartitionId,
    /// Its header as received.
    pub header: BatchHeader,
    /// The batch; its own view of the receive buffer, so that the engine can patch the base offset in place.
    pub bytes: BytesMut,
}

/// Answer for one appended batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// NONE, or why nothing was written.
    pub error: ErrorCode,
    /// Offset given to the first record; the original one for a duplicate; -1 on error.
    pub base_offset: Offset,
    /// Time of the append if the topic stamps it, else -1.
    pub log_append_time: Timestamp,
    /// First offset of the partition.
    pub log_start_offset: Offset,
    /// For people; goes into the response where the version has a place for it.
    pub message: Option<String>,
}

/// A topic to create.
#[derive(Debug, Clone)]
pub struct NewTopic {
    /// Name, already checked for Kafka's rules by the handler with `types`-level validation; the engine checks existence
    /// and collisions of '.' and '_'.
    pub name: String,
    /// Number of partitions, ≥ 1.
    pub partitions: u32,
    /// Texts as given, already validated against the table of topic settings.
    pub overrides: BTreeMap<String, String>,
}

/// Why an administrative command was refused: the code for the wire and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// Code for the wire.
    pub error: ErrorCode,
    /// One sentence, lowercase as Kafka's own where it has one.
    pub message: String,
}

/// Committed progress of one group in one partition, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// Next offset to read.
    pub offset: Offset,
    /// Leader epoch of the record before it, -1 unknown.
    pub leader_epoch: LeaderEpoch,
    /// The client's own text.
    pub metadata: String,
    /// When it was committed.
    pub commit_timestamp: Timestamp,
    /// When it expires, -1 by the broker's retention (OffsetCommit 2-4 may set it).
    pub expire_timestamp: Timestamp,
}

/// One offset to commit.
#[derive(Debug, Clone)]
pub struct OffsetToCommit {
    /// Topic number and partition.
    pub partition: PartitionId,
    /// What to store.
    pub committed: CommittedOffset,
}

/// Which topic an administrative command means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicRef {
    /// By name.
    Name(String),
    /// By id.
    Id(Uuid),
}

/// Answer to a created topic.
pub type Created = Arc<Topic>;

/// A handle to the engine. Each call queues a command in the order of the calls and answers once the command is committed
/// at the durability it needs. If the engine is gone (it ends the process on a failed commit) the answer never comes and
/// [`EngineGone`] is returned.
pub trait EngineApi {
    // The concrete methods, all on `engine::Engine` (Clone, Send, Sync):
    //   fn append(&self, acks: Acks, batches: Vec<AppendBatch>) -> oneshot::Receiver<Vec<Appended>>      queued at the call, in order
    //   async fn create_topics(&self, topics: Vec<NewTopic>, validate_only: bool) -> Result<Vec<Result<Created, Refused>>, EngineGone>
    //   async fn delete_topics(&self, topics: Vec<TopicRef>) -> Result<Vec<Result<Arc<Topic>, Refused>>, EngineGone>
    //   async fn create_partitions(&self, topic: String, total: u32, validate_only: bool) -> Result<Result<(), Refused>, EngineGone>
    //   async fn set_topic_overrides(&self, topic: String, overrides: BTreeMap<String,String>) -> Result<Result<(), Refused>, EngineGone>   whole new map
    //   async fn delete_records(&self, partition: PartitionId, before: Offset) -> Result<Result<Offset, Refused>, EngineGone>      new log start
    //   async fn commit_offsets(&self, group: String, offsets: Vec<OffsetToCommit>) -> Result<(), EngineGone>
    //   async fn init_producer_id(&self) -> Result<(ProducerId, ProducerEpoch), EngineGone>
    //   async fn set_broker_overrides(&self, overrides: BTreeMap<String,String>) -> Result<(), EngineGone>      dynamic broker configs
}

/// The engine has ended; the process follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the engine has stopped")]
pub struct EngineGone;

#[allow(dead_code)]
type Mentioned = (ProducerId, ProducerEpoch, PartitionIndex, TopicNo);
