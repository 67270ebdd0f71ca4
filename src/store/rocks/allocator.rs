//! The C library's allocator, which RocksDB uses; Rust has its own.

use std::sync::Once;

/// Freed memory that is kept: what the memtables take while one is written out and the next is filled.
const KEPT_BYTES: libc::c_int = 256 << 20;
/// Larger blocks are mapped by themselves; the most that the C library takes.
const MAPPED_BYTES_MIN: libc::c_int = 32 << 20;

/// Keeps the memory of a memtable that was written out for the next one. By default it goes back to the kernel, block by block,
/// and each page of the next memtable costs a fault and its clearing: 0.2 CPU-seconds per GB produced.
pub(super) fn keep_memtables() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        #[cfg(target_env = "gnu")]
        // SAFETY: the calls set parameters and touch no memory of ours.
        unsafe {
            // Memtables are filled and freed on different threads; in one arena they find each other's memory.
            libc::mallopt(libc::M_ARENA_MAX, 1);
            libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES);
            libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES_MIN);
        }
    });
}
