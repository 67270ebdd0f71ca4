//! Requests of a transactional producer that come late: the client has given them up, has sent them again through a new connection,
//! and has begun its next transaction. Something on the way has held them back.
//!
//! In V1 they carry what requests of the open transaction carry, and Kafka takes them for such. Each test says what is lost or torn
//! then.

mod support;

use kafka_protocol::messages::FetchRequest;
use kafka_protocol::protocol::Request;
use support::client::decode;
use support::requests::{FETCH_VERSION, create_topic, fetch_request, keyed_batch, produce_request};
use support::transactions::{
    Protocol, TransactionalProducer, committed_offset, drain_committed, fetch_committed, transaction_state,
};
use support::{Reply, TestClient, TestServer};

/// A client that has gone on from one connection to the next, and its producer. Both count their requests with one counter, as
/// Java's clients and librdkafka do.
struct Reconnected {
    _server: TestServer,
    old: TestClient,
    young: TestClient,
    producer: TransactionalProducer,
}

/// Requests that may come late.
const HELD_BACK: i32 = 4;

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
    young.count_from(old.next_correlation_id() + HELD_BACK);
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

/// The old connection's requests are counted for themselves, and one that is slow to be answered is before the late one. By the time
/// that is read, its client has closed.
#[test]
fn late_commit_of_a_closed_connection_is_told_by_its_end() {
    let server = TestServer::start();
    let mut old = TestClient::connect(&server);
    create_topic(&mut old, "t", 2);
    create_topic(&mut old, "slow", 1);
    let mut producer = TransactionalProducer::init(&mut old, Protocol::V1, "payments");
    assert_eq!(producer.send(&mut old, "t", 0, &["first"]).0, 0);
    let fetch = fetch_request("slow", 0, 0).with_max_wait_ms(60_000).with_min_bytes(1);
    let fetch = old.send(&fetch, FETCH_VERSION);
    old.send(&producer.end_request(true), 3);
    let mut young = TestClient::connect(&server);
    assert_eq!(producer.end(&mut young, true), 0);
    assert_eq!(producer.send(&mut young, "t", 0, &["second"]).0, 0);
    old.finish_sending();
    let ends = produce_request("slow", 0, -1, keyed_batch("wakes", "the fetch"));
    assert_eq!(young.call(&ends, 11).responses[0].partition_responses[0].error_code, 0);
    // If it was begun by then, it is left: its client has gone.
    if let Reply::Frame(answer) = old.reply() {
        decode::<FetchRequest>(answer, fetch, FETCH_VERSION).expect("nothing but the fetch is answered");
        assert_eq!(old.reply(), Reply::Closed);
    }
    assert_eq!(producer.send(&mut young, "t", 1, &["second"]).0, 0);
    assert_eq!(producer.end(&mut young, false), 0);
    assert_eq!([0, 1].map(|partition| drain_committed(&mut young, "t", partition)), [vec!["first"], vec![]]);
}

/// A client that keeps a stack of connections: a call takes the one on top, which comes back when it is answered. Calls at once bring
/// them into another order.
struct Pool {
    stack: Vec<TestClient>,
    /// The counter of all connections, or each has its own.
    counter: Option<i32>,
}

impl Pool {
    fn call<T>(&mut self, call: impl FnOnce(&mut TestClient) -> T) -> T {
        let client = self.stack.last_mut().expect("three connections");
        if let Some(next) = self.counter {
            client.count_from(next);
        }
        let answer = call(client);
        self.counter = self.counter.map(|_| client.next_correlation_id());
        answer
    }

    /// Any other connection may come to be on top.
    fn turn(&mut self, by: usize) {
        let connections = self.stack.len();
        self.stack.rotate_left(by % connections);
    }
}

fn pool_is_served(counter: Option<i32>) {
    let server = TestServer::start();
    let mut pool = Pool { stack: (0..3).map(|_| TestClient::connect(&server)).collect(), counter };
    pool.call(|client| create_topic(client, "t", 3));
    pool.call(|client| create_topic(client, "in", 1));
    let mut producer = pool.call(|client| TransactionalProducer::init(client, Protocol::V1, "payments"));
    for round in 0..9 {
        for partition in 0..3 {
            assert_eq!(pool.call(|client| producer.add(client, "t", partition)), 0, "round {round}");
        }
        for partition in 0..3 {
            pool.turn(1);
            let sent = pool.call(|client| producer.send_without_adding(client, "t", partition, &["value"]));
            assert_eq!(sent.0, 0, "round {round}");
        }
        pool.turn(round);
        let committed = pool.call(|client| producer.commit_offset(client, "group", "in", round as i64));
        assert_eq!(committed, 0, "round {round}");
        pool.turn(round / 3);
        assert_eq!(pool.call(|client| producer.end_once(client, true)).0, 0, "round {round}");
    }
    for partition in 0..3 {
        assert_eq!(pool.call(|client| drain_committed(client, "t", partition)), ["value"; 9]);
    }
}

#[test]
fn a_pool_of_connections_that_count_for_themselves_is_served() {
    pool_is_served(None);
}

#[test]
fn a_pool_of_connections_with_one_counter_is_served() {
    pool_is_served(Some(1));
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
