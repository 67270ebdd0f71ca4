//! Transactions, and the offsets that they will commit.

use std::collections::BTreeSet;

use super::finding::Report;
use super::shelf::Shelf;
use super::walk::rows;
use crate::store::schema::{
    OffsetRow, pending_offset_of_key, pending_offsets_prefix, transaction_of_key, transactions_prefix,
};
use crate::transaction::{TransactionMetadata, TransactionState};
use crate::types::ProducerId;

/// Checks that what is pending for a group belongs to a transaction that will end.
pub(super) fn check(shelf: &dyn Shelf, report: &mut Report) {
    let transactions =
        rows::<_, TransactionMetadata>(shelf, &transactions_prefix(), transaction_of_key, "transaction", report);
    let mut open: BTreeSet<ProducerId> = BTreeSet::new();
    for (_, metadata) in &transactions {
        use TransactionState::{Ongoing, PrepareAbort, PrepareCommit};
        if matches!(metadata.state, Ongoing | PrepareCommit | PrepareAbort) {
            open.insert(metadata.producer_id);
        }
    }
    let pending =
        rows::<_, OffsetRow>(shelf, &pending_offsets_prefix(), pending_offset_of_key, "pending offset", report);
    for ((producer_id, group, partition), _) in pending {
        if !open.contains(&producer_id) {
            let place = format!("pending offset of group {group} in partition {partition}");
            report.damage(place, None, format!("producer {} has no open transaction to commit it", producer_id.0));
        }
    }
}
