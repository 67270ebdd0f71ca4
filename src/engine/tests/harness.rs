//! An engine on a [`GatedStore`], with time and chance of the test's own.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::oneshot;

pub use super::gated_store::{Batches, GatedStore};
use crate::config::TopicConfig;
use crate::engine::asker::Asker;
use crate::engine::background::Ending;
use crate::engine::cleaner::{Cleaner, CleanerSettings, Grain, Rounds};
use crate::engine::command::{Acks, AppendBatch, Appended, Marker, NewTopic, Repeated};
use crate::engine::environment::Environment;
use crate::engine::reclaimer::{Looks, Work};
use crate::engine::retention::{Passes, Retention};
use crate::engine::seat::for_tests::Held;
use crate::engine::settings::Settings;
use crate::engine::transactions::Limits;
use crate::engine::transactions::end::SLICE;
use crate::engine::{Engine, Started};
use crate::log::catalog::Topic;
use crate::log::partition::{Offsets, Partition};
use crate::producer::MarkerWriter;
use crate::record::build::BatchBuilder;
use crate::record::{BatchHeader, HEADER_BYTES, control};
use crate::store::memory::MemoryStore;
use crate::store::{BatchSpace, Store, StoreError, StoredBatch};
use crate::transaction::TransactionVersion;
use crate::types::{ErrorCode, Offset, PartitionId, ProducerEpoch, ProducerId, Timestamp, TopicNo, TransactionResult};

pub const START_TIME: Timestamp = 1_000_000_000_000;

/// Time as the test sets it, chance from a seed.
#[derive(Debug)]
pub struct TestTime {
    now: AtomicI64,
    monotonic_ms: AtomicU64,
    seed: Mutex<u64>,
}

impl TestTime {
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self { now: AtomicI64::new(START_TIME), monotonic_ms: AtomicU64::new(7), seed: Mutex::new(seed) })
    }
    pub fn advance(&self, ms: Timestamp) {
        self.monotonic_ms.fetch_add(u64::try_from(ms).expect("time passes"), Ordering::SeqCst);
        self.jump(ms);
    }
    /// Sets the wall clock ahead or back.
    pub fn jump(&self, ms: Timestamp) {
        self.now.fetch_add(ms, Ordering::SeqCst);
    }
    pub fn now(&self) -> Timestamp {
        self.now.load(Ordering::SeqCst)
    }
}

pub struct TestEnvironment(pub Arc<TestTime>);

impl Environment for TestEnvironment {
    fn now(&mut self) -> Timestamp {
        self.0.now()
    }
    fn monotonic_ms(&mut self) -> u64 {
        self.0.monotonic_ms.load(Ordering::SeqCst)
    }
    fn random(&mut self) -> u64 {
        next_random(&mut self.0.seed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// SplitMix64.
pub fn next_random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

pub fn settings() -> Settings {
    Settings {
        tail_cache_bytes: 1 << 20,
        reader_threads: 1,
        producer_id_expiration_ms: 86_400_000,
        producer_id_check_interval_ms: 600_000,
        producer_ids_max: 1000,
        offsets_retention_ms: Timestamp::MAX,
        offsets_retention_check_interval_ms: 600_000,
        // Tests look themselves.
        retention_check_interval: Duration::MAX,
        cleaner: None,
        reclaim_bytes: 1 << 20,
        group_offsets_bytes_max: usize::MAX,
        transaction_limits: Limits { bytes_max: usize::MAX, bytes_per_id_max: usize::MAX },
        transactional_id_expiration_ms: 604_800_000,
        transactional_id_check_interval_ms: 3_600_000,
        transaction_timeout_check_interval_ms: 10_000,
        transaction_slice: SLICE,
        dedup_memory_bytes: usize::MAX,
        dedup_open_ids_max: usize::MAX,
        dedup_slices_per_window: 8,
        dedup_id_bytes_max: 512,
        dedup_batch_bytes_max: 1 << 24,
        partitions_max: 100,
        takes_loans: true,
        disk_reserve_bytes: 0,
        topic_defaults: TopicConfig::default(),
        cluster_id: None,
        mutant: None,
    }
}

/// A running engine. Dropping it is a kill of the process: nothing is finished.
pub struct TestEngine<S = GatedStore> {
    pub store: Arc<S>,
    pub time: Arc<TestTime>,
    pub started: Started,
    pub settings: Settings,
    pub fatal: mpsc::Receiver<StoreError>,
}

impl TestEngine {
    pub fn start() -> Self {
        Self::start_with(settings())
    }

    pub fn start_with(settings: Settings) -> Self {
        Self::start_on(MemoryStore::new(), TestTime::new(1), settings)
    }

    pub fn start_on(memory: MemoryStore, time: Arc<TestTime>, settings: Settings) -> Self {
        Self::start_on_store(GatedStore { memory, mutant: settings.mutant, ..GatedStore::default() }, time, settings)
    }

    /// With files of batches that take so much.
    pub fn start_with_space(memory: MemoryStore, space: BatchSpace) -> Self {
        let batches = Mutex::new(Batches { space, ..Batches::default() });
        let store = GatedStore { memory, batches, ..GatedStore::default() };
        Self::start_on_store(store, TestTime::new(1), settings())
    }

    /// Stops in order and starts again.
    pub async fn restart(self) -> Self {
        self.started.engine.stop().await.expect("stops");
        Self::start_on(self.store.memory.crash(usize::MAX), self.time, self.settings)
    }

    /// The next start after a power cut that left the first `keep_unsynced` of the writes since the last sync.
    pub fn crash(self, keep_unsynced: usize) -> Self {
        let memory = self.store.memory.crash(keep_unsynced);
        // What the old threads may still do happens to a store that nobody looks at any more.
        self.store.syncs.open();
        Self::start_on(memory, self.time, self.settings)
    }

    /// Keeps the writer out, so that what is sent queues up.
    pub fn hold_writer(&self) -> Held<'_> {
        self.engine().0.asker.seat.hold()
    }

    /// What looks for records that are not to be kept.
    pub fn retention(&self) -> Passes {
        Passes::new(Retention {
            store: Arc::<GatedStore>::clone(&self.store),
            catalog: Arc::clone(&self.started.catalog),
            asker: self.asker(),
            disk_low: Arc::clone(&self.started.disk_low),
            reclaim_bytes: self.settings.reclaim_bytes,
        })
    }

    /// Asks the writer as the engine's own threads do.
    pub fn asker(&self) -> Asker {
        self.started.engine.0.asker.clone()
    }

    /// What gives space back.
    pub fn reclaimer(&self) -> Looks {
        self.reclaimer_of(Arc::<GatedStore>::clone(&self.store), 1)
    }

    /// The same of another store.
    pub fn reclaimer_of(&self, store: Arc<dyn Store>, memtable_bytes: u64) -> Looks {
        Looks::new(Work {
            store,
            catalog: Arc::clone(&self.started.catalog),
            memtable_bytes,
            reserve_bytes: self.settings.disk_reserve_bytes,
            disk_low: Arc::clone(&self.started.disk_low),
        })
    }

    /// What compacts.
    pub fn cleaner(&self) -> Rounds {
        self.cleaner_with(1 << 20)
    }

    /// The same with so much memory for keys.
    pub fn cleaner_with(&self, dedupe_bytes: u64) -> Rounds {
        self.cleaner_by(CleanerSettings { backoff: Duration::MAX, dedupe_bytes, bytes_per_second: f64::MAX })
    }

    /// The same by these settings.
    pub fn cleaner_by(&self, settings: CleanerSettings) -> Rounds {
        Rounds::new(Cleaner {
            store: Arc::<GatedStore>::clone(&self.store),
            catalog: Arc::clone(&self.started.catalog),
            asker: self.asker(),
            reclaim_bytes: self.settings.reclaim_bytes,
            settings: Arc::new(ArcSwap::from_pointee(settings)),
            // Small, so that a crash falls between steps, and between entries.
            grain: Grain { command_batches: 2, entry_bytes: 150 },
            reserve_bytes: self.settings.disk_reserve_bytes,
            disk_low: Arc::clone(&self.started.disk_low),
        })
    }

    /// Ends the transaction of a producer in these topics without a change of epoch.
    pub async fn end(&self, topics: &[&str], producer_id: i64, epoch: i16, result: TransactionResult) {
        let partitions = topics.iter().map(|topic| self.partition(topic).id).collect();
        let marker = marker(producer_id, epoch, result, TransactionVersion::V1);
        let refused = self.engine().write_markers(marker, partitions).await.expect("engine runs");
        assert!(refused.is_empty(), "{refused:?}");
    }

    /// All readable batches of the topic.
    pub async fn read(&self, topic: &str) -> Vec<StoredBatch> {
        let partition = self.partition(topic);
        let Offsets { log_start, high_watermark, .. } = partition.offsets();
        let read = self.started.reader.read(&partition, log_start, high_watermark, usize::MAX).await;
        read.expect("readable")
    }
}

impl<S: Store> TestEngine<S> {
    pub fn start_on_store(store: S, time: Arc<TestTime>, settings: Settings) -> Self {
        let store = Arc::new(store);
        let (tell, fatal) = mpsc::channel();
        let die = Box::new(move |error| drop(tell.send(error)));
        let environment = Box::new(TestEnvironment(Arc::clone(&time)));
        let shared: Arc<dyn Store> = Arc::<S>::clone(&store);
        let started = Engine::start(shared, settings.clone(), environment, die).expect("starts");
        Self { store, time, started, settings, fatal }
    }

    pub fn engine(&self) -> &Engine {
        &self.started.engine
    }

    pub async fn create(&self, name: &str, overrides: &[(&str, &str)]) -> Arc<Topic> {
        let created = self.engine().create_topics(vec![new_topic(name, 1, overrides)], false).await;
        created.expect("engine runs").remove(0).expect("created")
    }

    /// The number of the topic.
    pub fn no(&self, topic: &str) -> TopicNo {
        self.started.catalog.topic(topic).expect("exists").no
    }

    /// The first partition of the topic, as readers see it.
    pub fn partition(&self, topic: &str) -> Arc<Partition> {
        Arc::clone(&self.started.catalog.topic(topic).expect("exists").partitions[0])
    }

    pub fn offsets(&self, topic: &str) -> Offsets {
        self.partition(topic).offsets()
    }

    /// Queues one batch.
    pub fn send(&self, topic: &str, acks: Acks, batch: BatchBuilder) -> oneshot::Receiver<Vec<Appended>> {
        self.engine().append(acks, vec![to(self.partition(topic).id, &batch)])
    }

    /// Appends one batch and waits for the answer.
    pub async fn append(&self, topic: &str, batch: BatchBuilder) -> Appended {
        self.send(topic, Acks::All, batch).await.expect("answered").remove(0)
    }

    /// Returns once the group with everything sent before is written, whether synced or not.
    pub async fn written(&self) {
        self.engine().append(Acks::Leader, Vec::new()).await.expect("answered");
    }

    /// A round of the writer without a command: the time in which it removes what is dead.
    pub fn idle_round(&self) {
        self.engine().0.asker.seat.idle_round();
    }

    /// Offsets of the batches that a reader of committed records takes from `from` on, found as clients find them.
    pub async fn read_committed(&self, topic: &str, from: Offset) -> Vec<Offset> {
        self.committed_batches(topic, from).await.iter().map(|batch| batch.base_offset).collect()
    }

    /// The same with the batches themselves.
    pub async fn committed_batches(&self, topic: &str, from: Offset) -> Vec<StoredBatch> {
        let partition = self.partition(topic);
        let end = partition.offsets().last_stable_offset;
        let reader = &self.started.reader;
        let batches = reader.read(&partition, from, end, usize::MAX).await.expect("readable");
        let (Some(first), Some(last)) = (batches.first(), batches.last()) else { return Vec::new() };
        let aborted = reader.aborted(&partition, from, last.last_offset + 1, first.last_offset + 1).await;
        let mut to_come = VecDeque::from(aborted.expect("readable").transactions);
        let mut ignored = HashSet::new();
        let mut taken = Vec::new();
        for batch in &batches {
            while let Some(begun) = to_come.pop_front_if(|aborted| aborted.first_offset <= batch.last_offset) {
                ignored.insert(begun.producer_id);
            }
            let header = BatchHeader::parse(&batch.bytes).expect("a batch");
            let ended = header.is_control().then(|| control::marker_of_key(&batch.bytes[HEADER_BYTES + 5..]));
            match ended {
                Some(Some(TransactionResult::Abort)) => drop(ignored.remove(&header.producer_id)),
                Some(_) => {}
                None if header.is_transactional() && ignored.contains(&header.producer_id) => {}
                None => taken.push(batch.clone()),
            }
        }
        taken
    }
}

/// One look of retention. It waits for the writer, which no thread of the runtime may.
pub fn pass(passes: &mut Passes) {
    std::thread::scope(|scope| scope.spawn(|| passes.pass(&Ending::never())).join().expect("no panic"));
}

/// The same of compaction.
pub fn compact(rounds: &mut Rounds) {
    std::thread::scope(|scope| scope.spawn(|| rounds.pass(&Ending::never())).join().expect("no panic"));
}

pub fn new_topic(name: &str, partitions: u32, overrides: &[(&str, &str)]) -> NewTopic {
    NewTopic { name: name.to_owned(), partitions, overrides: texts(overrides) }
}

pub fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

pub fn to(partition: PartitionId, batch: &BatchBuilder) -> AppendBatch {
    let bytes = batch.build();
    let header = BatchHeader::parse(&bytes).expect("builders build valid batches");
    AppendBatch { partition, header, bytes, transaction: None, ids: None, refused: None }
}

/// A batch without a producer.
pub fn plain(values: &[&str]) -> BatchBuilder {
    values.iter().fold(BatchBuilder::new(), |batch, value| batch.record(START_TIME, None, Some(value.as_bytes())))
}

/// A batch of an idempotent producer with epoch 0.
pub fn idempotent(producer_id: i64, sequence: i32, values: &[&str]) -> BatchBuilder {
    plain(values).producer(ProducerId(producer_id), ProducerEpoch(0), sequence)
}

/// The same as part of a transaction that has no coordinator.
pub fn transactional(producer_id: i64, epoch: i16, sequence: i32, values: &[&str]) -> BatchBuilder {
    plain(values).producer(ProducerId(producer_id), ProducerEpoch(epoch), sequence).transactional()
}

/// The end of a transaction.
pub fn marker(producer_id: i64, epoch: i16, result: TransactionResult, version: TransactionVersion) -> Marker {
    let (producer_id, producer_epoch) = (ProducerId(producer_id), ProducerEpoch(epoch));
    Marker { producer_id, producer_epoch, coordinator_epoch: 0, result, version, by: MarkerWriter::Coordinator }
}

/// What an append answers on success.
pub fn at(base_offset: Offset) -> Appended {
    let (message, repeated) = (None, Repeated::default());
    let (error, record_errors) = (ErrorCode::NONE, Vec::new());
    Appended { error, base_offset, log_append_time: -1, log_start_offset: 0, message, record_errors, repeated }
}

/// The batch as sent, but for what the broker writes into it.
pub fn unstamped(bytes: &Bytes) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[..8].fill(0);
    bytes[12..16].fill(0xff);
    bytes
}

/// Number of stored rows whose key begins with `prefix`.
pub fn rows(broker: &TestEngine, prefix: &[u8]) -> usize {
    let mut count = 0;
    broker.store.scan(prefix, &mut |_, _| count += 1).expect("scans");
    count
}

/// Answers are compared by what a client is told.
impl PartialEq for Appended {
    fn eq(&self, other: &Self) -> bool {
        let told = |of: &Self| (of.error, of.base_offset, of.log_append_time, of.log_start_offset, of.message.clone());
        told(self) == told(other)
    }
}
