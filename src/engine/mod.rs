//! The single writer: commands in, one write per group of them, answers out.
//!
//! Two roles. The *writer* takes everything that is queued, decides it in order on its own state, writes all rows as one, and
//! answers what needs no more than the page cache. The *syncer* makes everything written so far durable, shows it to readers and
//! answers the rest; meanwhile the writer collects and writes the next group. Nobody waits for a timer: what queues up while a
//! write or a sync runs is the next group. What nobody waits for has a thread of its own ([`reclaimer`]).
//!
//! [`start`] brings the state back from rows; [`asker`] is the way to the writer. [`writer`] and [`syncer`] are the two roles, and
//! [`seat`] says on whose thread the writer runs; `append`, `markers`, `topics`, `transactions`, `delete_records`, `compact`,
//! `commit_offsets`, `groups`, `producer_ids` and `issued_ids` decide, each its own kind of command, and `housekeeping` and `purge` what the writer does unasked,
//! when a [`look`] is due. [`retention`] and [`cleaner`] look for records that are not to be kept; `producer_states` keeps what
//! partitions know of their producers, `message_ids` the ids that topics remember, `sealing` those of
//! long windows in files; [`group`] holds what was decided,
//! [`expiry_clock`] the time by which things expire.
//!
//! What goes takes up to four steps, each of which waits for something else. It is *retired* by [`retention`]: readers see it no more, and
//! it is not worth removing yet. It is *dead* once it is to go, and waits until the write that said so is published. It is *purged* when
//! its rows are removed, a slice of them with each write of `purge`. Last of all its space is *reclaimed* by the [`reclaimer`]. What a
//! request deletes, and a topic that is deleted, is dead at once; batches that compaction replaces go in that very write, and what
//! is left to reclaim of them is told once it is worth it.
//!
//! Invariant: an answer leaves after the write that contains what it says is committed at the durability it promises.
//! Invariant: after a failed write or sync nothing more is written or answered; [`Started`]'s owner ends the process.
//! Invariant: the state is changed by decisions only, and recovery reads the very rows that they wrote.

mod append;
mod asker;
mod background;
mod cleaner;
pub mod command;
mod commit_offsets;
mod compact;
mod dead;
mod delete_records;
mod disk_watch;
pub mod environment;
mod expiry_clock;
mod figures;
mod group;
mod groups;
mod housekeeping;
mod issued_ids;
mod look;
mod markers;
mod message_ids;
mod mutant;
mod offset_index;
mod producer_ids;
mod producer_states;
mod purge;
mod reclaimer;
mod retention;
mod retired;
pub mod sealing;
mod seat;
pub mod settings;
mod sparse_index;
mod start;
mod state;
mod sync_under_way;
mod syncer;
mod topics;
mod transactions;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio::sync::oneshot;

use crate::dedup::{Fingerprint, Sequence};
use crate::transaction::{TransactionMetadata, TransactionRefused, TransactionState};
use crate::types::{ErrorCode, Offset, PartitionId, ProducerEpoch, ProducerId, TopicNo, TransactionResult};
use asker::Asker;
use background::Background;
use command::{
    Acks, AppendBatch, Appended, Command, Created, DescribedProducer, EngineGone, GroupChange, InitTransactions,
    ListedTransaction, Marker, NewTopic, OffsetToCommit, OffsetsPartitions, Refused, RememberedIds, Reply, Staged,
    TopicRef, TransactionProducer,
};
pub use figures::Busy;
pub use issued_ids::ISSUED_IDS_MAX;
use settings::{CleanerSettings, DynamicSettings};
pub use start::{StartError, Started, StoredGroups};
pub use sync_under_way::SyncUnderWay;
pub use transactions::OpenTransactions;

/// Handle to the engine; cheap to clone. Each call queues one command, in the order of the calls, and is answered once the
/// command is committed at the durability it needs. When the engine ends (it ends the process on a failed commit) callers get
/// [`EngineGone`] or a closed channel, never an invented answer.
#[derive(Debug, Clone)]
pub struct Engine(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    asker: Asker,
    /// What compaction goes by; none where nothing is compacted.
    cleaner: Option<Arc<ArcSwap<CleanerSettings>>>,
    /// Until the stop.
    background: Mutex<Vec<Background>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.asker.seat.abandon();
    }
}

impl Engine {
    /// Queues the append at the call, so that the order of calls is the order in the log, and writes it on the caller's thread if
    /// the writer's seat is free: for as long as one write into the page cache takes. A store that stalls holds one caller, then none
    /// for seconds. Answers come in the order of `batches`. With [`Acks::None`] the answer comes as with [`Acks::Leader`].
    pub fn append(&self, acks: Acks, batches: Vec<AppendBatch>) -> oneshot::Receiver<Vec<Appended>> {
        let (reply, answer) = oneshot::channel();
        self.0.asker.queue(Command::Append { acks, batches, queued: Instant::now(), reply });
        self.0.asker.seat.offer();
        answer
    }

    /// Creates topics, each for itself; the answers are in force for every connection before they are given.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub async fn create_topics(
        &self,
        topics: Vec<NewTopic>,
        validate_only: bool,
    ) -> Result<Vec<Result<Created, Refused>>, EngineGone> {
        self.ask(|reply| Command::CreateTopics { topics, validate_only, reply }).await
    }

    /// Deletes topics; answers the deleted ones.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub async fn delete_topics(&self, topics: Vec<TopicRef>) -> Result<Vec<Result<Created, Refused>>, EngineGone> {
        self.ask(|reply| Command::DeleteTopics { topics, reply }).await
    }

    /// Raises the partition count of a topic to `total`. By its number: one of the same name that came after it is another.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub async fn create_partitions(
        &self,
        topic: TopicNo,
        total: u32,
        validate_only: bool,
    ) -> Result<Result<(), Refused>, EngineGone> {
        self.ask(|reply| Command::CreatePartitions { topic, total, validate_only, reply }).await
    }

    /// Replaces the topic's own settings; `overrides` is the whole new map, made of those that the topic of this number has.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub async fn set_topic_overrides(
        &self,
        topic: TopicNo,
        overrides: BTreeMap<String, String>,
    ) -> Result<Result<(), Refused>, EngineGone> {
        self.ask(|reply| Command::SetTopicOverrides { topic, overrides, reply }).await
    }

    /// Replaces the broker's dynamic settings, persistently; validated by the caller, who also says what they make of those that the
    /// engine goes by.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub async fn set_broker_overrides(
        &self,
        overrides: BTreeMap<String, String>,
        settings: DynamicSettings,
    ) -> Result<Result<(), Refused>, EngineGone> {
        self.ask(|reply| Command::SetBrokerOverrides { overrides, settings: Box::new(settings), reply }).await
    }

    /// What compaction goes by from its next look and its next step on; without effect where nothing is compacted.
    pub fn set_cleaner(&self, settings: CleanerSettings) {
        if let Some(cleaner) = &self.0.cleaner {
            cleaner.store(Arc::new(settings));
        }
    }

    /// Moves the log start up to `before`; -1 means the high watermark. Answers the new log start.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub async fn delete_records(
        &self,
        partition: PartitionId,
        before: Offset,
    ) -> Result<Result<Offset, Refused>, EngineGone> {
        self.ask(|reply| Command::DeleteRecords { partition, before, reply }).await
    }

    /// Stores offsets of `group` in one write, synced before the answer. Answers those that are not stored, and why. Queued at the
    /// call, so that whoever may commit no more cannot come after those who may.
    pub fn commit_offsets(
        &self,
        group: String,
        offsets: Vec<OffsetToCommit>,
    ) -> oneshot::Receiver<BTreeMap<PartitionId, ErrorCode>> {
        self.request(|reply| Command::CommitOffsets { group, offsets, reply })
    }

    /// Changes what is stored of `group`, synced before the answer. Queued at the call, so that the order of calls is the order of
    /// changes.
    pub fn change_group(&self, group: String, change: GroupChange) -> oneshot::Receiver<()> {
        self.request(|reply| Command::ChangeGroup { group, change, reply })
    }

    /// Ends a producer's transaction in these partitions, whatever its coordinator knows of it, synced before the answer
    /// (WriteTxnMarkers). Answers the partitions that have got no marker, and why. A partition named twice
    /// gets one.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub async fn write_markers(
        &self,
        marker: Marker,
        partitions: Vec<PartitionId>,
    ) -> Result<BTreeMap<PartitionId, ErrorCode>, EngineGone> {
        self.write_markers_and_offsets(marker, partitions, OffsetsPartitions::default()).await
    }

    /// The same, and in the same write moves or drops the offsets that the transaction has pending for groups of `offsets`.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub async fn write_markers_and_offsets(
        &self,
        marker: Marker,
        mut partitions: Vec<PartitionId>,
        offsets: OffsetsPartitions,
    ) -> Result<BTreeMap<PartitionId, ErrorCode>, EngineGone> {
        partitions.sort_unstable();
        partitions.dedup();
        self.ask(|reply| Command::WriteMarkers { marker, partitions, offsets, reply }).await
    }

    /// What the partition knows of its producers, by id.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub async fn describe_producers(
        &self,
        partition: PartitionId,
    ) -> Result<Result<Vec<DescribedProducer>, ErrorCode>, EngineGone> {
        self.ask(|reply| Command::DescribeProducers { partition, reply }).await
    }

    /// The producers, by id, whose transactions have offsets pending for groups of partition `index` of `__consumer_offsets`, which has
    /// `count`. What stands for the first offset of each is the number of its first commit, so that tools can tell them apart by it.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub async fn describe_offsets_producers(
        &self,
        index: u32,
        count: u32,
    ) -> Result<Vec<DescribedProducer>, EngineGone> {
        self.ask(|reply| Command::DescribeOffsetsProducers { index, count, reply }).await
    }

    /// What the topic has in memory of these ids; what is not there is to be looked for in slices, afterwards: ids leave memory for
    /// them, never the other way.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub async fn look_up_ids(&self, topic: TopicNo, ids: Vec<Fingerprint>) -> Result<RememberedIds, EngineGone> {
        self.ask(|reply| Command::LookUpIds { topic, ids, reply }).await
    }

    /// What is known of a name in each partition of a topic of mode `sequence`.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub async fn look_up_name(&self, topic: TopicNo, name: String) -> Result<Vec<(u32, Sequence)>, EngineGone> {
        self.ask(|reply| Command::LookUpName { topic, name, reply }).await
    }

    /// A producer id that nobody had before, with epoch 0.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub async fn init_producer_id(&self) -> Result<(ProducerId, ProducerEpoch), EngineGone> {
        self.ask(|reply| Command::InitProducerId { reply }).await
    }

    /// The first of `count` 64-bit ids in a row, at most [`ISSUED_IDS_MAX`], that rise with time and that nobody had before; none once
    /// there are no more.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub async fn issue_ids(&self, count: u32) -> Result<Option<i64>, EngineGone> {
        self.ask(|reply| Command::IssueIds { count, reply }).await
    }

    /// Makes the caller the producer of a transactional id, and fences whoever was before.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub async fn init_transactions(
        &self,
        init: InitTransactions,
    ) -> Result<Result<(ProducerId, ProducerEpoch), TransactionRefused>, EngineGone> {
        self.ask(|reply| Command::InitTransactions { init, reply }).await
    }

    /// Adds partitions to the open transaction, or begins one.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub async fn add_partitions_to_txn(
        &self,
        producer: TransactionProducer,
        partitions: Vec<PartitionId>,
    ) -> Result<Result<(), TransactionRefused>, EngineGone> {
        self.ask(|reply| Command::AddPartitionsToTxn { producer, partitions, reply }).await
    }

    /// Adds a group to the open transaction, or begins one.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub async fn add_offsets_to_txn(
        &self,
        producer: TransactionProducer,
        group: String,
    ) -> Result<Result<(), TransactionRefused>, EngineGone> {
        self.ask(|reply| Command::AddOffsetsToTxn { producer, group, reply }).await
    }

    /// Stages offsets that the end of the transaction commits or drops. Queued at the call, as [`Engine::commit_offsets`].
    pub fn txn_offset_commit(
        &self,
        producer: TransactionProducer,
        group: String,
        offsets: Vec<OffsetToCommit>,
    ) -> oneshot::Receiver<Staged> {
        self.request(|reply| Command::TxnOffsetCommit { producer, group, offsets, reply })
    }

    /// Ends a transaction: markers, offsets and state in one write, synced before the answer. Answers producer id and epoch of the
    /// next one.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub async fn end_txn(
        &self,
        producer: TransactionProducer,
        result: TransactionResult,
    ) -> Result<Result<(ProducerId, ProducerEpoch), TransactionRefused>, EngineGone> {
        self.ask(|reply| Command::EndTxn { producer, result, reply }).await
    }

    /// What is known of each of the transactional ids.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub async fn describe_transactions(
        &self,
        transactional_ids: Vec<String>,
    ) -> Result<Vec<Option<TransactionMetadata>>, EngineGone> {
        self.ask(|reply| Command::DescribeTransactions { transactional_ids, reply }).await
    }

    /// The transactional ids in one of `states`, in any if that is empty, and in no order.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub async fn list_transactions(
        &self,
        states: BTreeSet<TransactionState>,
    ) -> Result<Vec<ListedTransaction>, EngineGone> {
        self.ask(|reply| Command::ListTransactions { states, reply }).await
    }

    /// Commits what is queued, marks the stop as clean and closes the store. Later calls find the engine gone.
    ///
    /// # Errors
    /// [`EngineGone`] if it had ended before.
    pub async fn stop(&self) -> Result<(), EngineGone> {
        self.0.background.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.ask(|reply| Command::Stop { reply }).await
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, EngineGone> {
        self.request(command).await.map_err(|_| EngineGone)
    }

    fn request<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> oneshot::Receiver<T> {
        self.0.asker.request(command)
    }
}

#[cfg(test)]
mod tests;
