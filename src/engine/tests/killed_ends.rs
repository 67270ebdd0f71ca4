//! The process is killed before and after each of the writes that an end takes, and before and after each of those by which the next
//! start completes it: SIGKILL, on RocksDB. The process is this test's program once more, told by [`POINT`] what to do.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::harness::{TestEngine, TestTime};
use super::split_end::{EndedBy, Seen, look, open_transaction, rounds, settings_of_slices};
use crate::engine::command::TransactionProducer;
use crate::store::layer::as_below;
use crate::store::rocks::{RocksStore, StoreOptions};
use crate::store::{Rows, Store, StoreError};
use crate::transaction::TransactionVersion;

/// What the killed process does, in words: [`Task`].
const POINT: &str = "EINMAL_TEST_FAIL_POINT";
const TEST: &str = "engine::tests::killed_ends::a_kill_at_each_write_of_an_end_leaves_all_of_it_or_nothing";
const VERSIONS: [TransactionVersion; 2] = [TransactionVersion::V1, TransactionVersion::V2];
const SIGKILL: i32 = 9;

/// Where the process dies: before or after one of its writes, counted from when the point is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FailPoint {
    write: usize,
    is_after: bool,
}

impl FailPoint {
    fn all() -> impl Iterator<Item = Self> {
        (0..).flat_map(|write| [false, true].map(|is_after| Self { write, is_after }))
    }

    /// Writes that were made.
    fn made(self) -> usize {
        self.write + usize::from(self.is_after)
    }
}

/// RocksDB, until the point is reached.
struct DyingStore {
    rocks: RocksStore,
    point: Mutex<Option<FailPoint>>,
}

impl DyingStore {
    fn open(dir: &Path, point: Option<FailPoint>) -> Self {
        let options = StoreOptions { memtable_bytes: 4 << 20, block_cache_bytes: 1 << 20, ..StoreOptions::default() };
        let rocks = RocksStore::open(dir, &options).expect("opens").store;
        Self { rocks, point: Mutex::new(point) }
    }

    fn set(&self, point: Option<FailPoint>) {
        *self.point.lock().unwrap_or_else(PoisonError::into_inner) = point;
    }
}

/// Ends this process at once.
fn die() -> ! {
    let killed = Command::new("kill").args(["-KILL", &std::process::id().to_string()]).status();
    unreachable!("SIGKILL lets nobody go on: {killed:?}")
}

impl Store for DyingStore {
    as_below!(
        rocks: sync, sequence, get, scan, scan_range, last_before, read_log, scan_log, reclaim_log_range, move_log_range,
        move_oldest_batches, batch_space, slices, disk_space, stats, close,
    );

    fn write(&self, rows: &Rows, synced: u64) -> Result<u64, StoreError> {
        let mut point = self.point.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(next) = point.as_mut() else { return self.rocks.write(rows, synced) };
        if next.write > 0 {
            next.write -= 1;
            return self.rocks.write(rows, synced);
        }
        if next.is_after {
            self.rocks.write(rows, synced)?;
        }
        die()
    }
}

/// What the process is to die at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    /// An end, from an empty directory.
    End,
    /// The start that finds it begun.
    Recovery,
}

fn start(dir: &Path, by: EndedBy, point: Option<FailPoint>) -> TestEngine<DyingStore> {
    let time = TestTime::new(1);
    // The next start comes no sooner than the kill.
    time.advance(by.after_ms());
    TestEngine::start_on_store(DyingStore::open(dir, point), time, settings_of_slices())
}

/// Stops in order, so that no thread is in RocksDB when the process ends.
async fn stop(broker: TestEngine<DyingStore>) {
    broker.store.set(None);
    broker.engine().stop().await.expect("stops");
}

/// The process that dies, unless there are fewer writes than the point tells.
async fn act(task: Task, dir: &Path, version: TransactionVersion, by: EndedBy, point: FailPoint) {
    let broker = match task {
        Task::End => {
            let store = DyingStore::open(dir, None);
            let broker = TestEngine::start_on_store(store, TestTime::new(1), settings_of_slices());
            let producer = open_transaction(&broker, version).await;
            broker.store.set(Some(point));
            by.begin(&broker, &producer).await.await.expect("no panic");
            broker
        }
        Task::Recovery => {
            let broker = start(dir, by, Some(point));
            rounds(&broker).await;
            broker
        }
    };
    stop(broker).await;
}

/// The same in a process of its own. Answers whether it died of it.
fn kill(task: Task, dir: &Path, version: TransactionVersion, by: EndedBy, point: FailPoint) -> bool {
    let words = format!("{task:?} {version:?} {by:?} {} {} {}", point.write, point.is_after, dir.display());
    let mut process = Command::new(std::env::current_exe().expect("known"));
    let ended = process.args(["--exact", TEST]).env(POINT, &words).output().expect("runs");
    let died = ended.status.signal() == Some(SIGKILL);
    assert!(died || ended.status.success(), "{words}, {}: {}", ended.status, String::from_utf8_lossy(&ended.stdout));
    died
}

async fn act_as_told(words: &str) {
    let mut words = words.splitn(6, ' ');
    let mut word = || words.next().expect("six words");
    let task = if word() == "End" { Task::End } else { Task::Recovery };
    let version = if word() == "V1" { TransactionVersion::V1 } else { TransactionVersion::V2 };
    let name = word();
    let by = EndedBy::ALL.into_iter().find(|by| format!("{by:?}") == name).expect("a name");
    let point = FailPoint { write: word().parse().expect("a number"), is_after: word() == "true" };
    act(task, Path::new(word()), version, by, point).await;
    // RocksDB aborts when C++ takes its globals down under a thread that still holds the store, as in `app::end`.
    // SAFETY: the call takes a number and does not return.
    unsafe { libc::_exit(0) }
}

/// What is seen before the end and after it, of a broker that nobody kills, and the producer.
async fn unkilled(version: TransactionVersion, by: EndedBy) -> (Seen, Seen, TransactionProducer) {
    let broker = TestEngine::start_with(settings_of_slices());
    let producer = open_transaction(&broker, version).await;
    let before = look(&broker).await;
    by.begin(&broker, &producer).await.await.expect("no panic");
    (before, look(&broker).await, producer)
}

/// Also what the killed processes run, told by [`POINT`].
#[tokio::test]
async fn a_kill_at_each_write_of_an_end_leaves_all_of_it_or_nothing() {
    if let Ok(words) = std::env::var(POINT) {
        return act_as_told(&words).await;
    }
    for (version, by) in VERSIONS.into_iter().flat_map(|version| EndedBy::ALL.map(|by| (version, by))) {
        let (before, ended, producer) = unkilled(version, by).await;
        for point in FailPoint::all() {
            let case = format!("{version:?} {by:?} {point:?}");
            let dir = tempfile::tempdir().expect("a directory");
            if !kill(Task::End, dir.path(), version, by, point) {
                assert!(point.write >= 4, "{case}: too few writes");
                break;
            }
            let broker = start(dir.path(), by, None);
            if point.made() == 0 {
                assert_eq!(look(&broker).await, before, "{case}: nothing of it");
                by.begin(&broker, &producer).await.await.expect("no panic");
                // The broker looks later for what is late.
                assert_eq!(look(&broker).await.timeless(), ended.clone().timeless(), "{case}, ended anew");
            } else {
                rounds(&broker).await;
                assert_eq!(look(&broker).await, ended, "{case}");
            }
            stop(broker).await;
        }
    }
}

#[tokio::test]
async fn a_kill_at_each_write_of_the_start_that_completes_an_end_leaves_it_to_the_next() {
    // The markers of V2 are the ones that a second time could be refused (KAFKA-19999).
    let version = TransactionVersion::V2;
    for by in EndedBy::ALL {
        let (_, ended, _) = unkilled(version, by).await;
        for point in FailPoint::all() {
            let case = format!("{by:?}, completed until {point:?}");
            let dir = tempfile::tempdir().expect("a directory");
            let begun = FailPoint { write: 0, is_after: true };
            assert!(kill(Task::End, dir.path(), version, by, begun), "{case}");
            if !kill(Task::Recovery, dir.path(), version, by, point) {
                assert!(point.write >= 3, "{case}: too few writes");
                break;
            }
            let broker = start(dir.path(), by, None);
            rounds(&broker).await;
            assert_eq!(look(&broker).await, ended, "{case}");
            stop(broker).await;
        }
    }
}
