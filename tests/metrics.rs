//! What `/metrics`, `/livez` and `/readyz` show of a running broker.

mod support;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};

use kafka_protocol::messages::DeleteTopicsRequest;
use support::requests::{Producer, batch, create_topic, drain, produce, topic_name};
use support::transactions::{Protocol, TransactionalProducer};
use support::{TestClient, TestServer};

#[test]
fn health_answers_on_a_ready_broker() {
    let server = TestServer::start();
    assert_eq!(server.admin_get("/livez").0, 200);
    assert_eq!(server.admin_get("/readyz").0, 200);
    assert_eq!(server.admin_get("/no-such-page").0, 404);
}

#[test]
fn traffic_moves_the_families_that_describe_it() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "seen", 1);
    let producer = Producer::init(&mut client);
    let records = batch(producer, 0, &["a", "b", "c"]);
    let bytes = records.len() as f64;
    produce(&mut client, "seen", 0, records.clone());
    produce(&mut client, "seen", 0, records);
    drain(&mut client, "seen", 0);
    let topic = &["topic=\"seen\""][..];
    for (family, labels, expected) in [
        ("einmal_topic_records_in_total", topic, 3.0),
        ("einmal_topic_batches_in_total", topic, 1.0),
        ("einmal_topic_bytes_in_total", topic, bytes),
        ("einmal_producer_duplicate_records_total", topic, 3.0),
        ("einmal_partition_high_watermark", topic, 3.0),
        ("einmal_producer_batches_total", &["outcome=\"appended\""], 1.0),
        ("einmal_producer_batches_total", &["outcome=\"duplicate\""], 1.0),
        ("einmal_produce_acks_total", &["acks=\"all\""], 2.0),
        ("einmal_requests_total", &["api=\"Produce\""], 2.0),
        ("einmal_topics", &[], 1.0),
        ("einmal_partitions", &[], 1.0),
    ] {
        assert_eq!(server.metric(family, labels), Some(expected), "{family} {labels:?}");
    }
    assert!(server.metric("einmal_wal_syncs_total", &[]) >= Some(1.0));
    assert!(server.metric("einmal_topic_bytes_out_total", topic) >= Some(bytes));
}

#[test]
fn an_open_transaction_is_seen_in_what_it_keeps_from_readers() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 1);
    let figures = || ["einmal_lso_lag_records_max", "einmal_partitions_late_txn"].map(|name| server.metric(name, &[]));
    let mut producer = TransactionalProducer::init(&mut client, Protocol::V2, "payments");
    assert_eq!(figures(), [Some(0.0); 2]);
    assert_eq!(producer.send(&mut client, "t", 0, &["a", "b"]).0, 0);
    produce(&mut client, "t", 0, batch(Producer::NONE, -1, &["c"]));
    assert_eq!(figures(), [Some(3.0), Some(0.0)]);
    assert!(server.metric("einmal_lso_stalled_seconds_max", &[]) > Some(0.0), "since the look before");
    assert_eq!(producer.end(&mut client, true), 0);
    assert_eq!(figures(), [Some(0.0); 2]);
    assert_eq!(server.metric("einmal_lso_stalled_seconds_max", &[]), Some(0.0));
}

#[test]
fn the_series_of_a_deleted_topic_vanish() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "gone", 1);
    assert!(server.admin_get("/metrics").1.contains("topic=\"gone\""));
    let delete = DeleteTopicsRequest::default().with_topic_names(vec![topic_name("gone")]).with_timeout_ms(1000);
    assert_eq!(client.call(&delete, 5).responses[0].error_code, 0);
    assert!(!server.admin_get("/metrics").1.contains("topic=\"gone\""));
}

#[test]
fn every_family_has_help_and_type_and_stands_in_the_catalogue() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "seen", 1);
    produce(&mut client, "seen", 0, batch(Producer::NONE, -1, &["a"]));
    let (_, body) = server.admin_get("/metrics");
    let named = |kind: &str| -> BTreeSet<&str> {
        let prefix = format!("# {kind} ");
        body.lines().filter_map(|line| line.strip_prefix(&prefix)?.split(' ').next()).collect()
    };
    let (helped, typed) = (named("HELP"), named("TYPE"));
    assert_eq!(helped, typed);
    let catalogue: BTreeSet<&str> = einmal::metrics::FAMILIES.iter().map(|family| family.name).collect();
    // `process_` families are those that every Prometheus client library has.
    let unlisted: Vec<_> = typed.difference(&catalogue).filter(|name| !name.starts_with("process_")).collect();
    assert!(unlisted.is_empty(), "not in the catalogue: {unlisted:?}");
}

#[test]
fn who_sends_nothing_to_the_admin_port_holds_up_nobody_for_long() {
    let settings = ["einmal.admin.connections.max=1", "einmal.admin.request.timeout.ms=200"];
    let server = TestServer::start_with(&settings);
    let mut silent = std::net::TcpStream::connect(server.admin).expect("the admin port accepts");
    silent.write_all(b"GET /livez HTTP/1.1\r\n").expect("it reads");
    silent.set_read_timeout(Some(support::PATIENCE)).expect("a timeout above zero");
    // The one connection is taken until it is closed.
    assert_eq!(server.admin_get("/livez").0, 200);
    let mut rest = Vec::new();
    silent.read_to_end(&mut rest).expect("closed, not reset or hung");
    assert!(rest.is_empty(), "{rest:?}");
}
