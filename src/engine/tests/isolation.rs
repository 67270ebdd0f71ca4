//! Open transactions, their ends, and what readers of committed records see of them.

use super::harness::*;
use crate::engine::command::{Acks, Marker, TransactionProducer};
use crate::engine::settings::Settings;
use crate::log::partition::Waiter;
use crate::producer::MarkerWriter;
use crate::store::schema::aborted_prefix;
use crate::transaction::TransactionVersion;
use crate::types::TransactionResult::{Abort, Commit};
use crate::types::{Arrival, ErrorCode, Offset, ProducerEpoch, ProducerId};
use std::sync::Arc;

/// Last stable offset and high watermark.
fn ends(broker: &TestEngine) -> (Offset, Offset) {
    let offsets = broker.offsets("t");
    (offsets.last_stable_offset, offsets.high_watermark)
}

async fn start() -> TestEngine {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    broker
}

#[tokio::test]
async fn transaction_holds_readers_back_at_its_first_record_until_it_ends() {
    let broker = start().await;
    broker.append("t", plain(&["a"])).await;
    assert_eq!(ends(&broker), (1, 1));
    broker.append("t", transactional(9, 0, 0, &["b", "c"])).await;
    broker.append("t", plain(&["d"])).await;
    broker.append("t", transactional(9, 0, 2, &["e"])).await;
    assert_eq!(ends(&broker), (1, 5), "the record at the last stable offset is not stable");
    assert_eq!(broker.read_committed("t", 0).await, [0]);
    broker.end(&["t"], 9, 0, Commit).await;
    assert_eq!(ends(&broker), (6, 6), "a marker takes one offset");
    assert_eq!(broker.read_committed("t", 0).await, [0, 1, 3, 4]);
    assert_eq!(broker.append("t", plain(&["f"])).await.base_offset, 6);
    assert_eq!(ends(&broker), (7, 7));
}

#[tokio::test]
async fn earliest_open_transaction_decides_in_whatever_order_they_end() {
    let broker = start().await;
    for producer_id in [1, 2, 3] {
        broker.append("t", transactional(producer_id, 0, 0, &["a"])).await;
    }
    broker.end(&["t"], 2, 0, Abort).await;
    assert_eq!(ends(&broker), (0, 4));
    broker.end(&["t"], 1, 0, Commit).await;
    assert_eq!(ends(&broker), (2, 5));
    assert_eq!(broker.read_committed("t", 0).await, [0]);
    broker.end(&["t"], 3, 0, Commit).await;
    assert_eq!(ends(&broker), (6, 6));
    assert_eq!(broker.read_committed("t", 0).await, [0, 2]);
    assert_eq!(broker.read_committed("t", 2).await, [2]);
}

#[tokio::test]
async fn end_is_seen_after_its_sync_and_wakes_those_who_wait_for_it() {
    let broker = start().await;
    broker.append("t", transactional(9, 0, 0, &["a"])).await;
    let waiter = Arc::new(Waiter::default());
    broker.partition("t").wake_on_change(&waiter);
    broker.store.syncs.hold();
    let engine = broker.engine().clone();
    let partitions = vec![broker.partition("t").id];
    let end = marker(9, 0, Commit, TransactionVersion::V1);
    let ending = tokio::spawn(async move { engine.write_markers(end, partitions).await });
    tokio::task::yield_now().await;
    broker.written().await;
    broker.store.syncs.wait_until_reached();
    assert_eq!(ends(&broker), (0, 1));
    assert!(!ending.is_finished(), "answered before its sync");
    broker.store.syncs.open();
    waiter.woken().await;
    assert_eq!(ends(&broker), (2, 2));
    assert!(ending.await.expect("runs").expect("answered").is_empty());
}

#[tokio::test]
async fn kill_keeps_open_transactions_and_aborted_ones() {
    let mut broker = start().await;
    broker.append("t", transactional(1, 0, 0, &["a"])).await;
    broker.end(&["t"], 1, 0, Abort).await;
    broker.append("t", transactional(2, 0, 0, &["b"])).await;
    for _ in 0..2 {
        broker = broker.crash(usize::MAX);
        assert_eq!(ends(&broker), (2, broker.offsets("t").log_end));
        // Nobody has loaded the producers when a batch without one comes.
        broker.append("t", plain(&["c"])).await;
        assert_eq!(ends(&broker).0, 2);
        assert_eq!(broker.read_committed("t", 0).await, [] as [Offset; 0]);
    }
    broker.end(&["t"], 2, 0, Commit).await;
    assert_eq!(broker.read_committed("t", 0).await, [2, 3, 4]);
}

#[tokio::test]
async fn records_may_be_deleted_out_of_an_open_transaction() {
    let broker = start().await;
    let id = broker.partition("t").id;
    broker.append("t", transactional(1, 0, 0, &["a"])).await;
    broker.end(&["t"], 1, 0, Abort).await;
    broker.append("t", transactional(9, 0, 0, &["a", "b", "c"])).await;
    assert_eq!(broker.engine().delete_records(id, 3).await, Ok(Ok(3)));
    assert_eq!(ends(&broker), (3, 5));
    // Nobody can read what it speaks of.
    while rows(&broker, &aborted_prefix(id)) > 0 {
        broker.written().await;
    }
    assert_eq!(broker.engine().delete_records(id, -1).await, Ok(Ok(5)));
    assert_eq!(ends(&broker), (5, 5));
    // The row does not tell any more that a transaction is open.
    let broker = broker.restart().await;
    broker.append("t", plain(&["d"])).await;
    assert_eq!(ends(&broker), (5, 6));
    broker.end(&["t"], 9, 0, Abort).await;
    assert_eq!(ends(&broker), (7, 7));
    assert_eq!(broker.read_committed("t", 5).await, [5]);
}

#[tokio::test]
async fn topic_may_be_deleted_under_an_open_transaction() {
    let broker = start().await;
    let id = broker.partition("t").id;
    broker.append("t", transactional(1, 0, 0, &["a"])).await;
    broker.end(&["t"], 1, 0, Abort).await;
    broker.append("t", transactional(1, 0, 1, &["a"])).await;
    let deleted = broker.engine().delete_topics(vec![crate::engine::command::TopicRef::Name("t".to_owned())]).await;
    assert!(deleted.expect("engine runs")[0].is_ok());
    let end = marker(1, 0, Commit, TransactionVersion::V1);
    let refused = broker.engine().write_markers(end, vec![id]).await.expect("engine runs");
    assert_eq!(refused.get(&id), Some(&ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    while rows(&broker, &aborted_prefix(id)) > 0 {
        broker.written().await;
    }
}

#[tokio::test]
async fn producer_expiry_never_forgets_an_open_transaction() {
    let broker = TestEngine::start_with(Settings { producer_ids_max: 2, ..settings() });
    broker.create("t", &[]).await;
    broker.append("t", transactional(9, 0, 0, &["a"])).await;
    broker.time.advance(broker.settings.producer_id_expiration_ms * 10);
    for producer_id in 1..5 {
        broker.append("t", idempotent(producer_id, 0, &["x"])).await;
    }
    let broker = broker.crash(usize::MAX);
    broker.time.advance(broker.settings.producer_id_expiration_ms * 10);
    let gap = broker.append("t", transactional(9, 0, 5, &["b"])).await;
    assert_eq!(gap.error, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, "it is known");
    broker.append("t", transactional(9, 0, 1, &["b"])).await;
    assert_eq!(ends(&broker).0, 0);
    broker.end(&["t"], 9, 0, Commit).await;
    assert_eq!(ends(&broker).0, broker.offsets("t").log_end);
}

/// A producer of version 1 whose batch was stored and whose transaction was aborted rewinds its sequence. Kafka takes the first
/// batch of its next transaction for a retry of the aborted one: it answers that one's offset, and the record is nowhere.
#[tokio::test]
async fn reused_sequence_after_abort_is_not_deduplicated_onto_aborted_batch() {
    let mut broker = start().await;
    broker.append("t", transactional(9, 0, 0, &["taken back"])).await;
    broker.end(&["t"], 9, 0, Abort).await;
    for _ in 0..2 {
        let reused = broker.append("t", transactional(9, 0, 0, &["paid once"])).await;
        assert_eq!((reused.error, reused.base_offset), (ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, -1));
        broker = broker.crash(usize::MAX);
    }
    // What the client does about that code: a new epoch.
    let sent = broker.append("t", transactional(9, 1, 0, &["paid once"])).await;
    assert_eq!((sent.error, sent.base_offset), (ErrorCode::NONE, 2));
    broker.end(&["t"], 9, 1, Commit).await;
    assert_eq!(broker.read_committed("t", 0).await, [2]);
}

#[tokio::test]
async fn repeated_marker_with_same_epoch_is_a_no_op() {
    let mut broker = start().await;
    let id = broker.partition("t").id;
    broker.append("t", transactional(9, 0, 0, &["a"])).await;
    for _ in 0..2 {
        let end = marker(9, 1, Commit, TransactionVersion::V2);
        assert!(broker.engine().write_markers(end, vec![id, id]).await.expect("engine runs").is_empty());
        assert_eq!(ends(&broker), (2, 2));
        broker = broker.crash(usize::MAX);
    }
    let old = Marker { by: MarkerWriter::Administrator, ..marker(9, 0, Commit, TransactionVersion::V1) };
    let refused = broker.engine().write_markers(old, vec![id]).await.expect("engine runs");
    assert_eq!(refused.get(&id), Some(&ErrorCode::INVALID_PRODUCER_EPOCH));
    let nobody = marker(-1, 0, Commit, TransactionVersion::V2);
    let refused = broker.engine().write_markers(nobody, vec![id]).await.expect("engine runs");
    assert_eq!(refused.get(&id), Some(&ErrorCode::INVALID_PRODUCER_ID_MAPPING));
}

#[tokio::test]
async fn marker_without_data_takes_its_offset_and_holds_nothing_back() {
    let broker = start().await;
    broker.end(&["t"], 9, 3, Abort).await;
    assert_eq!(ends(&broker), (1, 1));
    assert_eq!(rows(&broker, &aborted_prefix(broker.partition("t").id)), 0);
    let zombie = broker.append("t", idempotent(9, 0, &["a"])).await;
    assert_eq!(zombie.error, ErrorCode::INVALID_PRODUCER_EPOCH);
}

#[tokio::test]
async fn batch_of_a_transaction_that_nobody_coordinates_is_refused() {
    let broker = start().await;
    let mut batch = to(broker.partition("t").id, &transactional(9, 0, 0, &["a"]));
    batch.transaction = Some(Arc::new(TransactionProducer {
        transactional_id: "id".into(),
        producer_id: ProducerId(9),
        producer_epoch: ProducerEpoch(0),
        version: TransactionVersion::V1,
        arrival: Arrival::default(),
    }));
    let appended = broker.engine().append(Acks::All, vec![batch]).await.expect("answered");
    assert_eq!((appended[0].error, appended[0].base_offset), (ErrorCode::INVALID_PRODUCER_ID_MAPPING, -1));
    assert_eq!(ends(&broker), (0, 0));
}

#[tokio::test]
async fn producers_are_described_with_their_open_transactions() {
    let broker = start().await;
    let id = broker.partition("t").id;
    broker.append("t", idempotent(7, 0, &["a", "b"])).await;
    broker.append("t", transactional(9, 4, 0, &["a"])).await;
    let unknown = crate::types::PartitionId { index: 5, ..id };
    let broker = broker.crash(usize::MAX);
    let described = broker.engine().describe_producers(unknown).await.expect("engine runs");
    assert_eq!(described, Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    let described = broker.engine().describe_producers(id).await.expect("engine runs");
    let described: Vec<_> = described
        .expect("described")
        .iter()
        .map(|producer| (producer.producer_id.0, producer.state.epoch.0, producer.state.open_transaction))
        .collect();
    assert_eq!(described, [(7, 0, None), (9, 4, Some(2))]);
}
