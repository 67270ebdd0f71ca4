//! Whose turn it is to have a large answer made.
//!
//! An answer is granted memory when its size is known ([`FetchMemory`](super::fetch_memory::FetchMemory)), and by then it is there: as
//! structures, several times as large as on the wire. Many at once, of clients that read none of theirs, would take all the memory
//! there is while they wait for grants. So a request whose answer may be large waits for a turn before it is judged, and gives it back
//! when the answer has been granted its memory, is encoded and its structures are gone. Who expects little takes none.
//!
//! A turn is short or long, so that a few requests for very much do not keep those for a little more than little waiting, and Metadata
//! and what members of groups ask have lanes of their own, and so have their answers a part of the memory ([`Part`]): whoever describes
//! settings keeps no client from finding its partitions and going on where it was. A lane of its own has what changes something: it keeps its turn while it waits for what it changes to be stored, thousands of
//! times for a request of a megabyte, and nobody who only asks is to wait for that.
//!
//! Invariant: beside what is granted, answers that are being made take per lane at most [`SHORT_TURNS`] times [`SHORT_BYTES_MAX`] and
//! [`LONG_TURNS`] of the largest that there can be, and those that take no turn [`TURNLESS_BYTES_MAX`] per connection.

use std::sync::Arc;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::fetch_memory::Part;

/// An answer that is expected to take no more, as structures, is made at once.
pub const TURNLESS_BYTES_MAX: usize = 256 << 10;
/// One that is expected to take no more has a short turn.
pub const SHORT_BYTES_MAX: usize = 4 << 20;
/// Short turns of a lane at a time.
pub const SHORT_TURNS: usize = 8;
/// Long ones.
pub const LONG_TURNS: usize = 2;

/// Those that wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Metadata.
    Metadata,
    /// What members of groups ask.
    Groups,
    /// What changes something and is asked by administrators.
    Changes,
    /// All others.
    Admin,
}

impl Lane {
    /// The memory that its answers are granted of.
    pub fn part(self) -> Part {
        match self {
            Self::Metadata | Self::Groups => Part::Clients,
            Self::Changes | Self::Admin => Part::Admin,
        }
    }
}

/// See the module. Clones share the turns.
#[derive(Debug, Clone)]
pub struct Turns {
    /// By [`Lane`].
    lanes: [Seats; 4],
}

#[derive(Debug, Clone)]
struct Seats {
    short: Arc<Semaphore>,
    long: Arc<Semaphore>,
}

/// A turn, or the right to go without; given back when it is dropped.
#[derive(Debug)]
pub struct Turn {
    permit: Option<OwnedSemaphorePermit>,
    is_long: bool,
}

impl Turn {
    /// Whether somebody may have to wait for it.
    pub fn is_taken(&self) -> bool {
        self.permit.is_some()
    }

    /// Whether it is a long one.
    pub fn is_long(&self) -> bool {
        self.is_long
    }
}

impl Default for Turns {
    fn default() -> Self {
        let seats =
            || Seats { short: Arc::new(Semaphore::new(SHORT_TURNS)), long: Arc::new(Semaphore::new(LONG_TURNS)) };
        Self { lanes: [seats(), seats(), seats(), seats()] }
    }
}

impl Turns {
    /// The turn of a request whose answer is expected to take `expected_bytes` as structures. Waits for those that came before, unless
    /// that is little. May be cancelled.
    pub async fn turn(&self, lane: Lane, expected_bytes: usize) -> Turn {
        if expected_bytes <= TURNLESS_BYTES_MAX {
            return Turn { permit: None, is_long: false };
        }
        let is_long = expected_bytes > SHORT_BYTES_MAX;
        let Seats { short, long } = &self.lanes[lane as usize];
        let seats = if is_long { long } else { short };
        Turn { permit: Arc::clone(seats).acquire_owned().await.ok(), is_long }
    }
}

/// Tells a request that its client has gone: one that waits for its turn or for memory then gives up, having begun nothing or having
/// nobody to answer.
#[derive(Debug, Clone, Default)]
pub struct Gone(Arc<Notify>);

impl Gone {
    /// The client has gone. It is told also to who begins to wait later.
    pub fn tell(&self) {
        self.0.notify_one();
    }

    /// Resolves once the client has gone; once for each time that it is told.
    pub async fn told(&self) {
        self.0.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const LANES: [Lane; 4] = [Lane::Metadata, Lane::Groups, Lane::Changes, Lane::Admin];

    fn at_once(turns: &Turns, lane: Lane, expected_bytes: usize) -> Option<Turn> {
        turns.turn(lane, expected_bytes).now_or_never()
    }

    #[test]
    fn each_lane_has_short_and_long_turns_and_little_needs_none() {
        for (bytes, count) in [
            (0, None),
            (TURNLESS_BYTES_MAX, None),
            (TURNLESS_BYTES_MAX + 1, Some(SHORT_TURNS)),
            (SHORT_BYTES_MAX, Some(SHORT_TURNS)),
            (SHORT_BYTES_MAX + 1, Some(LONG_TURNS)),
            (usize::MAX, Some(LONG_TURNS)),
        ] {
            let turns = Turns::default();
            // All at the same time: no lane and no length keeps another waiting.
            let others = [TURNLESS_BYTES_MAX + 1, usize::MAX].map(|other| {
                let is_other =
                    |lane: &Lane| *lane != Lane::Groups || (other > SHORT_BYTES_MAX) != (bytes > SHORT_BYTES_MAX);
                let lanes = LANES.into_iter().filter(is_other);
                lanes
                    // Bounded, so that turns without end are a failure and no endless test.
                    .flat_map(|lane| (0..100).map_while(|_| at_once(&turns, lane, other)).collect::<Vec<_>>())
                    .collect::<Vec<_>>()
            });
            let taken: Vec<Turn> = (0..100).map_while(|_| at_once(&turns, Lane::Groups, bytes)).collect();
            assert_eq!(taken.len(), count.unwrap_or(100), "{bytes}");
            assert!(taken.iter().all(|turn| turn.is_taken() == count.is_some()), "{bytes}");
            assert!(taken.iter().all(|turn| turn.is_long() == (bytes > SHORT_BYTES_MAX)), "{bytes}");
            drop(others);
        }
    }

    #[test]
    fn turns_come_in_the_order_of_those_that_wait_and_the_gone_are_passed_over() {
        let turns = Turns::default();
        let long = || Box::pin(turns.turn(Lane::Admin, usize::MAX));
        let mut taken: Vec<Turn> = (0..LONG_TURNS).map(|_| long().now_or_never().expect("free")).collect();
        let (mut first, mut gone, mut second) = (long(), long(), long());
        for waiting in [&mut first, &mut gone, &mut second] {
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        drop(gone);
        taken.pop();
        assert!(second.as_mut().now_or_never().is_none(), "the first is before it");
        let turn = first.as_mut().now_or_never().expect("its turn");
        assert!(second.as_mut().now_or_never().is_none(), "that is taken");
        drop(turn);
        assert!(second.as_mut().now_or_never().is_some());
    }

    #[test]
    fn going_is_told_before_and_while_somebody_waits() {
        let gone = Gone::default();
        let mut waiting = Box::pin(gone.told());
        assert!(waiting.as_mut().now_or_never().is_none());
        gone.tell();
        assert!(waiting.now_or_never().is_some());
        gone.tell();
        assert!(gone.told().now_or_never().is_some(), "told before");
        assert!(gone.told().now_or_never().is_none());
    }
}
