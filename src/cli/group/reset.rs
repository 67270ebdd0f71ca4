//! `einmal group reset`.

use clap::Args;

use super::ask;
use crate::cli::CliError;
use crate::cli::offsets::{self, EARLIEST, LATEST};
use crate::cli::output::{Cell, Listing};
use crate::cli::target::Target;
use crate::types::Offset;

pub(super) const EXAMPLES: &str = "\
Examples:
  einmal group reset billing --topic orders --to earliest            shows what would be done
  einmal group reset billing --topic orders --to earliest --execute  does it
  einmal group reset billing --topic orders --to @1700000000000      the first record at or after that time, ms since 1970
  einmal group reset billing --topic orders --to 4711                this offset, within what there is";

/// Which group, and where to.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The group; it must have no members
    #[arg(value_name = "GROUP")]
    group: String,
    /// Topics, as often as needed
    #[arg(long, required = true, value_name = "TOPIC")]
    topic: Vec<String>,
    /// earliest, latest, an offset, or @ and a time in ms since 1970
    #[arg(long, value_name = "WHERE", value_parser = parse)]
    to: Place,
    /// Do it, instead of showing what would be done
    #[arg(long)]
    execute: bool,
    #[command(flatten)]
    target: Target,
}

/// Where to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Earliest,
    Latest,
    Offset(Offset),
    Time(i64),
}

fn parse(text: &str) -> Result<Place, String> {
    let number = |text: &str| text.parse().ok().filter(|number| *number >= 0);
    let place = match (text, text.strip_prefix('@')) {
        ("earliest", _) => Some(Place::Earliest),
        ("latest", _) => Some(Place::Latest),
        (_, Some(time)) => number(time).map(Place::Time),
        (offset, None) => number(offset).map(Place::Offset),
    };
    place.ok_or_else(|| "write earliest, latest, an offset such as 4711, or @1700000000000".to_owned())
}

/// Shows each partition's offset before and after, and commits the latter with `--execute`.
pub(super) fn run(options: &Options) -> Result<(), CliError> {
    let mut cluster = options.target.connect()?;
    let before = ask::committed(&mut cluster, &options.group, options.target.timeout())?;
    let partitions = cluster.partitions(&options.topic)?;
    let starts = offsets::list(&mut cluster, &partitions, EARLIEST)?;
    let ends = offsets::list(&mut cluster, &partitions, LATEST)?;
    let found = match options.to {
        Place::Time(time) => offsets::list(&mut cluster, &partitions, time)?,
        _ => starts.clone(),
    };
    let mut listing = Listing::new(&["group", "topic", "partition", "committed_offset", "new_offset"]);
    let mut wanted = Vec::new();
    for (place, start) in &starts {
        let end = ends.get(place).copied().unwrap_or(*start);
        let to = match options.to {
            Place::Earliest => *start,
            Place::Latest => end,
            Place::Offset(offset) => offset.clamp(*start, end.max(*start)),
            // No record is that new.
            Place::Time(_) => found.get(place).copied().filter(|offset| *offset >= 0).unwrap_or(end),
        };
        listing.row(vec![
            options.group.as_str().into(),
            place.0.as_str().into(),
            Cell::Number(place.1.into()),
            before.get(place).map_or(Cell::Absent, |offset| Cell::Number(*offset)),
            Cell::Number(to),
        ]);
        wanted.push((place.clone(), to));
    }
    if options.execute {
        ask::commit(&mut cluster, &options.group, &wanted, options.target.timeout())?;
    } else {
        eprintln!("einmal: nothing is changed without --execute");
    }
    Ok(listing.print(options.target.output)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_names_offsets_and_times() {
        for (text, place) in [
            ("earliest", Some(Place::Earliest)),
            ("latest", Some(Place::Latest)),
            ("0", Some(Place::Offset(0))),
            ("@17", Some(Place::Time(17))),
            ("-1", None),
            ("@-1", None),
            ("newest", None),
            ("", None),
        ] {
            assert_eq!(parse(text).ok(), place, "{text}");
        }
    }
}
