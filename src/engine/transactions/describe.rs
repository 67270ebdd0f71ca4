//! What administrators see of transactions.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::Transactions;
use crate::engine::command::ListedTransaction;
use crate::transaction::{TransactionMetadata, TransactionState};
use crate::types::{ProducerEpoch, ProducerId};

impl Transactions {
    /// Each of `transactional_ids` in full, none where there is no such id.
    pub fn describe(&self, transactional_ids: &[String]) -> Vec<Option<TransactionMetadata>> {
        transactional_ids.iter().map(|id| self.get(id).cloned()).collect()
    }

    /// Epochs of the producers whose transactions are open or prepared.
    pub fn open_epochs(&self) -> HashMap<ProducerId, ProducerEpoch> {
        let open = self.spans.ids().filter_map(|id| self.get(id));
        open.map(|metadata| (metadata.producer_id, metadata.producer_epoch)).collect()
    }

    /// Those in one of `states`, all if that is empty, in no order. What a client asks beyond that, and the order, is left to its
    /// own thread: appends wait for this one.
    pub fn list(&self, states: &BTreeSet<TransactionState>) -> Vec<ListedTransaction> {
        let passing =
            self.by_id.iter().filter(|(_, entry)| states.is_empty() || states.contains(&entry.metadata.state));
        let listed = passing.map(|(id, entry)| ListedTransaction {
            transactional_id: Arc::clone(id),
            producer_id: entry.metadata.producer_id,
            state: entry.metadata.state,
            start_time: entry.metadata.start_time,
        });
        listed.collect()
    }
}
