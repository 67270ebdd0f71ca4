//! How far producers have come by their own numbers (`message.dedup.mode=sequence`): one number per name and partition, for ever.
//!
//! A record whose number is not above its name's is there already; gaps are allowed. Where numbers and offsets rise side by side, as
//! they do when a name's records follow each other without gaps, the offset of a number is known without having been written down.
//!
//! Invariant: a name's number is that of a record which is in the log or was, or is in the write being decided. Numbers of an open
//! transaction are kept apart from it until that ends.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use super::decide::{Original, Verdict, of_known};
use crate::config::dedup::OnDuplicate;
use crate::types::{Offset, ProducerId, Timestamp};

/// Topic that tells how far names have come.
pub const SEQUENCES_TOPIC: &str = "__einmal_sequences";

/// What a name takes in memory beside its own bytes.
const NAME_BYTES: usize = 192;

/// The number of one record of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchNumber {
    /// Who counts.
    pub name: Arc<str>,
    /// As counted.
    pub number: u64,
    /// Offset of the record minus the base offset of its batch.
    pub offset_delta: u32,
}

/// The newest number of a name, and where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// The number.
    pub number: u64,
    /// Offset of its record.
    pub offset: Offset,
    /// From this number on, each number up to the newest has its record at the offset that counting back leads to.
    pub run: u64,
}

impl Reached {
    /// The first number of a name.
    fn first(number: u64, offset: Offset) -> Self {
        Self { number, offset, run: number }
    }

    /// A higher number of it.
    fn next(self, number: u64, offset: Offset) -> Self {
        let is_beside = self.number.checked_add(1) == Some(number) && self.offset.checked_add(1) == Some(offset);
        Self { number, offset, run: if is_beside { self.run } else { number } }
    }

    /// Where the record with this number lies, if that can be told.
    fn offset_of(self, number: u64) -> Option<Offset> {
        let back = self.number.checked_sub(number).filter(|_| number >= self.run)?;
        Some(self.offset - Offset::try_from(back).ok()?)
    }
}

/// What is known of one name in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    /// By records that are there for good; none if all it sent is in an open transaction.
    pub settled: Option<Reached>,
    /// By those of an open transaction of this producer, counted on from there.
    pub pending: Option<(ProducerId, Reached)>,
    /// When it last wrote, ms of a clock that never goes back.
    pub time: Timestamp,
}

/// A batch whose records are numbered.
#[derive(Debug, Clone, Copy)]
pub struct JudgedNumbers<'a> {
    /// The numbers.
    pub numbers: &'a [BatchNumber],
    /// Number of its records, those without one included.
    pub record_count: i32,
    /// Where it goes.
    pub partition: u32,
    /// Offset that its first record would have.
    pub base_offset: Offset,
    /// The producer whose transaction it belongs to, if it belongs to one.
    pub transaction: Option<ProducerId>,
    /// `message.dedup.on.duplicate`.
    pub on_duplicate: OnDuplicate,
    /// Not for a sender of `message.dedup.bypass.principals`: his numbers move names, and none is one that was sent before.
    pub is_checked: bool,
}

/// How far names have come by a batch.
pub type Moved = BTreeMap<Arc<str>, Reached>;

/// The names of one topic.
#[derive(Debug, Default)]
pub struct Sequences {
    partitions: BTreeMap<u32, BTreeMap<Arc<str>, Sequence>>,
    /// Names that open transactions move.
    open: HashMap<(u32, ProducerId), BTreeSet<Arc<str>>>,
    /// Names, over all partitions.
    count: usize,
    bytes: usize,
}

impl Sequences {
    /// Number of names, over all partitions.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Memory, bytes, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Memory that a new name takes, bytes, about.
    pub fn bytes_of(name: &str) -> usize {
        NAME_BYTES + name.len()
    }

    /// What is known of a name.
    pub fn get(&self, partition: u32, name: &str) -> Option<&Sequence> {
        self.partitions.get(&partition)?.get(name)
    }

    /// What is known of a name in each partition that has it.
    pub fn named(&self, name: &str) -> Vec<(u32, Sequence)> {
        let of = |(partition, names): (&u32, &BTreeMap<Arc<str>, Sequence>)| Some((*partition, *names.get(name)?));
        self.partitions.iter().filter_map(of).collect()
    }

    /// All of them, by partition and name.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Arc<str>, &Sequence)> {
        self.partitions
            .iter()
            .flat_map(|(partition, names)| names.iter().map(|(name, sequence)| (*partition, name, sequence)))
    }

    /// What happens to a batch, and how far it moves its names if it is stored. Nothing is noted before [`Sequences::keep`].
    pub fn judge(&self, batch: &JudgedNumbers<'_>) -> (Verdict, Moved) {
        let mut moved = Moved::new();
        let mut known = Vec::new();
        for BatchNumber { name, number, offset_delta } in batch.numbers {
            let number = *number;
            let sequence = self.get(batch.partition, name);
            let settled = sequence.and_then(|sequence| sequence.settled);
            let is_settled = settled.is_some_and(|settled| number <= settled.number);
            let reached = match (moved.get(name), sequence.and_then(|sequence| sequence.pending)) {
                (Some(reached), _) => Some(*reached),
                (None, Some((owner, reached))) if batch.transaction == Some(owner) => Some(reached),
                // Whether it is above the number depends on how the transaction ends.
                (None, Some(_)) if !is_settled => return (Verdict::Undecided, Moved::new()),
                (None, _) => settled,
            };
            let offset = batch.base_offset + Offset::from(*offset_delta);
            match reached {
                Some(reached) if number <= reached.number && !batch.is_checked => {}
                Some(reached) if number <= reached.number => {
                    let first = reached.offset_of(number).or_else(|| settled?.offset_of(number));
                    let original = Original { partition: batch.partition, offset: first.unwrap_or(-1) };
                    if batch.on_duplicate == OnDuplicate::Reject {
                        return (Verdict::Reject(*offset_delta, original), Moved::new());
                    }
                    known.push((*offset_delta, original));
                }
                Some(reached) => drop(moved.insert(Arc::clone(name), reached.next(number, offset))),
                None => drop(moved.insert(Arc::clone(name), Reached::first(number, offset))),
            }
        }
        (of_known(known, batch.record_count, batch.on_duplicate), moved)
    }

    /// Notes that names have come so far by a batch that is in the write being decided.
    pub fn keep(&mut self, partition: u32, moved: &Moved, transaction: Option<ProducerId>, time: Timestamp) {
        for (name, reached) in moved {
            let (settled, pending) = match transaction {
                None => (Some(*reached), None),
                Some(producer_id) => {
                    (self.get(partition, name).and_then(|known| known.settled), Some((producer_id, *reached)))
                }
            };
            self.restore(partition, name, Sequence { settled, pending, time });
        }
    }

    /// Takes in a name as it was stored.
    pub fn restore(&mut self, partition: u32, name: &Arc<str>, sequence: Sequence) {
        if let Some((producer_id, _)) = sequence.pending {
            self.open.entry((partition, producer_id)).or_default().insert(Arc::clone(name));
        }
        let names = self.partitions.entry(partition).or_default();
        if names.insert(Arc::clone(name), sequence).is_none() {
            self.bytes += Self::bytes_of(name);
            self.count += 1;
        }
    }

    /// The transaction of a producer ended in a partition: the numbers that it moved are settled, or what they were before. Answers the
    /// names, with what is known of each: none if nothing is.
    pub fn end(
        &mut self,
        partition: u32,
        producer_id: ProducerId,
        is_committed: bool,
    ) -> Vec<(Arc<str>, Option<Sequence>)> {
        let mut ended = Vec::new();
        for name in self.open.remove(&(partition, producer_id)).unwrap_or_default() {
            let Some(sequence) = self.partitions.get_mut(&partition).and_then(|names| names.get_mut(&name)) else {
                continue;
            };
            if let Some((_, reached)) = sequence.pending.take_if(|(owner, _)| *owner == producer_id)
                && is_committed
            {
                sequence.settled = Some(reached);
            }
            let sequence = *sequence;
            let left = sequence.settled.is_some() || sequence.pending.is_some();
            if !left {
                self.forget(partition, &name);
            }
            ended.push((name, left.then_some(sequence)));
        }
        ended
    }

    /// Forgets a name.
    pub fn forget(&mut self, partition: u32, name: &str) {
        let Some(names) = self.partitions.get_mut(&partition) else { return };
        if names.remove(name).is_some() {
            self.bytes -= Self::bytes_of(name);
            self.count -= 1;
        }
        if names.is_empty() {
            self.partitions.remove(&partition);
        }
    }

    /// The names that wrote nothing after `until`, among `count` that follow `after`; where the next look begins, none if this one came to
    /// the end.
    pub fn idle(&self, after: Option<&Place>, until: Timestamp, count: usize) -> (Vec<Place>, Option<Place>) {
        let mut idle = Vec::new();
        let mut last = None;
        let mut left = count;
        let first = after.map_or(0, |(partition, _)| *partition);
        for (partition, names) in self.partitions.range(first..) {
            let begin = match after {
                Some((of, name)) if of == partition => Bound::Excluded(Arc::clone(name)),
                _ => Bound::Unbounded,
            };
            for (name, sequence) in names.range((begin, Bound::Unbounded)) {
                if left == 0 {
                    return (idle, last.map(|(partition, name): (u32, &Arc<str>)| (partition, Arc::clone(name))));
                }
                left -= 1;
                if sequence.pending.is_none() && sequence.time <= until {
                    idle.push((*partition, Arc::clone(name)));
                }
                last = Some((*partition, name));
            }
        }
        (idle, None)
    }
}

/// A name in a partition.
pub type Place = (u32, Arc<str>);

#[cfg(test)]
mod tests;
