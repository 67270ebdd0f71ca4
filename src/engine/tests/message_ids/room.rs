//! The memory of all topics together: its limit, and who has to give way.

use std::ops::Range;
use std::sync::atomic::Ordering;

use super::*;

const THROTTLE: &[(&str, &str)] = &[("message.dedup.mode", "window"), ("message.dedup.overflow", "throttle")];
const OPEN: ProducerId = ProducerId(7);

fn limited(dedup_memory_bytes: usize) -> Settings {
    Settings { dedup_memory_bytes, partitions_max: 1000, ..settings() }
}

impl TestEngine {
    fn id_bytes(&self) -> usize {
        self.engine().0.asker.seat.message_id_bytes().expect("engine runs")
    }

    fn numbered(&self, topic: &str, numbers: Range<u32>) -> BatchBuilder {
        let names: Vec<_> = numbers.map(|number| format!("{topic}-{number}")).collect();
        identified(&names.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Sends ids by their numbers, looked up in files as a connection does, a millisecond later than those before.
    async fn offer_numbered(&self, topic: &str, numbers: Range<u32>) -> Appended {
        self.time.advance(1);
        let batch = self.looked_up(self.partition(topic).id, &self.numbered(topic, numbers));
        let answer = self.engine().append(Acks::All, vec![batch]).await.expect("answered").remove(0);
        let bytes = self.id_bytes();
        assert!(bytes <= self.settings.dedup_memory_bytes, "{bytes} bytes after a batch to {topic}: {answer:?}");
        answer
    }

    /// The same by a client that comes again; answers also how often it did.
    async fn offer_until_taken(&self, topic: &str, numbers: Range<u32>) -> (Appended, usize) {
        for tries in 0..100 {
            let answer = self.offer_numbered(topic, numbers.clone()).await;
            if answer.error != ErrorCode::NOT_ENOUGH_REPLICAS {
                return (answer, tries);
            }
            self.synced().await;
            self.sealer_rests().await;
        }
        panic!("no room for {numbers:?} of {topic}");
    }

    /// Ids that metrics show of all topics.
    fn shown(&self) -> u64 {
        let topics = self.started.catalog.topics();
        topics.by_no.values().map(|topic| topic.traffic.remembered.ids.load(Ordering::Relaxed)).sum()
    }

    fn evicted(&self) -> u64 {
        let topics = self.started.catalog.topics();
        topics.by_no.values().map(|topic| topic.traffic.dedup_evicted.load(Ordering::Relaxed)).sum()
    }
}

#[tokio::test]
async fn one_batch_in_each_of_many_topics_stays_within_the_limit() {
    let broker = TestEngine::start_with(limited(1 << 20));
    let topics: Vec<_> = (0..200).map(|topic| format!("t{topic}")).collect();
    for topic in &topics {
        broker.create(topic, WINDOW).await;
        assert_eq!(broker.offer_numbered(topic, 0..100).await, at(0));
        assert_eq!(broker.offer_numbered(topic, 0..100).await, at(0), "the newest are known");
    }
    let remembered = broker.id_rows();
    assert!((40..100).contains(&remembered), "{remembered} topics are remembered");
    assert_eq!(broker.evicted() as usize, (200 - remembered) * 100, "what was forgotten was counted");
    assert_eq!(broker.shown() as usize, remembered * 100, "what is shown of topics of which nothing is left");
    let broker = broker.restart().await;
    assert!(broker.id_bytes() <= 1 << 20, "the same after a restart");
    assert_eq!(broker.id_rows(), remembered);
    for topic in &topics {
        assert!(broker.offer_numbered(topic, 100..200).await.error.is_none());
    }
}

#[tokio::test]
async fn what_an_aborted_transaction_took_is_counted_no_more() {
    let broker = TestEngine::start_with(limited(256 << 10));
    broker.create("held", WINDOW).await;
    let id = broker.partition("held").id;
    for first in (0..1000_u32).step_by(100) {
        let batch = broker.numbered("held", first..first + 100).producer(OPEN, ProducerEpoch(0), first as i32);
        let batch = broker.with_ids(id, &batch.transactional());
        let answer = broker.engine().append(Acks::All, vec![batch]).await.expect("answered").remove(0);
        assert_eq!(answer.base_offset, i64::from(first), "{answer:?}");
    }
    broker.end(&["held"], OPEN.0, 0, TransactionResult::Abort).await;
    assert_eq!(broker.id_bytes(), 0);
    assert!(broker.offer_numbered("held", 5000..5100).await.error.is_none());
    broker.id_bytes();
}

#[tokio::test]
async fn empty_indexes_take_nothing() {
    let broker = TestEngine::start_with(limited(64 << 10));
    for topic in 0..200 {
        let topic = format!("t{topic}");
        broker.create(&topic, WINDOW).await;
        let batch = broker.with_ids(broker.partition(&topic).id, &identified(&[""]));
        broker.engine().append(Acks::All, vec![batch]).await.expect("answered");
    }
    assert_eq!(broker.id_bytes(), 0);
}

#[tokio::test]
async fn many_topics_are_sealed_before_they_forget() {
    const TOPICS: usize = 15;
    let broker = TestEngine::start_with(limited(4 << 20));
    let topics: Vec<_> = (0..TOPICS).map(|topic| format!("t{topic}")).collect();
    for topic in &topics {
        broker.create(topic, WINDOW).await;
    }
    let mut waits = 0;
    for batch in 0..20 {
        for topic in &topics {
            let (answer, tries) = broker.offer_until_taken(topic, batch * 1000..batch * 1000 + 1000).await;
            assert_eq!(answer, at(i64::from(batch) * 1000), "{topic}");
            waits += tries;
        }
    }
    assert!(broker.slices().len() >= TOPICS && waits > 0, "{:?} after {waits} waits", broker.slices());
    assert_eq!(broker.evicted(), 0);
    for topic in &topics {
        for batch in 0..20 {
            let again = broker.offer_numbered(topic, batch * 1000..batch * 1000 + 1000).await;
            assert_eq!(again, at(i64::from(batch) * 1000), "{topic}");
        }
    }
}

#[tokio::test]
async fn what_a_slice_is_about_to_free_is_waited_for_and_nothing_forgotten_meanwhile() {
    for hangs in [false, true] {
        let broker = TestEngine::start_with(limited(1 << 20));
        for topic in ["small", "t"] {
            broker.create(topic, WINDOW).await;
            assert_eq!(broker.offer_numbered(topic, 0..100).await, at(0));
        }
        broker.store.syncs.hold();
        let offer = async |numbers: Range<u32>| {
            broker.time.advance(1);
            let batch = broker.looked_up(broker.partition("t").id, &broker.numbered("t", numbers));
            broker.engine().append(Acks::Leader, vec![batch]).await.expect("answered").remove(0)
        };
        let mut sent = 100;
        while offer(sent..sent + 500).await.error.is_none() {
            sent += 500;
            assert!(sent < 100_000, "memory never fills");
        }
        let rows = broker.id_rows();
        for _ in 0..5 {
            broker.time.advance(1000);
            broker.idle_round();
            refused(ErrorCode::NOT_ENOUGH_REPLICAS, &offer(sent..sent + 500).await);
        }
        assert_eq!((broker.id_rows(), broker.evicted()), (rows, 0), "the slice is not made before the sync");
        if hangs {
            broker.time.advance(60_000);
            assert_eq!(offer(sent..sent + 500).await, at(sent.into()));
            assert!(broker.evicted() > 0, "a disk that hangs is not waited for");
        }
        broker.store.syncs.open();
        broker.synced().await;
        broker.sealer_rests().await;
        let evicted = broker.evicted();
        let (answer, _) = broker.offer_until_taken("t", sent..sent + 500).await;
        assert_eq!((answer, broker.evicted()), (at(sent.into()), evicted));
        assert!(!broker.slices().is_empty());
        assert_eq!(broker.offer_numbered("small", 0..100).await, at(0));
        assert_eq!(broker.offer_numbered("t", 0..100).await == at(0), !hangs);
    }
}

#[tokio::test]
async fn ids_that_cannot_be_sealed_are_forgotten_the_oldest_first() {
    let broker = TestEngine::start_with(limited(1 << 20));
    broker.create("t", WINDOW).await;
    broker.store.memory.slices.fail_after(0);
    for batch in 0..100 {
        let (answer, _) = broker.offer_until_taken("t", batch * 500..batch * 500 + 500).await;
        assert_eq!(answer, at(i64::from(batch) * 500));
    }
    assert!(broker.evicted() > 10_000);
    assert_eq!(broker.offer_numbered("t", 49_000..49_500).await, at(49_000));
    assert_eq!(broker.offer_numbered("t", 0..500).await, at(50_000));
}

#[tokio::test]
async fn batch_that_no_room_could_be_made_for_is_refused_for_good() {
    let broker = TestEngine::start_with(limited(64 << 10));
    broker.create("t", WINDOW).await;
    let answer = broker.offer_numbered("t", 0..1000).await;
    assert!(refused(ErrorCode::INVALID_RECORD, &answer).contains("einmal.dedup.memory.bytes=65536"), "{answer:?}");
    assert_eq!(broker.id_bytes(), 0, "nothing of it stays");
    assert_eq!(broker.offer_numbered("t", 0..400).await, at(0));
    assert_eq!(broker.offer_numbered("t", 0..400).await, at(0));
}

#[tokio::test]
async fn topic_that_throttles_leaves_room_for_others() {
    let broker = TestEngine::start_with(limited(256 << 10));
    broker.create("throttled", THROTTLE).await;
    broker.create("t", WINDOW).await;
    let mut sent = 0;
    while sent < 100_000 && broker.offer_numbered("throttled", sent..sent + 100).await.error.is_none() {
        sent += 100;
    }
    let answer = broker.offer_numbered("throttled", sent..sent + 100).await;
    refused(ErrorCode::NOT_ENOUGH_REPLICAS, &answer);
    for batch in 0..20 {
        let first = batch * 100;
        assert_eq!(broker.offer_numbered("t", first..first + 100).await, at(first.into()));
        assert_eq!(broker.offer_numbered("t", first..first + 100).await, at(first.into()), "the newest is remembered");
    }
    for first in (0..sent).step_by(100) {
        assert_eq!(
            broker.offer_numbered("throttled", first..first + 100).await,
            at(first.into()),
            "and of the other all"
        );
    }
    // Which takes no more even where there is none of another.
    let broker = TestEngine::start_with(limited(256 << 10));
    broker.create("throttled", THROTTLE).await;
    for first in 0..100 {
        broker.offer_numbered("throttled", first * 100..first * 100 + 100).await;
        assert!(broker.id_bytes() <= 192 << 10, "{} bytes", broker.id_bytes());
    }
}

#[tokio::test]
async fn throttling_topic_goes_on_when_its_ids_have_left_memory() {
    let broker = TestEngine::start_with(limited(1 << 20));
    broker.create("t", THROTTLE).await;
    for batch in 0..100 {
        let (answer, _) = broker.offer_until_taken("t", batch * 500..batch * 500 + 500).await;
        assert_eq!(answer, at(i64::from(batch) * 500));
    }
    for batch in 0..100 {
        assert_eq!(broker.offer_numbered("t", batch * 500..batch * 500 + 500).await, at(i64::from(batch) * 500));
    }
    assert_eq!(broker.evicted(), 0);
}

#[tokio::test]
async fn open_transaction_leaves_room_for_others_and_all_of_it_when_it_ends() {
    let broker = TestEngine::start_with(limited(256 << 10));
    broker.create("held", WINDOW).await;
    broker.create("t", WINDOW).await;
    let id = broker.partition("held").id;
    let mut sent = 0;
    let answer = loop {
        let batch = broker.numbered("held", sent..sent + 100).producer(OPEN, ProducerEpoch(0), sent as i32);
        let batch = broker.with_ids(id, &batch.transactional());
        let answer = broker.engine().append(Acks::All, vec![batch]).await.expect("answered").remove(0);
        assert!(broker.id_bytes() <= 192 << 10, "{} bytes", broker.id_bytes());
        if !answer.error.is_none() {
            break answer;
        }
        sent += 100;
    };
    refused(ErrorCode::NOT_ENOUGH_REPLICAS, &answer);
    let behind = broker.offer_numbered("held", 1_000_000..1_000_100).await;
    refused(ErrorCode::NOT_ENOUGH_REPLICAS, &behind);
    for first in (0..2000).step_by(100) {
        assert_eq!(broker.offer_numbered("t", first..first + 100).await, at(first.into()));
        assert_eq!(broker.offer_numbered("t", first..first + 100).await, at(first.into()), "the newest is remembered");
    }
    broker.end(&["held"], OPEN.0, 0, TransactionResult::Commit).await;
    let (answer, _) = broker.offer_until_taken("held", 1_000_000..1_000_100).await;
    assert!(answer.error.is_none(), "{answer:?}");
    for first in (2000..4000).step_by(100) {
        assert_eq!(broker.offer_until_taken("t", first..first + 100).await.0, at(first.into()));
    }
    assert!(!broker.slices().is_empty(), "what it held leaves memory");
}

#[tokio::test]
async fn start_with_a_lower_limit_seals_or_forgets_what_is_over_it() {
    for (sealed, files_fail) in [(true, false), (false, true)] {
        let broker = TestEngine::start_with(limited(16 << 20));
        for topic in ["a", "b", "c"] {
            broker.create(topic, WINDOW).await;
            for first in (0..10_000).step_by(500) {
                assert_eq!(broker.offer_numbered(topic, first..first + 500).await, at(first.into()));
            }
        }
        let bytes_before = broker.id_bytes();
        broker.started.engine.stop().await.expect("stops");
        let memory = broker.store.memory.crash(usize::MAX);
        if files_fail {
            memory.slices.fail_after(0);
        }
        let broker = TestEngine::start_on(memory, Arc::clone(&broker.time), limited(512 << 10));
        assert!(broker.id_bytes() > bytes_before / 2, "the start refuses nothing and forgets nothing");
        for _ in 0..40 {
            broker.seal().await;
        }
        assert!(broker.id_bytes() <= 512 << 10, "{} bytes", broker.id_bytes());
        assert_eq!((!broker.slices().is_empty(), broker.evicted() == 0), (sealed, sealed));
        for topic in ["a", "b", "c"] {
            assert_eq!(broker.offer_numbered(topic, 9_900..10_000).await, at(9_900), "the newest are known");
            let oldest = broker.offer_numbered(topic, 0..100).await;
            assert_eq!(oldest == at(0), sealed, "{oldest:?}");
        }
    }
}

#[tokio::test]
async fn files_of_few_ids_are_made_only_where_memory_is_nearly_full() {
    let broker = TestEngine::start_with(limited(1 << 20));
    broker.create("t", WINDOW).await;
    for first in (0..40_000).step_by(1000) {
        assert_eq!(broker.offer_numbered("t", first..first + 1000).await, at(first.into()));
        let is_nearly_full = broker.id_bytes() > 640 << 10;
        broker.seal().await;
        assert_eq!(!broker.slices().is_empty(), is_nearly_full, "after {first}");
        if is_nearly_full {
            return;
        }
    }
    panic!("memory was never nearly full");
}

#[tokio::test]
async fn what_is_counted_is_what_is_there_whatever_happens_to_ids() {
    for dedup_open_ids_max in [64, usize::MAX] {
        let broker = TestEngine::start_with(Settings { dedup_open_ids_max, ..limited(96 << 10) });
        send_anything(&broker).await;
        let (seals, forgets) = (!broker.slices().is_empty(), broker.evicted() > 0);
        assert_eq!((seals, forgets || seals), (dedup_open_ids_max == 64, true));
    }
}

async fn send_anything(broker: &TestEngine) {
    let refresh = with(&[("message.dedup.window.refresh", "true"), ("message.dedup.window.ms", "60000")]);
    for (topic, overrides) in [("a", WINDOW), ("b", refresh.as_slice()), ("c", THROTTLE)] {
        broker.create(topic, overrides).await;
    }
    let mut random = 1;
    let mut sequence = 0;
    for step in 0..3000_u32 {
        let topic = ["a", "b", "c"][next_random(&mut random) as usize % 3];
        let first = next_random(&mut random) as u32 % 3000;
        let numbers = first..first + next_random(&mut random) as u32 % 60;
        match next_random(&mut random) % 20 {
            0 => broker.seal().await,
            1 => broker.time.advance(20_000),
            2 | 3 => {
                let count = numbers.len() as i32;
                let batch = broker.numbered(topic, numbers).producer(OPEN, ProducerEpoch(0), sequence);
                if count > 0 && topic == "a" {
                    let batch = broker.looked_up(broker.partition(topic).id, &batch.transactional());
                    let answer = broker.engine().append(Acks::All, vec![batch]).await.expect("answered").remove(0);
                    sequence += if answer.error.is_none() { count } else { 0 };
                }
            }
            4 => {
                let result = if step % 2 == 0 { TransactionResult::Commit } else { TransactionResult::Abort };
                broker.end(&["a"], OPEN.0, 0, result).await;
            }
            _ if numbers.is_empty() => {}
            _ => {
                let answer = broker.offer_numbered(topic, numbers).await;
                assert!([ErrorCode::NONE, ErrorCode::NOT_ENOUGH_REPLICAS].contains(&answer.error), "{answer:?}");
            }
        }
        assert!(broker.id_bytes() <= 96 << 10, "{} bytes after step {step}", broker.id_bytes());
    }
}
