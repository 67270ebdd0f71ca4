//! The rules of transactions: all of one or nothing of it, seen by nobody before its end, and with it the offsets of what it was
//! made from.
//!
//! Transactional producers write to one topic, the output; what they consume lies in another, the input, which the plain drain holds.
//! A value is the same in both, and the fill of its payload in the output is the name of the transaction that wrote it there.
//!
//! Normal in Kafka's model, and no anomaly here: transactions that lie between each other in the log, in other orders in other
//! partitions.

mod cycle;
mod log;
mod offsets;
mod readers;

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::event::{Event, Value, parse_payload, transaction_of};

/// How long a transaction that nobody ends may hold readers back, ns: twice the 10 s after which the broker aborts it, and the time
/// that a restart takes.
pub const HANGING_NS_MAX: u64 = 30_000_000_000;

/// Partition and offset.
pub type Place = (i32, i64);

/// Something that exactly-once transactions never show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransactionAnomaly {
    /// G1a: a reader of committed records was given a value of a transaction that did not commit.
    AbortedRead { reader: String, txn: String, place: Place },
    /// A transaction was given its own value before its end.
    PreCommittedRead { txn: String, place: Place },
    /// A reader of committed records was given a value before the end of its transaction was asked for.
    DirtyRead { reader: String, txn: String, place: Place },
    /// Committed, and not among the committed records, though later ones are.
    LostWrite { value: Value, partition: i32 },
    /// Committed, and not at the end of what the committed records show.
    Unseen { value: Value, partition: i32 },
    /// A value is there twice.
    Duplicate { value: Value, places: Vec<Place> },
    /// A value of which the client does not know whether it was written took effect twice.
    DoubleEffect { value: Value, places: Vec<Place> },
    /// A value lies elsewhere than was acknowledged.
    WrongOffset { value: Value, acknowledged: Place, found: Place },
    /// Two payloads at one place.
    TwoValuesAtOneOffset { place: Place, seen: String, found: String },
    /// A payload that nobody wrote.
    Corrupt { place: Place, payload: String },
    /// A well-formed value that no transaction sent.
    NeverSent { value: Value, place: Place },
    /// Of one transaction, some values are committed and others are not.
    Torn { txn: String, committed: usize, of: usize },
    /// A reader of committed records went past the end of a transaction with some of its values only.
    IntermediateRead { reader: String, txn: String, missed: Place },
    /// Within one poll, or from one poll to the next, offsets do not rise.
    NonMonotonicPoll { reader: String, internal: bool, place: Place, after: i64 },
    /// Within one poll, or from one poll to the next, a readable value is left out.
    PollSkip { reader: String, internal: bool, missed: Place },
    /// A producer's values lie in another order than they were sent.
    NonMonotonicSend { value: Value, place: Place, after: u64 },
    /// An input and its output disagree: below the committed offset without an output, or above it with one.
    ConsumeTransformProduce { input: Place, committed: i64, is_copied: bool },
    /// Who asked for committed offsets was told less than was committed before.
    StaleOffset { partition: i32, offset: i64, committed: i64 },
    /// The committed offset fell.
    OffsetBackwards { partition: i32, offset: i64, after: i64 },
    /// The committed offset is one that no transaction asked to commit.
    OffsetOfNoCommit { partition: i32, offset: i64 },
    /// Offset 0 where another was certain.
    SpuriousZero { partition: i32, certain: i64 },
    /// A fenced producer's transaction is committed though its commit was asked for after the fence.
    ZombieWrite { txn: String, place: Place },
    /// Log start, last stable offset or high watermark fell, or they are out of order.
    WatermarkRegression { reader: String, partition: i32, what: &'static str },
    /// More offsets are missing than transactions ended there.
    Gap { partition: i32, missing: usize, ends: usize },
    /// Acknowledged or read before, and gone.
    DurabilityLoss { place: Place },
    /// The last stable offset was held back for longer than a transaction may be open.
    Hanging { partition: i32, stable: i64, ns: u64 },
    /// G1c: transactions saw values of each other, or one saw what began after its end.
    Cycle { txns: Vec<String> },
}

/// What the history holds.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct TransactionCounts {
    pub begun: usize,
    pub committed: usize,
    pub aborted: usize,
    /// Ended by nobody who could tell: its producer was killed, or had no answer.
    pub unknown: usize,
    pub unknown_committed: usize,
    pub values: usize,
    pub polled: usize,
    pub looks: usize,
}

/// One transaction as its producer saw it.
#[derive(Debug, Default)]
struct Transaction<'a> {
    id: &'a str,
    instance: u64,
    began: u64,
    /// By value: partition, and the offset once acknowledged.
    sent: BTreeMap<Value, (i32, Option<i64>)>,
    consumed: Vec<(Place, &'a str)>,
    /// By partition of the input.
    staged: HashMap<i32, i64>,
    /// When a commit was asked for.
    committing: Option<u64>,
    ending: Option<u64>,
    /// The answer, and when it came.
    ended: Option<(bool, u64)>,
}

impl Transaction<'_> {
    fn is_committed(&self) -> bool {
        matches!(self.ended, Some((true, _)))
    }
    /// Whether it may be committed as far as its producer knows.
    fn may_be_committed(&self) -> bool {
        self.committing.is_some() && !matches!(self.ended, Some((false, _)))
    }
}

/// The output by place, and by value where it lies.
#[derive(Default)]
struct Drained<'a> {
    log: BTreeMap<Place, &'a str>,
    places: HashMap<Value, Vec<Place>>,
}

impl<'a> Drained<'a> {
    fn insert(&mut self, place: Place, payload: &'a str) {
        self.log.insert(place, payload);
        if let Some(value) = parse_payload(payload) {
            self.places.entry(value).or_default().push(place);
        }
    }
}

#[derive(Default)]
struct Run<'a> {
    txns: BTreeMap<&'a str, Transaction<'a>>,
    /// By transactional id: instance, and when it had come to be.
    instances: HashMap<&'a str, Vec<(u64, u64)>>,
    all: Drained<'a>,
    committed: Drained<'a>,
    input: BTreeMap<Place, &'a str>,
}

/// Checks the histories of transactional producers, readers, observers and drains, each in its own order.
pub fn check_transactions(histories: &[Vec<Event>]) -> (TransactionCounts, Vec<TransactionAnomaly>) {
    let run = Run::of(histories);
    let mut anomalies = Vec::new();
    if run.txns.is_empty() {
        return (TransactionCounts::default(), anomalies);
    }
    log::judge(&run, &mut anomalies);
    for history in histories {
        readers::judge(&run, history, &mut anomalies);
        offsets::judge_looks(&run, history, &mut anomalies);
    }
    offsets::judge_copies(&run, histories, &mut anomalies);
    cycle::judge(&run, &mut anomalies);
    (run.count(histories), anomalies)
}

impl<'a> Run<'a> {
    fn of(histories: &'a [Vec<Event>]) -> Self {
        let mut run = Self::default();
        for event in histories.iter().flatten() {
            run.note(event);
        }
        run
    }

    fn txn(&mut self, txn: &'a str) -> &mut Transaction<'a> {
        self.txns.entry(txn).or_default()
    }

    fn note(&mut self, event: &'a Event) {
        match event {
            Event::Initialized { id, instance, at } => self.instances.entry(id).or_default().push((*instance, *at)),
            Event::Begin { id, instance, txn, at } => {
                let begun = self.txn(txn);
                (begun.id, begun.instance, begun.began) = (id, *instance, *at);
            }
            Event::Send { txn, producer, seq, partition } => {
                self.txn(txn).sent.insert((producer.clone(), *seq), (*partition, None));
            }
            Event::Sent { txn, producer, seq, partition, offset } => {
                self.txn(txn).sent.insert((producer.clone(), *seq), (*partition, Some(*offset)));
            }
            Event::Consumed { txn, partition, offset, payload } => {
                self.txn(txn).consumed.push(((*partition, *offset), payload));
            }
            Event::Staged { txn, partition, offset } => {
                self.txn(txn).staged.insert(*partition, *offset);
            }
            Event::Ending { txn, commit, at } => {
                let txn = self.txn(txn);
                txn.ending.get_or_insert(*at);
                if *commit {
                    txn.committing.get_or_insert(*at);
                }
            }
            Event::Ended { txn, commit, at } => self.txn(txn).ended = Some((*commit, *at)),
            Event::Final { committed, partition, offset, payload } => {
                let drained = if *committed { &mut self.committed } else { &mut self.all };
                drained.insert((*partition, *offset), payload);
            }
            Event::Drain { partition, offset, payload } => {
                self.input.insert((*partition, *offset), payload);
            }
            _ => {}
        }
    }

    /// The transaction that wrote `payload`, by its name.
    fn writer_of(&self, payload: &'a str) -> Option<(&'a str, &Transaction<'a>)> {
        let name = transaction_of(payload)?;
        self.txns.get(name).map(|txn| (name, txn))
    }

    /// Transactions of which a value is among the committed records.
    fn visible(&self) -> HashSet<&'a str> {
        self.committed.log.values().filter_map(|payload| transaction_of(payload)).collect()
    }

    fn count(&self, histories: &[Vec<Event>]) -> TransactionCounts {
        let visible = self.visible();
        let ended =
            |how: Option<bool>| self.txns.values().filter(|txn| txn.ended.map(|(commit, _)| commit) == how).count();
        let unknown_committed = self.txns.iter().filter(|(name, txn)| txn.ended.is_none() && visible.contains(*name));
        let events = || histories.iter().flatten();
        TransactionCounts {
            begun: self.txns.len(),
            committed: ended(Some(true)),
            aborted: ended(Some(false)),
            unknown: ended(None),
            unknown_committed: unknown_committed.count(),
            values: self.committed.log.len(),
            polled: events().filter(|event| matches!(event, Event::Polled { .. })).count(),
            looks: events().filter(|event| matches!(event, Event::Offset { .. })).count(),
        }
    }
}

#[cfg(test)]
mod tests;
