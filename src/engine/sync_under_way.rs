//! Since when the sync is under way that everybody waits for: a disk that hangs shows in no figure of what is over.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Nothing is being synced.
const NONE: u64 = 0;

/// Whether the write-ahead log is being synced, and since when.
#[derive(Debug)]
pub struct SyncUnderWay {
    origin: Instant,
    /// Nanoseconds after the origin, from 1 on; or [`NONE`].
    began: AtomicU64,
}

impl Default for SyncUnderWay {
    fn default() -> Self {
        Self { origin: Instant::now(), began: AtomicU64::new(NONE) }
    }
}

impl SyncUnderWay {
    /// A sync begins.
    pub(super) fn begin(&self, now: Instant) {
        let nanoseconds = now.saturating_duration_since(self.origin).as_nanos();
        self.began.store(u64::try_from(nanoseconds).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
    }

    /// It is over.
    pub(super) fn end(&self) {
        self.began.store(NONE, Ordering::Relaxed);
    }

    /// How long it has taken so far; nothing while none is under way.
    pub fn age(&self) -> Duration {
        self.age_at(Instant::now())
    }

    fn age_at(&self, now: Instant) -> Duration {
        match self.began.load(Ordering::Relaxed) {
            NONE => Duration::ZERO,
            began => now.saturating_duration_since(self.origin).saturating_sub(Duration::from_nanos(began)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_grows_old_until_it_is_over() {
        let sync = SyncUnderWay::default();
        let at = |seconds| sync.origin + Duration::from_secs(seconds);
        assert_eq!(sync.age_at(at(5)), Duration::ZERO);
        sync.begin(at(5));
        assert_eq!([5, 6, 45].map(|second| sync.age_at(at(second)).as_secs()), [0, 1, 40]);
        sync.end();
        assert_eq!(sync.age_at(at(50)), Duration::ZERO);
        sync.begin(sync.origin);
        assert_eq!(sync.age_at(at(9)).as_millis(), 8_999, "one that began with everything else is one, too");
    }
}
