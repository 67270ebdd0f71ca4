//! Ids of records in transactions.

use super::*;

#[tokio::test]
async fn ids_of_a_transaction_share_its_fate() {
    let broker = start(WINDOW).await;
    let of = |producer: i64, sequence, ids: &[&str]| {
        identified(ids).producer(ProducerId(producer), ProducerEpoch(0), sequence).transactional()
    };
    for (round, (result, kept)) in (0..).zip([(TransactionResult::Abort, false), (TransactionResult::Commit, true)]) {
        let sequence = round * 5;
        let first = broker.offer_batch(of(1, sequence, &["a", "b"])).await;
        assert!(first.error.is_none());
        assert_eq!(broker.offer_batch(of(1, sequence + 2, &["b", "a"])).await.base_offset, first.base_offset + 1);
        assert!(broker.offer_batch(of(1, sequence + 4, &["c"])).await.error.is_none());
        refused(ErrorCode::NOT_ENOUGH_REPLICAS, &broker.offer(&["x", "a"]).await);
        refused(ErrorCode::NOT_ENOUGH_REPLICAS, &broker.offer_batch(of(2, 0, &["c"])).await);
        let log_end = broker.offsets("t").log_end;
        broker.end(&["t"], 1, 0, result).await;
        assert_eq!(broker.offsets("t").log_end, log_end + 1, "one marker");
        if kept {
            assert_eq!(broker.offer(&["a", "c"]).await.base_offset, first.base_offset);
        } else {
            assert_eq!(broker.id_rows(), 0);
        }
    }
}

#[tokio::test]
async fn open_transactions_hold_their_ids_over_a_restart() {
    let mut broker = start(WINDOW).await;
    let of = |producer: i64, sequence, ids: &[&str]| {
        identified(ids).producer(ProducerId(producer), ProducerEpoch(0), sequence).transactional()
    };
    broker.offer_batch(of(1, 0, &["a"])).await;
    broker.end(&["t"], 1, 0, TransactionResult::Commit).await;
    broker.offer_batch(of(1, 1, &["b"])).await;
    broker.offer_batch(of(2, 0, &["c"])).await;
    for _ in 0..2 {
        broker = broker.restart().await;
        assert_eq!(broker.offer(&["a"]).await, at(0));
        refused(ErrorCode::NOT_ENOUGH_REPLICAS, &broker.offer(&["b"]).await);
        refused(ErrorCode::NOT_ENOUGH_REPLICAS, &broker.offer(&["c"]).await);
    }
    broker.end(&["t"], 1, 0, TransactionResult::Commit).await;
    broker.end(&["t"], 2, 0, TransactionResult::Abort).await;
    let broker = broker.restart().await;
    assert_eq!(broker.offer(&["b"]).await, at(2));
    assert_eq!(broker.offer(&["c"]).await, at(6));
}

#[tokio::test]
async fn transaction_of_which_all_is_known_is_nothing_that_readers_wait_for() {
    let broker = start(WINDOW).await;
    broker.offer(&["a"]).await;
    let known = identified(&["a"]).producer(ProducerId(1), ProducerEpoch(0), 0).transactional();
    assert_eq!(broker.offer_batch(known).await, at(0));
    assert_eq!(broker.offer(&["b"]).await, at(1));
    assert_eq!(broker.offsets("t").last_stable_offset, 2);
    broker.end(&["t"], 1, 0, TransactionResult::Abort).await;
    assert_eq!(broker.offer(&["a"]).await, at(0), "the abort is not the first one's");
    assert_eq!(broker.read_committed("t", 0).await, [0, 1]);
}

#[tokio::test]
async fn new_record_under_the_sequence_of_an_aborted_repetition_is_not_taken_for_it() {
    let broker = start(WINDOW).await;
    broker.offer(&["a"]).await;
    let of = |sequence, id| identified(&[id]).producer(ProducerId(1), ProducerEpoch(0), sequence).transactional();
    assert_eq!(broker.offer_batch(of(0, "a")).await, at(0));
    assert_eq!(broker.offer_batch(of(0, "a")).await, at(0), "a retry");
    broker.end(&["t"], 1, 0, TransactionResult::Abort).await;
    refused(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, &broker.offer_batch(of(0, "new")).await);
    assert_eq!(broker.offer_batch(of(1, "new")).await, at(2));
}
