//! The memory that answers to Fetch, and others that are large, may take, all connections together (`einmal.fetch.memory.bytes`).
//!
//! Kafka sends from its log files and holds nothing for a client that does not read. Here the batches of an answer are in memory
//! until the client has taken them, so they are granted before they are read, and the grant goes with their bytes. While much is
//! free a Fetch gets what it asks for, with less free its answer is shorter, and with nothing free it waits. It waits
//! before it has read anything, so nobody waits for memory while holding some; and while somebody waits, connections that do
//! not take their answers are closed ([`FetchMemory::is_short`]).
//!
//! An answer of another API is granted its whole size once that is known and before it is encoded. What it is made of is there by
//! then, and several times as large: that has bounds of its own ([`super::turns`]). One of many megabytes waits until so much is free at
//! once, and keeps all behind it waiting. So parts of the memory are set aside for such answers ([`Part`]): nobody who lists groups keeps
//! others from their records, or from finding where they are.
//!
//! Batches from the tail cache are granted like all others. An answer shares them with the cache, and then they are counted
//! twice; but the cache lets go of them long before a client that does not read, and from then on they are the answer's alone.
//! Batches from the store share buffers of 64 KiB, of which a connection keeps the one that it is sending from: so much more than
//! it is granted.
//!
//! Invariant: what is granted and not given back is at most the budget, and of each part of it at most that part. A batch larger than
//! its topic's `max.message.bytes`, which has been lowered since, is granted as far as there is room, and an answer larger than its part
//! is granted all of that: two such are never there.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::waiters::Waiters;
use crate::metrics::{FETCH_MEMORY_BYTES, FETCH_MEMORY_WAITS_TOTAL};

/// What one Fetch gets at most is this part of what is free: a few that do not read must not take it all.
const SHARE: usize = 4;

/// Each [`Part`] but that of Fetch is this part of all.
const SET_ASIDE: usize = 8;

/// Batches are given back in pieces of at least these bytes, so that small ones do not cost a piece each.
const PIECE_BYTES: usize = 16 << 10;

/// Whose answers a part of the memory is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Fetch's.
    Fetch,
    /// Others that clients need to go on: where partitions are, what groups decide and have committed.
    Clients,
    /// All that administrators ask.
    Admin,
}

/// See the module. Clones share one budget.
#[derive(Debug, Clone)]
pub struct FetchMemory {
    /// By [`Part`].
    parts: Arc<[Budget; 3]>,
    /// Answers that wait for memory, of whatever part.
    waiting: Waiters,
    granted: metrics::Gauge,
}

#[derive(Debug, Clone)]
struct Budget {
    free: Arc<Semaphore>,
    bytes_max: usize,
}

/// Memory for one answer; what no batch holds is given back when this is dropped.
#[derive(Debug)]
pub struct Grant {
    memory: FetchMemory,
    part: Part,
    permit: OwnedSemaphorePermit,
}

impl FetchMemory {
    /// A budget of `bytes`, all parts together.
    pub fn new(bytes: usize) -> Self {
        let aside = bytes / SET_ASIDE;
        Self::with([bytes - 2 * aside, aside, aside])
    }

    fn with(parts: [usize; 3]) -> Self {
        let parts = parts.map(|bytes| {
            let bytes_max = bytes.min(u32::MAX as usize).min(Semaphore::MAX_PERMITS);
            Budget { free: Arc::new(Semaphore::new(bytes_max)), bytes_max }
        });
        Self { parts: Arc::new(parts), waiting: Waiters::default(), granted: metrics::gauge!(FETCH_MEMORY_BYTES) }
    }

    /// Memory for an answer to Fetch of `wanted_bytes`, or for as much of it as may be had, but always for its first batch of at most
    /// `first_bytes` (all of the budget, where that is smaller). Waits in turn for as long as there is less. The caller must not
    /// hold a grant.
    pub async fn grant(&self, wanted_bytes: usize, first_bytes: usize) -> Grant {
        self.grant_of(Part::Fetch, wanted_bytes, first_bytes).await
    }

    /// Memory for another answer of `answer_bytes` (all of its part, where that is smaller). Waits in turn for as long as there is less.
    /// The caller must not hold a grant.
    pub async fn grant_whole(&self, part: Part, answer_bytes: usize) -> Grant {
        self.grant_of(part, answer_bytes, answer_bytes).await
    }

    async fn grant_of(&self, part: Part, wanted_bytes: usize, first_bytes: usize) -> Grant {
        let first_bytes = first_bytes.min(self.of(part).bytes_max);
        let share_bytes = wanted_bytes.min(self.free_bytes(part) / SHARE).max(first_bytes);
        if let Some(permit) = self.take(part, share_bytes) {
            return self.granted(part, permit);
        }
        let _waiting = self.waiting.begin();
        metrics::counter!(FETCH_MEMORY_WAITS_TOTAL).increment(1);
        let permit = Arc::clone(&self.of(part).free).acquire_many_owned(first_bytes as u32).await;
        self.granted(part, permit.expect("nobody closes the budget"))
    }

    /// Resolves while an answer waits for memory.
    pub async fn is_short(&self) {
        self.waiting.are_there().await;
    }

    /// What nobody has been granted of a part.
    pub fn free_bytes(&self, part: Part) -> usize {
        self.of(part).free.available_permits()
    }

    fn of(&self, part: Part) -> &Budget {
        &self.parts[part as usize]
    }

    fn take(&self, part: Part, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).ok()?;
        Arc::clone(&self.of(part).free).try_acquire_many_owned(bytes).ok()
    }

    fn granted(&self, part: Part, permit: OwnedSemaphorePermit) -> Grant {
        self.observe();
        Grant { memory: self.clone(), part, permit }
    }

    fn observe(&self) {
        let granted = self.parts.iter().map(|of| of.bytes_max.saturating_sub(of.free.available_permits()));
        self.granted.set(granted.sum::<usize>() as f64);
    }
}

impl Grant {
    /// What may be read.
    pub fn bytes(&self) -> usize {
        self.permit.num_permits()
    }

    /// Leaves with `batches` the memory that they take; it is given back as they are dropped, which is as they are sent.
    pub fn leave_with(&mut self, batches: &mut [Bytes]) {
        let mut piece_bytes = 0;
        let count = batches.len();
        for (index, batch) in batches.iter_mut().enumerate() {
            piece_bytes += batch.len();
            if piece_bytes >= PIECE_BYTES || index + 1 == count {
                if let Some(permit) = self.split(piece_bytes) {
                    *batch = Bytes::from_owner(Granted { bytes: std::mem::take(batch), _permit: permit });
                }
                piece_bytes = 0;
            }
        }
    }

    fn split(&mut self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let lacking = bytes.saturating_sub(self.bytes()).min(self.memory.free_bytes(self.part));
        if let Some(permit) = self.memory.take(self.part, lacking) {
            self.permit.merge(permit);
        }
        self.permit.split(bytes.min(self.bytes()))
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        drop(self.permit.split(self.bytes()));
        self.memory.observe();
    }
}

/// A batch, and the memory of it and of those before it.
struct Granted {
    bytes: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Granted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn batches(sizes: &[usize]) -> Vec<Bytes> {
        sizes.iter().map(|size| Bytes::from(vec![0; *size])).collect()
    }

    fn of_fetches(bytes: usize) -> FetchMemory {
        FetchMemory::with([bytes, 0, 0])
    }

    fn grant(memory: &FetchMemory, wanted_bytes: usize, first_bytes: usize) -> Option<Grant> {
        memory.grant(wanted_bytes, first_bytes).now_or_never()
    }

    #[test]
    fn answers_shrink_with_what_is_free_down_to_the_first_batch() {
        let memory = of_fetches(1000);
        let granted: Vec<Grant> = (0..100).map_while(|_| grant(&memory, 400, 100)).collect();
        assert_eq!(granted.iter().map(Grant::bytes).collect::<Vec<_>>(), [250, 187, 140, 105, 100, 100, 100]);
        assert_eq!(grant(&of_fetches(1000), 10, 100).map(|grant| grant.bytes()), Some(100));
    }

    #[test]
    fn first_batch_beyond_the_budget_comes_alone() {
        let memory = of_fetches(1000);
        let other = grant(&memory, 1, 1).expect("all is free");
        assert!(grant(&memory, 1, 5000).is_none(), "something is in use");
        drop(other);
        let mut large = grant(&memory, 1, 5000).expect("nothing is in use");
        let mut held = batches(&[5000]);
        large.leave_with(&mut held);
        drop(large);
        assert!(grant(&memory, 1, 1).is_none());
        drop(held);
        assert_eq!(memory.free_bytes(Part::Fetch), 1000);
    }

    #[test]
    fn memory_comes_back_as_batches_are_dropped() {
        let memory = of_fetches(1 << 20);
        let mut all = grant(&memory, 200_000, 0).expect("much is free");
        let mut held = batches(&[20_000, 10_000, 10_000, 100, 30_000]);
        let mut few = batches(&[70]);
        all.leave_with(&mut held);
        all.leave_with(&mut few);
        drop(all);
        for left in [70_170, 50_170, 50_170, 30_170, 30_170, 70] {
            assert_eq!(memory.free_bytes(Part::Fetch), (1 << 20) - left);
            if !held.is_empty() {
                held.remove(0);
            }
        }
        drop(few);
        assert_eq!(memory.free_bytes(Part::Fetch), 1 << 20);
    }

    #[test]
    fn what_waits_for_memory_keeps_nobody_waiting_for_another_part() {
        let parts = [(Part::Fetch, 750), (Part::Clients, 125), (Part::Admin, 125)];
        for (part, part_bytes) in parts {
            let memory = FetchMemory::new(1000);
            let whole = |part, bytes| memory.grant_whole(part, bytes).now_or_never();
            // Larger than all: it has its part and no more.
            let taken = whole(part, 5000).expect("all is free");
            assert_eq!(taken.bytes(), part_bytes, "{part:?}");
            let mut waiting = Box::pin(memory.grant_whole(part, 5000));
            assert!(waiting.as_mut().now_or_never().is_none(), "{part:?}");
            assert!(whole(part, 1).is_none(), "{part:?}: it is before all others");
            for (other, bytes) in parts.into_iter().filter(|(other, _)| *other != part) {
                assert_eq!(whole(other, bytes).map(|grant| grant.bytes()), Some(bytes), "{other:?} beside {part:?}");
            }
            drop(taken);
            assert!(waiting.as_mut().now_or_never().is_some(), "{part:?}");
        }
    }

    #[test]
    fn it_is_short_while_somebody_waits() {
        let memory = of_fetches(1000);
        let first = grant(&memory, 0, 1000).expect("all is free");
        assert!(memory.is_short().now_or_never().is_none());
        let mut second = Box::pin(memory.grant(0, 1));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(memory.is_short().now_or_never().is_some());
        drop(first);
        assert!(second.as_mut().now_or_never().is_some());
        drop(second);
        assert!(memory.is_short().now_or_never().is_none());
    }
}
