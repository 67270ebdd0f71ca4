//! Topics that remember message ids: what is stored, what is answered, what is forgotten.

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
async fn id_is_forgotten_when_its_window_is_over_and_its_row_with_it() {
    let broker = start(WINDOW).await;
    broker.offer(&["a"]).await;
    broker.time.advance(HOUR_MS - 1);
    assert_eq!(broker.offer(&["a"]).await, at(0));
    assert_eq!(broker.offer(&["b"]).await, at(1));
    broker.time.advance(1);
    assert_eq!(broker.offer(&["a"]).await, at(2));
    let broker = broker.restart().await;
    assert_eq!((broker.id_rows(), broker.offer(&["b"]).await), (2, at(1)));
    broker.time.advance(2 * HOUR_MS);
    broker.idle_round();
    assert_eq!(broker.id_rows(), 0);
    assert_eq!(broker.offer(&["b"]).await, at(3));
}

#[tokio::test]
async fn no_clock_forgets_an_id_but_the_time_that_passes() {
    let broker = start(WINDOW).await;
    broker.offer(&["a"]).await;
    for jump in [100 * HOUR_MS, -200 * HOUR_MS, 50 * HOUR_MS] {
        broker.time.jump(jump);
        assert_eq!(broker.offer(&["a"]).await, at(0), "{jump}");
    }
    let broker = broker.restart().await;
    broker.time.jump(1000 * HOUR_MS);
    let broker = broker.crash(0);
    assert_eq!(broker.offer(&["a"]).await, at(0));
}

#[tokio::test]
async fn full_window_forgets_the_oldest_or_asks_to_come_again() {
    let broker = start(&with(&[("message.dedup.window.max.ids", "4")])).await;
    for ids in [["a", "b"], ["c", "d"], ["e", "f"]] {
        broker.offer(&ids).await;
    }
    assert_eq!(broker.id_rows(), 2);
    assert_eq!(broker.offer(&["c"]).await, at(2));
    assert_eq!(broker.offer(&["a"]).await, at(6));
    assert!(refused(ErrorCode::INVALID_RECORD, &broker.offer(&["1", "2", "3", "4", "5"]).await).contains("max.ids=4"));

    let broker = start(&with(&[("message.dedup.window.max.ids", "4"), ("message.dedup.overflow", "throttle")])).await;
    broker.offer(&["a", "b", "c"]).await;
    refused(ErrorCode::NOT_ENOUGH_REPLICAS, &broker.offer(&["d", "e"]).await);
    assert_eq!(broker.offer(&["d"]).await, at(3));
    refused(ErrorCode::NOT_ENOUGH_REPLICAS, &broker.offer(&["e"]).await);
    assert_eq!(broker.offer(&["a", "d"]).await, at(0), "what is known needs no room");
    broker.time.advance(HOUR_MS);
    broker.idle_round();
    assert_eq!(broker.offer(&["e"]).await, at(4));
}

#[tokio::test]
async fn an_open_transaction_does_not_lift_the_limit() {
    let broker = start(&with(&[("message.dedup.window.max.ids", "4")])).await;
    let open = identified(&["a"]).producer(ProducerId(1), ProducerEpoch(0), 0).transactional();
    assert_eq!(broker.offer_batch(open).await, at(0));
    assert_eq!(broker.offer(&["b", "c", "d"]).await, at(1));
    refused(ErrorCode::NOT_ENOUGH_REPLICAS, &broker.offer(&["e"]).await);
    broker.end(&["t"], 1, 0, TransactionResult::Commit).await;
    assert_eq!(broker.offer(&["e"]).await, at(5), "the oldest goes again");
}

#[tokio::test]
async fn memory_of_all_topics_is_taken_from_the_largest() {
    let settings = Settings { dedup_memory_bytes: 64 << 10, ..settings() };
    let broker = start_with(settings.clone(), WINDOW).await;
    broker.create("small", WINDOW).await;
    let small = broker.with_ids(broker.partition("small").id, &identified(&["s"]));
    broker.engine().append(Acks::All, vec![small]).await.expect("answered");
    for batch in 0..50 {
        let ids: Vec<_> = (0..100).map(|id| format!("{batch}-{id}")).collect();
        broker.offer(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    assert!((5..45).contains(&broker.id_rows()), "{} batches are remembered", broker.id_rows());
    assert_eq!(broker.offer(&["49-7"]).await, at(4907));
    assert_eq!(broker.offer(&["0-7"]).await, at(5000));
    let again = broker.with_ids(broker.partition("small").id, &identified(&["s"]));
    assert_eq!(broker.engine().append(Acks::All, vec![again]).await, Ok(vec![at(0)]));

    let throttled = start_with(settings, &with(&[("message.dedup.overflow", "throttle")])).await;
    let mut answers = Vec::new();
    for batch in 0..50 {
        let ids: Vec<_> = (0..100).map(|id| format!("{batch}-{id}")).collect();
        answers.push(throttled.offer(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await.error);
    }
    assert!(answers.is_sorted() && answers.contains(&ErrorCode::NOT_ENOUGH_REPLICAS), "{answers:?}");
    assert_eq!(throttled.offer(&["0-7"]).await, at(7));
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
async fn ids_of_a_transaction_share_its_fate() {
    let broker = start(WINDOW).await;
    let of = |producer: i64, sequence, ids: &[&str]| {
        identified(ids).producer(ProducerId(producer), ProducerEpoch(0), sequence).transactional()
    };
    for (round, (result, kept)) in (0..).zip([(TransactionResult::Abort, false), (TransactionResult::Commit, true)]) {
        let sequence = round * 5;
        let first = broker.offer_batch(of(1, sequence, &["a", "b"])).await;
        assert!(first.error.is_none());
        assert_eq!(broker.offer_batch(of(1, sequence + 2, &["b", "a"])).await.base_offset, first.base_offset + 1);
        assert!(broker.offer_batch(of(1, sequence + 4, &["c"])).await.error.is_none());
        refused(ErrorCode::NOT_ENOUGH_REPLICAS, &broker.offer(&["x", "a"]).await);
        refused(ErrorCode::NOT_ENOUGH_REPLICAS, &broker.offer_batch(of(2, 0, &["c"])).await);
        let log_end = broker.offsets("t").log_end;
        broker.end(&["t"], 1, 0, result).await;
        assert_eq!(broker.offsets("t").log_end, log_end + 1, "one marker");
        if kept {
            assert_eq!(broker.offer(&["a", "c"]).await.base_offset, first.base_offset);
        } else {
            assert_eq!(broker.id_rows(), 0);
        }
    }
}

#[tokio::test]
async fn open_transactions_hold_their_ids_over_a_restart() {
    let mut broker = start(WINDOW).await;
    let of = |producer: i64, sequence, ids: &[&str]| {
        identified(ids).producer(ProducerId(producer), ProducerEpoch(0), sequence).transactional()
    };
    broker.offer_batch(of(1, 0, &["a"])).await;
    broker.end(&["t"], 1, 0, TransactionResult::Commit).await;
    broker.offer_batch(of(1, 1, &["b"])).await;
    broker.offer_batch(of(2, 0, &["c"])).await;
    for _ in 0..2 {
        broker = broker.restart().await;
        assert_eq!(broker.offer(&["a"]).await, at(0));
        refused(ErrorCode::NOT_ENOUGH_REPLICAS, &broker.offer(&["b"]).await);
        refused(ErrorCode::NOT_ENOUGH_REPLICAS, &broker.offer(&["c"]).await);
    }
    broker.end(&["t"], 1, 0, TransactionResult::Commit).await;
    broker.end(&["t"], 2, 0, TransactionResult::Abort).await;
    let broker = broker.restart().await;
    assert_eq!(broker.offer(&["b"]).await, at(2));
    assert_eq!(broker.offer(&["c"]).await, at(6));
}

#[tokio::test]
async fn transaction_of_which_all_is_known_is_nothing_that_readers_wait_for() {
    let broker = start(WINDOW).await;
    broker.offer(&["a"]).await;
    let known = identified(&["a"]).producer(ProducerId(1), ProducerEpoch(0), 0).transactional();
    assert_eq!(broker.offer_batch(known).await, at(0));
    assert_eq!(broker.offer(&["b"]).await, at(1));
    assert_eq!(broker.offsets("t").last_stable_offset, 2);
    broker.end(&["t"], 1, 0, TransactionResult::Abort).await;
    assert_eq!(broker.offer(&["a"]).await, at(0), "the abort is not the first one's");
    assert_eq!(broker.read_committed("t", 0).await, [0, 1]);
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

#[tokio::test]
async fn repetitions_extend_the_life_of_an_id_where_the_topic_says_so() {
    let rows_left = async |repeats: i64| {
        let mut broker = start(&with(&[("message.dedup.window.refresh", "true")])).await;
        broker.offer(&["a", "b", "c"]).await;
        // Half a window apart, so that without the setting the third would be stored.
        for round in 0..repeats {
            broker.time.advance(HOUR_MS / 2);
            assert_eq!(broker.offer(&["c", "a", "c"]).await, at(2), "{round}");
            broker.idle_round();
            if round % 2 == 0 {
                broker = broker.restart().await;
            }
        }
        let rows = broker.id_rows();
        broker.time.advance(HOUR_MS - 1);
        assert_eq!(broker.offer(&["a"]).await, at(0), "an hour after the last repetition");
        assert_eq!(broker.offer(&["b"]).await, at(3), "which was not repeated");
        broker.time.advance(HOUR_MS + HOUR_MS / 8);
        assert_eq!(broker.offer(&["c", "a"]).await, at(4), "nothing lives for ever");
        rows
    };
    assert_eq!((rows_left(4).await, rows_left(20).await), (3, 3), "rows of repetitions go with time");
}

#[tokio::test]
async fn id_that_is_sent_all_the_time_costs_no_more_than_nine_entries() {
    let broker = start(&with(&[("message.dedup.window.refresh", "true")])).await;
    broker.offer(&["a"]).await;
    for _ in 0..1000 {
        broker.time.advance(HOUR_MS / 250);
        assert_eq!(broker.offer(&["a"]).await, at(0));
        assert!(broker.id_rows() <= 9, "{} rows", broker.id_rows());
    }
}

#[tokio::test]
async fn refused_repetition_extends_no_life_and_that_of_a_marked_one_names_the_first() {
    let broker =
        start(&with(&[("message.dedup.window.refresh", "true"), ("message.dedup.on.duplicate", "reject")])).await;
    broker.offer(&["a"]).await;
    for _ in 0..2 {
        broker.time.advance(HOUR_MS / 2);
        refused(ErrorCode::INVALID_RECORD, &broker.offer(&["a"]).await);
    }
    broker.time.advance(HOUR_MS / 8);
    assert_eq!(broker.offer(&["a"]).await, at(1));

    let broker =
        start(&with(&[("message.dedup.window.refresh", "true"), ("message.dedup.on.duplicate", "mark")])).await;
    for offset in 0..4 {
        assert_eq!(broker.offer(&["a"]).await, at(offset));
        broker.time.advance(HOUR_MS / 2);
    }
    let marked = broker.read("t").await;
    let names_first = |batch: &&crate::store::StoredBatch| batch.bytes.windows(3).any(|at| at == b"0:0");
    assert_eq!(marked.iter().filter(names_first).count(), 3, "all name the first");
}

/// Records with ids and times in minutes, whose values say both.
fn timed(records: &[(&str, i64)]) -> BatchBuilder {
    records.iter().fold(BatchBuilder::new(), |batch, (id, minute)| {
        let (header, value) = ([(&b"message-id"[..], Some(id.as_bytes()))], format!("{id}{minute}"));
        batch.record_with_headers(START_TIME + minute * 60_000, None, Some(value.as_bytes()), &header)
    })
}

#[tokio::test]
async fn mirror_with_legal_repeats_keeps_them_by_the_records_own_times() {
    let create = [("message.dedup.time.source", "create"), ("message.timestamp.after.max.ms", "9223372036854775807")];
    let broker = start(&with(&create)).await;
    // A day of one id, copied within a millisecond: each hour it is another message.
    let day: Vec<_> = (0..24).map(|hour| ("a", hour * 60)).collect();
    assert_eq!(broker.offer_batch(timed(&day[..12])).await, at(0));
    assert_eq!(broker.offer_batch(timed(&day[12..16])).await, at(12));
    // The mirror begins anew, and meets all that is remembered.
    let mut broker = broker.restart().await;
    for _ in 0..2 {
        assert_eq!(broker.offer_batch(timed(&day[4..12])).await, at(4));
        assert_eq!(broker.offer_batch(timed(&[("a", 15 * 60 + 59), ("a", 14 * 60 - 1)])).await, at(15));
        broker = broker.crash(0);
    }
    // What comes late is another message, too; and so it is in one batch.
    assert_eq!(broker.offer_batch(timed(&[("b", 600), ("b", 0), ("b", 541), ("b", 660)])).await, at(16));
    assert_eq!(broker.offer_batch(timed(&[("b", 59), ("b", 61), ("b", 700)])).await, at(20));
    let values = broker.values().await;
    assert!(values.ends_with("a900 b600 b0 b660 b61"), "{values}");
    // By the broker's time all is forgotten, and a far time forgets nothing.
    assert_eq!(broker.offer_batch(timed(&[("c", 1_000_000_000)])).await, at(23));
    assert_eq!(broker.offer_batch(timed(&[("b", 61)])).await, at(21));
    broker.time.advance(HOUR_MS);
    broker.idle_round();
    assert_eq!(broker.id_rows(), 0);
    assert_eq!(broker.offer_batch(timed(&[("b", 61)])).await, at(24));
}

#[tokio::test]
async fn one_id_of_very_many_times_costs_no_long_search() {
    let create = [("message.dedup.time.source", "create"), ("message.timestamp.after.max.ms", "9223372036854775807")];
    let broker = start(&with(&create)).await;
    let many: Vec<_> = (0..2000).map(|hour| ("a", hour * 60)).collect();
    for batch in many.chunks(500) {
        assert!(broker.offer_batch(timed(batch)).await.error.is_none());
    }
    // Of one batch, or of earlier ones, the newest are told.
    assert_eq!(broker.offer_batch(timed(&many[1990..])).await, at(1990));
    assert_eq!(broker.offer_batch(timed(&many[..1])).await, at(2000), "the oldest are not");
    let broker = broker.restart().await;
    assert_eq!(broker.offer_batch(timed(&many[1990..])).await, at(1990));
}

#[tokio::test]
async fn settings_of_time_change_what_comes_and_forget_nothing() {
    let create = ("message.dedup.time.source", "create");
    let broker = start(WINDOW).await;
    broker.offer_batch(timed(&[("a", 0)])).await;
    broker.set(&with(&[create, ("message.dedup.window.refresh", "true")])).await;
    assert_eq!(broker.offer_batch(timed(&[("a", 600)])).await, at(0), "known by the time of its append");
    broker.offer_batch(timed(&[("b", 0), ("b", 600)])).await;
    broker.time.advance(HOUR_MS / 2);
    assert_eq!(broker.offer_batch(timed(&[("b", 30), ("b", 600), ("a", 610)])).await, at(1));
    let broker = broker.restart().await;
    assert_eq!(broker.offer_batch(timed(&[("b", 90)])).await, at(1), "an hour from 30");
    broker.time.advance(HOUR_MS - 1);
    assert_eq!(broker.offer_batch(timed(&[("b", 600), ("a", 610)])).await, at(2), "both were sent again");
    broker.set(WINDOW).await;
    assert_eq!(broker.offer_batch(timed(&[("b", 10_000)])).await.error, ErrorCode::NONE);
    assert_eq!(broker.offsets("t").log_end, 3, "the times do not matter any more");
}
