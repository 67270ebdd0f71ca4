//! What `/metrics`, `/livez` and `/readyz` show of a running broker.

mod support;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};

use kafka_protocol::messages::{
    ApiVersionsRequest, ConsumerGroupHeartbeatRequest, DeleteGroupsRequest, DeleteTopicsRequest,
};
use support::groups::{ask_until, commit, group, text};
use support::requests::{
    Producer, batch, create_topic, create_topic_with, drain, fetch, fetch_request, produce, topic_name,
};
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
        ("einmal_topic_records_out_total", topic, 3.0),
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
    let ours = einmal::metrics::FAMILIES.iter().map(|family| family.name);
    let catalogue: BTreeSet<&str> =
        ours.chain(einmal::metrics::compat::FAMILIES.iter().map(|family| family.name)).collect();
    let unlisted: Vec<_> = typed.difference(&catalogue).collect();
    assert!(unlisted.is_empty(), "not in the catalogue: {unlisted:?}");
}

#[test]
fn who_sends_nothing_to_the_admin_port_holds_up_nobody_for_long() {
    let settings = ["einmal.admin.connections.max=1", "einmal.admin.request.timeout.ms=200"];
    let server = TestServer::start_with(&settings);
    let mut silent = std::net::TcpStream::connect(server.admin).expect("the admin port accepts");
    silent.write_all(b"GET /livez HTTP/1.1\r\n").expect("it reads");
    silent.set_read_timeout(Some(support::PATIENCE)).expect("a timeout above zero");
    let mut rest = Vec::new();
    silent.read_to_end(&mut rest).expect("closed, not reset or hung");
    assert!(rest.is_empty(), "{rest:?}");
}

#[test]
fn who_takes_all_connections_of_the_admin_port_hides_no_probe() {
    let server = TestServer::start_with(&["einmal.admin.connections.max=1"]);
    let silent = std::net::TcpStream::connect(server.admin).expect("the admin port accepts");
    assert_eq!(server.admin_get("/livez").0, 200);
    assert_eq!(server.admin_get("/readyz").0, 200);
    let (status, body) = server.admin_get("/metrics");
    assert_eq!(status, 503);
    assert!(body.contains("einmal.admin.connections.max"), "{body}");
    drop(silent);
    // Until that was noticed.
    ask_until(|| (server.admin_get("/metrics").0 == 200).then_some(()));
}

/// Families that a broker under this load does not show a sample of, and why.
const SILENT: &[(&str, &str)] = &[("einmal_metrics_folded", "nothing is folded with few topics and groups")];

#[test]
fn a_broker_under_load_shows_every_family_of_the_catalogue() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 1);
    let producer = Producer::init(&mut client);
    produce(&mut client, "t", 0, batch(producer, 0, &["a"]));
    let mut transactional = TransactionalProducer::init(&mut client, Protocol::V2, "shop");
    assert_eq!(transactional.send(&mut client, "t", 0, &["b"]).0, 0);
    // Refused, so that there is an error to count.
    assert_ne!(commit(&mut client, 7, "nobody", 3, 0), 0);
    let join = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group())
        .with_member_id(text("one"))
        .with_rebalance_timeout_ms(60_000)
        .with_subscribed_topic_names(Some(vec![topic_name("t")]))
        .with_topic_partitions(Some(vec![]));
    let epoch = client.call(&join, 1).member_epoch;
    assert_eq!(commit(&mut client, 9, "one", epoch, 0), 0);
    drain(&mut client, "t", 0);
    create_topic_with(&mut client, "once", 1, &[("message.dedup.mode", "window")]);
    let (_, body) = server.admin_get("/metrics");
    let with_samples: BTreeSet<&str> = body
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .flat_map(|name| [name, name.strip_suffix("_count").unwrap_or(name)])
        .collect();
    let ours = einmal::metrics::FAMILIES.iter().map(|family| family.name);
    let silent: Vec<&str> = ours
        .chain(einmal::metrics::compat::FAMILIES.iter().map(|family| family.name))
        .filter(|name| !with_samples.contains(name))
        .collect();
    let expected: Vec<&str> = SILENT.iter().map(|(name, _)| *name).collect();
    assert_eq!(silent, expected);
}

#[test]
fn transactions_are_told_by_age_outcome_and_what_they_hold_back() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 1);
    commit(&mut client, 7, "", -1, 0);
    let mut producer = TransactionalProducer::init_with(&mut client, Protocol::V2, "shop", 45_000);
    assert_eq!(server.metric("einmal_txn_open", &[]), Some(0.0));
    assert_eq!(server.metric("einmal_txn_oldest_open_age_seconds", &[]), Some(0.0));
    producer.send(&mut client, "t", 0, &["a", "b"]);
    let held = ["topic=\"t\"", "partition=\"0\""];
    assert_eq!(server.metric("einmal_txn_open", &[]), Some(1.0));
    assert_eq!(server.metric("einmal_txn_timeout_max_seconds", &[]), Some(45.0));
    assert_eq!(server.metric("einmal_partition_lso_lag_records", &held), Some(2.0));
    assert_eq!(server.metric("einmal_group_lag_records", &["group=\"g\"", "topic=\"t\""]), Some(2.0));
    assert_eq!(server.metric("einmal_group_lag_committed_records", &["group=\"g\"", "topic=\"t\""]), Some(0.0));
    assert!(server.metric("einmal_txn_oldest_open_age_seconds", &[]) >= Some(0.0));
    assert_eq!(producer.end(&mut client, true), 0);
    assert_eq!(server.metric("einmal_txn_open", &[]), Some(0.0));
    assert_eq!(server.metric("einmal_txn_timeout_max_seconds", &[]), Some(0.0));
    assert_eq!(server.metric("einmal_partition_lso_lag_records", &held), None);
    let by_client = ["result=\"commit\"", "initiator=\"client\""];
    assert_eq!(server.metric("einmal_txn_completed_total", &by_client), Some(1.0));
    for family in ["einmal_txn_duration_seconds_count", "einmal_txn_end_duration_seconds_count"] {
        assert_eq!(server.metric(family, &["result=\"commit\""]), Some(1.0), "{family}");
    }
    assert_eq!(server.metric("einmal_txn_partitions_sum", &[]), Some(1.0));
    assert_eq!(server.metric("einmal_txn_records_sum", &[]), Some(2.0));
    // Neither a transaction's marker nor what the last one had is a record of the next.
    producer.send(&mut client, "t", 0, &["c"]);
    assert_eq!(producer.end(&mut client, false), 0);
    assert_eq!(server.metric("einmal_txn_records_sum", &[]), Some(3.0));
    assert_eq!(server.metric("einmal_txn_records_bucket", &["le=\"1\""]), Some(1.0));
    fetch(&mut client, "t", 0, 0);
    assert_eq!(server.metric("einmal_topic_records_out_total", &["topic=\"t\""]), Some(3.0));
}

#[test]
fn rebalances_are_told_by_reason_and_commits_by_result() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 1);
    let rebalances = |group: &str, reason: &str| {
        let labels = [format!("group=\"{group}\""), format!("reason=\"{reason}\"")];
        server.metric("einmal_group_rebalances_total", &labels.each_ref().map(String::as_str))
    };
    let commits =
        |result| server.metric("einmal_group_commits_total", &["group=\"g\"", &format!("result=\"{result}\"")]);
    // A group that does not exist is no series: its name is the client's.
    assert_ne!(commit(&mut client, 7, "nobody", 3, 0), 0);
    assert_eq!(commits("refused"), None);
    // Nobody is a member, but it has offsets.
    assert_eq!(commit(&mut client, 7, "", -1, 0), 0);
    assert_ne!(commit(&mut client, 7, "nobody", 3, 0), 0);
    assert_eq!((commits("committed"), commits("refused")), (Some(1.0), Some(1.0)));
    let mut heartbeat = |member: &str, epoch: i32| {
        let beat = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(group())
            .with_member_id(text(member))
            .with_member_epoch(epoch)
            .with_rebalance_timeout_ms(60_000)
            .with_subscribed_topic_names(Some(vec![topic_name("t")]))
            .with_topic_partitions(Some(vec![]));
        client.call(&beat, 1).member_epoch
    };
    let epoch = heartbeat("one", 0);
    assert_eq!(heartbeat("two", 0), epoch + 1);
    assert_eq!(heartbeat("two", -1), -1);
    assert_eq!(heartbeat("one", epoch), epoch + 2);
    assert_eq!((rebalances("g", "join"), rebalances("g", "leave")), (Some(2.0), Some(1.0)));
    assert_eq!(rebalances("g", "session_timeout"), Some(0.0));
    assert_eq!(commit(&mut client, 9, "one", epoch + 2, 0), 0);
    assert_ne!(commit(&mut client, 9, "nobody", epoch, 0), 0);
    assert_eq!((commits("committed"), commits("refused")), (Some(2.0), Some(2.0)));
}

#[test]
fn the_time_of_requests_is_told_by_what_it_is_spent_in() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 1);
    produce(&mut client, "t", 0, batch(Producer::NONE, -1, &["a"]));
    fetch(&mut client, "t", 0, 0);
    let of = |what: &str, api: &str, phase: &str| {
        let labels = [format!("api=\"{api}\""), format!("phase=\"{phase}\"")];
        let family = format!("einmal_request_phase_seconds_{what}");
        server.metric(&family, &labels.each_ref().map(String::as_str)).expect("there from the start")
    };
    for phase in ["queue", "handle", "wait", "send"] {
        assert_eq!(of("count", "Produce", phase), 1.0, "{phase}");
        // The client may have the answer before its sending is counted.
        ask_until(|| (of("count", "Fetch", phase) == 1.0).then_some(()));
        assert_eq!(of("count", "EndTxn", phase), 0.0, "{phase}");
    }
    assert!(of("sum", "Produce", "handle") > 0.0 && of("sum", "Produce", "send") > 0.0);
    assert_eq!(of("sum", "Produce", "queue"), 0.0, "nothing was under way");
    // The phases are all of a request's time but for its sending.
    let whole = server.metric("einmal_request_duration_seconds_sum", &["api=\"Produce\""]).expect("one request");
    let parts = of("sum", "Produce", "handle") + of("sum", "Produce", "wait");
    assert!((whole - parts).abs() < 1e-6, "{whole} and {parts}");
    // Who waits for records that are not there waits, and nobody works.
    let parked = fetch_request("t", 0, 1).with_max_wait_ms(200).with_min_bytes(1);
    client.call(&parked, 12);
    assert!(of("sum", "Fetch", "wait") > 0.05);
}

#[test]
fn clients_are_told_by_their_software_the_most_used_and_no_more() {
    let server = TestServer::start();
    let connections = |name: &str| server.metric("einmal_client_software", &[&format!("name=\"{name}\"")]);
    let connect = |name: &str| {
        let mut client = TestClient::connect(&server);
        let hello = ApiVersionsRequest::default()
            .with_client_software_name(text(name))
            .with_client_software_version(text("1.0"));
        assert_eq!(client.call(&hello, 3).error_code, 0);
        client
    };
    assert_eq!(connections("other"), Some(0.0));
    let twice = [connect("librdkafka"), connect("librdkafka")];
    let silent = TestClient::connect(&server);
    ask_until(|| connections("other").filter(|count| *count == 1.0));
    assert_eq!(connections("librdkafka"), Some(2.0));
    let many: Vec<_> = (0..55).map(|number| connect(&format!("made-up-{number}"))).collect();
    let (_, page) = server.admin_get("/metrics");
    assert_eq!(page.lines().filter(|line| line.starts_with("einmal_client_software{")).count(), 51);
    // Most connections first, and then by name: 49 beside librdkafka. Six are left, and the one that says nothing.
    assert_eq!((connections("librdkafka"), connections("other")), (Some(2.0), Some(7.0)));
    drop((twice, silent, many));
    ask_until(|| connections("other").filter(|count| *count == 0.0 && connections("librdkafka").is_none()));
}

#[test]
fn the_waits_of_ready_tasks_are_taken_without_any_client() {
    let server = TestServer::start();
    ask_until(|| server.metric("einmal_runtime_poll_delay_seconds_count", &[]).filter(|count| *count > 0.0));
    assert_eq!(server.metric("einmal_engine_queue_bytes", &[]), Some(0.0));
}

#[test]
fn the_series_of_a_deleted_group_vanish() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 1);
    commit(&mut client, 7, "", -1, 0);
    assert!(server.admin_get("/metrics").1.contains("group=\"g\""));
    let delete = DeleteGroupsRequest::default().with_groups_names(vec![group()]);
    assert_eq!(client.call(&delete, 2).results[0].error_code, 0);
    assert!(!server.admin_get("/metrics").1.contains("group=\"g\""));
}
