//! Holds compaction down to a rate, so that others find disk and processor free (`Throttler` in Kafka).
//!
//! What is owed is waited for in steps, each by the rate that is set by then: a rate that was a slip holds nobody once it is corrected.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::{CleanerSettings, SETTINGS_LOOK};

/// Shorter waits are put together: a thread that sleeps for less sleeps for longer than it was told.
const WAIT_MIN: Duration = Duration::from_millis(5);

/// See the module.
pub(super) struct Pace {
    settings: Arc<ArcSwap<CleanerSettings>>,
    /// Too little to wait for: below [`WAIT_MIN`].
    owed: Duration,
}

impl Pace {
    /// At most as many bytes a second as `settings` say from time to time (`log.cleaner.io.max.bytes.per.second`).
    pub fn new(settings: Arc<ArcSwap<CleanerSettings>>) -> Self {
        Self { settings, owed: Duration::ZERO }
    }

    /// Waits for as long as so many bytes have to take. `wait` is told for how long each time, at most [`SETTINGS_LOOK`], and answers
    /// whether the end has come meanwhile, after which nothing is waited for.
    pub fn spend(&mut self, bytes: u64, mut wait: impl FnMut(Duration) -> bool) {
        let mut bytes = bytes as f64;
        loop {
            let bytes_per_second = self.settings.load().bytes_per_second;
            let owed = self.owed.saturating_add(duration_of(bytes, bytes_per_second));
            if owed < WAIT_MIN {
                self.owed = owed;
                return;
            }
            let step = owed.min(SETTINGS_LOOK);
            let has_ended = wait(step);
            bytes -= step.saturating_sub(std::mem::take(&mut self.owed)).as_secs_f64() * bytes_per_second;
            if has_ended || step == owed {
                return;
            }
        }
    }
}

/// Of a rate above zero.
fn duration_of(bytes: f64, bytes_per_second: f64) -> Duration {
    Duration::try_from_secs_f64(bytes.max(0.0) / bytes_per_second).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(bytes_per_second: f64) -> Arc<CleanerSettings> {
        Arc::new(CleanerSettings { backoff: Duration::MAX, dedupe_bytes: 48, bytes_per_second })
    }

    /// What is waited for, ms.
    fn spend(pace: &mut Pace, bytes: u64) -> u128 {
        let mut waited = Duration::ZERO;
        pace.spend(bytes, |step| {
            assert!(step <= SETTINGS_LOOK);
            waited += step;
            false
        });
        waited.as_millis()
    }

    #[test]
    fn bytes_take_their_time_and_no_limit_takes_none() {
        let settings = Arc::new(ArcSwap::new(at(1000.0)));
        let mut pace = Pace::new(Arc::clone(&settings));
        assert_eq!(spend(&mut pace, 250), 250);
        assert_eq!(spend(&mut pace, 12_345), 12_345);
        settings.store(at(500.0));
        assert_eq!(spend(&mut pace, 250), 500);
        settings.store(at(f64::MAX));
        assert_eq!(spend(&mut pace, u64::MAX), 0);
        settings.store(at(1000.0));
        assert_eq!(spend(&mut pace, 250), 250, "what was free is not owed later");
    }

    #[test]
    fn short_waits_are_put_together() {
        let mut pace = Pace::new(Arc::new(ArcSwap::new(at(1000.0))));
        let waited: Vec<_> = (0..7).map(|_| spend(&mut pace, 2)).collect();
        assert_eq!(waited, [0, 0, 6, 0, 0, 6, 0]);
    }

    #[test]
    fn a_slip_is_waited_for_no_longer_than_it_takes_to_look() {
        let settings = Arc::new(ArcSwap::new(at(1e-300)));
        let mut pace = Pace::new(Arc::clone(&settings));
        let mut waits = 0;
        // A limit that is corrected while it is waited for, and then lifted.
        pace.spend(1 << 20, |_| {
            waits += 1;
            settings.store(if waits == 3 { at(f64::MAX) } else { at(1000.0) });
            false
        });
        assert_eq!(waits, 3);
        settings.store(at(1.0));
        waits = 0;
        pace.spend(1 << 20, |_| {
            waits += 1;
            waits == 2
        });
        assert_eq!(waits, 2, "nothing is waited for after the end");
    }
}
