//! G1c: what transactions were given by each other, and that what began after an end came after it, has an order.
//!
//! Orders of writes are left out: Kafka lets transactions lie between each other, so cycles of these alone are no anomaly, and an
//! open transaction that is overtaken by one of whose values it is given is none either.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Run, TransactionAnomaly};
use crate::event::parse_payload;

pub(super) fn judge(run: &Run<'_>, anomalies: &mut Vec<TransactionAnomaly>) {
    // From who wrote to who was given it.
    let mut given: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (&reader, txn) in &run.txns {
        for &(place, payload) in &txn.consumed {
            let Some((writer, wrote)) = run.writer_of(payload) else { continue };
            if writer == reader {
                anomalies.push(TransactionAnomaly::PreCommittedRead { txn: reader.to_owned(), place });
            } else if !wrote.may_be_committed() {
                let reader = reader.to_owned();
                anomalies.push(TransactionAnomaly::AbortedRead { reader, txn: writer.to_owned(), place });
            } else if parse_payload(payload).is_some() {
                given.entry(writer).or_default().push(reader);
            }
        }
    }
    // Real time: a value is given to what ended before its writer began.
    for (writer, readers) in &given {
        for reader in readers {
            if run.txns[reader].ended.is_some_and(|(_, at)| at < run.txns[writer].began) {
                let txns = vec![(*writer).to_owned(), (*reader).to_owned()];
                anomalies.push(TransactionAnomaly::Cycle { txns });
                return;
            }
        }
    }
    if let Some(txns) = find(&given) {
        anomalies.push(TransactionAnomaly::Cycle { txns });
    }
}

/// One cycle, if there is any. Without recursion: chains of transactions are long.
fn find(edges: &BTreeMap<&str, Vec<&str>>) -> Option<Vec<String>> {
    let mut done: HashSet<&str> = HashSet::new();
    for start in edges.keys() {
        let mut path: Vec<(&str, usize)> = vec![(start, 0)];
        let mut on_path: HashMap<&str, usize> = HashMap::from([(*start, 0)]);
        while let Some((at, next)) = path.last_mut() {
            let to = edges.get(at).and_then(|to| to.get(*next)).copied();
            *next += 1;
            match to {
                Some(to) if on_path.contains_key(to) => {
                    return Some(path[on_path[to]..].iter().map(|(txn, _)| (*txn).to_owned()).collect());
                }
                Some(to) if !done.contains(to) => {
                    on_path.insert(to, path.len());
                    path.push((to, 0));
                }
                Some(_) => {}
                None => {
                    on_path.remove(at);
                    done.insert(at);
                    path.pop();
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::find;
    use std::collections::BTreeMap;

    #[test]
    fn a_cycle_is_found_and_a_diamond_is_none() {
        let diamond = BTreeMap::from([("a", vec!["b", "c"]), ("b", vec!["d"]), ("c", vec!["d"])]);
        assert_eq!(find(&diamond), None);
        let cyclic = BTreeMap::from([("a", vec!["b"]), ("b", vec!["c", "d"]), ("d", vec!["b"])]);
        assert_eq!(find(&cyclic), Some(vec!["b".to_owned(), "d".to_owned()]));
    }
}
