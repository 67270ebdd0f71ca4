//! Idempotence, across everything that may come between a batch and its retry.

use std::collections::HashSet;

use super::harness::*;
use crate::engine::command::{Acks, Appended};
use crate::engine::settings::DynamicSettings;
use crate::types::{ErrorCode, ProducerEpoch, ProducerId};

fn outcome(appended: &Appended) -> (ErrorCode, i64) {
    (appended.error, appended.base_offset)
}

#[tokio::test]
async fn retry_of_last_five_batches_returns_original_offset() {
    let mut broker = TestEngine::start();
    broker.create("t", &[]).await;
    for sequence in 0..6 {
        assert_eq!(broker.append("t", idempotent(9, sequence * 2, &["a", "b"])).await, at(i64::from(sequence) * 2));
    }
    for round in ["at once", "after a restart", "after a power cut"] {
        for sequence in 1..6 {
            let retried = broker.append("t", idempotent(9, sequence * 2, &["a", "b"])).await;
            assert_eq!(retried, at(i64::from(sequence) * 2), "{round}");
        }
        let forgotten = broker.append("t", idempotent(9, 0, &["a", "b"])).await;
        assert_eq!(outcome(&forgotten), (ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, -1), "{round}");
        assert_eq!(broker.offsets("t").log_end, 12, "{round}: nothing was written");
        broker = if round == "at once" { broker.restart().await } else { broker.crash(0) };
    }
}

#[tokio::test]
async fn duplicate_waits_for_the_sync_of_its_original() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    broker.store.syncs.hold();
    broker.send("t", Acks::Leader, idempotent(9, 0, &["a"])).await.expect("answered");
    let mut retried = broker.send("t", Acks::All, idempotent(9, 0, &["a"]));
    broker.written().await;
    assert!(retried.try_recv().is_err(), "the original may still be taken back");
    broker.store.syncs.open();
    assert_eq!(retried.await.expect("answered"), vec![at(0)]);
    assert_eq!(broker.store.memory.unsynced_writes(), 0);
    assert_eq!(broker.offsets("t").log_end, 1);
}

#[tokio::test]
async fn duplicate_in_the_same_group_waits_for_the_sync_of_its_original() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    broker.store.syncs.hold();
    let held = broker.hold_writer();
    let mut original = broker.send("t", Acks::All, idempotent(9, 0, &["a"]));
    let mut retried = broker.send("t", Acks::All, idempotent(9, 0, &["a"]));
    let next = broker.send("t", Acks::All, idempotent(9, 1, &["b"]));
    drop(held);
    broker.written().await;
    assert!(original.try_recv().is_err() && retried.try_recv().is_err());
    assert_eq!(broker.store.memory.unsynced_writes(), 1, "one group, one write");
    broker.store.syncs.open();
    assert_eq!(original.await.expect("answered"), vec![at(0)]);
    assert_eq!(retried.await.expect("answered"), vec![at(0)]);
    assert_eq!(next.await.expect("answered"), vec![at(1)], "later batches of a group see the earlier ones");
}

#[tokio::test]
async fn sequence_survives_restart() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    broker.append("t", idempotent(9, 0, &["a", "b", "c"])).await;
    let broker = broker.restart().await;
    let gap = broker.append("t", idempotent(9, 4, &["e"])).await;
    assert_eq!(outcome(&gap), (ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, -1));
    assert_eq!(broker.append("t", idempotent(9, 3, &["d"])).await, at(3));
    let broker = broker.crash(usize::MAX);
    assert_eq!(broker.append("t", idempotent(9, 3, &["d"])).await, at(3), "a retry over the kill is a duplicate");
    assert_eq!(broker.append("t", idempotent(9, 4, &["e"])).await, at(4));
}

#[tokio::test]
async fn batch_lost_with_the_power_is_appended_by_its_retry() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    broker.append("t", idempotent(9, 0, &["a"])).await;
    broker.store.syncs.hold();
    broker.send("t", Acks::Leader, idempotent(9, 1, &["b"])).await.expect("answered");
    let broker = broker.crash(0);
    assert_eq!(broker.offsets("t").log_end, 1);
    assert_eq!(broker.append("t", idempotent(9, 1, &["b"])).await, at(1));
    assert_eq!(broker.offsets("t").log_end, 2);
}

#[tokio::test]
async fn older_epoch_is_fenced_and_a_newer_one_begins_at_zero() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    let batch = |epoch, sequence| plain(&["a"]).producer(ProducerId(9), ProducerEpoch(epoch), sequence);
    let cases = [
        (batch(1, 0), (ErrorCode::NONE, 0)),
        (batch(0, 1), (ErrorCode::INVALID_PRODUCER_EPOCH, -1)),
        (batch(2, 1), (ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, -1)),
        (batch(2, 0), (ErrorCode::NONE, 1)),
        (batch(1, 1), (ErrorCode::INVALID_PRODUCER_EPOCH, -1)),
    ];
    for (number, (batch, expected)) in cases.into_iter().enumerate() {
        assert_eq!(outcome(&broker.append("t", batch).await), expected, "case {number}");
    }
}

#[tokio::test]
async fn producer_ids_start_in_the_high_range_and_never_repeat() {
    let mut broker = TestEngine::start();
    let mut seen = HashSet::new();
    for round in 0..6 {
        // More than a block in one run, fewer in others.
        for _ in 0..if round == 2 { 1100 } else { 3 } {
            let (id, epoch) = broker.engine().init_producer_id().await.expect("answered");
            assert!((1 << 48..1 << 53).contains(&id.0), "{id}");
            assert_eq!(epoch, ProducerEpoch(0));
            assert!(seen.insert(id), "{id} was handed out twice");
        }
        broker = if round % 2 == 0 { broker.restart().await } else { broker.crash(0) };
    }
}

#[tokio::test]
async fn producer_id_is_not_given_before_its_block_is_synced() {
    let broker = TestEngine::start();
    broker.store.syncs.hold();
    let mut pending = Box::pin(broker.engine().init_producer_id());
    tokio::select! {
        biased;
        _ = &mut pending => panic!("given before the sync"),
        () = broker.written() => {}
    }
    broker.store.syncs.open();
    let (first, _) = pending.await.expect("answered");
    let broker = broker.crash(0);
    let (second, _) = broker.engine().init_producer_id().await.expect("answered");
    assert!(second.0 > first.0, "{second} after {first}");
}

#[tokio::test]
async fn idle_producer_is_forgotten_after_its_expiry_and_not_before() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    broker.append("t", idempotent(9, 0, &["a"])).await;
    broker.time.advance(broker.settings.producer_id_expiration_ms - 1);
    // Under steady traffic of others, too: the sweep does not wait for a silent minute.
    broker.append("t", idempotent(1, 0, &["x"])).await;
    let gap = broker.append("t", idempotent(9, 7, &["a"])).await;
    assert_eq!(outcome(&gap), (ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, -1), "still known");
    broker.time.advance(600_001);
    broker.append("t", idempotent(1, 1, &["x"])).await;
    let accepted = broker.append("t", idempotent(9, 7, &["a"])).await;
    assert_eq!(outcome(&accepted), (ErrorCode::NONE, 3), "a forgotten producer may begin anywhere");
    let broker = broker.restart().await;
    let retried = broker.append("t", idempotent(9, 7, &["a"])).await;
    assert_eq!(outcome(&retried), (ErrorCode::NONE, 3));
}

#[tokio::test]
async fn producer_is_forgotten_at_its_expiry_to_the_millisecond() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    broker.append("t", idempotent(9, 0, &["a"])).await;
    broker.time.advance(broker.settings.producer_id_expiration_ms);
    broker.append("t", idempotent(1, 0, &["x"])).await;
    let accepted = broker.append("t", idempotent(9, 7, &["a"])).await;
    assert_eq!(outcome(&accepted), (ErrorCode::NONE, 2));
}

#[tokio::test]
async fn expiry_of_producers_changes_while_running() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    let topic_defaults = broker.settings.topic_defaults.clone();
    let settings = DynamicSettings { topic_defaults, producer_id_expiration_ms: 1_000 };
    let set = broker.engine().set_broker_overrides(Default::default(), settings).await;
    assert_eq!(set, Ok(Ok(())));
    broker.append("t", idempotent(9, 0, &["a"])).await;
    // Until the next look for them.
    broker.time.advance(broker.settings.producer_id_check_interval_ms as i64 + 1);
    broker.append("t", idempotent(1, 0, &["x"])).await;
    let accepted = broker.append("t", idempotent(9, 7, &["a"])).await;
    assert_eq!(outcome(&accepted), (ErrorCode::NONE, 2), "forgotten");
}

#[tokio::test]
async fn expired_producer_stays_forgotten_over_a_restart() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    broker.append("t", idempotent(9, 0, &["a"])).await;
    broker.time.advance(broker.settings.producer_id_expiration_ms);
    let broker = broker.restart().await;
    assert_eq!(outcome(&broker.append("t", idempotent(9, 7, &["a"])).await), (ErrorCode::NONE, 1));
}

#[tokio::test]
async fn longest_idle_producers_make_room_beyond_the_limit() {
    let broker = TestEngine::start_with(crate::engine::settings::Settings { producer_ids_max: 10, ..settings() });
    broker.create("t", &[]).await;
    for producer_id in 0..11 {
        broker.append("t", idempotent(producer_id, 0, &["a"])).await;
        broker.time.advance(1);
    }
    let newest = broker.append("t", idempotent(10, 5, &["a"])).await;
    assert_eq!(newest.error, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, "the newest is known");
    let oldest = broker.append("t", idempotent(0, 5, &["a"])).await;
    assert_eq!(oldest.error, ErrorCode::NONE, "the longest idle made room");
}
