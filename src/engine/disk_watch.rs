//! Keeps the disk from running full, which would end the process at its next write: while less is free than a reserve, what
//! would fill it is refused, and what frees it goes on.
//!
//! Kafka has nothing of the kind: a full log directory goes offline with all its partitions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::store::Store;
use crate::types::Timestamp;

/// Bytes of batches after which the free space is looked up anew: far below any useful reserve, and far above one batch, so that
/// few appends pay for the system call.
const LOOK_BYTES: usize = 8 << 20;
/// Time after which it is looked up anew, as others write to the disk, too.
const LOOK_INTERVAL_MS: Timestamp = 1_000;
/// Of the reserve, what must be free beyond it before appends are taken again, so that they do not come and go.
const RECOVERY_DIVISOR: u64 = 8;

/// What is told to those who are refused.
pub(super) const REFUSAL: &str =
    "the disk is nearly full: delete topics or records, make room otherwise, or lower einmal.disk.reserve.bytes";

/// Whether there is room, as of the last look.
#[derive(Debug)]
pub(super) struct DiskWatch {
    /// Free bytes below which there is none; 0: nobody looks.
    reserve_bytes: u64,
    /// Shared with those who tell operators.
    low: Arc<AtomicBool>,
    looked_at: Option<Timestamp>,
    bytes_since: usize,
}

impl DiskWatch {
    pub fn new(reserve_bytes: u64) -> Self {
        Self { reserve_bytes, low: Arc::default(), looked_at: None, bytes_since: 0 }
    }

    /// The flag, for those who tell operators.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.low)
    }

    /// Whether what would fill the disk is refused.
    pub fn is_low(&self) -> bool {
        self.low.load(Ordering::Relaxed)
    }

    /// Takes note of bytes on their way to the disk.
    pub fn note_written(&mut self, bytes: usize) {
        self.bytes_since = self.bytes_since.saturating_add(bytes);
    }

    /// Looks up the free space if enough has been written or enough time has gone by.
    pub fn look(&mut self, store: &dyn Store, now: Timestamp) {
        let is_due = self.looked_at.is_none_or(|at| now < at || now.saturating_sub(at) >= LOOK_INTERVAL_MS);
        if self.reserve_bytes == 0 || !(is_due || self.bytes_since >= LOOK_BYTES) {
            return;
        }
        (self.looked_at, self.bytes_since) = (Some(now), 0);
        // Who cannot be asked has not changed: a disk that is gone shows at the next write.
        let Some(space) = store.disk_space() else { return };
        let (was_low, free_bytes) = (self.is_low(), space.free_bytes);
        let is_low = is_low(was_low, free_bytes, self.reserve_bytes);
        if is_low == was_low {
            return;
        }
        self.low.store(is_low, Ordering::Relaxed);
        let reserve_bytes = self.reserve_bytes;
        if is_low {
            tracing::error!(
                free_bytes,
                reserve_bytes,
                "the disk is nearly full: produce requests and new topics are refused"
            );
        } else {
            tracing::info!(
                free_bytes,
                reserve_bytes,
                "the disk has room again: produce requests and new topics are taken"
            );
        }
    }
}

fn is_low(was_low: bool, free_bytes: u64, reserve_bytes: u64) -> bool {
    let recovery_bytes = if was_low { reserve_bytes / RECOVERY_DIVISOR } else { 0 };
    free_bytes < reserve_bytes.saturating_add(recovery_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_more_room_to_recover_than_to_go_on() {
        for (was_low, free_bytes, expected) in
            [(false, 800, false), (false, 799, true), (true, 800, true), (true, 899, true), (true, 900, false)]
        {
            assert_eq!(is_low(was_low, free_bytes, 800), expected, "{was_low} {free_bytes}");
        }
        assert!(is_low(true, u64::MAX - 1, u64::MAX), "no overflow");
    }
}
