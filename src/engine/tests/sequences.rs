//! Topics that tell messages apart by their senders' numbers: one number for each name, over restarts, kills and transactions.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::harness::*;
use super::message_ids::records_of;
use crate::dedup::SEQUENCES_TOPIC;
use crate::engine::command::{Acks, Appended, TopicRef};
use crate::engine::settings::Settings;
use crate::record::build::BatchBuilder;
use crate::record::codec::{DecompressionLimits, decompress};
use crate::record::records::records;
use crate::record::{BatchHeader, HEADER_BYTES};
use crate::store::schema::sequences_prefix;
use crate::types::{ErrorCode, Offset, ProducerEpoch, ProducerId, TransactionResult, base64_uuid};

const SEQUENCE: &[(&str, &str)] = &[("message.dedup.mode", "sequence")];

/// Records with these names and numbers, whose values say both.
fn counted(of: &[(&str, u64)]) -> BatchBuilder {
    of.iter().fold(BatchBuilder::new(), |batch, (name, number)| {
        let (number, value) = (number.to_string(), format!("{name}{number}"));
        let headers =
            [(&b"producer-name"[..], Some(name.as_bytes())), (&b"producer-sequence"[..], Some(number.as_bytes()))];
        batch.record_with_headers(START_TIME, None, Some(value.as_bytes()), &headers)
    })
}

impl TestEngine {
    async fn count(&self, of: &[(&str, u64)]) -> Appended {
        self.count_batch(counted(of), Acks::All).await
    }

    async fn count_batch(&self, batch: BatchBuilder, acks: Acks) -> Appended {
        let batch = self.with_ids(self.partition("t").id, &batch);
        self.engine().append(acks, vec![batch]).await.expect("answered").remove(0)
    }

    /// What the topic of numbers says of topic `t`, by name.
    async fn published(&self) -> BTreeMap<String, u64> {
        let mut published = BTreeMap::new();
        if self.started.catalog.topic(SEQUENCES_TOPIC).is_none() {
            return published;
        }
        let topic = self.started.catalog.topic("t");
        for batch in self.read(SEQUENCES_TOPIC).await {
            let header = BatchHeader::parse(&batch.bytes).expect("a batch");
            let plain = decompress(
                header.codec().expect("known"),
                &batch.bytes[HEADER_BYTES..],
                DecompressionLimits::default(),
            );
            let plain = plain.expect("decompresses");
            for record in records(&plain, header.record_count) {
                let record = record.expect("well-formed");
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
                let key = text(record.key.expect("has a key"));
                let name = match &topic {
                    Some(topic) => match key.strip_prefix(&format!("t/{}/0/", base64_uuid(topic.id))) {
                        Some(name) => name.to_owned(),
                        None => continue,
                    },
                    None => key,
                };
                match record.value {
                    Some(number) => drop(published.insert(name, text(number).parse().expect("a number"))),
                    None => drop(published.remove(&name)),
                }
            }
        }
        published
    }

    async fn values_of_t(&self) -> Vec<String> {
        self.read("t").await.iter().flat_map(|batch| records_of(&batch.bytes)).map(|(_, value)| value).collect()
    }
}

fn numbers(of: &[(&str, u64)]) -> BTreeMap<String, u64> {
    of.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect()
}

#[tokio::test]
async fn records_at_or_below_the_number_of_their_sender_are_left_out_for_ever() {
    let mut broker = TestEngine::start();
    broker.create("t", SEQUENCE).await;
    assert_eq!(broker.count(&[("a", 1), ("a", 2), ("b", 7)]).await, at(0));
    for _ in 0..2 {
        assert_eq!(broker.count(&[("a", 2)]).await, at(1));
        assert_eq!(broker.count(&[("b", 6)]).await, at(-1));
        assert_eq!(broker.published().await, numbers(&[("a", 2), ("b", 7)]));
        broker.time.advance(1 << 40);
        broker.idle_round();
        broker = broker.restart().await;
    }
    assert_eq!(broker.count(&[("a", 2), ("a", 9), ("a", 9), ("b", 8)]).await, at(3));
    assert_eq!(broker.offsets("t").log_end, 7);
    let broker = broker.crash(0);
    assert_eq!(broker.count(&[("a", 9)]).await, at(4));
    assert_eq!(broker.values_of_t().await, ["a1", "a2", "b7", "a9", "b8"]);
    assert_eq!(broker.published().await, numbers(&[("a", 9), ("b", 8)]));
}

#[tokio::test]
async fn number_whose_record_is_lost_with_the_power_is_free_again() {
    let broker = TestEngine::start();
    broker.create("t", SEQUENCE).await;
    broker.count(&[("a", 1)]).await;
    broker.store.syncs.hold();
    assert_eq!(broker.count_batch(counted(&[("a", 2)]), Acks::Leader).await, at(1));
    let broker = broker.crash(0);
    assert_eq!(broker.published().await, numbers(&[("a", 1)]), "never ahead of the records");
    assert_eq!(broker.count(&[("a", 2)]).await, at(1));
    assert_eq!(broker.count(&[("a", 1)]).await, at(0));
}

#[tokio::test]
async fn idle_name_is_forgotten_after_the_retention_and_begins_anew() {
    let overrides = [SEQUENCE[0], ("message.dedup.sequence.retention.ms", "100000")];
    for looks in [false, true] {
        let broker = TestEngine::start();
        broker.create("t", &overrides).await;
        broker.count(&[("a", 5), ("b", 5)]).await;
        broker.time.advance(50_000);
        broker.count(&[("b", 6)]).await;
        broker.time.advance(49_999);
        assert_eq!(broker.count(&[("a", 5)]).await, at(0));
        // Looks for idle names come once a second.
        broker.time.advance(if looks { 1_000 } else { 1 });
        if looks {
            broker.idle_round();
            broker.written().await;
            assert_eq!(rows(&broker, &sequences_prefix(None)), 1);
            // Told with the round that forgets it, and seen once that is synced.
            while broker.published().await != numbers(&[("b", 6)]) {
                broker.written().await;
            }
        }
        assert_eq!(broker.count(&[("a", 1)]).await, at(3));
        assert_eq!(broker.count(&[("b", 6)]).await, at(2));
        assert_eq!(broker.published().await, numbers(&[("a", 1), ("b", 6)]));
    }
}

#[tokio::test]
async fn idle_name_behind_many_living_ones_is_forgotten_too() {
    let broker = TestEngine::start();
    broker.create("t", &[SEQUENCE[0], ("message.dedup.sequence.retention.ms", "100000")]).await;
    broker.count(&[("idle, last of all", 1)]).await;
    broker.time.advance(100_000);
    // Twice as many as one round looks at.
    let living: Vec<String> = (0..8_192).map(|number| format!("{number:04}")).collect();
    broker.count(&living.iter().map(|name| (name.as_str(), 1)).collect::<Vec<_>>()).await;
    // The next rounds look at the names behind.
    let mut looks = 0;
    while rows(&broker, &sequences_prefix(None)) > living.len() {
        looks += 1;
        assert!(looks < 10, "nobody looks behind the first names");
        broker.time.advance(1_000);
        broker.idle_round();
        broker.written().await;
    }
}

#[tokio::test]
async fn mark_names_no_record_where_nobody_knows_it() {
    let broker = TestEngine::start();
    broker.create("t", &[SEQUENCE[0], ("message.dedup.on.duplicate", "mark")]).await;
    for number in [5, 3, 5] {
        broker.count(&[("a", number)]).await;
    }
    let mut marks = Vec::new();
    for batch in broker.read("t").await {
        for record in records(&batch.bytes[HEADER_BYTES..], 1) {
            let record = record.expect("well-formed");
            let mark = record.header_pairs().find(|(name, _)| *name == b"einmal-duplicate-of");
            marks.push(mark.and_then(|(_, value)| value).map(|value| String::from_utf8_lossy(value).into_owned()));
        }
    }
    assert_eq!(marks, [None, Some("unknown".to_owned()), Some("0:0".to_owned())]);
}

#[tokio::test]
async fn nothing_is_left_of_a_deleted_topic() {
    let broker = TestEngine::start();
    broker.create("t", SEQUENCE).await;
    let names: Vec<_> = (0..5000_u32).map(|name| name.to_string()).collect();
    let of: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
    assert_eq!(broker.count(&of).await, at(0));
    assert_eq!(broker.published().await.len(), 5000, "what is answered is told, however many names it moved");
    let deleted = broker.engine().delete_topics(vec![TopicRef::Name("t".to_owned())]).await.expect("engine runs");
    assert!(deleted[0].is_ok());
    while rows(&broker, &sequences_prefix(None)) > 0 || !broker.published().await.is_empty() {
        broker.written().await;
    }
    broker.create("t", SEQUENCE).await;
    assert_eq!(broker.count(&[("1", 1)]).await, at(0), "another topic of this name begins anew");
}

#[tokio::test]
async fn names_take_half_of_the_memory_of_ids_and_no_more() {
    let broker = TestEngine::start_with(Settings { dedup_memory_bytes: 4000, ..settings() });
    broker.create("t", SEQUENCE).await;
    let mut taken = 0;
    let refused = loop {
        let answer = broker.count(&[(&format!("name-{taken:03}"), 1)]).await;
        if !answer.error.is_none() {
            break answer;
        }
        taken += 1;
    };
    assert_eq!((refused.error, refused.base_offset), (ErrorCode::POLICY_VIOLATION, -1));
    assert!((5..20).contains(&taken), "{taken}");
    assert!(broker.count(&[("name-000", 2)]).await.error.is_none(), "those that are known go on");

    broker.create("other", SEQUENCE).await;
    for (name, error) in [("a", ErrorCode::NONE), ("b", ErrorCode::NONE), ("c", ErrorCode::POLICY_VIOLATION)] {
        let batch = broker.with_ids(broker.partition("other").id, &counted(&[(name, 1)]));
        let answer = broker.engine().append(Acks::All, vec![batch]).await.expect("answered").remove(0);
        assert_eq!(answer.error, error, "{name}: those of one topic leave some room to others");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Send { of: Vec<(usize, u64)>, transaction: Option<i64> },
    End { producer: i64, commits: bool },
    Restart,
    Kill,
}

const NAMES: [&str; 3] = ["a", "b", "c"];

fn step() -> impl Strategy<Value = Step> {
    let record = (0..NAMES.len(), 0..12_u64);
    let send = (prop::collection::vec(record, 1..5), prop::option::weighted(0.4, 0..2_i64));
    prop_oneof![
        8 => send.prop_map(|(of, transaction)| Step::Send { of, transaction }),
        3 => (0..2_i64, any::<bool>()).prop_map(|(producer, commits)| Step::End { producer, commits }),
        1 => Just(Step::Restart),
        1 => Just(Step::Kill),
    ]
}

/// Remembers every record.
#[derive(Default)]
struct Model {
    settled: BTreeMap<&'static str, u64>,
    pending: BTreeMap<&'static str, (i64, u64)>,
    /// Where each record of each name and number was stored, that of an aborted transaction too.
    stored: HashMap<(&'static str, u64), Vec<Offset>>,
    sequences: HashMap<i64, i32>,
}

impl Model {
    async fn send(&mut self, broker: &TestEngine, of: &[(&'static str, u64)], transaction: Option<i64>) {
        let mut batch = counted(of);
        if let Some(producer) = transaction {
            let sequence = self.sequences.get(&producer).copied().unwrap_or(0);
            batch = batch.producer(ProducerId(producer), ProducerEpoch(0), sequence).transactional();
        }
        let end = broker.offsets("t").log_end;
        let answer = broker.count_batch(batch, Acks::All).await;
        let after = broker.offsets("t").log_end;
        let mut moved: BTreeMap<&'static str, u64> = BTreeMap::new();
        let mut new = Vec::new();
        for ((name, number), delta) in of.iter().copied().zip(0..) {
            let settled = self.settled.get(name).copied();
            let reached = match (moved.get(name), self.pending.get(name)) {
                (Some(number), _) => Some(*number),
                (None, Some((owner, number))) if transaction == Some(*owner) => Some(*number),
                (None, Some(_)) if settled.is_none_or(|settled| number > settled) => {
                    assert_eq!((answer.error, after), (ErrorCode::NOT_ENOUGH_REPLICAS, end), "{of:?}");
                    return;
                }
                _ => settled,
            };
            if reached.is_none_or(|reached| number > reached) {
                moved.insert(name, number);
                new.push((name, number, end + delta));
            }
        }
        assert_eq!(answer.error, ErrorCode::NONE, "{answer:?}");
        if let Some(producer) = transaction {
            *self.sequences.entry(producer).or_default() += of.len() as i32;
        }
        if new.is_empty() {
            let known = self.stored.get(&of[0]).is_some_and(|offsets| offsets.contains(&answer.base_offset));
            assert!(answer.base_offset == -1 || known, "{of:?} {answer:?} {:?}", self.stored);
            assert_eq!(after, end);
        } else {
            assert_eq!((answer.base_offset, after), (end, end + of.len() as Offset), "{of:?}");
        }
        for (name, number, offset) in new {
            self.stored.entry((name, number)).or_default().push(offset);
        }
        for (name, number) in moved {
            match transaction {
                None => drop(self.settled.insert(name, number)),
                Some(producer) => drop(self.pending.insert(name, (producer, number))),
            }
        }
    }

    fn end(&mut self, producer: i64, commits: bool) {
        let (ended, rest) =
            std::mem::take(&mut self.pending).into_iter().partition(|(_, (owner, _))| *owner == producer);
        self.pending = rest;
        let ended: BTreeMap<_, _> = ended;
        if commits {
            self.settled.extend(ended.into_iter().map(|(name, (_, number))| (name, number)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn record_is_stored_exactly_if_its_number_is_above_its_senders(steps in prop::collection::vec(step(), 1..50)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut broker = TestEngine::start();
            broker.create("t", SEQUENCE).await;
            let mut model = Model::default();
            for step in steps {
                match step {
                    Step::Send { of, transaction } => {
                        let of: Vec<_> = of.into_iter().map(|(name, number)| (NAMES[name], number)).collect();
                        model.send(&broker, &of, transaction).await;
                    }
                    Step::End { producer, commits } => {
                        let result = if commits { TransactionResult::Commit } else { TransactionResult::Abort };
                        broker.end(&["t"], producer, 0, result).await;
                        model.end(producer, commits);
                    }
                    Step::Restart => broker = broker.restart().await,
                    Step::Kill => broker = broker.crash(0),
                }
                let settled: Vec<_> = model.settled.iter().map(|(name, number)| (*name, *number)).collect();
                assert_eq!(broker.published().await, numbers(&settled));
            }
            let stored: usize = model.stored.values().map(Vec::len).sum();
            assert_eq!(broker.values_of_t().await.len(), stored);
        });
    }
}
