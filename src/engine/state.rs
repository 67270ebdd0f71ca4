//! Everything that the one writer owns, as of its newest decision: it runs ahead of what is committed and published.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::dead::DeadQueue;
use super::disk_watch::DiskWatch;
use super::expiry_clock::ExpiryClock;
use super::figures::Busy;
use super::issued_ids::IssuedIds;
use super::message_ids::MessageIds;
use super::offset_index::OffsetIndex;
use super::settings::Settings;
use super::transactions::Transactions;
use crate::group::classic::Retention;
use crate::log::catalog::{Topic, Topics};
use crate::log::offsets::CommittedOffsets;
use crate::log::partition::{Partition, Readable};
use crate::log::tail_cache::TailCache;
use crate::producer::ProducerState;
use crate::store::Store;
use crate::store::schema::PartitionRow;
use crate::types::{LeaderEpoch, Offset, PartitionId, ProducerId, Timestamp, TopicNo, TransactionResult};

/// The writer's state.
pub(super) struct State {
    pub settings: Settings,
    pub store: Arc<dyn Store>,
    pub leader_epoch: LeaderEpoch,
    pub topics: Topics,
    /// Topics by the name that Kafka's metrics would show, '.' as '_': two topics may not share one.
    pub metric_names: HashMap<String, Arc<str>>,
    pub next_topic_no: TopicNo,
    pub partition_count: usize,
    pub logs: HashMap<PartitionId, PartitionLog>,
    pub tail_cache: TailCache,
    pub producer_ids: ProducerIds,
    pub issued_ids: IssuedIds,
    pub message_ids: MessageIds,
    /// Producer states in memory, over all partitions.
    pub producer_state_count: usize,
    pub offsets: Arc<CommittedOffsets>,
    /// Of the same offsets: which there are as of the newest decision.
    pub offset_index: OffsetIndex,
    /// Of groups that have or had members: how long their offsets are kept.
    pub retentions: HashMap<String, Retention>,
    pub transactions: Transactions,
    /// Offsets accepted so far, those of transactions included.
    pub commit_number: u64,
    pub counters: Counters,
    pub busy: Arc<Busy>,
    pub disk: DiskWatch,
    /// By which what is kept for a time expires.
    pub expiry_clock: ExpiryClock,
    pub broker_overrides: BTreeMap<String, String>,
    /// What is dead and still takes space.
    pub dead: DeadQueue,
}

/// Counters of the append path, looked up once.
pub(super) struct Counters {
    pub appended: metrics::Counter,
    pub duplicate: metrics::Counter,
    pub fenced: metrics::Counter,
    pub out_of_order: metrics::Counter,
    pub not_transactional: metrics::Counter,
    pub nonidempotent: metrics::Counter,
    pub unknown_producer: metrics::Counter,
    pub duplicate_age: metrics::Histogram,
    pub ends: Ends,
}

/// What ended transactions were like, by outcome.
pub(super) struct Ends {
    pub committed: EndsOf,
    pub aborted: EndsOf,
    pub partitions: metrics::Histogram,
    pub records: metrics::Histogram,
}

/// The same of one outcome.
pub(super) struct EndsOf {
    /// From the first participant to the decision.
    pub open: metrics::Histogram,
    /// From the request to the answer.
    pub end: metrics::Histogram,
}

impl EndsOf {
    fn new(result: &'static str) -> Self {
        Self {
            open: metrics::histogram!(crate::metrics::TXN_DURATION_SECONDS, "result" => result),
            end: metrics::histogram!(crate::metrics::TXN_END_DURATION_SECONDS, "result" => result),
        }
    }
}

impl Ends {
    /// Of this outcome.
    pub fn of(&self, result: TransactionResult) -> &EndsOf {
        match result {
            TransactionResult::Commit => &self.committed,
            TransactionResult::Abort => &self.aborted,
        }
    }
}

impl Counters {
    pub fn new() -> Self {
        let outcome =
            |outcome: &'static str| metrics::counter!(crate::metrics::PRODUCER_BATCHES_TOTAL, "outcome" => outcome);
        Self {
            appended: outcome("appended"),
            duplicate: outcome("duplicate"),
            fenced: outcome("fenced"),
            out_of_order: outcome("out_of_order"),
            not_transactional: outcome("txn_state_rejected"),
            nonidempotent: metrics::counter!(crate::metrics::PRODUCER_NONIDEMPOTENT_BATCHES_TOTAL),
            unknown_producer: outcome("unknown_producer"),
            duplicate_age: metrics::histogram!(crate::metrics::PRODUCER_DUPLICATE_AGE_SECONDS),
            ends: Ends {
                committed: EndsOf::new("commit"),
                aborted: EndsOf::new("abort"),
                partitions: metrics::histogram!(crate::metrics::TXN_PARTITIONS),
                records: metrics::histogram!(crate::metrics::TXN_RECORDS),
            },
        }
    }
}

/// One partition as the writer sees it.
pub(super) struct PartitionLog {
    pub view: Arc<Partition>,
    pub row: PartitionRow,
    /// None until the partition's first idempotent batch of this run: a start loads no producers.
    pub producers: Option<HashMap<ProducerId, ProducerState>>,
    /// Transactions open here, by their first offset. Complete once the producers are loaded.
    pub open: BTreeMap<Offset, OpenTransaction>,
    /// One after the newest marker of this run that aborted records.
    pub aborted_end: Offset,
    /// Newest write with a marker, in a topic that relaxes its syncs, until that is synced.
    pub marker_sequence: Option<u64>,
    pub sparse: SparseProgress,
    /// Batches appended since the last sync that this topic asked for; only counted for relaxed topics.
    pub unflushed_records: i64,
}

/// A transaction that has records in a partition and no marker yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OpenTransaction {
    pub producer_id: ProducerId,
    /// Bytes ever appended before its first record.
    pub bytes_before: u64,
}

impl PartitionLog {
    /// A partition as its row says, of which nothing else has been loaded.
    pub fn new(view: Arc<Partition>, row: PartitionRow) -> Self {
        Self {
            view,
            row,
            producers: None,
            open: BTreeMap::new(),
            aborted_end: 0,
            marker_sequence: None,
            sparse: SparseProgress::UNLOADED,
            unflushed_records: 0,
        }
    }

    /// Whether producers have to be loaded before anything is appended, for one of them may have a transaction open here: its
    /// first record holds back what is stable. Where all is deleted, the row does not tell.
    pub fn may_hold_back(&self) -> bool {
        let PartitionRow { log_start, log_end, last_stable_offset, .. } = self.row;
        self.producers.is_none() && log_end > 0 && (last_stable_offset < log_end || log_start == log_end)
    }

    /// Moves the last stable offset to the first record of the earliest open transaction, the log's end if none is.
    pub fn move_last_stable_offset(&mut self) {
        let first_unstable = self.open.keys().next().copied().unwrap_or(self.row.log_end);
        let last_stable_offset = first_unstable.max(self.row.log_start);
        assert!(
            (self.row.last_stable_offset..=self.row.log_end).contains(&last_stable_offset),
            "last stable offset moves from {} to {last_stable_offset} of {}",
            self.row.last_stable_offset,
            self.row.log_end
        );
        self.row.last_stable_offset = last_stable_offset;
    }

    /// What readers may see once all that has been decided is committed.
    pub fn readable(&self) -> Readable {
        let first_open = self.open.values().next();
        Readable {
            high_watermark: self.row.log_end,
            last_stable_offset: self.row.last_stable_offset,
            readable_bytes: self.row.size_bytes,
            stable_bytes: first_open.map_or(self.row.size_bytes, |open| open.bytes_before),
            aborted_end: self.aborted_end,
        }
    }
}

/// What the next entry of the sparse index needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct SparseProgress {
    /// False until read from the store: like producers, on first use.
    pub loaded: bool,
    pub max_timestamp: Timestamp,
    pub max_timestamp_offset: Offset,
    pub entry_bytes: u64,
    pub entry_time: Timestamp,
}

impl SparseProgress {
    pub const UNLOADED: Self =
        Self { loaded: false, max_timestamp: -1, max_timestamp_offset: -1, entry_bytes: 0, entry_time: 0 };
}

/// Producer ids: those below `next` are taken, those below `block_end` may be given without a write.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProducerIds {
    pub next: i64,
    pub block_end: i64,
}

impl State {
    /// The number of an offset that is accepted now.
    pub fn next_commit_number(&mut self) -> u64 {
        self.commit_number += 1;
        self.commit_number
    }

    /// The topic that `partition` belongs to, unless it has been deleted.
    pub fn topic_of(&self, partition: PartitionId) -> Option<&Arc<Topic>> {
        self.topics.by_no.get(&partition.topic)
    }
}
