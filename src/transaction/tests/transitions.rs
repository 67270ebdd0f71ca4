use super::*;

/// From | to: those that are allowed.
const ALLOWED: &str = "
    Empty          | Empty Ongoing PrepareAbort
    Ongoing        | Ongoing PrepareCommit PrepareAbort
    PrepareCommit  | CompleteCommit
    PrepareAbort   | CompleteAbort
    CompleteCommit | Empty Ongoing PrepareAbort
    CompleteAbort  | Empty Ongoing PrepareAbort
";

/// Version | who ends | epoch | last | producer id and epoch of the markers | of the client afterwards | last epoch afterwards.
const ENDS: &str = "
    V1 | client | 5     | 4     | same 5     | same 5     | 4
    V1 | client | 32766 | 32765 | same 32766 | same 32766 | 32765
    V1 | broker | 5     | 4     | same 6     | same 6     | -1
    V1 | broker | 32765 | 4     | same 32766 | same 32766 | -1
    V1 | broker | 32766 | 4     | same 32767 | same 32767 | -1
    V2 | client | 5     | 4     | same 6     | same 6     | 5
    V2 | broker | 5     | 4     | same 6     | same 6     | 5
    V2 | client | 32765 | 32764 | same 32766 | same 32766 | 32765
    V2 | client | 32766 | 32765 | same 32767 | next 0     | 32766
    V2 | broker | 32766 | 32765 | same 32767 | next 0     | 32766
";

#[test]
fn states_follow_each_other_as_the_table_says() {
    for [from, allowed] in rows(ALLOWED) {
        let allowed: Vec<_> = allowed.split_whitespace().map(state_of).collect();
        for to in TransactionState::ALL {
            assert_eq!(state_of(from).may_become(to), allowed.contains(&to), "{from} to {to:?}");
        }
    }
}

#[test]
fn an_end_raises_the_epoch_once_or_takes_a_new_producer_id() {
    for [version, by, epoch, last, markers, then, last_then] in rows(ENDS) {
        let number = |word: &str| word.parse::<i16>().expect("an epoch");
        let named = |words: &str| {
            let (id, epoch) = words.split_once(' ').expect("id and epoch");
            (if id == "next" { NEXT_ID } else { ID }, ProducerEpoch(number(epoch)))
        };
        for result in [TransactionResult::Commit, TransactionResult::Abort] {
            let case = format!("{version} {by} {epoch} {result:?}");
            let mut transaction = transaction(TransactionState::Ongoing, number(epoch), number(last));
            let version = if version == "V1" { TransactionVersion::V1 } else { TransactionVersion::V2 };
            let by = if by == "client" { EndedBy::Client } else { EndedBy::Broker };
            transaction.prepare(result, version, by, || NEXT_ID, NOW + 1);
            assert_eq!(transaction.prepared(), Some(result), "{case}");
            assert_eq!((transaction.producer_id, transaction.producer_epoch), named(markers), "{case}");
            assert_eq!(transaction.partitions.len(), 1, "{case}: what gets markers is still there");
            transaction.complete(NOW + 2);
            assert_eq!((transaction.producer_id, transaction.producer_epoch), named(then), "{case}");
            assert_eq!(transaction.last_producer_epoch.0, number(last_then), "{case}");
            assert_eq!(transaction.prepared(), None);
            assert!(transaction.partitions.is_empty() && transaction.groups.is_empty(), "{case}");
            assert_eq!(transaction.next_producer_id, ProducerId::NONE, "{case}");
            let is_rotated = then.starts_with("next");
            assert_eq!(transaction.previous_producer_id == ID, is_rotated, "{case}");
        }
    }
}

#[test]
fn what_is_answered_to_an_end_is_answered_to_its_retry() {
    for epoch in [0, 5, 32764, 32765, 32766] {
        let mut transaction = transaction(TransactionState::Ongoing, epoch, -1);
        let end = |transaction: &TransactionMetadata| {
            transaction.end_txn(TransactionVersion::V2, ID, ProducerEpoch(epoch), TransactionResult::Commit)
        };
        assert_eq!(end(&transaction), Ok(EndTxn::End));
        transaction.prepare(TransactionResult::Commit, TransactionVersion::V2, EndedBy::Client, || NEXT_ID, NOW);
        assert_eq!(end(&transaction), Err(TransactionRefused::Concurrent), "{epoch}");
        transaction.complete(NOW);
        assert_eq!(end(&transaction), Ok(EndTxn::Done), "{epoch}");
    }
}

#[test]
fn a_producer_whose_transaction_timed_out_may_go_on_and_a_newer_one_fences_it() {
    let mut transaction = transaction(TransactionState::Ongoing, 5, 4);
    transaction.prepare(TransactionResult::Abort, TransactionVersion::V2, EndedBy::Broker, || NEXT_ID, NOW);
    transaction.complete(NOW);
    let zombie =
        |transaction: &TransactionMetadata, version, result| transaction.end_txn(version, ID, ProducerEpoch(5), result);
    let fenced = Err(TransactionRefused::ProducerFenced);
    assert_eq!(zombie(&transaction, TransactionVersion::V1, TransactionResult::Commit), fenced);
    assert_eq!(zombie(&transaction, TransactionVersion::V1, TransactionResult::Abort), fenced);
    let invalid = Err(TransactionRefused::InvalidState);
    assert_eq!(zombie(&transaction, TransactionVersion::V2, TransactionResult::Commit), invalid);
    assert_eq!(zombie(&transaction, TransactionVersion::V2, TransactionResult::Abort), Ok(EndTxn::Done));
    assert_eq!(transaction.init_producer_id(Some((ID, ProducerEpoch(5)))), Ok(Initialization::Unchanged));
    let newer = transaction.init_producer_id(None).expect("a newer producer");
    transaction.initialize(newer, 1, || NEXT_ID, NOW);
    assert_eq!(transaction.init_producer_id(Some((ID, ProducerEpoch(5)))), Err(TransactionRefused::ProducerFenced));
}

#[test]
fn the_abort_of_nothing_begins_and_ends_at_its_call() {
    let mut transaction = transaction(TransactionState::CompleteCommit, 5, 4);
    transaction.prepare(TransactionResult::Abort, TransactionVersion::V2, EndedBy::Client, || NEXT_ID, NOW + 9);
    assert_eq!(transaction.start_time, NOW + 9);
    transaction.complete(NOW + 9);
    assert_eq!((transaction.state, transaction.producer_epoch.0), (TransactionState::CompleteAbort, 6));
}
