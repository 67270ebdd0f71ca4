//! Holds compaction down to a rate, so that others find disk and processor free (`Throttler` in Kafka).

use std::time::Duration;

use crate::engine::background::Ending;

/// Shorter waits are put together: a thread that sleeps for less sleeps for longer than it was told.
const WAIT_MIN: Duration = Duration::from_millis(5);

/// See the module.
pub(super) struct Pace {
    bytes_per_second: f64,
    owed: Duration,
}

impl Pace {
    /// At most so many bytes a second (`log.cleaner.io.max.bytes.per.second`).
    pub fn new(bytes_per_second: f64) -> Self {
        Self { bytes_per_second, owed: Duration::ZERO }
    }

    /// Waits for as long as so many bytes have to take, or until the end.
    pub fn spend(&mut self, bytes: u64, ending: &Ending) {
        self.owed += self.duration_of(bytes);
        if self.owed >= WAIT_MIN {
            ending.within(std::mem::take(&mut self.owed));
        }
    }

    fn duration_of(&self, bytes: u64) -> Duration {
        Duration::try_from_secs_f64(bytes as f64 / self.bytes_per_second).unwrap_or(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_their_time_and_no_limit_takes_none() {
        let pace = Pace::new(1000.0);
        assert_eq!(pace.duration_of(250), Duration::from_millis(250));
        assert_eq!(Pace::new(f64::MAX).duration_of(u64::MAX), Duration::ZERO);
    }
}
