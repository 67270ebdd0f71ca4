//! A model that remembers every id for ever, and judges every answer: over restarts, power cuts, jumps of the clock, transactions.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::harness::*;
use super::message_ids::{anonymous, records_of};
use super::senders::sender as principal;
use crate::config::DedupConfig;
use crate::engine::command::{Acks, Appended};
use crate::engine::mutant::Mutant;
use crate::engine::settings::Settings;
use crate::record::build::BatchBuilder;
use crate::record::codec::Codec;
use crate::transaction::TransactionVersion;
use crate::types::{ErrorCode, Offset, PartitionId, ProducerEpoch, ProducerId, TransactionResult};
use crate::verify::tests::damage_of;

const WINDOW_MS: i64 = 100_000;

/// What a topic does in addition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extra {
    Nothing,
    /// `message.dedup.window.refresh`.
    Refresh,
    /// `message.dedup.time.source=create`.
    CreateTime,
}

/// The id of a record, and its time in thirds of a window.
type Id = (u8, i64);

/// Who sends a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    Plain,
    Idempotent,
    Transactional(i64),
}

#[derive(Debug, Clone)]
enum Step {
    Send {
        partition: usize,
        ids: Vec<Id>,
        sender: Sender,
        codec: Codec,
        waits: bool,
        ids_are_read: bool,
        /// By a principal that is not checked.
        is_mirror: bool,
        /// Ids leave memory between the look at slices and the append.
        seals_between: bool,
    },
    /// The newest batch of the partition's idempotent producer once more.
    Retry {
        partition: usize,
    },
    End {
        producer: i64,
        commits: bool,
    },
    Advance {
        ms: i64,
    },
    Jump {
        ms: i64,
    },
    HoldSyncs,
    OpenSyncs,
    Restart,
    /// Ids leave memory, if there are enough.
    Seal,
    /// The same, and after so many steps of it a kill, or a power cut that leaves so many of the unsynced writes.
    KillSealing {
        steps: usize,
        keep: Option<usize>,
    },
    /// A power cut that leaves so many of the unsynced writes.
    PowerCut {
        keep: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let sender =
        prop_oneof![Just(Sender::Plain), Just(Sender::Idempotent), (0..2_i64).prop_map(Sender::Transactional),];
    let codec = prop_oneof![3 => Just(Codec::None), 1 => Just(Codec::Zstd)];
    let send = (
        0..2_usize,
        prop::collection::vec((0..16_u8, 0..6_i64), 1..6),
        sender,
        codec,
        any::<bool>(),
        any::<bool>(),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.15),
    );
    prop_oneof![
        16 => send.prop_map(|(partition, ids, sender, codec, waits, ids_are_read, seals_between, is_mirror)| {
            Step::Send { partition, ids, sender, codec, waits, ids_are_read, is_mirror, seals_between }
        }),
        2 => (0..2_usize).prop_map(|partition| Step::Retry { partition }),
        4 => (0..2_i64, any::<bool>()).prop_map(|(producer, commits)| Step::End { producer, commits }),
        3 => prop_oneof![Just(1), Just(WINDOW_MS / 3), Just(WINDOW_MS)].prop_map(|ms| Step::Advance { ms }),
        1 => prop_oneof![Just(10 * WINDOW_MS), Just(-10 * WINDOW_MS), Just(5_000)].prop_map(|ms| Step::Jump { ms }),
        1 => Just(Step::HoldSyncs),
        2 => Just(Step::OpenSyncs),
        1 => Just(Step::Restart),
        2 => Just(Step::Seal),
        1 => (0..14_usize, prop::option::of(0..5_usize)).prop_map(|(steps, keep)| Step::KillSealing { steps, keep }),
        1 => (0..5_usize).prop_map(|keep| Step::PowerCut { keep }),
    ]
}

/// A record that is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Record {
    offset: Offset,
    id: u8,
    /// Its own time.
    own: i64,
    /// When it was appended, by the time that passed while a broker ran.
    time: i64,
    /// When it was appended or sent again last, as far as that is known to be on disk.
    seen: i64,
    /// Whose transaction it is in, if that is open.
    owner: Option<i64>,
    is_aborted: bool,
}

/// How a batch is sent.
#[derive(Debug, Clone, Copy)]
struct Form {
    codec: Codec,
    /// Its ids are read before the engine has it.
    ids_are_read: bool,
    is_mirror: bool,
    seals_between: bool,
}

/// The newest batch of an idempotent producer, and what it was answered.
#[derive(Debug, Clone)]
struct Newest {
    ids: Vec<Id>,
    sequence: i32,
    answer: Offset,
}

struct Model {
    extra: Extra,
    broker: TestEngine,
    logs: [Vec<Record>; 2],
    passed_ms: i64,
    held: bool,
    /// Producers begin anew after a power cut.
    generation: i64,
    sequences: HashMap<(usize, i64), i32>,
    newest: [Option<Newest>; 2],
}

/// Records with these ids and times, whose values are their ids.
fn batch_of(ids: &[Id]) -> BatchBuilder {
    ids.iter().fold(BatchBuilder::new(), |batch, (id, time)| {
        let id = id.to_string();
        let header = [(&b"message-id"[..], Some(id.as_bytes()))];
        batch.record_with_headers(START_TIME + time * WINDOW_MS / 3, None, Some(id.as_bytes()), &header)
    })
}

impl Model {
    async fn new(extra: Extra, tail_cache_bytes: usize, dedup_open_ids_max: usize, mutant: Option<Mutant>) -> Self {
        let broker = TestEngine::start_with(Settings { tail_cache_bytes, dedup_open_ids_max, mutant, ..settings() });
        let window = WINDOW_MS.to_string();
        let overrides = [
            ("message.dedup.mode", "window"),
            ("message.dedup.window.ms", window.as_str()),
            ("message.dedup.bypass.principals", "User:mirror"),
            ("message.dedup.window.refresh", if extra == Extra::Refresh { "true" } else { "false" }),
            ("message.dedup.time.source", if extra == Extra::CreateTime { "create" } else { "append" }),
            ("message.timestamp.after.max.ms", "9223372036854775807"),
        ];
        let created = broker.engine().create_topics(vec![new_topic("t", 2, &overrides)], false).await;
        created.expect("engine runs").remove(0).expect("created");
        Self {
            extra,
            broker,
            logs: [Vec::new(), Vec::new()],
            passed_ms: 0,
            held: false,
            generation: 0,
            sequences: HashMap::new(),
            newest: [None, None],
        }
    }

    fn partition(&self, index: usize) -> PartitionId {
        self.broker.started.catalog.topic("t").expect("exists").partitions[index].id
    }

    fn log_end(&self, index: usize) -> Offset {
        self.broker.started.catalog.topic("t").expect("exists").partitions[index].offsets().log_end
    }

    /// The newest record of this message that was not aborted, and its partition.
    fn known(&self, (id, own): Id) -> Option<(usize, Record)> {
        let is_near = |record: &Record| self.extra != Extra::CreateTime || (record.own - own).abs() < 3;
        let records =
            self.logs.iter().enumerate().flat_map(|(index, log)| log.iter().map(move |record| (index, *record)));
        let same = records.filter(|(_, record)| record.id == id && !record.is_aborted && is_near(record));
        // Of one time and one id there are several only in a mirror's batch, of which the first counts.
        // Of records whose times count, one that is over hides no other but those of its own time.
        let is_hidden = |record: &Record| {
            let mut others = self.logs.iter().flatten().filter(|other| other.id == id && !other.is_aborted);
            others.any(|other| other.own == record.own && other.time > record.time)
        };
        let counts = |record: &Record| {
            let is_known = record.owner.is_some() || self.passed_ms - record.seen < WINDOW_MS;
            self.extra != Extra::CreateTime || (is_known && !is_hidden(record))
        };
        same.max_by_key(|(_, record)| (counts(record), record.time, Reverse(record.offset)))
    }

    fn producer(&self, sender: Sender) -> Option<i64> {
        match sender {
            Sender::Plain => None,
            Sender::Idempotent => Some(self.generation * 10 + 5),
            Sender::Transactional(producer) => Some(self.generation * 10 + producer),
        }
    }

    async fn append(
        &mut self,
        index: usize,
        ids: &[Id],
        sender: Sender,
        sequence: i32,
        form: Form,
        acks: Acks,
    ) -> Appended {
        let mut batch = batch_of(ids).codec(form.codec);
        if let Some(producer) = self.producer(sender) {
            batch = batch.producer(ProducerId(producer), ProducerEpoch(0), sequence);
        }
        if matches!(sender, Sender::Transactional(_)) {
            batch = batch.transactional();
        }
        let id = self.partition(index);
        let by = if form.is_mirror { principal("User:mirror") } else { anonymous() };
        let mut batch = self.broker.looked_up_of(&by, id, &batch);
        if let Some(ids) = batch.ids.as_mut().filter(|_| !form.ids_are_read) {
            // Under settings that are others by now.
            ids.config = Arc::new(DedupConfig { needs_id: true, ..(*ids.config).clone() });
            ids.ids.clear();
        }
        if form.seals_between {
            self.seal().await;
        }
        self.broker.engine().append(acks, vec![batch]).await.expect("answered").remove(0)
    }

    async fn send(&mut self, index: usize, ids: &[Id], sender: Sender, form: Form, waits: bool) {
        let owner = match sender {
            Sender::Transactional(producer) => Some(producer),
            _ => None,
        };
        let key = (index, self.producer(sender).unwrap_or(-1));
        let sequence = self.sequences.get(&key).copied().unwrap_or(0);
        let before = self.log_end(index);
        let acks = if waits && !self.held { Acks::All } else { Acks::Leader };
        let answer = self.append(index, ids, sender, sequence, form, acks).await;
        let after = self.log_end(index);
        let of_another = |(_, record): &(usize, Record)| record.owner.is_some() && record.owner != owner;
        if !form.is_mirror && ids.iter().filter_map(|id| self.known(*id)).any(|known| of_another(&known)) {
            assert_eq!((answer.error, after), (ErrorCode::NOT_ENOUGH_REPLICAS, before), "{ids:?}");
            return;
        }
        assert_eq!(answer.error, ErrorCode::NONE, "{answer:?}");
        if sender != Sender::Plain {
            self.sequences.insert(key, sequence + ids.len() as i32);
        }
        if sender == Sender::Idempotent {
            self.newest[index] = Some(Newest { ids: ids.to_vec(), sequence, answer: answer.base_offset });
        }
        let found = if after > before { self.log(index).await.split_off(&before) } else { BTreeMap::new() };
        let mut in_batch = HashSet::new();
        let (mut new, mut repeated) = (Vec::new(), Vec::new());
        for (id, delta) in ids.iter().zip(0..) {
            let known = self.known(*id);
            let is_remembered =
                known.is_some_and(|(_, record)| record.owner.is_some() || self.passed_ms - record.seen < WINDOW_MS);
            let is_stored = found.get(&(before + delta)) == Some(&id.0);
            let is_first = in_batch.insert(id.0);
            assert!(is_stored || !form.is_mirror, "{id:?} of {ids:?} is lost, which was not to be checked");
            assert!(
                !is_stored || form.is_mirror || (is_first && !is_remembered),
                "{id:?} of {ids:?} is stored twice: {known:?}"
            );
            assert!(is_stored || !is_first || known.is_some(), "{id:?} of {ids:?} is lost");
            if is_stored {
                let (id, own) = *id;
                let (offset, time) = (before + delta, self.passed_ms);
                new.push(Record { offset, id, own, time, seen: time, owner, is_aborted: false });
            } else if let Some((partition, known)) = known
                && self.extra == Extra::Refresh
                && is_first
                && known.owner.is_none()
            {
                repeated.push((partition, known.offset));
            }
        }
        assert_eq!(found.len(), new.len(), "nothing else is stored");
        for (partition, offset) in repeated {
            let record = self.logs[partition].iter_mut().find(|record| record.offset == offset);
            record.expect("is known").seen = self.passed_ms;
        }
        if new.is_empty() {
            assert_eq!(after, before, "{ids:?}");
            let (partition, original) = self.known(ids[0]).expect("known");
            let expected = if partition == index { original.offset } else { -1 };
            assert_eq!(answer.base_offset, expected, "{ids:?} of {original:?} at {}: {:?}", self.passed_ms, self.logs);
        } else {
            assert_eq!((answer.base_offset, after), (before, before + ids.len() as Offset), "{ids:?}");
            self.logs[index].extend(new);
        }
    }

    async fn retry(&mut self, index: usize) {
        let Some(Newest { ids, sequence, answer }) = self.newest[index].clone() else { return };
        let before = self.log_end(index);
        let acks = if self.held { Acks::Leader } else { Acks::All };
        let form = Form { codec: Codec::None, ids_are_read: true, is_mirror: false, seals_between: false };
        let again = self.append(index, &ids, Sender::Idempotent, sequence, form, acks).await;
        assert_eq!((again.error, again.base_offset, self.log_end(index)), (ErrorCode::NONE, answer, before));
    }

    async fn end(&mut self, producer: i64, commits: bool) {
        self.open_syncs();
        let result = if commits { TransactionResult::Commit } else { TransactionResult::Abort };
        let id = self.generation * 10 + producer;
        let marker = marker(id, 0, result, TransactionVersion::V1);
        let partitions = vec![self.partition(0), self.partition(1)];
        let refused = self.broker.engine().write_markers(marker, partitions).await.expect("engine runs");
        assert!(refused.is_empty(), "{refused:?}");
        for record in self.logs.iter_mut().flatten().filter(|record| record.owner == Some(producer)) {
            record.owner = None;
            record.is_aborted = !commits;
        }
        // After an abort a sequence may not be used again, and goes on.
    }

    /// What the store has of a partition, by offset: whether it is synced or not.
    async fn log(&self, index: usize) -> BTreeMap<Offset, u8> {
        use crate::store::Store;
        let end = self.log_end(index);
        let batches = self.broker.store.read_log(self.partition(index), 0, end, usize::MAX).expect("readable");
        let records = batches.iter().flat_map(|batch| records_of(&batch.bytes));
        records.map(|(offset, id)| (offset, id.parse().expect("a number"))).collect()
    }

    fn open_syncs(&mut self) {
        self.held = false;
        self.broker.store.syncs.open();
    }

    async fn run(mut self, step: Step) -> Self {
        match step {
            Step::Send { partition, ids, sender, codec, waits, ids_are_read, is_mirror, seals_between } => {
                // Of one time there is one append, so that the model can tell the newest.
                self.advance(1);
                let mut ids = ids;
                if self.extra == Extra::CreateTime {
                    // Which of several in one batch are the same message depends on what is forgotten: another test's matter.
                    let mut seen = HashSet::new();
                    ids.retain(|(id, _)| seen.insert(*id));
                }
                let form = Form { codec, ids_are_read, is_mirror, seals_between };
                self.send(partition, &ids, sender, form, waits).await;
            }
            Step::Retry { partition } => self.retry(partition).await,
            Step::End { producer, commits } => self.end(producer, commits).await,
            Step::Advance { ms } => self.advance(ms),
            Step::Jump { ms } => {
                self.broker.time.jump(ms);
                // A jump is one where somebody looks.
                self.broker.written().await;
            }
            Step::HoldSyncs => {
                self.held = true;
                self.broker.store.syncs.hold();
            }
            Step::OpenSyncs => self.open_syncs(),
            Step::Restart => {
                self.open_syncs();
                self.broker = self.broker.restart().await;
            }
            Step::Seal => self.seal().await,
            Step::KillSealing { steps, keep } => {
                self.broker.store.memory.slices.fail_after(steps);
                self.seal().await;
                self = self.power_cut(keep.unwrap_or(usize::MAX)).await;
            }
            Step::PowerCut { keep } => self = self.power_cut(keep).await,
        }
        self.check_logs().await;
        self
    }

    /// Looks for ids that are to leave memory, and lets them.
    async fn seal(&mut self) {
        for _ in 0..3 {
            self.advance(1000);
            self.broker.idle_round();
            if !self.held {
                self.broker.synced().await;
            }
            self.broker.sealer_rests().await;
        }
    }

    fn advance(&mut self, ms: i64) {
        self.broker.time.advance(ms);
        self.passed_ms += ms;
    }

    async fn power_cut(mut self, keep: usize) -> Self {
        self.broker = self.broker.crash(keep);
        self.held = false;
        for index in 0..2 {
            let end = self.log_end(index);
            self.logs[index].retain(|record| record.offset < end);
            // That it was sent again may be lost.
            self.logs[index].iter_mut().for_each(|record| record.seen = record.time);
        }
        for producer in 0..2 {
            self.end(producer, false).await;
        }
        self.generation += 1;
        self.sequences.clear();
        self.newest = [None, None];
        self
    }

    async fn check_logs(&self) {
        for (index, log) in self.logs.iter().enumerate() {
            let expected: BTreeMap<_, _> = log.iter().map(|record| (record.offset, record.id)).collect();
            assert_eq!(self.log(index).await, expected, "partition {index}");
        }
    }
}

/// What a topic does in addition, `tail_cache_bytes`, `dedup_open_ids_max`, and what happens.
type Run = (Extra, usize, usize, Vec<Step>);

fn a_run() -> impl Strategy<Value = Run> {
    (
        prop_oneof![Just(Extra::Nothing), Just(Extra::Refresh), Just(Extra::CreateTime)],
        prop_oneof![Just(0_usize), Just(1 << 20)],
        prop_oneof![1 => Just(usize::MAX), 3 => Just(16_usize)],
        prop::collection::vec(step(), 1..60),
    )
}

/// Panics where an answer is not what it should be.
fn run((extra, tail_cache_bytes, open_ids_max, steps): Run, mutant: Option<Mutant>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let mut model = Model::new(extra, tail_cache_bytes, open_ids_max, mutant).await;
        for step in steps {
            model = model.run(step).await;
        }
        model.open_syncs();
        // A stop in order, and what it leaves.
        let broker = model.broker.restart().await;
        assert_eq!(damage_of(&broker.store.memory), []);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 384, ..ProptestConfig::default() })]
    #[test]
    fn message_is_stored_exactly_if_no_record_with_its_id_is_remembered(all in a_run()) {
        run(all, None);
    }
}

#[test]
fn each_mutant_of_message_ids_is_noticed_by_what_it_does() {
    for (mutant, said) in [(Mutant::KeepIdsOfAbort, "is lost"), (Mutant::ForgetIdsAtStart, "is stored twice")] {
        let mut runner = TestRunner::deterministic();
        let noticed = (0..200).find(|_| {
            let all = a_run().new_tree(&mut runner).expect("a run").current();
            let ended = std::panic::catch_unwind(|| run(all, Some(mutant)));
            let panic = ended.err().and_then(|panic| panic.downcast::<String>().ok());
            panic.is_some_and(|panic| panic.contains(said))
        });
        println!("{mutant:?}: run {noticed:?}");
        assert!(noticed.is_some(), "{mutant:?}");
    }
}
