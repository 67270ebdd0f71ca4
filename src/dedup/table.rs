//! Finds numbers by places ([`super::place`]): linear probing in one array.
//!
//! A slot has the number and the half of its place that says where it belongs, so that growing reads no other memory, and reads
//! its own from one end to the other: what belongs in the first tenth of an array belongs in the first tenth of each. That is why a
//! table may grow by a quarter at a time and is never half empty. One place costs one or two neighbouring cache lines.

/// Slots that a table has at least, once it has any.
const SLOTS_MIN: usize = 16;
/// Up to so many slots it doubles.
const DOUBLED_MAX: usize = 512;
/// It is never fuller than this many of [`PARTS`].
const FULL_PARTS: usize = 3;
const PARTS: usize = 4;
const SLOTS_PER_LINE: usize = 8;
/// No slot in use is 0: the lowest bit of its half of a place is always set.
const EMPTY: u64 = 0;

/// Numbers by their places.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Box<[u64]>,
    len: usize,
}

/// A slot in use, until the table is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(usize);

impl Table {
    /// Memory beside itself of one that has an entry, bytes.
    pub(super) const BYTES_MIN: usize = SLOTS_MIN * size_of::<u64>();

    /// Memory beside the table's own, bytes.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.slots)
    }

    /// Reads where a place is looked for first, and a cache line behind it, so that both are near when it is. What it answers means
    /// nothing.
    pub(super) fn touch(&self, place: u64) -> u64 {
        let home = home(half(place), self.slots.len());
        [home, home + SLOTS_PER_LINE].iter().filter_map(|at| self.slots.get(*at)).fold(0, |read, slot| read ^ slot)
    }

    /// The slot of a number at this place that `is_wanted`.
    pub(super) fn find(&self, place: u64, is_wanted: impl Fn(u32) -> bool) -> Option<Slot> {
        let half = half(place);
        let mut at = home(half, self.slots.len());
        // There is an empty slot unless there is none at all.
        while let Some(slot) = self.slots.get(at).copied().filter(|slot| *slot != EMPTY) {
            if half_of(slot) == half && is_wanted(slot as u32) {
                return Some(Slot(at));
            }
            at = self.next(at);
        }
        None
    }

    /// Tells of all slots with this place, and perhaps of some with others.
    pub(super) fn each(&self, place: u64, mut tell: impl FnMut(Slot, u32)) {
        let half = half(place);
        let mut at = home(half, self.slots.len());
        while let Some(slot) = self.slots.get(at).copied().filter(|slot| *slot != EMPTY) {
            if half_of(slot) == half {
                tell(Slot(at), slot as u32);
            }
            at = self.next(at);
        }
    }

    /// The number in a slot.
    pub(super) fn number(&self, slot: Slot) -> u32 {
        self.slots[slot.0] as u32
    }

    /// Puts another number in a slot, of the same place.
    pub(super) fn set_number(&mut self, slot: Slot, number: u32) {
        let slot = &mut self.slots[slot.0];
        *slot = *slot >> 32 << 32 | u64::from(number);
    }

    /// Adds a number at a place. Whether it is there already is not looked at.
    pub(super) fn insert(&mut self, place: u64, number: u32) {
        if (self.len + 1) * PARTS > self.slots.len() * FULL_PARTS {
            let slots = self.slots.len();
            self.resize(if slots <= DOUBLED_MAX { (2 * slots).max(SLOTS_MIN) } else { slots + slots / 4 });
        }
        self.put(u64::from(half(place)) << 32 | u64::from(number));
        self.len += 1;
    }

    /// Empties a slot.
    pub(super) fn remove(&mut self, slot: Slot) {
        let (mut free, mut at) = (slot.0, self.next(slot.0));
        // What was pushed on by the one that goes moves back, as if that had never been.
        while self.slots[at] != EMPTY {
            let home = home(half_of(self.slots[at]), self.slots.len());
            if self.distance(home, at) >= self.distance(free, at) {
                self.slots[free] = self.slots[at];
                free = at;
            }
            at = self.next(at);
        }
        self.slots[free] = EMPTY;
        self.len -= 1;
        if self.slots.len() > SLOTS_MIN && self.len * 4 < self.slots.len() {
            self.resize(self.len * 2);
        }
    }

    /// Becomes as small as it was before it doubled for what is out of it again.
    pub(super) fn undo_growth(&mut self) {
        if self.len == 0 {
            self.slots = Box::default();
        }
        let mut slots = self.slots.len();
        if slots <= 2 * DOUBLED_MAX {
            while slots / 2 >= SLOTS_MIN && self.len * PARTS <= slots / 2 * FULL_PARTS {
                slots /= 2;
            }
            if slots < self.slots.len() {
                self.resize(slots);
            }
        }
    }

    fn resize(&mut self, slots: usize) {
        let old = std::mem::replace(&mut self.slots, vec![EMPTY; slots.max(SLOTS_MIN)].into_boxed_slice());
        for slot in old.into_iter().filter(|slot| *slot != EMPTY) {
            self.put(slot);
        }
    }

    fn put(&mut self, slot: u64) {
        let mut at = home(half_of(slot), self.slots.len());
        while self.slots[at] != EMPTY {
            at = self.next(at);
        }
        self.slots[at] = slot;
    }

    fn next(&self, at: usize) -> usize {
        if at + 1 < self.slots.len() { at + 1 } else { 0 }
    }

    /// Steps from one slot to another.
    fn distance(&self, from: usize, to: usize) -> usize {
        if from <= to { to - from } else { to + self.slots.len() - from }
    }
}

/// Of a place, what decides where in the table it is.
fn half(place: u64) -> u32 {
    (place >> 32) as u32 | 1
}

fn half_of(slot: u64) -> u32 {
    (slot >> 32) as u32
}

/// Where in so many slots a place is looked for first; rises with the half.
fn home(half: u32, slots: usize) -> usize {
    ((u64::from(half) * slots as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// Places of which many are the same or neighbours, also at the end of the array.
    fn place(number: u32) -> u64 {
        let half = match number % 3 {
            0 => u32::MAX - number / 7,
            1 => number.wrapping_mul(0x9e37_79b9),
            _ => number / 5,
        };
        u64::from(half) << 32
    }

    proptest! {
        #[test]
        fn finds_exactly_what_was_put_in_and_not_taken_out(
            steps in prop::collection::vec((0..300_u32, prop::bool::weighted(0.7)), 0..2_000),
        ) {
            let mut table = Table::default();
            let mut model: HashMap<u32, u32> = HashMap::new();
            for (number, is_put_in) in steps {
                let found = table.find(place(number), |stored| stored == number || stored == number + 1_000);
                prop_assert_eq!(found.map(|slot| table.number(slot)), model.get(&number).copied());
                match (found, is_put_in) {
                    (None, true) => {
                        table.insert(place(number), number);
                        model.insert(number, number);
                    }
                    (Some(slot), true) => {
                        table.set_number(slot, number + 1_000);
                        model.insert(number, number + 1_000);
                    }
                    (Some(slot), false) => {
                        table.remove(slot);
                        model.remove(&number);
                    }
                    (None, false) => {}
                }
                prop_assert_eq!(table.len, model.len());
                prop_assert!(table.len * PARTS <= table.slots.len() * FULL_PARTS);
            }
            for number in 0..300 {
                let found = table.find(place(number), |stored| stored % 1_000 == number);
                prop_assert_eq!(found.map(|slot| table.number(slot)), model.get(&number).copied());
            }
        }
    }

    #[test]
    fn table_takes_less_than_14_bytes_for_each_number_and_gives_them_back() {
        let mut table = Table::default();
        let places = |number: u32| u64::from(number.wrapping_mul(0x9e37_79b9)) << 32;
        for number in 0..100_000 {
            table.insert(places(number), number);
            assert!(
                number < 1_000 || table.bytes() < 14 * (number as usize + 1),
                "{} bytes for {number}",
                table.bytes()
            );
        }
        for number in 0..100_000 {
            let slot = table.find(places(number), |stored| stored == number).expect("was put in");
            table.remove(slot);
        }
        assert!(table.bytes() <= 8 * SLOTS_MIN, "{} bytes for none", table.bytes());
        assert_eq!(Table::default().find(1 << 40, |_| true), None);
    }
}
