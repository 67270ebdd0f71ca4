//! The time by which records, tombstones, committed offsets, idle producers and transactional ids expire. Pure.
//!
//! What expires carries the wall clock of when it was last used, and a wall clock may jump: a machine that boots without a time
//! of its own, a virtual machine that slept, an operator's slip. Taken at its word, one jump ahead would forget all offsets and
//! all idle producers at once. So time counts only as it passes while the broker runs: a step of the wall clock ahead of the
//! monotonic one is a [`Jump`], and is taken off the wall clock again for as long as something stamped before it may live, which is
//! the retention. After that the jump has nothing to harm, and what was stamped after it is judged by the wall clock alone.
//!
//! Time in which the broker did not run is a jump, too: nobody could use an offset meanwhile, and no clock says how long it was.
//! So what is kept for seven days is kept for seven days in which the broker runs, however long it stood still between.
//!
//! A step back is taken off the jumps before it, and otherwise does nothing: nothing expires sooner by it.

use std::collections::VecDeque;

use crate::store::schema::ExpiryClockRow;
use crate::types::Timestamp;

/// Both clocks may differ by less than this at once without a jump: they are not read at the same moment.
const STEP_MIN_MS: i64 = 1_000;
/// Jumps kept apart. With more, the two neighbours that are the smallest together become one, as young as the younger of them:
/// what was stamped between them lives a little longer, and no great jump is kept for the sake of small ones.
const JUMPS_MAX: usize = 16;

/// A step of the wall clock ahead of the time that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Jump {
    size_ms: i64,
    /// Time that the broker has run since.
    age_ms: i64,
}

/// See the module. Times of the wall clock are ms since 1970, those of the monotonic one ms since any moment of this run.
#[derive(Debug, Clone)]
pub(super) struct ExpiryClock {
    wall: Timestamp,
    monotonic_ms: i64,
    /// Where the wall clock stands before the monotonic one, as of the last step.
    ahead_ms: i64,
    /// Oldest first.
    jumps: VecDeque<Jump>,
}

impl ExpiryClock {
    /// The clock of a run that begins now, after the one that stored `last`; without one, the wall clock is believed.
    pub fn start(last: Option<&ExpiryClockRow>, wall: Timestamp, monotonic_ms: u64) -> Self {
        let monotonic_ms = to_i64(monotonic_ms);
        let jumps = last.map(|last| last.jumps.iter()).into_iter().flatten();
        let mut clock = Self {
            wall,
            monotonic_ms,
            ahead_ms: wall.saturating_sub(monotonic_ms),
            jumps: jumps.map(|(size_ms, age_ms)| Jump { size_ms: *size_ms, age_ms: *age_ms }).collect(),
        };
        clock.step(last.map_or(0, |last| wall.saturating_sub(last.wall)));
        clock
    }

    /// Takes note of the time.
    pub fn look(&mut self, wall: Timestamp, monotonic_ms: u64) {
        let monotonic_ms = to_i64(monotonic_ms);
        let passed_ms = monotonic_ms.saturating_sub(self.monotonic_ms);
        (self.wall, self.monotonic_ms) = (wall, monotonic_ms);
        for jump in &mut self.jumps {
            jump.age_ms = jump.age_ms.saturating_add(passed_ms);
        }
        let ahead_ms = wall.saturating_sub(monotonic_ms);
        let step_ms = ahead_ms.saturating_sub(self.ahead_ms);
        if step_ms.saturating_abs() >= STEP_MIN_MS {
            self.ahead_ms = ahead_ms;
            self.step(step_ms);
        }
    }

    /// The time to judge things by that are kept for `retention_ms`; never ahead of the wall clock.
    pub fn now(&self, retention_ms: i64) -> Timestamp {
        let counting = self.jumps.iter().filter(|jump| jump.age_ms < retention_ms);
        counting.fold(self.wall, |now, jump| now.saturating_sub(jump.size_ms))
    }

    /// What the next run is to know.
    pub fn row(&self) -> ExpiryClockRow {
        ExpiryClockRow { wall: self.wall, jumps: self.jumps.iter().map(|jump| (jump.size_ms, jump.age_ms)).collect() }
    }

    fn step(&mut self, step_ms: i64) {
        if step_ms >= STEP_MIN_MS {
            self.jumps.push_back(Jump { size_ms: step_ms, age_ms: 0 });
            while self.jumps.len() > JUMPS_MAX {
                let pair_ms = |at: &usize| self.jumps[*at].size_ms.saturating_add(self.jumps[*at + 1].size_ms);
                let Some(older) = (0..self.jumps.len() - 1).min_by_key(pair_ms) else { break };
                let size_ms = self.jumps.remove(older).map_or(0, |jump| jump.size_ms);
                let younger = &mut self.jumps[older];
                younger.size_ms = younger.size_ms.saturating_add(size_ms);
            }
        }
        let mut back_ms = step_ms.saturating_neg();
        while back_ms > 0
            && let Some(newest) = self.jumps.back_mut()
        {
            let taken_ms = newest.size_ms.min(back_ms);
            (newest.size_ms, back_ms) = (newest.size_ms - taken_ms, back_ms - taken_ms);
            if newest.size_ms == 0 {
                self.jumps.pop_back();
            }
        }
    }
}

fn to_i64(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;
    const RETENTION: i64 = 7 * DAY;
    const START: Timestamp = 1_000 * DAY;

    /// A clock beside a right one and a wall clock that is off by `off`.
    struct Run {
        clock: ExpiryClock,
        true_ms: i64,
        off: i64,
    }

    impl Run {
        fn start(last: Option<&ExpiryClockRow>, wall: Timestamp) -> Self {
            Self { clock: ExpiryClock::start(last, wall, 0), true_ms: 0, off: wall }
        }
        fn wall(&self) -> Timestamp {
            self.true_ms + self.off
        }
        fn after(&mut self, ms: i64) -> Timestamp {
            self.true_ms += ms;
            self.clock.look(self.wall(), self.true_ms as u64);
            self.clock.now(RETENTION)
        }
        fn is_expired(&self, stamped: Timestamp) -> bool {
            self.clock.now(RETENTION) - stamped >= RETENTION
        }
    }

    #[test]
    fn without_a_jump_it_is_the_wall_clock() {
        let mut run = Run::start(None, START);
        assert_eq!(run.after(DAY), START + DAY);
        run.off += STEP_MIN_MS - 1;
        assert_eq!(run.after(1), run.wall());
    }

    #[test]
    fn what_was_stamped_before_a_jump_and_what_after_it_both_live_their_time() {
        let mut run = Run::start(None, START);
        run.after(DAY);
        let before = run.wall();
        run.off += 400 * DAY;
        assert_eq!(run.after(DAY), START + 2 * DAY);
        let after = run.wall();
        run.after(6 * DAY - 1);
        assert!(!run.is_expired(before) && !run.is_expired(after));
        run.after(1);
        assert!(run.is_expired(before) && !run.is_expired(after));
        run.after(DAY - 1);
        assert!(!run.is_expired(after));
        run.after(1);
        assert!(run.is_expired(after));
        assert_eq!(run.clock.now(30 * DAY), run.wall() - 400 * DAY, "it still counts for what is kept longer");
    }

    #[test]
    fn a_jump_that_is_taken_back_leaves_nothing() {
        let mut run = Run::start(None, START);
        run.off += 400 * DAY;
        assert_eq!(run.after(DAY), START + DAY);
        run.off -= 400 * DAY;
        assert_eq!(run.after(DAY), START + 2 * DAY);
        assert!(run.clock.jumps.is_empty());
        // Further back than ever: nothing expires, and the way forth is a jump.
        run.off -= 400 * DAY;
        assert_eq!(run.after(DAY), run.wall());
        run.off += 400 * DAY;
        assert_eq!(run.after(DAY), START + 4 * DAY - 400 * DAY);
    }

    #[test]
    fn time_without_the_broker_does_not_count() {
        let mut run = Run::start(None, START);
        let stamped = START;
        run.off += DAY;
        run.after(2 * DAY);
        let last = run.clock.row();
        let mut run = Run::start(Some(&last), last.wall + 400 * DAY);
        assert_eq!(run.clock.now(RETENTION), START + 2 * DAY);
        run.after(5 * DAY - 1);
        assert!(!run.is_expired(stamped));
        run.after(1);
        assert!(run.is_expired(stamped));
        // A clock that stands before the last run's.
        let run = Run::start(Some(&last), last.wall - 400 * DAY);
        assert_eq!(run.clock.now(RETENTION), run.wall());
    }

    #[test]
    fn many_jumps_become_few_and_none_is_lost() {
        let mut run = Run::start(None, START);
        for _ in 0..100 {
            run.off += DAY;
            run.after(1);
        }
        assert_eq!(run.clock.jumps.len(), JUMPS_MAX);
        assert_eq!(run.clock.now(RETENTION), START + 100);
        assert!(run.clock.now(1) <= run.wall() - DAY, "the newest is as young");
    }

    #[test]
    fn a_great_jump_grows_old_beside_many_small_ones() {
        let mut run = Run::start(None, START);
        run.off += 400 * DAY;
        run.after(0);
        let stamped = run.wall();
        // As restarts do that take a minute, once a day.
        for _ in 0..60 {
            run.off += 60_000;
            run.after(DAY);
        }
        assert!(run.clock.now(30 * DAY) - stamped > 59 * DAY, "60 days have passed");
        assert_eq!(run.clock.jumps.len(), JUMPS_MAX);
    }
}
