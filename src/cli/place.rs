//! Places in partitions as people name them: `earliest`, `latest`, an offset, a time.

use std::collections::BTreeMap;

use super::offsets::{self, EARLIEST, LATEST};
use super::{CliError, shell_word};
use crate::client::{ClientError, Cluster, PartitionLeader};
use crate::spelling::{hint, nearest};
use crate::types::{ErrorCode, Offset, PartitionIndex};

/// One place, in whichever partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The first record that is there.
    Earliest,
    /// Behind the last one.
    Latest,
    /// This offset; the first that is there where it is gone.
    Offset(Offset),
    /// The first record of that time or later, ms since 1970; behind the last one where none is that new.
    Time(i64),
}

/// Takes `earliest`, `latest`, an offset, or `@` and a time in ms since 1970.
pub(super) fn parse(text: &str) -> Result<Place, String> {
    let number = |text: &str| text.parse().ok().filter(|number| *number >= 0);
    let place = match (text, text.strip_prefix('@')) {
        ("earliest", _) => Some(Place::Earliest),
        ("latest", _) => Some(Place::Latest),
        (_, Some(time)) => number(time).map(Place::Time),
        (offset, None) => number(offset).map(Place::Offset),
    };
    place.ok_or_else(|| "write earliest, latest, an offset such as 4711, or @1700000000000".to_owned())
}

/// Where a place is in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// Where the partition begins.
    pub start: Offset,
    /// Where it ends.
    pub end: Offset,
    /// The place, between both.
    pub offset: Offset,
    /// Whether the place that was named lies beyond the end, which stands for it.
    pub is_beyond: bool,
}

/// That an offset was named which `partition` has not come to, in the words of Kafka's error; none if it has, or if no offset was named.
pub(super) fn out_of_range(
    place: Place,
    (topic, partition): (&str, PartitionIndex),
    found: &Found,
) -> Option<CliError> {
    let Place::Offset(offset) = place else { return None };
    found.is_beyond.then(|| {
        CliError::Unfit(format!(
            "{}: {offset} is beyond the end of {topic}-{partition}, which is {}; write latest for the end",
            ErrorCode::OFFSET_OUT_OF_RANGE,
            found.end,
        ))
    })
}

/// `error`, with what to do where a topic is not there: the name that was meant, or the command that makes it.
pub(super) fn or_create(cluster: &mut Cluster, error: CliError) -> CliError {
    let CliError::Client(ClientError::NoTopic(name)) = &error else { return error };
    // Without them there is less to say, and the error is still this one.
    let known = cluster.partitions(&[]).unwrap_or_default();
    let meant = hint(nearest(name, known.iter().map(|partition| partition.topic.as_str())));
    CliError::NotFound(format!("there is no topic {name}{meant}; `einmal topic create {}` makes it", shell_word(name)))
}

/// The partitions of `topics`, or only this one of each, all of them led.
///
/// # Errors
/// [`CliError::NotFound`] if nobody leads one, or there is none; else as [`Cluster::partitions`].
pub(super) fn led(
    cluster: &mut Cluster,
    topics: &[String],
    partition: Option<PartitionIndex>,
) -> Result<Vec<PartitionLeader>, CliError> {
    let mut partitions = cluster.partitions(topics)?;
    partitions.retain(|found| partition.is_none_or(|index| found.partition == index));
    if let Some(lost) = partitions.iter().find(|found| found.leader.is_none()) {
        return Err(CliError::NotFound(format!("nobody leads {}-{}", lost.topic, lost.partition)));
    }
    if let Some(index) = partition.filter(|_| partitions.is_empty()) {
        return Err(CliError::NotFound(format!("there is no partition {index} of {}", topics.join(", "))));
    }
    Ok(partitions)
}

/// Looks for `place` in each of `partitions`. Those that nobody leads are left out.
///
/// # Errors
/// [`ClientError`].
pub(super) fn find(
    cluster: &mut Cluster,
    partitions: &[PartitionLeader],
    place: Place,
) -> Result<BTreeMap<(String, PartitionIndex), Found>, ClientError> {
    let starts = offsets::list(cluster, partitions, EARLIEST)?;
    let ends = offsets::list(cluster, partitions, LATEST)?;
    let times = match place {
        Place::Time(time) => offsets::list(cluster, partitions, time)?,
        Place::Earliest | Place::Latest | Place::Offset(_) => BTreeMap::new(),
    };
    let found = starts.into_iter().map(|(partition, start)| {
        let end = ends.get(&partition).copied().unwrap_or(start).max(start);
        let (offset, is_beyond) = match place {
            Place::Earliest => (start, false),
            Place::Latest => (end, false),
            Place::Offset(offset) => (offset.clamp(start, end), offset > end),
            Place::Time(_) => {
                let found = times.get(&partition).copied().filter(|offset| *offset >= 0);
                (found.unwrap_or(end), found.is_none())
            }
        };
        (partition, Found { start, end, offset, is_beyond })
    });
    Ok(found.collect())
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
