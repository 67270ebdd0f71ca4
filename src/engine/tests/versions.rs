//! Topics that check versions of keys: who names the newest record of a key goes on from it, everybody else is refused.

use std::collections::HashMap;

use proptest::prelude::*;

use super::harness::*;
use crate::engine::command::{Acks, Appended, Refused, TopicRef};
use crate::record::build::BatchBuilder;
use crate::store::schema::{RowValue, TopicRow, topic_key, versions_prefix};
use crate::store::{Rows, Store};
use crate::types::{ErrorCode, Offset, ProducerEpoch, ProducerId};

const CHECKED: &[(&str, &str)] = &[("cleanup.policy", "compact"), ("message.version.check", "true")];

/// A record: its key, whether it has a value, the version that it expects.
type Record<'a> = (Option<&'a str>, bool, Option<&'a str>);

fn batch(records: &[Record<'_>]) -> BatchBuilder {
    records.iter().fold(BatchBuilder::new(), |batch, (key, has_value, expected)| {
        let headers: Vec<_> = expected.iter().map(|text| (&b"expected-version"[..], Some(text.as_bytes()))).collect();
        batch.record_with_headers(START_TIME, key.map(str::as_bytes), has_value.then_some(b"v"), &headers)
    })
}

impl TestEngine {
    async fn write(&self, records: &[Record<'_>]) -> Appended {
        self.write_batch(batch(records)).await
    }

    async fn write_batch(&self, batch: BatchBuilder) -> Appended {
        let batch = self.with_ids(self.partition("t").id, &batch);
        self.engine().append(Acks::All, vec![batch]).await.expect("answered").remove(0)
    }

    async fn is_stale(&self, records: &[Record<'_>]) {
        let before = self.offsets("t").log_end;
        let answer = self.write(records).await;
        assert_eq!((answer.error, answer.base_offset), (ErrorCode::INVALID_RECORD, -1), "{records:?}");
        assert_eq!(self.offsets("t").log_end, before);
    }
}

#[tokio::test]
async fn record_comes_after_the_one_that_it_names_or_not_at_all() {
    let mut broker = TestEngine::start();
    broker.create("t", CHECKED).await;
    assert_eq!(broker.write(&[(Some("a"), true, Some("none"))]).await, at(0));
    assert_eq!(broker.write(&[(Some("b"), true, None), (None, true, None)]).await, at(1));
    for _ in 0..2 {
        broker.is_stale(&[(Some("a"), true, Some("none"))]).await;
        broker.is_stale(&[(Some("a"), true, Some("1"))]).await;
        broker.is_stale(&[(Some("b"), true, Some("1")), (Some("a"), true, Some("7"))]).await;
        broker.is_stale(&[(Some("c"), true, Some("0"))]).await;
        broker = broker.restart().await;
    }
    assert_eq!(broker.write(&[(Some("b"), true, Some("1")), (Some("a"), true, Some("0"))]).await, at(3));
    broker.is_stale(&[(Some("a"), true, Some("0"))]).await;
    assert_eq!(broker.write(&[(Some("a"), false, Some("4"))]).await, at(5));
    assert_eq!(rows(&broker, &versions_prefix(None)), 1, "a key without a value has no version");
    assert_eq!(broker.write(&[(Some("a"), true, Some("none")), (Some("a"), true, Some("6"))]).await, at(6));
}

#[tokio::test]
async fn of_those_that_write_at_once_one_is_first() {
    let broker = TestEngine::start();
    broker.create("t", CHECKED).await;
    broker.write(&[(Some("a"), true, None)]).await;
    let id = broker.partition("t").id;
    let held = broker.hold_writer();
    let batches = (0..20).map(|_| broker.with_ids(id, &batch(&[(Some("a"), true, Some("0"))])));
    let answers: Vec<_> = batches.map(|batch| broker.engine().append(Acks::All, vec![batch])).collect();
    drop(held);
    let mut stored = 0;
    for answer in answers {
        let error = answer.await.expect("answered").remove(0).error;
        assert!(error.is_none() || error == ErrorCode::INVALID_RECORD);
        stored += usize::from(error.is_none());
    }
    assert_eq!((stored, broker.offsets("t").log_end), (1, 2));
}

#[tokio::test]
async fn version_whose_record_is_lost_with_the_power_is_not_there() {
    let broker = TestEngine::start();
    broker.create("t", CHECKED).await;
    broker.write(&[(Some("a"), true, None)]).await;
    broker.store.syncs.hold();
    let lost = broker.with_ids(broker.partition("t").id, &batch(&[(Some("a"), true, Some("0"))]));
    assert_eq!(broker.engine().append(Acks::Leader, vec![lost]).await.expect("answered").remove(0), at(1));
    let broker = broker.crash(0);
    broker.is_stale(&[(Some("a"), true, Some("1"))]).await;
    assert_eq!(broker.write(&[(Some("a"), true, Some("0"))]).await, at(1));
}

#[tokio::test]
async fn what_cannot_be_checked_is_refused() {
    let broker = TestEngine::start();
    broker.create("t", CHECKED).await;
    for wrong in [(Some("a"), true, Some("")), (Some("a"), true, Some("-1")), (None, true, Some("none"))] {
        let unread = to(broker.partition("t").id, &batch(&[wrong]));
        let answer = broker.engine().append(Acks::All, vec![unread]).await.expect("answered").remove(0);
        assert_eq!(answer.error, ErrorCode::INVALID_RECORD, "{wrong:?}");
    }
    let transactional = batch(&[(Some("a"), true, None)]).producer(ProducerId(1), ProducerEpoch(0), 0).transactional();
    assert_eq!(broker.write_batch(transactional).await.error, ErrorCode::INVALID_RECORD);
    assert_eq!(broker.offsets("t").log_end, 0);
    let off = broker.engine().set_topic_overrides(broker.no("t"), texts(&CHECKED[..1])).await.expect("engine runs");
    assert!(off.expect_err("refused").message.contains("cannot be switched off"));
}

#[tokio::test]
async fn versions_are_checked_only_where_records_go_by_their_keys() {
    let broker = TestEngine::start();
    let refused = |outcome: Result<(), Refused>| {
        let refused = outcome.expect_err("refused");
        assert_eq!(refused.error, ErrorCode::INVALID_CONFIG);
        assert!(refused.message.contains("goes with cleanup.policy=compact alone"), "{}", refused.message);
    };
    let alter = async |broker: &TestEngine, overrides: &[(&str, &str)]| {
        broker.engine().set_topic_overrides(broker.no("t"), texts(overrides)).await.expect("engine runs")
    };
    let policies =
        [&[][..], &[("cleanup.policy", "")], &[("cleanup.policy", "delete")], &[("cleanup.policy", "compact,delete")]];
    for policy in policies {
        let new = new_topic("u", 1, &[policy, &CHECKED[1..]].concat());
        refused(broker.engine().create_topics(vec![new], false).await.expect("engine runs").remove(0).map(drop));
    }
    broker.create("t", CHECKED).await;
    for policy in policies {
        refused(alter(&broker, &[policy, &CHECKED[1..]].concat()).await);
    }

    // A topic from a time when they were not refused starts, and checks as before.
    broker.write(&[(Some("a"), true, None)]).await;
    let key = topic_key(broker.no("t"));
    broker.engine().stop().await.expect("stops");
    let mut row = TopicRow::decode(&broker.store.get(&key).expect("reads").expect("there")).expect("decodes");
    row.overrides = texts(&CHECKED[1..]);
    let mut rows = Rows::default();
    rows.put(key, row.encode());
    broker.store.memory.write(&rows, 0).expect("writes");
    let broker = TestEngine::start_on(broker.store.memory.crash(usize::MAX), broker.time, broker.settings);
    broker.is_stale(&[(Some("a"), true, Some("none"))]).await;
    alter(&broker, &[("retention.ms", "5"), CHECKED[1]]).await.expect("as it was");
    alter(&broker, CHECKED).await.expect("better");
    refused(alter(&broker, &CHECKED[1..]).await);
}

#[tokio::test]
async fn versions_go_with_their_topic() {
    let broker = TestEngine::start();
    for restarts in [false, true] {
        broker.create("t", CHECKED).await;
        broker.write(&[(Some("a"), true, None), (Some("b"), true, None)]).await;
        let deleted = broker.engine().delete_topics(vec![TopicRef::Name("t".to_owned())]).await.expect("engine runs");
        assert!(deleted[0].is_ok());
        if restarts {
            let broker = broker.crash(0);
            while rows(&broker, &versions_prefix(None)) > 0 {
                broker.written().await;
            }
            return;
        }
        while rows(&broker, &versions_prefix(None)) > 0 {
            broker.written().await;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    /// The model: the offset of the newest record of each key.
    #[test]
    fn batch_is_stored_exactly_if_all_of_its_versions_are_met(
        steps in prop::collection::vec(
            (prop::collection::vec((0..3_usize, any::<bool>(), prop::option::of(-1..1_i64)), 1..4), 0..8_u8), 1..40,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut broker = TestEngine::start();
            broker.create("t", CHECKED).await;
            let mut versions: HashMap<usize, Offset> = HashMap::new();
            for (wanted, then) in steps {
                let end = broker.offsets("t").log_end;
                let mut after = versions.clone();
                let mut is_met = true;
                let mut records = Vec::new();
                for ((key, has_value, off), delta) in wanted.into_iter().zip(0..) {
                    // What is expected is right, or one below what is.
                    let version = after.get(&key).copied();
                    let expected = off.map(|off| version.map_or(off, |version| version + off));
                    let expected = expected.map(|offset| Some(offset).filter(|offset| *offset >= 0));
                    is_met &= expected.is_none_or(|expected| expected == version);
                    if has_value {
                        after.insert(key, end + delta);
                    } else {
                        after.remove(&key);
                    }
                    let text = expected.map(|expected| expected.map_or("none".to_owned(), |offset| offset.to_string()));
                    records.push((key.to_string(), has_value, text));
                }
                let records: Vec<Record<'_>> = records
                    .iter()
                    .map(|(key, has_value, text)| (Some(key.as_str()), *has_value, text.as_deref()))
                    .collect();
                if is_met {
                    assert_eq!(broker.write(&records).await, at(end), "{records:?} {versions:?}");
                    versions = after;
                } else {
                    broker.is_stale(&records).await;
                }
                match then {
                    0 => broker = broker.restart().await,
                    1 => broker = broker.crash(0),
                    _ => {}
                }
            }
        });
    }
}
