//! The thread that makes writes durable, and only then shows them to readers and answers.
//!
//! It takes all groups that were handed to it, syncs once for them all, and runs their consequences in order. A group that is
//! covered by an earlier sync, such as one of duplicates only, needs none. A sync that was asked for by `flush.messages` or
//! `flush.ms` of a relaxed topic comes without consequences.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::group::Consequences;
use super::start::Fatal;
use super::sync_under_way::SyncUnderWay;
use crate::log::catalog::Catalog;
use crate::log::offsets::CommittedOffsets;
use crate::store::{Store, StoreError};

/// What the writer hands over.
enum Job {
    /// Run `consequences` once everything up to `sequence` is durable.
    Group { sequence: u64, consequences: Consequences },
    /// Have everything up to `sequence` durable within the time.
    Within { sequence: u64, at: Instant },
}

/// What writer and syncer both know.
struct Shared {
    /// Newest sequence number that a sync covers.
    synced: AtomicU64,
    /// Newest sequence number whose consequences have run.
    published: AtomicU64,
    /// Newest sequence number written.
    written: AtomicU64,
    /// A write or sync has failed: nothing more is answered.
    failed: AtomicBool,
    fatal: std::sync::Mutex<Option<Fatal>>,
    under_way: Arc<SyncUnderWay>,
}

/// The writer's end of the sync thread; the thread ends when it is dropped.
pub(super) struct Syncer {
    jobs: Sender<Job>,
    shared: Arc<Shared>,
    thread: std::thread::JoinHandle<()>,
}

impl Syncer {
    /// Starts the thread.
    pub fn start(
        store: &Arc<dyn Store>,
        catalog: &Arc<Catalog>,
        offsets: &Arc<CommittedOffsets>,
        fatal: Fatal,
    ) -> std::io::Result<Self> {
        let (jobs, queue) = channel();
        let sequence = store.sequence();
        let shared = Arc::new(Shared {
            synced: AtomicU64::new(sequence),
            published: AtomicU64::new(sequence),
            written: AtomicU64::new(sequence),
            failed: AtomicBool::new(false),
            fatal: std::sync::Mutex::new(Some(fatal)),
            under_way: Arc::default(),
        });
        let thread = Thread {
            store: Arc::clone(store),
            catalog: Arc::clone(catalog),
            offsets: Arc::clone(offsets),
            shared: Arc::clone(&shared),
            syncs: metrics::histogram!(crate::metrics::WAL_SYNC_DURATION_SECONDS),
        };
        let watch = PanicWatch(Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("engine-syncer".to_owned()).spawn(move || {
            let _watch = watch;
            thread.run(&queue);
        })?;
        Ok(Self { jobs, shared, thread })
    }

    /// The sync that is under way, for those who tell operators.
    pub fn under_way(&self) -> Arc<SyncUnderWay> {
        Arc::clone(&self.shared.under_way)
    }

    /// Newest sequence number that a sync covers.
    pub fn synced(&self) -> u64 {
        self.shared.synced.load(Ordering::Acquire)
    }

    /// Newest sequence number of a group that readers and callers know all about.
    pub fn published(&self) -> u64 {
        self.shared.published.load(Ordering::Acquire)
    }

    /// Whether a write or sync has failed.
    pub fn has_failed(&self) -> bool {
        self.shared.failed.load(Ordering::Acquire)
    }

    /// Takes note of a write.
    pub fn written(&self, sequence: u64) {
        self.shared.written.store(sequence, Ordering::Release);
    }

    /// Runs `consequences` once everything up to `sequence` is durable.
    pub fn hand_over(&self, sequence: u64, consequences: Consequences) {
        // The thread ends before the writer only after a failure, and then nothing may be answered.
        let _ = self.jobs.send(Job::Group { sequence, consequences });
    }

    /// Has everything up to `sequence` durable within the time.
    pub fn sync_within(&self, sequence: u64, within: Duration) {
        // A time that the clock cannot express is never.
        if let Some(at) = Instant::now().checked_add(within) {
            let _ = self.jobs.send(Job::Within { sequence, at });
        }
    }

    /// Tells of a failed write.
    pub fn fail(&self, error: StoreError) {
        self.shared.fail(error);
    }

    /// Finishes what was handed over and ends the thread. If all of it is synced, answers who is to be told should a later write fail;
    /// if not, he has been told, and nothing may be written any more.
    pub fn finish(self) -> Option<Fatal> {
        drop(self.jobs);
        let is_synced = self.thread.join().is_ok() && !self.shared.failed.load(Ordering::Acquire);
        self.shared.fatal.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take().filter(|_| is_synced)
    }
}

impl Shared {
    fn fail(&self, error: StoreError) {
        self.failed.store(true, Ordering::Release);
        let fatal = self.fatal.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(fatal) = fatal {
            fatal(error);
        }
    }
}

/// Held by the thread; tells of its panic as of a failed write, for nobody would answer any more.
struct PanicWatch(Arc<Shared>);

impl Drop for PanicWatch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(StoreError::Failed("the engine's syncer panicked".to_owned()));
        }
    }
}

struct Thread {
    store: Arc<dyn Store>,
    catalog: Arc<Catalog>,
    offsets: Arc<CommittedOffsets>,
    shared: Arc<Shared>,
    syncs: metrics::Histogram,
}

impl Thread {
    fn run(&self, queue: &Receiver<Job>) {
        let mut due = Due(None);
        loop {
            let first = match due.0 {
                None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some((at, _)) => queue.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            let mut groups = Vec::new();
            let mut target = 0;
            match first {
                Ok(job) => {
                    for job in std::iter::once(job).chain(queue.try_iter()) {
                        match job {
                            Job::Group { sequence, consequences } => {
                                target = target.max(sequence);
                                groups.push((sequence, consequences));
                            }
                            Job::Within { sequence, at } => due.add(sequence, at),
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => target = due.0.map_or(0, |(_, sequence)| sequence),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if let Err(error) = self.sync_up_to(target) {
                self.shared.fail(error);
                return;
            }
            let synced = self.shared.synced.load(Ordering::Acquire);
            due.synced(synced);
            for (sequence, consequences) in groups {
                // A write that failed meanwhile freezes what readers see, too.
                if self.shared.failed.load(Ordering::Acquire) {
                    return;
                }
                consequences.run(&self.catalog, &self.offsets);
                self.shared.published.store(sequence, Ordering::Release);
            }
        }
    }

    fn sync_up_to(&self, sequence: u64) -> Result<(), StoreError> {
        if sequence <= self.shared.synced.load(Ordering::Acquire) {
            return Ok(());
        }
        let written = self.shared.written.load(Ordering::Acquire);
        let began = Instant::now();
        self.shared.under_way.begin(began);
        let synced = self.store.sync();
        self.shared.under_way.end();
        synced?;
        self.syncs.record(began.elapsed());
        self.shared.synced.store(written, Ordering::Release);
        Ok(())
    }
}

/// The sync that relaxed topics asked for: when it is due, and up to which sequence number.
struct Due(Option<(Instant, u64)>);

impl Due {
    /// One sync does for all who asked; the earliest time counts.
    fn add(&mut self, sequence: u64, at: Instant) {
        let (earliest, newest) = self.0.unwrap_or((at, sequence));
        self.0 = Some((earliest.min(at), newest.max(sequence)));
    }

    /// Up to `sequence` all is durable: what nobody needs any more would come due for ever.
    fn synced(&mut self, sequence: u64) {
        self.0 = self.0.filter(|(_, newest)| *newest > sequence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sync_is_due_at_the_earliest_time_and_until_the_newest_write_is_durable() {
        let (early, late) = (Instant::now(), Instant::now() + Duration::from_secs(1));
        let mut due = Due(None);
        due.add(5, early);
        due.add(7, late);
        due.add(6, late);
        due.synced(6);
        assert_eq!(due.0, Some((early, 7)));
        due.synced(7);
        assert_eq!(due.0, None);
        due.add(9, late);
        due.add(8, early);
        assert_eq!(due.0, Some((early, 9)));
    }
}
