//! `einmal topic trim`.

use std::collections::BTreeMap;

use clap::Args;
use kafka_protocol::messages::DeleteRecordsRequest;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};

use crate::cli::outcome::{Outcome, Outcomes};
use crate::cli::output::Cell;
use crate::cli::place::{self, Found, Place};
use crate::cli::target::Target;
use crate::cli::{CliError, text};
use crate::client::{ClientError, Cluster, NodeId};
use crate::types::{ErrorCode, PartitionIndex};

pub(super) const EXAMPLES: &str = "\
Examples:
  einmal topic trim orders --to @1700000000000
      shows what would be deleted: all before that time, ms since 1970
  einmal topic trim orders --to @1700000000000 --execute
      deletes it
  einmal topic trim orders --to latest --execute
      empties the topic
  einmal topic trim orders -p 3 --to 4711 --execute
      deletes all before this offset, in one partition";

/// Which ones, and up to where.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Names
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Only this partition
    #[arg(short, long, value_name = "INDEX")]
    partition: Option<PartitionIndex>,
    /// What is then the first record: latest or -1 for none, an offset, or @ and a time in ms since 1970. What lies beyond the end is
    /// refused: an offset there, and a time after all records
    #[arg(long, value_name = "WHERE", value_parser = parse, allow_negative_numbers = true)]
    to: Place,
    /// Do it, instead of showing what would be done
    #[arg(long)]
    execute: bool,
    #[command(flatten)]
    target: Target,
}

/// One partition, and what is asked of it.
type Asked = ((String, PartitionIndex), Found);

/// Topic after topic, shows where each partition begins before and after, and deletes what is in between with `--execute`.
pub(super) fn run(options: &Options) -> Result<(), CliError> {
    let mut cluster = options.target.connect()?;
    let mut outcomes = Outcomes::new(&[
        "topic",
        "partition",
        "log_start_offset",
        "new_start_offset",
        "end_offset",
        "outcome",
        "reason",
    ]);
    let trimmed = options.topics.iter().try_for_each(|topic| trim_topic(&mut cluster, options, topic, &mut outcomes));
    if !options.execute {
        eprintln!("einmal: nothing is deleted without --execute");
    }
    outcomes.print_before(trimmed.err(), options.target.output)
}

/// One topic: what is wrong with it alone is a line, what keeps the cluster from being asked is an error.
fn trim_topic(cluster: &mut Cluster, options: &Options, topic: &str, outcomes: &mut Outcomes) -> Result<(), CliError> {
    let partitions = match place::led(cluster, &[topic.to_owned()], options.partition) {
        Err(
            error @ (CliError::NotFound(_) | CliError::Client(ClientError::NoTopic(_) | ClientError::Refused { .. })),
        ) => {
            let partition = options.partition.map_or(Cell::Absent, |index| Cell::Number(index.into()));
            let cells = vec![topic.into(), partition, Cell::Absent, Cell::Absent, Cell::Absent];
            outcomes.add(cells, Outcome::Refused(error));
            return Ok(());
        }
        partitions => partitions?,
    };
    let found = place::find(cluster, &partitions, options.to)?;
    let is_time = matches!(options.to, Place::Time(_));
    let is_all_older = is_time && found.values().all(|at| at.is_beyond);
    let mut by_leader: BTreeMap<NodeId, Vec<Asked>> = BTreeMap::new();
    for partition in partitions {
        let place = (partition.topic, partition.partition);
        let Some(at) = found.get(&place).copied() else { continue };
        let beyond = place::out_of_range(options.to, (&place.0, place.1), &at);
        if let Some(error) = beyond {
            add(outcomes, &(place, at), Outcome::Refused(error));
        } else if at.offset == at.start {
            add(outcomes, &(place, at), Outcome::Unchanged);
        } else if is_all_older {
            add(outcomes, &(place, at), Outcome::Refused(all_older(topic)));
        } else if !options.execute {
            add(outcomes, &(place, at), Outcome::Possible);
        } else {
            by_leader.entry(partition.leader.unwrap_or(-1)).or_default().push((place, at));
        }
    }
    for (leader, asked) in by_leader {
        let answers = trim(cluster, leader, &asked, options.target.timeout_ms())?;
        for (partition, said) in asked.iter().zip(answers) {
            add(outcomes, partition, Outcome::of(said, false));
        }
    }
    Ok(())
}

/// A time by which everything would go is mistyped more often than meant, in seconds or microseconds.
fn all_older(topic: &str) -> CliError {
    CliError::Unfit(format!(
        "{}: no record of {topic} is that new, and all of them would go; write --to latest if they shall",
        ErrorCode::OFFSET_OUT_OF_RANGE
    ))
}

/// As places are written, and -1 for the end, as Kafka's `kafka-delete-records` has it.
fn parse(text: &str) -> Result<Place, String> {
    if text == "-1" { Ok(Place::Latest) } else { place::parse(text) }
}

fn add(outcomes: &mut Outcomes, ((topic, partition), at): &Asked, outcome: Outcome) {
    let is_refused = matches!(outcome, Outcome::Refused(_));
    let cells = vec![
        topic.as_str().into(),
        Cell::Number((*partition).into()),
        Cell::Number(at.start),
        if is_refused { Cell::Absent } else { Cell::Number(at.offset) },
        Cell::Number(at.end),
    ];
    outcomes.add(cells, outcome);
}

/// What `leader` says to each of `asked`, in their order.
fn trim(
    cluster: &mut Cluster,
    leader: NodeId,
    asked: &[Asked],
    timeout_ms: i32,
) -> Result<Vec<Result<(), ClientError>>, CliError> {
    let mut topics: BTreeMap<&str, Vec<DeleteRecordsPartition>> = BTreeMap::new();
    for ((topic, partition), at) in asked {
        let partition = DeleteRecordsPartition::default().with_partition_index(*partition).with_offset(at.offset);
        topics.entry(topic).or_default().push(partition);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        DeleteRecordsTopic::default().with_name(text(topic).into()).with_partitions(partitions)
    });
    let request = DeleteRecordsRequest::default().with_topics(topics.collect()).with_timeout_ms(timeout_ms);
    let answer = cluster.broker(leader)?.call("DeleteRecords", &request, (0, 2))?;
    let mut codes: BTreeMap<(String, PartitionIndex), i16> = BTreeMap::new();
    for topic in answer.topics {
        for partition in topic.partitions {
            codes.insert((topic.name.to_string(), partition.partition_index), partition.error_code);
        }
    }
    let said = asked.iter().map(|(place, _)| {
        let code = codes.get(place).copied().ok_or_else(|| ClientError::Decode {
            api: "DeleteRecords",
            detail: format!("{}-{} is missing", place.0, place.1),
        })?;
        ClientError::check("DeleteRecords", code, Some(&format!("({}-{})", place.0, place.1)))
    });
    Ok(said.collect())
}
