//! What readers get, from memory and from the store, and where the log begins.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::harness::*;
use crate::engine::command::TopicRef;
use crate::engine::settings::Settings;
use crate::log::partition::Offsets;
use crate::log::reader::TimestampHit;
use crate::record::BatchHeader;
use crate::record::build::BatchBuilder;
use crate::record::codec::Codec;
use crate::store::schema::{log_prefix, sparse_prefix};
use crate::types::{ErrorCode, LeaderEpoch, Offset, Timestamp};

#[tokio::test]
async fn batch_is_stored_byte_for_byte_but_for_offset_and_epoch() {
    let large = "x".repeat(5000);
    for codec in [Codec::None, Codec::Gzip, Codec::Lz4] {
        let broker = TestEngine::start();
        broker.create("t", &[]).await;
        let batches = [plain(&["first"]), idempotent(9, 0, &["a", &large]).codec(codec)];
        for batch in &batches {
            broker.append("t", batch.clone()).await;
        }
        let cached = broker.read("t").await;
        let broker = broker.restart().await;
        let stored = broker.read("t").await;
        assert_eq!(cached, stored, "memory and disk answer alike");
        for (stored, sent) in stored.iter().zip(&batches) {
            assert_eq!(unstamped(&stored.bytes), sent.build().to_vec());
        }
        let header = BatchHeader::parse(&stored[1].bytes).expect("valid");
        assert_eq!((header.base_offset, header.leader_epoch, stored[1].last_offset), (1, LeaderEpoch(0), 2));
    }
}

#[tokio::test]
async fn log_append_time_is_the_brokers() {
    let broker = TestEngine::start();
    broker.create("t", &[("message.timestamp.type", "LogAppendTime")]).await;
    let first = broker.append("t", idempotent(9, 0, &["a"])).await;
    assert_eq!(first.log_append_time, START_TIME);
    broker.time.advance(500);
    let retried = broker.append("t", idempotent(9, 0, &["a"])).await;
    assert_eq!(retried, first, "a duplicate is answered with the time of the original");
    let stored = &broker.read("t").await[0].bytes;
    let header = BatchHeader::parse(stored).expect("valid");
    assert_eq!((header.max_timestamp, header.crc), (START_TIME, crc32c::crc32c(&stored[21..])));
}

fn timed(timestamps: &[Timestamp]) -> BatchBuilder {
    timestamps.iter().fold(BatchBuilder::new(), |batch, at| batch.record(*at, None, Some(b"v")))
}

#[tokio::test]
async fn records_are_found_by_time() {
    // Times rise neither along the log nor within a batch; the middle batch spans an entry of the sparse index.
    let broker = TestEngine::start_with(Settings { tail_cache_bytes: 0, ..settings() });
    broker.create("t", &[]).await;
    for batch in [&[100, 300, 200][..], &[150, 150], &[400, 350], &[50]] {
        broker.append("t", timed(batch)).await;
        broker.time.advance(60_000);
    }
    let partition = broker.partition("t");
    let end = partition.offsets().high_watermark;
    let budget = Arc::default();
    let hit = |offset: Offset, timestamp| Some(TimestampHit { offset, timestamp, leader_epoch: LeaderEpoch(0) });
    let cases = [(0, hit(0, 100)), (101, hit(1, 300)), (300, hit(1, 300)), (301, hit(5, 400)), (401, None)];
    for (timestamp, expected) in cases {
        let found =
            broker.started.reader.offset_for_timestamp(&partition, timestamp, end, &budget).await.expect("reads");
        assert_eq!(found, expected, "from {timestamp}");
    }
    let latest = |to| broker.started.reader.max_timestamp(&partition, to, &budget);
    assert_eq!(latest(end).await.expect("reads"), hit(5, 400));
    assert_eq!(latest(5).await.expect("reads"), hit(1, 300), "below the caller's bound only");
    assert_eq!(latest(0).await.expect("reads"), None);
    let deleted = broker.engine().delete_records(partition.id, 2).await.expect("engine runs");
    assert_eq!(deleted, Ok(2));
    let found = broker.started.reader.offset_for_timestamp(&partition, 101, end, &budget).await.expect("reads");
    assert_eq!(found, hit(2, 200), "records before the log start are gone, also within a batch");
    assert_eq!(latest(3).await.expect("reads"), hit(2, 200));
}

#[tokio::test]
async fn deleted_records_stay_deleted_and_free_their_bytes() {
    let mut broker = TestEngine::start();
    broker.create("t", &[]).await;
    for _ in 0..4 {
        broker.append("t", plain(&["a", "b"])).await;
    }
    let partition = broker.partition("t");
    let batch_bytes = partition.size_bytes() / 4;
    let id = partition.id;
    let cases = [
        (9, Err(ErrorCode::OFFSET_OUT_OF_RANGE)),
        (-2, Err(ErrorCode::OFFSET_OUT_OF_RANGE)),
        (0, Ok(0)),
        (3, Ok(3)),
        (2, Ok(3)),
    ];
    for (before, expected) in cases {
        let deleted = broker.engine().delete_records(id, before).await.expect("engine runs");
        assert_eq!(deleted.map_err(|refused| refused.error), expected, "before {before}");
    }
    for round in ["at once", "after a restart", "after a power cut"] {
        let partition = broker.partition("t");
        assert_eq!(partition.offsets().log_start, 3, "{round}");
        assert_eq!(partition.size_bytes(), 3 * batch_bytes, "{round}: the batch that holds the log start stays whole");
        let first = broker.read("t").await;
        assert_eq!(first[0].base_offset, 2, "{round}");
        broker = if round == "at once" { broker.restart().await } else { broker.crash(0) };
    }
    let deleted = broker.engine().delete_records(id, -1).await.expect("engine runs");
    assert_eq!(deleted, Ok(8), "-1 means all that is readable");
    assert_eq!(broker.partition("t").size_bytes(), 0);
    assert_eq!(broker.append("t", plain(&["c"])).await.base_offset, 8);
}

#[tokio::test]
async fn log_start_is_not_moved_before_the_sync_nor_beyond_the_high_watermark() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    broker.append("t", plain(&["a"])).await;
    let id = broker.partition("t").id;
    broker.store.syncs.hold();
    broker.send("t", crate::engine::command::Acks::Leader, plain(&["b"])).await.expect("answered");
    let beyond = Box::pin(broker.engine().delete_records(id, 2));
    let mut within = Box::pin(broker.engine().delete_records(id, -1));
    let mut beyond = beyond;
    tokio::select! {
        biased;
        _ = &mut beyond => panic!("answered before the sync"),
        _ = &mut within => panic!("answered before the sync"),
        () = broker.written() => {}
    }
    assert_eq!(broker.offsets("t"), Offsets { log_start: 0, last_stable_offset: 1, high_watermark: 1, log_end: 2 });
    broker.store.syncs.open();
    assert_eq!(beyond.await.expect("engine runs").expect_err("refused").error, ErrorCode::OFFSET_OUT_OF_RANGE);
    assert_eq!(within.await, Ok(Ok(1)));
    assert_eq!(broker.offsets("t").log_start, 1);
}

#[tokio::test]
async fn reader_is_not_sent_past_records_whose_deletion_is_under_way() {
    for tail_cache_bytes in [0, 1 << 20] {
        let broker = TestEngine::start_with(Settings { tail_cache_bytes, ..settings() });
        broker.create("t", &[]).await;
        for value in ["a", "b", "c"] {
            broker.append("t", plain(&[value])).await;
        }
        let partition = broker.partition("t");
        let base_offsets = async |from| {
            let read = broker.started.reader.read(&partition, from, 3, usize::MAX).await.expect("reads");
            read.iter().map(|batch| batch.base_offset).collect::<Vec<_>>()
        };
        broker.store.syncs.hold();
        let mut pending = Box::pin(broker.engine().delete_records(partition.id, 2));
        tokio::select! {
            biased;
            _ = &mut pending => panic!("answered before the sync"),
            () = broker.written() => {}
        }
        broker.idle_round();
        assert_eq!(base_offsets(0).await, [0, 1, 2], "until the log start moves, all is there");
        broker.store.syncs.open();
        assert_eq!(pending.await, Ok(Ok(2)));
        while rows(&broker, &log_prefix(partition.id)) > 1 {
            broker.written().await;
        }
        assert!(base_offsets(0).await.is_empty(), "a reader that looked before is told nothing rather than less");
        assert_eq!(base_offsets(2).await, [2]);
    }
}

#[tokio::test]
async fn reader_of_a_topic_whose_deletion_is_under_way_still_reads_it() {
    let broker = TestEngine::start_with(Settings { tail_cache_bytes: 0, ..settings() });
    let topic = broker.create("t", &[]).await;
    broker.append("t", plain(&["a"])).await;
    broker.store.syncs.hold();
    let mut pending = Box::pin(broker.engine().delete_topics(vec![TopicRef::Id(topic.id)]));
    tokio::select! {
        biased;
        _ = &mut pending => panic!("answered before the sync"),
        () = broker.written() => {}
    }
    broker.idle_round();
    assert_eq!(broker.read("t").await.len(), 1);
    broker.store.syncs.open();
    pending.await.expect("answered")[0].as_ref().expect("deleted");
    while rows(&broker, &log_prefix(topic.partitions[0].id)) > 0 {
        broker.written().await;
    }
}

#[tokio::test]
async fn deleted_records_are_removed_even_if_the_broker_dies_in_between() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    for value in ["a", "b", "c"] {
        // Each makes an entry of the sparse index for the one before it.
        broker.time.advance(60_000);
        broker.append("t", plain(&[value, value])).await;
    }
    let id = broker.partition("t").id;
    assert_eq!((rows(&broker, &log_prefix(id)), rows(&broker, &sparse_prefix(Some(id)))), (3, 2));
    broker.store.syncs.hold();
    let mut pending = Box::pin(broker.engine().delete_records(id, 3));
    tokio::select! {
        biased;
        _ = &mut pending => panic!("answered before the sync"),
        () = broker.written() => {}
    }
    drop(pending);
    let broker = broker.crash(1);
    assert_eq!(broker.offsets("t").log_start, 3);
    while rows(&broker, &log_prefix(id)) > 2 {
        broker.written().await;
    }
    assert_eq!((rows(&broker, &log_prefix(id)), rows(&broker, &sparse_prefix(Some(id)))), (2, 1));
    assert_eq!(broker.read("t").await[0].base_offset, 2, "the batch that holds the log start stays whole");
}

#[tokio::test]
async fn deletion_of_many_records_looks_at_few() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    for _ in 0..30 {
        broker.append("t", plain(&["a", "b"])).await;
        broker.time.advance(20_000);
    }
    let partition = broker.partition("t");
    let batch_bytes = partition.size_bytes() / 30;
    // In both directions from an entry of the sparse index, and on one.
    for (before, batches_left) in [(1, 30), (31, 15), (32, 14), (34, 13), (35, 13), (36, 12), (59, 1), (60, 0)] {
        broker.store.log_keys_seen.store(0, Ordering::SeqCst);
        let deleted = broker.engine().delete_records(partition.id, before).await.expect("engine runs");
        assert_eq!(deleted, Ok(before));
        assert_eq!(partition.size_bytes(), batches_left * batch_bytes, "from {before}");
        // Those since the entry before the new start, and two for each removal of rows that falls into this time, which on a
        // busy machine may be all of them. Looking at all batches would be some thirty.
        let seen = broker.store.log_keys_seen.load(Ordering::SeqCst);
        assert!(seen <= 20, "{seen} batches were looked at for {before}");
    }
}

#[tokio::test]
async fn epochs_of_deleted_records_are_told_alike_before_and_after_a_restart() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    broker.append("t", plain(&["a", "b"])).await;
    let broker = broker.crash(usize::MAX);
    broker.append("t", plain(&["c", "d"])).await;
    let ends = |broker: &TestEngine| [0, 1].map(|epoch| broker.partition("t").epoch_end(LeaderEpoch(epoch)));
    assert_eq!(ends(&broker), [(LeaderEpoch(0), 2), (LeaderEpoch(1), 4)]);
    let deleted = broker.engine().delete_records(broker.partition("t").id, 3).await.expect("engine runs");
    assert_eq!(deleted, Ok(3));
    let told = ends(&broker);
    assert_eq!(told, [(LeaderEpoch(0), 3), (LeaderEpoch(1), 4)], "as Kafka, which truncates its epochs with the log");
    assert_eq!(ends(&broker.restart().await), told);
}
