//! What readers of committed records get.

use super::tests::*;
use super::*;
use crate::api::testing::{TestBroker, batch};
use crate::types::TransactionResult::{Abort, Commit};

type Transactions = Option<Vec<(i64, i64)>>;

/// Base offsets of the batches, and the aborted transactions: producer and first offset.
async fn read(broker: &TestBroker, topic: &Topic, version: i16, from: i64, isolation: i8) -> (Vec<i64>, Transactions) {
    let request = request(topic, version, vec![part(0, from)]).with_isolation_level(isolation);
    let answer = broker.call(version, &request).await;
    let part = parts(&answer)[0];
    assert_eq!(part.error_code, 0);
    let mut records = part.records.clone().unwrap_or_default();
    let mut base_offsets = Vec::new();
    while let Some(head) = records.first_chunk::<12>().copied() {
        let length = u32::from_be_bytes([head[8], head[9], head[10], head[11]]) as usize;
        base_offsets.push(i64::from_be_bytes(*head.first_chunk().expect("eight bytes")));
        drop(records.split_to(12 + length));
    }
    let of = |list: &Vec<kafka_protocol::messages::fetch_response::AbortedTransaction>| {
        list.iter().map(|aborted| (aborted.producer_id.0, aborted.first_offset)).collect()
    };
    (base_offsets, part.aborted_transactions.as_ref().map(of))
}

#[tokio::test]
async fn committed_records_end_at_the_last_stable_offset_and_come_with_what_was_aborted() {
    for tail_cache_bytes in ["33554432", "0"] {
        let broker = TestBroker::with_settings(&[("einmal.tail.cache.bytes", tail_cache_bytes)]);
        let topic = broker.create_topic("t", 1).await;
        broker.append_transactional(&topic, 1, 0, &["a", "b"]).await;
        broker.append_transactional(&topic, 2, 0, &["c"]).await;
        broker.end_transaction(&topic, 1, Abort).await;
        broker.append(&topic, 0, batch(1, &["d"])).await;
        for version in VERSIONS {
            let answer = broker.call(version, &request(&topic, version, vec![part(0, 0)])).await;
            assert_eq!((parts(&answer)[0].last_stable_offset, parts(&answer)[0].high_watermark), (2, 5));
            assert_eq!(read(&broker, &topic, version, 0, 0).await, (vec![0, 2, 3, 4], None), "{version}");
            assert_eq!(read(&broker, &topic, version, 0, 1).await, (vec![0], Some(vec![(1, 0)])), "{version}");
            // The record at the last stable offset is not stable.
            assert_eq!(read(&broker, &topic, version, 2, 1).await, (vec![], Some(vec![])), "{version}");
        }
        broker.end_transaction(&topic, 2, Commit).await;
        for (from, expected) in [
            (0, (vec![0, 2, 3, 4, 5], vec![(1, 0)])),
            // It began before, and its marker is still to come.
            (2, (vec![2, 3, 4, 5], vec![(1, 0)])),
            (3, (vec![3, 4, 5], vec![(1, 0)])),
            (4, (vec![4, 5], vec![])),
            (6, (vec![], vec![])),
        ] {
            let (base_offsets, aborted) = expected;
            assert_eq!(read(&broker, &topic, 12, from, 1).await, (base_offsets, Some(aborted)), "from {from}");
        }
    }
}

#[tokio::test]
async fn batches_that_were_read_before_the_index_lost_rows_are_not_answered() {
    let broker = TestBroker::with_settings(&[("einmal.tail.cache.bytes", "0")]);
    let topic = broker.create_topic("t", 1).await;
    broker.append_transactional(&topic, 1, 0, &["a", "b"]).await;
    broker.end_transaction(&topic, 1, Abort).await;
    broker.append(&topic, 0, batch(1, &["c"])).await;
    let (reader, view) = (&broker.cx.broker.reader, &topic.partitions[0]);
    let read = async || {
        let seen = view.indexes();
        let batches = reader.read(view, 0, 4, 1 << 20).await.expect("reads");
        (seen, batches.into_iter().map(|batch| batch.bytes).collect::<Vec<_>>())
    };
    let left = async |seen, batches| aborted::leave(reader, view, 0, seen, batches).await.expect("reads");
    let aborted = |left: &(Vec<bytes::Bytes>, Option<Vec<_>>)| (left.0.len(), left.1.as_ref().map_or(0, Vec::len));
    let (seen, batches) = read().await;
    assert_eq!(aborted(&left(seen, batches.clone()).await), (3, 1));
    // Compaction is about to remove rows, or has done so since.
    view.begin_removal();
    assert_eq!(aborted(&left(seen, batches.clone()).await), (0, 0));
    let (during, _) = read().await;
    view.publish_removal();
    assert_eq!(aborted(&left(seen, batches.clone()).await), (0, 0));
    assert_eq!(aborted(&left(during, batches.clone()).await), (0, 0));
    let (seen, batches) = read().await;
    assert_eq!(aborted(&left(seen, batches.clone()).await), (3, 1));
    // The log start moves beyond the aborted records.
    broker.cx.broker.engine.delete_records(view.id, 3).await.expect("answered").expect("deleted");
    assert_eq!(aborted(&left(seen, batches).await), (0, 0));
}

#[tokio::test]
async fn aborted_transactions_are_those_of_the_batches_that_are_answered() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 1).await;
    for producer in 0..5 {
        broker.append_transactional(&topic, producer, 0, &["a"]).await;
        broker.end_transaction(&topic, producer, Abort).await;
    }
    let size = sizes(&broker.call(12, &request(&topic, 12, vec![part(0, 0)])).await)[0] as i32;
    let limited = part(0, 2).with_partition_max_bytes(size / 10 * 3);
    let answer = broker.call(12, &request(&topic, 12, vec![limited]).with_isolation_level(1)).await;
    let aborted = parts(&answer)[0].aborted_transactions.clone().expect("a list");
    let aborted: Vec<_> = aborted.iter().map(|aborted| aborted.first_offset).collect();
    assert!(sizes(&answer)[0] < size as usize / 2 && aborted.first() == Some(&2) && aborted.len() < 4, "{aborted:?}");
}

#[tokio::test]
async fn end_of_a_transaction_wakes_who_waits_for_as_many_bytes_as_it_makes_stable() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 1).await;
    let first = broker.append_transactional(&topic, 1, 0, &[&"x".repeat(500)]).await;
    assert_eq!(first, 0);
    let patient = |bytes_min| {
        request(&topic, 12, vec![part(0, 0)])
            .with_isolation_level(1)
            .with_max_wait_ms(FOREVER_MS)
            .with_min_bytes(bytes_min)
    };
    let mut pending = parked(&broker, 12, patient(600)).await;
    broker.append(&topic, 0, batch(1, &["b"])).await;
    assert!(is_pending(&mut pending).await, "what is behind an open transaction is not stable");
    broker.end_transaction(&topic, 1, Commit).await;
    assert!(sizes(&woken(12, pending).await)[0] >= 600);
}
