//! Compaction against a map of each key's last value, under transactions, restarts, power cuts in the middle and jumps of the clock.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;

use super::harness::*;
use crate::engine::asker::Asker;
use crate::engine::background::Ending;
use crate::engine::cleaner::{CleanerSettings, Rounds};
use crate::engine::command::{Command, Compaction, Reindexed, Replaced};
use crate::engine::settings::Settings;
use crate::record::build::BatchBuilder;
use crate::record::codec::{self, Codec, DecompressionLimits};
use crate::record::records::records;
use crate::record::{BatchHeader, HEADER_BYTES};
use crate::store::schema::{
    CompactedRow, RowValue, SparseRow, aborted_key, aborted_prefix, compacted_key, log_prefix, log_range, sparse_key,
    sparse_of_key, sparse_prefix,
};
use crate::store::{Store, StoredBatch};
use crate::types::{ErrorCode, Offset, PartitionId, ProducerEpoch, ProducerId, Timestamp, TransactionResult};

const HOUR: Timestamp = 3_600_000;
const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

#[derive(Debug, Clone)]
enum Step {
    /// A batch of records, by key and whether they have a value. Producer 0 is none, 1 idempotent, the others transactional.
    Append {
        producer: i64,
        codec: usize,
        records: Vec<(Option<u8>, bool)>,
    },
    End {
        producer: i64,
        commits: bool,
    },
    Compact,
    /// Compacts with room for so many keys.
    CompactWithLittleMemory {
        keys: u64,
    },
    /// A power cut once so many of its writes are synced.
    CompactAndCut {
        synced: usize,
        keep: usize,
    },
    Advance(Timestamp),
    Jump(Timestamp),
    Configure {
        min_lag_ms: Timestamp,
        delete_retention_ms: Timestamp,
        dirty_ratio: u8,
    },
    DeleteRecords {
        per_mille: i64,
    },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let record = (prop::option::weighted(0.95, 0u8..5), prop::bool::weighted(0.7));
    prop_oneof![
        10 => (0i64..4, 0usize..5, prop::collection::vec(record, 1..5))
            .prop_map(|(producer, codec, records)| Step::Append { producer, codec, records }),
        4 => (2i64..4, any::<bool>()).prop_map(|(producer, commits)| Step::End { producer, commits }),
        5 => Just(Step::Compact),
        1 => (1u64..6).prop_map(|keys| Step::CompactWithLittleMemory { keys }),
        2 => (0usize..4, 0usize..4).prop_map(|(synced, keep)| Step::CompactAndCut { synced, keep }),
        2 => (0..2 * HOUR).prop_map(Step::Advance),
        1 => (-1000 * HOUR..1000 * HOUR).prop_map(Step::Jump),
        1 => (
            prop_oneof![3 => Just(0), 1 => 0..HOUR],
            prop_oneof![1 => Just(0), 3 => 0..2 * HOUR],
            0u8..100,
        ).prop_map(|(min_lag_ms, delete_retention_ms, dirty_ratio)| {
            Step::Configure { min_lag_ms, delete_retention_ms, dirty_ratio }
        }),
        1 => (0i64..1000).prop_map(|per_mille| Step::DeleteRecords { per_mille }),
        1 => Just(Step::Restart),
    ]
}

type Key = Option<Vec<u8>>;

/// A record as it was sent.
#[derive(Debug, Clone, PartialEq)]
struct Sent {
    key: Key,
    value: Option<Vec<u8>>,
    timestamp: Timestamp,
    producer: i64,
    /// None while its transaction is open.
    is_committed: Option<bool>,
    /// Time that had passed.
    appended_at: Timestamp,
}

struct Model {
    broker: TestEngine,
    rounds: Rounds,
    sent: BTreeMap<Offset, Sent>,
    /// Base and last offset of each batch, markers included, and whose it is.
    batches: BTreeMap<Offset, (Offset, i64)>,
    sequences: HashMap<i64, i32>,
    open: HashMap<i64, Offset>,
    log_start: Offset,
    log_end: Offset,
    true_ms: Timestamp,
    min_lag_ms: Timestamp,
    delete_retention_ms: Timestamp,
    /// The shortest that was set.
    shortest_delete_retention_ms: Timestamp,
}

impl Model {
    async fn new() -> Self {
        let broker = TestEngine::start_with(Settings { producer_id_check_interval_ms: 0, ..settings() });
        let configs =
            [("cleanup.policy", "compact,delete"), ("retention.ms", "-1"), ("min.cleanable.dirty.ratio", "0")];
        broker.create("t", &configs).await;
        let rounds = broker.cleaner();
        Self {
            broker,
            rounds,
            sent: BTreeMap::new(),
            batches: BTreeMap::new(),
            sequences: HashMap::new(),
            open: HashMap::new(),
            log_start: 0,
            log_end: 0,
            true_ms: 0,
            min_lag_ms: 0,
            delete_retention_ms: 24 * HOUR,
            shortest_delete_retention_ms: 24 * HOUR,
        }
    }

    async fn run(mut self, step: Step) -> Self {
        match step {
            Step::Append { producer, codec, records } => self.append(producer, CODECS[codec], &records).await,
            Step::End { producer, commits } => self.end(producer, commits).await,
            Step::Compact => {
                let before = self.found().await;
                compact(&mut self.rounds);
                self.check_lag(&before).await;
                self.check_complete().await;
            }
            Step::CompactWithLittleMemory { keys } => {
                // Of up to seven keys; some batches have more than fit.
                self.rounds = self.broker.cleaner_with(keys * 48);
                compact(&mut self.rounds);
                self.check_complete().await;
                self.rounds = self.broker.cleaner();
            }
            Step::CompactAndCut { synced, keep } => self.compact_and_cut(synced, keep).await,
            Step::Advance(ms) => {
                self.true_ms += ms;
                self.broker.time.advance(ms);
                self.broker.idle_round();
            }
            Step::Jump(ms) => {
                self.broker.time.jump(ms.max(HOUR - self.broker.time.now()));
                self.broker.idle_round();
            }
            Step::Configure { min_lag_ms, delete_retention_ms, dirty_ratio } => {
                (self.min_lag_ms, self.delete_retention_ms) = (min_lag_ms, delete_retention_ms);
                self.shortest_delete_retention_ms = self.shortest_delete_retention_ms.min(delete_retention_ms);
                let ratio = format!("0.{dirty_ratio:02}");
                let overrides = [
                    ("cleanup.policy", "compact,delete"),
                    ("retention.ms", "-1"),
                    ("min.cleanable.dirty.ratio", &ratio),
                    ("min.compaction.lag.ms", &min_lag_ms.to_string()),
                    ("delete.retention.ms", &delete_retention_ms.to_string()),
                ];
                let set = self.broker.engine().set_topic_overrides(self.broker.no("t"), texts(&overrides)).await;
                assert_eq!(set, Ok(Ok(())));
            }
            Step::DeleteRecords { per_mille } => {
                let before = self.log_end * per_mille / 1000;
                self.log_start = self.log_start.max(before);
                let deleted = self.broker.engine().delete_records(self.broker.partition("t").id, before).await;
                assert_eq!(deleted, Ok(Ok(self.log_start)));
            }
            Step::Restart => {
                self.broker = self.broker.restart().await;
                self.rounds = self.broker.cleaner();
            }
        }
        self.check().await;
        self
    }

    async fn append(&mut self, producer: i64, codec: Codec, records: &[(Option<u8>, bool)]) {
        let now = self.broker.time.now();
        let mut batch = BatchBuilder::new().codec(codec);
        let sequence = self.sequences.get(&producer).copied().unwrap_or(0);
        if producer > 0 {
            batch = batch.producer(ProducerId(producer), ProducerEpoch(0), sequence);
        }
        if producer > 1 {
            batch = batch.transactional();
            self.open.entry(producer).or_insert(self.log_end);
        }
        let base_offset = self.log_end;
        for (index, (key, has_value)) in records.iter().enumerate() {
            let key = key.map(|key| vec![b'k', key]);
            let offset = base_offset + index as Offset;
            let value = has_value.then(|| format!("value at {offset}").into_bytes());
            let timestamp = now + (index as i64 % 3);
            batch = batch.record_with_headers(timestamp, key.as_deref(), value.as_deref(), &[(b"h", None)]);
            let (is_committed, appended_at) = ((producer < 2).then_some(true), self.true_ms);
            self.sent.insert(offset, Sent { key, value, timestamp, producer, is_committed, appended_at });
        }
        self.log_end += records.len() as Offset;
        self.batches.insert(base_offset, (self.log_end - 1, producer));
        self.sequences.insert(producer, sequence + records.len() as i32);
        let appended = self.broker.append("t", batch).await;
        assert_eq!((appended.error, appended.base_offset), (ErrorCode::NONE, base_offset));
    }

    async fn end(&mut self, producer: i64, commits: bool) {
        let Some(first_offset) = self.open.remove(&producer) else { return };
        let result = if commits { TransactionResult::Commit } else { TransactionResult::Abort };
        self.broker.end(&["t"], producer, 0, result).await;
        let of_producer = self.sent.range_mut(first_offset..).filter(|(_, sent)| sent.producer == producer);
        of_producer.for_each(|(_, sent)| sent.is_committed = Some(commits));
        self.batches.insert(self.log_end, (self.log_end, producer));
        self.log_end += 1;
    }

    async fn compact_and_cut(&mut self, synced: usize, keep: usize) {
        self.broker.engine().init_producer_id().await.expect("answered");
        self.broker.store.syncs.hold_after(synced);
        let mut rounds = std::mem::replace(&mut self.rounds, self.broker.cleaner());
        let compacting = std::thread::spawn(move || rounds.pass(&Ending::never()));
        while !compacting.is_finished() && !self.broker.store.syncs.is_reached() {
            std::thread::yield_now();
        }
        let cut = TestEngine::start_on(
            self.broker.store.memory.crash(keep),
            Arc::clone(&self.broker.time),
            self.broker.settings.clone(),
        );
        let before = std::mem::replace(&mut self.broker, cut);
        before.store.syncs.open();
        drop(before);
        compacting.join().expect("no panic");
        self.rounds = self.broker.cleaner();
    }

    /// The records that are there, by offset; each is as it was sent, in a batch that covers what its original covered.
    async fn found(&self) -> BTreeMap<Offset, Sent> {
        let mut found = BTreeMap::new();
        let mut bytes = 0;
        for batch in self.broker.read("t").await {
            bytes += batch.bytes.len() as u64;
            let header = BatchHeader::parse(&batch.bytes).expect("a batch");
            let (last_offset, producer) = self.batches[&batch.base_offset];
            assert_eq!(batch.last_offset, last_offset);
            assert_eq!(header.producer_id.0.max(0), producer);
            let plain = codec::decompress(
                header.codec().expect("known"),
                &batch.bytes[HEADER_BYTES..],
                DecompressionLimits::default(),
            );
            let plain = plain.expect("decompresses");
            if header.is_control() {
                continue;
            }
            for record in records(&plain, header.record_count) {
                let record = record.expect("well-formed");
                let offset = batch.base_offset + Offset::from(record.offset_delta);
                let sent = self.sent[&offset].clone();
                assert_eq!(record.key.map(<[u8]>::to_vec), sent.key);
                assert_eq!(record.value.map(<[u8]>::to_vec), sent.value);
                assert_eq!(header.base_timestamp + record.timestamp_delta, sent.timestamp);
                assert_eq!((record.header_count, record.headers), (1, &[2, b'h', 1][..]));
                assert!(sent.timestamp <= header.max_timestamp);
                found.insert(offset, sent);
            }
        }
        let told = self.broker.partition("t").size_bytes();
        // A delete horizon may make a first batch longer where nothing has gone yet that it could count against.
        assert!(told <= bytes && bytes - told < 200, "{told} bytes told, {bytes} found");
        self.check_index().await;
        found
    }

    /// The base offsets of the index of times and sizes, and what each says.
    fn index(&self) -> BTreeMap<Offset, SparseRow> {
        let mut index = BTreeMap::new();
        let prefix = sparse_prefix(Some(self.broker.partition("t").id));
        let mut visit = |key: &[u8], row: &[u8]| {
            let (_, base_offset) = sparse_of_key(key).expect("decodes");
            index.insert(base_offset, SparseRow::decode(row).expect("decodes"));
        };
        self.broker.store.scan(&prefix, &mut visit).expect("reads");
        index
    }

    /// Each entry counts the bytes before it, and knows none that is younger than it says.
    async fn check_index(&self) {
        let read = self.broker.read("t").await;
        let all_bytes = |batches: &mut dyn Iterator<Item = &StoredBatch>| {
            batches.map(|batch| batch.bytes.len() as u64).sum::<u64>()
        };
        let partition = self.broker.partition("t");
        let end_bytes = partition.start_bytes() + partition.size_bytes();
        for (base_offset, entry) in self.index().range(self.log_start..) {
            let behind_bytes = all_bytes(&mut read.iter().filter(|batch| batch.base_offset >= *base_offset));
            let counted = entry.cumulative_bytes + behind_bytes;
            assert!(counted.abs_diff(end_bytes) < 200, "at {base_offset}: {counted} of {end_bytes}");
            for batch in read.iter().filter(|batch| batch.base_offset < *base_offset) {
                let header = BatchHeader::parse(&batch.bytes).expect("a batch");
                assert!(header.max_timestamp <= entry.max_timestamp, "at {base_offset}: {}", batch.base_offset);
            }
        }
    }

    fn last_stable_offset(&self) -> Offset {
        self.open.values().min().copied().unwrap_or(self.log_end).max(self.log_start)
    }

    async fn check(&self) {
        let offsets = self.broker.offsets("t");
        assert_eq!((offsets.log_start, offsets.log_end), (self.log_start, self.log_end));
        assert_eq!(offsets.last_stable_offset, self.last_stable_offset());
        let found = self.found().await;
        // The last batch is always there: nobody at the end waits for what is not.
        if self.log_end > self.log_start {
            let read = self.broker.read("t").await;
            assert_eq!(read.last().map(|batch| batch.last_offset + 1), Some(self.log_end));
            let producers: BTreeSet<_> = self.batches.values().map(|(_, producer)| *producer).collect();
            for producer in producers.into_iter().filter(|producer| *producer > 0) {
                let data = |(base, (last, of)): (&Offset, &(Offset, i64))| {
                    (*of == producer && self.sent.contains_key(base)).then_some(*last)
                };
                let last = self.batches.iter().filter_map(data).max().expect("it wrote");
                let is_there = read.iter().any(|batch| batch.last_offset == last);
                assert!(is_there || last < self.log_start, "the newest batch of producer {producer}");
            }
        }
        let last_values = |records: &BTreeMap<Offset, Sent>| {
            let mut last = BTreeMap::new();
            let stable = records.range(self.log_start..self.last_stable_offset());
            for (offset, sent) in stable.filter(|(_, sent)| sent.is_committed == Some(true) && sent.key.is_some()) {
                match &sent.value {
                    Some(value) => drop(last.insert(sent.key.clone(), (*offset, value.clone()))),
                    None => drop(last.remove(&sent.key)),
                }
            }
            last
        };
        assert_eq!(last_values(&found), last_values(&self.sent));
        // A tombstone that is the newest of its key stays for its time, whatever the clock says.
        let mut newest = BTreeMap::new();
        for (offset, sent) in self.sent.range(self.log_start..) {
            if sent.is_committed != Some(false) && sent.key.is_some() {
                newest.insert(sent.key.clone(), *offset);
            }
        }
        for offset in newest.values().filter(|offset| self.sent[offset].value.is_none()) {
            let age_ms = self.true_ms - self.sent[offset].appended_at;
            let is_due = age_ms >= self.shortest_delete_retention_ms;
            assert!(is_due || found.contains_key(offset), "the tombstone at {offset}");
        }
    }

    /// Nothing of what was there has gone before its time.
    async fn check_lag(&self, before: &BTreeMap<Offset, Sent>) {
        // Smaller steps of the wall clock are not taken for jumps, and records are up to 2 ms ahead.
        const SLACK_MS: Timestamp = 1_002;
        let found = self.found().await;
        for (offset, sent) in before.iter().filter(|(offset, _)| !found.contains_key(offset)) {
            let age_ms = self.true_ms - sent.appended_at;
            assert!(age_ms + SLACK_MS >= self.min_lag_ms, "the record at {offset} has gone after {age_ms} ms");
        }
    }

    /// What counts no more is gone from where compaction has come to.
    async fn check_complete(&self) {
        let id = self.broker.partition("t").id;
        let row = self.broker.store.get(&compacted_key(id)).expect("reads");
        let compacted_to = row.map_or(0, |row| CompactedRow::decode(&row).expect("decodes").first_dirty);
        if self.min_lag_ms == 0
            && self.broker.started.catalog.topic("t").expect("exists").overrides["min.cleanable.dirty.ratio"] == "0"
        {
            let ends = self.batches.values().map(|(last_offset, _)| last_offset + 1);
            let ends = ends.filter(|end| *end > self.log_start);
            let end = ends.take_while(|end| *end <= self.last_stable_offset() && *end < self.log_end).last();
            let end = end.unwrap_or(0);
            assert!(compacted_to >= end, "compacted up to {compacted_to} of {end}");
        }
        let found = self.found().await;
        let mut newest: BTreeMap<Key, Offset> = BTreeMap::new();
        for (offset, sent) in found.range(..compacted_to) {
            assert_eq!(sent.is_committed, Some(true), "the aborted record at {offset}");
            assert!(sent.key.is_some(), "the record without a key at {offset}");
            let before = newest.insert(sent.key.clone(), *offset);
            assert_eq!(before, None, "the key of {offset} is there twice");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn last_values_stay_and_what_counts_no_more_goes(steps in prop::collection::vec(step(), 1..50)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut model = Model::new().await;
            for step in steps {
                model = model.run(step).await;
            }
        });
    }
}

async fn compacted_topic() -> TestEngine {
    let broker = TestEngine::start();
    let configs =
        [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0"), ("delete.retention.ms", "3600000")];
    broker.create("t", &configs).await;
    broker
}

fn keyed(key: &str, value: Option<&str>) -> BatchBuilder {
    BatchBuilder::new().record(START_TIME, Some(key.as_bytes()), value.map(str::as_bytes))
}

async fn base_offsets(broker: &TestEngine) -> Vec<Offset> {
    broker.read("t").await.iter().map(|batch| batch.base_offset).collect()
}

#[tokio::test]
async fn a_tombstone_goes_after_its_time() {
    let broker = compacted_topic().await;
    let mut rounds = broker.cleaner();
    for batch in [keyed("a", Some("1")), keyed("a", None), keyed("b", Some("2"))] {
        broker.append("t", batch).await;
    }
    compact(&mut rounds);
    assert_eq!(base_offsets(&broker).await, [1, 2]);
    // A round comes about only with something new.
    for (advance_ms, expected) in [(HOUR - 1, vec![1, 2, 3]), (1, vec![2, 3, 4])] {
        broker.time.advance(advance_ms);
        broker.idle_round();
        broker.append("t", keyed(&format!("new {advance_ms}"), Some("3"))).await;
        compact(&mut rounds);
        assert_eq!(base_offsets(&broker).await, expected, "{advance_ms}");
    }
}

#[tokio::test]
async fn a_tombstone_that_was_seen_after_a_jump_of_the_clock_stays_for_its_time_too() {
    let broker = compacted_topic().await;
    let mut rounds = broker.cleaner();
    for batch in [keyed("a", Some("1")), keyed("a", None), keyed("b", Some("2"))] {
        broker.append("t", batch).await;
    }
    broker.time.jump(1000 * HOUR);
    broker.idle_round();
    // Half an hour later the jump is too old to count, for what is kept for an hour.
    for (advance_ms, expected) in
        [(HOUR / 2, vec![1, 2, 3]), (HOUR / 2, vec![1, 2, 3, 4]), (HOUR / 2, vec![2, 3, 4, 5])]
    {
        broker.time.advance(advance_ms);
        broker.idle_round();
        broker.append("t", keyed(&format!("new {}", broker.time.now()), Some("3"))).await;
        compact(&mut rounds);
        assert_eq!(base_offsets(&broker).await, expected);
    }
}

#[tokio::test]
async fn what_has_waited_for_max_compaction_lag_is_compacted_whatever_its_share() {
    let broker = TestEngine::start();
    let configs =
        [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "1"), ("max.compaction.lag.ms", "3600000")];
    broker.create("t", &configs).await;
    let mut rounds = broker.cleaner();
    for key in ["a", "a", "b"] {
        broker.append("t", keyed(key, Some("1"))).await;
    }
    for (advance_ms, expected) in [(0, vec![0, 1, 2]), (HOUR, vec![0, 1, 2]), (1, vec![1, 2])] {
        broker.time.advance(advance_ms);
        broker.idle_round();
        compact(&mut rounds);
        assert_eq!(base_offsets(&broker).await, expected, "{advance_ms}");
    }
}

#[tokio::test]
async fn compaction_waits_for_what_it_reads_and_writes_and_counts_what_it_takes() {
    let broker = compacted_topic().await;
    let two_keys = keyed("a", Some("1")).record(START_TIME, Some(b"b"), Some(b"2"));
    for batch in [two_keys, keyed("a", Some("3")), keyed("c", Some("4"))] {
        broker.append("t", batch).await;
    }
    let bytes = async || broker.read("t").await.iter().map(|batch| batch.bytes.len() as u64).collect::<Vec<_>>();
    let before = bytes().await;
    // A byte takes a millisecond.
    let mut rounds =
        broker.cleaner_by(CleanerSettings { backoff: Duration::MAX, dedupe_bytes: 1 << 20, bytes_per_second: 1000.0 });
    let waited_us = Arc::new(AtomicU64::new(0));
    let ending = Ending::counting(Arc::clone(&waited_us));
    std::thread::scope(|scope| scope.spawn(move || rounds.pass(&ending)).join().expect("no panic"));
    let after = bytes().await;
    assert_eq!((after.len(), &after[1..]), (3, &before[1..]));
    // What is compacted is read for its keys and again for the rest; the newest batch is not.
    let moved = 2 * (before[0] + before[1]) + after[0];
    let waited_ms = waited_us.load(Ordering::SeqCst) / 1000;
    assert!((moved - 5..=moved).contains(&waited_ms), "{waited_ms} ms for {moved} bytes");
    let topic = broker.started.catalog.topic("t").expect("exists");
    let taken = topic.traffic.deleted_by_compaction_bytes.load(Ordering::Relaxed);
    assert_eq!((taken, before[0] > after[0]), (before[0] - after[0], true));
}

fn step_by_hand(broker: &TestEngine, partition: PartitionId, compaction: Compaction) -> bool {
    let asker = broker.asker();
    std::thread::scope(|scope| scope.spawn(|| ask_for(&asker, partition, compaction)).join().expect("no panic"))
}

/// Waits for the writer, which no thread of the runtime may.
fn ask_for(asker: &Asker, partition: PartitionId, compaction: Compaction) -> bool {
    asker.ask(|reply| Command::Compact { partition, compaction, reply }).expect("answered")
}

#[tokio::test]
async fn what_was_found_before_the_log_start_moved_does_no_harm_after_it() {
    let broker = compacted_topic().await;
    for key in ["a", "a", "b"] {
        broker.append("t", keyed(key, Some("1"))).await;
    }
    let id = broker.partition("t").id;
    let mut keys = Vec::new();
    let visit = &mut |key| {
        keys.push(key);
        true
    };
    broker.store.scan_log(id, 0, 3, visit).expect("reads");
    let bytes = broker.read("t").await.remove(0).bytes;
    assert_eq!(broker.engine().delete_records(id, 1).await, Ok(Ok(1)));
    // Answered once readers know of the deletion, so that the rows go with the next round.
    broker.engine().init_producer_id().await.expect("answered");
    broker.idle_round();
    assert_eq!(rows(&broker, &log_prefix(id)), 2);
    let start_bytes = broker.partition("t").start_bytes();
    let old = keys[0];
    for new in [None, Some((old, bytes))] {
        let replaced = vec![Replaced { old, new }];
        assert!(step_by_hand(&broker, id, nothing_but(replaced)));
        assert_eq!(rows(&broker, &log_prefix(id)), 2, "nothing is written below the log start");
        assert_eq!(broker.partition("t").start_bytes(), start_bytes);
    }
    // Nor in the index.
    let entry = SparseRow { max_timestamp: 1, max_timestamp_offset: 1, cumulative_bytes: 5 };
    let index = Reindexed { removed: Vec::new(), entries: vec![(0, entry), (1, entry)] };
    assert!(step_by_hand(&broker, id, Compaction::Done { first_dirty: 2, index }));
    let found = [0, 1].map(|offset| broker.store.get(&sparse_key(id, offset)).expect("reads").is_some());
    assert_eq!(found, [false, true]);
}

fn nothing_but(replaced: Vec<Replaced>) -> Compaction {
    Compaction::Replace { replaced, aborted: Vec::new(), index: Reindexed::default() }
}

#[tokio::test]
async fn readers_of_committed_records_know_of_a_removal_from_before_its_write_until_after_its_sync() {
    let broker = compacted_topic().await;
    broker.append("t", keyed("a", Some("1"))).await;
    let partition = broker.partition("t");
    let id = partition.id;
    let seen = partition.indexes();
    assert!(seen.is_some());
    let mut keys = Vec::new();
    let visit = &mut |key| {
        keys.push(key);
        true
    };
    broker.store.scan_log(id, 0, 1, visit).expect("reads");
    let replaced = keys.into_iter().map(|old| Replaced { old, new: None }).collect();
    let aborted = vec![aborted_key(id, 99)];
    let compaction = Compaction::Replace { replaced, aborted, index: Reindexed::default() };
    let during = std::thread::scope(|scope| {
        broker.store.writes.hold();
        broker.store.syncs.hold();
        let asker = broker.asker();
        let stepping = scope.spawn(move || ask_for(&asker, id, compaction));
        broker.store.writes.wait_until_reached();
        let before_write = partition.indexes();
        broker.store.writes.open();
        broker.store.syncs.wait_until_reached();
        let before_sync = partition.indexes();
        broker.store.syncs.open();
        assert!(stepping.join().expect("no panic"));
        (before_write, before_sync)
    });
    assert_eq!(during, (None, None));
    assert_eq!(partition.indexes(), seen.map(|seen| seen + 1));
}

#[tokio::test]
async fn an_abort_marker_and_its_row_go_once_nothing_is_left_of_the_transaction() {
    let broker = compacted_topic().await;
    let mut rounds = broker.cleaner();
    let aborted = keyed("a", Some("1")).producer(ProducerId(7), ProducerEpoch(0), 0).transactional();
    broker.append("t", aborted).await;
    broker.end(&["t"], 7, 0, TransactionResult::Abort).await;
    let later = keyed("b", Some("2")).producer(ProducerId(7), ProducerEpoch(0), 1).transactional();
    broker.append("t", later).await;
    broker.end(&["t"], 7, 0, TransactionResult::Commit).await;
    let id = broker.partition("t").id;
    let mut expected = vec![1, 2, 3, 4];
    for round in 0..4 {
        broker.append("t", keyed("last", Some("3"))).await;
        compact(&mut rounds);
        assert_eq!(base_offsets(&broker).await, expected, "round {round}");
        assert_eq!(rows(&broker, &aborted_prefix(id)), usize::from(expected.contains(&1)));
        match round {
            // Seen without its records only from the second round on, and for an hour.
            0 => expected = vec![1, 2, 3, 4, 5],
            1 => {
                broker.time.advance(HOUR);
                broker.idle_round();
                expected = vec![2, 3, 5, 6];
            }
            _ => expected = vec![2, 3, 6, 7],
        }
    }
    assert_eq!(broker.read_committed("t", 0).await, [2, 6, 7]);
}

#[tokio::test]
async fn space_of_what_went_is_reclaimed_once_it_is_worth_it() {
    let broker = compacted_topic().await;
    let mut rounds = broker.cleaner();
    let value = "v".repeat(400_000);
    for count in [2, 4] {
        for _ in 0..count {
            broker.append("t", keyed("a", Some(&value))).await;
        }
        compact(&mut rounds);
    }
    let id = broker.partition("t").id;
    assert_eq!(broker.store.wait_until_reclaimed(1), [log_range(id, 0, 5)]);
}

#[tokio::test]
async fn space_of_what_went_from_many_partitions_is_worth_it_together() {
    let broker = compacted_topic().await;
    broker.create("u", &[("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0")]).await;
    let value = "v".repeat(400_000);
    // Of each less than what is worth it.
    for topic in ["t", "u"] {
        for _ in 0..4 {
            broker.append(topic, keyed("a", Some(&value))).await;
        }
    }
    compact(&mut broker.cleaner());
    let ranges = ["t", "u"].map(|topic| log_range(broker.partition(topic).id, 0, 3));
    let mut reclaimed = broker.store.wait_until_reclaimed(2);
    reclaimed.sort();
    assert_eq!(reclaimed, ranges);
}

#[tokio::test]
async fn records_deleted_right_behind_a_replacement_are_counted_without_what_it_took() {
    let broker = compacted_topic().await;
    for key in ["a", "b", "c", "d", "e"] {
        broker.append("t", keyed(key, Some("1"))).await;
    }
    let partition = broker.partition("t").id;
    // Beyond the last entry of the index: from there the log start is all that tells the bytes before.
    assert_eq!(broker.engine().delete_records(partition, 2).await, Ok(Ok(2)));
    let mut keys = Vec::new();
    broker
        .store
        .scan_log(partition, 2, 5, &mut |key| {
            keys.push(key);
            true
        })
        .expect("reads");
    let replaced = vec![Replaced { old: keys[0], new: None }];
    let compaction = nothing_but(replaced);
    let asker = broker.asker();
    let held = broker.hold_writer();
    let compacted = asker.request(|reply| Command::Compact { partition, compaction, reply });
    let deleted = asker.request(|reply| Command::DeleteRecords { partition, before: 4, reply });
    drop(held);
    assert_eq!((compacted.await, deleted.await), (Ok(true), Ok(Ok(4))));
    assert_eq!(broker.partition("t").size_bytes(), u64::from(keys[2].size_bytes));
}

#[tokio::test]
async fn a_kill_in_a_round_leaves_an_index_of_times_and_sizes() {
    for synced in 0..9 {
        let mut model = Model::new().await;
        for key in 0..14 {
            model = model.run(Step::Advance(61_000)).await;
            let records = vec![(Some(key % 2), true), (Some(100 + key), true)];
            model = model.run(Step::Append { producer: 0, codec: 0, records }).await;
        }
        let newest = model.index().into_keys().next_back();
        assert!(newest.is_some());
        model = model.run(Step::CompactAndCut { synced, keep: usize::MAX }).await;
        let index = model.index();
        assert!(index.keys().next_back() >= newest.as_ref(), "after {synced}");
        assert!(index.len() > 3, "after {synced}: {index:?}");
        model.run(Step::DeleteRecords { per_mille: 500 }).await;
    }
}

#[tokio::test]
async fn a_low_disk_leaves_compaction_half_of_the_reserve_and_has_all_that_went_given_back() {
    const RESERVE_BYTES: u64 = 1 << 20;
    let broker = TestEngine::start_with(Settings { disk_reserve_bytes: RESERVE_BYTES, ..settings() });
    broker.store.memory.set_free_bytes(u64::MAX);
    broker.create("t", &[("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0")]).await;
    for _ in 0..4 {
        broker.append("t", keyed("a", Some("1"))).await;
    }
    broker.store.memory.set_free_bytes(RESERVE_BYTES / 2 - 1);
    broker.started.disk_low.store(true, Ordering::Relaxed);
    let mut rounds = broker.cleaner();
    compact(&mut rounds);
    assert_eq!(base_offsets(&broker).await, [0, 1, 2, 3]);
    broker.store.memory.set_free_bytes(RESERVE_BYTES / 2);
    compact(&mut rounds);
    assert_eq!(base_offsets(&broker).await, [2, 3]);
    assert_eq!(broker.store.wait_until_reclaimed(1), [log_range(broker.partition("t").id, 0, 3)]);
}
