//! Pipelined batches of a producer behind one that was refused for its ids: clients take a success for proof of all that they sent before.

use super::*;

/// A batch of producer 9.
fn of_nine(sequence: i32, ids: &[&str]) -> BatchBuilder {
    identified(ids).producer(ProducerId(9), ProducerEpoch(0), sequence)
}

/// A broker on which an open transaction of producer 1 has the id `x`, at offset 0.
async fn holding_x() -> TestEngine {
    let broker = start(WINDOW).await;
    let held = identified(&["x"]).producer(ProducerId(1), ProducerEpoch(0), 0).transactional();
    assert_eq!(broker.offer_batch(held).await, at(0));
    broker
}

#[tokio::test]
async fn nothing_of_a_fresh_producer_is_stored_before_its_first_batch_that_is_to_come_again() {
    // A producer that was forgotten goes on where it was.
    for first in [0, 57, i32::MAX] {
        let next = first.wrapping_add(1) & i32::MAX;
        let (refused_one, next_one) = (of_nine(first, &["x"]), of_nine(next, &[""]));
        let mut broker = holding_x().await;
        for _ in 0..2 {
            for _ in 0..2 {
                refused(ErrorCode::NOT_ENOUGH_REPLICAS, &broker.offer_batch(refused_one.clone()).await);
                refused(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, &broker.offer_batch(next_one.clone()).await);
            }
            // Nothing of it is stored; clients send again in order.
            broker = broker.crash(0);
        }
        refused(ErrorCode::NOT_ENOUGH_REPLICAS, &broker.offer_batch(refused_one.clone()).await);
        broker.end(&["t"], 1, 0, TransactionResult::Abort).await;
        refused(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, &broker.offer_batch(next_one.clone()).await);
        for _ in 0..2 {
            assert_eq!(broker.offer_batch(refused_one.clone()).await, at(2));
            assert_eq!(broker.offer_batch(next_one.clone()).await, at(3));
            broker = broker.restart().await;
        }
    }
}

#[tokio::test]
async fn the_same_where_the_topic_has_no_room_for_ids() {
    let broker = start(&with(&[("message.dedup.window.max.ids", "2"), ("message.dedup.overflow", "throttle")])).await;
    broker.offer(&["a", "b"]).await;
    refused(ErrorCode::NOT_ENOUGH_REPLICAS, &broker.offer_batch(of_nine(0, &["c"])).await);
    refused(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, &broker.offer_batch(of_nine(1, &[""])).await);
    broker.set(WINDOW).await;
    assert_eq!(broker.offer_batch(of_nine(0, &["c"])).await, at(2));
    assert_eq!(broker.offer_batch(of_nine(1, &[""])).await, at(3));
}

#[tokio::test]
async fn the_same_of_a_producer_that_is_known() {
    let broker = holding_x().await;
    assert_eq!(broker.offer_batch(of_nine(0, &["a"])).await, at(1));
    refused(ErrorCode::NOT_ENOUGH_REPLICAS, &broker.offer_batch(of_nine(1, &["x"])).await);
    refused(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, &broker.offer_batch(of_nine(2, &[""])).await);
}

#[tokio::test]
async fn what_is_known_of_a_refused_producer_expires_like_others() {
    let broker = start(&with(&[("message.dedup.on.duplicate", "reject")])).await;
    broker.offer(&["a"]).await;
    refused(ErrorCode::INVALID_RECORD, &broker.offer_batch(of_nine(0, &["a"])).await);
    refused(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, &broker.offer_batch(of_nine(1, &["b"])).await);
    broker.time.advance(broker.settings.producer_id_expiration_ms);
    broker.offer(&["c"]).await;
    assert_eq!(broker.offer_batch(of_nine(1, &["b"])).await, at(2));
}
