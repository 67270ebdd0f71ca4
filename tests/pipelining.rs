//! Many requests in flight on one connection: answers in order, appends in order, memory bounded.

mod support;

use kafka_protocol::messages::{ApiVersionsRequest, FetchRequest, ProduceRequest};
use support::client::frame;
use support::requests::{
    FETCH_VERSION, PRODUCE_VERSION, Producer, batch, create_topic, drain, fetch_request, produce, produce_request,
};
use support::{TestClient, TestServer};

const NONE: i16 = 0;

#[test]
fn pipelined_idempotent_batches_are_appended_and_answered_in_order() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "piped", 1);
    let producer = Producer::init(&mut client);
    let sent: Vec<i32> = (0..200)
        .map(|sequence| {
            let records = batch(producer, sequence, &[&sequence.to_string()]);
            client.send(&produce_request("piped", 0, -1, records), PRODUCE_VERSION)
        })
        .collect();
    for (index, correlation_id) in sent.into_iter().enumerate() {
        let answer = client.receive::<ProduceRequest>(correlation_id, PRODUCE_VERSION);
        let partition = &answer.responses[0].partition_responses[0];
        assert_eq!((partition.error_code, partition.base_offset), (NONE, index as i64));
    }
    let values = drain(&mut client, "piped", 0);
    assert!(values.iter().enumerate().all(|(index, (_, value))| *value == index.to_string()), "{values:?}");
}

#[test]
fn answers_keep_the_order_of_requests_when_an_earlier_one_waits() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "slow", 1);
    let long_poll = fetch_request("slow", 0, 0).with_min_bytes(1).with_max_wait_ms(30_000);
    let parked = client.send(&long_poll, FETCH_VERSION);
    let behind = client.send(&ApiVersionsRequest::default(), 0);
    // The parked fetch is woken by a record from elsewhere; only then comes the quick answer behind it.
    let mut other = TestClient::connect(&server);
    assert_eq!(produce(&mut other, "slow", 0, batch(Producer::NONE, -1, &["wake"])).error_code, NONE);
    let answer = client.receive::<FetchRequest>(parked, FETCH_VERSION);
    assert!(answer.responses[0].partitions[0].records.as_ref().is_some_and(|records| !records.is_empty()));
    assert_eq!(client.receive::<ApiVersionsRequest>(behind, 0).error_code, NONE);
}

#[test]
fn produce_with_acks_0_is_never_answered_and_keeps_its_place() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "silent", 1);
    for value in ["a", "b", "c"] {
        client.send(&produce_request("silent", 0, 0, batch(Producer::NONE, -1, &[value])), PRODUCE_VERSION);
    }
    // The next frame that comes back belongs to the acknowledged batch behind them.
    let answer = produce(&mut client, "silent", 0, batch(Producer::NONE, -1, &["d"]));
    assert_eq!((answer.error_code, answer.base_offset), (NONE, 3));
}

#[test]
fn correlation_ids_are_echoed_bit_for_bit_even_when_reused() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    for correlation_id in [0, -1, i32::MIN, i32::MAX, 7, 7] {
        client.send_bytes(&frame(&ApiVersionsRequest::default(), 0, correlation_id)).expect("open");
        assert_eq!(client.receive::<ApiVersionsRequest>(correlation_id, 0).error_code, NONE);
    }
}

#[test]
fn a_hundred_thousand_pipelined_requests_are_answered_within_bounded_memory() {
    const REQUESTS: i32 = 100_000;
    let mut server = TestServer::start();
    let resident_bytes = server.resident_bytes();
    let mut client = TestClient::connect(&server);
    let mut sender = client.second_handle();
    let writer = std::thread::spawn(move || {
        for correlation_id in 0..REQUESTS {
            sender.send_bytes(&frame(&ApiVersionsRequest::default(), 0, correlation_id)).expect("open");
        }
    });
    for correlation_id in 0..REQUESTS {
        assert_eq!(client.receive::<ApiVersionsRequest>(correlation_id, 0).error_code, NONE);
    }
    writer.join().expect("all requests were taken");
    assert!(server.is_alive());
    let grown = server.peak_resident_bytes().saturating_sub(resident_bytes);
    assert!(grown < 128 << 20, "grew by {grown} bytes at its peak");
}
