//! What one core does without the kernel: copies and checksums; and what calling the kernel costs at least.

use std::hint::black_box;
use std::time::Duration;

use super::Limit;
use super::stopwatch::repeat;

/// Far beyond every cache.
const DRAM_BYTES: usize = 256 << 20;
/// Twice this, source and target, lies in the second-level cache.
const L2_BYTES: usize = 128 << 10;
/// A large batch.
const CHECKED_BYTES: usize = 1 << 20;
/// Calls between two looks at the clock.
const CALLS: u64 = 1000;

pub(super) fn limits(each: Duration) -> Vec<Limit> {
    let mut limits = Vec::new();
    for (name, bytes) in [("memcpy_dram", DRAM_BYTES), ("memcpy_l2", L2_BYTES)] {
        let from = vec![1_u8; bytes];
        let mut to = vec![0_u8; bytes];
        // Both are touched before, so that no page fault is measured.
        to.copy_from_slice(&from);
        let (spent, count) = repeat(each, || black_box(&mut to).copy_from_slice(black_box(&from)));
        limits.push(spent.bytes(name, bytes as u64 * count));
    }
    let checked = vec![1_u8; CHECKED_BYTES];
    let (spent, count) = repeat(each, || {
        black_box(crc32c::crc32c(black_box(&checked)));
    });
    limits.push(spent.bytes("crc32c", CHECKED_BYTES as u64 * count));
    let (spent, count) = repeat(each, || {
        for _ in 0..CALLS {
            // SAFETY: the call takes nothing and answers a number; the C library does not keep it.
            black_box(unsafe { libc::getppid() });
        }
    });
    limits.push(spent.operations("system_call", CALLS * count));
    limits
}
