//! When things are answered and when they are seen.

use super::harness::*;
use crate::engine::command::Acks;
use crate::log::partition::Waiter;
use std::sync::Arc;

#[tokio::test]
async fn acks_one_is_answered_before_the_sync() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    broker.store.syncs.hold();
    let answer = broker.send("t", Acks::Leader, plain(&["a"])).await.expect("answered");
    assert_eq!(answer, vec![at(0)]);
    assert_eq!(broker.offsets("t").high_watermark, 0, "nobody sees it");
    assert_eq!(broker.offsets("t").log_end, 1);
    broker.store.syncs.open();
}

#[tokio::test]
async fn acks_all_is_answered_after_the_sync() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    broker.store.syncs.hold();
    let mut pending = broker.send("t", Acks::All, plain(&["a"]));
    broker.written().await;
    broker.store.syncs.wait_until_reached();
    assert!(pending.try_recv().is_err(), "answered before its sync");
    broker.store.syncs.open();
    assert_eq!(pending.await.expect("answered"), vec![at(0)]);
    assert_eq!(broker.store.memory.unsynced_writes(), 0);
}

#[tokio::test]
async fn high_watermark_follows_the_sync() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    let waiter = Arc::new(Waiter::default());
    broker.partition("t").wake_on_change(&waiter);
    broker.store.syncs.hold();
    // acks=1 asks for no sync, but readers wait for one: it comes without a timer.
    broker.send("t", Acks::Leader, plain(&["a", "b"])).await.expect("answered");
    let before = broker.offsets("t");
    assert_eq!((before.high_watermark, before.last_stable_offset, before.log_end), (0, 0, 2));
    assert!(broker.read("t").await.is_empty());
    broker.store.syncs.open();
    waiter.woken().await;
    assert_eq!(broker.offsets("t").high_watermark, 2);
    assert_eq!(broker.read("t").await.len(), 1);
}

#[tokio::test]
async fn one_sync_answers_everybody_who_wrote_before_it() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    broker.store.syncs.hold();
    let first = broker.send("t", Acks::All, plain(&["a"]));
    broker.store.syncs.wait_until_reached();
    let others: Vec<_> = (0..20).map(|_| broker.send("t", Acks::All, plain(&["b"]))).collect();
    broker.written().await;
    // The first sync, still under way, covers all that was written before it reaches the disk.
    broker.store.memory.fail_syncs_after(2, crate::store::memory::Fault::Failed);
    broker.store.syncs.open();
    first.await.expect("answered");
    for other in others {
        assert!(other.await.expect("answered by the second sync at the latest")[0].error.is_none());
    }
}

#[tokio::test]
async fn relaxed_topic_is_answered_from_the_page_cache() {
    let broker = TestEngine::start();
    broker.create("relaxed", &[("flush.messages", "1000")]).await;
    broker.store.syncs.hold();
    assert_eq!(broker.append("relaxed", plain(&["a"])).await, at(0));
    assert_eq!(broker.offsets("relaxed").high_watermark, 1, "and seen");
    assert_eq!(broker.store.memory.unsynced_writes(), 1);
    // With unlimited flush.ms and few messages there is nobody who asks for a sync.
    broker.written().await;
    broker.store.syncs.open();
    assert_eq!(broker.store.memory.unsynced_writes(), 1);
}

#[tokio::test]
async fn relaxed_topic_is_synced_after_flush_messages() {
    let broker = TestEngine::start();
    broker.create("relaxed", &[("flush.messages", "3")]).await;
    broker.store.syncs.hold();
    broker.append("relaxed", plain(&["a", "b"])).await;
    assert_eq!(broker.store.memory.unsynced_writes(), 1);
    broker.append("relaxed", plain(&["c"])).await;
    broker.store.syncs.wait_until_reached();
    broker.store.syncs.open();
}

#[tokio::test]
async fn relaxed_topic_is_synced_within_flush_ms() {
    let broker = TestEngine::start();
    broker.create("relaxed", &[("flush.messages", "1000"), ("flush.ms", "1")]).await;
    broker.store.syncs.hold();
    broker.append("relaxed", plain(&["a"])).await;
    broker.store.syncs.wait_until_reached();
    broker.store.syncs.open();
}

#[tokio::test]
async fn request_to_relaxed_and_synced_topics_waits_for_the_sync() {
    let broker = TestEngine::start();
    broker.create("relaxed", &[("flush.messages", "1000")]).await;
    broker.create("synced", &[]).await;
    broker.store.syncs.hold();
    let batches = ["relaxed", "synced"].map(|topic| to(broker.partition(topic).id, &plain(&["a"])));
    let mut pending = broker.engine().append(Acks::All, batches.into());
    broker.written().await;
    assert!(pending.try_recv().is_err());
    broker.store.syncs.open();
    assert_eq!(pending.await.expect("answered"), vec![at(0), at(0)]);
}

#[tokio::test]
async fn topic_becomes_synced_with_its_setting() {
    let broker = TestEngine::start();
    broker.create("t", &[("flush.messages", "1000")]).await;
    broker.append("t", plain(&["a"])).await;
    let set = broker.engine().set_topic_overrides(broker.no("t"), texts(&[])).await;
    assert_eq!(set, Ok(Ok(())));
    assert_eq!(broker.store.memory.unsynced_writes(), 0, "what was relaxed before is synced with the change");
    broker.store.syncs.hold();
    let mut pending = broker.send("t", Acks::All, plain(&["b"]));
    broker.written().await;
    assert!(pending.try_recv().is_err());
    broker.store.syncs.open();
    assert_eq!(pending.await.expect("answered"), vec![at(1)]);
}

#[tokio::test]
async fn committed_offsets_are_neither_seen_nor_answered_before_the_sync() {
    use crate::engine::command::OffsetToCommit;
    use crate::log::offsets::CommittedOffset;
    use crate::types::LeaderEpoch;
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    let id = broker.partition("t").id;
    let committed = CommittedOffset {
        offset: 7,
        leader_epoch: LeaderEpoch(-1),
        metadata: "m".to_owned(),
        commit_timestamp: START_TIME,
        expire_timestamp: -1,
    };
    broker.store.syncs.hold();
    let commit = OffsetToCommit { partition: id, committed: committed.clone() };
    let mut pending = Box::pin(broker.engine().commit_offsets("g".to_owned(), vec![commit]));
    tokio::select! {
        biased;
        _ = &mut pending => panic!("answered before the sync"),
        () = broker.written() => {}
    }
    assert_eq!(broker.started.offsets.get("g", id), None);
    broker.store.syncs.open();
    pending.await.expect("answered");
    assert_eq!(broker.started.offsets.get("g", id), Some(committed.clone()));
    let broker = broker.crash(0);
    assert_eq!(broker.started.offsets.get("g", id), Some(committed), "an empty group keeps its offsets");
}

#[tokio::test]
async fn leader_epoch_rises_after_an_unclean_stop_only() {
    use crate::types::LeaderEpoch;
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    broker.append("t", plain(&["a", "b"])).await;
    assert_eq!(broker.started.leader_epoch, LeaderEpoch(0));
    let broker = broker.restart().await;
    assert_eq!(broker.started.leader_epoch, LeaderEpoch(0), "a clean stop changes nothing");
    broker.append("t", plain(&["c"])).await;
    let broker = broker.crash(0);
    assert_eq!(broker.started.leader_epoch, LeaderEpoch(1));
    assert_eq!(broker.partition("t").epoch_end(LeaderEpoch(0)), (LeaderEpoch(0), 3));
    broker.append("t", plain(&["d"])).await;
    let broker = broker.crash(0);
    assert_eq!(broker.started.leader_epoch, LeaderEpoch(2), "also if nothing was written in between");
    let partition = broker.partition("t");
    assert_eq!(partition.epoch_end(LeaderEpoch(0)), (LeaderEpoch(0), 3));
    assert_eq!(partition.epoch_end(LeaderEpoch(1)), (LeaderEpoch(1), 4));
    assert_eq!(partition.epoch_end(LeaderEpoch(2)), (LeaderEpoch(2), 4));
    let epochs: Vec<_> = broker.read("t").await.iter().map(|batch| batch.bytes[12..16].to_vec()).collect();
    assert_eq!(epochs, vec![vec![0, 0, 0, 0], vec![0, 0, 0, 0], vec![0, 0, 0, 1]]);
}

#[test]
fn command_that_finds_the_writers_seat_taken_is_seen_by_who_leaves_it() {
    // Far below the time after which the writer's thread looks by itself.
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("builds");
    let broker = TestEngine::start();
    runtime.block_on(broker.create("t", &[("flush.messages", &i64::MAX.to_string())]));
    let (engine, partition) = (broker.engine(), broker.partition("t").id);
    broker.store.writes.hold();
    std::thread::scope(|scope| {
        let sitting = scope.spawn(|| engine.append(Acks::All, vec![to(partition, &plain(&["a"]))]));
        broker.store.writes.wait_until_reached();
        let late = engine.append(Acks::All, vec![to(partition, &plain(&["b"]))]);
        broker.store.writes.open();
        let answered = runtime.block_on(async { tokio::time::timeout(PATIENCE, late).await });
        assert_eq!(answered.expect("not left lying").expect("answered"), vec![at(1)]);
        assert_eq!(sitting.join().expect("ends").blocking_recv(), Ok(vec![at(0)]));
    });
}
