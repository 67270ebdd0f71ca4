//! What became of the transactions whose batches pass by, in order (`CleanedTransactionMetadata` in Kafka). Pure.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::log::aborted::Aborted;
use crate::types::{Offset, ProducerId, TransactionResult};

/// See the module.
pub(super) struct Transactions {
    /// Aborted ones that have not begun yet, by first offset.
    to_come: VecDeque<Aborted>,
    /// Aborted ones that have begun and not ended, and whether a batch of theirs is still there.
    aborted: HashMap<ProducerId, bool>,
    /// Committed ones of which a batch is still there.
    committed: HashSet<ProducerId>,
}

impl Transactions {
    /// Of a range of the log, with all aborted ones that overlap it, by first offset.
    pub fn new(aborted: Vec<Aborted>) -> Self {
        Self { to_come: aborted.into(), aborted: HashMap::new(), committed: HashSet::new() }
    }

    /// Takes note of a batch of records; answers whether it is of an aborted transaction.
    pub fn pass_batch(&mut self, producer_id: ProducerId, is_transactional: bool, last_offset: Offset) -> bool {
        self.begin_up_to(last_offset);
        if !is_transactional {
            return false;
        }
        match self.aborted.get_mut(&producer_id) {
            Some(has_batches) => {
                *has_batches = true;
                true
            }
            None => {
                self.committed.insert(producer_id);
                false
            }
        }
    }

    /// Takes note of a marker; answers whether its transaction has no batch left before it.
    pub fn pass_marker(&mut self, producer_id: ProducerId, result: TransactionResult, offset: Offset) -> bool {
        self.begin_up_to(offset);
        match result {
            TransactionResult::Abort => !self.aborted.remove(&producer_id).unwrap_or(false),
            TransactionResult::Commit => !self.committed.remove(&producer_id),
        }
    }

    fn begin_up_to(&mut self, offset: Offset) {
        while let Some(begun) = self.to_come.front().filter(|aborted| aborted.first_offset <= offset) {
            self.aborted.insert(begun.producer_id, false);
            self.to_come.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ProducerId = ProducerId(1);
    const B: ProducerId = ProducerId(2);

    #[test]
    fn batches_are_aborted_from_the_first_offset_to_the_marker_and_markers_know_what_is_left() {
        let aborted = |first_offset, producer_id| Aborted { first_offset, producer_id };
        let mut seen = Transactions::new(vec![aborted(2, A), aborted(5, B), aborted(9, A)]);
        assert!(!seen.pass_batch(A, true, 0));
        assert!(!seen.pass_marker(A, TransactionResult::Commit, 1), "its batch is there");
        assert!(seen.pass_batch(A, true, 3));
        assert!(!seen.pass_batch(B, false, 4), "outside of transactions");
        assert!(!seen.pass_marker(A, TransactionResult::Abort, 6));
        assert!(seen.pass_marker(B, TransactionResult::Abort, 7), "nothing of it is left");
        assert!(!seen.pass_batch(A, true, 8));
        assert!(seen.pass_marker(B, TransactionResult::Commit, 8), "nothing of it is left");
        assert!(!seen.pass_marker(A, TransactionResult::Commit, 8));
        assert!(seen.pass_batch(A, true, 10));
    }
}
