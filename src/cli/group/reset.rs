//! `einmal group reset`.

use clap::Args;

use super::ask;
use crate::cli::CliError;
use crate::cli::output::{Cell, Listing};
use crate::cli::place::{self, Place};
use crate::cli::target::Target;
use crate::types::PartitionIndex;

pub(super) const EXAMPLES: &str = "\
Examples:
  einmal group reset billing --topic orders --to earliest
      shows what would be done
  einmal group reset billing --topic orders --to earliest --execute
      does it
  einmal group reset billing --topic orders --to @1700000000000
      to the first record at or after that time, ms since 1970
  einmal group reset billing --topic orders -p 3 --to 4711
      to this offset of one partition; refused beyond its end";

/// Which group, and where to.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The group; it must have no members
    #[arg(value_name = "GROUP")]
    group: String,
    /// Topics, as often as needed
    #[arg(long, required = true, value_name = "TOPIC")]
    topic: Vec<String>,
    /// Only this partition of each
    #[arg(short, long, value_name = "INDEX")]
    partition: Option<PartitionIndex>,
    /// earliest, latest, an offset, or @ and a time in ms since 1970
    #[arg(long, value_name = "WHERE", value_parser = place::parse)]
    to: Place,
    /// Do it, instead of showing what would be done
    #[arg(long)]
    execute: bool,
    #[command(flatten)]
    target: Target,
}

/// Shows each partition's offset before and after, and commits the latter with `--execute`.
pub(super) fn run(options: &Options) -> Result<(), CliError> {
    let mut cluster = options.target.connect()?;
    let before = ask::committed(&mut cluster, &options.group, options.target.timeout())?;
    let partitions = place::led(&mut cluster, &options.topic, options.partition)?;
    let found = place::find(&mut cluster, &partitions, options.to)?;
    let mut listing = Listing::new(&["group", "topic", "partition", "committed_offset", "new_offset"]);
    let (mut wanted, mut beyond) = (Vec::new(), None);
    let mut later = Vec::new();
    for (place, found) in found {
        beyond = beyond.or_else(|| place::out_of_range(options.to, (&place.0, place.1), &found));
        if found.is_beyond && found.end > found.start {
            later.push(format!("{}-{}", place.0, place.1));
        }
        listing.row(vec![
            options.group.as_str().into(),
            place.0.as_str().into(),
            Cell::Number(place.1.into()),
            before.get(&place).map_or(Cell::Absent, |offset| Cell::Number(*offset)),
            Cell::Number(found.offset),
        ]);
        wanted.push((place, found.offset));
    }
    // All or none: half of a group that is set back is worse than a group that is not.
    if let Some(error) = beyond {
        return Err(error);
    }
    if !later.is_empty() {
        eprintln!("einmal: no record of {} is that new: the group goes on at the end there", later.join(", "));
    }
    if options.execute {
        ask::commit(&mut cluster, &options.group, &wanted, options.target.timeout())?;
    } else {
        eprintln!("einmal: nothing is changed without --execute");
    }
    Ok(listing.print(options.target.output)?)
}
