//! What administrators see of transactions.

use super::Transactions;
use crate::engine::command::{ListedTransaction, TransactionFilter};
use crate::transaction::TransactionMetadata;
use crate::types::Timestamp;

impl Transactions {
    /// Each of `transactional_ids` in full, none where there is no such id.
    pub fn describe(&self, transactional_ids: &[String]) -> Vec<Option<TransactionMetadata>> {
        transactional_ids.iter().map(|id| self.get(id).cloned()).collect()
    }

    /// Those that pass `filter`, by id.
    pub fn list(&self, filter: &TransactionFilter, now: Timestamp) -> Vec<ListedTransaction> {
        let passing = self.by_id.iter().filter(|(id, entry)| filter.passes(id, &entry.metadata, now));
        let mut listed: Vec<_> = passing
            .map(|(id, entry)| ListedTransaction {
                transactional_id: id.to_string(),
                producer_id: entry.metadata.producer_id,
                state: entry.metadata.state,
            })
            .collect();
        listed.sort_unstable_by(|one, other| one.transactional_id.cmp(&other.transactional_id));
        listed
    }
}
