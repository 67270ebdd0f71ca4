use super::*;

/// State | commit | abort: `end`, `done` or a code.
const V1: &str = "
    Empty          | 48   | 48
    Ongoing        | end  | end
    PrepareCommit  | 51   | 48
    PrepareAbort   | 48   | 51
    CompleteCommit | done | 48
    CompleteAbort  | 48   | done
";

/// State | commit with the epoch before | commit with the stored one | abort with the epoch before | abort with the stored one.
const V2: &str = "
    Empty          | 90   | 48  | 90   | end
    Ongoing        | 90   | end | 90   | end
    PrepareCommit  | 51   | 90  | 48   | 90
    PrepareAbort   | 48   | 90  | 51   | 90
    CompleteCommit | done | 48  | 48   | end
    CompleteAbort  | 48   | 48  | done | end
";

fn ended(
    transaction: &TransactionMetadata,
    version: TransactionVersion,
    id: ProducerId,
    epoch: i16,
    result: &str,
) -> String {
    match transaction.end_txn(version, id, ProducerEpoch(epoch), result_of(result)) {
        Ok(EndTxn::End) => "end".to_owned(),
        Ok(EndTxn::Done) => "done".to_owned(),
        Err(refused) => code(refused),
    }
}

#[test]
fn end_of_v1_is_judged_by_state() {
    for [state, commit, abort] in rows(V1) {
        let transaction = transaction(state_of(state), 5, 4);
        for (result, expected) in [("commit", commit), ("abort", abort)] {
            assert_eq!(ended(&transaction, TransactionVersion::V1, ID, 5, result), expected, "{state} {result}");
        }
    }
}

#[test]
fn end_of_v2_is_judged_by_state_and_epoch() {
    for [state, commit_retry, commit, abort_retry, abort] in rows(V2) {
        let transaction = transaction(state_of(state), 5, 4);
        let cases =
            [("commit", 4, commit_retry), ("commit", 5, commit), ("abort", 4, abort_retry), ("abort", 5, abort)];
        for (result, epoch, expected) in cases {
            let ended = ended(&transaction, TransactionVersion::V2, ID, epoch, result);
            assert_eq!(ended, expected, "{state} {result} {epoch}");
        }
    }
}

#[test]
fn the_retry_of_an_end_that_took_the_last_epoch_names_the_old_producer_id() {
    for [state, commit_retry, _, abort_retry, _] in rows::<5>(V2) {
        let mut transaction = transaction(state_of(state), 0, EPOCH_EXHAUSTED.0);
        transaction.previous_producer_id = OLD_ID;
        for (result, expected) in [("commit", commit_retry), ("abort", abort_retry)] {
            let ended = |epoch| ended(&transaction, TransactionVersion::V2, OLD_ID, epoch, result);
            assert_eq!(ended(EPOCH_EXHAUSTED.0), expected, "{state} {result}");
            assert_eq!(ended(i16::MAX), "49", "nobody was given this epoch");
            assert_eq!(ended(0), "49");
        }
        transaction.producer_epoch = ProducerEpoch(1);
        assert_eq!(ended(&transaction, TransactionVersion::V2, OLD_ID, EPOCH_EXHAUSTED.0, "commit"), "49");
    }
}

#[test]
fn end_needs_the_exact_epoch_and_producer_id_in_every_state() {
    for state in TransactionState::ALL {
        let transaction = transaction(state, 5, 4);
        for result in ["commit", "abort"] {
            for epoch in [-1, 0, 4, 6, i16::MAX] {
                assert_eq!(ended(&transaction, TransactionVersion::V1, ID, epoch, result), "90", "{state:?} {epoch}");
            }
            for epoch in [-1, 0, 3, 6, i16::MAX] {
                assert_eq!(ended(&transaction, TransactionVersion::V2, ID, epoch, result), "90", "{state:?} {epoch}");
            }
            for version in [TransactionVersion::V1, TransactionVersion::V2] {
                assert_eq!(ended(&transaction, version, OLD_ID, 5, result), "49", "{state:?}");
                assert_eq!(ended(&transaction, version, ProducerId::NONE, 5, result), "49", "{state:?}");
            }
        }
    }
}

#[test]
fn no_epoch_is_not_the_one_before_the_first() {
    let transaction = transaction(TransactionState::CompleteAbort, 0, -1);
    assert_eq!(ended(&transaction, TransactionVersion::V2, ID, -1, "abort"), "90");
}
