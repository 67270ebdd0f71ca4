//! What goes on, and what does not, while the disk is nearly full.

use super::harness::{TestEngine, at, idempotent, new_topic, pass, plain, rows, settings};
use crate::engine::command::{Acks, OffsetToCommit, TopicRef};
use crate::engine::settings::Settings;
use crate::log::offsets::CommittedOffset;
use crate::store::schema::log_prefix;
use crate::types::{ErrorCode, LeaderEpoch};

const RESERVE_BYTES: u64 = 8000;

fn start() -> TestEngine {
    TestEngine::start_with(Settings { disk_reserve_bytes: RESERVE_BYTES, ..settings() })
}

impl TestEngine {
    /// Lets the disk have `free_bytes` left, and time go by until that is looked up.
    fn let_be_free(&self, free_bytes: u64) {
        self.store.memory.set_free_bytes(free_bytes);
        self.time.advance(1_000);
    }
}

#[tokio::test]
async fn a_disk_that_is_nearly_full_refuses_appends_and_topics_until_there_is_room() {
    let broker = start();
    broker.let_be_free(RESERVE_BYTES);
    broker.create("t", &[]).await;
    assert_eq!(broker.append("t", plain(&["a"])).await, at(0));
    broker.let_be_free(RESERVE_BYTES - 1);
    let refused = broker.append("t", plain(&["b"])).await;
    assert_eq!((refused.error, refused.base_offset), (ErrorCode::KAFKA_STORAGE_ERROR, -1));
    assert!(refused.message.expect("a sentence").contains("einmal.disk.reserve.bytes"));
    for validate_only in [false, true] {
        let created = broker.engine().create_topics(vec![new_topic("u", 1, &[])], validate_only).await;
        let refused = created.expect("engine runs").remove(0).expect_err("refused");
        assert_eq!(refused.error, ErrorCode::KAFKA_STORAGE_ERROR);
        let grown = broker.engine().create_partitions(broker.no("t"), 2, validate_only).await.expect("engine runs");
        assert_eq!(grown.expect_err("refused").error, ErrorCode::KAFKA_STORAGE_ERROR);
    }
    // A little more room is not enough to begin again.
    broker.let_be_free(RESERVE_BYTES + RESERVE_BYTES / 8 - 1);
    assert_eq!(broker.append("t", plain(&["b"])).await.error, ErrorCode::KAFKA_STORAGE_ERROR);
    broker.let_be_free(RESERVE_BYTES + RESERVE_BYTES / 8);
    assert_eq!(broker.append("t", plain(&["b"])).await, at(1));
    assert_eq!(broker.read("t").await.len(), 2);
}

#[tokio::test]
async fn nothing_of_a_fresh_producer_is_stored_before_its_batch_that_found_no_room() {
    let broker = start();
    broker.create("t", &[]).await;
    broker.let_be_free(RESERVE_BYTES - 1);
    assert_eq!(broker.append("t", idempotent(7, 0, &["a"])).await.error, ErrorCode::KAFKA_STORAGE_ERROR);
    broker.let_be_free(2 * RESERVE_BYTES);
    assert_eq!(broker.append("t", idempotent(7, 1, &["b"])).await.error, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(broker.append("t", idempotent(7, 0, &["a"])).await, at(0));
    assert_eq!(broker.append("t", idempotent(7, 1, &["b"])).await, at(1));
}

#[tokio::test]
async fn what_reads_and_frees_goes_on_beside_a_full_disk() {
    let broker = start();
    broker.create("t", &[]).await;
    broker.append("t", idempotent(7, 0, &["a"])).await;
    broker.let_be_free(0);
    assert_eq!(broker.append("t", idempotent(7, 0, &["a"])).await, at(0), "a retry of what is stored");
    assert_eq!(broker.append("t", idempotent(7, 1, &["b"])).await.error, ErrorCode::KAFKA_STORAGE_ERROR);
    assert_eq!(broker.read("t").await.len(), 1);
    let partition = broker.partition("t").id;
    let committed = CommittedOffset {
        offset: 1,
        leader_epoch: LeaderEpoch(-1),
        metadata: String::new(),
        commit_timestamp: broker.time.now(),
        expire_timestamp: -1,
    };
    let commit = OffsetToCommit { partition, committed: committed.clone() };
    broker.engine().commit_offsets("g".to_owned(), vec![commit]).await.expect("engine runs");
    assert_eq!(broker.started.offsets.get("g", partition), Some(committed));
    assert_eq!(broker.engine().delete_records(partition, 1).await, Ok(Ok(1)));
    let deleted = broker.engine().delete_topics(vec![TopicRef::Name("t".to_owned())]).await.expect("engine runs");
    assert!(deleted[0].is_ok());
    // The refused batch left no trace in its producer's state.
    broker.let_be_free(u64::MAX);
    broker.create("t", &[]).await;
    assert_eq!(broker.append("t", idempotent(8, 0, &["a"])).await, at(0));
}

#[tokio::test]
async fn a_refused_batch_is_taken_at_its_own_sequence_later() {
    let broker = start();
    broker.create("t", &[]).await;
    broker.let_be_free(0);
    assert_eq!(broker.append("t", idempotent(7, 0, &["a"])).await.error, ErrorCode::KAFKA_STORAGE_ERROR);
    broker.let_be_free(u64::MAX);
    assert_eq!(broker.append("t", idempotent(7, 0, &["a"])).await, at(0));
}

#[tokio::test]
async fn a_disk_that_is_full_at_the_start_refuses_the_first_append() {
    let broker = start();
    broker.create("t", &[]).await;
    broker.engine().stop().await.expect("stops");
    let memory = broker.store.memory.crash(usize::MAX);
    memory.set_free_bytes(0);
    let broker = TestEngine::start_on(memory, broker.time, broker.settings);
    assert!(broker.started.disk_low.load(std::sync::atomic::Ordering::Relaxed), "known before the first client comes");
    assert_eq!(broker.append("t", plain(&["a"])).await.error, ErrorCode::KAFKA_STORAGE_ERROR);
}

#[tokio::test]
async fn many_bytes_are_not_written_without_a_look() {
    let broker = start();
    broker.let_be_free(u64::MAX);
    broker.create("t", &[("max.message.bytes", "20000000")]).await;
    let large = "x".repeat(9 << 20);
    assert_eq!(broker.append("t", plain(&[&large])).await, at(0));
    // No time goes by.
    broker.store.memory.set_free_bytes(0);
    assert_eq!(
        broker.send("t", Acks::Leader, plain(&["a"])).await.expect("answered")[0].error,
        ErrorCode::KAFKA_STORAGE_ERROR
    );
}

#[tokio::test]
async fn retention_gives_back_what_is_not_worth_it_while_little_is_free() {
    let broker = start();
    broker.create("t", &[("retention.bytes", "0"), ("retention.ms", "-1")]).await;
    broker.append("t", plain(&["a"])).await;
    let mut passes = broker.retention();
    for (free_bytes, expected) in [(u64::MAX, 1), (0, 0)] {
        broker.let_be_free(free_bytes);
        broker.idle_round();
        pass(&mut passes);
        // Answered once readers know of all before it.
        broker.engine().init_producer_id().await.expect("answered");
        broker.idle_round();
        assert_eq!(broker.offsets("t").log_start, 1);
        assert_eq!(rows(&broker, &log_prefix(broker.partition("t").id)), expected, "{free_bytes}");
    }
}
