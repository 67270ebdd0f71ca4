//! Topics that remember message ids: what is stored, what is answered, what is forgotten.

mod refused;
mod room;
mod transactions;
mod windows;

use std::sync::Arc;

use super::harness::*;
use crate::dedup::Sender;
use crate::engine::command::{Acks, AppendBatch, Appended, TopicRef};
use crate::engine::settings::Settings;
use crate::record::build::BatchBuilder;
use crate::record::codec::{Codec, DecompressionLimits, decompress};
use crate::record::records::records;
use crate::record::{BatchHeader, HEADER_BYTES};
use crate::store::schema::id_blocks_prefix;
use crate::types::{ErrorCode, Offset, PartitionId, ProducerEpoch, ProducerId, Timestamp, TransactionResult};

const WINDOW: &[(&str, &str)] = &[("message.dedup.mode", "window")];
const HOUR_MS: i64 = 3_600_000;

fn with(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    WINDOW.iter().chain(more).copied().collect()
}

/// A batch whose records have these ids and values; an empty one is a record without an id.
pub fn identified(ids: &[&str]) -> BatchBuilder {
    ids.iter().fold(BatchBuilder::new(), |batch, id| {
        let header = (&b"message-id"[..], Some(id.as_bytes()));
        let headers = if id.is_empty() { &[][..] } else { &[header][..] };
        batch.record_with_headers(START_TIME, None, Some(id.as_bytes()), headers)
    })
}

/// The offsets and values of the records of a stored batch.
pub fn records_of(bytes: &[u8]) -> Vec<(Offset, String)> {
    let header = BatchHeader::parse(bytes).expect("a batch");
    if header.is_control() {
        return Vec::new();
    }
    let plain = decompress(header.codec().expect("known"), &bytes[HEADER_BYTES..], DecompressionLimits::default());
    let plain = plain.expect("decompresses");
    let records = records(&plain, header.record_count).map(|record| record.expect("well-formed"));
    let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap_or_default().to_vec()).expect("text");
    records.map(|record| (header.base_offset + Offset::from(record.offset_delta), text(record.value))).collect()
}

/// Who sends all batches but those of tests about senders.
pub fn anonymous() -> Arc<Sender> {
    Arc::new(Sender::anonymous("test"))
}

impl TestEngine {
    /// As [`to`], with the ids read as a connection reads them.
    pub fn with_ids(&self, partition: PartitionId, batch: &BatchBuilder) -> AppendBatch {
        self.with_ids_of(&anonymous(), partition, batch)
    }

    /// The same of a batch that `sender` brings.
    pub fn with_ids_of(&self, sender: &Arc<Sender>, partition: PartitionId, batch: &BatchBuilder) -> AppendBatch {
        let batch = to(partition, batch);
        let topics = self.started.catalog.topics();
        let dedup = topics.by_no.get(&partition.topic).and_then(|topic| topic.config.dedup.as_ref());
        let ids = dedup.map(|dedup| {
            let ids = self.started.extractor.ids(dedup, sender, partition, &batch.bytes, &batch.header);
            Box::new(ids.expect("good ids"))
        });
        AppendBatch { ids, ..batch }
    }

    async fn offer(&self, ids: &[&str]) -> Appended {
        self.offer_batch(identified(ids)).await
    }

    async fn offer_batch(&self, batch: BatchBuilder) -> Appended {
        let batch = self.with_ids(self.partition("t").id, &batch);
        self.engine().append(Acks::All, vec![batch]).await.expect("answered").remove(0)
    }

    async fn stored(&self) -> Vec<(Offset, String)> {
        self.read("t").await.iter().flat_map(|batch| records_of(&batch.bytes)).collect()
    }

    async fn values(&self) -> String {
        self.stored().await.into_iter().map(|(_, value)| value).collect::<Vec<_>>().join(" ")
    }

    fn id_rows(&self) -> usize {
        rows(self, &id_blocks_prefix(None))
    }

    async fn set(&self, overrides: &[(&str, &str)]) {
        let set = self.engine().set_topic_overrides(self.no("t"), texts(overrides)).await;
        set.expect("engine runs").expect("good settings");
    }
}

async fn start(overrides: &[(&str, &str)]) -> TestEngine {
    start_with(settings(), overrides).await
}

async fn start_with(settings: Settings, overrides: &[(&str, &str)]) -> TestEngine {
    let broker = TestEngine::start_with(settings);
    broker.create("t", overrides).await;
    broker
}

fn refused(error: ErrorCode, appended: &Appended) -> &str {
    assert_eq!((appended.error, appended.base_offset), (error, -1), "{appended:?}");
    appended.message.as_deref().expect("a sentence")
}

#[tokio::test]
async fn message_is_stored_once_whoever_sends_it_and_also_after_a_restart() {
    let broker = start(WINDOW).await;
    assert_eq!(broker.offer(&["a", "b"]).await, at(0));
    assert_eq!(broker.offer(&["b"]).await, at(1));
    let other = identified(&["a", "b"]).producer(ProducerId(7), ProducerEpoch(0), 0);
    assert_eq!(broker.offer_batch(other).await, at(0));
    let broker = broker.restart().await;
    assert_eq!(broker.offer(&["a"]).await, at(0));
    assert_eq!(broker.offer(&["c"]).await, at(2));
    let broker = broker.crash(0);
    assert_eq!(broker.offer(&["c", "b"]).await, at(2));
    assert_eq!(broker.values().await, "a b c");
    assert_eq!(broker.offsets("t").log_end, 3);
}

#[tokio::test]
async fn what_is_left_of_a_batch_has_the_offsets_that_were_answered() {
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        for producer in [None, Some(ProducerId(7))] {
            let broker = start(WINDOW).await;
            let of = |ids: &[&str], sequence| {
                let batch = identified(ids).codec(codec);
                producer.map_or(batch.clone(), |id| batch.producer(id, ProducerEpoch(0), sequence))
            };
            assert_eq!(broker.offer_batch(of(&["a", "b", "c"], 0)).await, at(0));
            // First, middle and last are left out, in batches that follow each other.
            assert_eq!(broker.offer_batch(of(&["a", "d", "e"], 3)).await, at(3));
            assert_eq!(broker.offer_batch(of(&["f", "b", "g"], 6)).await, at(6));
            assert_eq!(broker.offer_batch(of(&["h", "c", "a"], 9)).await, at(9));
            assert_eq!(broker.offer_batch(of(&["c", "b", "a"], 12)).await, at(2), "all of it is there");
            assert_eq!(broker.offer_batch(of(&["i", "i"], 15)).await, at(12));
            if producer.is_some() {
                // A retry of what was left out altogether, by the same producer, is answered as before.
                assert_eq!(broker.offer_batch(of(&["c", "b", "a"], 12)).await, at(2));
                let gap = broker.offer_batch(of(&["z"], 18)).await;
                assert_eq!(gap.error, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
            }
            let broker = broker.restart().await;
            if producer.is_some() {
                assert_eq!(broker.offer_batch(of(&["c", "b", "a"], 12)).await, at(2));
            }
            assert_eq!(broker.offer_batch(of(&["j"], 17)).await, at(14));
            let expected =
                [(0, "a"), (1, "b"), (2, "c"), (4, "d"), (5, "e"), (6, "f"), (8, "g"), (9, "h"), (12, "i"), (14, "j")];
            assert_eq!(broker.stored().await, expected.map(|(offset, id)| (offset, id.to_owned())), "{codec}");
        }
    }
}

#[tokio::test]
async fn reader_behind_the_last_record_of_a_batch_gets_the_next_batch_and_none_at_the_end() {
    for tail_cache_bytes in [0, 1 << 20] {
        let broker = start_with(Settings { tail_cache_bytes, ..settings() }, WINDOW).await;
        broker.offer(&["a", "b"]).await;
        // 2 is there, 3 and 4 are holes.
        assert_eq!(broker.offer(&["c", "a", "b"]).await, at(2));
        let partition = broker.partition("t");
        let from = async |from| {
            let end = partition.offsets().high_watermark;
            let read = broker.started.reader.read(&partition, from, end, usize::MAX).await.expect("readable");
            read.iter().map(|batch| batch.base_offset).collect::<Vec<_>>()
        };
        assert_eq!(partition.offsets().high_watermark, 5);
        assert_eq!((from(2).await, from(3).await, from(4).await), (vec![2], vec![], vec![]));
        // A client that counts by batches goes on behind the hole.
        let batch = broker.read("t").await.remove(1);
        assert_eq!(BatchHeader::parse(&batch.bytes).expect("a batch").last_offset(), 4);
        assert_eq!(broker.offer(&["d"]).await, at(5));
        assert_eq!((from(2).await, from(3).await, from(4).await), (vec![2, 5], vec![5], vec![5]));
        let deleted = broker.engine().delete_records(partition.id, 4).await;
        assert_eq!(deleted, Ok(Ok(4)), "the log may begin in a hole");
        assert_eq!(from(4).await, [5]);
    }
}

#[tokio::test]
async fn known_message_is_refused_or_marked_where_the_topic_says_so() {
    let broker = start(&with(&[("message.dedup.on.duplicate", "reject")])).await;
    broker.offer(&["a", "b"]).await;
    let answer = broker.offer(&["c", "b"]).await;
    assert!(refused(ErrorCode::INVALID_RECORD, &answer).contains("offset 1 of partition 0"), "{answer:?}");
    refused(ErrorCode::INVALID_RECORD, &broker.offer(&["d", "d"]).await);
    assert_eq!(broker.offer(&["c", "d"]).await, at(2), "a refused batch leaves nothing behind");

    let broker = start(&with(&[("message.dedup.on.duplicate", "mark")])).await;
    broker.offer(&["a", "b"]).await;
    assert_eq!(broker.offer(&["c", "b", "c"]).await, at(2));
    assert_eq!(broker.offer(&["b"]).await, at(5));
    let mut marks = Vec::new();
    for batch in broker.read("t").await {
        let header = BatchHeader::parse(&batch.bytes).expect("a batch");
        for record in records(&batch.bytes[HEADER_BYTES..], header.record_count) {
            let record = record.expect("well-formed");
            let mark = record.header_pairs().find(|(name, _)| *name == b"einmal-duplicate-of");
            marks.push(mark.and_then(|(_, value)| Some(String::from_utf8_lossy(value?).into_owned())));
        }
    }
    let expected = [None, None, None, Some("0:1"), Some("0:2"), Some("0:1")];
    assert_eq!(marks, expected.map(|mark| mark.map(str::to_owned)));
    assert_eq!(broker.values().await, "a b c b c b");
}

#[tokio::test]
async fn id_is_known_in_the_whole_topic_or_in_its_partition() {
    for (scope, expected) in [("topic", -1), ("partition", 0)] {
        let broker = TestEngine::start();
        let topic = new_topic("t", 2, &with(&[("message.dedup.scope", scope)]));
        broker.engine().create_topics(vec![topic], false).await.expect("engine runs").remove(0).expect("created");
        let partitions = &broker.started.catalog.topic("t").expect("exists").partitions;
        let mut offsets = Vec::new();
        for index in [0, 1, 1, 0] {
            let batch = broker.with_ids(partitions[index].id, &identified(&["a"]));
            offsets.push(broker.engine().append(Acks::All, vec![batch]).await.expect("answered")[0].base_offset);
        }
        assert_eq!(offsets, [0, expected, expected, 0], "{scope}");
    }
}

#[tokio::test]
async fn settings_change_while_messages_come() {
    let broker = start(&[]).await;
    broker.offer(&["a"]).await;
    assert_eq!(broker.offer(&["a"]).await, at(1), "nothing is remembered yet");
    let read_before = broker.with_ids(broker.partition("t").id, &identified(&["a"]));
    assert!(read_before.ids.is_none());
    broker.set(WINDOW).await;
    let answer = broker.engine().append(Acks::All, vec![read_before]).await;
    assert_eq!(answer, Ok(vec![at(2)]), "its ids are read after the change");
    assert_eq!(broker.offer(&["a"]).await, at(2));

    let read_before = broker.with_ids(broker.partition("t").id, &identified(&["b"]));
    broker.set(&with(&[("message.dedup.id.source", "value-hash")])).await;
    assert_eq!(broker.engine().append(Acks::All, vec![read_before]).await, Ok(vec![at(3)]));
    let other_header = BatchBuilder::new().record(START_TIME, None, Some(b"b"));
    assert_eq!(broker.offer_batch(other_header).await, at(3), "it is the value now");

    let read_before = broker.with_ids(broker.partition("t").id, &identified(&["b"]));
    broker.set(&[]).await;
    assert_eq!(broker.engine().append(Acks::All, vec![read_before]).await, Ok(vec![at(4)]));
    broker.time.advance(2_000);
    broker.idle_round();
    assert_eq!(broker.id_rows(), 0, "a topic that looks at no ids keeps none");
    broker.set(WINDOW).await;
    assert_eq!(broker.offer(&["a"]).await, at(5));
}

#[tokio::test]
async fn records_without_an_id_are_stored_or_refused() {
    let broker = start(WINDOW).await;
    for offset in [0, 2] {
        assert_eq!(broker.offer(&["", ""]).await, at(offset));
    }
    assert_eq!((broker.id_rows(), broker.offer(&["a", ""]).await), (0, at(4)));
    assert_eq!(broker.offer(&["a", ""]).await, at(6));
    assert_eq!(broker.stored().await.last(), Some(&(7, String::new())));
    // A batch whose ids were not read by its connection is judged all the same.
    broker.set(&with(&[("message.dedup.missing.id", "reject")])).await;
    let unread = to(broker.partition("t").id, &identified(&["b", ""]));
    let answer = broker.engine().append(Acks::All, vec![unread]).await.expect("answered");
    refused(ErrorCode::INVALID_RECORD, &answer[0]);
}

#[tokio::test]
async fn time_that_the_broker_stamps_is_that_of_what_is_left_of_a_batch() {
    let broker = start(&with(&[("message.timestamp.type", "LogAppendTime")])).await;
    let stamped = |base_offset, log_append_time: Timestamp| Appended { log_append_time, ..at(base_offset) };
    assert_eq!(broker.offer(&["a", "b"]).await, stamped(0, START_TIME));
    broker.time.advance(1000);
    assert_eq!(broker.offer(&["b"]).await, at(1), "when that was is not remembered");
    assert_eq!(broker.offer(&["c", "b"]).await, stamped(2, START_TIME + 1000));
    let batch = broker.read("t").await.remove(1);
    assert_eq!(BatchHeader::parse(&batch.bytes).expect("a batch").max_timestamp, START_TIME + 1000);
}

#[tokio::test]
async fn answer_to_a_known_message_waits_until_the_first_one_is_durable() {
    let broker = start(WINDOW).await;
    broker.store.syncs.hold();
    let id = broker.partition("t").id;
    let send = |acks| broker.engine().append(acks, vec![broker.with_ids(id, &identified(&["a"]))]);
    assert_eq!(send(Acks::Leader).await, Ok(vec![at(0)]));
    let mut known = send(Acks::All);
    broker.written().await;
    assert!(known.try_recv().is_err(), "the first one is not synced");
    broker.store.syncs.open();
    assert_eq!(known.await, Ok(vec![at(0)]));
}

#[tokio::test]
async fn batches_of_one_group_know_each_other() {
    let broker = start(WINDOW).await;
    let id = broker.partition("t").id;
    let held = broker.hold_writer();
    let send = |ids: &[&str]| broker.engine().append(Acks::All, vec![broker.with_ids(id, &identified(ids))]);
    let (first, second, third) = (send(&["a", "b"]), send(&["b", "c"]), send(&["c", "a"]));
    drop(held);
    broker.written().await;
    assert_eq!((first.await, second.await, third.await), (Ok(vec![at(0)]), Ok(vec![at(2)]), Ok(vec![at(3)])));
    assert_eq!(broker.values().await, "a b c");
}

#[test]
fn of_two_that_send_the_same_message_at_once_one_stores_it() {
    const ROUNDS: usize = 10_000;
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let broker = TestEngine::start_with(Settings { tail_cache_bytes: 0, ..settings() });
    let overrides = with(&[("flush.messages", "1000000")]);
    let topic = new_topic("t", 2, &overrides);
    runtime.block_on(broker.engine().create_topics(vec![topic], false)).expect("engine runs");
    let topic = broker.started.catalog.topic("t").expect("exists");
    let (partitions, dedup) = (&topic.partitions, topic.config.dedup.as_ref().expect("remembers ids"));
    let (engine, extractor) = (broker.engine(), broker.started.extractor);
    let barrier = Arc::new(std::sync::Barrier::new(2));
    let stored: Vec<Vec<bool>> = std::thread::scope(|scope| {
        let senders: Vec<_> = partitions
            .iter()
            .map(|partition| {
                let (barrier, id) = (Arc::clone(&barrier), partition.id);
                scope.spawn(move || {
                    let rounds = (0..ROUNDS).map(|round| {
                        let batch = to(id, &identified(&[&round.to_string()]));
                        let ids =
                            extractor.ids(dedup, &anonymous(), id, &batch.bytes, &batch.header).expect("good ids");
                        let batch = AppendBatch { ids: Some(Box::new(ids)), ..batch };
                        // Now and then together, else as it comes.
                        if round % 64 == 0 {
                            barrier.wait();
                        }
                        let answer = engine.append(Acks::Leader, vec![batch]).blocking_recv();
                        let answer = answer.expect("answered").remove(0);
                        assert!(answer.error.is_none(), "{answer:?}");
                        answer.base_offset >= 0
                    });
                    rounds.collect()
                })
            })
            .collect();
        senders.into_iter().map(|sender| sender.join().expect("no panic")).collect()
    });
    for (round, (first, second)) in stored[0].iter().zip(&stored[1]).enumerate() {
        assert!(first != second, "round {round}: {first} {second}");
    }
    let ends: Offset = partitions.iter().map(|partition| partition.offsets().log_end).sum();
    assert_eq!(ends, ROUNDS as Offset);
}

#[tokio::test]
async fn deleted_topic_takes_its_ids_along() {
    let broker = start(WINDOW).await;
    broker.create("other", WINDOW).await;
    for batch in 0..3 {
        broker.offer(&[&format!("{batch}")]).await;
    }
    let other = broker.with_ids(broker.partition("other").id, &identified(&["0"]));
    broker.engine().append(Acks::All, vec![other]).await.expect("answered");
    broker.engine().delete_topics(vec![TopicRef::Name("t".to_owned())]).await.expect("engine runs");
    // A kill before the rows are removed leaves them to the next start.
    let broker = broker.crash(usize::MAX);
    while broker.id_rows() > 1 {
        broker.idle_round();
    }
    broker.create("t", WINDOW).await;
    assert_eq!(broker.offer(&["0"]).await, at(0));
}
