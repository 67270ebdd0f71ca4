//! What can be asked of the engine, and how it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;

use super::expiry_clock::ExpiryClock;
use super::sealing::Sealed;
use super::settings::DynamicSettings;
use super::transactions::end::Ended;
use crate::dedup::{BatchIds, Fingerprint, RememberedId, Sequence};
use crate::group::classic::{Retention, StoredGroup};
use crate::group::consumer::codec::Row;
use crate::log::catalog::Topic;
use crate::log::offsets::CommittedOffset;
use crate::producer::{MarkerWriter, ProducerState};
use crate::record::BatchHeader;
use crate::record::validate::RecordError;
use crate::store::schema::{LogKey, SparseRow};
use crate::transaction::{TransactionMetadata, TransactionRefused, TransactionState, TransactionVersion};
use crate::types::{
    Arrival, ErrorCode, Offset, PartitionId, ProducerEpoch, ProducerId, Timestamp, TopicNo, TransactionResult, Uuid,
};

/// When an append is answered: what survives then is in the README under delivery guarantees.
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
    /// Whose transaction it belongs to, if its header says that it belongs to one. None for a transaction that has no coordinator:
    /// no client's batch is handed over like that.
    pub transaction: Option<Arc<TransactionProducer>>,
    /// The message ids of its records, where the topic remembers some. Without them the engine reads them itself.
    pub ids: Option<Box<BatchIds>>,
    /// Why it is not to be appended though it may come again: what the connection had no room for, or could not look up. It is judged by
    /// its sequence all the same, so that none of its producer's later batches comes before it.
    pub refused: Option<Box<Refused>>,
}

/// Who acts in a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionProducer {
    /// As the request names it.
    pub transactional_id: Arc<str>,
    /// The same, of a batch as its header names it.
    pub producer_id: ProducerId,
    /// The same.
    pub producer_epoch: ProducerEpoch,
    /// Of the request.
    pub version: TransactionVersion,
    /// How the request came.
    pub arrival: Arrival,
}

/// What ends a transaction in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    /// Whose transaction.
    pub producer_id: ProducerId,
    /// Epoch of the producer from here on.
    pub producer_epoch: ProducerEpoch,
    /// Epoch of the coordinator that decided the outcome.
    pub coordinator_epoch: i32,
    /// The outcome.
    pub result: TransactionResult,
    /// Of the request or broker that ended it.
    pub version: TransactionVersion,
    /// Who has it written.
    pub by: MarkerWriter,
}

/// Partitions of `__consumer_offsets`. Nothing is in them: each stands for the groups whose offsets Kafka keeps there.
#[derive(Debug, Clone, Default)]
pub struct OffsetsPartitions {
    /// Which are meant.
    pub partitions: Vec<PartitionId>,
    /// How many the topic has.
    pub count: u32,
}

/// A producer as its partition knows it (`DescribeProducersResponse.ProducerState` in Kafka).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedProducer {
    /// Its id.
    pub producer_id: ProducerId,
    /// What is known of it.
    pub state: ProducerState,
}

/// Answer for one appended batch.
#[derive(Debug, Clone)]
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
    /// The single records that the batch is refused for, where it is single ones.
    pub record_errors: Vec<RecordError>,
    /// Records that were there before.
    pub repeated: Repeated,
}

/// Records that were sent again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Repeated {
    /// By a producer that retried, as its sequences tell.
    pub retried: u64,
    /// By whomever, as their message ids or numbers tell.
    pub known: u64,
}

impl Repeated {
    /// Both.
    pub fn records(&self) -> u64 {
        self.retried.saturating_add(self.known)
    }
}

impl AddAssign for Repeated {
    fn add_assign(&mut self, more: Self) {
        self.retried = self.retried.saturating_add(more.retried);
        self.known = self.known.saturating_add(more.known);
    }
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

/// Why something was refused: the code for the wire and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// Code for the wire.
    pub error: ErrorCode,
    /// One sentence, lowercase as Kafka's own where it has one.
    pub message: String,
}

/// Kafka's sentence for a topic or partition that is not there (`UnknownTopicOrPartitionException`).
pub const UNKNOWN_PARTITION: &str = "This server does not host this topic-partition.";

impl Refused {
    /// With a code and a sentence.
    pub fn new(error: ErrorCode, message: impl Into<String>) -> Self {
        Self { error, message: message.into() }
    }

    /// A topic or partition that is not there.
    pub fn unknown_partition() -> Self {
        Self::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_PARTITION)
    }
}

/// One offset to commit.
#[derive(Debug, Clone)]
pub struct OffsetToCommit {
    /// Topic number and partition.
    pub partition: PartitionId,
    /// What to store.
    pub committed: CommittedOffset,
}

/// A producer that begins with a transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitTransactions {
    /// Not empty.
    pub transactional_id: Arc<str>,
    /// How long its transactions may be open, ms.
    pub timeout_ms: u32,
    /// Producer id and epoch that it goes on from (KIP-360).
    pub given: Option<(ProducerId, ProducerEpoch)>,
    /// How the request came.
    pub arrival: Arrival,
}

/// A transaction in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedTransaction {
    /// Whose.
    pub transactional_id: Arc<str>,
    /// Its producer.
    pub producer_id: ProducerId,
    /// Where it stands.
    pub state: TransactionState,
    /// When its first participant was added; -1 if there was none since InitProducerId.
    pub start_time: Timestamp,
}

/// A change of what is stored of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupChange {
    /// Replaces members and generation of a classic group.
    Store(StoredGroup),
    /// Changes rows of a consumer group. With them may change how long its offsets are kept.
    StoreRows {
        /// To put, and to delete.
        rows: Vec<Row>,
        /// None: as it was.
        retention: Option<Retention>,
    },
    /// Puts a consumer group in the place of a classic one.
    Upgrade {
        /// All of it.
        rows: Vec<Row>,
        /// Of its offsets.
        retention: Retention,
    },
    /// Puts a classic group in the place of a consumer group.
    Downgrade {
        /// Those of the consumer group, to be deleted.
        rows: Vec<Row>,
        /// The classic one.
        stored: StoredGroup,
    },
    /// Removes members and generation; offsets stay. A consumer group's rows are named.
    Forget(Vec<Row>),
    /// Removes all offsets, too.
    Delete(Vec<Row>),
    /// Replaces the settings of the group, whether it exists or not.
    Configure(BTreeMap<String, String>),
    /// Removes the offsets of these partitions.
    DeleteOffsets(Vec<PartitionId>),
}

impl GroupChange {
    fn bytes(&self) -> usize {
        let of = |rows: &[Row]| rows.iter().map(|row| row.key.len() + row.value.as_ref().map_or(0, Vec::len)).sum();
        match self {
            Self::Store(stored) => stored.bytes(),
            Self::StoreRows { rows, .. } | Self::Upgrade { rows, .. } | Self::Forget(rows) | Self::Delete(rows) => {
                of(rows)
            }
            Self::Downgrade { rows, stored } => of(rows) + stored.bytes(),
            Self::DeleteOffsets(_) | Self::Configure(_) => 0,
        }
    }
}

/// Which topic an administrative command means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicRef {
    /// By name.
    Name(String),
    /// By id.
    Id(Uuid),
}

/// A log start to move, not beyond the high watermark, and what it was when that was decided: log start and bytes below it, as in
/// [`PartitionRow`](crate::store::schema::PartitionRow).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogStart {
    pub partition: PartitionId,
    pub seen: (Offset, u64),
    pub next: (Offset, u64),
    /// The topic's `retention.ms` and `retention.bytes` by which that was decided.
    pub limits: (Timestamp, i64),
    /// Of the bytes in between, those that go for their age.
    pub old_bytes: u64,
}

/// A step of the compaction of a partition, in the order of a round.
#[derive(Debug)]
pub(super) enum Compaction {
    /// Removes rows of the index of times and sizes that the next step would else have to.
    Forget(Vec<Vec<u8>>),
    /// Puts into the place of batches what is left of them.
    Replace {
        replaced: Vec<Replaced>,
        /// Rows of the index of aborted transactions that go with them.
        aborted: Vec<Vec<u8>>,
        index: Reindexed,
    },
    /// Ends the round, which has come up to an offset.
    Done { first_dirty: Offset, index: Reindexed },
    /// Gives back the space of what has gone below an offset, of one round or more.
    Reclaim { below: Offset },
}

/// A batch, and what takes its place.
#[derive(Debug)]
pub(super) struct Replaced {
    pub old: LogKey,
    pub new: Option<(LogKey, Bytes)>,
}

/// A change of the index of times and sizes: of what is compacted it says what was.
#[derive(Debug, Default)]
pub(super) struct Reindexed {
    /// Keys of rows that go, unless they come anew.
    pub removed: Vec<Vec<u8>>,
    /// Rows that come, by base offsets.
    pub entries: Vec<(Offset, SparseRow)>,
}

impl Compaction {
    fn bytes(&self) -> usize {
        let Self::Replace { replaced, .. } = self else { return 0 };
        replaced.iter().filter_map(|replaced| replaced.new.as_ref()).map(|(_, bytes)| bytes.len()).sum()
    }
}

/// What is in memory of ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RememberedIds {
    /// By the clock of message ids, ms.
    pub now: Timestamp,
    /// For each that was asked for all that there is, newest first. What is not here may be in a slice, which is to be looked up after
    /// this.
    pub ids: Vec<Vec<RememberedId>>,
}

/// Answer to a topic that was created or deleted.
pub type Created = Arc<Topic>;

/// The engine has ended; the process follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the engine has stopped")]
pub struct EngineGone;

/// Offsets of a transaction that were not staged, and why; or why none were.
pub type Staged = Result<BTreeMap<PartitionId, ErrorCode>, TransactionRefused>;

/// Where the answer to one command goes.
pub(super) type Reply<T> = oneshot::Sender<T>;

/// A queued command with the way back to its caller.
pub(super) enum Command {
    Append {
        acks: Acks,
        batches: Vec<AppendBatch>,
        queued: Instant,
        reply: Reply<Vec<Appended>>,
    },
    CreateTopics {
        topics: Vec<NewTopic>,
        validate_only: bool,
        reply: Reply<Vec<Result<Created, Refused>>>,
    },
    DeleteTopics {
        topics: Vec<TopicRef>,
        reply: Reply<Vec<Result<Created, Refused>>>,
    },
    CreatePartitions {
        topic: TopicNo,
        total: u32,
        validate_only: bool,
        reply: Reply<Result<(), Refused>>,
    },
    SetTopicOverrides {
        topic: TopicNo,
        overrides: BTreeMap<String, String>,
        reply: Reply<Result<(), Refused>>,
    },
    SetBrokerOverrides {
        overrides: BTreeMap<String, String>,
        settings: Box<DynamicSettings>,
        reply: Reply<Result<(), Refused>>,
    },
    DeleteRecords {
        partition: PartitionId,
        before: Offset,
        reply: Reply<Result<Offset, Refused>>,
    },
    /// Moves log starts, of those partitions that are as they were seen; answers which.
    MoveLogStarts {
        starts: Vec<LogStart>,
        reply: Reply<Vec<bool>>,
    },
    /// Removes the rows below the log starts of these partitions, and gives their space back.
    RemoveRecords {
        partitions: Vec<PartitionId>,
        reply: Reply<()>,
    },
    /// Compacts a partition; answers whether it is still there and to be compacted.
    Compact {
        partition: PartitionId,
        compaction: Compaction,
        reply: Reply<bool>,
    },
    /// Message ids have left memory, or could not.
    Sealed {
        sealed: Sealed,
        reply: Reply<()>,
    },
    /// What is in memory of these ids of a topic.
    LookUpIds {
        topic: TopicNo,
        ids: Vec<Fingerprint>,
        reply: Reply<RememberedIds>,
    },
    /// What is known of a name in each partition of a topic (`message.dedup.mode=sequence`).
    LookUpName {
        topic: TopicNo,
        name: String,
        reply: Reply<Vec<(u32, Sequence)>>,
    },
    /// The time by which records expire.
    ExpiryClock {
        reply: Reply<ExpiryClock>,
    },
    CommitOffsets {
        group: String,
        offsets: Vec<OffsetToCommit>,
        reply: Reply<BTreeMap<PartitionId, ErrorCode>>,
    },
    ChangeGroup {
        group: String,
        change: GroupChange,
        reply: Reply<()>,
    },
    WriteMarkers {
        marker: Marker,
        partitions: Vec<PartitionId>,
        offsets: OffsetsPartitions,
        reply: Reply<BTreeMap<PartitionId, ErrorCode>>,
    },
    DescribeProducers {
        partition: PartitionId,
        reply: Reply<Result<Vec<DescribedProducer>, ErrorCode>>,
    },
    /// Whose offsets are pending for groups of one of `count` partitions of `__consumer_offsets`.
    DescribeOffsetsProducers {
        index: u32,
        count: u32,
        reply: Reply<Vec<DescribedProducer>>,
    },
    /// Takes so many 64-bit ids in a row.
    IssueIds {
        count: u32,
        reply: Reply<Option<i64>>,
    },
    InitProducerId {
        reply: Reply<(ProducerId, ProducerEpoch)>,
    },
    InitTransactions {
        init: InitTransactions,
        reply: Reply<Result<(ProducerId, ProducerEpoch), TransactionRefused>>,
    },
    AddPartitionsToTxn {
        producer: TransactionProducer,
        partitions: Vec<PartitionId>,
        reply: Reply<Result<(), TransactionRefused>>,
    },
    AddOffsetsToTxn {
        producer: TransactionProducer,
        group: String,
        reply: Reply<Result<(), TransactionRefused>>,
    },
    TxnOffsetCommit {
        producer: TransactionProducer,
        group: String,
        offsets: Vec<OffsetToCommit>,
        reply: Reply<Staged>,
    },
    EndTxn {
        producer: TransactionProducer,
        result: TransactionResult,
        reply: Reply<Ended>,
    },
    DescribeTransactions {
        transactional_ids: Vec<String>,
        reply: Reply<Vec<Option<TransactionMetadata>>>,
    },
    ListTransactions {
        /// Empty: all. What else is asked of them is judged elsewhere: a client's pattern may cost any time.
        states: BTreeSet<TransactionState>,
        reply: Reply<Vec<ListedTransaction>>,
    },
    /// The last one: commits what came before it, and ends.
    Stop {
        reply: Reply<()>,
    },
}

impl Command {
    /// What it adds to a commit group, bytes; a group takes no more commands beyond a limit.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Append { batches, .. } => batches.iter().map(|batch| batch.bytes.len()).sum(),
            Self::ChangeGroup { change, .. } => change.bytes(),
            Self::Compact { compaction, .. } => compaction.bytes(),
            _ => 0,
        }
    }
}
