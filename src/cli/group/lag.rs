//! `einmal group lag`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clap::Args;

use super::members::{self, Described};
use super::{CliError, ask};
use crate::cli::held::{self, Held};
use crate::cli::offsets::{self, EARLIEST, LATEST};
use crate::cli::output::{Cell, Listing};
use crate::cli::target::Target;
use crate::client::{ClientError, Cluster, PartitionLeader, Printable};

/// Which ones.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Groups; none for all of them
    #[arg(value_name = "GROUP")]
    groups: Vec<String>,
    #[command(flatten)]
    target: Target,
}

/// Shows what groups have committed, and what their members read, against the ends of the partitions.
pub(super) fn run(options: &Options) -> Result<(), CliError> {
    let mut cluster = options.target.connect()?;
    let mut listing = Listing::new(&[
        "group",
        "topic",
        "partition",
        "committed_offset",
        "log_start_offset",
        "end_offset",
        "lag",
        "last_stable_offset",
        "member_id",
    ]);
    let (mut missing, mut held) = (Vec::new(), Vec::new());
    for group in &ask::named_or_all(&mut cluster, &options.groups)? {
        match show(&mut cluster, group, options.target.timeout(), &mut listing, &mut held)? {
            Found::Partitions => {}
            _ if options.groups.is_empty() => {}
            Found::Nowhere(described) => eprintln!("einmal: {}", Printable(&nowhere(group, &described))),
            Found::Nothing => missing.push(group.clone()),
        }
    }
    held::tell(&mut cluster, &held, options.target.timeout());
    listing.print_before(CliError::missing("there is no group", &missing), options.target.output)
}

/// What there is of a group.
enum Found {
    /// It has committed, or its members read.
    Partitions,
    /// Neither.
    Nowhere(Described),
    /// No group.
    Nothing,
}

/// Adds the group's rows, and to `held` where an open transaction is in its way.
fn show(
    cluster: &mut Cluster,
    group: &str,
    timeout: Duration,
    listing: &mut Listing,
    held: &mut Vec<Held>,
) -> Result<Found, CliError> {
    let described = members::describe(cluster, group, timeout)?;
    let committed = ask::committed(cluster, group, timeout)?;
    let mut readers = BTreeMap::new();
    for member in described.iter().flat_map(|described| &described.members) {
        for (topic, partitions) in &member.partitions {
            readers.extend(partitions.iter().map(|partition| ((topic.clone(), *partition), &*member.member_id)));
        }
    }
    let places: BTreeSet<_> = committed.keys().chain(readers.keys()).collect();
    if places.is_empty() {
        return Ok(described.map_or(Found::Nothing, Found::Nowhere));
    }
    let mut partitions = present(cluster, places.iter().map(|(topic, _)| topic.clone()).collect())?;
    partitions.retain(|partition| places.contains(&(partition.topic.clone(), partition.partition)));
    let starts = offsets::list(cluster, &partitions, EARLIEST)?;
    let ends = offsets::list(cluster, &partitions, LATEST)?;
    let stable = offsets::list_stable(cluster, &partitions)?;
    for found in held::between(&partitions, &stable, &ends) {
        if !held.contains(&found) {
            held.push(found);
        }
    }
    let number = |offset: Option<i64>| offset.map_or(Cell::Absent, Cell::Number);
    for place in places {
        let (offset, end) = (committed.get(place).copied(), ends.get(place).copied());
        listing.row(vec![
            group.into(),
            place.0.as_str().into(),
            Cell::Number(place.1.into()),
            number(offset),
            number(starts.get(place).copied()),
            number(end),
            // Where a consumer begins that has committed nothing is for its auto.offset.reset to say, which nobody here knows.
            number(end.zip(offset).map(|(end, offset)| (end - offset).max(0))),
            number(stable.get(place).copied()),
            readers.get(place).map_or(Cell::Absent, |member_id| (*member_id).into()),
        ]);
    }
    Ok(Found::Partitions)
}

/// The partitions of those topics that are there: a member may have one that has just been deleted.
fn present(cluster: &mut Cluster, mut topics: BTreeSet<String>) -> Result<Vec<PartitionLeader>, ClientError> {
    while !topics.is_empty() {
        match cluster.partitions(&topics.iter().cloned().collect::<Vec<_>>()) {
            Err(ClientError::NoTopic(name)) if topics.remove(&name) => {}
            answered => return answered,
        }
    }
    Ok(Vec::new())
}

/// What there is to say of a group without a row.
fn nowhere(group: &str, described: &Described) -> String {
    let members = match described.members.len() {
        0 => "has no members".to_owned(),
        1 => "its one member has no partition".to_owned(),
        count => format!("its {count} members have no partitions"),
    };
    format!("the group {group:?} has committed nothing and {members}; its state is {}", described.state)
}
