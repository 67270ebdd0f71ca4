//! `einmal group lag`.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;

use super::ask;
use crate::cli::CliError;
use crate::cli::held::{self, Held};
use crate::cli::offsets::{self, EARLIEST, LATEST};
use crate::cli::output::{Cell, Listing};
use crate::cli::target::Target;
use crate::client::Cluster;

/// Which ones.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Groups; none for all that have committed
    #[arg(value_name = "GROUP")]
    groups: Vec<String>,
    #[command(flatten)]
    target: Target,
}

/// Shows what groups have committed, against the ends of the partitions.
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
    ]);
    let (mut missing, mut held) = (Vec::new(), Vec::new());
    for group in &ask::named_or_all(&mut cluster, &options.groups)? {
        let has_committed = show(&mut cluster, group, options.target.timeout(), &mut listing, &mut held)?;
        if !has_committed && !options.groups.is_empty() {
            missing.push(group.clone());
        }
    }
    held::tell(&mut cluster, &held, options.target.timeout());
    listing.print_before(CliError::missing("nothing is committed by the group", &missing), options.target.output)
}

/// Adds the group's rows, and to `held` where an open transaction is in its way. False if it has committed nothing.
fn show(
    cluster: &mut Cluster,
    group: &str,
    timeout: Duration,
    listing: &mut Listing,
    held: &mut Vec<Held>,
) -> Result<bool, CliError> {
    let committed = ask::committed(cluster, group, timeout)?;
    let topics: BTreeSet<&String> = committed.keys().map(|(topic, _)| topic).collect();
    if topics.is_empty() {
        return Ok(false);
    }
    let topics: Vec<String> = topics.into_iter().cloned().collect();
    let mut partitions = cluster.partitions(&topics)?;
    partitions.retain(|partition| committed.contains_key(&(partition.topic.clone(), partition.partition)));
    let starts = offsets::list(cluster, &partitions, EARLIEST)?;
    let ends = offsets::list(cluster, &partitions, LATEST)?;
    let stable = offsets::list_stable(cluster, &partitions)?;
    for found in held::between(&partitions, &stable, &ends) {
        if !held.contains(&found) {
            held.push(found);
        }
    }
    for (place, offset) in &committed {
        let end = ends.get(place).copied();
        listing.row(vec![
            group.into(),
            place.0.as_str().into(),
            Cell::Number(place.1.into()),
            Cell::Number(*offset),
            starts.get(place).map_or(Cell::Absent, |start| Cell::Number(*start)),
            end.map_or(Cell::Absent, Cell::Number),
            end.map_or(Cell::Absent, |end| Cell::Number((end - offset).max(0))),
            stable.get(place).map_or(Cell::Absent, |stable| Cell::Number(*stable)),
        ]);
    }
    Ok(true)
}
