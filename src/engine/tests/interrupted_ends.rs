//! The power goes after each of the writes that an end takes: what a start finds then is the transaction as it was, or goes on to
//! what it would have come to.

use super::harness::TestEngine;
use super::split_end::{EndedBy, look, open_transaction, rounds, settings_of_slices};
use crate::engine::command::TransactionProducer;
use crate::transaction::{TransactionState, TransactionVersion};

/// Has it ended, and written as far as it goes while nothing is synced. Answers the number of writes.
async fn end_unsynced(broker: &TestEngine, producer: &TransactionProducer, by: EndedBy) -> usize {
    broker.store.syncs.hold();
    let asked = by.begin(broker, producer).await;
    assert!(by == EndedBy::Timeout || !asked.is_finished(), "answered before it is synced");
    asked.abort();
    broker.store.memory.unsynced_writes()
}

async fn opened(version: TransactionVersion) -> (TestEngine, TransactionProducer) {
    let broker = TestEngine::start_with(settings_of_slices());
    let producer = open_transaction(&broker, version).await;
    (broker, producer)
}

#[tokio::test]
async fn a_power_cut_after_each_write_of_an_end_leaves_all_of_it_or_nothing() {
    for (version, by) in [TransactionVersion::V1, TransactionVersion::V2]
        .into_iter()
        .flat_map(|version| EndedBy::ALL.map(|by| (version, by)))
    {
        let (broker, producer) = opened(version).await;
        let before = look(&broker).await;
        let answer = by.begin(&broker, &producer).await.await.expect("no panic");
        let ended = look(&broker).await;
        assert_ne!(before, ended);
        let state = ended.transaction.as_ref().expect("known").state;
        let complete =
            if by == EndedBy::Commit { TransactionState::CompleteCommit } else { TransactionState::CompleteAbort };
        assert_eq!(state, complete);
        let broker = broker.crash(0);
        assert_eq!(look(&broker).await, ended, "{version:?} {by:?}: what is answered is kept");

        let (broker, producer) = opened(version).await;
        let writes = end_unsynced(&broker, &producer, by).await;
        assert!(writes >= 4, "{version:?} {by:?}: {writes} slices");
        for keep in 0..=writes {
            let case = format!("{version:?} {by:?} after {keep} of {writes} writes");
            let (broker, producer) = opened(version).await;
            assert_eq!(end_unsynced(&broker, &producer, by).await, writes);
            let broker = broker.crash(keep);
            if keep == 0 {
                assert_eq!(look(&broker).await, before, "{case}: nothing of it");
            } else {
                // Decided: whoever asks again is told to come later, or that it is done.
                rounds(&broker).await;
                assert_eq!(look(&broker).await, ended, "{case}");
            }
            // Once more, by those whose second time is no other one's first.
            if keep == 0 || matches!(by, EndedBy::Commit | EndedBy::Abort) {
                let retried = by.begin(&broker, &producer).await.await.expect("no panic");
                assert_eq!(retried, answer, "{case}");
                // The broker looks later for what is late.
                assert_eq!(look(&broker).await.timeless(), ended.clone().timeless(), "{case}, and the retry");
            }
        }
    }
}
