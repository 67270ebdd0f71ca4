//! Topics come, change and go for everybody at once, and for good.

use super::harness::*;
use crate::engine::command::{Acks, NewTopic, OffsetToCommit, TopicRef};
use crate::engine::settings::DynamicSettings;
use crate::log::offsets::CommittedOffset;
use crate::log::partition::Waiter;
use crate::store::schema::{
    RowValue, TopicRow, offset_key, partitions_prefix, producers_prefix, sparse_prefix, topic_key, topic_log_range,
    topic_prefixes,
};
use crate::store::{Rows, Store};
use crate::types::{ErrorCode, LeaderEpoch, Offset, TopicNo};
use std::sync::Arc;
use std::sync::atomic::Ordering;

fn committed(offset: Offset) -> CommittedOffset {
    CommittedOffset {
        offset,
        leader_epoch: LeaderEpoch(0),
        metadata: String::new(),
        commit_timestamp: START_TIME,
        expire_timestamp: -1,
    }
}

async fn create_error(broker: &TestEngine, new: NewTopic) -> ErrorCode {
    let mut created = broker.engine().create_topics(vec![new], false).await.expect("engine runs");
    created.remove(0).expect_err("refused").error
}

async fn delete(broker: &TestEngine, name: &str) {
    let deleted = broker.engine().delete_topics(vec![TopicRef::Name(name.to_owned())]).await.expect("engine runs");
    assert!(deleted[0].is_ok());
}

/// Returns once the engine has removed what deleted topics left behind.
async fn purged(broker: &TestEngine, topic: TopicNo) {
    while topic_prefixes(topic).iter().any(|prefix| rows(broker, prefix) > 0) {
        broker.written().await;
    }
}

#[tokio::test]
async fn nothing_is_left_of_a_topic_that_one_write_appended_to_and_deleted() {
    let broker = TestEngine::start();
    let topic = broker.create("t", &[]).await.no;
    broker.store.syncs.hold();
    let held = broker.hold_writer();
    let _appended = broker.send("t", Acks::Leader, plain(&["a"]));
    let mut deletion = Box::pin(broker.engine().delete_topics(vec![TopicRef::Name("t".to_owned())]));
    tokio::select! {
        biased;
        _ = &mut deletion => panic!("deleted while the writer is held"),
        () = std::future::ready(()) => {}
    }
    drop(held);
    broker.store.syncs.wait_until_reached();
    // Not published, so nothing has been removed yet.
    assert!(rows(&broker, &topic_log_range(topic).0) > 0, "its records are there");
    let store = broker.store.memory.crash(usize::MAX);
    broker.store.syncs.open();
    let broker = TestEngine::start_on(store, broker.time.clone(), broker.settings.clone());
    for _ in 0..3 {
        broker.idle_round();
    }
    assert_eq!(topic_prefixes(topic).iter().map(|prefix| rows(&broker, prefix)).sum::<usize>(), 0);
    assert_eq!(rows(&broker, &topic_log_range(topic).0), 0);
}

#[tokio::test]
async fn deleted_rows_that_cannot_be_read_now_are_removed_later() {
    let broker = TestEngine::start();
    let topic = broker.create("t", &[]).await.no;
    broker.append("t", idempotent(9, 0, &["a"])).await;
    let left = || topic_prefixes(topic).iter().map(|prefix| rows(&broker, prefix)).sum::<usize>();
    broker.store.range_scans_failing.store(usize::MAX, Ordering::SeqCst);
    delete(&broker, "t").await;
    for _ in 0..3 {
        broker.idle_round();
    }
    assert!(left() > 0, "nothing could be found to be removed");
    broker.store.range_scans_failing.store(0, Ordering::SeqCst);
    broker.idle_round();
    assert!(left() > 0, "tried again at once");
    broker.time.advance(60_000);
    // A round in which the sync of the last is not done finds nothing that it may remove.
    for _ in 0..10_000 {
        broker.idle_round();
        if left() == 0 {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{} rows are left", left());
}

#[tokio::test]
async fn deleted_topic_never_shows_old_data_after_recreation() {
    let mut broker = TestEngine::start();
    let old = broker.create("t", &[]).await;
    let id = broker.partition("t").id;
    broker.append("t", idempotent(9, 0, &["old"])).await;
    let commit = OffsetToCommit { partition: id, committed: committed(1) };
    broker.engine().commit_offsets("g".to_owned(), vec![commit]).await.expect("committed");
    let waiter = Arc::new(Waiter::default());
    let view = broker.partition("t");
    view.wake_on_change(&waiter);
    delete(&broker, "t").await;
    waiter.woken().await;
    assert!(view.is_deleted());
    assert!(broker.started.catalog.topic("t").is_none());
    assert_eq!(broker.started.offsets.all("g"), None);
    let late = broker.engine().append(crate::engine::command::Acks::All, vec![to(id, &plain(&["late"]))]);
    assert_eq!(late.await.expect("answered")[0].error, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let new = broker.create("t", &[]).await;
    assert_ne!((new.no, new.id), (old.no, old.id));
    for round in ["at once", "after a restart", "after a power cut"] {
        assert_eq!(broker.offsets("t").log_end, 0, "{round}");
        assert!(broker.read("t").await.is_empty(), "{round}");
        assert_eq!(broker.started.offsets.all("g"), None, "{round}");
        broker = if round == "at once" { broker.restart().await } else { broker.crash(0) };
    }
    // The old producer is a stranger to the new topic.
    assert_eq!(broker.append("t", idempotent(9, 5, &["new"])).await, at(0));
}

#[tokio::test]
async fn rows_of_a_deleted_topic_are_removed_even_if_the_broker_dies_in_between() {
    let broker = TestEngine::start();
    let topic = broker.create("t", &[]).await;
    broker.create("other", &[]).await;
    for name in ["t", "other"] {
        broker.append(name, idempotent(9, 0, &["a"])).await;
        // A second entry of time makes an entry of the sparse index.
        broker.time.advance(60_000);
        broker.append(name, idempotent(9, 1, &["b"])).await;
    }
    let before =
        [partitions_prefix(), producers_prefix(None), sparse_prefix(None)].map(|prefix| rows(&broker, &prefix));
    assert_eq!(before, [2, 2, 2]);
    broker.store.syncs.hold();
    let mut pending = Box::pin(broker.engine().delete_topics(vec![TopicRef::Id(topic.id)]));
    tokio::select! {
        biased;
        _ = &mut pending => panic!("answered before the sync"),
        () = broker.written() => {}
    }
    drop(pending);
    // Only the deletion itself survives, none of the slices after it.
    let broker = broker.crash(1);
    assert!(broker.started.catalog.topic("t").is_none());
    purged(&broker, topic.no).await;
    let after = [partitions_prefix(), producers_prefix(None), sparse_prefix(None)].map(|prefix| rows(&broker, &prefix));
    assert_eq!(after, [1, 1, 1], "those of the other topic");
    assert_eq!(broker.read("other").await.len(), 2);
}

#[tokio::test]
async fn offsets_committed_while_the_topic_goes_do_not_come_back() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    let id = broker.partition("t").id;
    broker.store.syncs.hold();
    let commit = OffsetToCommit { partition: id, committed: committed(1) };
    let mut commit = Box::pin(broker.engine().commit_offsets("g".to_owned(), vec![commit]));
    let mut deletion = Box::pin(broker.engine().delete_topics(vec![TopicRef::Name("t".to_owned())]));
    tokio::select! {
        biased;
        _ = &mut commit => panic!("answered before the sync"),
        _ = &mut deletion => panic!("answered before the sync"),
        () = broker.written() => {}
    }
    broker.store.syncs.open();
    assert_eq!(commit.await, Ok(Default::default()));
    deletion.await.expect("answered")[0].as_ref().expect("deleted");
    assert_eq!(broker.started.offsets.all("g"), None);
    let broker = broker.crash(0);
    assert_eq!(broker.started.offsets.all("g"), None);
    assert_eq!(broker.store.get(&offset_key("g", id)).expect("reads"), None);
}

#[tokio::test]
async fn topic_is_refused_that_exists_collides_or_is_too_large() {
    let broker = TestEngine::start();
    broker.create("a.b", &[]).await;
    let cases = [
        (new_topic("a.b", 1, &[]), ErrorCode::TOPIC_ALREADY_EXISTS),
        (new_topic("a_b", 1, &[]), ErrorCode::INVALID_TOPIC_EXCEPTION),
        (new_topic("big", 100, &[]), ErrorCode::POLICY_VIOLATION),
        (new_topic("odd", 1, &[("flush.ms", "soon")]), ErrorCode::INVALID_CONFIG),
    ];
    for (new, expected) in cases {
        let name = new.name.clone();
        assert_eq!(create_error(&broker, new).await, expected, "{name}");
    }
    assert_eq!(broker.started.catalog.topics().by_name.len(), 1);
    delete(&broker, "a.b").await;
    broker.create("a_b", &[]).await;
    broker.create("big", &[]).await;
}

#[tokio::test]
async fn validation_alone_creates_nothing() {
    let broker = TestEngine::start();
    let validated = broker.engine().create_topics(vec![new_topic("t", 3, &[])], true).await.expect("engine runs");
    assert_eq!(validated[0].as_ref().expect("valid").partitions.len(), 3);
    assert!(broker.started.catalog.topic("t").is_none());
    broker.create("t", &[]).await;
}

#[tokio::test]
async fn topic_and_what_it_became_survive_a_power_cut_once_answered() {
    let broker = TestEngine::start();
    broker.create("t", &[("retention.ms", "5")]).await;
    broker.append("t", plain(&["a"])).await;
    let grown = broker.engine().create_partitions(broker.no("t"), 3, false).await;
    assert_eq!(grown, Ok(Ok(())));
    let set = broker.engine().set_topic_overrides(broker.no("t"), texts(&[("retention.ms", "6")])).await;
    assert_eq!(set, Ok(Ok(())));
    let before = broker.started.catalog.topic("t").expect("exists");
    let broker = broker.crash(0);
    let after = broker.started.catalog.topic("t").expect("exists");
    assert_eq!((after.no, after.id, after.partitions.len()), (before.no, before.id, 3));
    assert_eq!(after.config.retention_ms, 6);
    assert_eq!(after.overrides, texts(&[("retention.ms", "6")]));
    assert_eq!(broker.offsets("t").log_end, 1);
}

#[tokio::test]
async fn partitions_only_grow() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    let cases =
        [(1, ErrorCode::INVALID_PARTITIONS), (0, ErrorCode::INVALID_PARTITIONS), (101, ErrorCode::POLICY_VIOLATION)];
    for (total, expected) in cases {
        let refused = broker.engine().create_partitions(broker.no("t"), total, false).await.expect("engine runs");
        assert_eq!(refused.expect_err("refused").error, expected, "{total}");
    }
}

fn dynamic(broker: &TestEngine, topic_defaults: crate::config::TopicConfig) -> DynamicSettings {
    DynamicSettings { topic_defaults, producer_id_expiration_ms: broker.settings.producer_id_expiration_ms }
}

#[tokio::test]
async fn what_was_asked_of_a_topic_does_not_land_on_the_one_that_has_its_name_by_now() {
    let broker = TestEngine::start();
    let old = broker.create("t", &[("retention.ms", "7")]).await;
    delete(&broker, "t").await;
    let new = broker.create("t", &[("retention.ms", "-1")]).await;
    assert_ne!(old.no, new.no);
    let set = broker.engine().set_topic_overrides(old.no, old.overrides.clone()).await.expect("engine runs");
    assert_eq!(set.expect_err("refused").error, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let grown = broker.engine().create_partitions(old.no, 2, false).await.expect("engine runs");
    assert_eq!(grown.expect_err("refused").error, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let deleted = broker.engine().delete_records(old.partitions[0].id, 0).await.expect("engine runs");
    assert_eq!(deleted.expect_err("refused").error, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let now = broker.started.catalog.topic("t").expect("exists");
    assert_eq!((now.config.retention_ms, now.partitions.len()), (-1, 1));
    assert_eq!(now.overrides, texts(&[("retention.ms", "-1")]));
}

#[tokio::test]
async fn broker_defaults_reach_topics_without_a_setting_of_their_own() {
    let broker = TestEngine::start();
    broker.create("own", &[("retention.ms", "5")]).await;
    broker.create("none", &[]).await;
    let defaults = crate::config::TopicConfig { retention_ms: 9, ..broker.settings.topic_defaults.clone() };
    let set =
        broker.engine().set_broker_overrides(texts(&[("log.retention.ms", "9")]), dynamic(&broker, defaults)).await;
    assert_eq!(set, Ok(Ok(())));
    let retention_ms = |name| broker.started.catalog.topic(name).expect("exists").config.retention_ms;
    assert_eq!((retention_ms("own"), retention_ms("none")), (5, 9));
    let stored = crate::engine::Engine::stored_broker_overrides(&broker.store.memory.crash(0)).expect("reads");
    assert_eq!(stored, texts(&[("log.retention.ms", "9")]));
}

#[tokio::test]
async fn topics_that_want_batches_compressed_are_counted() {
    let broker = TestEngine::start();
    let count = || broker.started.catalog.topics().compressing;
    let zstd = texts(&[("compression.type", "zstd")]);
    let topic = broker.create("a", &[("compression.type", "zstd")]).await;
    broker.create("b", &[]).await;
    assert_eq!(count(), 1);
    for (overrides, expected) in [(texts(&[]), 0), (zstd.clone(), 1), (zstd, 1)] {
        broker.engine().set_topic_overrides(topic.no, overrides).await.expect("engine runs").expect("allowed");
        assert_eq!(count(), expected);
    }
    let compression_type = Some(crate::config::CompressionType::Lz4);
    let defaults = crate::config::TopicConfig { compression_type, ..broker.settings.topic_defaults.clone() };
    let changed = broker.engine().set_broker_overrides(texts(&[]), dynamic(&broker, defaults)).await;
    assert_eq!((changed, count()), (Ok(Ok(())), 2));
    delete(&broker, "a").await;
    assert_eq!(count(), 1);
}

#[tokio::test]
async fn broker_defaults_change_beside_a_topic_with_a_setting_that_is_not_taken_any_more() {
    let broker = TestEngine::start();
    let old = broker.create("old", &[]).await;
    broker.create("plain", &[]).await;
    broker.engine().stop().await.expect("stops");
    // As a version left it that knew a setting of which this one knows nothing.
    let key = topic_key(old.no);
    let mut row = TopicRow::decode(&broker.store.get(&key).expect("reads").expect("there")).expect("decodes");
    row.overrides = texts(&[("no.longer.known", "1"), ("retention.bytes", "loud"), ("max.message.bytes", "2097152")]);
    let mut rows = Rows::default();
    rows.put(key, row.encode());
    broker.store.memory.write(&rows, 0).expect("writes");
    let broker = TestEngine::start_on(broker.store.memory.crash(usize::MAX), broker.time, broker.settings);
    let defaults = crate::config::TopicConfig { retention_ms: 7, ..Default::default() };
    let changed =
        broker.engine().set_broker_overrides(texts(&[]), dynamic(&broker, defaults)).await.expect("engine runs");
    assert_eq!(changed, Ok(()));
    for name in ["old", "plain"] {
        assert_eq!(broker.started.catalog.topic(name).expect("there").config.retention_ms, 7, "{name}");
    }
    // What is still known stays in force.
    let old = broker.started.catalog.topic("old").expect("there");
    assert_eq!((old.config.max_message_bytes, old.config.retention_bytes), (2_097_152, -1));
}

#[tokio::test]
async fn space_of_deleted_topics_is_reclaimed_together_while_the_engine_goes_on() {
    let broker = TestEngine::start();
    let mut topics = Vec::new();
    for name in ["a", "b", "c", "d"] {
        topics.push(broker.create(name, &[]).await.no);
        broker.append(name, plain(&["x"])).await;
    }
    broker.store.reclaims.hold();
    delete(&broker, "d").await;
    purged(&broker, topics[3]).await;
    broker.store.reclaims.wait_until_reached();
    // Rows are gone before their space is asked for, and nobody waits meanwhile.
    assert_eq!(rows(&broker, &topic_log_range(topics[3]).0), 0);
    for (name, topic) in [("a", topics[0]), ("b", topics[1])] {
        delete(&broker, name).await;
        purged(&broker, topic).await;
    }
    assert_eq!(broker.append("c", plain(&["y"])).await, at(1));
    broker.store.reclaims.open();
    let (from, to) = (topic_log_range(topics[0]).0, topic_log_range(topics[1]).1);
    assert_eq!(broker.store.wait_until_reclaimed(2), [topic_log_range(topics[3]), (from, to)]);
}
