//! What readers saw meanwhile: in order, without gaps, nothing before its time, and the ends of partitions only rise.

use std::collections::{HashMap, HashSet};

use super::{HANGING_NS_MAX, Run, TransactionAnomaly};
use crate::event::{Event, parse_payload, transaction_of};

/// Where a reader stands in a partition.
struct Position {
    poll: u64,
    last: i64,
}

#[derive(Clone, Copy)]
struct Ends {
    start: i64,
    stable: i64,
    high: i64,
    /// Since when the stable offset is held back at this place.
    held_since: u64,
}

pub(super) fn judge(run: &Run<'_>, history: &[Event], anomalies: &mut Vec<TransactionAnomaly>) {
    let mut positions: HashMap<(&str, i32), Position> = HashMap::new();
    let mut ends: HashMap<(&str, i32), Ends> = HashMap::new();
    let mut missed: Vec<(&str, bool, (i32, i64))> = Vec::new();
    let mut seen: HashSet<(&str, &str)> = HashSet::new();
    for event in history {
        match event {
            Event::Polled { reader, committed, poll, partition, offset, payload, at } => {
                let place = (*partition, *offset);
                let found = run.all.log.get(&place).copied();
                match found {
                    None => anomalies.push(TransactionAnomaly::DurabilityLoss { place }),
                    Some(found) if found != payload => {
                        let (seen, found) = (payload.clone(), found.to_owned());
                        anomalies.push(TransactionAnomaly::TwoValuesAtOneOffset { place, seen, found });
                    }
                    Some(_) => {}
                }
                if parse_payload(payload).is_none() {
                    anomalies.push(TransactionAnomaly::Corrupt { place, payload: payload.clone() });
                }
                if *committed {
                    anomalies.extend(too_early(run, reader, place, payload, *at));
                }
                if let Some(name) = transaction_of(payload) {
                    seen.insert((reader, name));
                }
                let position = Position { poll: *poll, last: *offset };
                let Some(before) = positions.insert((reader, *partition), position) else { continue };
                let internal = before.poll == *poll;
                if before.last >= *offset {
                    let (reader, after) = (reader.clone(), before.last);
                    anomalies.push(TransactionAnomaly::NonMonotonicPoll { reader, internal, place, after });
                    continue;
                }
                let log = if *committed { &run.committed.log } else { &run.all.log };
                let between = log.range((*partition, before.last + 1)..place);
                missed.extend(between.map(|(place, _)| (reader.as_str(), internal, *place)));
            }
            // It goes elsewhere of its own accord.
            Event::Positioned { reader, partition } => drop(positions.remove(&(reader.as_str(), *partition))),
            Event::Ends { reader, partition, start, stable, high, at } => {
                let now = Ends { start: *start, stable: *stable, high: *high, held_since: *at };
                let last = ends.entry((reader, *partition)).or_insert(now);
                anomalies.extend(judge_ends(reader, *partition, last, now));
            }
            _ => {}
        }
    }
    for (reader, internal, missed) in missed {
        let writer = run.all.log.get(&missed).and_then(|payload| transaction_of(payload));
        let reader = reader.to_owned();
        anomalies.push(match writer.filter(|name| seen.contains(&(reader.as_str(), *name))) {
            Some(name) => TransactionAnomaly::IntermediateRead { reader, txn: name.to_owned(), missed },
            None => TransactionAnomaly::PollSkip { reader, internal, missed },
        });
    }
}

fn too_early(run: &Run<'_>, reader: &str, place: (i32, i64), payload: &str, at: u64) -> Option<TransactionAnomaly> {
    let name = transaction_of(payload)?;
    let txn = run.txns.get(name)?;
    let (reader, name) = (reader.to_owned(), name.to_owned());
    match txn.committing {
        Some(asked) if txn.may_be_committed() => {
            (at < asked).then_some(TransactionAnomaly::DirtyRead { reader, txn: name, place })
        }
        // Told by the final drain if it is there, too.
        _ if run.committed.log.contains_key(&place) => None,
        _ => Some(TransactionAnomaly::AbortedRead { reader, txn: name, place }),
    }
}

fn judge_ends(reader: &str, partition: i32, last: &mut Ends, now: Ends) -> Option<TransactionAnomaly> {
    let regression = |what| TransactionAnomaly::WatermarkRegression { reader: reader.to_owned(), partition, what };
    let before = *last;
    let held_since = if now.stable == before.stable { before.held_since } else { now.held_since };
    *last = Ends { held_since, ..now };
    if now.high == 0 && before.high > 0 {
        return Some(TransactionAnomaly::SpuriousZero { partition, certain: before.high });
    }
    if now.start < before.start {
        return Some(regression("log start"));
    }
    if now.stable < before.stable {
        return Some(regression("last stable offset"));
    }
    if now.high < before.high {
        return Some(regression("high watermark"));
    }
    if now.stable > now.high || now.start > now.stable {
        return Some(regression("order"));
    }
    let ns = now.held_since.saturating_sub(held_since);
    if now.stable == now.high {
        last.held_since = now.held_since;
        return None;
    }
    if ns > HANGING_NS_MAX {
        last.held_since = now.held_since;
        return Some(TransactionAnomaly::Hanging { partition, stable: now.stable, ns });
    }
    None
}
