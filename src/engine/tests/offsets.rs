//! How long committed offsets are kept, and how many.

use std::collections::BTreeMap;

use super::harness::{TestEngine, idempotent, rows, settings};
use crate::engine::command::{GroupChange, OffsetToCommit, TopicRef};
use crate::engine::settings::Settings;
use crate::group::classic::{StoredGroup, StoredMember};
use crate::log::offsets::CommittedOffset;
use crate::store::schema::offsets_prefix;
use crate::types::{ErrorCode, LeaderEpoch, PartitionId, Timestamp};

const RETENTION_MS: Timestamp = 10_000_000;
const CHECK_INTERVAL_MS: Timestamp = 600_000;

fn start() -> TestEngine {
    TestEngine::start_with(Settings { offsets_retention_ms: RETENTION_MS, ..settings() })
}

impl TestEngine {
    async fn commit(&self, group: &str, partition: PartitionId, keep_ms: Option<Timestamp>) -> Option<ErrorCode> {
        let committed = CommittedOffset {
            offset: 1,
            leader_epoch: LeaderEpoch(-1),
            metadata: String::new(),
            commit_timestamp: self.time.now(),
            expire_timestamp: keep_ms.map_or(-1, |keep_ms| self.time.now() + keep_ms),
        };
        let commit = vec![OffsetToCommit { partition, committed }];
        let mut refused = self.engine().commit_offsets(group.to_owned(), commit).await.expect("engine runs");
        refused.remove(&partition)
    }

    /// Returns once a look for expired offsets is over.
    async fn checked(&self) {
        self.time.advance(CHECK_INTERVAL_MS);
        self.written().await;
        // Readers are told after the sync of what was found: behind it stands another one.
        self.engine().commit_offsets("none".to_owned(), Vec::new()).await.expect("engine runs");
    }
}

#[tokio::test]
async fn an_offset_is_forgotten_when_its_time_is_over_and_not_before() {
    let broker = start();
    broker.create("t", &[]).await;
    let at = broker.partition("t").id;
    assert_eq!(broker.commit("old", at, None).await, None);
    assert_eq!(broker.commit("own", at, Some(1)).await, None);
    assert_eq!(broker.commit("kept", at, Some(RETENTION_MS * 2)).await, None);
    let known = |broker: &TestEngine| ["old", "own", "kept"].map(|group| broker.started.offsets.is_known(group));
    broker.checked().await;
    assert_eq!(known(&broker), [true, false, true]);
    broker.time.advance(RETENTION_MS - CHECK_INTERVAL_MS * 2 - 1);
    broker.checked().await;
    assert_eq!(known(&broker), [true, false, true]);
    // Whoever commits anew is not forgotten.
    assert_eq!(broker.commit("own", at, None).await, None);
    broker.checked().await;
    assert_eq!(known(&broker), [false, true, true]);
    assert_eq!(rows(&broker, &offsets_prefix()), 2);
    // What was kept still expires after a restart, by the time that was stored with it.
    let broker = broker.restart().await;
    assert_eq!(known(&broker), [false, true, true]);
    broker.time.advance(RETENTION_MS * 2);
    broker.checked().await;
    assert_eq!(known(&broker), [false, false, false]);
    let broker = broker.crash(0);
    assert_eq!(rows(&broker, &offsets_prefix()), 0);
}

#[tokio::test]
async fn offsets_beyond_the_limit_are_refused_until_there_is_room() {
    let broker = TestEngine::start_with(Settings { group_offsets_bytes_max: 300, ..settings() });
    broker.create("t", &[]).await;
    broker.create("u", &[]).await;
    let (t, u) = (broker.partition("t").id, broker.partition("u").id);
    assert_eq!(broker.commit("a", t, None).await, None);
    assert_eq!(broker.commit("b", u, None).await, Some(ErrorCode::INVALID_COMMIT_OFFSET_SIZE));
    assert!(!broker.started.offsets.is_known("b"));
    assert_eq!(broker.commit("a", t, None).await, None, "progress in what is known");
    // What is stored counts after a restart, too.
    let broker = broker.restart().await;
    assert_eq!(broker.commit("b", u, None).await, Some(ErrorCode::INVALID_COMMIT_OFFSET_SIZE));
    broker
        .engine()
        .delete_topics(vec![TopicRef::Name("t".to_owned())])
        .await
        .expect("engine runs")
        .remove(0)
        .expect("deleted");
    assert_eq!(broker.commit("a", t, None).await, Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    assert_eq!(broker.commit("b", u, None).await, None);
    assert_eq!(rows(&broker, &offsets_prefix()), 1);
    assert_eq!(broker.engine().commit_offsets("c".to_owned(), Vec::new()).await, Ok(BTreeMap::new()));
}

#[tokio::test]
async fn a_wall_clock_that_jumps_forgets_neither_offsets_nor_producers() {
    const YEAR_MS: Timestamp = 365 * 86_400_000;
    let broker = start();
    broker.create("t", &[]).await;
    let at = broker.partition("t").id;
    assert_eq!(broker.commit("g", at, None).await, None);
    broker.append("t", idempotent(9, 0, &["a"])).await;
    broker.time.jump(YEAR_MS);
    broker.checked().await;
    let gap = broker.append("t", idempotent(9, 7, &["a"])).await;
    assert_eq!(gap.error, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, "still known");
    assert!(broker.started.offsets.is_known("g"));
    // Nor does one that jumps while no broker runs, or a long time without one, after a stop or a kill.
    broker.time.jump(YEAR_MS);
    let broker = broker.restart().await;
    broker.time.jump(YEAR_MS);
    let broker = broker.crash(usize::MAX);
    let gap = broker.append("t", idempotent(9, 7, &["a"])).await;
    assert_eq!(gap.error, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, "still known");
    broker.checked().await;
    assert!(broker.started.offsets.is_known("g"));
    // Their time goes on with the broker's.
    broker.time.advance(RETENTION_MS);
    broker.checked().await;
    assert!(!broker.started.offsets.is_known("g"));
}

#[tokio::test]
async fn looks_go_on_after_the_wall_clock_went_back() {
    let broker = start();
    broker.create("t", &[]).await;
    broker.time.jump(-2 * RETENTION_MS);
    let at = broker.partition("t").id;
    assert_eq!(broker.commit("g", at, None).await, None);
    broker.time.advance(RETENTION_MS);
    broker.checked().await;
    assert!(!broker.started.offsets.is_known("g"));
}

/// A group of one member that subscribes to `t`, as its coordinator has it stored.
fn with_member(subscription: &'static [u8]) -> GroupChange {
    let member = StoredMember {
        member_id: "m".into(),
        instance_id: None,
        client_id: "c".into(),
        client_host: "/127.0.0.1".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocols: vec![("range".into(), subscription.into())],
        assignment: bytes::Bytes::new(),
    };
    GroupChange::Store(StoredGroup {
        generation_id: 1,
        protocol_type: Some("consumer".into()),
        protocol_name: Some("range".into()),
        leader: Some("m".into()),
        is_completing: false,
        since: 0,
        members: vec![member],
    })
}

#[tokio::test]
async fn offsets_of_subscribed_topics_are_kept_until_long_after_the_last_member_has_gone() {
    let broker = start();
    broker.create("t", &[]).await;
    broker.create("u", &[]).await;
    let (t, u) = (broker.partition("t").id, broker.partition("u").id);
    // The last one says what nobody can read, so that nobody can tell what it reads.
    let groups = [("subscribed", &b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff"[..]), ("unreadable", b"\x07\x07\x07")];
    for (group, subscription) in groups {
        let stored = broker.engine().change_group(group.to_owned(), with_member(subscription)).await;
        stored.expect("engine runs");
        assert_eq!(broker.commit(group, t, None).await, None);
        assert_eq!(broker.commit(group, u, None).await, None);
    }
    let known = |broker: &TestEngine| {
        groups.map(|(group, _)| broker.started.offsets.all(group).map_or(0, |offsets| offsets.len()))
    };
    broker.time.advance(RETENTION_MS * 5);
    broker.checked().await;
    assert_eq!(known(&broker), [1, 2]);
    // A restart knows it from the rows.
    let broker = broker.restart().await;
    broker.time.advance(RETENTION_MS * 5);
    broker.checked().await;
    assert_eq!(known(&broker), [1, 2]);
    assert!(broker.started.offsets.get("subscribed", t).is_some());

    // From here on nobody is a member, and time begins to count.
    let since = broker.time.now();
    for (group, _) in groups {
        let empty = StoredGroup { generation_id: 2, since, ..StoredGroup::default() };
        broker.engine().change_group(group.to_owned(), GroupChange::Store(empty)).await.expect("engine runs");
    }
    broker.time.advance(RETENTION_MS - CHECK_INTERVAL_MS * 2);
    broker.checked().await;
    assert_eq!(known(&broker), [1, 2]);
    broker.time.advance(CHECK_INTERVAL_MS * 2);
    broker.checked().await;
    assert_eq!(known(&broker), [0, 0]);
}
