//! The rules of a group whose members come and go while the broker is killed: everything is processed, commits only rise, and
//! what is committed is handed out to nobody again.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::event::Event;

/// Something that a group with a correct coordinator never shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupAnomaly {
    /// In the final drain, and processed by no member.
    NeverProcessed { partition: i32, offset: i64 },
    /// What a member was given is not what lies there.
    WrongRecord { member: String, partition: i32, offset: i64 },
    /// A member was given a record of a partition that it did not have.
    NotAssigned { member: String, partition: i32, offset: i64 },
    /// Within one assignment, the next record was not the next offset.
    OutOfOrder { member: String, partition: i32, expected: i64, found: i64 },
    /// A member began below an offset whose commit was acknowledged before it had the partition.
    HandedOutAgain { member: String, partition: i32, offset: i64, committed: i64 },
    /// The committed offset was seen to go back.
    CommitBackwards { partition: i32, offset: i64, after: i64 },
    /// An acknowledged commit was not seen by who asked later.
    CommitLost { partition: i32, offset: i64, committed: i64 },
    /// An offset was seen that nobody committed.
    CommittedByNobody { partition: i32, offset: i64 },
}

/// What the history of a group holds.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct GroupCounts {
    pub members: usize,
    pub assignments: usize,
    pub processed: usize,
    /// Of these, records that had been processed before: what was not yet committed when a member lost it.
    pub again: usize,
    pub commits: usize,
    /// Looks at committed offsets by an observer.
    pub looks: usize,
}

/// Acknowledged commits of one partition, by the time of the acknowledgement, each with the highest offset until then.
#[derive(Default)]
struct Acknowledged(Vec<(u64, i64)>);

impl Acknowledged {
    fn settle(&mut self) {
        self.0.sort_unstable();
        let mut highest = 0;
        for (_, offset) in &mut self.0 {
            highest = highest.max(*offset);
            *offset = highest;
        }
    }

    /// Highest offset acknowledged before `at`, ns; 0 without any.
    fn before(&self, at: u64) -> i64 {
        let count = self.0.partition_point(|(acknowledged_at, _)| *acknowledged_at < at);
        count.checked_sub(1).map_or(0, |last| self.0[last].1)
    }
}

#[derive(Default)]
struct Commits {
    acknowledged: HashMap<i32, Acknowledged>,
    attempted: HashSet<(i32, i64)>,
}

impl Commits {
    fn of(histories: &[Vec<Event>], counts: &mut GroupCounts) -> Self {
        let mut commits = Self::default();
        for event in histories.iter().flatten() {
            match event {
                Event::Committing { partition, offset, .. } => drop(commits.attempted.insert((*partition, *offset))),
                Event::Committed { partition, offset, at, .. } => {
                    counts.commits += 1;
                    commits.acknowledged.entry(*partition).or_default().0.push((*at, *offset));
                }
                _ => {}
            }
        }
        commits.acknowledged.values_mut().for_each(Acknowledged::settle);
        commits
    }

    fn before(&self, partition: i32, at: u64) -> i64 {
        self.acknowledged.get(&partition).map_or(0, |acknowledged| acknowledged.before(at))
    }
}

/// Checks the histories of a group's members, of its observer and of the drain, each in its own order.
pub fn check_group(histories: &[Vec<Event>]) -> (GroupCounts, Vec<GroupAnomaly>) {
    let mut counts = GroupCounts::default();
    let mut anomalies = Vec::new();
    let commits = Commits::of(histories, &mut counts);
    let mut log: BTreeMap<(i32, i64), &str> = BTreeMap::new();
    for event in histories.iter().flatten() {
        if let Event::Drain { partition, offset, payload } = event {
            log.insert((*partition, *offset), payload);
        }
    }
    let mut processed: HashMap<(i32, i64), usize> = HashMap::new();
    let mut members: HashSet<&str> = HashSet::new();
    for history in histories {
        // By member and partition: when it was assigned, and the offset that comes next.
        let mut assigned: HashMap<(&str, i32), (u64, Option<i64>)> = HashMap::new();
        let mut seen: HashMap<i32, i64> = HashMap::new();
        for event in history {
            match event {
                Event::Assigned { member, partition, at } => {
                    members.insert(member);
                    counts.assignments += 1;
                    assigned.insert((member, *partition), (*at, None));
                }
                Event::Revoked { member, partition, .. } => drop(assigned.remove(&(member.as_str(), *partition))),
                Event::Processed { member, partition, offset, payload, .. } => {
                    *processed.entry((*partition, *offset)).or_default() += 1;
                    let place = (member.clone(), *partition, *offset);
                    let next = assigned.get_mut(&(member.as_str(), *partition));
                    anomalies.extend(judge_processed(place, next, &commits));
                    if log.get(&(*partition, *offset)) != Some(&payload.as_str()) {
                        let member = member.clone();
                        anomalies.push(GroupAnomaly::WrongRecord { member, partition: *partition, offset: *offset });
                    }
                }
                Event::Offset { partition, offset, asked } => {
                    counts.looks += 1;
                    let after = seen.insert(*partition, *offset);
                    anomalies.extend(judge_look(*partition, *offset, *asked, after, &commits));
                }
                _ => {}
            }
        }
    }
    if !members.is_empty() {
        let missed = log.keys().filter(|place| !processed.contains_key(place));
        anomalies.extend(missed.map(|&(partition, offset)| GroupAnomaly::NeverProcessed { partition, offset }));
    }
    counts.members = members.len();
    counts.processed = processed.values().sum();
    counts.again = counts.processed - processed.len();
    (counts, anomalies)
}

fn judge_processed(
    (member, partition, offset): (String, i32, i64),
    assigned: Option<&mut (u64, Option<i64>)>,
    commits: &Commits,
) -> Option<GroupAnomaly> {
    let Some((at, next)) = assigned else { return Some(GroupAnomaly::NotAssigned { member, partition, offset }) };
    match next.replace(offset + 1) {
        Some(expected) if expected != offset => {
            Some(GroupAnomaly::OutOfOrder { member, partition, expected, found: offset })
        }
        Some(_) => None,
        None => {
            let committed = commits.before(partition, *at);
            (offset < committed).then_some(GroupAnomaly::HandedOutAgain { member, partition, offset, committed })
        }
    }
}

fn judge_look(partition: i32, offset: i64, asked: u64, after: Option<i64>, commits: &Commits) -> Option<GroupAnomaly> {
    let committed = commits.before(partition, asked);
    if let Some(after) = after.filter(|after| *after > offset) {
        return Some(GroupAnomaly::CommitBackwards { partition, offset, after });
    }
    if offset < committed {
        return Some(GroupAnomaly::CommitLost { partition, offset, committed });
    }
    let is_known = offset == 0 || commits.attempted.contains(&(partition, offset));
    (!is_known).then_some(GroupAnomaly::CommittedByNobody { partition, offset })
}

#[cfg(test)]
#[path = "group_tests.rs"]
mod tests;
