//! What the writer looks at from time to time, a slice at a time. Pure.

/// When one such look is due; times are of the monotonic clock, ms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    next_ms: u64,
    /// Whether the last slice left something to see.
    has_more: bool,
}

impl Look {
    /// The first is due after `interval_ms`.
    pub fn after(now_ms: u64, interval_ms: u64) -> Self {
        Self { next_ms: now_ms.saturating_add(interval_ms), has_more: false }
    }

    pub fn is_due(&self, now_ms: u64) -> bool {
        self.has_more || now_ms >= self.next_ms
    }

    /// A slice has been looked at.
    pub fn note_done(&mut self, now_ms: u64, interval_ms: u64, has_more: bool) {
        *self = Self { has_more, ..Self::after(now_ms, interval_ms) };
    }

    /// Whether the next slice follows at once.
    pub fn has_more(&self) -> bool {
        self.has_more
    }
}
