//! Compaction against a map of each key's last value, under transactions, restarts, power cuts in the middle and jumps of the clock.

mod model;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::harness::*;
use crate::engine::asker::Asker;
use crate::engine::background::Ending;
use crate::engine::cleaner::{CleanerSettings, Rounds};
use crate::engine::command::{Command, Compaction, Reindexed, Replaced};
use crate::engine::settings::Settings;
use crate::record::build::BatchBuilder;
use crate::record::codec::{self, Codec, DecompressionLimits};
use crate::record::records::records;
use crate::record::{BatchHeader, HEADER_BYTES};
use crate::store::schema::{
    CompactedRow, RowValue, SparseRow, aborted_key, aborted_prefix, compacted_key, log_prefix, log_range, sparse_key,
    sparse_of_key, sparse_prefix,
};
use crate::store::{Store, StoredBatch};
use crate::types::{ErrorCode, Offset, PartitionId, ProducerEpoch, ProducerId, Timestamp, TransactionResult};
use model::{Model, Step};

const HOUR: Timestamp = 3_600_000;

async fn compacted_topic() -> TestEngine {
    let broker = TestEngine::start();
    let configs =
        [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0"), ("delete.retention.ms", "3600000")];
    broker.create("t", &configs).await;
    broker
}

fn keyed(key: &str, value: Option<&str>) -> BatchBuilder {
    BatchBuilder::new().record(START_TIME, Some(key.as_bytes()), value.map(str::as_bytes))
}

async fn base_offsets(broker: &TestEngine) -> Vec<Offset> {
    broker.read("t").await.iter().map(|batch| batch.base_offset).collect()
}

#[tokio::test]
async fn a_tombstone_goes_after_its_time() {
    let broker = compacted_topic().await;
    let mut rounds = broker.cleaner();
    for batch in [keyed("a", Some("1")), keyed("a", None), keyed("b", Some("2"))] {
        broker.append("t", batch).await;
    }
    compact(&mut rounds);
    assert_eq!(base_offsets(&broker).await, [1, 2]);
    // A round comes about only with something new.
    for (advance_ms, expected) in [(HOUR - 1, vec![1, 2, 3]), (1, vec![2, 3, 4])] {
        broker.time.advance(advance_ms);
        broker.idle_round();
        broker.append("t", keyed(&format!("new {advance_ms}"), Some("3"))).await;
        compact(&mut rounds);
        assert_eq!(base_offsets(&broker).await, expected, "{advance_ms}");
    }
}

#[tokio::test]
async fn a_tombstone_that_was_seen_after_a_jump_of_the_clock_stays_for_its_time_too() {
    let broker = compacted_topic().await;
    let mut rounds = broker.cleaner();
    for batch in [keyed("a", Some("1")), keyed("a", None), keyed("b", Some("2"))] {
        broker.append("t", batch).await;
    }
    broker.time.jump(1000 * HOUR);
    broker.idle_round();
    // Half an hour later the jump is too old to count, for what is kept for an hour.
    for (advance_ms, expected) in
        [(HOUR / 2, vec![1, 2, 3]), (HOUR / 2, vec![1, 2, 3, 4]), (HOUR / 2, vec![2, 3, 4, 5])]
    {
        broker.time.advance(advance_ms);
        broker.idle_round();
        broker.append("t", keyed(&format!("new {}", broker.time.now()), Some("3"))).await;
        compact(&mut rounds);
        assert_eq!(base_offsets(&broker).await, expected);
    }
}

#[tokio::test]
async fn what_has_waited_for_max_compaction_lag_is_compacted_whatever_its_share() {
    let broker = TestEngine::start();
    let configs =
        [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "1"), ("max.compaction.lag.ms", "3600000")];
    broker.create("t", &configs).await;
    let mut rounds = broker.cleaner();
    for key in ["a", "a", "b"] {
        broker.append("t", keyed(key, Some("1"))).await;
    }
    for (advance_ms, expected) in [(0, vec![0, 1, 2]), (HOUR, vec![0, 1, 2]), (1, vec![1, 2])] {
        broker.time.advance(advance_ms);
        broker.idle_round();
        compact(&mut rounds);
        assert_eq!(base_offsets(&broker).await, expected, "{advance_ms}");
    }
}

#[tokio::test]
async fn compaction_waits_for_what_it_reads_and_writes_and_counts_what_it_takes() {
    let broker = compacted_topic().await;
    let two_keys = keyed("a", Some("1")).record(START_TIME, Some(b"b"), Some(b"2"));
    for batch in [two_keys, keyed("a", Some("3")), keyed("c", Some("4"))] {
        broker.append("t", batch).await;
    }
    let bytes = async || broker.read("t").await.iter().map(|batch| batch.bytes.len() as u64).collect::<Vec<_>>();
    let before = bytes().await;
    // A byte takes a millisecond.
    let mut rounds =
        broker.cleaner_by(CleanerSettings { backoff: Duration::MAX, dedupe_bytes: 1 << 20, bytes_per_second: 1000.0 });
    let waited_us = Arc::new(AtomicU64::new(0));
    let ending = Ending::counting(Arc::clone(&waited_us));
    std::thread::scope(|scope| scope.spawn(move || rounds.pass(&ending)).join().expect("no panic"));
    let after = bytes().await;
    assert_eq!((after.len(), &after[1..]), (3, &before[1..]));
    // What is compacted is read for its keys and again for the rest; the newest batch is not.
    let moved = 2 * (before[0] + before[1]) + after[0];
    let waited_ms = waited_us.load(Ordering::SeqCst) / 1000;
    assert!((moved - 5..=moved).contains(&waited_ms), "{waited_ms} ms for {moved} bytes");
    let topic = broker.started.catalog.topic("t").expect("exists");
    let taken = topic.traffic.deleted_by_compaction_bytes.load(Ordering::Relaxed);
    assert_eq!((taken, before[0] > after[0]), (before[0] - after[0], true));
}

fn step_by_hand(broker: &TestEngine, partition: PartitionId, compaction: Compaction) -> bool {
    let asker = broker.asker();
    std::thread::scope(|scope| scope.spawn(|| ask_for(&asker, partition, compaction)).join().expect("no panic"))
}

/// Waits for the writer, which no thread of the runtime may.
fn ask_for(asker: &Asker, partition: PartitionId, compaction: Compaction) -> bool {
    asker.ask(|reply| Command::Compact { partition, compaction, reply }).expect("answered")
}

#[tokio::test]
async fn what_was_found_before_the_log_start_moved_does_no_harm_after_it() {
    let broker = compacted_topic().await;
    for key in ["a", "a", "b"] {
        broker.append("t", keyed(key, Some("1"))).await;
    }
    let id = broker.partition("t").id;
    let mut keys = Vec::new();
    let visit = &mut |key| {
        keys.push(key);
        true
    };
    broker.store.scan_log(id, 0, 3, visit).expect("reads");
    let bytes = broker.read("t").await.remove(0).bytes;
    assert_eq!(broker.engine().delete_records(id, 1).await, Ok(Ok(1)));
    // Answered once readers know of the deletion, so that the rows go with the next round.
    broker.engine().init_producer_id().await.expect("answered");
    broker.idle_round();
    assert_eq!(rows(&broker, &log_prefix(id)), 2);
    let start_bytes = broker.partition("t").start_bytes();
    let old = keys[0];
    for new in [None, Some((old, bytes))] {
        let replaced = vec![Replaced { old, new }];
        assert!(step_by_hand(&broker, id, nothing_but(replaced)));
        assert_eq!(rows(&broker, &log_prefix(id)), 2, "nothing is written below the log start");
        assert_eq!(broker.partition("t").start_bytes(), start_bytes);
    }
    // Nor in the index.
    let entry = SparseRow { max_timestamp: 1, max_timestamp_offset: 1, cumulative_bytes: 5 };
    let index = Reindexed { removed: Vec::new(), entries: vec![(0, entry), (1, entry)] };
    assert!(step_by_hand(&broker, id, Compaction::Done { first_dirty: 2, index }));
    let found = [0, 1].map(|offset| broker.store.get(&sparse_key(id, offset)).expect("reads").is_some());
    assert_eq!(found, [false, true]);
}

fn nothing_but(replaced: Vec<Replaced>) -> Compaction {
    Compaction::Replace { replaced, aborted: Vec::new(), index: Reindexed::default() }
}

#[tokio::test]
async fn readers_of_committed_records_know_of_a_removal_from_before_its_write_until_after_its_sync() {
    let broker = compacted_topic().await;
    broker.append("t", keyed("a", Some("1"))).await;
    let partition = broker.partition("t");
    let id = partition.id;
    let seen = partition.indexes();
    assert!(seen.is_some());
    let mut keys = Vec::new();
    let visit = &mut |key| {
        keys.push(key);
        true
    };
    broker.store.scan_log(id, 0, 1, visit).expect("reads");
    let replaced = keys.into_iter().map(|old| Replaced { old, new: None }).collect();
    let aborted = vec![aborted_key(id, 99)];
    let compaction = Compaction::Replace { replaced, aborted, index: Reindexed::default() };
    let during = std::thread::scope(|scope| {
        broker.store.writes.hold();
        broker.store.syncs.hold();
        let asker = broker.asker();
        let stepping = scope.spawn(move || ask_for(&asker, id, compaction));
        broker.store.writes.wait_until_reached();
        let before_write = partition.indexes();
        broker.store.writes.open();
        broker.store.syncs.wait_until_reached();
        let before_sync = partition.indexes();
        broker.store.syncs.open();
        assert!(stepping.join().expect("no panic"));
        (before_write, before_sync)
    });
    assert_eq!(during, (None, None));
    assert_eq!(partition.indexes(), seen.map(|seen| seen + 1));
}

#[tokio::test]
async fn an_abort_marker_and_its_row_go_once_nothing_is_left_of_the_transaction() {
    let broker = compacted_topic().await;
    let mut rounds = broker.cleaner();
    let aborted = keyed("a", Some("1")).producer(ProducerId(7), ProducerEpoch(0), 0).transactional();
    broker.append("t", aborted).await;
    broker.end(&["t"], 7, 0, TransactionResult::Abort).await;
    let later = keyed("b", Some("2")).producer(ProducerId(7), ProducerEpoch(0), 1).transactional();
    broker.append("t", later).await;
    broker.end(&["t"], 7, 0, TransactionResult::Commit).await;
    let id = broker.partition("t").id;
    let mut expected = vec![1, 2, 3, 4];
    for round in 0..4 {
        broker.append("t", keyed("last", Some("3"))).await;
        compact(&mut rounds);
        assert_eq!(base_offsets(&broker).await, expected, "round {round}");
        assert_eq!(rows(&broker, &aborted_prefix(id)), usize::from(expected.contains(&1)));
        match round {
            // Seen without its records only from the second round on, and for an hour.
            0 => expected = vec![1, 2, 3, 4, 5],
            1 => {
                broker.time.advance(HOUR);
                broker.idle_round();
                expected = vec![2, 3, 5, 6];
            }
            _ => expected = vec![2, 3, 6, 7],
        }
    }
    assert_eq!(broker.read_committed("t", 0).await, [2, 6, 7]);
}

#[tokio::test]
async fn space_of_what_went_is_reclaimed_once_it_is_worth_it() {
    let broker = compacted_topic().await;
    let mut rounds = broker.cleaner();
    let value = "v".repeat(400_000);
    for count in [2, 4] {
        for _ in 0..count {
            broker.append("t", keyed("a", Some(&value))).await;
        }
        compact(&mut rounds);
    }
    let id = broker.partition("t").id;
    assert_eq!(broker.store.wait_until_reclaimed(1), [log_range(id, 0, 5)]);
}

#[tokio::test]
async fn space_of_what_went_from_many_partitions_is_worth_it_together() {
    let broker = compacted_topic().await;
    broker.create("u", &[("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0")]).await;
    let value = "v".repeat(400_000);
    // Of each less than what is worth it.
    for topic in ["t", "u"] {
        for _ in 0..4 {
            broker.append(topic, keyed("a", Some(&value))).await;
        }
    }
    compact(&mut broker.cleaner());
    let ranges = ["t", "u"].map(|topic| log_range(broker.partition(topic).id, 0, 3));
    let mut reclaimed = broker.store.wait_until_reclaimed(2);
    reclaimed.sort();
    assert_eq!(reclaimed, ranges);
}

#[tokio::test]
async fn records_deleted_right_behind_a_replacement_are_counted_without_what_it_took() {
    let broker = compacted_topic().await;
    for key in ["a", "b", "c", "d", "e"] {
        broker.append("t", keyed(key, Some("1"))).await;
    }
    let partition = broker.partition("t").id;
    // Beyond the last entry of the index: from there the log start is all that tells the bytes before.
    assert_eq!(broker.engine().delete_records(partition, 2).await, Ok(Ok(2)));
    let mut keys = Vec::new();
    broker
        .store
        .scan_log(partition, 2, 5, &mut |key| {
            keys.push(key);
            true
        })
        .expect("reads");
    let replaced = vec![Replaced { old: keys[0], new: None }];
    let compaction = nothing_but(replaced);
    let asker = broker.asker();
    let held = broker.hold_writer();
    let compacted = asker.request(|reply| Command::Compact { partition, compaction, reply });
    let deleted = asker.request(|reply| Command::DeleteRecords { partition, before: 4, reply });
    drop(held);
    assert_eq!((compacted.await, deleted.await), (Ok(true), Ok(Ok(4))));
    assert_eq!(broker.partition("t").size_bytes(), u64::from(keys[2].size_bytes));
}

#[tokio::test]
async fn a_kill_in_a_round_leaves_an_index_of_times_and_sizes() {
    for synced in 0..9 {
        let mut model = Model::new().await;
        for key in 0..14 {
            model = model.run(Step::Advance(61_000)).await;
            let records = vec![(Some(key % 2), true), (Some(100 + key), true)];
            model = model.run(Step::Append { producer: 0, codec: 0, records }).await;
        }
        let newest = model.index().into_keys().next_back();
        assert!(newest.is_some());
        model = model.run(Step::CompactAndCut { synced, keep: usize::MAX }).await;
        let index = model.index();
        assert!(index.keys().next_back() >= newest.as_ref(), "after {synced}");
        assert!(index.len() > 3, "after {synced}: {index:?}");
        model.run(Step::DeleteRecords { per_mille: 500 }).await;
    }
}

#[tokio::test]
async fn a_low_disk_leaves_compaction_half_of_the_reserve_and_has_all_that_went_given_back() {
    const RESERVE_BYTES: u64 = 1 << 20;
    let broker = TestEngine::start_with(Settings { disk_reserve_bytes: RESERVE_BYTES, ..settings() });
    broker.store.memory.set_free_bytes(u64::MAX);
    broker.create("t", &[("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0")]).await;
    for _ in 0..4 {
        broker.append("t", keyed("a", Some("1"))).await;
    }
    broker.store.memory.set_free_bytes(RESERVE_BYTES / 2 - 1);
    broker.started.disk_low.store(true, Ordering::Relaxed);
    let mut rounds = broker.cleaner();
    compact(&mut rounds);
    assert_eq!(base_offsets(&broker).await, [0, 1, 2, 3]);
    broker.store.memory.set_free_bytes(RESERVE_BYTES / 2);
    compact(&mut rounds);
    assert_eq!(base_offsets(&broker).await, [2, 3]);
    assert_eq!(broker.store.wait_until_reclaimed(1), [log_range(broker.partition("t").id, 0, 3)]);
}
