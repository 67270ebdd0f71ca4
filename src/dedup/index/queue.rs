//! A queue that takes and gives back memory by a chunk at a time: one that doubled would make a topic forget half of what it remembers
//! where the memory of all is at its limit.

use std::collections::VecDeque;

use super::room;

/// Items that are allocated at a time.
pub(super) const CHUNK_ITEMS: usize = 64;

/// Items, oldest first.
#[derive(Debug)]
pub(super) struct Queue<T> {
    /// None is empty, and all but the first and the newest hold [`CHUNK_ITEMS`].
    chunks: VecDeque<VecDeque<T>>,
    /// How many have been taken out of the first chunk.
    taken: usize,
    len: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { chunks: VecDeque::new(), taken: 0, len: 0 }
    }
}

impl<T> Queue<T> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Memory of the items, bytes.
    pub fn bytes(&self) -> usize {
        let full = self.chunks.len().saturating_sub(1) * CHUNK_ITEMS;
        (full + self.chunks.back().map_or(0, VecDeque::capacity)) * size_of::<T>()
    }

    /// Items for which memory has to be taken before so many more are in it, at most.
    pub fn growth(&self, more: usize) -> usize {
        let taken = if self.chunks.len() == 1 { self.taken } else { 0 };
        let (len, capacity) = self.chunks.back().map_or((0, 0), |chunk| (chunk.len(), chunk.capacity()));
        if len + taken + more <= CHUNK_ITEMS {
            return room::growth(len, capacity, more, CHUNK_ITEMS);
        }
        room::growth(len + taken, capacity, more, CHUNK_ITEMS)
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// The item at a place, 0 for the oldest.
    pub fn get(&self, place: usize) -> Option<&T> {
        let (chunk, at) = self.at(place);
        self.chunks.get(chunk)?.get(at)
    }

    /// The same to be changed.
    pub fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        let (chunk, at) = self.at(place);
        self.chunks.get_mut(chunk)?.get_mut(at)
    }

    fn at(&self, place: usize) -> (usize, usize) {
        let place = place + self.taken;
        if place < CHUNK_ITEMS { (0, place - self.taken) } else { (place / CHUNK_ITEMS, place % CHUNK_ITEMS) }
    }

    /// How many of the oldest are as `is_before` says, which holds for all up to one and for none behind it.
    pub fn partition_point(&self, is_before: impl Fn(&T) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = low.midpoint(high);
            if self.get(middle).is_some_and(&is_before) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Adds the newest.
    pub fn push_back(&mut self, item: T) {
        let taken = if self.chunks.len() == 1 { self.taken } else { 0 };
        if self.chunks.back().is_none_or(|chunk| chunk.len() + taken == CHUNK_ITEMS) {
            // A topic of few takes no more than it needs.
            let capacity = if self.chunks.is_empty() { 0 } else { CHUNK_ITEMS };
            self.chunks.push_back(VecDeque::with_capacity(capacity));
        }
        self.chunks.back_mut().expect("pushed if there was none").push_back(item);
        self.len += 1;
    }

    /// Takes the oldest out.
    pub fn pop_front(&mut self) -> Option<T> {
        let first = self.chunks.front_mut()?;
        let item = first.pop_front()?;
        self.taken += 1;
        self.len -= 1;
        if first.is_empty() {
            self.chunks.pop_front();
            self.taken = 0;
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_queue(steps in prop::collection::vec((0..600_usize, any::<bool>()), 0..40)) {
            let (mut queue, mut model, mut next) = (Queue::default(), VecDeque::new(), 0_u32);
            for (count, is_pushed) in steps {
                for _ in 0..count {
                    if is_pushed {
                        queue.push_back(next);
                        model.push_back(next);
                        next += 1;
                    } else {
                        prop_assert_eq!(queue.pop_front(), model.pop_front());
                    }
                }
                prop_assert_eq!((queue.len(), queue.is_empty()), (model.len(), model.is_empty()));
                prop_assert!(queue.iter().eq(model.iter()));
                for place in [0, 1, CHUNK_ITEMS - 1, CHUNK_ITEMS, CHUNK_ITEMS + 1, 255, 256, 257, model.len() / 2, model.len().saturating_sub(1), model.len()] {
                    prop_assert_eq!(queue.get(place), model.get(place));
                    prop_assert_eq!(queue.get_mut(place).copied(), model.get(place).copied());
                    let until = model.get(place).copied().unwrap_or(next);
                    let count = queue.partition_point(|item| *item <= until);
                    prop_assert_eq!(count, model.partition_point(|item| *item <= until));
                }
                prop_assert!(queue.bytes() <= (model.len() + 2 * CHUNK_ITEMS) * 4);
            }
        }
    }
}
