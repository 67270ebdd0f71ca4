//! Power cuts, kills and damage: what a start makes of what it finds.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::store::tests::{PARTITION, append, batch, small};
use crate::store::wal::{Synced, SyncedFile};
use crate::types::Uuid;

const WRITES: u64 = 64;
const BATCH_BYTES: u32 = 4096;
const BEFORE: Option<Uuid> = Some(Uuid::from_u128(1));
const AFTER_POWER_CUT: Option<Uuid> = Some(Uuid::from_u128(2));

fn open(dir: &Path, boot_id: Option<Uuid>) -> Result<Opened, OpenError> {
    RocksStore::open_in(dir, &small(), "", boot_id)
}

/// The newest log with something in it.
fn log(dir: &Path) -> PathBuf {
    let entries = fs::read_dir(dir.join("db")).unwrap().map(|entry| entry.unwrap().path());
    let logs = entries.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.filter(|path| fs::metadata(path).unwrap().len() > 0).max().expect("a log with records")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target)
        } else {
            fs::copy(entry.path(), target).map(|_| ()).unwrap()
        }
    }
}

/// [`WRITES`] writes of one batch each into a new directory, then the process is killed. Write `n` has sequence number `n + 1` and
/// carries `mark(n)`.
fn killed_after_writes(dir: &Path, mark: impl Fn(u64) -> u64) {
    let store = open(dir, BEFORE).unwrap().store;
    for number in 0..WRITES {
        let (key, bytes) = batch(PARTITION, number as Offset, 1, BATCH_BYTES);
        let mut rows = Rows::default();
        rows.put(key.encode(), bytes);
        assert_eq!(store.write(&rows, mark(number)).unwrap(), number + 1);
    }
}

#[test]
fn what_is_noted_as_synced_is_the_last_that_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), BEFORE).unwrap().store;
    append(&store, PARTITION, 0, 1, BATCH_BYTES);
    append(&store, PARTITION, 1, 1, BATCH_BYTES);
    assert_eq!(store.sequence(), 2);
    store.sync().unwrap();
    let noted = || SyncedFile::open(dir.path()).unwrap().1.expect("a whole file").sequence;
    while noted() == 0 {
        std::thread::yield_now();
    }
    assert_eq!(noted(), 2);
}

fn set_synced(dir: &Path, sequence: u64) {
    let mut file = SyncedFile::open(dir).unwrap().0;
    file.write(Synced { sequence, clean: false, boot_id: BEFORE }).unwrap();
}

/// Number of batches, which must be the first ones.
fn batches(store: &RocksStore) -> u64 {
    let batches = store.read_log(PARTITION, 0, Offset::MAX, usize::MAX).unwrap();
    for (number, batch) in batches.iter().enumerate() {
        assert_eq!(batch.base_offset, number as Offset, "a hole in the log");
    }
    batches.len() as u64
}

/// Where write `number` begins in the log, by the layout of the format: every write is of one size here.
fn offset_of(log: &[u8], number: u64) -> usize {
    let sequence = (number + 1).to_le_bytes();
    let head = [&sequence[..], &1u32.to_le_bytes(), &[3, 11], b"eM1"].concat();
    log.windows(head.len()).position(|window| window == head).expect("the write is in the log") - 7
}

enum Damage {
    None,
    CutInLast,
    BitInLast,
    BitInTenth,
    PageInside,
    ZeroedAtBorder,
    ZeroedToEnd,
    ZerosAppended,
    StartZeroed,
    Removed,
}

fn damage(path: &Path, damage: &Damage) {
    let mut log = fs::read(path).unwrap();
    let end = log.len();
    let (seventh, tenth, fourteenth, last) =
        (offset_of(&log, 7), offset_of(&log, 10), offset_of(&log, 14), offset_of(&log, WRITES - 1));
    match damage {
        Damage::None => {}
        Damage::CutInLast => log.truncate(end - 1000),
        Damage::BitInLast => log[last + 2000] ^= 4,
        Damage::BitInTenth => log[tenth + 2000] ^= 4,
        Damage::PageInside => log[tenth + 100..tenth + 2000].fill(0),
        Damage::ZeroedAtBorder => log[seventh..fourteenth].fill(0),
        Damage::ZeroedToEnd => log[tenth..].fill(0),
        Damage::ZerosAppended => log.resize(end + 10_000, 0),
        Damage::StartZeroed => log[..4096].fill(0),
        Damage::Removed => return fs::remove_file(path).unwrap(),
    }
    fs::write(path, log).unwrap();
}

/// What a start does: opens with so many batches, or refuses with or without knowing that durable data is gone.
#[derive(Debug, PartialEq, Eq)]
enum Start {
    Opens(u64),
    Refuses { acknowledged: bool },
}
use Start::Opens;
const SUSPECT: Start = Start::Refuses { acknowledged: false };
const LOST: Start = Start::Refuses { acknowledged: true };

fn start(dir: &Path, boot_id: Option<Uuid>) -> Start {
    match open(dir, boot_id) {
        Ok(opened) => Opens(batches(&opened.store)),
        Err(error @ OpenError::Damaged { acknowledged, .. }) => {
            assert_eq!(error.exit_code(), 4);
            Start::Refuses { acknowledged }
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn damage_to_what_was_durable_is_refused_and_a_torn_tail_is_cut() {
    use Damage::*;
    let unmarked = tempfile::tempdir().unwrap();
    killed_after_writes(unmarked.path(), |_| 0);
    // Each write knows that those up to the third before it are durable.
    let marked = tempfile::tempdir().unwrap();
    killed_after_writes(marked.path(), |number| number.saturating_sub(2));

    // Damage; then the start after a kill, after a power cut with nothing durable, with marks in the writes, and with all
    // durable according to the file.
    for (name, kind, kill, cut_unmarked, cut_marked, cut_durable) in [
        ("none", None, Opens(64), Opens(64), Opens(64), Opens(64)),
        ("cut in the last write", CutInLast, Opens(63), Opens(63), Opens(63), LOST),
        ("bit in the last write", BitInLast, SUSPECT, Opens(63), Opens(63), LOST),
        ("bit in write 10", BitInTenth, SUSPECT, Opens(10), LOST, LOST),
        ("page inside write 10", PageInside, SUSPECT, Opens(10), LOST, LOST),
        ("writes 7 to 13 zeroed", ZeroedAtBorder, SUSPECT, Opens(7), LOST, LOST),
        ("zeroed from write 10 on", ZeroedToEnd, SUSPECT, Opens(10), Opens(10), LOST),
        ("zeros behind the end", ZerosAppended, SUSPECT, Opens(64), Opens(64), Opens(64)),
        ("start zeroed", StartZeroed, SUSPECT, Opens(0), LOST, LOST),
        ("removed", Removed, Opens(0), Opens(0), Opens(0), LOST),
    ] {
        for (case, source, synced, boot_id, expected) in [
            ("kill", &unmarked, 0, BEFORE, kill),
            ("power cut", &unmarked, 0, AFTER_POWER_CUT, cut_unmarked),
            ("power cut, marks", &marked, 0, AFTER_POWER_CUT, cut_marked),
            ("power cut, file", &unmarked, WRITES, AFTER_POWER_CUT, cut_durable),
        ] {
            let dir = tempfile::tempdir().unwrap();
            copy(source.path(), dir.path());
            damage(&log(dir.path()), &kind);
            set_synced(dir.path(), synced);
            let first = start(dir.path(), boot_id);
            assert_eq!(first, expected, "{name}, {case}");
            assert_eq!(start(dir.path(), boot_id), expected, "{name}, {case}: the second start finds the same");
        }
    }
}

#[test]
fn accepted_loss_opens_with_what_was_before_it_and_keeps_the_rest_aside() {
    let dir = tempfile::tempdir().unwrap();
    killed_after_writes(dir.path(), |number| number);
    damage(&log(dir.path()), &Damage::BitInTenth);
    set_synced(dir.path(), WRITES);
    let before = fs::read(log(dir.path())).unwrap();
    assert_eq!(start(dir.path(), BEFORE), LOST);
    assert_eq!(fs::read(log(dir.path())).unwrap(), before, "a refused directory is not changed");

    let options = StoreOptions { accept_loss: true, ..small() };
    let opened = RocksStore::open_in(dir.path(), &options, "", BEFORE).unwrap();
    assert_eq!(batches(&opened.store), 10);
    let cut = opened.recovery.cut.unwrap();
    let kept = fs::read_dir(&cut.kept_in).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    assert_eq!(kept.collect::<Vec<_>>(), [&before[cut.offset as usize..]]);
    append(&opened.store, PARTITION, 10, 1, BATCH_BYTES);
    drop(opened.store);
    assert_eq!(start(dir.path(), BEFORE), Opens(11));
}

#[test]
fn cut_at_every_byte_keeps_whole_writes_and_never_less_than_was_synced() {
    const SYNCED_WRITES: u64 = 3;
    let source = tempfile::tempdir().unwrap();
    let mut ends = Vec::new();
    {
        let store = open(source.path(), BEFORE).unwrap().store;
        for number in 0..6u8 {
            let mut rows = Rows::default();
            rows.put(vec![0x60, number, 0], &b"a"[..]);
            rows.put(vec![0x60, number, 1], &b"b"[..]);
            store.write(&rows, 0).unwrap();
            ends.push(fs::metadata(log(source.path())).unwrap().len());
        }
    }
    let dir = tempfile::tempdir().unwrap();
    for cut in ends[1]..=ends[5] {
        let dir = dir.path().join(cut.to_string());
        copy(source.path(), &dir);
        fs::File::options().write(true).open(log(&dir)).unwrap().set_len(cut).unwrap();
        set_synced(&dir, 2 * SYNCED_WRITES);
        let whole_writes = ends.iter().filter(|end| **end <= cut).count() as u64;
        // A kill leaves the same file as a power cut here, and must be judged alike.
        match open(&dir, if cut % 2 == 0 { BEFORE } else { AFTER_POWER_CUT }) {
            Ok(opened) => {
                let mut rows = 0;
                opened.store.scan(&[0x60], &mut |_, _| rows += 1).unwrap();
                assert!(whole_writes >= SYNCED_WRITES, "cut at {cut} lost a synced write");
                assert_eq!(rows, 2 * whole_writes, "cut at {cut}");
            }
            Err(OpenError::Damaged { acknowledged: true, .. }) => {
                assert!(whole_writes < SYNCED_WRITES, "cut at {cut} lost nothing that was synced");
            }
            Err(error) => panic!("cut at {cut}: {error}"),
        }
        fs::remove_dir_all(&dir).unwrap();
    }
}

#[test]
fn kill_loses_nothing_and_a_clean_stop_leaves_nothing_to_replay() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path(), BEFORE).unwrap();
    assert!(first.recovery.clean, "a new directory");
    append(&first.store, PARTITION, 0, 1, BATCH_BYTES);
    drop(first);

    let killed = open(dir.path(), BEFORE).unwrap();
    assert!(!killed.recovery.clean);
    assert!(killed.recovery.replayed_bytes > u64::from(BATCH_BYTES), "{:?}", killed.recovery);
    assert_eq!(batches(&killed.store), 1);
    append(&killed.store, PARTITION, 1, 1, BATCH_BYTES);
    killed.store.sync().unwrap();
    killed.store.close().unwrap();
    drop(killed);

    let stopped = open(dir.path(), BEFORE).unwrap();
    assert!(stopped.recovery.clean);
    assert_eq!((stopped.recovery.replayed_bytes, &stopped.recovery.cut), (0, &None));
    assert_eq!((batches(&stopped.store), stopped.store.sequence()), (2, 2));
    drop(stopped);
    assert!(!open(dir.path(), BEFORE).unwrap().recovery.clean, "the run before did not stop in order");
}

#[test]
fn log_that_is_in_tables_already_is_not_missed_and_not_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), BEFORE).unwrap().store;
    (0..3).for_each(|number| append(&store, PARTITION, number, 1, BATCH_BYTES));
    let old = log(dir.path());
    let mut old_bytes = fs::read(&old).unwrap();
    store.database.db.flush().unwrap();
    (3..5).for_each(|number| append(&store, PARTITION, number, 1, BATCH_BYTES));
    assert_ne!(log(dir.path()), old, "the flush began a new log");
    drop(store);
    // Left behind by a crash between the flush and its removal, and damaged on top.
    old_bytes[500] ^= 1;
    fs::write(&old, old_bytes).unwrap();
    set_synced(dir.path(), 5);
    assert_eq!(start(dir.path(), BEFORE), Opens(5));
}

#[test]
fn database_that_is_gone_is_not_made_anew_in_silence() {
    let dir = tempfile::tempdir().unwrap();
    killed_after_writes(dir.path(), |_| 0);
    set_synced(dir.path(), WRITES);
    fs::remove_dir_all(dir.path().join("db")).unwrap();
    assert_eq!(start(dir.path(), AFTER_POWER_CUT), LOST);
    assert!(!dir.path().join("db").exists());
}

#[test]
fn flipped_bit_in_a_blob_file_is_reported_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), BEFORE).unwrap().store;
    append(&store, PARTITION, 0, 1, BATCH_BYTES);
    store.close().unwrap();
    drop(store);
    let entries = fs::read_dir(dir.path().join("db")).unwrap().map(|entry| entry.unwrap().path());
    let blob = entries.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "blob")).unwrap();
    let mut bytes = fs::read(&blob).unwrap();
    bytes[2000] ^= 1;
    fs::write(&blob, bytes).unwrap();
    let store = open(dir.path(), BEFORE).unwrap().store;
    let error = store.read_log(PARTITION, 0, 1, usize::MAX).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    let corruptions = (crate::metrics::STORAGE_CORRUPTION_TOTAL, 1);
    assert!(store.stats().counters.contains(&corruptions), "{:?}", store.stats());
}
