//! Transactional copiers on the memory store, from a seed: they take values from inputs to outputs in transactions of both versions,
//! are replaced under the same transactional id while they still act, and the power goes at any moment. What they, readers and an
//! observer were told becomes a history for the checker of `compat-tests/history`.

use std::collections::HashMap;
use std::sync::Arc;

use history::event::{Event, crc32};

use super::harness::{TestEngine, TestTime, new_topic, next_random, plain, settings, to};
use crate::engine::command::{Acks, AppendBatch, InitTransactions, Marker, OffsetToCommit, TransactionProducer};
use crate::engine::mutant::Mutant;
use crate::engine::settings::Settings;
use crate::log::offsets::CommittedOffset;
use crate::producer::MarkerWriter;
use crate::record::{BatchHeader, HEADER_BYTES};
use crate::store::memory::MemoryStore;
use crate::transaction::{TransactionRefused, TransactionVersion};
use crate::types::{
    Arrival, ConnectionId, LeaderEpoch, Offset, PartitionId, ProducerEpoch, ProducerId, TransactionResult,
};

const INPUTS: [&str; 2] = ["in0", "in1"];
const OUTPUTS: [&str; 3] = ["out0", "out1", "out2"];
const VALUES: i64 = 60;
const GROUP: &str = "copiers";
/// As the copiers ask for it.
const TIMEOUT_MS: u32 = 10_000;
/// Of virtual time at once: less than the checker allows a transaction to hang.
const LEAP_MS: i64 = 5_000;

/// A copier of one input, with the transactional id of its number.
#[derive(Clone)]
struct Copier {
    number: usize,
    instance: u64,
    producer: TransactionProducer,
    /// The next value of its input.
    position: i64,
    /// By output, the next sequence.
    sequences: HashMap<usize, i32>,
    begun: u64,
    open: Option<Open>,
}

#[derive(Clone)]
struct Open {
    txn: String,
    /// Copied so far, up to here.
    staged: bool,
    /// Nothing but an abort may follow.
    failed: bool,
}

/// One call of a copier, which a power cut may leave without an answer.
#[derive(Clone)]
enum Call {
    Send { output: usize, seq: i64, batch: AppendBatchOf },
    Stage { offset: i64 },
    End { result: TransactionResult },
}

/// What a batch is made of, so that it can be sent again.
#[derive(Clone)]
struct AppendBatchOf {
    value: String,
    sequence: i32,
}

/// What a call was answered.
enum Answer {
    Sent { error: i16, base_offset: Offset },
    Staged(bool),
    Ended(Result<(ProducerId, ProducerEpoch), TransactionRefused>),
}

pub struct World {
    random: u64,
    broker: TestEngine,
    history: Vec<Event>,
    ticks: u64,
    copiers: Vec<Copier>,
    /// Fenced, and not aware of it.
    zombies: Vec<Copier>,
    /// By output, of the reader of committed records and of the one of all.
    positions: [[Offset; OUTPUTS.len()]; 2],
    polls: u64,
    /// No producer comes to be: nothing but the end of the history is left.
    is_stuck: bool,
}

fn payload(value: &str, fill: &str) -> String {
    let body = format!("{value}/{fill}");
    format!("{body}/{:08x}", crc32(body.as_bytes()))
}

/// The one value of a batch.
fn value_of(bytes: &[u8]) -> String {
    let record = &bytes[HEADER_BYTES..bytes.len() - 1];
    let starts = |at: &[u8]| at[0] == b'p' && at[1].is_ascii_digit() && at[2] == b'/';
    let start = record.windows(3).position(starts).expect("a value of an input");
    String::from_utf8_lossy(&record[start..]).into_owned()
}

impl World {
    /// The history of so many steps.
    pub async fn run(seed: u64, steps: usize, mutant: Option<Mutant>) -> Vec<Event> {
        let settings = Settings {
            tail_cache_bytes: 2000,
            transaction_slice: 2,
            // Restarts are frequent, and each begins to wait anew.
            transaction_timeout_check_interval_ms: 1000,
            mutant,
            ..settings()
        };
        let broker = TestEngine::start_on(MemoryStore::new(), TestTime::new(seed), settings);
        let mut world = Self {
            random: seed,
            broker,
            history: Vec::new(),
            ticks: 0,
            copiers: Vec::new(),
            zombies: Vec::new(),
            positions: Default::default(),
            polls: 0,
            is_stuck: false,
        };
        world.fill().await;
        for _ in 0..steps {
            if world.is_stuck {
                break;
            }
            world = world.step().await;
        }
        world.finish().await
    }

    async fn fill(&mut self) {
        for topic in INPUTS.iter().chain(&OUTPUTS) {
            let created = self.broker.engine().create_topics(vec![new_topic(topic, 1, &[])], false).await;
            created.expect("engine runs").remove(0).expect("created");
        }
        for (number, input) in INPUTS.iter().enumerate() {
            for seq in 0..VALUES {
                let payload = payload(&format!("p{number}/{seq}"), "fill");
                let partition = self.broker.partition(input).id;
                let batch = to(partition, &plain(&[&payload]));
                self.broker.engine().append(Acks::All, vec![batch]).await.expect("answered");
                self.history.push(Event::Drain { partition: partition_no(number), offset: seq, payload });
            }
            let copier = self.new_copier(number, 1).await.expect("nothing is open yet");
            self.copiers.push(copier);
        }
    }

    fn roll(&mut self, sides: u64) -> u64 {
        next_random(&mut self.random) % sides
    }

    fn pick(&mut self, len: usize) -> usize {
        usize::try_from(self.roll(len as u64)).expect("small")
    }

    fn at(&mut self) -> u64 {
        self.ticks += 1;
        let ms = self.broker.time.now() - super::harness::START_TIME;
        u64::try_from(ms).expect("time goes on") * 1_000_000 + self.ticks
    }

    async fn step(mut self) -> Self {
        match self.roll(100) {
            0..=59 => {
                let number = self.pick(self.copiers.len());
                let mut copier = self.copiers[number].clone();
                let call = self.next_call(&mut copier);
                if let Some(call) = call {
                    self = self.make(&mut copier, call).await;
                    if copier.open.as_ref().is_some_and(|open| open.failed) {
                        self = self.give_up(&mut copier).await;
                    }
                }
                self.copiers[number] = copier;
            }
            60..=63 => {
                let number = self.pick(self.copiers.len());
                self.replace(number).await;
            }
            64..=69 if !self.zombies.is_empty() => self.zombie_acts().await,
            70..=84 => self.poll().await,
            85..=89 => self.look(),
            90..=93 => self.leap().await,
            94..=95 => self.broker = self.broker.restart().await,
            96 => self.broker = self.broker.crash(usize::MAX),
            97 => self.broker = self.broker.crash(0),
            _ => self.meddle().await,
        }
        self
    }

    /// A producer for the transactional id of this number: nothing of an older one is open any more. None comes to be where a fault
    /// leaves that open for ever.
    async fn new_copier(&mut self, number: usize, instance: u64) -> Option<Copier> {
        let id = format!("copier-{number}");
        // Each copier has one of its own, younger than those of before.
        let arrival = Arrival { connection: ConnectionId(instance), ..Arrival::default() };
        let init =
            InitTransactions { transactional_id: Arc::from(id.as_str()), timeout_ms: TIMEOUT_MS, given: None, arrival };
        let mut tries = 0;
        let (producer_id, producer_epoch) = loop {
            tries += 1;
            if tries == 100 {
                assert!(self.broker.settings.mutant.is_some(), "no producer comes to be");
                self.is_stuck = true;
                return None;
            }
            match self.broker.engine().init_transactions(init.clone()).await.expect("engine runs") {
                Ok(producer) => break producer,
                Err(TransactionRefused::Concurrent) => self.broker.idle_round(),
                Err(refused) => panic!("{refused:?}"),
            }
        };
        let at = self.at();
        self.history.push(Event::Initialized { id: id.clone(), instance, at });
        let version = if self.roll(2) == 0 { TransactionVersion::V1 } else { TransactionVersion::V2 };
        let transactional_id = Arc::from(id.as_str());
        let producer = TransactionProducer { transactional_id, producer_id, producer_epoch, version, arrival };
        let position = self.committed(number).unwrap_or(0);
        Some(Copier { number, instance, producer, position, sequences: HashMap::new(), begun: 0, open: None })
    }

    /// Where the next one goes on. What is pending is so no more: whoever staged it was fenced.
    fn committed(&self, number: usize) -> Option<i64> {
        let partition = self.broker.partition(INPUTS[number]).id;
        self.broker.started.offsets.progress(GROUP, partition).committed.map(|committed| committed.offset)
    }

    async fn replace(&mut self, number: usize) {
        let old = self.copiers[number].clone();
        let Some(new) = self.new_copier(number, old.instance + 1).await else { return };
        self.copiers[number] = new;
        if old.open.is_some() {
            self.zombies.push(old);
        }
    }

    fn next_call(&mut self, copier: &mut Copier) -> Option<Call> {
        let is_at_end = copier.position == VALUES;
        if copier.open.is_none() {
            if is_at_end {
                return None;
            }
            copier.begun += 1;
            let txn = format!("t{}.{}.{}", copier.number, copier.instance, copier.begun);
            let (id, instance, at) = (copier.producer.transactional_id.to_string(), copier.instance, self.at());
            self.history.push(Event::Begin { id, instance, txn: txn.clone(), at });
            copier.open = Some(Open { txn, staged: false, failed: false });
        }
        let open = copier.open.as_ref().expect("begun");
        let (txn, staged) = (open.txn.clone(), open.staged);
        match self.roll(10) {
            _ if staged && self.roll(5) == 0 => Some(self.end(&txn, TransactionResult::Abort)),
            _ if staged => Some(self.end(&txn, TransactionResult::Commit)),
            0..=6 if !is_at_end => Some(self.send(copier, &txn)),
            9 => Some(self.end(&txn, TransactionResult::Abort)),
            _ => Some(Call::Stage { offset: copier.position }),
        }
    }

    fn send(&mut self, copier: &mut Copier, txn: &str) -> Call {
        let seq = copier.position;
        copier.position += 1;
        let partition = partition_no(copier.number);
        let name = format!("p{}", copier.number);
        let output = usize::try_from(seq).expect("small") % OUTPUTS.len();
        let consumed = payload(&format!("{name}/{seq}"), "fill");
        self.history.push(Event::Consumed { txn: txn.to_owned(), partition, offset: seq, payload: consumed });
        let value = payload(&format!("{name}/{seq}"), txn);
        let (producer, number) = (name, u64::try_from(seq).expect("small"));
        let partition = partition_no(output);
        self.history.push(Event::Send { txn: txn.to_owned(), producer, seq: number, partition });
        let next = copier.sequences.entry(output).or_default();
        let sequence = *next;
        *next += 1;
        Call::Send { output, seq, batch: AppendBatchOf { value, sequence } }
    }

    fn end(&mut self, txn: &str, result: TransactionResult) -> Call {
        let (txn, commit, at) = (txn.to_owned(), result == TransactionResult::Commit, self.at());
        self.history.push(Event::Ending { txn, commit, at });
        Call::End { result }
    }

    /// Makes a call until it is answered. One in six meets a power cut, before or after it is answered.
    async fn make(mut self, copier: &mut Copier, call: Call) -> Self {
        if self.roll(6) > 0 {
            let answer = Self::call(&self.broker, copier.clone(), call.clone()).await;
            self.hear(copier, &call, answer, false);
            return self;
        }
        self.broker.store.syncs.hold();
        let handle = TestEngineHandle::of(&self.broker);
        let (asking, what) = (copier.clone(), call.clone());
        let running = tokio::spawn(async move { handle.call(asking, what).await });
        tokio::task::yield_now().await;
        self.broker.written().await;
        self.poll().await;
        tokio::task::yield_now().await;
        let told = running.is_finished();
        let keep = self.broker.store.memory.unsynced_writes() + 1;
        let keep = self.pick(keep);
        if told {
            let answer = running.await.expect("no panic");
            self.hear(copier, &call, answer.expect("engine runs"), false);
            self.broker = self.broker.crash(keep);
            return self;
        }
        self.broker = self.broker.crash(keep);
        drop(running);
        let answer = Self::call(&self.broker, copier.clone(), call.clone()).await;
        self.hear(copier, &call, answer, true);
        self
    }

    async fn call(broker: &TestEngine, copier: Copier, call: Call) -> Answer {
        TestEngineHandle::of(broker).call(copier, call).await.expect("engine runs")
    }

    fn hear(&mut self, copier: &mut Copier, call: &Call, answer: Answer, is_retry: bool) {
        let Some(open) = &mut copier.open else { return };
        let txn = open.txn.clone();
        match (call, answer) {
            (Call::Send { output, seq, .. }, Answer::Sent { error: 0, base_offset }) => {
                let (producer, seq) = (format!("p{}", copier.number), u64::try_from(*seq).expect("small"));
                let partition = partition_no(*output);
                self.history.push(Event::Sent { txn, producer, seq, partition, offset: base_offset });
            }
            (Call::Stage { offset }, Answer::Staged(true)) => {
                open.staged = true;
                self.history.push(Event::Staged { txn, partition: partition_no(copier.number), offset: *offset });
            }
            (Call::End { result }, Answer::Ended(Ok((producer_id, producer_epoch)))) => {
                let commit = *result == TransactionResult::Commit;
                let at = self.at();
                self.history.push(Event::Ended { txn, commit, at });
                if copier.producer.version == TransactionVersion::V2 {
                    copier.producer = TransactionProducer { producer_id, producer_epoch, ..copier.producer.clone() };
                    copier.sequences.clear();
                }
                copier.open = None;
                if !commit {
                    copier.position = self.committed(copier.number).unwrap_or(0);
                }
            }
            (Call::End { result: TransactionResult::Commit }, Answer::Ended(Err(_))) => {
                // An end that was asked for before may have come to pass.
                if !is_retry {
                    let at = self.at();
                    self.history.push(Event::Ended { txn, commit: false, at });
                }
                open.failed = true;
            }
            _ => open.failed = true,
        }
    }

    /// Aborts, or begins anew as another instance if that is refused, too.
    async fn give_up(mut self, copier: &mut Copier) -> Self {
        let txn = copier.open.as_ref().expect("open").txn.clone();
        let asked =
            self.history.iter().any(|event| matches!(event, Event::Ending { txn: of, commit: true, .. } if *of == txn));
        if !asked {
            let call = self.end(&txn, TransactionResult::Abort);
            let answer = Self::call(&self.broker, copier.clone(), call.clone()).await;
            // Sequences of what failed are unknown to V1; a new epoch makes them plain.
            let is_plain = copier.producer.version == TransactionVersion::V2;
            self.hear(copier, &call, answer, false);
            if copier.open.is_none() && is_plain {
                return self;
            }
        }
        if let Some(new) = self.new_copier(copier.number, copier.instance + 1).await {
            *copier = new;
        }
        self
    }

    /// One that was fenced goes on as if it were not.
    async fn zombie_acts(&mut self) {
        let index = self.pick(self.zombies.len());
        let mut zombie = self.zombies[index].clone();
        let Some(open) = zombie.open.clone() else { return };
        let is_at_end = zombie.position == VALUES;
        let call = if is_at_end || self.roll(2) == 0 {
            self.zombies.remove(index);
            self.end(&open.txn, TransactionResult::Commit)
        } else {
            let call = self.send(&mut zombie, &open.txn);
            self.zombies[index] = zombie.clone();
            call
        };
        let answer = Self::call(&self.broker, zombie.clone(), call.clone()).await;
        self.hear(&mut zombie, &call, answer, true);
    }

    /// Somebody sends markers with numbers that nobody has, which must end nothing and be in the way of nothing: what the checker
    /// finds whole and unblocked without them, it must find so with them.
    async fn meddle(&self) {
        let partitions: Vec<PartitionId> = OUTPUTS.iter().map(|name| self.broker.partition(name).id).collect();
        for copier in &self.copiers {
            let TransactionProducer { producer_id, producer_epoch, .. } = copier.producer;
            for (producer_id, producer_epoch, coordinator_epoch) in [
                (producer_id, producer_epoch, i32::MAX),
                (producer_id, ProducerEpoch(i16::MAX), 0),
                (ProducerId(producer_id.0 + 1_000_000), ProducerEpoch(0), 0),
            ] {
                let result = TransactionResult::Commit;
                let (version, by) = (TransactionVersion::V1, MarkerWriter::Administrator);
                let marker = Marker { producer_id, producer_epoch, coordinator_epoch, result, version, by };
                self.broker.engine().write_markers(marker, partitions.clone()).await.expect("engine runs");
            }
        }
    }

    /// Both readers of one output.
    async fn poll(&mut self) {
        let output = self.pick(OUTPUTS.len());
        let name = OUTPUTS[output];
        for committed in [true, false] {
            self.polls += 1;
            let position = self.positions[usize::from(committed)][output];
            let offsets = self.broker.offsets(name);
            let (batches, end) = if committed {
                (self.broker.committed_batches(name, position).await, offsets.last_stable_offset)
            } else {
                let partition = self.broker.partition(name);
                let reader = &self.broker.started.reader;
                let read = reader.read(&partition, position, offsets.high_watermark, usize::MAX).await;
                (read.expect("readable"), offsets.high_watermark)
            };
            let reader = if committed { "committed" } else { "all" };
            for batch in batches {
                if is_data(&batch.bytes) {
                    let (reader, partition, offset) = (reader.into(), partition_no(output), batch.base_offset);
                    let (poll, payload, at) = (self.polls, value_of(&batch.bytes), self.at());
                    self.history.push(Event::Polled { reader, committed, poll, partition, offset, payload, at });
                }
            }
            self.positions[usize::from(committed)][output] = position.max(end);
        }
    }

    fn look(&mut self) {
        for (number, input) in INPUTS.iter().enumerate() {
            let partition = self.broker.partition(input).id;
            let progress = self.broker.started.offsets.progress(GROUP, partition);
            // Who asks for stable offsets is told to come again.
            if !progress.is_pending {
                let offset = progress.committed.map_or(0, |committed| committed.offset);
                let asked = self.at();
                self.history.push(Event::Offset { partition: partition_no(number), offset, asked });
            }
        }
        for (output, name) in OUTPUTS.iter().enumerate() {
            let offsets = self.broker.offsets(name);
            let (reader, partition, at) = ("ends".into(), partition_no(output), self.at());
            let (start, stable, high) = (offsets.log_start, offsets.last_stable_offset, offsets.high_watermark);
            self.history.push(Event::Ends { reader, partition, start, stable, high, at });
        }
    }

    /// Time passes, and the broker looks for what is due.
    async fn leap(&mut self) {
        self.broker.time.advance(LEAP_MS);
        self.broker.written().await;
        self.broker.idle_round();
        // Answered after the sync of all that.
        self.broker.engine().describe_transactions(Vec::new()).await.expect("engine runs");
        self.look();
    }

    async fn finish(mut self) -> Vec<Event> {
        // All that is open times out.
        for _ in 0..8 {
            self.leap().await;
        }
        self.broker = self.broker.restart().await;
        for _ in 0..40 {
            self.poll().await;
        }
        self.look();
        for (output, name) in OUTPUTS.iter().enumerate() {
            for committed in [true, false] {
                let batches =
                    if committed { self.broker.committed_batches(name, 0).await } else { self.broker.read(name).await };
                for batch in batches.iter().filter(|batch| is_data(&batch.bytes)) {
                    let (partition, offset) = (partition_no(output), batch.base_offset);
                    self.history.push(Event::Final { committed, partition, offset, payload: value_of(&batch.bytes) });
                }
            }
        }
        self.history
    }
}

fn is_data(bytes: &[u8]) -> bool {
    !BatchHeader::parse(bytes).expect("a batch").is_control()
}

fn partition_no(index: usize) -> i32 {
    i32::try_from(index).expect("few")
}

/// What a call needs of the broker, so that it can be left behind when the power goes.
struct TestEngineHandle {
    engine: crate::engine::Engine,
    outputs: [PartitionId; OUTPUTS.len()],
    inputs: [PartitionId; INPUTS.len()],
}

impl TestEngineHandle {
    fn of(broker: &TestEngine) -> Self {
        let outputs = OUTPUTS.map(|name| broker.partition(name).id);
        Self { engine: broker.engine().clone(), outputs, inputs: INPUTS.map(|name| broker.partition(name).id) }
    }

    /// None: the broker has gone.
    async fn call(self, copier: Copier, call: Call) -> Option<Answer> {
        let producer = copier.producer;
        match call {
            Call::Send { output, batch, .. } => {
                let partition = self.outputs[output];
                if producer.version == TransactionVersion::V1 {
                    let added = self.engine.add_partitions_to_txn(producer.clone(), vec![partition]).await.ok()?;
                    if added.is_err() {
                        return Some(Answer::Sent { error: 1, base_offset: -1 });
                    }
                }
                let built = plain(&[&batch.value])
                    .producer(producer.producer_id, producer.producer_epoch, batch.sequence)
                    .transactional();
                let append = AppendBatch { transaction: Some(Arc::new(producer)), ..to(partition, &built) };
                let appended = self.engine.append(Acks::All, vec![append]).await.ok()?.remove(0);
                Some(Answer::Sent { error: appended.error.0, base_offset: appended.base_offset })
            }
            Call::Stage { offset } => {
                if producer.version == TransactionVersion::V1 {
                    let added = self.engine.add_offsets_to_txn(producer.clone(), GROUP.to_owned()).await.ok()?;
                    if added.is_err() {
                        return Some(Answer::Staged(false));
                    }
                }
                let committed = CommittedOffset {
                    offset,
                    leader_epoch: LeaderEpoch(-1),
                    metadata: String::new(),
                    commit_timestamp: 0,
                    expire_timestamp: -1,
                };
                let offsets = vec![OffsetToCommit { partition: self.inputs[copier.number], committed }];
                let staged = self.engine.txn_offset_commit(producer, GROUP.to_owned(), offsets).await.ok()?;
                Some(Answer::Staged(staged.is_ok_and(|refused| refused.is_empty())))
            }
            Call::End { result } => Some(Answer::Ended(self.engine.end_txn(producer, result).await.ok()?)),
        }
    }
}
