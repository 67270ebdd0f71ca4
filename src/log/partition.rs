//! Readers' view of one partition: its offsets, its newest batches, who waits for more.
//!
//! A transaction keeps the last stable offset at its first record until it ends. What the index of aborted transactions holds is
//! told by [`Partition::aborted_end`], so that readers of a log without any need not look.
//!
//! Invariant: log start ≤ last stable offset ≤ high watermark ≤ log end, in every snapshot. All four only rise; the writer
//! stores them from the log end down, readers load them from the log start up.
//! Invariant: only whoever sits in the writer's seat and the syncer write here, after the commit that they publish.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::store::StoredBatch;
use crate::types::{LeaderEpoch, Offset, PartitionId};

/// Offsets of a partition, consistent among themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offsets {
    /// First readable offset.
    pub log_start: Offset,
    /// End for read_committed readers, exclusive.
    pub last_stable_offset: Offset,
    /// End for read_uncommitted readers, exclusive: what no power cut takes back in a synced topic.
    pub high_watermark: Offset,
    /// Next offset to be assigned.
    pub log_end: Offset,
}

/// Where a partition stands when its view is made: all of it committed and synced.
#[derive(Debug, Clone, Default)]
pub struct Recovered {
    /// First readable offset.
    pub log_start: Offset,
    /// End for read_committed readers.
    pub last_stable_offset: Offset,
    /// Next offset to be assigned; also the high watermark.
    pub log_end: Offset,
    /// Bytes of all batches ever appended.
    pub appended_bytes: u64,
    /// Bytes of those below the log start.
    pub start_bytes: u64,
    /// Leader epochs and the offset at which each begins, oldest first.
    pub epochs: Vec<(LeaderEpoch, Offset)>,
}

/// What a commit lets readers see.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Readable {
    pub high_watermark: Offset,
    pub last_stable_offset: Offset,
    /// Bytes ever appended below the high watermark.
    pub readable_bytes: u64,
    /// The same below the last stable offset.
    pub stable_bytes: u64,
    /// One after the newest marker that aborted records.
    pub aborted_end: Offset,
}

impl Readable {
    /// The same, but for what is stable: that stays as it is.
    pub(crate) fn without_stable(self) -> Self {
        Self { last_stable_offset: 0, stable_bytes: 0, ..self }
    }
}

/// Readers' view of one partition.
#[derive(Debug)]
pub struct Partition {
    /// Which one.
    pub id: PartitionId,
    log_start: AtomicI64,
    last_stable_offset: AtomicI64,
    high_watermark: AtomicI64,
    log_end: AtomicI64,
    appended_bytes: AtomicU64,
    readable_bytes: AtomicU64,
    stable_bytes: AtomicU64,
    aborted_end: AtomicI64,
    /// Removals of rows of indexes that the writer has begun, and those that are over; see [`Partition::indexes`].
    removals_begun: AtomicU64,
    removals_over: AtomicU64,
    start_bytes: AtomicU64,
    leader_epoch: AtomicI32,
    deleted: AtomicBool,
    epochs: Mutex<Vec<(LeaderEpoch, Offset)>>,
    tail: Mutex<Tail>,
    waiting: AtomicBool,
    waiters: Mutex<Waiters>,
}

/// The newest batches.
#[derive(Debug, Default)]
struct Tail {
    batches: VecDeque<StoredBatch>,
    /// Batches below it may have been replaced since they were appended.
    compacted_to: Offset,
}

#[derive(Debug, Default)]
struct Waiters {
    waiters: Vec<Weak<Waiter>>,
    /// Length at which those that gave up are swept out.
    sweep_at: usize,
}

impl Partition {
    /// The view of a partition that stands where `recovered` says, led in `leader_epoch`.
    pub fn new(id: PartitionId, leader_epoch: LeaderEpoch, recovered: &Recovered) -> Self {
        Self {
            id,
            log_start: AtomicI64::new(recovered.log_start),
            last_stable_offset: AtomicI64::new(recovered.last_stable_offset),
            high_watermark: AtomicI64::new(recovered.log_end),
            log_end: AtomicI64::new(recovered.log_end),
            appended_bytes: AtomicU64::new(recovered.appended_bytes),
            readable_bytes: AtomicU64::new(recovered.appended_bytes),
            // Too few where a transaction is open, which makes nobody wait for too long.
            stable_bytes: AtomicU64::new(match recovered.last_stable_offset == recovered.log_end {
                true => recovered.appended_bytes,
                false => recovered.start_bytes,
            }),
            // Whether any was aborted is not known, and is looked up when somebody reads there.
            aborted_end: AtomicI64::new(recovered.log_end),
            removals_begun: AtomicU64::new(0),
            removals_over: AtomicU64::new(0),
            start_bytes: AtomicU64::new(recovered.start_bytes),
            leader_epoch: AtomicI32::new(leader_epoch.0),
            deleted: AtomicBool::new(false),
            epochs: Mutex::new(recovered.epochs.clone()),
            tail: Mutex::default(),
            waiting: AtomicBool::new(false),
            waiters: Mutex::default(),
        }
    }

    /// Offsets as last published.
    pub fn offsets(&self) -> Offsets {
        let log_start = self.log_start.load(Ordering::Acquire);
        let last_stable_offset = self.last_stable_offset.load(Ordering::Acquire);
        let high_watermark = self.high_watermark.load(Ordering::Acquire);
        let log_end = self.log_end.load(Ordering::Acquire);
        Offsets { log_start, last_stable_offset, high_watermark, log_end }
    }

    /// Epoch in which the partition is led, ≥ 0; that of the batches appended from here on.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch(self.leader_epoch.load(Ordering::Acquire))
    }

    /// The largest known epoch ≤ `epoch` and the offset at which it ends; `(-1, -1)` for an epoch above the current one. An
    /// epoch older than all known ones is answered with itself and the first known start (`LeaderEpochFileCache.endOffsetFor`).
    pub fn epoch_end(&self, epoch: LeaderEpoch) -> (LeaderEpoch, Offset) {
        let current = self.leader_epoch();
        let log_end = self.offsets().log_end;
        if epoch > current || epoch.0 < 0 {
            return (LeaderEpoch(-1), -1);
        }
        if epoch == current {
            return (current, log_end);
        }
        let epochs = locked(&self.epochs);
        let newer = epochs.partition_point(|(known, _)| *known <= epoch);
        // The current epoch begins at the log end while nothing has been appended in it.
        let end = epochs.get(newer).map_or(log_end, |(_, start)| *start);
        match newer.checked_sub(1).and_then(|index| epochs.get(index)) {
            Some((known, _)) => (*known, end),
            None => (epoch, end),
        }
    }

    /// Bytes of batches between log start and log end.
    pub fn size_bytes(&self) -> u64 {
        let start_bytes = self.start_bytes.load(Ordering::Acquire);
        self.appended_bytes.load(Ordering::Acquire).saturating_sub(start_bytes)
    }

    /// Bytes of all batches ever appended that lie below the log start.
    pub fn start_bytes(&self) -> u64 {
        self.start_bytes.load(Ordering::Acquire)
    }

    /// Bytes of all batches ever appended that lie below the high watermark. It only rises, and after the high watermark does: who
    /// notes it and reads the offsets after has missed nothing by which it will have risen, and may take some of it for new.
    pub fn readable_bytes(&self) -> u64 {
        self.readable_bytes.load(Ordering::Acquire)
    }

    /// The same below the last stable offset.
    pub fn stable_bytes(&self) -> u64 {
        self.stable_bytes.load(Ordering::Acquire)
    }

    /// No transaction was aborted by a marker at this offset or above, as of the last stable offset that was read before.
    pub fn aborted_end(&self) -> Offset {
        self.aborted_end.load(Ordering::Acquire)
    }

    /// The state of the partition's indexes; none while compaction removes rows of them. A reader who looks into the index of
    /// aborted transactions for batches that it read before must find the same state before the one and after the other, and the
    /// log start where it was: else the batches may be older than what the index still knows.
    pub fn indexes(&self) -> Option<u64> {
        let over = self.removals_over.load(Ordering::Acquire);
        (self.removals_begun.load(Ordering::Acquire) == over).then_some(over)
    }

    /// Before the write that removes rows of the indexes.
    pub(crate) fn begin_removal(&self) {
        self.removals_begun.fetch_add(1, Ordering::AcqRel);
    }

    /// After that write.
    pub(crate) fn publish_removal(&self) {
        self.removals_over.fetch_add(1, Ordering::AcqRel);
    }

    /// Takes note that none was aborted by a marker at `from` or above, so that the next reader need not look; found by a look
    /// that began when [`Partition::aborted_end`] was `seen`. An end published meanwhile counts.
    pub(super) fn none_aborted_from(&self, from: Offset, seen: Offset) {
        let _ = self.aborted_end.compare_exchange(seen, from, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Registers `waiter` to be woken once when high watermark, last stable offset or log start moves, or the partition is
    /// deleted. Register first, read the offsets after, or the wake-up in between is lost. Dropping the waiter unregisters it.
    pub fn wake_on_change(&self, waiter: &Arc<Waiter>) {
        let mut waiters = locked(&self.waiters);
        if waiters.waiters.len() >= waiters.sweep_at {
            waiters.waiters.retain(|waiter| waiter.strong_count() > 0);
            waiters.sweep_at = (waiters.waiters.len() * 2).max(8);
        }
        waiters.waiters.push(Arc::downgrade(waiter));
        // A swap, so that it reads what `wake` last wrote there, and with it the offsets published before.
        self.waiting.swap(true, Ordering::SeqCst);
    }

    /// Whether its topic has been deleted since this view was taken.
    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    /// Batches of the tail that hold offsets in `[from, to)`, at most `bytes_max` bytes but always the first; none if the tail
    /// does not reach back to `from`.
    pub(super) fn read_tail(&self, from: Offset, to: Offset, bytes_max: usize) -> Option<Vec<StoredBatch>> {
        let tail = locked(&self.tail);
        if tail.batches.front()?.base_offset > from || from < tail.compacted_to {
            return None;
        }
        let first = tail.batches.partition_point(|batch| batch.last_offset < from);
        let mut batches = Vec::new();
        let mut bytes = 0usize;
        for batch in tail.batches.range(first..) {
            bytes = bytes.saturating_add(batch.bytes.len());
            // Deleted batches have no bytes left: the log start has moved beyond `from` since the caller looked.
            if batch.bytes.is_empty() || batch.last_offset >= to || (bytes > bytes_max && !batches.is_empty()) {
                break;
            }
            batches.push(batch.clone());
        }
        Some(batches)
    }

    /// Adds the newest batch to the tail. It is not readable before the high watermark has passed it.
    pub(crate) fn push_tail(&self, batch: StoredBatch) {
        locked(&self.tail).batches.push_back(batch);
    }

    /// Takes the oldest batch out of the tail.
    pub(crate) fn pop_tail(&self) {
        locked(&self.tail).batches.pop_front();
    }

    /// What has been appended: new log end, bytes ever appended, and the epoch's start if the batch was the first of its epoch.
    pub(crate) fn publish_appended(
        &self,
        log_end: Offset,
        appended_bytes: u64,
        epochs: Option<&[(LeaderEpoch, Offset)]>,
    ) {
        if let Some(epochs) = epochs {
            *locked(&self.epochs) = epochs.to_vec();
        }
        self.appended_bytes.store(appended_bytes, Ordering::Release);
        self.log_end.fetch_max(log_end, Ordering::AcqRel);
    }

    /// Moves the end of what readers see, and wakes those that wait.
    pub(crate) fn publish_readable(&self, readable: Readable) {
        let Readable { high_watermark, last_stable_offset, readable_bytes, stable_bytes, aborted_end } = readable;
        assert!(last_stable_offset <= high_watermark, "last stable offset {last_stable_offset} > {high_watermark}");
        assert!(high_watermark <= self.log_end.load(Ordering::Acquire), "high watermark {high_watermark} > log end");
        // Whoever sees the end of a transaction must know that it was aborted.
        if aborted_end > self.aborted_end.load(Ordering::Acquire) {
            self.aborted_end.fetch_max(aborted_end, Ordering::AcqRel);
        }
        let high_watermark_before = self.high_watermark.fetch_max(high_watermark, Ordering::AcqRel);
        let last_stable_before = self.last_stable_offset.fetch_max(last_stable_offset, Ordering::AcqRel);
        self.readable_bytes.fetch_max(readable_bytes, Ordering::AcqRel);
        self.stable_bytes.fetch_max(stable_bytes, Ordering::AcqRel);
        // A wake-up costs each long poll a look at all of its partitions.
        if high_watermark_before < high_watermark || last_stable_before < last_stable_offset {
            self.wake();
        }
    }

    /// Moves the log start, and wakes those that wait. What is deleted out of an open transaction is no longer unstable.
    pub(crate) fn publish_log_start(&self, log_start: Offset, start_bytes: u64) {
        assert!(log_start <= self.high_watermark.load(Ordering::Acquire), "log start {log_start} > high watermark");
        self.last_stable_offset.fetch_max(log_start, Ordering::AcqRel);
        // Compaction, whose batches may grow, takes some back.
        self.start_bytes.store(start_bytes, Ordering::Release);
        self.log_start.fetch_max(log_start, Ordering::AcqRel);
        forget_epochs_before(&mut locked(&self.epochs), log_start);
        let mut tail = locked(&self.tail);
        // The batches stay counted in the tail cache until their turn comes; only their bytes go early.
        for batch in tail.batches.iter_mut().take_while(|batch| batch.last_offset < log_start) {
            batch.bytes = bytes::Bytes::new();
        }
        drop(tail);
        self.wake();
    }

    /// Some batches that end below `compacted_to` have been replaced, which makes as many bytes count as below the log start as are
    /// gone.
    pub(crate) fn publish_compacted(&self, compacted_to: Offset, start_bytes: u64) {
        self.start_bytes.store(start_bytes, Ordering::Release);
        let mut tail = locked(&self.tail);
        tail.compacted_to = tail.compacted_to.max(compacted_to);
        for batch in tail.batches.iter_mut().take_while(|batch| batch.last_offset < compacted_to) {
            batch.bytes = bytes::Bytes::new();
        }
    }

    /// Marks the view as one of a deleted topic, and wakes those that wait.
    pub(crate) fn publish_deleted(&self) {
        self.deleted.store(true, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        // Sequentially consistent with `wake_on_change`: either the flag is seen here, or the new offsets are seen there.
        if !self.waiting.swap(false, Ordering::SeqCst) {
            return;
        }
        let waiters = std::mem::take(&mut *locked(&self.waiters));
        for waiter in waiters.waiters.iter().filter_map(Weak::upgrade) {
            waiter.wake();
        }
    }
}

/// Takes the epochs out of which nothing is left, and moves the start of the one that holds the log start up to it.
pub(crate) fn forget_epochs_before(epochs: &mut Vec<(LeaderEpoch, Offset)>, log_start: Offset) {
    let newest_gone = epochs.partition_point(|(_, start)| *start <= log_start).saturating_sub(1);
    epochs.drain(..newest_gone);
    if let Some(first) = epochs.first_mut() {
        first.1 = first.1.max(log_start);
    }
}

/// The sections under these locks leave nothing half done, so a panic elsewhere does not spoil them.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One long poll; shared by all partitions that it waits for.
#[derive(Debug, Default)]
pub struct Waiter {
    notify: tokio::sync::Notify,
}

impl Waiter {
    /// Returns after the next wake-up, or at once if one came since the last call.
    pub async fn woken(&self) {
        self.notify.notified().await;
    }
    /// Wakes it.
    pub fn wake(&self) {
        self.notify.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TopicNo;

    fn partition(epochs: &[(i32, Offset)], log_end: Offset, leader_epoch: i32) -> Partition {
        let epochs = epochs.iter().map(|(epoch, start)| (LeaderEpoch(*epoch), *start)).collect();
        let recovered = Recovered { log_end, last_stable_offset: log_end, epochs, ..Recovered::default() };
        Partition::new(PartitionId { topic: TopicNo(1), index: 0 }, LeaderEpoch(leader_epoch), &recovered)
    }

    fn readable(high_watermark: Offset, last_stable_offset: Offset, bytes: u64) -> Readable {
        Readable { high_watermark, last_stable_offset, readable_bytes: bytes, stable_bytes: bytes, aborted_end: 0 }
    }

    #[test]
    fn epoch_ends_where_the_next_one_begins() {
        let with_gap = partition(&[(2, 5), (4, 9)], 12, 6);
        let cases = [
            (7, (-1, -1)),
            (6, (6, 12)),
            (5, (4, 12)),
            (4, (4, 12)),
            (3, (2, 9)),
            (2, (2, 9)),
            (1, (1, 5)),
            (-1, (-1, -1)),
        ];
        for (asked, (epoch, end)) in cases {
            assert_eq!(with_gap.epoch_end(LeaderEpoch(asked)), (LeaderEpoch(epoch), end), "epoch {asked}");
        }
        assert_eq!(partition(&[], 0, 0).epoch_end(LeaderEpoch(0)), (LeaderEpoch(0), 0), "empty log");
    }

    #[test]
    fn look_that_finds_nothing_aborted_spares_the_next_but_not_an_abort_meanwhile() {
        let partition = partition(&[], 9, 0);
        assert_eq!(partition.aborted_end(), 9, "nobody has looked");
        partition.none_aborted_from(4, 9);
        assert_eq!(partition.aborted_end(), 4);
        partition.publish_appended(12, 100, None);
        partition.publish_readable(Readable { aborted_end: 11, ..readable(12, 12, 100) });
        partition.none_aborted_from(2, 4);
        assert_eq!(partition.aborted_end(), 11);
        partition.publish_readable(readable(12, 12, 100));
        assert_eq!(partition.aborted_end(), 11);
    }

    #[test]
    fn waiter_that_registers_before_the_change_is_woken_by_it() {
        let partition = partition(&[], 0, 0);
        let waiter = Arc::new(Waiter::default());
        partition.wake_on_change(&waiter);
        partition.publish_appended(3, 100, None);
        partition.publish_readable(readable(3, 3, 100));
        assert_eq!(partition.readable_bytes(), 100);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(waiter.woken());
    }

    #[test]
    fn waiters_that_gave_up_do_not_pile_up() {
        let partition = partition(&[], 0, 0);
        for _ in 0..10_000 {
            partition.wake_on_change(&Arc::new(Waiter::default()));
        }
        assert!(locked(&partition.waiters).waiters.len() <= 16);
    }
}
