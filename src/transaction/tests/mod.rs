//! The tables of `TransactionCoordinator` as text, row by row.

mod end_txn;
mod init_producer_id;
mod participants;
mod transitions;

use super::transition::EndedBy;
use super::*;
use crate::types::{TopicNo, TransactionResult};

const NOW: Timestamp = 1_700_000_000_000;
/// The current producer id, the one before and the next.
const ID: ProducerId = ProducerId(1000);
const OLD_ID: ProducerId = ProducerId(900);
const NEXT_ID: ProducerId = ProducerId(1100);

fn at(index: u32) -> PartitionId {
    PartitionId { topic: TopicNo(1), index }
}

/// A transaction of [`ID`] in a state, with participants where there are some.
fn transaction(state: TransactionState, epoch: i16, last_epoch: i16) -> TransactionMetadata {
    let mut transaction = TransactionMetadata {
        producer_epoch: ProducerEpoch(epoch),
        last_producer_epoch: ProducerEpoch(last_epoch),
        state,
        timeout_ms: 60_000,
        ..TransactionMetadata::new(ID, NOW)
    };
    if !state.is_at_rest() {
        transaction.partitions.insert(at(0));
        transaction.groups.insert(Arc::from("group"));
        transaction.start_time = NOW;
    }
    transaction
}

fn state_of(name: &str) -> TransactionState {
    TransactionState::of_name(name).expect("a state")
}

fn result_of(name: &str) -> TransactionResult {
    match name {
        "commit" => TransactionResult::Commit,
        "abort" => TransactionResult::Abort,
        _ => panic!("{name}: commit or abort"),
    }
}

/// Cells of a table's lines.
fn rows<const N: usize>(table: &str) -> impl Iterator<Item = [&str; N]> {
    let lines = table.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        cells.try_into().unwrap_or_else(|_| panic!("{line}: not {N} cells"))
    })
}

fn code(refused: TransactionRefused) -> String {
    refused.error(true).0.to_string()
}

#[test]
fn states_are_found_by_the_names_that_they_show() {
    for state in TransactionState::ALL {
        assert_eq!(TransactionState::of_name(state.name()), Some(state));
    }
    assert_eq!(TransactionState::of_name("empty"), None);
}

#[test]
fn only_what_is_at_rest_expires_and_not_when_the_clock_goes_back() {
    for state in TransactionState::ALL {
        let transaction = transaction(state, 1, 0);
        assert!(!transaction.is_expired(NOW + 99, 100), "{state:?}");
        assert_eq!(transaction.is_expired(NOW + 100, 100), state.is_at_rest(), "{state:?}");
        assert!(!transaction.is_expired(NOW - 1_000, 100), "{state:?}");
    }
}

#[test]
fn a_fenced_producer_is_told_so_in_the_words_its_version_knows() {
    let refused = TransactionRefused::ProducerFenced;
    assert_eq!(
        (refused.error(true), refused.error(false)),
        (ErrorCode::PRODUCER_FENCED, ErrorCode::INVALID_PRODUCER_EPOCH)
    );
}
