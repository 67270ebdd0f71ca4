//! After a failed write or sync nothing more is answered.

use super::harness::*;
use crate::engine::command::{Acks, EngineGone};
use crate::store::memory::Fault;
use crate::store::schema::{BrokerEpoch, RowValue, producer_key};
use crate::store::{Rows, Store};
use crate::types::{ErrorCode, ProducerId};

#[tokio::test]
async fn failed_sync_answers_nothing_more() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    let partition = broker.partition("t");
    broker.store.memory.fail_syncs_after(0, Fault::Failed);
    let answer = broker.send("t", Acks::All, plain(&["a"])).await;
    assert!(answer.is_err(), "a closed channel, not an answer");
    broker.fatal.recv().expect("the owner is told");
    assert_eq!(partition.offsets().high_watermark, 0);
    let durable = broker.store.memory.crash(0);
    for acks in [Acks::None, Acks::Leader, Acks::All] {
        assert!(broker.send("t", acks, plain(&["b"])).await.is_err(), "{acks:?}");
    }
    assert_eq!(broker.engine().init_producer_id().await, Err(EngineGone));
    assert_eq!(partition.offsets().high_watermark, 0);
    assert_eq!(broker.store.memory.crash(0).sequence(), durable.sequence());
}

#[tokio::test]
async fn failed_write_answers_nothing_more_not_even_what_waits_for_its_sync() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    let partition = broker.partition("t");
    broker.store.syncs.hold();
    let waiting = broker.send("t", Acks::All, plain(&["a"]));
    broker.store.syncs.wait_until_reached();
    broker.store.memory.fail_writes_after(0, Fault::Failed);
    assert!(broker.send("t", Acks::Leader, plain(&["b"])).await.is_err());
    broker.fatal.recv().expect("the owner is told");
    broker.store.syncs.open();
    assert!(waiting.await.is_err());
    assert_eq!(partition.offsets().high_watermark, 0);
}

#[tokio::test]
async fn full_disk_ends_the_engine_without_an_answer() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    broker.store.memory.fail_writes_after(0, Fault::NoSpace);
    assert!(broker.send("t", Acks::Leader, plain(&["a"])).await.is_err());
    assert!(matches!(broker.fatal.recv(), Ok(crate::store::StoreError::NoSpace(_))));
}

#[tokio::test]
async fn stop_after_a_failed_sync_is_not_marked_clean() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    broker.store.syncs.hold();
    let lost = broker.send("t", Acks::All, plain(&["a"]));
    broker.store.syncs.wait_until_reached();
    let held = broker.hold_writer();
    let mut stop = Box::pin(broker.engine().stop());
    tokio::select! {
        biased;
        _ = &mut stop => panic!("stopped with a sync under way"),
        () = std::future::ready(()) => {}
    }
    // The sync fails while the writer is already on its way to stop.
    broker.store.memory.fail_syncs_after(0, Fault::Failed);
    drop(held);
    broker.store.syncs.open();
    assert_eq!(stop.await, Err(EngineGone));
    assert!(lost.await.is_err());
    broker.fatal.recv().expect("the owner is told");
    let row = broker.store.get(&BrokerEpoch::KEY).expect("reads").expect("there");
    assert!(!BrokerEpoch::decode(&row).expect("decodes").clean_stop);
}

#[tokio::test]
async fn a_sync_that_hangs_is_told_while_it_does() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    let age = || broker.started.sync_under_way.age();
    assert!(age().is_zero());
    broker.store.syncs.hold();
    let waiting = broker.send("t", Acks::All, plain(&["a"]));
    broker.store.syncs.wait_until_reached();
    assert!(!age().is_zero());
    broker.store.syncs.open();
    waiting.await.expect("it comes back");
    assert!(age().is_zero());
}

#[tokio::test]
async fn what_a_stop_cannot_write_is_told_before_the_engine_is_gone() {
    for fault in [Fault::Failed, Fault::NoSpace] {
        let broker = TestEngine::start();
        broker.create("t", &[]).await;
        broker.store.memory.fail_syncs_after(0, fault);
        assert_eq!(broker.engine().stop().await, Err(EngineGone));
        broker.fatal.try_recv().expect("the owner knows already");
    }
}

#[tokio::test]
async fn damaged_producer_row_refuses_its_partition_and_no_other() {
    let broker = TestEngine::start();
    broker.create("damaged", &[]).await;
    broker.create("whole", &[]).await;
    for topic in ["damaged", "whole"] {
        broker.append(topic, idempotent(9, 0, &["a"])).await;
    }
    let id = broker.partition("damaged").id;
    let broker = broker.restart().await;
    let mut rows = Rows::default();
    rows.put(producer_key(id, ProducerId(9)), vec![0xff]);
    broker.store.memory.write(&rows, 0).expect("writes");
    let refused = broker.append("damaged", idempotent(9, 1, &["b"])).await;
    assert_eq!((refused.error, refused.base_offset), (ErrorCode::KAFKA_STORAGE_ERROR, -1));
    assert_eq!(broker.append("whole", idempotent(9, 1, &["b"])).await, at(1));
    assert!(broker.fatal.try_recv().is_err());
    assert_eq!(broker.read("damaged").await.len(), 1);
}

#[tokio::test]
async fn defect_in_a_thread_of_the_engine_is_told_like_a_failed_write() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    let mut batch = to(broker.partition("t").id, &plain(&["a"]));
    // A header that no connection lets pass: the engine's own assertion catches it.
    batch.header.last_offset_delta = -5;
    assert!(broker.engine().append(Acks::All, vec![batch]).await.is_err());
    broker.fatal.recv().expect("the owner is told");
}
