//! Transactional copiers on the memory store, from a seed: they take values from inputs to outputs in transactions of both versions,
//! are replaced under the same transactional id while they still act, and the power goes at any moment. What they, readers and an
//! observer were told becomes a history for the checker of `compat-tests/history`.

mod copier;

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
