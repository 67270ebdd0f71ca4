//! `einmal produce`: lines of stdin become records.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader};

use clap::Args;

use super::output::{Cell, Listing};
use super::partitioner::partition_of;
use super::target::Target;
use super::{CliError, append, now};
use crate::client::{ClientError, Cluster, NodeId};
use crate::record::advance_sequence;
use crate::record::build::BatchBuilder;
use crate::types::{Offset, PartitionIndex, ProducerEpoch, ProducerId};

/// Text under the help.
pub const EXAMPLES: &str = "\
Examples:
  printf 'hello\\nworld\\n' | einmal produce greetings
  echo 'alice=12' | einmal produce balances -k =          key alice, value 12; a line without = has no key
  echo 'alice=' | einmal produce balances -k = --tombstones    deletes alice where the topic is compacted";

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
    if !sender.written.is_empty() || sent.is_ok() {
        listing.print(options.target.output)?;
    }
    sent
}

/// An idempotent producer.
struct Sender<'a> {
    cluster: &'a mut Cluster,
    options: &'a Options,
    /// By partition.
    leaders: BTreeMap<PartitionIndex, NodeId>,
    producer: (ProducerId, ProducerEpoch),
    sequences: BTreeMap<PartitionIndex, i32>,
    /// Where the next lines without a key go.
    turn: PartitionIndex,
    written: BTreeMap<PartitionIndex, Written>,
}

impl<'a> Sender<'a> {
    fn new(cluster: &'a mut Cluster, options: &'a Options) -> Result<Self, CliError> {
        let partitions = cluster.partitions(std::slice::from_ref(&options.topic))?;
        let leaders: BTreeMap<_, _> =
            partitions.iter().filter_map(|partition| Some((partition.partition, partition.leader?))).collect();
        let missing = options.partition.filter(|partition| !leaders.contains_key(partition));
        if let Some(partition) = missing.or((leaders.len() < partitions.len() || leaders.is_empty()).then_some(0)) {
            let what = format!("partition {partition} of {} is not there, or nobody leads it", options.topic);
            return Err(CliError::NotFound(what));
        }
        let producer = append::init_producer_id(cluster, None, options.target.timeout())?;
        let (sequences, written) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { cluster, options, leaders, producer, sequences, turn: 0, written })
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
            let sequence = self.sequences.entry(partition).or_default();
            let (id, epoch) = self.producer;
            let batch = batch.producer(id, epoch, *sequence).build().freeze();
            *sequence = advance_sequence(*sequence, records);
            let leader = self.leaders.get(&partition).copied().ok_or(ClientError::NoBroker(-1))?;
            let place = (self.options.topic.as_str(), partition);
            let patience = self.options.target.timeout();
            let appended = append::append(self.cluster, leader, place, &batch, None, patience)?;
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
