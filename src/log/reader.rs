//! Reads the log for connections: the tail cache first, else a reader thread and the store.
//!
//! A fixed pool of threads does what blocks, so that a cold read never holds up a connection's worker; what waits for a thread is
//! bounded, and whoever comes later waits for a place.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, oneshot};

use super::aborted::{self, ABORTED_MAX, AbortedIn};
use super::partition::Partition;
pub use super::search::SearchBudget;
use super::search::{self, Bounds};
use crate::metrics::{TAIL_CACHE_HITS_TOTAL, TAIL_CACHE_MISSES_TOTAL};
use crate::store::{Store, StoreError, StoredBatch};
use crate::types::{LeaderEpoch, Offset, Timestamp};

/// Reads queued or running at a time, all connections together.
const READS_QUEUED_MAX: usize = 1024;

/// A record found by its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampHit {
    /// Its offset.
    pub offset: Offset,
    /// Its time, ms.
    pub timestamp: Timestamp,
    /// Epoch of its batch.
    pub leader_epoch: LeaderEpoch,
}

/// What a search asks from time to time: whether somebody still waits for its answer.
pub(super) type IsWanted<'a> = &'a dyn Fn() -> bool;

type Job = Box<dyn FnOnce(&dyn Store) + Send>;

/// Reads batches and finds records by time. Cheap to clone; the threads end with the last clone.
#[derive(Debug, Clone)]
pub struct LogReader {
    jobs: Sender<Job>,
    places: Arc<Semaphore>,
    /// Searches by time may take long: where there are several threads, one is left to reads.
    searches: Arc<Semaphore>,
    hits: metrics::Counter,
    misses: metrics::Counter,
}

impl LogReader {
    /// Starts `threads` reader threads over `store`.
    ///
    /// # Errors
    /// What the system says when it has no thread to give.
    pub fn start(store: &Arc<dyn Store>, threads: usize) -> std::io::Result<Self> {
        let (jobs, queue) = channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        for index in 0..threads.max(1) {
            let (queue, store) = (Arc::clone(&queue), Arc::clone(store));
            std::thread::Builder::new()
                .name(format!("log-reader-{index}"))
                .spawn(move || run_jobs(&queue, store.as_ref()))?;
        }
        Ok(Self {
            jobs,
            places: Arc::new(Semaphore::new(READS_QUEUED_MAX)),
            searches: Arc::new(Semaphore::new(threads.saturating_sub(1).max(1))),
            hits: metrics::counter!(TAIL_CACHE_HITS_TOTAL),
            misses: metrics::counter!(TAIL_CACHE_MISSES_TOTAL),
        })
    }

    /// Whole batches that hold offsets in `[from, to)`, beginning with the one that holds `from`, at most `bytes_max` bytes but
    /// always the first. `to` is the caller's upper bound (high watermark, last stable offset); batches that reach beyond it are
    /// left out. Answers at once, without a thread switch, when the tail cache holds them. Nothing comes back if the log start
    /// moves beyond `from` meanwhile, for what follows a deleted batch would pass for what follows `from`.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails or what it holds is damaged.
    pub async fn read(
        &self,
        partition: &Arc<Partition>,
        from: Offset,
        to: Offset,
        bytes_max: usize,
    ) -> Result<Vec<StoredBatch>, StoreError> {
        if from >= to {
            return Ok(Vec::new());
        }
        if let Some(batches) = partition.read_tail(from, to, bytes_max) {
            self.hits.increment(1);
            return Ok(batches);
        }
        self.misses.increment(1);
        let id = partition.id;
        let mut batches = self.run(move |store, _| store.read_log(id, from, to, bytes_max)).await?;
        batches.retain(|batch| batch.last_offset < to);
        if batches.first().is_some_and(|first| first.base_offset > from) && partition.offsets().log_start > from {
            batches.clear();
        }
        Ok(batches)
    }

    /// The aborted transactions that overlap the batches of `[from, to)`, which the caller has read and of which the first ends at
    /// `to_min`. Where there are more than an answer should hold, they are those of a shorter range, and what lies beyond it
    /// is to be left out. Answers at once where none was aborted.
    ///
    /// # Errors
    /// As [`LogReader::read`].
    pub async fn aborted(
        &self,
        partition: &Arc<Partition>,
        from: Offset,
        to: Offset,
        to_min: Offset,
    ) -> Result<AbortedIn, StoreError> {
        let aborted_end = partition.aborted_end();
        if from >= aborted_end {
            return Ok(AbortedIn::none(to));
        }
        let id = partition.id;
        let found = self.run(move |store, _| aborted::aborted_in(store, id, from, to, to_min, ABORTED_MAX)).await?;
        if found.is_last {
            partition.none_aborted_from(from, aborted_end);
        }
        Ok(found)
    }

    /// The first record at or after `timestamp` with an offset in `[log start, to)`. Once `budget`, which all searches of a request
    /// share, is used up, headers of batches are believed: the answer is then the start of a batch whose header tells such a
    /// time, never behind the record that was asked for. Dropping the future ends the search.
    ///
    /// # Errors
    /// As [`LogReader::read`].
    pub async fn offset_for_timestamp(
        &self,
        partition: &Arc<Partition>,
        timestamp: Timestamp,
        to: Offset,
        budget: &Arc<SearchBudget>,
    ) -> Result<Option<TimestampHit>, StoreError> {
        let budget = Arc::clone(budget);
        let (id, from) = (partition.id, partition.offsets().log_start);
        let _search = self.searches.acquire().await.map_err(|_| gone())?;
        self.run(move |store, is_wanted| {
            search::first_at_or_after(store, id, timestamp, from..to, Bounds { budget: &budget, is_wanted })
        })
        .await
    }

    /// The record with the largest timestamp in `[log start, to)`, the first of them if several (ListOffsets -3). Without `budget`
    /// the start of the batch whose header tells the largest. Dropping the future ends the search.
    ///
    /// # Errors
    /// As [`LogReader::read`].
    pub async fn max_timestamp(
        &self,
        partition: &Arc<Partition>,
        to: Offset,
        budget: &Arc<SearchBudget>,
    ) -> Result<Option<TimestampHit>, StoreError> {
        let budget = Arc::clone(budget);
        let (id, from) = (partition.id, partition.offsets().log_start);
        let _search = self.searches.acquire().await.map_err(|_| gone())?;
        self.run(move |store, is_wanted| {
            search::max_timestamp(store, id, from, to, Bounds { budget: &budget, is_wanted })
        })
        .await
    }

    /// Sequence number of the store's newest write: it rises with all that is committed, over restarts, too.
    ///
    /// # Errors
    /// [`StoreError`] if the reader threads have ended.
    pub async fn store_sequence(&self) -> Result<u64, StoreError> {
        self.run(|store, _| Ok(store.sequence())).await
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&dyn Store, IsWanted<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| gone())?;
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |store| {
            // A reader that has left meanwhile takes its answer with it.
            if !answer.is_closed() {
                let found = job(store, &|| !answer.is_closed());
                let _ = answer.send(found);
            }
            drop(place);
        });
        self.jobs.send(job).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

fn gone() -> StoreError {
    StoreError::Failed("the reader threads have ended".to_owned())
}

fn run_jobs(queue: &Mutex<Receiver<Job>>, store: &dyn Store) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            // A defect met by one read is that read's: the thread has others to serve. The caller finds its channel closed.
            Ok(job) => drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job(store)))),
            Err(_) => return,
        }
    }
}
