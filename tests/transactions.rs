//! Transactions as clients see them, in both protocols, over kills at each step.

mod support;

use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::{ProducerId, WriteTxnMarkersRequest};
use support::requests::{Producer, batch, create_topic, drain, produce, topic_name};
use support::transactions::{Protocol, TransactionalProducer, committed_offset, drain_committed, fetch_committed};
use support::{TestClient, TestServer};

const BOTH: [Protocol; 2] = [Protocol::V1, Protocol::V2];

#[test]
fn committed_records_are_seen_with_the_commit_and_aborted_ones_never() {
    for protocol in BOTH {
        let server = TestServer::start();
        let mut client = TestClient::connect(&server);
        create_topic(&mut client, "t", 2);
        let mut producer = TransactionalProducer::init(&mut client, protocol, "payments");
        for (round, committed) in [(0, true), (1, false), (2, true), (3, false), (4, true)] {
            let before = drain_committed(&mut client, "t", 0);
            for partition in [0, 1] {
                let values = [format!("{round}-a"), format!("{round}-b")];
                let values: Vec<&str> = values.iter().map(String::as_str).collect();
                assert_eq!(producer.send(&mut client, "t", partition, &values).0, 0);
            }
            assert_eq!(drain_committed(&mut client, "t", 0), before, "{protocol:?}: open");
            assert_eq!(producer.end(&mut client, committed), 0);
        }
        for partition in [0, 1] {
            let expected = ["0-a", "0-b", "2-a", "2-b", "4-a", "4-b"];
            assert_eq!(drain_committed(&mut client, "t", partition), expected, "{protocol:?}");
            let data = fetch_committed(&mut client, "t", partition, 0);
            // Two records and one marker each.
            assert_eq!((data.last_stable_offset, data.high_watermark), (15, 15), "{protocol:?}");
        }
    }
}

/// Steps of a transaction that writes to two partitions and moves a group on.
const STEPS: usize = 6;

fn step(producer: &mut TransactionalProducer, client: &mut TestClient, step: usize, value: &str) {
    match step {
        0 => assert_eq!(producer.send(client, "out", 0, &[value]).0, 0),
        1 => assert_eq!(producer.send(client, "out", 1, &[value]).0, 0),
        2 => assert_eq!(producer.commit_offset(client, "group", "in", 7), 0),
        3 => assert_eq!(producer.send(client, "out", 0, &[value]).0, 0),
        // Ended, and the answer lost.
        4 => assert_eq!(producer.end_once(client, true).0, 0),
        5 => assert_eq!(producer.end(client, true), 0),
        _ => unreachable!("a step"),
    }
}

#[test]
fn kill_between_any_two_writes_leaves_no_partial_transaction() {
    for protocol in BOTH {
        for killed_before in 0..=STEPS {
            let mut server = TestServer::start();
            let mut client = TestClient::connect(&server);
            create_topic(&mut client, "in", 1);
            create_topic(&mut client, "out", 2);
            produce(&mut client, "in", 0, batch(Producer::NONE, -1, &["1"; 7]));
            let mut producer = TransactionalProducer::init(&mut client, protocol, "copier");
            for number in 0..killed_before {
                step(&mut producer, &mut client, number, "first");
            }
            server.kill9();
            server = server.restart();
            client = TestClient::connect(&server);
            let case = format!("{protocol:?}, killed before step {killed_before}");
            let is_ended = killed_before > 4;
            if !is_ended {
                assert!(drain_committed(&mut client, "out", 0).is_empty(), "{case}");
                let pending = killed_before > 2;
                assert_eq!(committed_offset(&mut client, "group", "in"), (-1, if pending { 88 } else { 0 }), "{case}");
                // The producer goes on where it was: nothing of its transaction is lost.
                for number in killed_before..STEPS {
                    step(&mut producer, &mut client, number, "first");
                }
            }
            assert_eq!(drain_committed(&mut client, "out", 0), ["first", "first"], "{case}");
            assert_eq!(drain_committed(&mut client, "out", 1), ["first"], "{case}");
            assert_eq!(committed_offset(&mut client, "group", "in"), (7, 0), "{case}");
        }
    }
}

#[test]
fn an_instance_that_comes_after_a_kill_aborts_what_the_last_one_left() {
    for protocol in BOTH {
        let mut server = TestServer::start();
        let mut client = TestClient::connect(&server);
        create_topic(&mut client, "in", 1);
        create_topic(&mut client, "out", 2);
        let mut old = TransactionalProducer::init(&mut client, protocol, "copier");
        (0..4).for_each(|number| step(&mut old, &mut client, number, "old"));
        server.kill9();
        server = server.restart();
        client = TestClient::connect(&server);
        let mut new = TransactionalProducer::init(&mut client, protocol, "copier");
        assert_eq!(committed_offset(&mut client, "group", "in"), (-1, 0), "{protocol:?}");
        let old_sequence = if protocol == Protocol::V1 { 2 } else { 0 };
        assert_eq!(old.send_at(&mut client, "out", 0, old_sequence, &["zombie"]).0, 47, "{protocol:?}");
        assert!(matches!(old.end_once(&mut client, true).0, 90 | 48), "{protocol:?}");
        (0..4).for_each(|number| step(&mut new, &mut client, number, "new"));
        assert_eq!(new.end(&mut client, true), 0);
        assert_eq!(drain_committed(&mut client, "out", 0), ["new", "new"], "{protocol:?}");
        let all: Vec<String> = drain(&mut client, "out", 1).into_iter().map(|(_, value)| value).collect();
        assert!(all.contains(&"old".to_owned()), "a reader of uncommitted records sees all: {all:?}");
    }
}

#[test]
fn produce_outside_the_transaction_is_refused_and_lso_does_not_hang() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 2);
    let mut v1 = TransactionalProducer::init(&mut client, Protocol::V1, "payments");
    assert_eq!(v1.send_without_adding(&mut client, "t", 0, &["stray"]).0, 120);
    assert_eq!(v1.send(&mut client, "t", 0, &["first"]), (0, 0));
    assert_eq!(v1.send_without_adding(&mut client, "t", 1, &["stray"]).0, 120);
    assert_eq!(v1.end(&mut client, true), 0);
    // A late batch of the transaction that has ended.
    assert_eq!(v1.send_without_adding(&mut client, "t", 0, &["late"]).0, 120);
    let mut v2 = TransactionalProducer::init(&mut client, Protocol::V2, "refunds");
    assert_eq!(v2.send(&mut client, "t", 1, &["first"]), (0, 0));
    let late = v2.clone();
    assert_eq!(v2.end(&mut client, true), 0);
    assert_eq!(late.send_at(&mut client, "t", 1, 1, &["late"]).0, 47);
    let foreign = TransactionalProducer { transactional_id: "payments".to_owned(), ..v2.clone() };
    assert_eq!(foreign.send_at(&mut client, "t", 1, 0, &["foreign"]).0, 49);
    for partition in [0, 1] {
        let data = fetch_committed(&mut client, "t", partition, 0);
        assert_eq!((data.last_stable_offset, data.high_watermark), (2, 2));
        assert_eq!(drain_committed(&mut client, "t", partition), ["first"]);
    }
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted_and_unblocks_its_readers() {
    let server = TestServer::start_with(&["transaction.abort.timed.out.transaction.cleanup.interval.ms=50"]);
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 1);
    for protocol in BOTH {
        let id = format!("{protocol:?}");
        let mut slow = TransactionalProducer::init_with(&mut client, protocol, &id, 100);
        assert_eq!(slow.send(&mut client, "t", 0, &["slow"]).0, 0);
        produce(&mut client, "t", 0, batch(Producer::NONE, -1, &[&id]));
        // A reader that waits at the last stable offset is woken by the abort.
        let behind = fetch_committed(&mut client, "t", 0, 0);
        let wait = support::requests::fetch_request("t", 0, behind.last_stable_offset)
            .with_isolation_level(1)
            .with_max_wait_ms(60_000)
            .with_min_bytes(1);
        let woken = client.call(&wait, support::requests::FETCH_VERSION);
        let woken = &woken.responses[0].partitions[0];
        assert_eq!(woken.last_stable_offset, woken.high_watermark, "{protocol:?}");
        assert_eq!(slow.send_without_adding(&mut client, "t", 0, &["zombie"]).0, 47, "{protocol:?}");
    }
    assert_eq!(drain_committed(&mut client, "t", 0), ["V1", "V2"]);
}

/// A marker for the first `partitions` of `t`, as anybody may ask for it.
fn forged(producer: (i64, i16), coordinator_epoch: i32, committed: bool, partitions: i32) -> WritableTxnMarker {
    let topic =
        WritableTxnMarkerTopic::default().with_name(topic_name("t")).with_partition_indexes((0..partitions).collect());
    WritableTxnMarker::default()
        .with_producer_id(ProducerId(producer.0))
        .with_producer_epoch(producer.1)
        .with_coordinator_epoch(coordinator_epoch)
        .with_transaction_result(committed)
        .with_topics(vec![topic])
}

fn write_markers(client: &mut TestClient, markers: Vec<WritableTxnMarker>) -> Vec<i16> {
    let answer = client.call(&WriteTxnMarkersRequest::default().with_markers(markers), 1);
    let topics = answer.markers.iter().flat_map(|marker| &marker.topics);
    topics.flat_map(|topic| &topic.partitions).map(|partition| partition.error_code).collect()
}

#[test]
fn forged_markers_neither_end_a_transaction_nor_stand_in_its_way() {
    for protocol in BOTH {
        // A coordinator's epoch that has not been yet, and producer epochs that nobody has.
        for (epochs_on, to_last, coordinator_epoch, error) in
            [(0, false, i32::MAX, 52), (1, false, 0, 47), (0, true, 0, 47), (0, true, i32::MAX, 52)]
        {
            let server = TestServer::start();
            let mut client = TestClient::connect(&server);
            create_topic(&mut client, "t", 1);
            let mut producer = TransactionalProducer::init(&mut client, protocol, "payments");
            let mut committed = Vec::new();
            for (round, commits) in [(0, false), (1, true), (2, true)] {
                let case = format!("{protocol:?}, {error}, round {round}");
                let value = format!("value-{round}");
                assert_eq!(producer.send(&mut client, "t", 0, &[&value]).0, 0, "{case}");
                let epoch = if to_last { i16::MAX } else { producer.epoch + epochs_on };
                let before = fetch_committed(&mut client, "t", 0, 0);
                for result in [true, false] {
                    let marker = forged((producer.id, epoch), coordinator_epoch, result, 1);
                    assert_eq!(write_markers(&mut client, vec![marker]), [error], "{case}");
                }
                let after = fetch_committed(&mut client, "t", 0, 0);
                assert_eq!(
                    (before.last_stable_offset, before.high_watermark),
                    (after.last_stable_offset, after.high_watermark),
                    "{case}"
                );
                assert_eq!(producer.end(&mut client, commits), 0, "{case}");
                committed.extend(commits.then_some(value));
                assert_eq!(drain_committed(&mut client, "t", 0), committed, "{case}");
                let data = fetch_committed(&mut client, "t", 0, 0);
                let end = 2 * (round + 1);
                assert_eq!((data.last_stable_offset, data.high_watermark), (end, end), "{case}");
            }
        }
    }
}

#[test]
fn markers_of_producers_that_never_were_write_nothing_and_refusals_are_one_line_of_log() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 50);
    let markers = (0..40).map(|number| forged((7_000_000 + number, 0), 0, true, 50)).collect();
    assert_eq!(write_markers(&mut client, markers), vec![0; 40 * 50]);
    let data = fetch_committed(&mut client, "t", 0, 0);
    assert_eq!((data.last_stable_offset, data.high_watermark), (0, 0));
    let markers = (0..40).map(|number| forged((7_000_000 + number, 0), 9, true, 50)).collect();
    assert_eq!(write_markers(&mut client, markers), vec![52; 40 * 50]);
    let log = server.log_with(&["markers that were asked for are not written"]);
    let warnings: Vec<&str> =
        log.lines().filter(|line| line.contains("WARN") && line.contains("write_txn_markers")).collect();
    assert_eq!(warnings.len(), 1, "{log}");
    assert!(warnings[0].contains("2000"), "{log}");
}
