use super::*;

/// Stored epoch | last epoch | given: `none`, or an epoch of the current id, or `old:` and one of the id before | what is done, or
/// a code | producer id answered | epoch answered | last epoch then.
const AT_REST: &str = "
    -1    | -1    | none      | bump    | same | 0     | -1
    -1    | -1    | 7         | bump    | same | 0     | -1
    0     | -1    | none      | bump    | same | 1     | -1
    5     | 4     | none      | bump    | same | 6     | -1
    5     | 4     | 5         | bump    | same | 6     | 5
    5     | 4     | 4         | same    | same | 5     | 4
    5     | -1    | 4         | 90      |      |       |
    5     | 4     | 3         | 90      |      |       |
    5     | 4     | 6         | 90      |      |       |
    5     | 4     | old:5     | 90      |      |       |
    5     | 4     | old:4     | 90      |      |       |
    5     | 4     | old:32766 | 90      |      |       |
    0     | 32766 | old:32766 | same    | same | 0     | 32766
    0     | 32766 | old:32767 | 90      |      |       |
    0     | 32766 | 0         | bump    | same | 1     | 0
    0     | 32766 | none      | bump    | same | 1     | -1
    32765 | 32764 | none      | bump    | same | 32766 | -1
    32765 | 32764 | 32765     | bump    | same | 32766 | 32765
    32766 | 32765 | none      | rotate  | next | 0     | -1
    32766 | 32765 | 32766     | rotate  | next | 0     | 32766
    32766 | 32765 | 32765     | same    | same | 32766 | 32765
    32766 | 32765 | 32764     | 90      |      |       |
    32766 | 32765 | old:32766 | 90      |      |       |
    32767 | -1    | none      | rotate  | next | 0     | -1
    32767 | -1    | 32766     | 90      |      |       |
";

fn given(word: &str) -> Option<(ProducerId, ProducerEpoch)> {
    let (id, epoch) = word.strip_prefix("old:").map_or((ID, word), |epoch| (OLD_ID, epoch));
    (word != "none").then(|| (id, ProducerEpoch(epoch.parse().expect("an epoch"))))
}

#[test]
fn next_epoch_follows_from_the_stored_one_and_the_one_given() {
    let at_rest = TransactionState::ALL.into_iter().filter(|state| state.is_at_rest());
    for state in at_rest {
        for [epoch, last, word, expected, id_then, epoch_then, last_then] in rows(AT_REST) {
            let case = format!("{state:?}: {epoch} {last} {word}");
            let number = |word: &str| word.parse::<i16>().expect("an epoch");
            let mut transaction = transaction(state, number(epoch), number(last));
            transaction.previous_producer_id = OLD_ID;
            let how = match transaction.init_producer_id(given(word)) {
                Ok(how) => how,
                Err(refused) => {
                    assert_eq!(code(refused), expected, "{case}");
                    continue;
                }
            };
            let name = match how {
                Initialization::Unchanged => "same",
                Initialization::Bump { .. } => "bump",
                Initialization::Rotate { .. } => "rotate",
                Initialization::Fence => "fence",
            };
            assert_eq!(name, expected, "{case}");
            transaction.initialize(how, 30_000, || NEXT_ID, NOW + 1);
            assert_eq!(transaction.producer_id, if id_then == "next" { NEXT_ID } else { ID }, "{case}");
            assert_eq!(transaction.producer_epoch.0, number(epoch_then), "{case}");
            assert_eq!(transaction.last_producer_epoch.0, number(last_then), "{case}");
            let left = (transaction.state, transaction.timeout_ms, transaction.start_time, transaction.last_update);
            assert_eq!(left, (TransactionState::Empty, 30_000, -1, NOW + 1), "{case}");
        }
    }
}

#[test]
fn the_retry_of_a_call_that_took_a_new_producer_id_is_answered_the_same() {
    let mut transaction = transaction(TransactionState::Empty, EPOCH_EXHAUSTED.0, EPOCH_EXHAUSTED.0 - 1);
    let given = Some((ID, EPOCH_EXHAUSTED));
    let how = transaction.init_producer_id(given).expect("allowed");
    transaction.initialize(how, 1, || NEXT_ID, NOW);
    let answered = (transaction.producer_id, transaction.producer_epoch);
    assert_eq!(answered, (NEXT_ID, ProducerEpoch(0)));
    let how = transaction.init_producer_id(given).expect("a retry");
    transaction.initialize(how, 1, || panic!("no other id"), NOW);
    assert_eq!((transaction.producer_id, transaction.producer_epoch), answered);
}

#[test]
fn an_open_transaction_is_fenced_by_whoever_is_not_foreign() {
    for (given, expected) in [
        (None, Ok(Initialization::Fence)),
        (Some((ID, ProducerEpoch(5))), Ok(Initialization::Fence)),
        (Some((ID, ProducerEpoch(3))), Ok(Initialization::Fence)),
        (Some((OLD_ID, ProducerEpoch(5))), Err(TransactionRefused::ProducerFenced)),
    ] {
        let ongoing = transaction(TransactionState::Ongoing, 5, 4);
        assert_eq!(ongoing.init_producer_id(given), expected, "{given:?}");
        for state in [TransactionState::PrepareCommit, TransactionState::PrepareAbort] {
            let expected = if expected.is_ok() { Err(TransactionRefused::Concurrent) } else { expected };
            assert_eq!(transaction(state, 5, 4).init_producer_id(given), expected, "{state:?} {given:?}");
        }
    }
}
