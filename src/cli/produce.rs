//! `einmal produce`: lines of stdin become records.
//!
//! With a transactional id all of them are one transaction: it ends with stdin, and is aborted where anything fails. If the command
//! itself is killed, the coordinator aborts after a minute, and the next producer of the id at once.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, IsTerminal};

use clap::Args;

use super::output::{Cell, Listing};
use super::target::Target;
use super::transaction::TransactionalProducer;
use super::{CliError, append, now, place};
use crate::client::{ClientError, Cluster, NodeId};
use crate::record::advance_sequence;
use crate::record::build::BatchBuilder;
use crate::record::partitioner::partition_of;
use crate::types::{ErrorCode, Offset, PartitionIndex, ProducerEpoch, ProducerId};

/// Text under the help.
pub const EXAMPLES: &str = "\
Examples:
  printf 'hello\\nworld\\n' | einmal produce greetings
  echo 'alice=12' | einmal produce balances -k =
      key alice, value 12; a line without = has no key
  echo 'alice=' | einmal produce balances -k = --tombstones
      deletes alice where the topic is compacted
  einmal produce orders --transactional-id shop <orders.txt
      all lines or none, for readers of committed records";

/// A batch is sent when it holds this many records, or bytes, or when no further line is there yet.
const BATCH_RECORDS_MAX: usize = 10_000;
const BATCH_BYTES_MAX: usize = 256 << 10;
/// How much of stdin is read at once.
const STDIN_BYTES: usize = 256 << 10;

/// Where to, and how lines are read.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The topic
    #[arg(value_name = "TOPIC")]
    topic: String,
    /// What stands between key and value of a line
    #[arg(short, long, value_name = "SEPARATOR")]
    key_separator: Option<String>,
    /// An empty value is null: a tombstone
    #[arg(long, requires = "key_separator")]
    tombstones: bool,
    /// The partition; else that of the key, as Kafka's producers choose it, or one after the other
    #[arg(short, long, value_name = "INDEX")]
    partition: Option<PartitionIndex>,
    /// All lines in one transaction of this id: committed at the end of stdin, aborted where something fails
    #[arg(long, visible_alias = "txn", value_name = "ID")]
    transactional_id: Option<String>,
    /// Abort the transaction at the end of stdin, to see what readers make of that
    #[arg(long, requires = "transactional_id")]
    abort: bool,
    #[command(flatten)]
    target: Target,
}

/// What came to lie in a partition.
struct Written {
    records: i64,
    first_offset: Offset,
    last_offset: Offset,
}

/// Sends all lines, waits for each batch to be acknowledged by all replicas, and shows where they lie.
///
/// # Errors
/// [`CliError`]; what was acknowledged before stays written.
pub fn run(options: &Options) -> Result<(), CliError> {
    let mut cluster = options.target.connect()?;
    let mut sender = Sender::new(&mut cluster, options)?;
    if io::stdin().is_terminal() {
        eprintln!("einmal: each line is a record of {}; Ctrl-D ends it", options.topic);
    }
    let mut stdin = BufReader::with_capacity(STDIN_BYTES, io::stdin().lock());
    let mut lines = Vec::new();
    // Of these lines.
    let mut bytes = 0;
    let sent = loop {
        let mut line = Vec::new();
        match stdin.read_until(b'\n', &mut line) {
            Err(error) => break Err(CliError::Unfit(format!("stdin cannot be read: {error}"))),
            Ok(0) => break sender.send(&mut lines),
            Ok(_) => {
                if line.last() == Some(&b'\n') {
                    line.pop();
                }
                bytes += line.len();
                lines.push(line);
            }
        }
        // Whoever types sees each line written at once.
        let is_last_for_now = !stdin.buffer().contains(&b'\n');
        if is_last_for_now || lines.len() >= BATCH_RECORDS_MAX || bytes >= BATCH_BYTES_MAX {
            bytes = 0;
            if let Err(error) = sender.send(&mut lines) {
                break Err(error);
            }
        }
    };
    let sent = sender.end(sent);
    let mut listing = Listing::new(&["topic", "partition", "records", "first_offset", "last_offset"]);
    for (partition, written) in &sender.written {
        listing.row(vec![
            options.topic.as_str().into(),
            Cell::Number((*partition).into()),
            Cell::Number(written.records),
            Cell::Number(written.first_offset),
            Cell::Number(written.last_offset),
        ]);
    }
    listing.print_before(sent.err(), options.target.output)
}

/// The refusal of a batch, and which setting bounds its size where that was too much: the broker's answer names none.
fn too_large(
    error: ClientError,
    (topic, partition): (&str, PartitionIndex),
    batch_bytes: usize,
    records: i32,
) -> CliError {
    let lines = if records == 1 { "line" } else { "lines" };
    match error {
        ClientError::Refused { error: ErrorCode::MESSAGE_TOO_LARGE, .. } => CliError::Unfit(format!(
            "{error}; a batch of {batch_bytes} bytes ({records} {lines}) for {topic}-{partition} is more than max.message.bytes of \
             the topic: raise it (einmal topic alter {topic} --set max.message.bytes=BYTES)"
        )),
        error => error.into(),
    }
}

/// An idempotent producer, or a transactional one.
struct Sender<'a> {
    cluster: &'a mut Cluster,
    options: &'a Options,
    /// By partition.
    leaders: BTreeMap<PartitionIndex, NodeId>,
    producer: (ProducerId, ProducerEpoch),
    transaction: Option<TransactionalProducer>,
    sequences: BTreeMap<PartitionIndex, i32>,
    /// Where the next lines without a key go.
    turn: PartitionIndex,
    written: BTreeMap<PartitionIndex, Written>,
}

impl<'a> Sender<'a> {
    fn new(cluster: &'a mut Cluster, options: &'a Options) -> Result<Self, CliError> {
        let partitions = cluster.partitions(std::slice::from_ref(&options.topic));
        let partitions = partitions.map_err(|error| place::or_create(cluster, error.into()))?;
        let leaders: BTreeMap<_, _> =
            partitions.iter().filter_map(|partition| Some((partition.partition, partition.leader?))).collect();
        let missing = options.partition.filter(|partition| !leaders.contains_key(partition));
        if let Some(partition) = missing.or((leaders.len() < partitions.len() || leaders.is_empty()).then_some(0)) {
            let what = format!("partition {partition} of {} is not there, or nobody leads it", options.topic);
            return Err(CliError::NotFound(what));
        }
        let patience = options.target.timeout();
        let transaction = match &options.transactional_id {
            Some(id) => Some(TransactionalProducer::init(cluster, id, patience)?),
            None => None,
        };
        let producer = match &transaction {
            Some(transaction) => transaction.producer,
            None => append::init_producer_id(cluster, None, patience)?,
        };
        let (sequences, written) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { cluster, options, leaders, producer, transaction, sequences, turn: 0, written })
    }

    /// Sends `lines`, a batch to each partition, and empties them.
    fn send(&mut self, lines: &mut Vec<Vec<u8>>) -> Result<(), CliError> {
        let count = i32::try_from(self.leaders.len()).unwrap_or(i32::MAX);
        let now = now();
        let mut batches: BTreeMap<PartitionIndex, (BatchBuilder, i32)> = BTreeMap::new();
        for line in lines.drain(..) {
            let (key, value) = self.split(&line);
            let partition = match (self.options.partition, key) {
                (Some(partition), _) => partition,
                (None, Some(key)) => partition_of(key, count),
                (None, None) => self.turn,
            };
            let (batch, records) = batches.remove(&partition).unwrap_or_default();
            batches.insert(partition, (batch.record(now, key, value), records + 1));
        }
        self.turn = (self.turn + 1).checked_rem(count).unwrap_or(0);
        for (partition, (batch, records)) in batches {
            let topic = self.options.topic.as_str();
            if let Some(transaction) = self.transaction.as_ref().filter(|_| !self.sequences.contains_key(&partition)) {
                transaction.add_partition(self.cluster, topic, partition)?;
            }
            let sequence = self.sequences.entry(partition).or_default();
            let (id, epoch) = self.producer;
            let batch = batch.producer(id, epoch, *sequence);
            let batch = if self.transaction.is_some() { batch.transactional() } else { batch };
            let batch = batch.build().freeze();
            *sequence = advance_sequence(*sequence, records);
            let leader = self.leaders.get(&partition).copied().ok_or(ClientError::NoBroker(-1))?;
            let patience = self.options.target.timeout();
            let transactional_id = self.transaction.as_ref().map(TransactionalProducer::transactional_id);
            let appended = append::append(self.cluster, leader, (topic, partition), &batch, transactional_id, patience);
            let appended = appended.map_err(|error| too_large(error, (topic, partition), batch.len(), records))?;
            let last_offset = appended.base_offset + Offset::from(records) - 1;
            let written = self.written.entry(partition).or_insert(Written {
                records: 0,
                first_offset: appended.base_offset,
                last_offset,
            });
            written.records += i64::from(records);
            written.last_offset = last_offset;
        }
        Ok(())
    }

    /// Ends the transaction, if there is one with anything in it: as asked, and by an abort after a failure. Then nothing is written.
    fn end(&mut self, sent: Result<(), CliError>) -> Result<(), CliError> {
        let Some(transaction) = self.transaction.as_ref().filter(|_| !self.sequences.is_empty()) else { return sent };
        let committed = sent.is_ok() && !self.options.abort;
        let ended = transaction.end(self.cluster, committed);
        if !committed || ended.is_err() {
            self.written.clear();
        }
        sent?;
        ended?;
        if !committed {
            eprintln!("einmal: the transaction is aborted, as asked: readers of committed records see nothing of it");
        }
        Ok(())
    }

    /// Key and value of a line.
    fn split<'l>(&self, line: &'l [u8]) -> (Option<&'l [u8]>, Option<&'l [u8]>) {
        let separator = self.options.key_separator.as_deref().unwrap_or_default().as_bytes();
        let at = (!separator.is_empty()).then(|| line.windows(separator.len()).position(|part| part == separator));
        let (key, value) = match at.flatten() {
            Some(at) => (Some(&line[..at]), &line[at + separator.len()..]),
            None => (None, line),
        };
        (key, Some(value).filter(|value| !value.is_empty() || !self.options.tombstones))
    }
}
