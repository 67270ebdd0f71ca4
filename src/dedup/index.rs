//! The ids that a topic remembers, in memory: found by fingerprint, forgotten in the order in which they came.
//!
//! Ids lie in the order of their appends ([`ids`]), those of one batch side by side in a *block* that says where the batch is and when
//! it was appended ([`blocks`]). Tables find their numbers by their places, 11 to 13 bytes each ([`shards`]). What is forgotten is forgotten
//! by blocks, oldest first, as the rows are that stand behind them.
//!
//! Invariant: every entry of a table is an id of a block that is neither forgotten nor aborted, and of each fingerprint there is
//! one: the newest. Of records whose own times count ([`earlier`]) there are several of one fingerprint, far apart.

mod blocks;
mod claims;
mod earlier;
mod ids;
mod look;
mod queue;
mod repeats;
mod room;
mod settled;
mod shards;

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use super::BatchId;
use super::claim::Claim;
use super::decide::{KnownBy, Original};
use super::fingerprint::{Fingerprint, Secret};
use super::place::Places;
use super::table::Slot;
use crate::types::{Offset, ProducerId, Timestamp};
pub use blocks::KeptBlock;
use blocks::{Block, BlockState, Blocks};
use claims::Claims;
use earlier::Earlier;
pub(super) use earlier::Reach;
use ids::Ids;
pub use look::RememberedId;
pub use repeats::KeptIds;
pub(super) use repeats::Repeat;
use shards::{Shards, Touched};

/// The ids of one topic.
#[derive(Debug)]
pub struct Index {
    places: Places,
    /// Numbers by places.
    shards: Shards,
    /// By number.
    ids: Ids,
    /// Number of the first id that no block has yet.
    unkept: u64,
    blocks: Blocks,
    /// Own times of the records behind the ids that no block has yet, if they count.
    new_times: Vec<Timestamp>,
    /// Of the batch that was judged last.
    repeats: Vec<Repeat>,
    /// In a ledger, of all ids of blocks that are neither forgotten nor aborted.
    claims: Claims,
    /// What ids of open transactions, and those not in a block yet, stand in place of, where that has to come back without them.
    replaced: HashMap<u64, u64>,
    /// Blocks of open transactions, by the number of their first id.
    open: HashMap<(u32, ProducerId), Vec<u64>>,
    /// Of each of `open` the first.
    first_open: BTreeSet<u64>,
}

/// What is known of an id.
pub(super) struct Known {
    pub original: Original,
    /// Of its entry.
    pub number: u64,
    /// When it was appended, or sent again.
    pub time: Timestamp,
    /// It is in no open transaction.
    pub is_settled: bool,
}

impl Known {
    /// What tells it.
    pub fn by(&self) -> KnownBy {
        if self.is_settled { KnownBy::Open } else { KnownBy::Pending }
    }
}

/// What the index says of an id.
pub(super) enum Offered {
    /// It was not known, and is now.
    New,
    /// It is that of an earlier record.
    Known(Known),
    /// It is that of an earlier record of the same batch, at this offset delta.
    InBatch(u32),
    /// It is that of a record in somebody's open transaction.
    Undecided,
}

impl Index {
    /// An empty one.
    pub fn new(secret: Secret) -> Self {
        Self {
            places: secret.places(),
            shards: Shards::new(),
            ids: Ids::default(),
            unkept: 0,
            blocks: Blocks::default(),
            new_times: Vec::new(),
            repeats: Vec::new(),
            claims: Claims::default(),
            replaced: HashMap::new(),
            open: HashMap::new(),
            first_open: BTreeSet::new(),
        }
    }

    /// Number of ids that are remembered.
    pub fn len(&self) -> usize {
        self.shards.len()
    }

    /// Whether nothing is left of it.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Whether `more` ids can be told apart from those that are there.
    pub fn has_numbers_for(&self, more: usize) -> bool {
        self.ids.has_numbers_for(more)
    }

    /// Reads the memory in which ids will be looked up. One look-up after the other waits for memory each time; this waits about once.
    pub(super) fn look_ahead(&self, ids: &[BatchId]) {
        let read = ids.iter().fold(0, |read, id| {
            let place = self.places.of(&id.fingerprint);
            read ^ self.shards.touch(place)
        });
        // What is read is of no use but must not be left out for that.
        std::hint::black_box(read);
    }

    /// Looks an id up, and takes it in if it is not known within reach. The ids of one's own open transaction count as known: they share
    /// its fate.
    pub(super) fn offer(&mut self, id: &BatchId, reach: Reach, transaction: Option<ProducerId>) -> Offered {
        let place = self.places.of(&id.fingerprint);
        match self.earlier(place, id, reach) {
            Earlier::Nothing => self.insert(place),
            Earlier::Others(slot) => self.put_in_place_of(place, slot),
            Earlier::Same(slot) => {
                let number = self.number_in(place, slot);
                if number >= self.unkept {
                    return Offered::InBatch(self.ids.get(number).offset_delta);
                }
                let block = self.blocks.of(number);
                match block.state {
                    state if state.is_settled() && block.time <= reach.expired_until => {
                        if self.claims.get(number).is_some() {
                            self.replaced.insert(self.ids.next(), number);
                        }
                        self.shards.set_number(place, slot, self.ids.next() as u32);
                    }
                    BlockState::Open(owner) if transaction != Some(owner) => return Offered::Undecided,
                    state => {
                        return Offered::Known(Known {
                            original: self.original(number, block),
                            number,
                            time: block.time,
                            is_settled: state.is_settled(),
                        });
                    }
                }
            }
        }
        self.push_new(id, reach);
        Offered::New
    }

    /// Takes a known id in anew: what it brings stands in place of what was known. Not of what is open or of the same batch.
    pub(super) fn replace(&mut self, id: &BatchId, reach: Reach) -> bool {
        let place = self.places.of(&id.fingerprint);
        let Earlier::Same(slot) = self.earlier(place, id, reach) else { return false };
        let number = self.number_in(place, slot);
        if number >= self.unkept || !self.blocks.of(number).state.is_settled() {
            return false;
        }
        self.put_in_place_of(place, slot);
        self.push_new(id, reach);
        true
    }

    /// Takes an id in, whatever is known of it. False: it is that of an earlier record of the same batch.
    pub(super) fn take_in(&mut self, id: &BatchId, reach: Reach) -> bool {
        let place = self.places.of(&id.fingerprint);
        match self.earlier(place, id, reach) {
            Earlier::Nothing => self.insert(place),
            Earlier::Same(slot) if self.number_in(place, slot) >= self.unkept => return false,
            Earlier::Same(slot) | Earlier::Others(slot) => self.put_in_place_of(place, slot),
        }
        self.push_new(id, reach);
        true
    }

    /// The claim on a known id, if it was claimed.
    pub(super) fn claim_of(&self, id: &BatchId, reach: Reach) -> Option<Claim> {
        if self.claims.is_empty() {
            return None;
        }
        let place = self.places.of(&id.fingerprint);
        let Earlier::Same(slot) = self.earlier(place, id, reach) else { return None };
        self.claims.get(self.number_in(place, slot)).copied()
    }

    fn number_in(&self, place: u64, slot: Slot) -> u64 {
        self.ids.number_of(self.shards.number(place, slot))
    }

    /// The next number gets an entry of its own.
    fn insert(&mut self, place: u64) {
        self.shards.insert(place, self.ids.next() as u32);
    }

    /// The next number gets another's entry, which it gives back if it goes itself. Of its own batch nothing comes back alone.
    fn put_in_place_of(&mut self, place: u64, slot: Slot) {
        let number = self.number_in(place, slot);
        if number < self.unkept {
            self.replaced.insert(self.ids.next(), number);
        }
        self.shards.set_number(place, slot, self.ids.next() as u32);
    }

    fn push_new(&mut self, id: &BatchId, reach: Reach) {
        self.new_times.extend(reach.near.map(|(time, _)| time));
        self.ids.push(*id);
    }

    /// The id that was taken in last is claimed.
    pub(super) fn note_claim(&mut self, claim: Claim) {
        self.claims.insert(self.ids.next() - 1, claim);
    }

    /// What was taken in since the last block.
    pub fn new_kept(&self) -> KeptIds {
        KeptIds {
            ids: self.new_ids().copied().collect(),
            claims: self.new_numbers().filter_map(|number| self.claims.get(number).copied()).collect(),
            times: self.new_times.clone(),
        }
    }

    fn new_numbers(&self) -> Range<u64> {
        self.unkept..self.ids.next()
    }

    /// The ids that were taken in since the last block.
    pub fn new_ids(&self) -> impl ExactSizeIterator<Item = &BatchId> {
        let numbers = self.new_numbers();
        (0..(numbers.end - numbers.start) as usize).map(move |index| self.ids.get(numbers.start + index as u64))
    }

    /// Makes a block of them: their batch is in the write that is being decided. Nothing, if there are none.
    pub fn keep(&mut self, at: KeptBlock, transaction: Option<ProducerId>) {
        if self.new_numbers().is_empty() {
            return;
        }
        let state = transaction.map_or(BlockState::Settled, BlockState::Open);
        if let Some(producer_id) = transaction {
            let firsts = self.open.entry((at.partition, producer_id)).or_default();
            if firsts.is_empty() {
                self.first_open.insert(self.unkept);
            }
            firsts.push(self.unkept);
        } else {
            self.settle(self.new_numbers());
        }
        let times = std::mem::take(&mut self.new_times);
        self.push_block(at, state, times);
    }

    /// Makes a block of the ids that none has yet.
    fn push_block(&mut self, at: KeptBlock, state: BlockState, times: Vec<Timestamp>) {
        self.blocks.push(at, state, self.new_numbers(), times.into_boxed_slice());
        self.unkept = self.ids.next();
    }

    /// Forgets them: their batch is not stored. The memory that they took is given back: a topic must not grow by what is refused.
    pub fn drop_new(&mut self) {
        let mut touched = Touched::default();
        for number in self.new_numbers() {
            touched.add(self.place_of(number));
            self.take_back(number);
        }
        self.shards.undo_growth(touched);
        self.ids.truncate(self.unkept);
        self.claims.truncate(self.unkept);
        self.new_times.clear();
        if self.replaced.is_empty() {
            self.replaced = HashMap::new();
        }
    }

    /// Takes in a block as it was stored. To be called in the order of their times.
    pub fn restore(&mut self, at: KeptBlock, kept: &KeptIds, transaction: Option<ProducerId>) {
        self.look_ahead(&kept.ids);
        for (place, id) in kept.ids.iter().enumerate() {
            // What is known already is known from an older block: this one counts. Of other times it is another message.
            let near = kept.times.get(place).map(|time| (*time, 1));
            if self.take_in(id, Reach { expired_until: Timestamp::MIN, near })
                && let Some(claim) = kept.claims.get(place)
            {
                self.note_claim(*claim);
            }
        }
        if !at.is_repeat {
            self.keep(at, transaction);
        } else if !self.new_numbers().is_empty() {
            self.settle(self.new_numbers());
            let times = std::mem::take(&mut self.new_times);
            self.push_block(at, BlockState::Repeated, times);
        }
    }

    /// The oldest block, unless it belongs to an open transaction.
    pub fn oldest(&self) -> Option<KeptBlock> {
        self.blocks.oldest().filter(|block| block.state.is_settled()).map(Block::kept)
    }

    /// When the oldest id came, be it of an open transaction.
    pub fn oldest_time(&self) -> Option<Timestamp> {
        self.blocks.iter().find(|block| block.state != BlockState::Aborted).map(|block| block.time)
    }

    /// Number of blocks, those of aborted transactions included.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Forgets the oldest block and answers how many ids it took along.
    pub fn forget_oldest(&mut self) -> usize {
        let Some(block) = self.blocks.oldest() else { return 0 };
        let before = self.shards.len();
        let places = block.numbers().map(|number| self.place_of(number));
        // As in `look_ahead`.
        std::hint::black_box(places.fold(0, |read, place| read ^ self.shards.touch(place)));
        for number in block.numbers() {
            self.remove(number);
        }
        self.release_oldest();
        self.release_aborted();
        before - self.shards.len()
    }

    /// The transaction of a producer was committed in a partition: its ids are those of records that are there for good.
    pub fn commit(&mut self, partition: u32, producer_id: ProducerId) {
        for first in self.close(partition, producer_id) {
            let block = self.blocks.of_mut(first);
            block.state = BlockState::Settled;
            let numbers = block.numbers();
            self.settle(numbers);
        }
    }

    /// It was aborted: its ids are nobody's any more. Answers the base offsets of the batches that had them.
    pub fn abort(&mut self, partition: u32, producer_id: ProducerId) -> Vec<Offset> {
        let firsts = self.close(partition, producer_id);
        let mut base_offsets = Vec::with_capacity(firsts.len());
        for first in firsts {
            let block = self.blocks.of_mut(first);
            block.state = BlockState::Aborted;
            base_offsets.push(block.base_offset);
            for number in block.numbers() {
                self.take_back(number);
            }
        }
        self.release_aborted();
        base_offsets
    }

    /// Of what was aborted nothing is left where nothing older is: the oldest block is never such a one.
    fn release_aborted(&mut self) {
        while self.blocks.oldest().is_some_and(|block| block.state == BlockState::Aborted) {
            self.release_oldest();
        }
    }

    fn close(&mut self, partition: u32, producer_id: ProducerId) -> Vec<u64> {
        let firsts = self.open.remove(&(partition, producer_id)).unwrap_or_default();
        if let Some(first) = firsts.first() {
            self.first_open.remove(first);
        }
        firsts
    }

    /// The number of the newest id of a fingerprint.
    fn find(&self, fingerprint: &Fingerprint) -> Option<u64> {
        let place = self.places.of(fingerprint);
        let slot = self.shards.find(place, |stored| self.ids.is(stored, fingerprint))?;
        Some(self.number_in(place, slot))
    }

    /// What these ids stand in place of is gone for good.
    fn settle(&mut self, numbers: Range<u64>) {
        if !self.replaced.is_empty() {
            for number in numbers {
                self.replaced.remove(&number);
            }
            if self.replaced.is_empty() {
                // One batch may have made it large.
                self.replaced = HashMap::new();
            }
        }
    }

    /// Takes an id out as if it had never come: what it stood in place of is known again.
    fn take_back(&mut self, number: u64) {
        // If a newer one stands in its place, that one's end decides.
        if !self.remove(number) {
            return;
        }
        let mut old = number;
        loop {
            let Some(older) = self.replaced.remove(&old) else { return };
            if self.blocks.oldest().is_none_or(|oldest| older < oldest.first) {
                return;
            }
            old = older;
            if self.blocks.of(old).state != BlockState::Aborted {
                break;
            }
        }
        self.shards.insert(self.place_of(old), old as u32);
    }

    fn place_of(&self, number: u64) -> u64 {
        self.places.of(&self.ids.get(number).fingerprint)
    }

    /// Takes an id out of the table; false if it is not the newest of its fingerprint.
    fn remove(&mut self, number: u64) -> bool {
        if !self.claims.is_empty() {
            self.claims.remove(number);
        }
        let place = self.place_of(number);
        let Some(slot) = self.shards.find(place, |stored| stored == number as u32) else { return false };
        self.shards.remove(place, slot);
        true
    }

    /// Gives the memory of the oldest block back, whose ids are out of the table.
    fn release_oldest(&mut self) {
        if let Some(block) = self.blocks.pop_oldest() {
            self.settle(block.numbers());
        }
        let oldest = self.blocks.oldest().map_or(self.unkept, |block| block.first);
        self.ids.forget_before(oldest);
        self.claims.forget_before(oldest);
    }
}

#[cfg(test)]
mod tests;
