//! The page cache and the disk behind it, through files that are removed again.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Limit;
use super::stopwatch::Stopwatch;

/// Bytes of one write or read.
const CHUNK_BYTES: usize = 64 << 10;
/// Appends that are each synced.
const SYNCED: [usize; 4] = [4 << 10, 16 << 10, 256 << 10, 1 << 20];
/// Fewer have no percentiles.
const SYNCS_MIN: usize = 20;

pub(super) fn limits(directory: &Path, file_bytes: u64, each: Duration) -> io::Result<Vec<Limit>> {
    let mut limits = Vec::new();
    let scratch = Scratch::create(directory)?;
    let chunk = vec![1; CHUNK_BYTES];
    let mut read = vec![0; CHUNK_BYTES];
    let chunks = (file_bytes / CHUNK_BYTES as u64).max(1);
    let bytes = chunks * CHUNK_BYTES as u64;
    let places = || (0..chunks).map(|index| index * CHUNK_BYTES as u64);

    for name in ["write_new_pages", "write_overwrite"] {
        let watch = Stopwatch::start();
        places().try_for_each(|place| scratch.file.write_all_at(&chunk, place))?;
        limits.push(watch.spent().bytes(name, bytes));
    }
    let watch = Stopwatch::start();
    places().try_for_each(|place| scratch.file.read_exact_at(&mut read, place))?;
    limits.push(watch.spent().bytes("read_page_cache", bytes));

    let watch = Stopwatch::start();
    scratch.file.sync_data()?;
    limits.push(watch.spent().bytes("write_back", bytes));
    forget(&scratch.file);
    let watch = Stopwatch::start();
    places().try_for_each(|place| scratch.file.read_exact_at(&mut read, place))?;
    limits.push(watch.spent().bytes("read_cold", bytes));
    drop(scratch);

    for append_bytes in SYNCED {
        limits.push(append_and_sync(directory, append_bytes, each)?);
    }
    Ok(limits)
}

/// Appends and syncs until the time is over.
fn append_and_sync(directory: &Path, append_bytes: usize, each: Duration) -> io::Result<Limit> {
    let scratch = Scratch::create(directory)?;
    let chunk = vec![1; append_bytes];
    let mut times = Vec::new();
    let watch = Stopwatch::start();
    let began = Instant::now();
    while times.len() < SYNCS_MIN || began.elapsed() < each {
        let place = (times.len() * append_bytes) as u64;
        scratch.file.write_all_at(&chunk, place)?;
        let syncing = Instant::now();
        scratch.file.sync_data()?;
        times.push(syncing.elapsed());
    }
    let spent = watch.spent();
    let count = times.len();
    times.sort_unstable();
    let percentile = |part: usize| times.get(count * part / 100).map(|time| time.as_secs_f64() * 1e6);
    let name = format!("fdatasync_{}_kib", append_bytes >> 10);
    let of_bytes = spent.bytes("", (count * append_bytes) as u64);
    Ok(Limit {
        gb_per_s: of_bytes.gb_per_s,
        p50_us: percentile(50),
        p99_us: percentile(99),
        ..spent.operations(name, count as u64)
    })
}

/// Has the kernel drop the clean pages of `file`; without that the read is not cold, which its figure shows.
fn forget(file: &File) {
    // SAFETY: the call takes numbers, and the descriptor is open.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
}

/// A file that goes with its owner.
struct Scratch {
    file: File,
    path: PathBuf,
}

impl Scratch {
    fn create(directory: &Path) -> io::Result<Self> {
        let path = directory.join(format!(".einmal-limits-{}", std::process::id()));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        Ok(Self { file, path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed was said in its name.
        let _ = std::fs::remove_file(&self.path);
    }
}
