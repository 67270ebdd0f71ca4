//! `einmal consume`: records become lines of stdout.
//!
//! With a group it goes on where the group has committed, and commits how far it has come. It is no member: a group that has members
//! refuses its commits, so that it cannot take anything away from them.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::at_end::AtEnd;
use super::output::{self, Format};
use super::place::{self, Found, Place};
use super::read::{Brought, Message, Position, fetch};
use super::target::Target;
use super::{CliError, group, held, now, offsets, shell_word};
use crate::client::{ClientError, Cluster, NodeId, PartitionLeader};
use crate::types::{ErrorCode, IsolationLevel, Offset, PartitionIndex};

/// Text under the help.
pub const EXAMPLES: &str = "\
Examples:
  einmal consume orders --from-beginning --exit-at-end
      what there is
  einmal consume orders
      what comes; Ctrl-C ends it
  einmal consume orders --offset @1700000000000
      what was written since then, ms since 1970
  einmal consume orders -p 3 --offset 4711 -n 1
      one record
  einmal consume orders --group audit -n 100
      the next hundred of the group
  einmal consume orders -o json --isolation read_uncommitted";

/// How long a broker may wait for something to answer with.
const WAIT: Duration = Duration::from_millis(500);

/// How long an open transaction is in the way before that is worth a word, ms: most are over in less.
const HELD_MS: i64 = 2_000;

/// How much of transactions is seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Isolation {
    /// Records of open transactions wait, those of aborted ones are left out
    #[default]
    #[value(name = "read_committed", alias = "committed")]
    Committed,
    /// All that is written
    #[value(name = "read_uncommitted", alias = "uncommitted")]
    Uncommitted,
}

/// What is read, from where to where.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Topics
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Only this partition
    #[arg(short, long, value_name = "INDEX")]
    partition: Option<PartitionIndex>,
    /// Go on where this group has committed, and commit what is printed; the group must have no members
    #[arg(short, long, value_name = "GROUP")]
    group: Option<String>,
    /// Begin with the first records instead of the next ones; with a group, where nothing is committed
    #[arg(long)]
    from_beginning: bool,
    /// Begin there: earliest, latest, an offset, or @ and a time in ms since 1970; with a group, where nothing is committed
    #[arg(long, value_name = "WHERE", conflicts_with = "from_beginning", value_parser = place::parse)]
    offset: Option<Place>,
    /// How much of transactions is seen
    #[arg(long, value_enum, default_value_t)]
    isolation: Isolation,
    /// End after this many records
    #[arg(short = 'n', long, value_name = "COUNT")]
    count: Option<u64>,
    /// End where there is nothing more to read
    #[arg(long)]
    exit_at_end: bool,
    /// Print keys, too, and this between key and value
    #[arg(short, long, value_name = "SEPARATOR")]
    key_separator: Option<String>,
    #[command(flatten)]
    target: Target,
}

/// Prints records until told to end: a line each, with `-o json` an object a line.
///
/// # Errors
/// [`CliError`].
pub fn run(options: &Options) -> Result<(), CliError> {
    let mut cluster = options.target.connect()?;
    let Begun { mut positions, has_records, has_committed } = begin(&mut cluster, options)?;
    let isolation = match options.isolation {
        Isolation::Committed => IsolationLevel::ReadCommitted,
        Isolation::Uncommitted => IsolationLevel::ReadUncommitted,
    };
    let mut left = options.count.unwrap_or(u64::MAX);
    let (mut at_end, mut is_waiting_told) = (AtEnd::default(), false);
    while left > 0 {
        let mut are_all_at_end = true;
        let leaders: Vec<NodeId> = positions.keys().copied().collect();
        for leader in leaders {
            let of_leader = positions.entry(leader).or_default();
            for Brought { topic, partition, messages, next_offset, end, high_watermark } in
                fetch(&mut cluster, leader, of_leader, isolation, WAIT)?
            {
                let printed = usize::try_from(left).map_or(messages.len(), |left| messages.len().min(left));
                if !print(&topic, partition, &messages[..printed], options)? {
                    return Ok(());
                }
                left -= printed as u64;
                let next = if printed < messages.len() { messages[printed].offset } else { next_offset };
                are_all_at_end &= next >= end;
                let read = PartitionLeader { topic: topic.clone(), partition, leader: Some(leader) };
                at_end.note(read, next, (end, high_watermark), now());
                let position = of_leader.iter_mut().find(|asked| asked.topic == topic && asked.partition == partition);
                let mut has_moved = false;
                if let Some(position) = position {
                    has_moved = position.offset < next;
                    position.offset = next;
                }
                // Also behind what is never printed, as records of aborted transactions: it would count as lag for ever.
                if let Some(group) = options.group.as_deref().filter(|_| has_moved) {
                    commit(&mut cluster, options, group, ((topic, partition), next))?;
                }
            }
        }
        if options.exit_at_end && are_all_at_end {
            let held = at_end.held(now(), 0);
            held::tell(&mut cluster, &held, options.target.timeout());
            if held.is_empty() && left == options.count.unwrap_or(u64::MAX) {
                eprintln!("einmal: {}", nothing(options, has_records, has_committed));
            }
            break;
        }
        if are_all_at_end && left > 0 && !is_waiting_told {
            is_waiting_told = true;
            eprintln!(
                "einmal: nothing more to read for now: waiting for new records, Ctrl-C ends it (--exit-at-end does not wait)"
            );
        }
        held::tell(&mut cluster, &at_end.held(now(), HELD_MS), options.target.timeout());
    }
    Ok(())
}

/// Why nothing was printed, and what would be.
fn nothing(options: &Options, has_records: bool, has_committed: bool) -> String {
    let topics = options.topics.join(", ");
    match (has_records, options.group.as_ref().filter(|_| has_committed)) {
        (false, _) => format!("nothing to read: {topics} has no records"),
        (true, Some(group)) => {
            format!("nothing to read: the group {group:?} has read what there is; `einmal group reset` sets it back")
        }
        (true, None) if options.from_beginning => {
            format!("nothing to read: what {topics} has are traces of transactions, or of compaction")
        }
        (true, None) => {
            format!("nothing to read from there on: what {topics} has lies before (--from-beginning reads it)")
        }
    }
}

/// What there is to read.
struct Begun {
    /// Where each partition is read from, by leader.
    positions: BTreeMap<NodeId, Vec<Position>>,
    /// Whether any of them is not empty.
    has_records: bool,
    /// Whether the group has committed anything in them.
    has_committed: bool,
}

fn begin(cluster: &mut Cluster, options: &Options) -> Result<Begun, CliError> {
    let partitions = place::led(cluster, &options.topics, options.partition);
    let partitions = partitions.map_err(|error| place::or_create(cluster, error))?;
    let place = options.offset.unwrap_or(if options.from_beginning { Place::Earliest } else { Place::Latest });
    let mut found = place::find(cluster, &partitions, place)?;
    if place == Place::Latest && options.isolation == Isolation::Committed {
        // As Kafka's consumers do: what is open now belongs to what comes.
        for (partition, stable) in offsets::list_stable(cluster, &partitions)? {
            found.entry(partition).and_modify(|found| found.offset = stable);
        }
    }
    let committed = match &options.group {
        Some(group) => group::committed(cluster, group, options.target.timeout())?,
        None => BTreeMap::new(),
    };
    refuse_beyond(place, &found, &committed)?;
    let has_records = found.values().any(|found| found.start < found.end);
    let has_committed = found.keys().any(|place| committed.contains_key(place));
    if let Some(group) = &options.group {
        refuse_lost(group, &found, &committed)?;
    }
    let mut positions: BTreeMap<NodeId, Vec<Position>> = BTreeMap::new();
    for partition in partitions {
        let place = (partition.topic, partition.partition);
        let offset = committed.get(&place).copied().or(found.get(&place).map(|found| found.offset)).unwrap_or(0);
        let (topic, partition_index) = place;
        let leader = partition.leader.unwrap_or(-1);
        positions.entry(leader).or_default().push(Position { topic, partition: partition_index, offset });
    }
    Ok(Begun { positions, has_records, has_committed })
}

/// An offset that no partition has come to is a mistake. Where only some have not, these are read from their ends on.
fn refuse_beyond(
    place: Place,
    found: &BTreeMap<(String, PartitionIndex), Found>,
    committed: &BTreeMap<(String, PartitionIndex), Offset>,
) -> Result<(), CliError> {
    let counted = || found.iter().filter(|(partition, _)| !committed.contains_key(*partition));
    let mut beyond: Vec<CliError> = counted()
        .filter_map(|((topic, partition), found)| place::out_of_range(place, (topic, *partition), found))
        .collect();
    if !beyond.is_empty() && beyond.len() == counted().count() {
        return Err(beyond.swap_remove(0));
    }
    beyond.iter().for_each(|error| eprintln!("einmal: {error}, from which this partition is read"));
    Ok(())
}

/// What is committed and not there any more is told before anything is read: whose group it is decides where it goes on.
fn refuse_lost(
    group: &str,
    found: &BTreeMap<(String, PartitionIndex), Found>,
    committed: &BTreeMap<(String, PartitionIndex), Offset>,
) -> Result<(), CliError> {
    for (place, Found { start, end, .. }) in found {
        let Some(offset) = committed.get(place).filter(|offset| *offset < start || *offset > end) else { continue };
        let (topic, partition) = place;
        return Err(CliError::Unfit(format!(
            "{}: the group {group:?} has committed {offset} in {topic}-{partition}, which has offsets from {start} to {end} now; \
             `einmal group reset {} --topic {} -p {partition} --to earliest --execute` has it go on with the first of them",
            ErrorCode::OFFSET_OUT_OF_RANGE,
            shell_word(group),
            shell_word(topic),
        )));
    }
    Ok(())
}

/// To stdout. False if nobody reads any more.
fn print(topic: &str, partition: PartitionIndex, messages: &[Message], options: &Options) -> Result<bool, CliError> {
    let mut bytes = Vec::new();
    for message in messages {
        match options.target.output {
            Format::Json => {
                bytes.extend_from_slice(object(topic, partition, message).to_string().as_bytes());
            }
            Format::Table => {
                if let Some(separator) = &options.key_separator {
                    bytes.extend_from_slice(message.key.as_deref().unwrap_or_default());
                    bytes.extend_from_slice(separator.as_bytes());
                }
                bytes.extend_from_slice(message.value.as_deref().unwrap_or_default());
            }
        }
        bytes.push(b'\n');
    }
    Ok(output::put(&bytes)?)
}

/// A record. What is no UTF-8 is written in hexadecimal under a name that says so.
fn object(topic: &str, partition: PartitionIndex, message: &Message) -> Value {
    let mut object = Map::new();
    object.insert("topic".to_owned(), json!(topic));
    object.insert("partition".to_owned(), json!(partition));
    object.insert("offset".to_owned(), json!(message.offset));
    object.insert("timestamp_ms".to_owned(), json!(message.timestamp));
    put(&mut object, "key", message.key.as_deref());
    put(&mut object, "value", message.value.as_deref());
    let headers = message.headers.iter().map(|(name, value)| {
        let mut header = Map::new();
        header.insert("name".to_owned(), json!(name));
        put(&mut header, "value", value.as_deref());
        Value::Object(header)
    });
    object.insert("headers".to_owned(), headers.collect());
    Value::Object(object)
}

fn put(object: &mut Map<String, Value>, name: &str, bytes: Option<&[u8]>) {
    match bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| bytes)) {
        None => object.insert(name.to_owned(), Value::Null),
        Some(Ok(text)) => object.insert(name.to_owned(), json!(text)),
        Some(Err(bytes)) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            object.insert(format!("{name}_hex"), json!(hex))
        }
    };
}

/// Of one partition, for the group.
fn commit(
    cluster: &mut Cluster,
    options: &Options,
    group: &str,
    next: ((String, PartitionIndex), Offset),
) -> Result<(), CliError> {
    group::commit(cluster, group, &[next], options.target.timeout()).map_err(|error| match error {
        ClientError::Refused { error: ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::ILLEGAL_GENERATION, .. } => {
            CliError::Unfit(format!("the group {group:?} has members: end them, or name another group"))
        }
        error => error.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_written_in_hexadecimal() {
        let headers = vec![("h".to_owned(), None), ("i".to_owned(), Some(vec![0xff]))];
        let message = Message { offset: 7, timestamp: 9, key: None, value: Some(vec![0xff, 0]), headers };
        let expected = json!({
            "topic": "t", "partition": 1, "offset": 7, "timestamp_ms": 9, "key": null, "value_hex": "ff00",
            "headers": [{ "name": "h", "value": null }, { "name": "i", "value_hex": "ff" }],
        });
        assert_eq!(object("t", 1, &message), expected);
    }
}
