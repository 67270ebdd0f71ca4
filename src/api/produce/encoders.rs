//! Room for encoders at work: no more at once than there are cores, nor with more memory than the limit.
//!
//! What is beyond waits, each in its turn, so that a large one is not passed by small ones for ever. Who has room waits for nothing but
//! the processor, so the wait ends. An encoder that would take more than the limit works alone. The wait is one of a thread, in the middle
//! of a batch's check: a tokio semaphore would have it enter its runtime once more from there.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Clones share the room.
#[derive(Debug, Clone)]
pub(super) struct Encoders(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    at_work: Mutex<AtWork>,
    /// Somebody has gone or has got room: the next may look.
    changed: Condvar,
    count_max: usize,
    bytes_max: u64,
}

#[derive(Debug, Default)]
struct AtWork {
    count: usize,
    bytes: u64,
    /// Turns given out, and which of them is next.
    turns: u64,
    next: u64,
}

/// Room of one encoder, until it is dropped.
#[derive(Debug)]
pub(super) struct Room {
    of: Arc<Shared>,
    bytes: u64,
}

impl Encoders {
    /// Room for `count_max` encoders, which is 1 at least, that take `bytes_max` together.
    pub(super) fn new(count_max: usize, bytes_max: u64) -> Self {
        let changed = Condvar::new();
        Self(Arc::new(Shared { at_work: Mutex::default(), changed, count_max: count_max.max(1), bytes_max }))
    }

    /// Waits, on the thread, until an encoder that takes `bytes` may work.
    pub(super) fn room(&self, bytes: u64) -> Room {
        let shared = &self.0;
        let mut at_work = shared.lock();
        let turn = at_work.turns;
        at_work.turns += 1;
        let must_wait = |at_work: &mut AtWork| at_work.next != turn || !shared.has_room(at_work, bytes);
        let mut at_work = shared.changed.wait_while(at_work, must_wait).unwrap_or_else(PoisonError::into_inner);
        at_work.next += 1;
        at_work.count += 1;
        at_work.bytes += bytes;
        drop(at_work);
        shared.changed.notify_all();
        Room { of: Arc::clone(shared), bytes }
    }

    /// How many are at work, with how many bytes, and how many wait.
    #[cfg(test)]
    pub(super) fn now(&self) -> (usize, u64, u64) {
        let at_work = self.0.lock();
        (at_work.count, at_work.bytes, at_work.turns - at_work.next)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, AtWork> {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_room(&self, at_work: &AtWork, bytes: u64) -> bool {
        at_work.count == 0 || (at_work.count < self.count_max && at_work.bytes.saturating_add(bytes) <= self.bytes_max)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut at_work = self.of.lock();
        at_work.count -= 1;
        at_work.bytes -= self.bytes;
        drop(at_work);
        self.of.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Has an encoder ask for `bytes` on a thread of its own, and waits until it waits or works.
    fn ask(encoders: &Encoders, bytes: u64, got: &mpsc::Sender<(u64, Room)>) {
        let before = encoders.0.lock().turns;
        let (own, got) = (encoders.clone(), got.clone());
        std::thread::spawn(move || {
            let room = own.room(bytes);
            let _ = got.send((bytes, room));
        });
        while encoders.0.lock().turns == before {
            std::thread::yield_now();
        }
    }

    #[test]
    fn encoders_beyond_count_and_memory_wait_in_turn() {
        let encoders = Encoders::new(2, 100);
        let (got, room) = mpsc::channel();
        let first = encoders.room(40);
        let second = encoders.room(40);
        ask(&encoders, 5, &got);
        assert_eq!(encoders.now(), (2, 80, 1), "there is memory, but no core");
        drop(first);
        drop(room.recv().expect("room"));
        ask(&encoders, 61, &got);
        ask(&encoders, 1, &got);
        assert_eq!(encoders.now(), (1, 40, 2), "there is a core, but no memory for whose turn it is");
        drop(second);
        let mut rooms = [room.recv().expect("room"), room.recv().expect("room")];
        rooms.sort_by_key(|(bytes, _)| *bytes);
        assert_eq!(rooms.each_ref().map(|(bytes, _)| *bytes), [1, 61]);
        assert_eq!(encoders.now(), (2, 62, 0));
        drop(rooms);
        assert_eq!(encoders.now(), (0, 0, 0));
    }

    #[test]
    fn one_that_takes_more_than_there_is_works_alone() {
        let encoders = Encoders::new(8, 100);
        let (got, room) = mpsc::channel();
        let small = encoders.room(10);
        ask(&encoders, 1000, &got);
        assert_eq!(encoders.now(), (1, 10, 1));
        drop(small);
        let large = room.recv().expect("room");
        ask(&encoders, 1, &got);
        assert_eq!(encoders.now(), (1, 1000, 1));
        drop(large);
        assert_eq!(room.recv().expect("room").0, 1);
    }
}
