//! An engine on a memory store whose writes and syncs can be held back.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::config::TopicConfig;
use crate::engine::asker::Asker;
use crate::engine::background::Ending;
use crate::engine::cleaner::{Cleaner, CleanerSettings, Rounds};
use crate::engine::command::{Acks, AppendBatch, Appended, Marker, NewTopic};
use crate::engine::environment::Environment;
use crate::engine::mutant::Mutant;
use crate::engine::reclaimer::Work;
use crate::engine::retention::{Passes, Retention};
use crate::engine::seat::for_tests::Held;
use crate::engine::settings::Settings;
use crate::engine::transactions::end::SLICE;
use crate::engine::{Engine, Handle, Started};
use crate::log::catalog::Topic;
use crate::log::partition::{Offsets, Partition};
use crate::producer::MarkerWriter;
use crate::record::build::BatchBuilder;
use crate::record::{BatchHeader, HEADER_BYTES, control};
use crate::store::disk::DiskSpace;
use crate::store::memory::MemoryStore;
use crate::store::schema::LogKey;
use crate::store::{BatchSpace, KeyAndValue, Rows, Store, StoreError, StoreStats, StoredBatch};
use crate::transaction::TransactionVersion;
use crate::types::{ErrorCode, Offset, PartitionId, ProducerEpoch, ProducerId, Timestamp, TransactionResult};

pub const START_TIME: Timestamp = 1_000_000_000_000;

/// A place where a thread waits while it is held.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    held: bool,
    /// Passes until it holds of itself.
    passes_left: Option<usize>,
    waiting: bool,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub fn hold(&self) {
        self.state().held = true;
    }
    /// Holds once so many have passed.
    pub fn hold_after(&self, passes: usize) {
        self.state().passes_left = Some(passes);
    }
    /// Whether a thread stands before it.
    pub fn is_reached(&self) -> bool {
        self.state().waiting
    }
    pub fn open(&self) {
        let mut state = self.state();
        (state.held, state.passes_left) = (false, None);
        drop(state);
        self.changed.notify_all();
    }
    /// Returns once a thread stands before the held gate.
    pub fn wait_until_reached(&self) {
        let reached = self.changed.wait_while(self.state(), |state| !state.waiting);
        drop(reached.unwrap_or_else(PoisonError::into_inner));
    }
    fn pass(&self) {
        let mut state = self.state();
        match state.passes_left.as_mut() {
            Some(0) => state.held = true,
            Some(left) => *left -= 1,
            None => {}
        }
        while state.held {
            state.waiting = true;
            self.changed.notify_all();
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting = false;
    }
}

/// Keys from and to.
type Range = (Vec<u8>, Vec<u8>);

/// A memory store behind gates.
#[derive(Debug, Default)]
pub struct GatedStore {
    pub memory: MemoryStore,
    pub syncs: Gate,
    pub writes: Gate,
    pub reclaims: Gate,
    /// Ranges of the log whose space was reclaimed.
    pub reclaimed: (Mutex<Vec<Range>>, Condvar),
    /// Keys of the log that were visited.
    pub log_keys_seen: AtomicUsize,
    /// What files of batches take, as tests say.
    pub batches: Mutex<Batches>,
    /// A fault of its own.
    pub mutant: Option<Mutant>,
}

/// Files of batches: numbers only.
#[derive(Debug, Default)]
pub struct Batches {
    pub space: BatchSpace,
    /// Bytes that are garbage once the index has been compacted.
    pub hidden_garbage_bytes: u64,
    /// Moves that are yet to fail.
    pub failures: usize,
    /// What was moved whole.
    pub moved: Vec<Range>,
    /// What was moved from the oldest files: the space allowed for it.
    pub moved_oldest: Vec<u64>,
}

impl Batches {
    /// Bytes of a file.
    pub const FILE_BYTES: u64 = 1000;

    fn fail(&mut self) -> Result<(), StoreError> {
        if self.failures > 0 {
            self.failures -= 1;
            return Err(StoreError::NoSpace("a move".to_owned()));
        }
        Ok(())
    }
    fn reclaim(&mut self) -> Result<(), StoreError> {
        self.space.garbage_bytes += std::mem::take(&mut self.hidden_garbage_bytes);
        Ok(())
    }
    fn move_all(&mut self, range: Range) -> Result<(), StoreError> {
        self.fail()?;
        self.moved.push(range);
        self.space.bytes -= std::mem::take(&mut self.space.garbage_bytes);
        Ok(())
    }
    /// Half of each of the oldest files is garbage.
    fn move_oldest(&mut self, bytes_max: u64) -> Result<u64, StoreError> {
        self.fail()?;
        self.moved_oldest.push(bytes_max);
        let files = bytes_max / Self::FILE_BYTES;
        let gone = (files * Self::FILE_BYTES / 2).min(self.space.garbage_bytes);
        (self.space.bytes, self.space.garbage_bytes) = (self.space.bytes - gone, self.space.garbage_bytes - gone);
        Ok(files)
    }
}

impl GatedStore {
    pub fn disk(&self) -> MutexGuard<'_, Batches> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reclaimed ranges, once there are `count`.
    pub fn wait_until_reclaimed(&self, count: usize) -> Vec<Range> {
        let ranges = self.reclaimed.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ranges = self.reclaimed.1.wait_while(ranges, |ranges| ranges.len() < count);
        ranges.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Store for GatedStore {
    fn write(&self, rows: &Rows, synced: u64) -> Result<u64, StoreError> {
        assert!(synced <= self.memory.sequence(), "a sync of what is not written yet");
        self.writes.pass();
        if self.mutant == Some(Mutant::SplitWrites) && rows.rows.len() > 1 {
            // At another place each time.
            let at = 1 + usize::try_from(self.memory.sequence()).expect("small") % (rows.rows.len() - 1);
            let (one, other) = rows.rows.split_at(at);
            self.memory.write(&Rows { rows: one.to_vec() }, synced)?;
            return self.memory.write(&Rows { rows: other.to_vec() }, synced);
        }
        self.memory.write(rows, synced)
    }
    fn sync(&self) -> Result<(), StoreError> {
        self.syncs.pass();
        if self.mutant == Some(Mutant::SkipSync) {
            return Ok(());
        }
        self.memory.sync()
    }
    fn sequence(&self) -> u64 {
        self.memory.sequence()
    }
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.memory.get(key)
    }
    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        self.memory.scan(prefix, visit)
    }
    fn scan_range(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        self.memory.scan_range(from, to, visit)
    }
    fn last_before(&self, prefix: &[u8], before: &[u8]) -> Result<Option<KeyAndValue>, StoreError> {
        self.memory.last_before(prefix, before)
    }
    fn read_log(
        &self,
        partition: PartitionId,
        from: Offset,
        to: Offset,
        bytes_max: usize,
    ) -> Result<Vec<StoredBatch>, StoreError> {
        self.memory.read_log(partition, from, to, bytes_max)
    }
    fn scan_log(
        &self,
        partition: PartitionId,
        from: Offset,
        to: Offset,
        visit: &mut dyn FnMut(LogKey) -> bool,
    ) -> Result<(), StoreError> {
        self.memory.scan_log(partition, from, to, &mut |key| {
            self.log_keys_seen.fetch_add(1, Ordering::SeqCst);
            visit(key)
        })
    }
    fn reclaim_log_range(&self, from: &[u8], to: &[u8]) -> Result<(), StoreError> {
        self.reclaims.pass();
        self.reclaimed.0.lock().unwrap_or_else(PoisonError::into_inner).push((from.to_vec(), to.to_vec()));
        self.reclaimed.1.notify_all();
        self.disk().reclaim()
    }
    fn move_log_range(&self, from: &[u8], to: &[u8]) -> Result<(), StoreError> {
        self.disk().move_all((from.to_vec(), to.to_vec()))
    }
    fn move_oldest_batches(&self, bytes_max: u64) -> Result<u64, StoreError> {
        self.disk().move_oldest(bytes_max)
    }
    fn batch_space(&self) -> BatchSpace {
        self.disk().space
    }
    fn disk_space(&self) -> Option<DiskSpace> {
        self.memory.disk_space()
    }
    fn stats(&self) -> StoreStats {
        self.memory.stats()
    }
    fn close(&self) -> Result<(), StoreError> {
        self.memory.close()
    }
}

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
        transactions_bytes_max: usize::MAX,
        transactional_id_expiration_ms: 604_800_000,
        transactional_id_check_interval_ms: 3_600_000,
        transaction_timeout_check_interval_ms: 10_000,
        transaction_slice: SLICE,
        dedup_memory_bytes: usize::MAX,
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
pub struct TestEngine {
    pub store: Arc<GatedStore>,
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

    fn start_on_store(store: GatedStore, time: Arc<TestTime>, settings: Settings) -> Self {
        let store = Arc::new(store);
        let (tell, fatal) = mpsc::channel();
        let die = Box::new(move |error| drop(tell.send(error)));
        let environment = Box::new(TestEnvironment(Arc::clone(&time)));
        let shared: Arc<dyn Store> = Arc::<GatedStore>::clone(&store);
        let started = Engine::start(shared, settings.clone(), environment, die).expect("starts");
        Self { store, time, started, settings, fatal }
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

    pub fn engine(&self) -> &Engine {
        &self.started.engine
    }

    pub async fn create(&self, name: &str, overrides: &[(&str, &str)]) -> Arc<Topic> {
        let created = self.engine().create_topics(vec![new_topic(name, 1, overrides)], false).await;
        created.expect("engine runs").remove(0).expect("created")
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

    /// Keeps the writer out, so that what is sent queues up.
    pub fn hold_writer(&self) -> Held<'_> {
        self.engine().0.seat.hold()
    }

    /// A round of the writer without a command: the time in which it removes what is dead.
    pub fn idle_round(&self) {
        self.engine().0.seat.idle_round();
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
        let Handle { seat, queued, .. } = self.started.engine.0.as_ref();
        Asker { seat: Arc::clone(seat), queued: queued.clone() }
    }

    /// What gives space back.
    pub fn reclaimer(&self) -> Work {
        Work {
            store: Arc::<GatedStore>::clone(&self.store),
            catalog: Arc::clone(&self.started.catalog),
            memtable_bytes: 1,
            reserve_bytes: self.settings.disk_reserve_bytes,
            disk_low: Arc::clone(&self.started.disk_low),
        }
    }

    /// What compacts.
    pub fn cleaner(&self) -> Rounds {
        self.cleaner_with(1 << 20)
    }

    /// The same with so much memory for keys.
    pub fn cleaner_with(&self, dedupe_bytes: u64) -> Rounds {
        Rounds::new(Cleaner {
            store: Arc::<GatedStore>::clone(&self.store),
            catalog: Arc::clone(&self.started.catalog),
            asker: self.asker(),
            reclaim_bytes: self.settings.reclaim_bytes,
            settings: CleanerSettings { backoff: Duration::MAX, dedupe_bytes, bytes_per_second: f64::MAX },
        })
    }

    /// Ends the transaction of a producer in these topics without a change of epoch.
    pub async fn end(&self, topics: &[&str], producer_id: i64, epoch: i16, result: TransactionResult) {
        let partitions = topics.iter().map(|topic| self.partition(topic).id).collect();
        let marker = marker(producer_id, epoch, result, TransactionVersion::V1);
        let refused = self.engine().write_markers(marker, partitions).await.expect("engine runs");
        assert!(refused.is_empty(), "{refused:?}");
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

    /// All readable batches of the topic.
    pub async fn read(&self, topic: &str) -> Vec<StoredBatch> {
        let partition = self.partition(topic);
        let Offsets { log_start, high_watermark, .. } = partition.offsets();
        let read = self.started.reader.read(&partition, log_start, high_watermark, usize::MAX).await;
        read.expect("readable")
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
    AppendBatch { partition, header, bytes, transaction: None, ids: None }
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
    Appended { error: ErrorCode::NONE, base_offset, log_append_time: -1, log_start_offset: 0, message: None }
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
