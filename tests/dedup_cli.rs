//! `einmal dedup` and `/api/v1/dedup`: what topics remember, where a message lies, and who sends it again.

mod support;

use bytes::{BufMut, Bytes, BytesMut};
use einmal::record::build::BatchBuilder;
use einmal::types::{ProducerEpoch, ProducerId};
use kafka_protocol::messages::{ApiKey, ProduceRequest, RequestHeader};
use kafka_protocol::protocol::{Encodable, HeaderVersion};
use serde_json::{Value, json};
use support::groups::text;
use support::requests::{PRODUCE_VERSION, Producer, create_topic_with, produce, produce_request};
use support::transactions::{Protocol, TransactionalProducer};
use support::{TestClient, TestServer, server};

const NONE: i16 = 0;
const NOT_ENOUGH_REPLICAS: i16 = 19;
const INVALID_RECORD: i16 = 87;
const UUID: &str = "0190163d-8694-739b-aea5-966c26f8ad91";

/// Whether `einmal dedup` with these arguments succeeds, and what it prints.
fn dedup(server: &TestServer, arguments: &[&str]) -> (bool, String, String) {
    let admin = server.admin.to_string();
    let output = server::call(&[&["dedup"], arguments, &["--admin", &admin]].concat());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// The rows of a call, whether it succeeds or not.
fn rows(server: &TestServer, arguments: &[&str]) -> Vec<Value> {
    let (_, stdout, stderr) = dedup(server, &[arguments, &["-o", "json"]].concat());
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {stdout} {stderr}"))
}

/// What a call that fails says.
fn refusal(server: &TestServer, arguments: &[&str]) -> String {
    let (is_success, stdout, stderr) = dedup(server, arguments);
    assert!(!is_success, "{arguments:?}: {stdout}");
    stderr
}

/// Partition and offset of what is found.
fn places(server: &TestServer, arguments: &[&str]) -> Vec<(i64, i64)> {
    let number = |row: &Value, name: &str| row[name].as_i64().expect("a number");
    let arguments = [&["find"], arguments].concat();
    rows(server, &arguments).iter().map(|row| (number(row, "partition"), number(row, "offset"))).collect()
}

fn create(client: &mut TestClient, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
    let names: Vec<String> = settings.iter().map(|(name, _)| format!("message.dedup.{name}")).collect();
    let settings: Vec<_> = names.iter().zip(settings).map(|(name, (_, value))| (name.as_str(), *value)).collect();
    create_topic_with(client, topic, partitions, &settings);
}

/// A batch of one record for each id, which its header holds.
fn identified(ids: &[&str]) -> Bytes {
    let batch = ids.iter().fold(BatchBuilder::new(), |batch, id| {
        batch.record_with_headers(1_700_000_000_000, None, None, &[(b"message-id", Some(id.as_bytes()))])
    });
    batch.build().freeze()
}

/// Code and base offset.
fn send(client: &mut TestClient, topic: &str, partition: i32, records: Bytes) -> (i16, i64) {
    let answer = produce(client, topic, partition, records);
    (answer.error_code, answer.base_offset)
}

#[test]
fn status_tells_what_each_topic_remembers_and_how_much_it_knew() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create(&mut client, "plain", 1, &[]);
    assert_eq!(rows(&server, &["status"]), [] as [Value; 0]);
    create(&mut client, "few", 1, &[("mode", "window"), ("window.max.ids", "4")]);
    create(&mut client, "once", 1, &[("mode", "window"), ("window.ms", "90000"), ("audit.topic", "plain")]);
    create(&mut client, "counted", 1, &[("mode", "sequence")]);
    for ids in [&["a", "b", "c"][..], &["a", "d", "d"], &["b"]] {
        assert_eq!(send(&mut client, "once", 0, identified(ids)).0, NONE);
    }
    for id in ["a", "b", "c", "d", "e", "f"] {
        assert_eq!(send(&mut client, "few", 0, identified(&[id])).0, NONE);
    }
    let shown = rows(&server, &["status"]);
    let of = |name: &str| shown.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("topic"), ["counted", "few", "once"]);
    assert_eq!(of("mode"), ["sequence", "window", "window"]);
    assert_eq!(of("window_ms"), [Value::Null, json!(3_600_000), json!(90_000)]);
    assert_eq!(of("live_ids"), [0, 4, 4]);
    assert_eq!(of("checked_records"), [0, 6, 7]);
    assert_eq!(of("known_messages"), [0, 0, 3]);
    assert_eq!(of("evicted_ids"), [0, 2, 0]);
    assert_eq!(of("slices"), [0, 0, 0]);
    assert_eq!(of("audit_topic"), [Value::Null, Value::Null, json!("plain")]);
    assert!(of("index_bytes")[2].as_i64() > Some(100), "{shown:?}");
    let (is_success, table, _) = dedup(&server, &["status", "once"]);
    assert!(is_success);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..5], ["TOPIC", "MODE", "WINDOW", "LIVE-IDS", "OLDEST-ID-AGE"]);
    assert_eq!((lines.len(), &lines[1][..5]), (2, &["once", "window", "1m", "30s", "4"][..]), "{table}");
    assert!(refusal(&server, &["status", "plain"]).contains("looks at no message ids"));
    assert!(refusal(&server, &["status", "nothing"]).contains("there is no topic nothing"));
    let (status, body) = server.admin_get("/api/v1/dedup?topic=once");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(status, 200);
    let known = json!({ "batch": 1, "open": 2, "sealed": 0, "sequence": 0, "pending": 0 });
    assert_eq!(body["topics"][0]["known_by"], known);
    assert_eq!(server.admin_get("/api/v1/dedup?topics=once").0, 400);
}

#[test]
fn status_tells_what_was_stored_unchecked_and_what_was_refused_for_now_or_for_good() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create(&mut client, "careless", 1, &[("mode", "window")]);
    create(&mut client, "full", 1, &[("mode", "window"), ("window.max.ids", "2"), ("overflow", "throttle")]);
    create(&mut client, "strict", 1, &[("mode", "window"), ("on.duplicate", "reject")]);
    let misspelt = BatchBuilder::new().record_with_headers(1, None, None, &[(b"Message-Id", Some(b"a"))]);
    assert_eq!(send(&mut client, "careless", 0, misspelt.build().freeze()).0, NONE);
    for (id, answer) in [("a", NONE), ("b", NONE), ("c", NOT_ENOUGH_REPLICAS), ("d", NOT_ENOUGH_REPLICAS)] {
        assert_eq!(send(&mut client, "full", 0, identified(&[id])).0, answer, "{id}");
    }
    for answer in [NONE, INVALID_RECORD] {
        assert_eq!(send(&mut client, "strict", 0, identified(&["a"])).0, answer);
    }
    let shown = rows(&server, &["status"]);
    let of = |name: &str| shown.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("topic"), ["careless", "full", "strict"]);
    assert_eq!(of("records_without_id"), [1, 0, 0]);
    assert_eq!(of("window_ids_max"), [10_000_000, 2, 10_000_000]);
    assert_eq!(of("throttled_batches"), [0, 2, 0]);
    assert_eq!(of("pending_conflicts"), [0, 0, 0]);
    assert_eq!(of("rejected_batches"), [0, 0, 1]);
    assert_eq!(server.metric("einmal_dedup_throttled_total", &["topic=\"full\""]), Some(2.0));
}

#[test]
fn find_says_of_each_id_what_produce_would_answer_wherever_the_id_is() {
    let mut server = TestServer::start_with(&["einmal.dedup.open.max.ids=16"]);
    let mut client = TestClient::connect(&server);
    create(&mut client, "once", 2, &[("mode", "window")]);
    create(&mut client, "fresh", 1, &[("mode", "window")]);
    assert_eq!(send(&mut client, "fresh", 0, identified(&["x"])), (NONE, 0));
    let id = |number: i64| format!("order {number}&");
    let mut next = 0;
    let slices = |server: &TestServer| rows(server, &["status", "once"])[0]["slices"].as_i64().expect("a number");
    while slices(&server) < 2 {
        let ids: Vec<String> = (next..next + 20).map(id).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        assert_eq!(send(&mut client, "once", 1, identified(&ids)), (NONE, next));
        next += 20;
    }
    let newest = next;
    assert_eq!(send(&mut client, "once", 1, identified(&[&id(newest)])), (NONE, newest));
    for restarts in 0..2 {
        let step = usize::try_from(next / 40).expect("small").max(1);
        let mut kept_in = std::collections::BTreeSet::new();
        for number in (0..=newest).step_by(step).chain([newest]) {
            let found = rows(&server, &["find", "once", &id(number)]);
            assert_eq!((&found[0]["partition"], &found[0]["offset"]), (&json!(1), &json!(number)), "{found:?}");
            assert_eq!(found[0]["batch_timestamp_ms"], 1_700_000_000_000_i64);
            let (age, left) = (found[0]["age_ms"].as_i64().expect("a span"), found[0]["left_ms"].as_i64());
            assert_eq!(left, Some(3_600_000 - age));
            kept_in.insert(found[0]["kept_in"].as_str().expect("text").to_owned());
            assert_eq!(send(&mut client, "once", 1, identified(&[&id(number)])), (NONE, number), "Produce agrees");
        }
        assert!(kept_in.contains("file"), "after {restarts} restarts: {kept_in:?}");
        // Too few to leave memory.
        assert_eq!(rows(&server, &["find", "fresh", "x"])[0]["kept_in"], "memory");
        for unknown in ["order", "order 1", "ORDER 1&", &id(newest + 1)] {
            assert_eq!(places(&server, &["once", unknown]), [], "{unknown}");
            assert!(refusal(&server, &["find", "once", unknown]).contains("does not remember"));
        }
        server.kill9();
        server = server.restart();
        client = TestClient::connect(&server);
    }
}

#[test]
fn ids_are_named_as_the_topic_makes_them() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    let one = |key: Option<&[u8]>, value: Option<&[u8]>, headers: &[(&[u8], Option<&[u8]>)]| {
        BatchBuilder::new().record_with_headers(1, key, value, headers).build().freeze()
    };
    create(&mut client, "headers", 2, &[("mode", "window")]);
    send(&mut client, "headers", 1, one(None, None, &[(b"ce_id", Some(b"47")), (b"ce_source", Some(b"/shop"))]));
    send(&mut client, "headers", 0, one(None, None, &[(b"message-id", Some(UUID.as_bytes()))]));
    assert_eq!(places(&server, &["headers", "/shop", "47"]), [(1, 0)]);
    assert_eq!(places(&server, &["headers", "47", "/shop"]), []);
    assert_eq!(places(&server, &["headers", "/shop+47"]), [(1, 0)], "as the audit topic tells it");
    assert_eq!(places(&server, &["headers", "/shop+48"]), []);
    send(&mut client, "headers", 1, one(None, None, &[(b"ce_id", Some(b"1+2")), (b"ce_source", Some(b"a+b"))]));
    assert_eq!(places(&server, &["headers", "a+b+1+2"]), [(1, 1)]);
    send(&mut client, "headers", 1, one(None, None, &[(b"message-id", Some(b"a+b+1+2"))]));
    assert_eq!(places(&server, &["headers", "a+b+1+2"]), [(1, 2)], "what it says first");
    let hex = UUID.replace('-', "");
    for form in [&[UUID][..], &[&UUID.to_uppercase()], &[&hex, "--hex"]] {
        assert_eq!(places(&server, &[&["headers"], form].concat()), [(0, 0)], "{form:?}");
    }
    assert!(refusal(&server, &["find", "headers", "a", "b", "c"]).contains("message-id or of ce_source+ce_id, not 3"));
    assert!(refusal(&server, &["find", "headers", ""]).contains("an empty text is no id"));
    assert!(refusal(&server, &["find", "headers", &"x".repeat(513)]).contains("513 bytes"));
    assert!(refusal(&server, &["find", "headers", "x", "--namespace", "n"]).contains("have no namespace"));
    assert!(refusal(&server, &["find", "headers", "zz", "--hex"]).contains("is not hexadecimal"));

    create(&mut client, "keys", 1, &[("mode", "window"), ("id.source", "key")]);
    send(&mut client, "keys", 0, one(Some(b"k\xff"), Some(b"v"), &[]));
    assert_eq!(places(&server, &["keys", "6bff", "--hex"]), [(0, 0)]);
    create(&mut client, "values", 1, &[("mode", "window"), ("id.source", "value-hash")]);
    send(&mut client, "values", 0, one(Some(b"k"), Some(b"v"), &[]));
    assert_eq!([places(&server, &["values", "v"]), places(&server, &["values", "k"])], [vec![(0, 0)], vec![]]);
    create(&mut client, "both", 1, &[("mode", "window"), ("id.source", "key-value-hash")]);
    send(&mut client, "both", 0, one(Some(b"k"), Some(b"v"), &[]));
    assert_eq!(places(&server, &["both", "k", "v"]), [(0, 0)]);
    assert!(refusal(&server, &["find", "both", "k"]).contains("key and value, not 1"));

    create(&mut client, "tenants", 1, &[("mode", "window"), ("namespace", "header:tenant")]);
    let of = |tenant: &'static [u8]| one(None, None, &[(b"message-id", Some(b"7")), (b"tenant", Some(tenant))]);
    send(&mut client, "tenants", 0, of(b"a"));
    send(&mut client, "tenants", 0, of(b"b"));
    let places_of = |tenant: &str| places(&server, &["tenants", "7", "--namespace", tenant]);
    assert_eq!([places_of("a"), places_of("b"), places_of("c")], [vec![(0, 0)], vec![(0, 1)], vec![]]);
    assert_eq!(places(&server, &["tenants", "7"]), [], "that of a record without a tenant");
    create(&mut client, "owned", 1, &[("mode", "window"), ("namespace", "principal")]);
    send(&mut client, "owned", 0, identified(&["7"]));
    let places_of = |principal: &str| places(&server, &["owned", "7", "--namespace", principal]);
    assert_eq!([places_of("User:ANONYMOUS"), places_of("User:shop")], [vec![(0, 0)], vec![]]);
    assert_eq!(places(&server, &["owned", "7"]), [(0, 0)], "everybody is anonymous");

    create(&mut client, "apart", 3, &[("mode", "window"), ("scope", "partition")]);
    for partition in [0, 2] {
        send(&mut client, "apart", partition, identified(&["x", "y"]));
    }
    assert_eq!(places(&server, &["apart", "y"]), [(0, 1), (2, 1)]);
    assert_eq!(places(&server, &["apart", "y", "--partition", "2"]), [(2, 1)]);
    assert_eq!(places(&server, &["apart", "y", "--partition", "1"]), []);
    assert!(refusal(&server, &["find", "apart", "y", "--partition", "3"]).contains("has no partition 3"));
    create(&mut client, "plain", 1, &[]);
    assert!(refusal(&server, &["find", "plain", "y"]).contains("looks at no message ids"));
    assert_eq!(server.admin_get("/api/v1/dedup/find?topic=apart&id=%4").0, 400);
    assert_eq!(server.admin_get("/api/v1/dedup/find?id=y").0, 400);
}

#[test]
fn ids_of_transactions_are_told_until_they_are_aborted_and_ids_go_with_their_time() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create(&mut client, "once", 1, &[("mode", "window"), ("id.source", "value-hash")]);
    let mut producer = TransactionalProducer::init(&mut client, Protocol::V2, "payments");
    assert_eq!(producer.send(&mut client, "once", 0, &["a"]).0, NONE);
    let found = rows(&server, &["find", "once", "a"]);
    assert_eq!((&found[0]["offset"], &found[0]["open_producer_id"]), (&json!(0), &json!(producer.id)));
    assert_eq!(producer.end(&mut client, false), NONE);
    assert_eq!(places(&server, &["once", "a"]), []);
    assert_eq!(producer.send(&mut client, "once", 0, &["b"]).0, NONE);
    assert_eq!(producer.end(&mut client, true), NONE);
    assert_eq!(rows(&server, &["find", "once", "b"])[0]["open_producer_id"], Value::Null);

    create(&mut client, "brief", 1, &[("mode", "window"), ("window.ms", "1")]);
    assert_eq!(send(&mut client, "brief", 0, identified(&["a"])), (NONE, 0));
    // A millisecond later, whether it has been forgotten or not.
    assert_eq!(places(&server, &["brief", "a"]), []);
    assert_eq!(send(&mut client, "brief", 0, identified(&["a"])), (NONE, 1), "Produce agrees");
}

#[test]
fn of_an_id_that_stands_for_several_messages_each_is_told_with_its_own_time() {
    let mut server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create(&mut client, "mirrored", 1, &[("mode", "window"), ("time.source", "create"), ("window.ms", "60000")]);
    let at = |time: i64, id: &str| {
        let headers = [(&b"message-id"[..], Some(id.as_bytes()))];
        BatchBuilder::new().record_with_headers(time, None, None, &headers).build().freeze()
    };
    // Noon, an hour later, and between: a day's copies come in any order.
    let times = [1_700_000_000_000, 1_700_003_600_000, 1_700_001_800_000_i64];
    for (offset, time) in (0..).zip(times) {
        assert_eq!(send(&mut client, "mirrored", 0, at(time, "7")), (NONE, offset));
        assert_eq!(send(&mut client, "mirrored", 0, at(time + 59_999, "7")), (NONE, offset), "a copy");
    }
    assert_eq!(send(&mut client, "mirrored", 0, at(times[0], "8")), (NONE, 3));
    for _ in 0..2 {
        let told: Vec<_> = rows(&server, &["find", "mirrored", "7"])
            .iter()
            .map(|row| (row["offset"].as_i64().expect("an offset"), row["record_timestamp_ms"].as_i64()))
            .collect();
        assert_eq!(told, [(2, Some(times[2])), (1, Some(times[1])), (0, Some(times[0]))]);
        for (offset, time) in told {
            let copy = at(time.expect("of its own") - 59_999, "7");
            assert_eq!(send(&mut client, "mirrored", 0, copy), (NONE, offset), "Produce agrees");
        }
        assert_eq!(places(&server, &["mirrored", "8"]), [(0, 3)]);
        server.kill9();
        server = server.restart();
        client = TestClient::connect(&server);
    }
    // Only the broker's time tells from now on, so that the newest is all that is told.
    let (bootstrap, setting) = (server.address.to_string(), "message.dedup.time.source=append");
    let altered = server::call(&["topic", "alter", "mirrored", "--set", setting, "--bootstrap", &bootstrap]);
    assert!(altered.status.success(), "{altered:?}");
    assert_eq!(send(&mut client, "mirrored", 0, at(5, "7")), (NONE, 2));
    let found = rows(&server, &["find", "mirrored", "7"]);
    assert_eq!((found.len(), &found[0]["offset"], &found[0]["record_timestamp_ms"]), (1, &json!(2), &Value::Null));
}

#[test]
fn of_a_sender_that_counts_it_is_told_how_far_it_has_come() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create(&mut client, "counted", 2, &[("mode", "sequence")]);
    let counted = |number: &'static [u8]| {
        let headers = [(&b"producer-name"[..], Some(&b"relay 1"[..])), (b"producer-sequence", Some(number))];
        BatchBuilder::new().record_with_headers(5, None, None, &headers).build().freeze()
    };
    assert_eq!(send(&mut client, "counted", 1, counted(b"7")), (NONE, 0));
    assert_eq!(send(&mut client, "counted", 1, counted(b"18446744073709551615")), (NONE, 1));
    let found = rows(&server, &["find", "counted", "relay 1"]);
    let expected = json!([{
        "partition": 1, "number": "18446744073709551615", "offset": 1, "batch_timestamp_ms": 5,
        "open_number": null, "open_producer_id": null,
    }]);
    assert_eq!(Value::from(found), expected);
    assert!(refusal(&server, &["find", "counted", "relay 2"]).contains("does not remember"));
    assert_eq!(rows(&server, &["status", "counted"])[0]["live_ids"], 1);
}

/// Sends one batch as a client of this id.
fn send_as(client: &mut TestClient, client_id: &str, topic: &str, records: Bytes) {
    let correlation_id = client.next_correlation_id();
    let header = RequestHeader::default()
        .with_request_api_key(ApiKey::Produce as i16)
        .with_request_api_version(PRODUCE_VERSION)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(text(client_id)));
    let mut payload = BytesMut::new();
    header.encode(&mut payload, ProduceRequest::header_version(PRODUCE_VERSION)).expect("a header encodes");
    produce_request(topic, 0, -1, records).encode(&mut payload, PRODUCE_VERSION).expect("the request encodes");
    let mut frame = BytesMut::new();
    frame.put_i32(payload.len() as i32);
    frame.put(payload);
    client.send_bytes(&frame).expect("the connection is open");
    client.receive::<ProduceRequest>(correlation_id, PRODUCE_VERSION);
}

#[test]
fn who_sends_what_is_there_is_named_on_the_page_and_nowhere_in_labels() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create(&mut client, "once", 1, &[("mode", "window")]);
    create(&mut client, "claims", 1, &[("mode", "window"), ("on.duplicate", "reject")]);
    let producer = Producer::init(&mut client);
    let retried = BatchBuilder::new().producer(ProducerId(producer.id), ProducerEpoch(producer.epoch), 0);
    let retried = retried.record(5, None, Some(b"r")).record(5, None, Some(b"s")).build().freeze();
    for (client_id, topic, records) in [
        ("good", "once", identified(&["a", "b", "c"])),
        ("<b>relay</b>", "once", identified(&["a", "b", "d"])),
        ("<b>relay</b>", "once", identified(&["a", "b", "c"])),
        ("good", "claims", identified(&["a"])),
        ("other", "claims", identified(&["a"])),
        ("retries", "once", retried.clone()),
        ("retries", "once", retried),
    ] {
        send_as(&mut client, client_id, topic, records);
    }
    let sender = |client_id: &str, topic: &str, known: u64, retried: u64| {
        json!({
            "client_id": client_id, "topic": topic, "known_messages": known, "retried_records": retried, "missed_max": 0,
        })
    };
    let expected =
        [sender("<b>relay</b>", "once", 5, 0), sender("retries", "once", 0, 2), sender("other", "claims", 1, 0)];
    assert_eq!(rows(&server, &["senders"]), expected);
    let (_, page) = server.admin_answer("/");
    assert!(page.contains("<td>&lt;b&gt;relay&lt;/b&gt;</td><td>once</td><td>5</td><td>0</td>"), "{page}");
    let (_, metrics) = server.admin_get("/metrics");
    assert!(!metrics.contains("relay") && !metrics.contains("retries\""), "client ids are no labels");
    let (_, body) = server.admin_get("/api/v1/dedup?topic=claims");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(body["senders"], json!([sender("other", "claims", 1, 0)]));
}

#[test]
fn who_is_no_admin_port_is_told() {
    let server = TestServer::start();
    let told = |admin: &str| {
        let output = server::call(&["dedup", "status", "--timeout", "1s", "--admin", admin]);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).expect("text")
    };
    assert!(told("127.0.0.1:1").contains("cannot connect to 127.0.0.1:1"));
    let listener = told(&server.address.to_string());
    assert!(listener.contains("--admin, EINMAL_ADMIN"), "{listener}");
}
