use super::*;

/// State | V1 with a partition that is listed | with another | V2 with one that is listed | with another: `present`, `add`, a code.
const MEMBERSHIP: &str = "
    Empty          | 120     | 120 | add     | add
    Ongoing        | present | 120 | present | add
    PrepareCommit  | 51      | 51  | 51      | 51
    PrepareAbort   | 51      | 51  | 51      | 51
    CompleteCommit | 120     | 120 | add     | add
    CompleteAbort  | 120     | 120 | add     | add
";

fn judged(membership: Result<Membership, TransactionRefused>) -> String {
    match membership {
        Ok(Membership::Present) => "present".to_owned(),
        Ok(Membership::ToBeAdded) => "add".to_owned(),
        Err(refused) => code(refused),
    }
}

#[test]
fn what_is_written_must_be_part_of_the_transaction_or_becomes_it() {
    use TransactionVersion::{V1, V2};
    for [state, v1_listed, v1_other, v2_listed, v2_other] in rows(MEMBERSHIP) {
        let transaction = transaction(state_of(state), 5, 4);
        for (version, is_listed, expected) in
            [(V1, true, v1_listed), (V1, false, v1_other), (V2, true, v2_listed), (V2, false, v2_other)]
        {
            let (partition, group) = if is_listed { (at(0), "group") } else { (at(1), "other") };
            let (id, epoch) = (ID, ProducerEpoch(5));
            let partition = transaction.check_partition(version, id, epoch, partition);
            assert_eq!(judged(partition), expected, "{state} {version:?} {is_listed}");
            let group = transaction.check_group(version, id, epoch, group);
            assert_eq!(judged(group), expected, "{state} {version:?} {is_listed}");
        }
    }
}

#[test]
fn foreign_and_fenced_producers_add_nothing_in_any_state() {
    for state in TransactionState::ALL {
        let transaction = transaction(state, 5, 4);
        for (id, epoch, expected) in [(OLD_ID, 5, "49"), (ID, 4, "90"), (ID, 6, "90"), (ID, -1, "90")] {
            let checked = transaction.check_producer(id, ProducerEpoch(epoch));
            assert_eq!(checked.map_err(code), Err(expected.to_owned()), "{state:?} {id} {epoch}");
            for version in [TransactionVersion::V1, TransactionVersion::V2] {
                let checked = transaction.check_partition(version, id, ProducerEpoch(epoch), at(0));
                assert_eq!(checked.map_err(code), Err(expected.to_owned()), "{state:?} {id} {epoch}");
            }
        }
    }
}

#[test]
fn the_first_participant_begins_the_transaction() {
    let mut transaction = transaction(TransactionState::Empty, 5, 4);
    assert!(transaction.add_partition(TransactionVersion::V2, at(3), NOW + 5));
    assert_eq!((transaction.state, transaction.start_time), (TransactionState::Ongoing, NOW + 5));
    assert!(!transaction.add_partition(TransactionVersion::V2, at(3), NOW + 6));
    assert!(transaction.add_group(TransactionVersion::V2, &Arc::from("group"), NOW + 7));
    assert!(!transaction.add_group(TransactionVersion::V2, &Arc::from("group"), NOW + 7));
    assert_eq!((transaction.start_time, transaction.last_update), (NOW + 5, NOW + 7));
}
