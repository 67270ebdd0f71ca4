//! Long windows: ids leave memory for *slices*, files that are written once ([`crate::dedup::slice`], [`crate::store::slices`]).
//!
//! 1. **Begin.** Once a second, and sooner where a batch found no room, the writer looks whether a topic has so many ids in memory that some should leave
//!    ([`Sealing::begin`]), and chooses a time: all ids of blocks up to it are in no open transaction, and no later block has that time.
//!    The group of that round is synced before anything else happens, so no id is sealed whose record could still be lost.
//! 2. **Make.** A thread of its own reads the rows of those ids and makes a slice ([`sealer`]), which is durable before the writer hears
//!    of it.
//! 3. **Publish.** The writer shows it to connections ([`SealedIds`]), which look ids up in slices before a batch is queued.
//!    With the same write it gets a row, without which its file counts nothing at a start ([`recovery`]).
//! 4. **Leave.** From the next look on, blocks leave memory, and their rows go by point deletes, some thousand ids with a write. A batch
//!    that was looked up before the slice was shown says so, and the writer looks into the slice itself: at most a second's worth of
//!    batches, by a filter in memory; it reads a file only for ids that are there, or where the filter errs.
//! 5. **Drop.** A slice goes whole: when its newest id has expired, when the window is full or memory is short (those are its topic's
//!    oldest ids, an eighth of the window, about), or with its topic. The file is removed after the sync of the group that dropped it.
//!
//! A crash between any of these leaves ids in memory, in a file, or in both, never in none; what is in both leaves memory after the
//! start. What a deleted topic leaves is removed by the start, and so are files from after the end of a log that has lost its end.
//!
//! Ledgers stay in memory: a claim is changed by a takeover, a slice is not. So do topics that compare records' own times, topics
//! with few ids, and those of a short window.
//! Slices are not merged, for there are few: about `einmal.dedup.slices.per.window` of a window, and where ids come so fast that
//! `einmal.dedup.open.max.ids` is reached first, one for so many. Slow senders make fewer: what is less than a sixteenth of
//! `einmal.dedup.open.max.ids` stays in memory, however old. Only where memory is short are ids sealed as soon as they are so many, and it
//! bounds how many slices of a usual size that may become: with the defaults 700 of 250,000 ids, whose filters then take all of it. A look-up asks every
//! filter of its topic. Where memory is nearly full, files of fewer ids are made, as long as there are not many ([`due`]): many topics of few
//! ids would have to forget otherwise.
//!
//! Slices are those of one topic each. The filters count as memory of message ids (`einmal.dedup.memory.bytes`).

mod due;
mod look_up;
mod recovery;
mod sealer;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

pub(super) use due::Filled;
pub use look_up::{PerhapsSealed, SealedIds};
pub(super) use sealer::start;

use super::group::Group;
use crate::dedup::Secret;
use crate::store::schema::{RowValue, SliceRow, slice_key};
use crate::store::slices::Slice;
use crate::types::{Timestamp, TopicNo};

/// Time before another try after a failure, ms.
const RETRY_MS: Timestamp = 60_000;

/// When ids leave memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct SealLimits {
    /// `einmal.dedup.open.max.ids`.
    pub open_ids_max: usize,
    /// `einmal.dedup.slices.per.window`, ≥ 1.
    pub slices_per_window: usize,
    /// `einmal.dedup.memory.bytes`.
    pub bytes_max: usize,
}

/// Work for the thread that makes and removes slices.
#[derive(Debug)]
pub(super) enum Job {
    /// Makes a slice of all ids of `topic` that were appended `until` then, about `ids` of them.
    Seal { topic: TopicNo, number: u64, until: Timestamp, ids: u32 },
    /// Removes the file of a slice that was dropped.
    Remove(Arc<Slice>),
    /// Tells a test that all before it is done.
    #[cfg(test)]
    Rest(super::command::Reply<()>),
}

/// What became of [`Job::Seal`]; none: it failed.
#[derive(Debug)]
pub(super) struct Sealed {
    pub topic: TopicNo,
    pub slice: Option<Slice>,
}

/// Slices of one topic in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SliceFigures {
    /// That are not in memory.
    pub ids: usize,
    pub count: usize,
    /// On disk.
    pub bytes: u64,
    /// Of filters and directories.
    pub memory_bytes: usize,
    /// Append time of the oldest id.
    pub oldest: Option<Timestamp>,
}

/// A slice is being made.
#[derive(Debug, Clone, Copy)]
struct Made {
    /// By the clock of message ids.
    since: Timestamp,
}

/// Slices as the writer knows them.
pub(super) struct Sealing {
    limits: SealLimits,
    shared: SealedIds,
    /// Oldest first; none is empty.
    by_topic: HashMap<TopicNo, VecDeque<Arc<Slice>>>,
    memory_bytes: usize,
    next_number: u64,
    /// The highest number of those that were taken in.
    generation: u64,
    made: Option<Made>,
    /// Topics whose ids up to a time are in a slice, and leave memory.
    pub leaving: HashMap<TopicNo, Timestamp>,
    /// After a failure, by the clock of message ids.
    not_before: Timestamp,
    jobs: Sender<Job>,
    queue: Option<Receiver<Job>>,
    slices: metrics::Gauge,
    sealed_bytes: metrics::Gauge,
}

impl Sealing {
    /// Without any.
    pub fn new(secret: Secret, limits: SealLimits) -> Self {
        let (jobs, queue) = channel();
        Self {
            limits,
            shared: SealedIds::new(secret),
            by_topic: HashMap::new(),
            memory_bytes: 0,
            next_number: 1,
            generation: 0,
            made: None,
            leaving: HashMap::new(),
            not_before: Timestamp::MIN,
            jobs,
            queue: Some(queue),
            slices: metrics::gauge!(crate::metrics::DEDUP_SLICES),
            sealed_bytes: metrics::gauge!(crate::metrics::DEDUP_SEALED_BYTES),
        }
    }

    /// The way of connections to the slices.
    pub fn shared(&self) -> SealedIds {
        self.shared.clone()
    }

    /// The way of the writer to the thread, for [`start`], once.
    pub fn take_queue(&mut self) -> Option<Receiver<Job>> {
        self.queue.take()
    }

    /// Number of the newest slice that was taken in.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Has the thread tell when it has done all that it was told before.
    #[cfg(test)]
    pub fn rest(&self, reply: super::command::Reply<()>) {
        let _ = self.jobs.send(Job::Rest(reply));
    }

    /// Memory of filters and directories, bytes.
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_topic.is_empty()
    }

    /// The topics that have some.
    pub fn topics(&self) -> impl Iterator<Item = TopicNo> {
        self.by_topic.keys().copied()
    }

    /// Those of one topic in numbers.
    pub fn figures(&self, topic: TopicNo) -> SliceFigures {
        let mut figures = SliceFigures::default();
        for slice in self.by_topic.get(&topic).into_iter().flatten() {
            figures.count += 1;
            figures.ids += slice.head.ids as usize;
            figures.bytes += slice.head.file_bytes();
            figures.memory_bytes += slice.memory_bytes();
            let oldest = figures.oldest.map_or(slice.head.oldest, |oldest: Timestamp| oldest.min(slice.head.oldest));
            figures.oldest = Some(oldest);
        }
        figures.ids -= self.ids_leaving(topic);
        figures
    }

    /// Ids of a topic that are in slices and not in memory.
    pub fn ids(&self, topic: TopicNo) -> usize {
        let Some(slices) = self.by_topic.get(&topic) else { return 0 };
        let ids = |slice: &Arc<Slice>| slice.head.ids as usize;
        slices.iter().map(ids).sum::<usize>() - self.ids_leaving(topic)
    }

    /// Those of its newest slice that are still in memory.
    fn ids_leaving(&self, topic: TopicNo) -> usize {
        let newest = self.by_topic.get(&topic).and_then(VecDeque::back);
        newest.filter(|_| self.leaving.contains_key(&topic)).map_or(0, |slice| slice.head.ids as usize)
    }

    /// Memory of one topic's filters and directories, bytes, if a slice of it can be dropped.
    pub fn droppable_bytes(&self) -> impl Iterator<Item = (TopicNo, usize)> {
        self.by_topic
            .iter()
            .filter(|(topic, slices)| self.can_drop(**topic, slices))
            .map(|(topic, slices)| (*topic, slices.iter().map(|slice| slice.memory_bytes()).sum()))
    }

    fn can_drop(&self, topic: TopicNo, slices: &VecDeque<Arc<Slice>>) -> bool {
        slices.len() > usize::from(self.leaving.contains_key(&topic))
    }

    /// The latest time up to which all ids of a topic are in slices.
    pub fn sealed_until(&self, topic: TopicNo) -> Option<Timestamp> {
        self.by_topic.get(&topic)?.back().map(|slice| slice.head.until)
    }

    /// The latest such time of all topics.
    pub fn newest_until(&self) -> Option<Timestamp> {
        self.by_topic.values().flatten().map(|slice| slice.head.until).max()
    }

    /// Drops the oldest slice of a topic for want of room; answers it.
    pub fn drop_oldest(&mut self, group: &mut Group, topic: TopicNo) -> Option<Arc<Slice>> {
        let slices = self.by_topic.get(&topic).filter(|slices| self.can_drop(topic, slices))?;
        let oldest = Arc::clone(slices.front()?);
        self.drop_slice(group, topic);
        self.publish();
        Some(oldest)
    }

    /// Drops the slices whose newest id has expired.
    pub fn drop_expired(&mut self, group: &mut Group, expired_until: impl Fn(TopicNo) -> Timestamp) {
        let mut dropped = false;
        let topics: Vec<TopicNo> = self.by_topic.keys().copied().collect();
        for topic in topics {
            let until = expired_until(topic);
            let is_over =
                |slices: &VecDeque<Arc<Slice>>| slices.front().is_some_and(|oldest| oldest.head.newest <= until);
            while self.by_topic.get(&topic).is_some_and(is_over) {
                self.drop_slice(group, topic);
                dropped = true;
            }
        }
        if dropped {
            self.publish();
        }
    }

    /// Drops all of a deleted topic.
    pub fn remove_topic(&mut self, group: &mut Group, topic: TopicNo) {
        self.leaving.remove(&topic);
        if self.by_topic.contains_key(&topic) {
            while self.by_topic.contains_key(&topic) {
                self.drop_slice(group, topic);
            }
            self.publish();
        }
    }

    fn drop_slice(&mut self, group: &mut Group, topic: TopicNo) {
        let Some(slices) = self.by_topic.get_mut(&topic) else { return };
        if let Some(slice) = slices.pop_front() {
            self.memory_bytes -= slice.memory_bytes();
            group.rows.delete(slice_key(slice.head.number));
            self.remove_file(group, slice);
        }
        if self.by_topic.get(&topic).is_some_and(VecDeque::is_empty) {
            self.by_topic.remove(&topic);
        }
    }

    /// Not before the group is durable: a power cut that brings a deleted topic back must find its slices.
    fn remove_file(&self, group: &mut Group, slice: Arc<Slice>) {
        let jobs = self.jobs.clone();
        group.when_synced.answers.push(Box::new(move || {
            // Without the thread the file stays until the next start.
            let _ = jobs.send(Job::Remove(slice));
        }));
    }

    fn push(&mut self, slice: Arc<Slice>) {
        self.memory_bytes += slice.memory_bytes();
        self.generation = self.generation.max(slice.head.number);
        self.by_topic.entry(slice.head.topic).or_default().push_back(slice);
    }

    /// How many there are.
    fn count(&self) -> usize {
        self.by_topic.values().map(VecDeque::len).sum()
    }

    fn publish(&mut self) {
        self.shared.publish(self.generation, &self.by_topic);
        let all = || self.by_topic.values().flatten();
        self.slices.set(self.count() as f64);
        self.sealed_bytes.set(all().map(|slice| slice.head.file_bytes()).sum::<u64>() as f64);
    }

    /// Takes a slice in that was made.
    pub fn note(&mut self, group: &mut Group, sealed: Sealed, exists: bool, now: Timestamp) {
        self.made = None;
        match sealed.slice {
            Some(slice) if exists => {
                // Before any of its ids leaves memory: with the row the file counts, also after a crash.
                group.rows.put(slice_key(slice.head.number), SliceRow(slice.head).encode());
                self.leaving.insert(sealed.topic, slice.head.until);
                self.push(Arc::new(slice));
                self.publish();
            }
            Some(slice) => self.remove_file(group, Arc::new(slice)),
            None => self.not_before = now.saturating_add(RETRY_MS),
        }
    }
}
