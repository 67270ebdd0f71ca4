//! Transactions, and the offsets that they will commit.

use std::collections::BTreeSet;

use super::finding::Report;
use super::shelf::Shelf;
use super::walk::each;
use crate::store::schema::{
    OffsetRow, pending_offset_of_key, pending_offsets_prefix, transaction_of_key, transactions_prefix,
};
use crate::transaction::{TransactionMetadata, TransactionState};
use crate::types::ProducerId;

/// Checks that what is pending for a group belongs to a transaction that will end.
pub(super) fn check(shelf: &dyn Shelf, report: &mut Report) {
    let mut open: BTreeSet<ProducerId> = BTreeSet::new();
    let transaction = |_, metadata: TransactionMetadata, _: &mut Report| {
        use TransactionState::{Ongoing, PrepareAbort, PrepareCommit};
        if matches!(metadata.state, Ongoing | PrepareCommit | PrepareAbort) {
            open.insert(metadata.producer_id);
        }
    };
    each(shelf, &transactions_prefix(), transaction_of_key, "transaction", report, transaction);
    let pending = |(producer_id, group, partition): (ProducerId, _, _), _: OffsetRow, report: &mut Report| {
        if !open.contains(&producer_id) {
            let place = format!("pending offset of group {group} in partition {partition}");
            report.damage(place, None, format!("producer {} has no open transaction to commit it", producer_id.0));
        }
    };
    each(shelf, &pending_offsets_prefix(), pending_offset_of_key, "pending offset", report, pending);
}
