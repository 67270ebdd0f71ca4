//! Topics that are told of records which were there already: in the same write, of exactly those, within bounds.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::harness::*;
use super::message_ids::{identified, records_of};
use crate::config::dedup::DedupDefaults;
use crate::engine::command::{Acks, Appended, NewTopic, Refused, TopicRef};
use crate::record::build::BatchBuilder;
use crate::record::codec::Codec;
use crate::types::{ErrorCode, ProducerEpoch, ProducerId, TransactionResult};

const AUDITED: [(&str, &str); 2] = [("message.dedup.mode", "window"), ("message.dedup.audit.topic", "repeated")];

impl TestEngine {
    async fn offer_to(&self, topic: &str, acks: Acks, batch: BatchBuilder) -> Appended {
        let batch = self.with_ids(self.partition(topic).id, &batch);
        self.engine().append(acks, vec![batch]).await.expect("answered").remove(0)
    }

    async fn send_ids(&self, ids: &[&str]) -> Appended {
        self.offer_to("t", Acks::All, identified(ids)).await
    }

    /// What the audit topic says, over its partitions.
    async fn audit(&self) -> Vec<Value> {
        let topic = self.started.catalog.topic("repeated").expect("exists");
        let mut told = Vec::new();
        for partition in &topic.partitions {
            let offsets = partition.offsets();
            let read = self.started.reader.read(partition, offsets.log_start, offsets.high_watermark, usize::MAX).await;
            for batch in read.expect("readable") {
                for (_, value) in records_of(&batch.bytes) {
                    told.push(serde_json::from_str(&value).expect("JSON"));
                }
            }
        }
        told
    }

    /// Ids, outcomes and offsets of the originals.
    async fn told(&self) -> Vec<(String, String, Option<i64>)> {
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let told = self.audit().await;
        let mut told: Vec<_> = told
            .iter()
            .map(|told| (text(&told["id"]), text(&told["outcome"]), told["original"]["offset"].as_i64()))
            .collect();
        told.sort();
        told
    }

    fn missed(&self) -> u64 {
        self.started.catalog.topic("t").expect("exists").traffic.dedup_audit_missed.load(Ordering::Relaxed)
    }

    async fn alter(&self, topic: &str, overrides: &[(&str, &str)]) -> Result<(), Refused> {
        self.engine().set_topic_overrides(self.no(topic), texts(overrides)).await.expect("engine runs")
    }

    async fn try_to_create(&self, new: NewTopic) -> Result<(), Refused> {
        let created = self.engine().create_topics(vec![new], false).await.expect("engine runs").remove(0);
        created.map(drop)
    }
}

fn told(id: &str, outcome: &str, offset: impl Into<Option<i64>>) -> (String, String, Option<i64>) {
    (id.to_owned(), outcome.to_owned(), offset.into())
}

async fn start(more: &[(&'static str, &'static str)]) -> TestEngine {
    let broker = TestEngine::start();
    broker.try_to_create(new_topic("repeated", 3, &[])).await.expect("created");
    broker.create("t", &[&AUDITED, more].concat()).await;
    broker
}

#[tokio::test]
async fn each_record_that_is_left_out_is_told_of_and_no_other() {
    let broker = start(&[]).await;
    broker.send_ids(&["a", "b"]).await;
    assert_eq!(broker.told().await, []);
    broker.send_ids(&["a", "c", "c"]).await;
    broker.send_ids(&["b", "a"]).await;
    let all = [told("a", "dropped", 0), told("a", "dropped", 0), told("b", "dropped", 1), told("c", "dropped", 3)];
    assert_eq!(broker.told().await, all);
    let first = broker.audit().await.into_iter().find(|told| told["id"] == "c").expect("told");
    assert_eq!(
        (&first["topic"], &first["client_id"], &first["record"]["value"]),
        (&json!("t"), &json!("test"), &json!("c"))
    );
    let broker = broker.restart().await;
    assert_eq!(broker.told().await, all);
    let partitions = &broker.started.catalog.topic("repeated").expect("exists").partitions;
    let ends: i64 = partitions.iter().map(|partition| partition.offsets().log_end).sum();
    assert_eq!((ends, broker.missed()), (4, 0));
}

#[tokio::test]
async fn what_is_told_and_what_it_is_about_are_there_together_or_not_at_all() {
    for kept_writes in [0, 1] {
        let broker = start(&[]).await;
        broker.send_ids(&["a"]).await;
        broker.store.syncs.hold();
        let appended = broker.offer_to("t", Acks::Leader, identified(&["b", "a"])).await;
        assert_eq!((appended.base_offset, broker.store.memory.unsynced_writes()), (1, 1), "one write");
        let broker = broker.crash(kept_writes);
        let expected = if kept_writes == 0 { vec![] } else { vec![told("a", "dropped", 0)] };
        assert_eq!((broker.told().await, broker.offsets("t").log_end), (expected, 1 + 2 * kept_writes as i64));
    }
}

#[tokio::test]
async fn marked_and_refused_records_are_told_of_as_such() {
    let broker = start(&[("message.dedup.on.duplicate", "mark")]).await;
    broker.send_ids(&["a", "b"]).await;
    broker.send_ids(&["c", "b"]).await;
    assert_eq!(broker.told().await, [told("b", "marked", 1)]);
    assert_eq!(broker.audit().await[0]["record"]["headers"][0]["key"], "message-id", "as it came, without the mark");

    let broker = start(&[("message.dedup.on.duplicate", "reject")]).await;
    broker.send_ids(&["a", "b"]).await;
    assert_eq!(broker.send_ids(&["c", "b", "a"]).await.error, ErrorCode::INVALID_RECORD);
    assert_eq!(broker.told().await, [told("b", "rejected", 1)], "the first one spoils the batch");
    assert_eq!(broker.send_ids(&["d", "d"]).await.error, ErrorCode::INVALID_RECORD);
    assert_eq!(broker.told().await[1], told("d", "rejected", None), "what it repeats is refused with it");
}

#[tokio::test]
async fn senders_that_count_are_told_of_with_their_numbers() {
    let broker = TestEngine::start();
    broker.create("repeated", &[("cleanup.policy", "compact")]).await;
    broker.create("t", &[("message.dedup.mode", "sequence"), AUDITED[1]]).await;
    let counted = |number: &'static [u8]| {
        let headers = [(&b"producer-name"[..], Some(&b"relay"[..])), (b"producer-sequence", Some(number))];
        BatchBuilder::new().record_with_headers(START_TIME, None, Some(number), &headers)
    };
    broker.offer_to("t", Acks::All, counted(b"7")).await;
    broker.offer_to("t", Acks::All, counted(b"7")).await;
    broker.offer_to("t", Acks::All, counted(b"5")).await;
    assert_eq!(broker.told().await, [told("relay", "dropped", None), told("relay", "dropped", 0)]);
    let numbers: Vec<Value> = broker.audit().await.into_iter().map(|told| told["number"].clone()).collect();
    assert_eq!(numbers, [7, 5]);
}

#[tokio::test]
async fn record_of_a_transaction_is_told_of_whatever_becomes_of_that() {
    let broker = start(&[]).await;
    broker.send_ids(&["a"]).await;
    let batch = identified(&["a", "b"]).producer(ProducerId(7), ProducerEpoch(0), 0).transactional();
    assert_eq!(broker.offer_to("t", Acks::All, batch).await.base_offset, 1);
    assert_eq!(broker.told().await, [told("a", "dropped", 0)]);
    broker.end(&["t"], 7, 0, TransactionResult::Abort).await;
    let first = &broker.audit().await[0];
    assert_eq!((&first["in_transaction"], &first["producer_id"], &first["id"]), (&json!(true), &json!(7), &json!("a")));
}

#[tokio::test]
async fn nobody_is_refused_because_an_audit_topic_is_not_there() {
    let broker = start(&[]).await;
    broker.send_ids(&["a"]).await;
    let deleted = broker.engine().delete_topics(vec![TopicRef::Name("repeated".to_owned())]).await;
    assert!(deleted.expect("engine runs")[0].is_ok());
    assert_eq!(broker.send_ids(&["a", "b"]).await, at(1));
    assert_eq!(broker.missed(), 1);
    let broker = broker.restart().await;
    assert_eq!(broker.send_ids(&["a"]).await, at(0));
    broker.try_to_create(new_topic("repeated", 3, &[])).await.expect("created anew");
    broker.send_ids(&["b"]).await;
    assert_eq!((broker.told().await, broker.missed()), (vec![told("b", "dropped", 2)], 1));
}

#[tokio::test]
async fn topic_that_is_told_recognises_nothing_itself() {
    let broker = start(&[]).await;
    let refused = |outcome: Result<(), Refused>, part: &str| {
        let refused = outcome.expect_err(part);
        assert_eq!(refused.error, ErrorCode::INVALID_CONFIG);
        assert!(refused.message.contains(part), "{}", refused.message);
    };
    let named = |name: &'static str| [AUDITED[0], ("message.dedup.audit.topic", name)];
    for (name, part) in
        [("t", "is the topic itself"), ("nothing", "does not exist"), ("__x", "one of the broker's own")]
    {
        refused(broker.alter("t", &named(name)).await, part);
    }
    refused(broker.alter("repeated", &AUDITED[..1]).await, "is told of repeated records of topic t");
    refused(broker.try_to_create(new_topic("u", 1, &named("u"))).await, "is the topic itself");
    refused(broker.try_to_create(new_topic("u", 1, &named("t"))).await, "looks for repeated messages itself");
    broker.alter("t", &AUDITED[1..]).await.expect("while nothing is recognised, nobody is told");
    broker.alter("repeated", &AUDITED[..1]).await.expect("free again");
    refused(broker.alter("t", &AUDITED).await, "looks for repeated messages itself");
}

#[tokio::test]
async fn defaults_of_the_broker_do_not_make_a_topic_tell_itself() {
    let mut settings = settings();
    settings.topic_defaults.dedup_defaults = DedupDefaults::of("*", texts(&AUDITED)).expect("allowed");
    let broker = TestEngine::start_with(settings);
    broker.create("t", &[]).await;
    broker.send_ids(&["a"]).await;
    broker.send_ids(&["a"]).await;
    assert_eq!(broker.missed(), 1, "it is not there yet, which is no reason to refuse anything");
    broker.create("repeated", &[]).await;
    broker.send_ids(&["a"]).await;
    assert_eq!((broker.told().await, broker.missed()), (vec![told("a", "dropped", 0)], 1));
}

#[tokio::test]
async fn what_one_write_tells_is_bounded() {
    let broker = start(&[]).await;
    let value = vec![b'0'; 200_000];
    let large = || {
        let headers = [(&b"message-id"[..], Some(&b"a"[..]))];
        BatchBuilder::new().codec(Codec::Zstd).record_with_headers(START_TIME, None, Some(&value), &headers)
    };
    broker.offer_to("t", Acks::All, large()).await;
    let partition = broker.partition("t").id;
    let batches = (0..100).map(|_| broker.with_ids(partition, &large())).collect();
    let answered = broker.engine().append(Acks::All, batches);
    assert!(answered.await.expect("answered").iter().all(|appended| appended.base_offset == 0));
    let told = broker.audit().await;
    assert_eq!((told.len(), broker.missed()), (19, 81), "copies of 200 kB in 4 MiB");
    assert!(told.iter().all(|told| !told["record"].is_null()));
    broker.send_ids(&["a"]).await;
    assert_eq!(broker.audit().await.len(), told.len() + 1, "the next write has room");
}

#[tokio::test]
async fn batches_of_what_is_told_are_such_as_usual_fetches_hold() {
    let broker = start(&[]).await;
    // All in one partition of the audit topic.
    broker.send_ids(&["a"; 1_500]).await;
    let topic = broker.started.catalog.topic("repeated").expect("exists");
    let mut sizes = Vec::new();
    for partition in &topic.partitions {
        let end = partition.offsets().high_watermark;
        let read = broker.started.reader.read(partition, 0, end, usize::MAX).await.expect("readable");
        sizes.extend(read.iter().map(|batch| batch.bytes.len()));
    }
    assert!(sizes.iter().sum::<usize>() > 400 << 10, "a batch that leaves as much as it may: {sizes:?}");
    assert!(sizes.iter().all(|size| *size < 300 << 10), "{sizes:?}");
}
