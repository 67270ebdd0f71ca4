//! Families of groups: who lags, by how many records and by how much time.
//!
//! Lag is what lies between a group's committed offset and the high watermark. Where a transaction holds the last stable offset
//! back, the lag to that is shown as well: a group that has read all that it may is not slow, but held up.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ages::Asking;
use super::writer::{Fold, Writer};
use crate::coordinator::GroupFigures;
use crate::log::catalog::Topics;
use crate::log::offsets::Standing;
use crate::metrics::{self as catalogue, compat};
use crate::telemetry::exposition::sample;
use crate::telemetry::name::shown;
use crate::telemetry::recorder::family;
use crate::types::{Offset, Timestamp};

/// States of groups by protocol, as far as groups can be in them.
const STATES: &[(&str, &[&str])] = &[
    ("classic", &["Empty", "PreparingRebalance", "CompletingRebalance", "Stable"]),
    ("consumer", &["Empty", "Assigning", "Reconciling", "Stable"]),
];

/// A group's lag in one topic.
#[derive(Debug, Default, Clone)]
pub struct TopicLag {
    /// To the high watermarks, records.
    pub records: i64,
    /// To the last stable offsets, records.
    pub committed_records: i64,
    /// Whether a transaction holds one of its partitions back.
    pub is_held_back: bool,
    /// In the partition where it is largest, records.
    pub records_max: i64,
    /// Timestamp of the oldest record not committed, none if there is none or it is not known.
    pub oldest_unread: Option<Timestamp>,
    /// Index, committed offset and lag of each partition.
    pub partitions: Vec<(u32, Offset, i64)>,
}

/// One group.
#[derive(Debug, Clone)]
pub struct GroupLag {
    /// Its id, as it is shown.
    pub group: Arc<str>,
    /// By topic.
    pub topics: BTreeMap<Arc<str>, TopicLag>,
    /// Members, protocol and state, without the id; none if it only has offsets.
    pub figures: Option<GroupFigures>,
    /// Offsets committed since the start.
    pub commits: u64,
    /// Offsets that were not committed since then.
    pub refused_commits: u64,
    /// When it last committed.
    pub newest: Option<Timestamp>,
}

impl GroupLag {
    /// How many read for it.
    pub fn members(&self) -> usize {
        self.figures.as_ref().map_or(0, |figures| figures.members)
    }
}

/// Puts together what is known of groups, by id.
pub(super) fn lags(
    standings: Vec<Standing>,
    figures: Vec<GroupFigures>,
    topics: &Topics,
    asking: &mut Asking<'_>,
) -> Vec<GroupLag> {
    let mut groups: BTreeMap<Arc<str>, GroupLag> = BTreeMap::new();
    for Standing { group, positions, commits, refused, newest } in standings {
        let group: Arc<str> = shown(&group).into();
        let mut of_topics: BTreeMap<Arc<str>, TopicLag> = BTreeMap::new();
        for (id, offset) in positions {
            let Some(topic) = topics.by_no.get(&id.topic) else { continue };
            let Some(partition) = usize::try_from(id.index).ok().and_then(|index| topic.partitions.get(index)) else {
                continue;
            };
            let offsets = partition.offsets();
            // What retention has removed cannot be read, and is no lag.
            let next = offset.max(offsets.log_start);
            let records = (offsets.high_watermark - next).max(0);
            let lag = of_topics.entry(Arc::clone(&topic.name)).or_default();
            lag.records += records;
            lag.committed_records += (offsets.last_stable_offset - next).max(0);
            lag.is_held_back |= offsets.last_stable_offset < offsets.high_watermark;
            lag.records_max = lag.records_max.max(records);
            lag.partitions.push((id.index, offset, records));
            if records > 0
                && let Some(timestamp) = asking.timestamp(id, next, offsets.high_watermark)
            {
                lag.oldest_unread = Some(lag.oldest_unread.map_or(timestamp, |oldest| oldest.min(timestamp)));
            }
        }
        let lag = GroupLag {
            group: Arc::clone(&group),
            topics: of_topics,
            figures: None,
            commits,
            refused_commits: refused,
            newest,
        };
        groups.insert(group, lag);
    }
    for mut figures in figures {
        let group: Arc<str> = shown(&std::mem::take(&mut figures.group_id)).into();
        let none = || GroupLag {
            group: Arc::clone(&group),
            topics: BTreeMap::new(),
            figures: None,
            commits: 0,
            refused_commits: 0,
            newest: None,
        };
        let lag = groups.entry(Arc::clone(&group)).or_insert_with(none);
        lag.refused_commits += figures.refused_commits;
        lag.figures = Some(figures);
    }
    groups.into_values().collect()
}

/// Age in seconds, 0 for what lies in the future.
pub(super) fn age(now: Timestamp, then: Timestamp) -> f64 {
    now.saturating_sub(then).max(0) as f64 / 1_000.0
}

/// How many groups there are in each state.
pub(super) fn states(writer: &mut Writer<'_>, figures: &[GroupFigures]) {
    writer.family(family(catalogue::GROUPS), |family, text| {
        for (protocol, states) in STATES {
            for state in *states {
                let is_one = |group: &&GroupFigures| group.group_type == *protocol && group.state == *state;
                let count = figures.iter().filter(is_one).count();
                sample(text, family, &[protocol, state], count as f64);
            }
        }
    });
}

/// By group, and by group and topic.
pub(super) fn by_group(writer: &mut Writer<'_>, groups: &[GroupLag], now: Timestamp) {
    // Those that only have offsets have no members, which is worth knowing while they lag.
    let of_groups = |of: fn(&GroupLag) -> f64| groups.iter().map(move |group| (vec![&*group.group], of(group)));
    writer.series(family(catalogue::GROUP_MEMBERS), Fold::Sum, of_groups(|group| group.members() as f64));
    let mut rebalances = Vec::new();
    for group in groups {
        let counts = group.figures.as_ref().map(|figures| figures.rebalances).unwrap_or_default();
        rebalances.extend(counts.by_reason().map(|(reason, count)| (&*group.group, reason.name(), count as f64)));
    }
    let counted = rebalances.iter().map(|(group, reason, count)| (vec![*group, *reason], *count));
    writer.series(family(catalogue::GROUP_REBALANCES_TOTAL), Fold::Sum, counted);
    let commits: Vec<_> = groups
        .iter()
        .flat_map(|group| {
            [("committed", group.commits), ("refused", group.refused_commits)].map(|of| (&*group.group, of))
        })
        .collect();
    let counted = commits.iter().map(|(group, (result, count))| (vec![*group, *result], *count as f64));
    writer.series(family(catalogue::GROUP_COMMITS_TOTAL), Fold::Sum, counted);

    let standing: Vec<&GroupLag> = groups.iter().filter(|group| group.newest.is_some()).collect();
    let of_standing = |of: fn(&GroupLag) -> f64| standing.iter().map(move |group| (vec![&*group.group], of(group)));
    writer.series(
        family(catalogue::GROUP_LAG_RECORDS_MAX),
        Fold::Max,
        of_standing(|group| group.topics.values().map(|lag| lag.records_max).max().unwrap_or(0) as f64),
    );
    writer.series(
        family(catalogue::GROUP_LAST_COMMIT_TIMESTAMP_SECONDS),
        Fold::Max,
        of_standing(|group| group.newest.unwrap_or(0) as f64 / 1_000.0),
    );

    let lags = by_topic(groups, |_| true);
    writer.series(family(catalogue::GROUP_LAG_RECORDS), Fold::Sum, series(&lags, |lag| lag.records as f64));
    let held_back = by_topic(groups, |lag| lag.is_held_back);
    writer.series(
        family(catalogue::GROUP_LAG_COMMITTED_RECORDS),
        Fold::Sum,
        series(&held_back, |lag| lag.committed_records as f64),
    );
    // Without a timestamp there is no age, and 0 would say that all is read.
    let dated = by_topic(groups, |lag| lag.records == 0 || lag.oldest_unread.is_some());
    writer.series(
        family(catalogue::GROUP_LAG_SECONDS),
        Fold::Max,
        series(&dated, |lag| lag.oldest_unread.map_or(0.0, |then| age(now, then))),
    );
}

/// The same under the names of kafka_exporter.
pub(super) fn write_compat(writer: &mut Writer<'_>, groups: &[GroupLag]) {
    let lags = by_topic(groups, |_| true);
    let offsets = |lag: &TopicLag| lag.partitions.iter().map(|(_, offset, _)| *offset as f64).sum();
    writer.series(compat::GROUP_OFFSET_SUM, Fold::Sum, series(&lags, offsets));
    writer.series(compat::GROUP_LAG_SUM, Fold::Sum, series(&lags, |lag| lag.records as f64));
    let members = groups.iter().map(|group| (vec![&*group.group], group.members() as f64));
    writer.series(compat::GROUP_MEMBERS, Fold::Sum, members);
    let count = lags.iter().map(|(_, _, lag)| lag.partitions.len()).sum();
    type Of = fn(&(u32, Offset, i64)) -> f64;
    for (family, of) in [
        (compat::GROUP_OFFSET, (|(_, offset, _)| *offset as f64) as Of),
        (compat::GROUP_LAG, |(_, _, records)| *records as f64),
    ] {
        if !writer.has_room(count) {
            writer.left_out(family);
            continue;
        }
        writer.whole(family, |write| {
            for (group, topic, lag) in &lags {
                for partition in &lag.partitions {
                    write(&[group, topic, &partition.0.to_string()], of(partition));
                }
            }
        });
    }
}

fn by_topic(groups: &[GroupLag], is_meant: impl Fn(&TopicLag) -> bool) -> Vec<(&str, &str, &TopicLag)> {
    let mut series = Vec::new();
    for group in groups {
        let meant = group.topics.iter().filter(|(_, lag)| is_meant(lag));
        series.extend(meant.map(|(topic, lag)| (&*group.group, &**topic, lag)));
    }
    series
}

fn series<'a>(
    lags: &'a [(&'a str, &'a str, &'a TopicLag)],
    of: impl Fn(&TopicLag) -> f64 + 'a,
) -> impl ExactSizeIterator<Item = (Vec<&'a str>, f64)> {
    lags.iter().map(move |(group, topic, lag)| (vec![*group, *topic], of(lag)))
}
