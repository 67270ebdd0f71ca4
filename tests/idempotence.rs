//! Each batch is stored once: retries, gaps and old epochs, also across SIGKILL.

mod support;

use bytes::Bytes;
use support::requests::{Producer, batch, create_topic, drain, produce};
use support::{TestClient, TestServer};

const NONE: i16 = 0;
const OUT_OF_ORDER_SEQUENCE_NUMBER: i16 = 45;
const INVALID_PRODUCER_EPOCH: i16 = 47;

/// Batches of two records with the sequences 0-1, 2-3 and so on.
fn batches(producer: Producer, count: i32) -> Vec<Bytes> {
    let pair = |index: i32| [format!("{index}a"), format!("{index}b")];
    (0..count).map(|index| batch(producer, index * 2, &pair(index).each_ref().map(String::as_str))).collect()
}

fn expect_originals(client: &mut TestClient, batches: &[Bytes], first_index: usize) {
    for (index, records) in batches.iter().enumerate().skip(first_index) {
        let answer = produce(client, "once", 0, records.clone());
        assert_eq!((answer.error_code, answer.base_offset), (NONE, index as i64 * 2), "retry of batch {index}");
    }
}

#[test]
fn a_retry_of_the_last_five_batches_returns_the_original_offset_and_writes_nothing() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "once", 1);
    let producer = Producer::init(&mut client);
    let batches = batches(producer, 7);
    for (index, records) in batches.iter().enumerate() {
        assert_eq!(produce(&mut client, "once", 0, records.clone()).base_offset, index as i64 * 2);
    }
    expect_originals(&mut client, &batches, 2);
    assert_eq!(drain(&mut client, "once", 0).len(), 14);
    let older = produce(&mut client, "once", 0, batches[1].clone());
    assert_eq!(older.error_code, OUT_OF_ORDER_SEQUENCE_NUMBER, "the sixth last is no longer known");
    assert_eq!(server.metric("einmal_producer_batches_total", &["outcome=\"duplicate\""]), Some(5.0));
}

#[test]
fn a_retry_after_sigkill_and_restart_returns_the_original_offset() {
    let mut server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "once", 1);
    let producer = Producer::init(&mut client);
    let batches = batches(producer, 6);
    for records in &batches {
        assert_eq!(produce(&mut client, "once", 0, records.clone()).error_code, NONE);
    }
    server.kill9();
    let server = server.restart();
    let mut client = TestClient::connect(&server);
    expect_originals(&mut client, &batches, 1);
    let next = produce(&mut client, "once", 0, batch(producer, 12, &["next"]));
    assert_eq!((next.error_code, next.base_offset), (NONE, 12), "the sequence goes on where it was");
    assert_eq!(drain(&mut client, "once", 0).len(), 13);
}

#[test]
fn a_gap_in_the_sequence_is_refused_also_after_restart() {
    let mut server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "once", 1);
    let producer = Producer::init(&mut client);
    produce(&mut client, "once", 0, batch(producer, 0, &["a", "b"]));
    let gap = batch(producer, 3, &["d"]);
    assert_eq!(produce(&mut client, "once", 0, gap.clone()).error_code, OUT_OF_ORDER_SEQUENCE_NUMBER);
    server.kill9();
    let server = server.restart();
    let mut client = TestClient::connect(&server);
    assert_eq!(produce(&mut client, "once", 0, gap).error_code, OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(produce(&mut client, "once", 0, batch(producer, 2, &["c"])).base_offset, 2);
}

#[test]
fn a_partial_overlap_is_no_duplicate() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "once", 1);
    let producer = Producer::init(&mut client);
    produce(&mut client, "once", 0, batch(producer, 0, &["a", "b"]));
    let overlap = produce(&mut client, "once", 0, batch(producer, 1, &["b", "c"]));
    assert_eq!(overlap.error_code, OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(drain(&mut client, "once", 0).len(), 2);
}

#[test]
fn a_stale_epoch_is_refused_also_after_restart() {
    let mut server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "once", 1);
    let old = Producer::init(&mut client);
    let new = Producer { epoch: old.epoch + 1, ..old };
    assert_eq!(produce(&mut client, "once", 0, batch(old, 0, &["old"])).error_code, NONE);
    assert_eq!(produce(&mut client, "once", 0, batch(new, 0, &["new"])).error_code, NONE);
    assert_eq!(produce(&mut client, "once", 0, batch(old, 1, &["zombie"])).error_code, INVALID_PRODUCER_EPOCH);
    server.kill9();
    let server = server.restart();
    let mut client = TestClient::connect(&server);
    assert_eq!(produce(&mut client, "once", 0, batch(old, 1, &["zombie"])).error_code, INVALID_PRODUCER_EPOCH);
    let values: Vec<String> = drain(&mut client, "once", 0).into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, ["old", "new"]);
}

#[test]
fn a_new_epoch_begins_at_sequence_0() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "once", 1);
    let old = Producer::init(&mut client);
    let new = Producer { epoch: old.epoch + 1, ..old };
    produce(&mut client, "once", 0, batch(old, 0, &["a"]));
    assert_eq!(produce(&mut client, "once", 0, batch(new, 1, &["b"])).error_code, OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(produce(&mut client, "once", 0, batch(new, 0, &["b"])).base_offset, 1);
}

#[test]
fn the_sequence_wraps_to_0_after_the_largest_integer() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "once", 1);
    let producer = Producer::init(&mut client);
    // An unknown producer may begin anywhere, as one whose state has expired does.
    assert_eq!(produce(&mut client, "once", 0, batch(producer, i32::MAX - 1, &["a", "b"])).error_code, NONE);
    let wrapped = batch(producer, 0, &["c"]);
    assert_eq!(produce(&mut client, "once", 0, wrapped.clone()).base_offset, 2);
    assert_eq!(produce(&mut client, "once", 0, wrapped).base_offset, 2, "and is known as a duplicate");
}

#[test]
fn producer_ids_are_high_and_never_given_twice() {
    let mut server = TestServer::start();
    let mut client = TestClient::connect(&server);
    let mut ids: Vec<i64> = (0..10).map(|_| Producer::init(&mut client).id).collect();
    server.kill9();
    let server = server.restart();
    let mut client = TestClient::connect(&server);
    ids.extend((0..10).map(|_| Producer::init(&mut client).id));
    assert!(ids.iter().all(|id| (1 << 48..1 << 53).contains(id)), "{ids:?}");
    let mut distinct = ids.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), ids.len(), "{ids:?}");
}
