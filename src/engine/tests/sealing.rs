//! Ids that leave memory for slices are known as before; whatever happens in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::harness::*;
use super::message_ids::{anonymous, identified};
use crate::dedup::{KnownBy, Sender};
use crate::engine::command::{Acks, AppendBatch, Appended, TopicRef};
use crate::engine::settings::Settings;
use crate::record::BatchHeader;
use crate::record::build::BatchBuilder;
use crate::store::memory::MemoryStore;
use crate::store::schema::id_blocks_prefix;
use crate::store::slices::SliceFiles;
use crate::types::{ErrorCode, PartitionId, ProducerEpoch, ProducerId, TransactionResult};
use crate::verify::tests::damage_of;

const WINDOW: &[(&str, &str)] = &[("message.dedup.mode", "window"), ("message.dedup.window.ms", "80000")];

/// Seals from 16 ids on, and one that is an eighth of a window.
pub fn sealing() -> Settings {
    Settings { dedup_open_ids_max: 16, ..settings() }
}

impl TestEngine {
    /// A look for ids that are to leave memory, and what follows from it, until nothing does.
    pub async fn seal(&self) {
        // The first look begins to make a slice, a later one has its ids leave.
        for _ in 0..3 {
            self.time.advance(1000);
            self.idle_round();
            self.synced().await;
            self.sealer_rests().await;
        }
    }

    /// Returns once all that was written before is synced and answered.
    pub async fn synced(&self) {
        self.engine().init_producer_id().await.expect("engine runs");
    }

    /// Returns once the thread that makes slices has done what it was told before.
    pub async fn sealer_rests(&self) {
        let (reply, rests) = tokio::sync::oneshot::channel();
        self.engine().0.asker.seat.sealer_rests(reply);
        // Dropped, not answered.
        let _ = rests.await;
    }

    /// As [`TestEngine::with_ids`], and looked up in slices as a connection does.
    pub fn looked_up(&self, partition: PartitionId, batch: &BatchBuilder) -> AppendBatch {
        self.looked_up_of(&anonymous(), partition, batch)
    }

    /// The same of a batch that `sender` brings.
    pub fn looked_up_of(&self, sender: &Arc<Sender>, partition: PartitionId, batch: &BatchBuilder) -> AppendBatch {
        let mut batch = self.with_ids_of(sender, partition, batch);
        if let Some(ids) = &mut batch.ids {
            ids.sealed = self.started.sealed_ids.ask(partition.topic, &ids.ids).read(&ids.ids).expect("sound");
        }
        batch
    }

    pub fn slices(&self) -> Vec<u64> {
        self.store.memory.slices.numbers().expect("in memory")
    }

    fn id_rows_left(&self) -> usize {
        rows(self, &id_blocks_prefix(None))
    }

    /// Sends ids by their numbers in one batch, looked up as a connection does.
    async fn offer_numbers(&self, numbers: std::ops::Range<u32>) -> Appended {
        let names: Vec<_> = numbers.map(|number| number.to_string()).collect();
        self.offer_looked_up(&names.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    async fn offer_looked_up(&self, ids: &[&str]) -> Appended {
        let batch = self.looked_up(self.partition("t").id, &identified(ids));
        self.engine().append(Acks::All, vec![batch]).await.expect("answered").remove(0)
    }
}

async fn start() -> TestEngine {
    let broker = TestEngine::start_with(sealing());
    broker.create("t", WINDOW).await;
    broker
}

#[tokio::test]
async fn ids_leave_memory_and_are_known_also_after_a_restart() {
    let broker = start().await;
    for batch in 0..4 {
        assert_eq!(broker.offer_numbers(batch * 10..batch * 10 + 10).await, at(i64::from(batch) * 10));
    }
    broker.seal().await;
    assert_eq!((broker.slices().len(), broker.id_rows_left()), (1, 0));
    assert_eq!(broker.offer_numbers(10..20).await, at(10));
    assert_eq!(broker.offer_numbers(35..45).await, at(40), "half of it is new");
    let broker = broker.restart().await;
    assert_eq!(broker.offer_numbers(0..5).await, at(0));
    assert_eq!(broker.offer_numbers(40..45).await, at(45));
    let broker = broker.crash(0);
    assert_eq!(broker.offer_numbers(33..34).await, at(33));
    assert_eq!(broker.offsets("t").log_end, 50);
}

#[tokio::test]
async fn slow_senders_leave_few_files_however_long_the_window() {
    // A part of the window is ten seconds, in which come ten ids, two or three, and less than one: of fewer than four there is no file.
    for (interval_ms, files_max) in [(1_000, 10), (4_000, 6), (20_000, 2)] {
        let broker = TestEngine::start_with(Settings { dedup_open_ids_max: 64, ..settings() });
        broker.create("t", WINDOW).await;
        let mut most = 0;
        for number in 0..320_000 / interval_ms {
            broker.offer_numbers(number..number + 1).await;
            for _ in 0..2 {
                broker.time.advance(i64::from(interval_ms / 2));
                broker.idle_round();
                broker.synced().await;
                broker.sealer_rests().await;
            }
            most = most.max(broker.slices().len());
        }
        assert!((1..=files_max).contains(&most), "{most} files with an id in {interval_ms} ms");
    }
}

#[tokio::test]
async fn what_is_remembered_is_shown_wherever_it_is() {
    let broker = start().await;
    let shown = |broker: &TestEngine| {
        let topics = broker.started.catalog.topics();
        let traffic = topics.by_name["t"].traffic.clone();
        let remembered = &traffic.remembered;
        let load = |of: &AtomicU64| of.load(Ordering::Relaxed);
        assert_eq!(load(&remembered.slices) > 0, load(&remembered.sealed_bytes) > 0);
        assert!(load(&remembered.memory_bytes) > 0);
        let by = [KnownBy::Open, KnownBy::Sealed].map(|by| load(&traffic.dedup_duplicates[by as usize]));
        ([&remembered.ids, &remembered.slices, &remembered.oldest_age_ms].map(load), by)
    };
    broker.offer_numbers(0..40).await;
    assert_eq!(shown(&broker), ([40, 0, 0], [0, 0]));
    broker.seal().await;
    assert_eq!(shown(&broker).0, [40, 1, 3000]);
    broker.offer_numbers(30..60).await;
    assert_eq!(shown(&broker), ([60, 1, 3000], [0, 10]));
    broker.offer_numbers(55..60).await;
    assert_eq!(shown(&broker).1, [5, 10]);
    let broker = broker.restart().await;
    assert_eq!(shown(&broker), ([60, 1, 3000], [0, 0]));
    broker.time.advance(90_000);
    broker.idle_round();
    let topics = broker.started.catalog.topics();
    let remembered = &topics.by_name["t"].traffic.remembered;
    assert_eq!([&remembered.ids, &remembered.slices].map(|of| of.load(Ordering::Relaxed)), [0, 0]);
}

#[tokio::test]
async fn the_writer_looks_into_slices_that_the_connection_did_not_see() {
    let broker = start().await;
    broker.offer_numbers(0..20).await;
    let id = broker.partition("t").id;
    let early = broker.looked_up(id, &identified(&["3", "new"]));
    let unread = to(id, &identified(&["4", "newer"]));
    broker.seal().await;
    assert_eq!(broker.id_rows_left(), 0);
    let append = async |batch| broker.engine().append(Acks::All, vec![batch]).await.expect("answered").remove(0);
    assert_eq!(append(early).await, at(20));
    assert_eq!(append(unread).await, at(22));
    let stored: i32 = broker
        .read("t")
        .await
        .iter()
        .map(|batch| BatchHeader::parse(&batch.bytes).expect("a batch").record_count)
        .sum();
    assert_eq!(stored, 22, "3 and 4 are stored once");
}

#[tokio::test]
async fn id_expires_in_a_slice_and_the_slice_goes_when_all_have() {
    let broker = start().await;
    broker.offer_numbers(0..16).await;
    broker.time.advance(5000);
    broker.offer_numbers(16..20).await;
    broker.seal().await;
    let slices = broker.slices();
    assert_eq!(slices.len(), 1);
    broker.time.advance(80_000 - 8_000);
    assert_eq!(broker.offer_numbers(0..1).await, at(20), "its time is over");
    assert_eq!(broker.offer_numbers(0..1).await, at(20));
    assert_eq!(broker.offer_numbers(16..17).await, at(16));
    broker.time.advance(8_000);
    broker.seal().await;
    assert!(!broker.slices().contains(&slices[0]));
    assert_eq!(broker.offer_numbers(16..17).await, at(21));
}

#[tokio::test]
async fn open_transactions_and_what_is_not_synced_stay_in_memory() {
    let broker = start().await;
    broker.offer_numbers(0..16).await;
    broker.time.advance(1);
    let open = identified(&["open"]).producer(ProducerId(9), ProducerEpoch(0), 0).transactional();
    let open = broker.looked_up(broker.partition("t").id, &open);
    broker.engine().append(Acks::All, vec![open]).await.expect("answered");
    broker.time.advance(1);
    broker.offer_numbers(16..40).await;
    broker.seal().await;
    assert_eq!((broker.slices().len(), broker.id_rows_left()), (1, 2), "up to the transaction");
    assert_eq!(broker.offer_looked_up(&["open"]).await.error, ErrorCode::NOT_ENOUGH_REPLICAS);
    broker.end(&["t"], 9, 0, TransactionResult::Abort).await;
    broker.seal().await;
    assert_eq!((broker.slices().len(), broker.id_rows_left()), (2, 0));
    // 16 of the first batch, one aborted, 24, and the marker.
    assert_eq!(broker.offer_looked_up(&["open"]).await, at(42));

    let broker = start().await;
    broker.store.syncs.hold();
    let names: Vec<_> = (0..20).map(|number| number.to_string()).collect();
    let _answer = broker.send("t", Acks::All, identified(&names.iter().map(String::as_str).collect::<Vec<_>>()));
    broker.written().await;
    for _ in 0..3 {
        broker.time.advance(1000);
        broker.idle_round();
        broker.sealer_rests().await;
    }
    assert_eq!(broker.slices(), [0_u64; 0]);
    let broker = broker.crash(0);
    assert_eq!(broker.offer_numbers(3..4).await, at(0), "the record is lost, and the id with it");
}

#[tokio::test]
async fn full_window_forgets_its_oldest_slice() {
    let broker = TestEngine::start_with(sealing());
    let overrides = [("message.dedup.mode", "window"), ("message.dedup.window.max.ids", "64")];
    broker.create("t", &overrides).await;
    for batch in 0..3 {
        broker.offer_numbers(batch * 20..batch * 20 + 20).await;
        broker.seal().await;
    }
    assert_eq!((broker.slices().len(), broker.id_rows_left()), (3, 0));
    assert_eq!(broker.offer_numbers(0..1).await, at(0));
    assert_eq!(broker.offer_numbers(60..65).await, at(60), "one too many");
    broker.seal().await;
    assert_eq!(broker.slices().len(), 2);
    assert_eq!(broker.offer_numbers(20..21).await, at(20));
    assert_eq!(broker.offer_numbers(0..1).await, at(65));
}

#[tokio::test]
async fn young_ids_stay_in_memory_while_there_is_room() {
    let broker = TestEngine::start_with(Settings { dedup_open_ids_max: 160, ..settings() });
    broker.create("t", &[("message.dedup.mode", "window"), ("message.dedup.window.max.ids", "64")]).await;
    broker.offer_numbers(0..20).await;
    broker.seal().await;
    assert_eq!(broker.slices(), [0_u64; 0]);
}

#[tokio::test]
async fn window_that_fills_up_at_once_is_forgotten_in_parts() {
    let broker = TestEngine::start_with(Settings { dedup_open_ids_max: 60, ..settings() });
    broker.create("t", &[("message.dedup.mode", "window"), ("message.dedup.window.max.ids", "64")]).await;
    for batch in 0..3 {
        broker.offer_numbers(batch * 20..batch * 20 + 20).await;
        broker.time.advance(1);
    }
    broker.seal().await;
    assert_eq!((broker.slices().len(), broker.id_rows_left()), (1, 2), "all were sealed together");
    assert_eq!(broker.offer_numbers(60..65).await, at(60), "one too many");
    assert_eq!(broker.offer_numbers(20..21).await, at(20));
    assert_eq!(broker.offer_numbers(0..1).await, at(65));
}

#[tokio::test]
async fn ledgers_stay_in_memory() {
    let broker = TestEngine::start_with(sealing());
    let ledger = [
        ("message.dedup.mode", "window"),
        ("message.dedup.id.source", "key"),
        ("message.dedup.on.duplicate", "reject"),
    ];
    broker.create("t", &ledger).await;
    for number in 0..40 {
        let key = format!("{number}");
        let claim = BatchBuilder::new().record(START_TIME, Some(key.as_bytes()), Some(b"me"));
        let claim = broker.looked_up(broker.partition("t").id, &claim);
        let answer = broker.engine().append(Acks::All, vec![claim]).await.expect("answered").remove(0);
        assert!(answer.error.is_none(), "{answer:?}");
    }
    broker.seal().await;
    assert_eq!((broker.slices().len(), broker.id_rows_left()), (0, 40));
}

#[tokio::test]
async fn memory_that_is_short_is_made_by_sealing_before_ids_are_forgotten() {
    let settings = Settings { dedup_memory_bytes: 100 << 10, dedup_open_ids_max: 8000, ..settings() };
    let broker = TestEngine::start_with(settings);
    broker.create("t", &[("message.dedup.mode", "window")]).await;
    for batch in 0..80 {
        broker.offer_numbers(batch * 100..batch * 100 + 100).await;
        broker.seal().await;
    }
    assert!(broker.slices().len() > 3);
    for batch in 0..80 {
        assert_eq!(broker.offer_numbers(batch * 100..batch * 100 + 100).await, at(i64::from(batch) * 100));
    }
}

#[tokio::test]
async fn deleted_topic_takes_its_slices_along() {
    for kills in [false, true] {
        let broker = start().await;
        broker.offer_numbers(0..20).await;
        broker.seal().await;
        let slices = broker.store.memory.slices.clone();
        if kills {
            slices.fail_after(0);
        }
        broker.engine().delete_topics(vec![TopicRef::Name("t".to_owned())]).await.expect("engine runs");
        broker.synced().await;
        broker.sealer_rests().await;
        assert_eq!(broker.slices().is_empty(), !kills);
        let broker = broker.crash(usize::MAX);
        assert_eq!(broker.slices(), [0_u64; 0], "the start removes what is left");
        broker.create("t", WINDOW).await;
        assert_eq!(broker.offer_numbers(0..20).await, at(0));
    }
}

#[tokio::test]
async fn slice_that_cannot_be_made_leaves_ids_in_memory_and_is_tried_again() {
    let broker = start().await;
    broker.offer_numbers(0..20).await;
    broker.store.memory.slices.fail_after(2);
    broker.seal().await;
    assert_eq!((broker.slices().len(), broker.id_rows_left()), (0, 1));
    assert_eq!(broker.offer_numbers(7..8).await, at(7));
    broker.store.memory.slices.fail_after(usize::MAX);
    broker.seal().await;
    assert_eq!(broker.slices().len(), 0, "not at once");
    broker.time.advance(60_000);
    broker.seal().await;
    assert_eq!((broker.slices().len(), broker.id_rows_left()), (1, 0));
    assert_eq!(broker.offer_numbers(7..8).await, at(7));
}

#[tokio::test]
async fn slice_from_after_the_end_of_a_log_that_lost_it_makes_no_record_known() {
    let broker = start().await;
    for batch in 0..6 {
        broker.offer_numbers(batch * 10..batch * 10 + 10).await;
    }
    let before = broker.store.memory.crash(usize::MAX);
    broker.seal().await;
    assert_eq!((broker.slices().len(), broker.id_rows_left()), (1, 0));
    let files = || broker.store.memory.slices.crash(false, 0);
    let on = |mut memory: MemoryStore| {
        memory.slices = files();
        let again = TestEngine::start_on(memory, Arc::clone(&broker.time), sealing());
        assert_eq!(again.slices(), [0_u64; 0]);
        again
    };
    // The log as it was before: its ids are still rows.
    assert_eq!(on(before).offer_numbers(33..34).await, at(33));
    // A log without any of it: the records are lost, and grow over.
    let again = on(start().await.store.memory.crash(usize::MAX));
    again.offer_numbers(1000..1080).await;
    assert_eq!(again.offer_numbers(50..51).await, at(80), "what was lost is stored when it is sent again");
}

#[tokio::test]
async fn slice_that_is_gone_is_told_and_its_ids_are_stored_again() {
    let broker = start().await;
    broker.offer_numbers(0..20).await;
    broker.seal().await;
    broker.offer_numbers(20..25).await;
    let number = broker.slices()[0];
    broker.store.memory.slices.remove(number).expect("in memory");
    let found = damage_of(&broker.store.memory);
    assert!(found.len() == 1 && found[0].what.contains("20 ids of topic t"), "{found:?}");
    let broker = broker.restart().await;
    assert_eq!(damage_of(&broker.store.memory), [], "it is told once");
    assert_eq!(broker.offer_numbers(22..23).await, at(22));
    assert_eq!(broker.offer_numbers(3..4).await, at(25));
    broker.offer_numbers(100..120).await;
    broker.seal().await;
    assert!(broker.slices()[0] > number, "no number twice");
}

#[tokio::test]
async fn damaged_slice_refuses_batches_that_it_may_hold_and_none_is_taken_for_new() {
    let broker = start().await;
    broker.offer_numbers(0..20).await;
    broker.seal().await;
    let number = broker.slices()[0];
    broker.store.memory.slices.damage(number, 100);
    // The thread that made it has it open as it was; the next start opens it.
    let broker = broker.restart().await;
    let id = broker.partition("t").id;
    let batch = to(id, &identified(&["3"]));
    let refused = broker.engine().append(Acks::All, vec![batch]).await.expect("answered").remove(0);
    assert_eq!((refused.error, refused.base_offset), (ErrorCode::KAFKA_STORAGE_ERROR, -1));
    assert_eq!(broker.offsets("t").log_end, 20);
}
