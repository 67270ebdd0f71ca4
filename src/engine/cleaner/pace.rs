//! Holds compaction down to a rate, so that others find disk and processor free (`Throttler` in Kafka).

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::CleanerSettings;
use crate::engine::background::Ending;

/// Shorter waits are put together: a thread that sleeps for less sleeps for longer than it was told.
const WAIT_MIN: Duration = Duration::from_millis(5);

/// See the module.
pub(super) struct Pace {
    settings: Arc<ArcSwap<CleanerSettings>>,
    owed: Duration,
}

impl Pace {
    /// At most as many bytes a second as `settings` say from time to time (`log.cleaner.io.max.bytes.per.second`).
    pub fn new(settings: Arc<ArcSwap<CleanerSettings>>) -> Self {
        Self { settings, owed: Duration::ZERO }
    }

    /// Waits for as long as so many bytes have to take, or until the end.
    pub fn spend(&mut self, bytes: u64, ending: &Ending) {
        self.owed += self.duration_of(bytes);
        if self.owed >= WAIT_MIN {
            ending.within(std::mem::take(&mut self.owed));
        }
    }

    fn duration_of(&self, bytes: u64) -> Duration {
        Duration::try_from_secs_f64(bytes as f64 / self.settings.load().bytes_per_second).unwrap_or(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(bytes_per_second: f64) -> Arc<CleanerSettings> {
        Arc::new(CleanerSettings { backoff: Duration::MAX, dedupe_bytes: 48, bytes_per_second })
    }

    #[test]
    fn bytes_take_their_time_and_no_limit_takes_none() {
        let settings = Arc::new(ArcSwap::new(at(1000.0)));
        let pace = Pace::new(Arc::clone(&settings));
        assert_eq!(pace.duration_of(250), Duration::from_millis(250));
        settings.store(at(500.0));
        assert_eq!(pace.duration_of(250), Duration::from_millis(500));
        settings.store(at(f64::MAX));
        assert_eq!(pace.duration_of(u64::MAX), Duration::ZERO);
    }
}
