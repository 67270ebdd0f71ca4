//! Topics that ask who sends: principals that are not checked, and ids that differ by principal.

use std::sync::Arc;

use super::harness::*;
use super::message_ids::{identified, records_of};
use crate::dedup::Sender;
use crate::engine::command::{Acks, Appended};
use crate::record::build::BatchBuilder;
use crate::types::{ErrorCode, ProducerEpoch, ProducerId, TransactionResult};

const MIRROR: &str = "User:mirror";
const BYPASS: (&str, &str) = ("message.dedup.bypass.principals", "User:replay;User:mirror");
const WINDOW: (&str, &str) = ("message.dedup.mode", "window");

pub fn sender(principal: &str) -> Arc<Sender> {
    Arc::new(Sender { principal: principal.into(), ..Sender::anonymous("test") })
}

impl TestEngine {
    async fn send_as(&self, principal: &str, batch: &BatchBuilder) -> Appended {
        let batch = self.with_ids_of(&sender(principal), self.partition("t").id, batch);
        self.engine().append(Acks::All, vec![batch]).await.expect("answered").remove(0)
    }

    async fn values_by_all(&self) -> String {
        let batches = self.read("t").await;
        let values = batches.iter().flat_map(|batch| records_of(&batch.bytes)).map(|(_, value)| value);
        values.collect::<Vec<_>>().join(" ")
    }
}

async fn start(overrides: &[(&str, &str)]) -> TestEngine {
    let broker = TestEngine::start();
    broker.create("t", overrides).await;
    broker
}

fn in_transaction(ids: &[&str], producer: i64, sequence: i32) -> BatchBuilder {
    identified(ids).producer(ProducerId(producer), ProducerEpoch(0), sequence).transactional()
}

#[tokio::test]
async fn what_a_mirror_sends_is_stored_and_remembered_whatever_was_there() {
    let broker = start(&[WINDOW, BYPASS]).await;
    assert_eq!(broker.send_as("User:a", &identified(&["a", "b"])).await, at(0));
    assert_eq!(broker.send_as(MIRROR, &identified(&["b", "c", "c"])).await, at(2));
    assert_eq!(broker.send_as("User:mirror2", &identified(&["c"])).await, at(3), "first of its batch, which counts");
    let broker = broker.restart().await;
    assert_eq!(broker.send_as("User:a", &identified(&["b"])).await, at(2), "the newest counts");
    assert_eq!(broker.send_as("User:a", &identified(&["a", "c"])).await, at(0));
    assert_eq!(broker.values_by_all().await, "a b b c c");
    // Nobody is told by what he calls himself.
    let named = Sender { client_id: MIRROR.into(), ..Sender::anonymous("") };
    let named = broker.with_ids_of(&Arc::new(named), broker.partition("t").id, &identified(&["a"]));
    assert_eq!(broker.engine().append(Acks::All, vec![named]).await, Ok(vec![at(0)]));
}

#[tokio::test]
async fn mirrors_transaction_stands_over_what_was_known_until_it_is_aborted() {
    for restarts in [false, true] {
        let mut broker = start(&[WINDOW, BYPASS]).await;
        assert_eq!(broker.send_as("User:a", &identified(&["x"])).await, at(0));
        assert_eq!(broker.send_as(MIRROR, &in_transaction(&["x"], 1, 0)).await, at(1));
        assert_eq!(broker.send_as(MIRROR, &in_transaction(&["x"], 1, 1)).await, at(2), "twice in one transaction");
        assert_eq!(broker.send_as(MIRROR, &in_transaction(&["x"], 2, 0)).await, at(3), "over another's");
        if restarts {
            broker = broker.restart().await;
        }
        assert_eq!(broker.send_as("User:a", &identified(&["x"])).await.error, ErrorCode::NOT_ENOUGH_REPLICAS);
        broker.end(&["t"], 1, 0, TransactionResult::Abort).await;
        assert_eq!(broker.send_as("User:a", &identified(&["x"])).await.error, ErrorCode::NOT_ENOUGH_REPLICAS);
        broker.end(&["t"], 2, 0, TransactionResult::Abort).await;
        assert_eq!(broker.send_as("User:a", &identified(&["x"])).await, at(0), "as before, restarts: {restarts}");
    }
}

#[tokio::test]
async fn mirrors_record_is_known_also_when_the_transaction_that_had_its_id_before_is_aborted() {
    let broker = start(&[WINDOW, BYPASS]).await;
    assert_eq!(broker.send_as("User:a", &in_transaction(&["x"], 1, 0)).await, at(0));
    assert_eq!(broker.send_as(MIRROR, &identified(&["x"])).await, at(1));
    assert_eq!(broker.send_as("User:a", &identified(&["x"])).await, at(1));
    broker.end(&["t"], 1, 0, TransactionResult::Abort).await;
    let broker = broker.restart().await;
    assert_eq!(broker.send_as("User:a", &identified(&["x"])).await, at(1));
}

#[tokio::test]
async fn mirror_may_send_without_an_id_and_not_what_cannot_be_remembered() {
    let broker = start(&[WINDOW, BYPASS, ("message.dedup.missing.id", "reject")]).await;
    assert_eq!(broker.send_as(MIRROR, &identified(&["", "a"])).await, at(0));
    let long = identified(&[&"x".repeat(513)]);
    let partition = broker.partition("t").id;
    let batch = to(partition, &long);
    let topics = broker.started.catalog.topics();
    let dedup = topics.by_no[&partition.topic].config.dedup.clone().expect("remembers");
    let read = broker.started.extractor.ids(&dedup, &sender(MIRROR), partition, &batch.bytes, &batch.header);
    assert_eq!(read.expect_err("too long").error(), ErrorCode::INVALID_RECORD);
}

#[tokio::test]
async fn mirrors_numbers_move_names_and_are_not_checked() {
    let broker = start(&[("message.dedup.mode", "sequence"), BYPASS]).await;
    let count = |number: &str| {
        let headers = [(&b"producer-name"[..], Some(&b"ada"[..])), (b"producer-sequence", Some(number.as_bytes()))];
        BatchBuilder::new().record_with_headers(START_TIME, None, Some(number.as_bytes()), &headers)
    };
    assert_eq!(broker.send_as("User:a", &count("5")).await, at(0));
    assert_eq!(broker.send_as(MIRROR, &count("3")).await, at(1));
    assert_eq!(broker.send_as("User:a", &count("5")).await, at(0), "a lower number moves nothing");
    assert_eq!(broker.send_as(MIRROR, &count("9")).await, at(2));
    let broker = broker.restart().await;
    assert_eq!(broker.send_as("User:a", &count("8")).await.error, ErrorCode::NONE);
    assert_eq!(broker.values_by_all().await, "5 3 9");
}

#[tokio::test]
async fn mirrors_claim_is_taken_over_anothers() {
    let ledger = [WINDOW, BYPASS, ("message.dedup.id.source", "key"), ("message.dedup.on.duplicate", "reject")];
    let broker = start(&ledger).await;
    let claim = |owner: &'static str| BatchBuilder::new().record(START_TIME, Some(b"job"), Some(owner.as_bytes()));
    assert_eq!(broker.send_as("User:a", &claim("ada")).await, at(0));
    assert_eq!(broker.send_as(MIRROR, &claim("bob")).await, at(1));
    let removed = BatchBuilder::new().record(START_TIME, Some(b"job"), None);
    assert_eq!(broker.send_as(MIRROR, &removed).await, at(2), "no claim, and nothing to remember");
    let broker = broker.restart().await;
    assert_eq!(broker.send_as("User:a", &claim("ada")).await.error, ErrorCode::INVALID_RECORD);
    assert_eq!(broker.send_as("User:a", &claim("bob")).await, at(1));
}

#[tokio::test]
async fn principals_have_ids_of_their_own_and_no_header_claims_anothers() {
    let broker = start(&[WINDOW, ("message.dedup.namespace", "principal")]).await;
    let uuid = "0190163d-8694-739b-aea5-966c26f8ad91";
    assert_eq!(broker.send_as("User:a", &identified(&["x", uuid])).await, at(0));
    assert_eq!(broker.send_as("User:b", &identified(&["x", uuid])).await, at(2));
    // Whatever headers say, and whatever the client calls itself.
    let headers =
        [(&b"message-id"[..], Some(&b"y"[..])), (b"principal", Some(b"User:a")), (b"namespace", Some(b"User:a"))];
    let claims = BatchBuilder::new().record_with_headers(START_TIME, None, Some(b"y"), &headers);
    assert_eq!(broker.send_as("User:b", &claims).await, at(4));
    assert_eq!(broker.send_as("User:a", &identified(&["y"])).await, at(5));
    let broker = broker.restart().await;
    assert_eq!(broker.send_as("User:a", &identified(&[uuid, "x"])).await, at(1));
    assert_eq!(broker.send_as("User:b", &identified(&["x", "y"])).await, at(2));
}

#[tokio::test]
async fn batch_that_was_on_its_way_when_the_topic_began_to_ask_comes_again() {
    let broker = start(&[WINDOW]).await;
    let partition = broker.partition("t").id;
    let early = to(partition, &identified(&["a"]));
    let known = broker.with_ids_of(&sender(MIRROR), partition, &identified(&["a"]));
    let again = broker.with_ids_of(&sender(MIRROR), partition, &identified(&["a"]));
    let set = broker.engine().set_topic_overrides(broker.no("t"), texts(&[WINDOW, BYPASS])).await;
    set.expect("engine runs").expect("good settings");
    let answers = broker.engine().append(Acks::All, vec![early, known, again]).await.expect("answered");
    let found: Vec<_> = answers.iter().map(|answer| (answer.error, answer.base_offset)).collect();
    let expected = [(ErrorCode::NOT_ENOUGH_REPLICAS, -1), (ErrorCode::NONE, 0), (ErrorCode::NONE, 1)];
    assert_eq!(found, expected, "whose sender is known is judged by the new settings");
}
