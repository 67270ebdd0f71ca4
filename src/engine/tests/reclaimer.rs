//! What the periodic look at the files of batches does about garbage.

use std::sync::atomic::Ordering;

use super::harness::{Batches, TestEngine, plain, settings};
use crate::engine::settings::Settings;
use crate::store::BatchSpace;
use crate::store::schema::{prefix, topic_log_range};

const RESERVE_BYTES: u64 = 8000;

async fn start(bytes: u64, garbage_bytes: u64, free_bytes: u64) -> TestEngine {
    let broker = TestEngine::start_with(Settings { disk_reserve_bytes: RESERVE_BYTES, ..settings() });
    broker.store.memory.set_free_bytes(u64::MAX);
    broker.create("t", &[]).await;
    broker.create("u", &[]).await;
    // All that is no garbage is in use.
    broker.append("t", plain(&[&"v".repeat(40_000)])).await;
    broker.store.memory.set_free_bytes(free_bytes);
    broker.store.disk().space = BatchSpace { bytes, garbage_bytes };
    broker
}

#[tokio::test]
async fn topics_are_moved_whole_where_there_is_room_and_the_oldest_files_where_not() {
    let (live, garbage) = (30_000, 40_000);
    let broker = start(live + garbage, garbage, RESERVE_BYTES + live).await;
    broker.reclaimer().look();
    assert_eq!(broker.store.disk().moved, [topic_log_range(broker.partition("t").id.topic)]);
    assert!(broker.store.disk().moved_oldest.is_empty());
    let broker = start(live + garbage, garbage, RESERVE_BYTES + live - 1).await;
    broker.reclaimer().look();
    let space = broker.store.disk().space;
    assert!(space.garbage_bytes * 4 <= space.bytes, "{space:?}");
    assert!(broker.store.disk().moved.is_empty());
    let moved = broker.store.disk().moved_oldest.clone();
    assert!(moved.len() > 1 && moved.iter().all(|bytes| *bytes <= (live + garbage) / 8), "{moved:?}");
    // With room for less than a part, that is all that is moved at a time.
    let broker = start(live + garbage, garbage, RESERVE_BYTES + 3000).await;
    broker.reclaimer().look();
    let moved = broker.store.disk().moved_oldest.clone();
    assert!(moved.len() > 1 && moved.iter().all(|bytes| *bytes == 3000), "{moved:?}");
}

#[tokio::test]
async fn a_low_disk_gives_back_more_and_a_part_of_what_is_free_serves_for_it() {
    let broker = start(48_000, 8000, 6000).await;
    broker.reclaimer().look();
    assert!(broker.store.disk().moved_oldest.is_empty());
    broker.started.disk_low.store(true, Ordering::Relaxed);
    broker.reclaimer().look();
    assert_eq!(broker.store.disk().moved_oldest[0], 1500);
    let space = broker.store.disk().space;
    assert!(space.garbage_bytes * 20 <= space.bytes, "{space:?}");
}

#[tokio::test]
async fn what_fails_or_has_no_room_is_tried_again_by_the_next_look() {
    let broker = start(70_000, 40_000, u64::MAX).await;
    broker.store.disk().failures = 1;
    broker.reclaimer().look();
    assert!(broker.store.disk().moved.is_empty());
    assert_eq!(broker.store.disk().failures, 0);
    broker.reclaimer().look();
    assert_eq!(broker.store.disk().moved.len(), 1);
    // Not even one file.
    let broker = start(70_000, 40_000, 4 * (Batches::FILE_BYTES - 1)).await;
    broker.reclaimer().look();
    assert_eq!(broker.store.disk().moved_oldest, [Batches::FILE_BYTES - 1]);
    broker.store.memory.set_free_bytes(u64::MAX);
    broker.reclaimer().look();
    assert_eq!(broker.store.disk().moved.len(), 1);
}

#[tokio::test]
async fn space_that_no_topic_holds_is_found_without_being_handed_over() {
    // As after DeleteRecords, or a kill right after DeleteTopics: the index has not been compacted, so nothing counts as garbage.
    let broker = start(90_000, 0, u64::MAX).await;
    broker.store.disk().hidden_garbage_bytes = 50_000;
    broker.reclaimer().look();
    assert_eq!(broker.store.wait_until_reclaimed(1), [(vec![prefix::LOG], vec![prefix::LOG + 1])]);
    assert_eq!(broker.store.disk().space, BatchSpace { bytes: 40_000, garbage_bytes: 0 }, "and moved away from");
    // What topics hold is no reason to look for it.
    broker.reclaimer().look();
    assert_eq!(broker.store.wait_until_reclaimed(1).len(), 1);
}

#[tokio::test]
async fn the_first_look_is_that_of_the_start() {
    let memory = start(0, 0, u64::MAX).await.store.memory.crash(usize::MAX);
    let space = BatchSpace { bytes: 90_000_000, garbage_bytes: 50_000_000 };
    let broker = TestEngine::start_with_space(memory, space);
    broker.store.wait_until_reclaimed(1);
}
