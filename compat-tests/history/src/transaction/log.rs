//! What the final drains show by themselves and against what the producers were told.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Place, Run, TransactionAnomaly};
use crate::event::{Value, parse_payload, transaction_of};

pub(super) fn judge(run: &Run<'_>, anomalies: &mut Vec<TransactionAnomaly>) {
    judge_payloads(run, anomalies);
    judge_places(run, anomalies);
    judge_order(run, anomalies);
    judge_gaps(run, anomalies);
    for name in run.txns.keys() {
        judge_outcome(run, name, anomalies);
        if let Some(place) = zombie(run, name) {
            anomalies.push(TransactionAnomaly::ZombieWrite { txn: (*name).to_owned(), place });
        }
    }
}

fn judge_payloads(run: &Run<'_>, anomalies: &mut Vec<TransactionAnomaly>) {
    for (&place, payload) in &run.all.log {
        let Some(value) = parse_payload(payload) else {
            anomalies.push(TransactionAnomaly::Corrupt { place, payload: (*payload).to_owned() });
            continue;
        };
        if run.writer_of(payload).is_none_or(|(_, txn)| !txn.sent.contains_key(&value)) {
            anomalies.push(TransactionAnomaly::NeverSent { value, place });
        }
    }
    for (&place, payload) in &run.committed.log {
        match run.all.log.get(&place) {
            Some(found) if found == payload => {}
            Some(found) => {
                let (seen, found) = ((*payload).to_owned(), (*found).to_owned());
                anomalies.push(TransactionAnomaly::TwoValuesAtOneOffset { place, seen, found });
            }
            None => anomalies.push(TransactionAnomaly::DurabilityLoss { place }),
        }
    }
}

/// No value twice: neither written twice by one transaction, nor committed by two.
fn judge_places(run: &Run<'_>, anomalies: &mut Vec<TransactionAnomaly>) {
    let mut writes: BTreeMap<(Value, &str), Vec<Place>> = BTreeMap::new();
    for (&place, payload) in &run.all.log {
        if let (Some(value), Some(txn)) = (parse_payload(payload), transaction_of(payload)) {
            writes.entry((value, txn)).or_default().push(place);
        }
    }
    let mut told: HashSet<Value> = HashSet::new();
    for ((value, txn), places) in writes {
        let Some(&(partition, offset)) = run.txns.get(txn).and_then(|txn| txn.sent.get(&value)) else { continue };
        if places.len() > 1 {
            told.insert(value.clone());
            anomalies.push(match offset {
                Some(_) => TransactionAnomaly::Duplicate { value, places },
                None => TransactionAnomaly::DoubleEffect { value, places },
            });
        } else if let Some(acknowledged) = offset.map(|offset| (partition, offset)).filter(|at| *at != places[0]) {
            let found = places[0];
            anomalies.push(match acknowledged.1 {
                0 => TransactionAnomaly::SpuriousZero { partition, certain: found.1 },
                _ => TransactionAnomaly::WrongOffset { value, acknowledged, found },
            });
        }
    }
    for (value, places) in &run.committed.places {
        if places.len() > 1 && !told.contains(value) {
            anomalies.push(TransactionAnomaly::Duplicate { value: value.clone(), places: places.clone() });
        }
    }
}

fn judge_order(run: &Run<'_>, anomalies: &mut Vec<TransactionAnomaly>) {
    let mut newest: HashMap<(i32, String), u64> = HashMap::new();
    for (&place, payload) in &run.committed.log {
        let Some((producer, seq)) = parse_payload(payload) else { continue };
        if run.committed.places[&(producer.clone(), seq)].len() > 1 {
            continue; // reported as a duplicate, not as an order
        }
        let last = newest.entry((place.0, producer.clone())).or_insert(seq);
        if *last > seq {
            anomalies.push(TransactionAnomaly::NonMonotonicSend { value: (producer, seq), place, after: *last });
        }
        *last = (*last).max(seq);
    }
}

/// Each end takes one offset in each partition of its transaction; nothing else takes any without showing it.
fn judge_gaps(run: &Run<'_>, anomalies: &mut Vec<TransactionAnomaly>) {
    let mut ends: HashMap<i32, usize> = HashMap::new();
    for txn in run.txns.values() {
        let partitions: HashSet<i32> = txn.sent.values().map(|(partition, _)| *partition).collect();
        partitions.into_iter().for_each(|partition| *ends.entry(partition).or_default() += 1);
    }
    let mut seen: BTreeMap<i32, (usize, i64)> = BTreeMap::new();
    for &(partition, offset) in run.all.log.keys() {
        let (count, last) = seen.entry(partition).or_default();
        (*count, *last) = (*count + 1, offset);
    }
    for (partition, (count, last)) in seen {
        let missing = usize::try_from(last + 1).unwrap_or(0).saturating_sub(count);
        let ends = ends.get(&partition).copied().unwrap_or(0);
        if missing > ends {
            anomalies.push(TransactionAnomaly::Gap { partition, missing, ends });
        }
    }
}

/// All of it or nothing, as its producer was told.
fn judge_outcome(run: &Run<'_>, name: &str, anomalies: &mut Vec<TransactionAnomaly>) {
    let txn = &run.txns[name];
    let is_in = |drained: &super::Drained<'_>, value: &Value| {
        let places = drained.places.get(value);
        places.and_then(|at| at.iter().find(|place| transaction_of(drained.log[place]) == Some(name)).copied())
    };
    let (there, missing): (Vec<&Value>, Vec<&Value>) =
        txn.sent.keys().partition(|value| is_in(&run.committed, value).is_some());
    if !there.is_empty() && !txn.may_be_committed() {
        for place in there.iter().filter_map(|value| is_in(&run.committed, value)) {
            let (reader, txn) = ("drain".to_owned(), name.to_owned());
            anomalies.push(TransactionAnomaly::AbortedRead { reader, txn, place });
        }
        return;
    }
    // Without a commit, a value that nobody acknowledged may be missing.
    let missing: Vec<&Value> =
        missing.into_iter().filter(|value| txn.is_committed() || txn.sent[*value].1.is_some()).collect();
    if !there.is_empty() && !missing.is_empty() {
        let (committed, of) = (there.len(), txn.sent.len());
        anomalies.push(TransactionAnomaly::Torn { txn: name.to_owned(), committed, of });
        return;
    }
    for value in missing {
        let (partition, offset) = txn.sent[value];
        if txn.is_committed() {
            let last = run.committed.log.range((partition, 0)..=(partition, i64::MAX)).next_back();
            let value = value.clone();
            anomalies.push(match (last, offset) {
                (Some((last, _)), Some(offset)) if last.1 > offset => {
                    TransactionAnomaly::LostWrite { value, partition }
                }
                _ => TransactionAnomaly::Unseen { value, partition },
            });
        } else if let Some(offset) = offset.filter(|_| is_in(&run.all, value).is_none()) {
            anomalies.push(TransactionAnomaly::DurabilityLoss { place: (partition, offset) });
        }
    }
}

/// A committed place of a transaction whose commit was asked for after a newer instance of its id had come to be.
fn zombie(run: &Run<'_>, name: &str) -> Option<Place> {
    let txn = &run.txns[name];
    let committing = txn.committing?;
    let newer = run.instances.get(txn.id)?.iter().filter(|(instance, _)| *instance > txn.instance);
    newer.map(|(_, at)| *at).min().filter(|fenced| *fenced < committing)?;
    run.committed.log.iter().find(|(_, payload)| transaction_of(payload) == Some(name)).map(|(place, _)| *place)
}
