//! The ids that a topic remembers, in memory: found by fingerprint, forgotten in the order in which they came.
//!
//! Ids lie in the order of their appends, those of one batch side by side in a *block* that says where the batch is and when it
//! was appended. A table finds them by the number of their place, 11 to 13 bytes each, and is cut into shards: one of millions of entries
//! that grows would hold up the one writer for half a second. What is forgotten is forgotten by blocks, oldest first, as the rows
//! are that stand behind them.
//!
//! Invariant: every entry of the table is an id of a block that is neither forgotten nor aborted, and of each fingerprint there is
//! one: the newest. Of records whose own times count ([`earlier`]) there are several of one fingerprint, far apart.

mod earlier;
mod look;
mod repeats;
mod settled;

use std::collections::{HashMap, VecDeque};

use super::BatchId;
use super::claim::Claim;
use super::decide::{KnownBy, Original};
use super::fingerprint::{Fingerprint, Secret};
use super::place::Places;
use super::table::{Slot, Table};
use crate::types::{Offset, ProducerId, Timestamp};
use earlier::Earlier;
pub(super) use earlier::Reach;
pub use look::RememberedId;
pub use repeats::KeptIds;
pub(super) use repeats::Repeat;

const SHARD_BITS: u32 = 6;
/// Ids that are allocated at a time.
const CHUNK_IDS: usize = 1024;
/// Numbers of ids are kept modulo 2³².
const IDS_MAX: u64 = u32::MAX as u64;

/// The ids of one topic.
#[derive(Debug)]
pub struct Index {
    places: Places,
    shards: Box<[Table]>,
    shards_bytes: usize,
    /// Ids by number, beginning with the one of `begin`.
    chunks: VecDeque<Vec<BatchId>>,
    /// A multiple of [`CHUNK_IDS`].
    begin: u64,
    /// Number of the next id.
    next: u64,
    /// Number of the first id that no block has yet.
    unkept: u64,
    blocks: VecDeque<Block>,
    /// Entries of the table.
    count: usize,
    /// Own times of the records behind the ids that no block has yet, if they count.
    new_times: Vec<Timestamp>,
    /// Of those in blocks.
    times_bytes: usize,
    /// Of the batch that was judged last.
    repeats: Vec<Repeat>,
    /// In a ledger, of all ids of blocks that are neither forgotten nor aborted.
    claims: HashMap<u64, Claim>,
    /// What ids of open transactions, and those not in a block yet, stand in place of, where that has to come back without them.
    replaced: HashMap<u64, u64>,
    /// Blocks of open transactions, by the number of their first id.
    open: HashMap<(u32, ProducerId), Vec<u64>>,
}

#[derive(Debug)]
struct Block {
    first: u64,
    ids: u32,
    partition: u32,
    base_offset: Offset,
    time: Timestamp,
    state: BlockState,
    /// Of the record of each id, if they count; otherwise none.
    times: Box<[Timestamp]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BlockState {
    /// Its records are there for good.
    Settled,
    /// So are they, and were sent again: the block is that of their repeats.
    Repeated,
    /// They belong to an open transaction of this producer.
    Open(ProducerId),
    /// That one was aborted.
    Aborted,
}

impl BlockState {
    fn is_settled(self) -> bool {
        matches!(self, Self::Settled | Self::Repeated)
    }
}

/// Where the batch of a block lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptBlock {
    /// Its partition.
    pub partition: u32,
    /// Its base offset.
    pub base_offset: Offset,
    /// When it was appended, ms of a clock that never goes back.
    pub time: Timestamp,
    /// It was not appended then: its ids, which are those of records from the base offset on, were sent again.
    pub is_repeat: bool,
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
            shards: std::iter::repeat_with(Table::default).take(1 << SHARD_BITS).collect(),
            shards_bytes: 0,
            chunks: VecDeque::new(),
            begin: 0,
            next: 0,
            unkept: 0,
            blocks: VecDeque::new(),
            count: 0,
            new_times: Vec::new(),
            times_bytes: 0,
            repeats: Vec::new(),
            claims: HashMap::new(),
            replaced: HashMap::new(),
            open: HashMap::new(),
        }
    }

    /// Number of ids that are remembered.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether nothing is left of it.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Whether `more` ids can be told apart from those that are there.
    pub fn has_numbers_for(&self, more: usize) -> bool {
        self.next - self.begin + (more as u64) < IDS_MAX
    }

    /// Memory, bytes.
    pub fn bytes(&self) -> usize {
        let shards = size_of::<Table>() << SHARD_BITS;
        let ids: usize = match self.chunks.len() {
            0 => 0,
            // All but the newest are full.
            count => (count - 1) * CHUNK_IDS + self.chunks[count - 1].capacity(),
        };
        let blocks = self.blocks.capacity() * size_of::<Block>();
        // What is open is counted roughly: it is the tail of what was appended last.
        let open = self.open.len() * 64;
        let claims =
            self.claims.capacity() * size_of::<(u64, Claim)>() + self.replaced.capacity() * size_of::<(u64, u64)>();
        claims + shards + self.shards_bytes + ids * size_of::<BatchId>() + blocks + self.times_bytes + open
    }

    /// Reads the memory in which ids will be looked up. One look-up after the other waits for memory each time; this waits about once.
    pub(super) fn look_ahead(&self, ids: &[BatchId]) {
        let read = ids.iter().fold(0, |read, id| {
            let place = self.places.of(&id.fingerprint);
            read ^ self.shards[shard_of(place)].touch(place)
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
                let shard = &mut self.shards[shard_of(place)];
                let number = number_of(self.begin, shard.number(slot));
                if number >= self.unkept {
                    return Offered::InBatch(self.id(number).offset_delta);
                }
                let block = &self.blocks[block_of(&self.blocks, number)];
                match block.state {
                    state if state.is_settled() && block.time <= reach.expired_until => {
                        if self.claims.contains_key(&number) {
                            self.replaced.insert(self.next, number);
                        }
                        shard.set_number(slot, self.next as u32);
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
        if number >= self.unkept || !self.blocks[block_of(&self.blocks, number)].state.is_settled() {
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
        self.claims.get(&self.number_in(place, slot)).copied()
    }

    fn number_in(&self, place: u64, slot: Slot) -> u64 {
        number_of(self.begin, self.shards[shard_of(place)].number(slot))
    }

    /// The next number gets an entry of its own.
    fn insert(&mut self, place: u64) {
        let shard = &mut self.shards[shard_of(place)];
        let bytes_before = shard.bytes();
        shard.insert(place, self.next as u32);
        self.shards_bytes = self.shards_bytes - bytes_before + shard.bytes();
        self.count += 1;
    }

    /// The next number gets another's entry, which it gives back if it goes itself. Of its own batch nothing comes back alone.
    fn put_in_place_of(&mut self, place: u64, slot: Slot) {
        let number = self.number_in(place, slot);
        if number < self.unkept {
            self.replaced.insert(self.next, number);
        }
        self.shards[shard_of(place)].set_number(slot, self.next as u32);
    }

    fn push_new(&mut self, id: &BatchId, reach: Reach) {
        self.new_times.extend(reach.near.map(|(time, _)| time));
        self.push(*id);
    }

    /// The id that was taken in last is claimed.
    pub(super) fn note_claim(&mut self, claim: Claim) {
        self.claims.insert(self.next - 1, claim);
    }

    /// What was taken in since the last block.
    pub fn new_kept(&self) -> KeptIds {
        KeptIds {
            ids: self.new_ids().copied().collect(),
            claims: (self.unkept..self.next).filter_map(|number| self.claims.get(&number).copied()).collect(),
            times: self.new_times.clone(),
        }
    }

    fn push(&mut self, id: BatchId) {
        if self.chunks.back().is_none_or(|chunk| chunk.len() == CHUNK_IDS) {
            // A topic of few ids takes no more than it needs.
            let capacity = if self.chunks.is_empty() { 0 } else { CHUNK_IDS };
            self.chunks.push_back(Vec::with_capacity(capacity));
        }
        self.chunks.back_mut().expect("pushed if there was none").push(id);
        self.next += 1;
    }

    /// The ids that were taken in since the last block.
    pub fn new_ids(&self) -> impl ExactSizeIterator<Item = &BatchId> {
        let numbers = self.unkept..self.next;
        (0..(numbers.end - numbers.start) as usize).map(move |index| self.id(numbers.start + index as u64))
    }

    /// Makes a block of them: their batch is in the write that is being decided. Nothing, if there are none.
    pub fn keep(&mut self, at: KeptBlock, transaction: Option<ProducerId>) {
        let ids = self.next - self.unkept;
        if ids == 0 {
            return;
        }
        if transaction.is_none() {
            self.settle(self.unkept..self.next);
        }
        let state = transaction.map_or(BlockState::Settled, BlockState::Open);
        if let Some(producer_id) = transaction {
            self.open.entry((at.partition, producer_id)).or_default().push(self.unkept);
        }
        self.blocks.push_back(Block {
            first: self.unkept,
            ids: u32::try_from(ids).expect("a batch has fewer than 2^32 records"),
            partition: at.partition,
            base_offset: at.base_offset,
            time: at.time,
            state,
            times: std::mem::take(&mut self.new_times).into_boxed_slice(),
        });
        self.times_bytes += self.blocks.back().map_or(0, |block| size_of_val(&*block.times));
        self.unkept = self.next;
    }

    /// Forgets them: their batch is not stored.
    pub fn drop_new(&mut self) {
        for number in self.unkept..self.next {
            self.take_back(number);
        }
        while self.next > self.unkept {
            let chunk = self.chunks.back_mut().expect("holds the newest id");
            chunk.pop();
            if chunk.is_empty() {
                self.chunks.pop_back();
            }
            self.next -= 1;
        }
        self.new_times.clear();
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
        } else if self.next > self.unkept {
            self.settle(self.unkept..self.next);
            let times = std::mem::take(&mut self.new_times);
            self.push_repeated(at, &times);
        }
    }

    /// The oldest block, unless it belongs to an open transaction.
    pub fn oldest(&mut self) -> Option<KeptBlock> {
        while self.blocks.front().is_some_and(|block| block.state == BlockState::Aborted) {
            self.release_oldest();
        }
        let block = self.blocks.front().filter(|block| block.state.is_settled())?;
        Some(KeptBlock {
            partition: block.partition,
            base_offset: block.base_offset,
            time: block.time,
            is_repeat: block.state == BlockState::Repeated,
        })
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
        let Some(block) = self.blocks.front() else { return 0 };
        let before = self.count;
        for number in block.first..block.first + u64::from(block.ids) {
            self.remove(number);
        }
        self.release_oldest();
        before - self.count
    }

    /// The transaction of a producer was committed in a partition: its ids are those of records that are there for good.
    pub fn commit(&mut self, partition: u32, producer_id: ProducerId) {
        for first in self.open.remove(&(partition, producer_id)).unwrap_or_default() {
            let block = block_of(&self.blocks, first);
            self.blocks[block].state = BlockState::Settled;
            self.settle(first..first + u64::from(self.blocks[block].ids));
        }
    }

    /// It was aborted: its ids are nobody's any more. Answers the base offsets of the batches that had them.
    pub fn abort(&mut self, partition: u32, producer_id: ProducerId) -> Vec<Offset> {
        let firsts = self.open.remove(&(partition, producer_id)).unwrap_or_default();
        let mut base_offsets = Vec::with_capacity(firsts.len());
        for first in firsts {
            let at = block_of(&self.blocks, first);
            let block = &mut self.blocks[at];
            block.state = BlockState::Aborted;
            base_offsets.push(block.base_offset);
            for number in first..first + u64::from(block.ids) {
                self.take_back(number);
            }
        }
        base_offsets
    }

    /// The number of the newest id of a fingerprint.
    fn find(&self, fingerprint: &Fingerprint) -> Option<u64> {
        let place = self.places.of(fingerprint);
        let shard = &self.shards[shard_of(place)];
        let slot = shard.find(place, |number| fingerprint_of(&self.chunks, self.begin, number) == fingerprint)?;
        Some(number_of(self.begin, shard.number(slot)))
    }

    fn id(&self, number: u64) -> &BatchId {
        &self.chunks[(number - self.begin) as usize / CHUNK_IDS][number as usize % CHUNK_IDS]
    }

    /// What these ids stand in place of is gone for good.
    fn settle(&mut self, numbers: std::ops::Range<u64>) {
        if !self.replaced.is_empty() {
            for number in numbers {
                self.replaced.remove(&number);
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
            if self.blocks.front().is_none_or(|oldest| older < oldest.first) {
                return;
            }
            old = older;
            if self.blocks[block_of(&self.blocks, old)].state != BlockState::Aborted {
                break;
            }
        }
        let Self { places, shards, chunks, begin, .. } = self;
        let place = places.of(fingerprint_of(chunks, *begin, old as u32));
        let shard = &mut shards[shard_of(place)];
        let bytes_before = shard.bytes();
        shard.insert(place, old as u32);
        self.shards_bytes = self.shards_bytes - bytes_before + shard.bytes();
        self.count += 1;
    }

    /// Takes an id out of the table; false if it is not the newest of its fingerprint.
    fn remove(&mut self, number: u64) -> bool {
        if !self.claims.is_empty() {
            self.claims.remove(&number);
        }
        let place = self.places.of(&self.id(number).fingerprint);
        let shard = &mut self.shards[shard_of(place)];
        let Some(slot) = shard.find(place, |stored| stored == number as u32) else { return false };
        let bytes_before = shard.bytes();
        shard.remove(slot);
        self.shards_bytes = self.shards_bytes - bytes_before + shard.bytes();
        self.count -= 1;
        true
    }

    /// Gives the memory of the oldest block back, whose ids are out of the table.
    fn release_oldest(&mut self) {
        if let Some(block) = self.blocks.pop_front() {
            self.times_bytes -= size_of_val(&*block.times);
            self.settle(block.first..block.first + u64::from(block.ids));
        }
        let oldest = self.blocks.front().map_or(self.unkept, |block| block.first);
        // The newest chunk stays: more will come into it.
        while self.begin + (CHUNK_IDS as u64) <= oldest && self.chunks.len() > 1 {
            self.chunks.pop_front();
            self.begin += CHUNK_IDS as u64;
        }
        if self.blocks.capacity() > 64 && self.blocks.len() * 4 < self.blocks.capacity() {
            self.blocks.shrink_to(self.blocks.len() * 2);
        }
    }
}

fn shard_of(place: u64) -> usize {
    // The tables themselves use the upper half.
    place as usize & ((1 << SHARD_BITS) - 1)
}

/// The number of which the table holds the lower half.
fn number_of(begin: u64, stored: u32) -> u64 {
    begin + u64::from(stored.wrapping_sub(begin as u32))
}

fn fingerprint_of(chunks: &VecDeque<Vec<BatchId>>, begin: u64, stored: u32) -> &Fingerprint {
    let number = number_of(begin, stored);
    &chunks[(number - begin) as usize / CHUNK_IDS][number as usize % CHUNK_IDS].fingerprint
}

/// Place of the block that holds an id of this number.
fn block_of(blocks: &VecDeque<Block>, number: u64) -> usize {
    blocks.partition_point(|block| block.first <= number) - 1
}

#[cfg(test)]
mod tests;
