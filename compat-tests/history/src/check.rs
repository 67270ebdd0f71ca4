//! The rules: what an exactly-once log may and may not show for a history.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::event::{Event, Value, parse_payload};

/// Something that an exactly-once log never shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Anomaly {
    /// Acknowledged, and not in the final drain.
    Lost { value: Value, partition: i32, offset: i64 },
    /// In the final drain more than once.
    Duplicate { value: Value, places: Vec<(i32, i64)> },
    /// A producer's values of one partition lie in another order than they were sent.
    Reordered { producer: String, partition: i32, offset: i64, seq: u64, after: u64 },
    /// Acknowledged with another place than it has.
    WrongOffset { value: Value, acknowledged: (i32, i64), found: (i32, i64) },
    /// Two payloads were seen at one place.
    TwoValuesAtOneOffset { partition: i32, offset: i64, seen: String, found: String },
    /// A payload that no writer wrote: its checksum is wrong.
    Corrupt { partition: i32, offset: i64, payload: String },
    /// A well-formed value that nobody sent.
    NeverSent { value: Value, partition: i32, offset: i64 },
    /// Refused by the broker, and stored all the same.
    RefusedButStored { value: Value, partition: i32, offset: i64 },
    /// Seen by a reader, and gone in the final drain.
    Retracted { reader: String, partition: i32, offset: i64 },
    /// A reader got an offset twice, or a smaller one later.
    ReadBackwards { reader: String, partition: i32, offset: i64, after: i64 },
    /// The end of a partition moved back, or ends below what a reader saw.
    WatermarkRegression { reader: String, partition: i32, high: i64, after: i64 },
    /// Offsets of the final drain are not contiguous.
    Gap { partition: i32, expected: i64, found: i64 },
}

/// What the history holds.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counts {
    pub invoked: usize,
    pub acknowledged: usize,
    pub unknown: usize,
    pub unknown_stored: usize,
    pub drained: usize,
    pub read: usize,
}

#[derive(Default)]
struct Sent {
    invoked: HashSet<Value>,
    acknowledged: BTreeMap<Value, (i32, i64)>,
    failed: HashSet<Value>,
}

/// The final log: payload by place.
type Log<'a> = BTreeMap<(i32, i64), &'a str>;

/// Checks histories of several observers, each in its own order.
pub fn check(histories: &[Vec<Event>]) -> (Counts, Vec<Anomaly>) {
    let mut sent = Sent::default();
    let mut log = Log::new();
    let mut anomalies = Vec::new();
    let mut read = 0;
    for event in histories.iter().flatten() {
        match event {
            Event::Invoke { producer, seq } => drop(sent.invoked.insert((producer.clone(), *seq))),
            Event::Ok { producer, seq, partition, offset } => {
                sent.acknowledged.insert((producer.clone(), *seq), (*partition, *offset));
            }
            Event::Fail { producer, seq } => drop(sent.failed.insert((producer.clone(), *seq))),
            Event::Drain { partition, offset, payload } => {
                if let Some(seen) = log.insert((*partition, *offset), payload).filter(|seen| seen != payload) {
                    anomalies.push(two_values(*partition, *offset, seen, payload));
                }
            }
            Event::Read { .. } => read += 1,
            _ => {}
        }
    }
    let places = check_log(&log, &sent, &mut anomalies);
    check_acknowledged(&sent, &places, &mut anomalies);
    for history in histories {
        check_readers(history, &log, &mut anomalies);
    }

    let undecided = |value: &&Value| !sent.acknowledged.contains_key(*value) && !sent.failed.contains(*value);
    let unknown: Vec<&Value> = sent.invoked.iter().filter(undecided).collect();
    let counts = Counts {
        invoked: sent.invoked.len(),
        acknowledged: sent.acknowledged.len(),
        unknown: unknown.len(),
        unknown_stored: unknown.iter().filter(|value| places.contains_key(**value)).count(),
        drained: log.len(),
        read,
    };
    (counts, anomalies)
}

fn two_values(partition: i32, offset: i64, seen: &str, found: &str) -> Anomaly {
    Anomaly::TwoValuesAtOneOffset { partition, offset, seen: seen.to_owned(), found: found.to_owned() }
}

/// Judges the log by itself and against what was sent; returns where each value lies.
fn check_log(log: &Log<'_>, sent: &Sent, anomalies: &mut Vec<Anomaly>) -> HashMap<Value, Vec<(i32, i64)>> {
    let mut places: HashMap<Value, Vec<(i32, i64)>> = HashMap::new();
    let mut newest: HashMap<(i32, String), u64> = HashMap::new();
    let mut next: HashMap<i32, i64> = HashMap::new();
    for (&(partition, offset), payload) in log {
        let expected = next.insert(partition, offset + 1).unwrap_or(offset);
        if expected != offset {
            anomalies.push(Anomaly::Gap { partition, expected, found: offset });
        }
        let Some(value) = parse_payload(payload) else {
            anomalies.push(Anomaly::Corrupt { partition, offset, payload: (*payload).to_owned() });
            continue;
        };
        if sent.failed.contains(&value) {
            anomalies.push(Anomaly::RefusedButStored { value: value.clone(), partition, offset });
        } else if !sent.invoked.contains(&value) {
            anomalies.push(Anomaly::NeverSent { value: value.clone(), partition, offset });
        }
        let (producer, seq) = value.clone();
        let found = places.entry(value).or_default();
        found.push((partition, offset));
        if found.len() > 1 {
            continue; // reported as a duplicate, not as an order
        }
        match newest.get(&(partition, producer.clone())) {
            Some(&after) if after > seq => {
                anomalies.push(Anomaly::Reordered { producer, partition, offset, seq, after });
            }
            _ => drop(newest.insert((partition, producer), seq)),
        }
    }
    for (value, found) in &places {
        if found.len() > 1 {
            anomalies.push(Anomaly::Duplicate { value: value.clone(), places: found.clone() });
        }
    }
    places
}

fn check_acknowledged(sent: &Sent, places: &HashMap<Value, Vec<(i32, i64)>>, anomalies: &mut Vec<Anomaly>) {
    for (value, &acknowledged) in &sent.acknowledged {
        match places.get(value) {
            None => {
                let (partition, offset) = acknowledged;
                anomalies.push(Anomaly::Lost { value: value.clone(), partition, offset });
            }
            Some(found) if !found.contains(&acknowledged) => {
                anomalies.push(Anomaly::WrongOffset { value: value.clone(), acknowledged, found: found[0] });
            }
            Some(_) => {}
        }
    }
}

/// Judges what the readers of one history saw, each in its own order, against the final log.
fn check_readers(history: &[Event], log: &Log<'_>, anomalies: &mut Vec<Anomaly>) {
    let mut last_read: HashMap<(&str, i32), i64> = HashMap::new();
    let mut highest: HashMap<(&str, i32), i64> = HashMap::new();
    for event in history {
        match event {
            Event::Read { reader, partition, offset, payload } => {
                match log.get(&(*partition, *offset)) {
                    None => anomalies.push(Anomaly::Retracted {
                        reader: reader.clone(),
                        partition: *partition,
                        offset: *offset,
                    }),
                    Some(found) if found != payload => {
                        anomalies.push(two_values(*partition, *offset, payload, found));
                    }
                    Some(_) => {}
                }
                if let Some(after) = last_read.insert((reader, *partition), *offset).filter(|last| last >= offset) {
                    let (reader, partition, offset) = (reader.clone(), *partition, *offset);
                    anomalies.push(Anomaly::ReadBackwards { reader, partition, offset, after });
                }
                let high = highest.entry((reader, *partition)).or_insert(0);
                *high = (*high).max(offset + 1);
            }
            Event::Watermark { reader, partition, high } => {
                let after = highest.entry((reader, *partition)).or_insert(0);
                if high < after {
                    let (reader, partition, high, after) = (reader.clone(), *partition, *high, *after);
                    anomalies.push(Anomaly::WatermarkRegression { reader, partition, high, after });
                }
                *after = (*after).max(*high);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
