//! The map of last values, and random steps that it is compared after.

use proptest::prelude::*;

use super::*;

const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

#[derive(Debug, Clone)]
pub(super) enum Step {
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

pub(super) struct Model {
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
    pub(super) async fn new() -> Self {
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

    pub(super) async fn run(mut self, step: Step) -> Self {
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

    pub(super) async fn append(&mut self, producer: i64, codec: Codec, records: &[(Option<u8>, bool)]) {
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
    pub(super) fn index(&self) -> BTreeMap<Offset, SparseRow> {
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
