//! Requests of a transactional producer that come late: the client has given them up, has sent them again through a new connection,
//! and has begun its next transaction. Something on the way has held them back.
//!
//! In V1 they carry what requests of the open transaction carry, and Kafka takes them for such. Each test says what is lost or torn
//! then.

mod support;

use kafka_protocol::protocol::Request;
use support::requests::create_topic;
use support::transactions::{
    Protocol, TransactionalProducer, committed_offset, drain_committed, fetch_committed, transaction_state,
};
use support::{Reply, TestClient, TestServer};

/// A client that has gone on from one connection to the next, and its producer.
struct Reconnected {
    _server: TestServer,
    old: TestClient,
    young: TestClient,
    producer: TransactionalProducer,
}

/// The first transaction writes "first" to both partitions; its end is asked for through the old connection, held back there, and
/// asked for again through the young one.
fn reconnected(protocol: Protocol, committed: bool) -> Reconnected {
    let server = TestServer::start();
    let mut old = TestClient::connect(&server);
    create_topic(&mut old, "t", 2);
    create_topic(&mut old, "in", 1);
    let mut producer = TransactionalProducer::init(&mut old, protocol, "payments");
    for partition in [0, 1] {
        assert_eq!(producer.send(&mut old, "t", partition, &["first"]).0, 0);
    }
    let mut young = TestClient::connect(&server);
    assert_eq!(producer.end(&mut young, committed), 0);
    Reconnected { _server: server, old, young, producer }
}

impl Reconnected {
    /// What was held back comes. There must be no answer that counts: the connection ends.
    fn comes_late<R: Request>(&mut self, request: &R, version: i16) {
        self.old.send(request, version);
        assert_eq!(self.old.reply(), Reply::Closed);
    }

    fn committed(&mut self) -> [Vec<String>; 2] {
        [0, 1].map(|partition| drain_committed(&mut self.young, "t", partition))
    }
}

/// Kafka commits "second" of partition 0, which its producer aborts: an aborted read, and a torn transaction.
#[test]
fn a_late_commit_does_not_commit_half_of_what_is_aborted() {
    let mut client = reconnected(Protocol::V1, true);
    let late = client.producer.end_request(true);
    assert_eq!(client.producer.send(&mut client.young, "t", 0, &["second"]).0, 0);
    client.comes_late(&late, 3);
    assert_eq!(client.producer.send(&mut client.young, "t", 1, &["second"]).0, 0);
    assert_eq!(client.producer.end(&mut client.young, false), 0);
    assert_eq!(client.committed(), [["first"], ["first"]]);
}

/// Kafka aborts "second" of partition 0 and commits it in partition 1: an acknowledged record is lost, and the transaction torn.
#[test]
fn a_late_abort_does_not_take_back_half_of_what_is_committed() {
    let mut client = reconnected(Protocol::V1, false);
    let late = client.producer.end_request(false);
    assert_eq!(client.producer.send(&mut client.young, "t", 0, &["second"]).0, 0);
    client.comes_late(&late, 3);
    assert_eq!(client.producer.send(&mut client.young, "t", 1, &["second"]).0, 0);
    assert_eq!(client.producer.end(&mut client.young, true), 0);
    assert_eq!(client.committed(), [["second"], ["second"]]);
}

/// In Kafka this begins a transaction that its producer knows nothing of: it stays open until its timeout, which fences the producer.
#[test]
fn late_participants_do_not_begin_a_transaction_that_nobody_ends() {
    let mut client = reconnected(Protocol::V1, true);
    let late = client.producer.add_request("t", vec![0]);
    client.comes_late(&late, 3);
    assert_eq!(transaction_state(&mut client.young, "payments"), "CompleteCommit");
    let mut client = reconnected(Protocol::V1, true);
    let late = client.producer.add_offsets_request("group");
    client.comes_late(&late, 3);
    assert_eq!(transaction_state(&mut client.young, "payments"), "CompleteCommit");
    assert_eq!(fetch_committed(&mut client.young, "t", 0, 0).last_stable_offset, 2);
}

/// Kafka commits the offset of the first transaction with the second: what the second has consumed is consumed again.
#[test]
fn late_offsets_do_not_set_a_group_back() {
    let mut client = reconnected(Protocol::V1, true);
    let late = client.producer.offset_request("group", "in", 3);
    assert_eq!(client.producer.commit_offset(&mut client.young, "group", "in", 7), 0);
    client.comes_late(&late, 3);
    assert_eq!(client.producer.end(&mut client.young, true), 0);
    assert_eq!(committed_offset(&mut client.young, "group", "in"), (7, 0));
}

/// In V2 the epoch tells, and the connection is not looked at.
#[test]
fn late_end_of_v2_is_told_by_its_epoch() {
    let Reconnected { _server, mut old, mut young, mut producer } = reconnected(Protocol::V2, true);
    let late = TransactionalProducer { epoch: producer.epoch - 1, ..producer.clone() };
    assert_eq!(producer.send(&mut young, "t", 0, &["second"]).0, 0);
    assert_eq!(late.end_once(&mut old, true).0, 90);
    assert_eq!(late.end_once(&mut old, false).0, 90);
    assert_eq!(producer.send(&mut young, "t", 1, &["second"]).0, 0);
    assert_eq!(producer.end(&mut young, false), 0);
    for partition in [0, 1] {
        assert_eq!(drain_committed(&mut young, "t", partition), ["first"]);
    }
}

#[test]
fn a_client_that_connects_anew_for_each_request_is_served() {
    let server = TestServer::start();
    let anew = || TestClient::connect(&server);
    create_topic(&mut anew(), "t", 1);
    create_topic(&mut anew(), "in", 1);
    let mut producer = TransactionalProducer::init(&mut anew(), Protocol::V1, "payments");
    for round in 0..3 {
        assert_eq!(producer.add(&mut anew(), "t", 0), 0);
        assert_eq!(producer.send_without_adding(&mut anew(), "t", 0, &["value"]).0, 0);
        assert_eq!(producer.commit_offset(&mut anew(), "group", "in", round), 0);
        assert_eq!(producer.end_once(&mut anew(), true).0, 0);
        assert_eq!(producer.end_once(&mut anew(), true).0, 0, "the retry");
    }
    assert_eq!(drain_committed(&mut anew(), "t", 0), ["value"; 3]);
}

/// A standby that has been connected for longer takes over: its connection is the older one, and its epoch the newer.
#[test]
fn a_new_instance_takes_over_through_an_older_connection() {
    let server = TestServer::start();
    let mut older = TestClient::connect(&server);
    create_topic(&mut older, "t", 1);
    let mut younger = TestClient::connect(&server);
    let mut first = TransactionalProducer::init(&mut younger, Protocol::V1, "payments");
    assert_eq!(first.send(&mut younger, "t", 0, &["first"]).0, 0);
    let mut second = TransactionalProducer::init(&mut older, Protocol::V1, "payments");
    assert_eq!(second.send(&mut older, "t", 0, &["second"]).0, 0);
    // The old instance is told that it is fenced, and harms nobody by asking.
    assert_eq!(first.end_once(&mut younger, true).0, 90);
    assert_eq!(first.add(&mut younger, "t", 0), 90);
    assert_eq!(second.end(&mut older, true), 0);
    assert_eq!(drain_committed(&mut older, "t", 0), ["second"]);
}
