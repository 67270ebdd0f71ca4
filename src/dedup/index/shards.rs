//! Numbers by the places of their fingerprints, in many small tables: one of millions of entries that grows would hold up the one writer
//! for half a second.

use crate::dedup::table::{Slot, Table};

const SHARD_BITS: u32 = 6;

/// All tables.
#[derive(Debug)]
pub(super) struct Shards {
    tables: Box<[Table]>,
    /// What they take beside themselves.
    bytes: usize,
    /// Entries of all.
    count: usize,
}

/// Tables in which something was changed: a bit for each.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Touched(u64);

impl Touched {
    /// That of an entry at this place.
    pub fn add(&mut self, place: u64) {
        self.0 |= 1 << table_of(place);
    }

    fn has(self, table: usize) -> bool {
        self.0 >> table & 1 == 1
    }
}

impl Shards {
    pub fn new() -> Self {
        let tables = std::iter::repeat_with(Table::default).take(1 << SHARD_BITS).collect();
        Self { tables, bytes: 0, count: 0 }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Memory, bytes.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.tables) + self.bytes
    }

    /// Memory for few entries beside what each of them takes, bytes.
    pub fn bytes_of_few(entries: usize) -> usize {
        let tables = 1 << SHARD_BITS;
        tables * size_of::<Table>() + entries.min(tables) * Table::BYTES_MIN
    }

    /// Reads where a place is looked for; what it answers means nothing.
    pub fn touch(&self, place: u64) -> u64 {
        self.tables[table_of(place)].touch(place)
    }

    /// The entry of a number at this place that `is_wanted`.
    pub fn find(&self, place: u64, is_wanted: impl Fn(u32) -> bool) -> Option<Slot> {
        self.tables[table_of(place)].find(place, is_wanted)
    }

    /// Tells of all entries at this place, and perhaps of some at others.
    pub fn each(&self, place: u64, tell: impl FnMut(Slot, u32)) {
        self.tables[table_of(place)].each(place, tell);
    }

    /// The number of an entry.
    pub fn number(&self, place: u64, slot: Slot) -> u32 {
        self.tables[table_of(place)].number(slot)
    }

    /// Another number gets the entry.
    pub fn set_number(&mut self, place: u64, slot: Slot, number: u32) {
        self.tables[table_of(place)].set_number(slot, number);
    }

    /// A number gets an entry of its own.
    pub fn insert(&mut self, place: u64, number: u32) {
        self.change(place, |table| table.insert(place, number));
        self.count += 1;
    }

    /// Takes an entry out.
    pub fn remove(&mut self, place: u64, slot: Slot) {
        self.change(place, |table| table.remove(slot));
        self.count -= 1;
    }

    /// Gives back what these tables took for entries that are out of them again, if they are small: what large ones took is little to what
    /// they hold, and much work.
    pub fn undo_growth(&mut self, touched: Touched) {
        for (_, table) in self.tables.iter_mut().enumerate().filter(|(at, _)| touched.has(*at)) {
            let bytes_before = table.bytes();
            table.undo_growth();
            self.bytes = self.bytes - bytes_before + table.bytes();
        }
    }

    fn change(&mut self, place: u64, change: impl FnOnce(&mut Table)) {
        let table = &mut self.tables[table_of(place)];
        let bytes_before = table.bytes();
        change(table);
        self.bytes = self.bytes - bytes_before + table.bytes();
    }
}

fn table_of(place: u64) -> usize {
    // The tables themselves use the upper half.
    place as usize & ((1 << SHARD_BITS) - 1)
}
