//! The offsets that transactions commit: seen as soon as committed, never falling, and always where the outputs end.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Place, Run, TransactionAnomaly};
use crate::event::{Event, parse_payload};

/// Judges what an observer was told.
pub(super) fn judge_looks(run: &Run<'_>, history: &[Event], anomalies: &mut Vec<TransactionAnomaly>) {
    let mut committed: HashMap<i32, Vec<(u64, i64)>> = HashMap::new();
    let mut asked_for: HashSet<Place> = HashSet::new();
    for txn in run.txns.values() {
        for (&partition, &offset) in &txn.staged {
            if txn.may_be_committed() {
                asked_for.insert((partition, offset));
            }
            if let Some((true, at)) = txn.ended {
                committed.entry(partition).or_default().push((at, offset));
            }
        }
    }
    for commits in committed.values_mut() {
        commits.sort_unstable();
        let mut highest = 0;
        for (_, offset) in commits {
            highest = highest.max(*offset);
            *offset = highest;
        }
    }
    let before = |partition: i32, at: u64| {
        let commits = committed.get(&partition)?;
        let count = commits.partition_point(|(ended, _)| *ended < at);
        count.checked_sub(1).map(|last| commits[last].1)
    };
    let mut last: HashMap<i32, i64> = HashMap::new();
    for event in history {
        let Event::Offset { partition, offset, asked } = event else { continue };
        let (partition, offset) = (*partition, *offset);
        let after = last.insert(partition, offset).unwrap_or(0);
        let certain = before(partition, *asked).unwrap_or(0);
        if offset == 0 && after.max(certain) > 0 {
            anomalies.push(TransactionAnomaly::SpuriousZero { partition, certain: after.max(certain) });
        } else if offset < after {
            anomalies.push(TransactionAnomaly::OffsetBackwards { partition, offset, after });
        } else if offset < certain {
            anomalies.push(TransactionAnomaly::StaleOffset { partition, offset, committed: certain });
        } else if offset > 0 && !asked_for.contains(&(partition, offset)) {
            anomalies.push(TransactionAnomaly::OffsetOfNoCommit { partition, offset });
        }
    }
}

/// Judges inputs against outputs and the offsets that were seen last: what lies below them has its output, and nothing else has.
pub(super) fn judge_copies(run: &Run<'_>, histories: &[Vec<Event>], anomalies: &mut Vec<TransactionAnomaly>) {
    let mut newest: BTreeMap<i32, (u64, i64)> = BTreeMap::new();
    for event in histories.iter().flatten() {
        if let Event::Offset { partition, offset, asked } = event {
            let (at, committed) = newest.entry(*partition).or_default();
            if *asked >= *at {
                (*at, *committed) = (*asked, *offset);
            }
        }
    }
    for (&input, payload) in &run.input {
        let Some(value) = parse_payload(payload) else { continue };
        let committed = newest.get(&input.0).map_or(0, |(_, committed)| *committed);
        let is_copied = run.committed.places.contains_key(&value);
        if is_copied != (input.1 < committed) {
            anomalies.push(TransactionAnomaly::ConsumeTransformProduce { input, committed, is_copied });
        }
    }
}
