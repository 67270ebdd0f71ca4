//! `message.dedup.audit.topic` as clients see it: what was there already is told under its id, also across SIGKILL.

mod support;

use std::collections::BTreeMap;

use bytes::Bytes;
use einmal::record::build::BatchBuilder;
use einmal::record::partitioner::partition_of;
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::records::RecordBatchDecoder;
use serde_json::Value;
use support::requests::{PRODUCE_VERSION, create_topic, create_topic_with, drain, fetch, produce, produce_request};
use support::{TestClient, TestServer, server};

const PARTITIONS: i32 = 3;

/// A batch with these ids in headers, and values.
fn identified(records: &[(&str, &str)]) -> Bytes {
    let batch = records.iter().fold(BatchBuilder::new(), |batch, (id, value)| {
        let headers = [(&b"message-id"[..], Some(id.as_bytes()))];
        batch.record_with_headers(1_700_000_000_000, None, Some(value.as_bytes()), &headers)
    });
    batch.build().freeze()
}

/// Keys and values of the audit topic by partition.
fn told(client: &mut TestClient) -> BTreeMap<i32, Vec<(String, Value)>> {
    let mut told = BTreeMap::new();
    for partition in 0..PARTITIONS {
        // All of it fits into one answer of these tests.
        let mut records = fetch(client, "repeated", partition, 0).records.unwrap_or_default();
        let of = told.entry(partition).or_insert_with(Vec::new);
        for set in RecordBatchDecoder::decode_all(&mut records).expect("stored batches decode") {
            for record in set.records {
                let key = String::from_utf8(record.key.expect("a key").to_vec()).expect("text");
                of.push((key, serde_json::from_slice(&record.value.expect("a value")).expect("JSON")));
            }
        }
    }
    told
}

fn start() -> (TestServer, TestClient) {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "repeated", PARTITIONS);
    let settings = [("message.dedup.mode", "window"), ("message.dedup.audit.topic", "repeated")];
    create_topic_with(&mut client, "t", 1, &settings);
    (server, client)
}

#[test]
fn repeated_records_are_told_under_their_ids_in_the_partitions_of_these() {
    let (server, mut client) = start();
    produce(&mut client, "t", 0, identified(&[("a", "1"), ("b", "2"), ("c", "3")]));
    for _ in 0..3 {
        produce(&mut client, "t", 0, identified(&[("c", "3"), ("d", "4"), ("a", "5"), ("b", "2")]));
    }
    let told = told(&mut client);
    let mut of: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (partition, records) in &told {
        for (key, value) in records {
            assert_eq!((value["id"].as_str(), &value["topic"]), (Some(key.as_str()), &Value::from("t")));
            assert_eq!(value["outcome"], "dropped");
            assert_eq!(partition_of(key.as_bytes(), PARTITIONS), *partition, "where a producer would send {key}");
            of.entry(key).or_default().push(*partition);
        }
    }
    assert_eq!(
        of.iter().map(|(id, partitions)| (*id, partitions.len())).collect::<Vec<_>>(),
        [("a", 3), ("b", 3), ("c", 3), ("d", 2)]
    );
    let a = told.values().flatten().find(|(key, _)| key == "a").expect("told");
    assert_eq!((&a.1["original"]["offset"], &a.1["record"]["value"]), (&Value::from(0), &Value::from("5")));
    assert_eq!(server.metric("einmal_dedup_audit_missed_total", &["topic=\"t\""]), Some(0.0));
    assert_eq!(server.metric("einmal_topic_records_in_total", &["topic=\"repeated\""]), Some(11.0));
    let bootstrap = server.address.to_string();
    assert!(server::call(&["topic", "delete", "repeated", "--bootstrap", &bootstrap]).status.success());
    produce(&mut client, "t", 0, identified(&[("a", "5"), ("e", "6"), ("c", "3")]));
    assert_eq!(server.metric("einmal_dedup_audit_missed_total", &["topic=\"t\""]), Some(2.0));
}

#[test]
fn settings_that_cannot_be_are_refused_with_the_reason() {
    let (server, _client) = start();
    let refusal = |arguments: &[&str]| {
        let output = server::call(&[arguments, &["--bootstrap", &server.address.to_string()]].concat());
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8(output.stderr).expect("text")
    };
    let audit = |name: &str| format!("message.dedup.audit.topic={name}");
    let create = |name: &str, audit_topic: &str| {
        refusal(&["topic", "create", name, "--config", "message.dedup.mode=window", "--config", &audit(audit_topic)])
    };
    assert!(create("u", "nothing").contains("topic nothing does not exist"));
    assert!(create("u", "u").contains("topic u is the topic itself"));
    assert!(create("u", "t").contains("topic t looks for repeated messages itself"));
    assert!(create("u", "__consumer_offsets").contains("one of the broker's own"));
    assert!(refusal(&["topic", "alter", "t", "--set", &audit("t")]).contains("is the topic itself"));
    let recognising = refusal(&["topic", "alter", "repeated", "--set", "message.dedup.mode=sequence"]);
    assert!(recognising.contains("told of repeated records of topic t"), "{recognising}");
}

#[test]
fn after_a_kill_exactly_what_was_left_out_has_been_told() {
    let (mut server, mut client) = start();
    produce(&mut client, "t", 0, identified(&[("0", "first")]));
    let mut number = 0;
    for round in 0..8 {
        // Each batch that is stored has left one record out. They are on their way when the broker dies.
        let sent: Vec<i32> = (0..100)
            .map(|_| {
                number += 1;
                let records = identified(&[("0", "again"), (&number.to_string(), "new")]);
                client.send(&produce_request("t", 0, -1, records), PRODUCE_VERSION)
            })
            .collect();
        for correlation_id in sent.into_iter().take(round * 10) {
            client.receive::<ProduceRequest>(correlation_id, PRODUCE_VERSION);
        }
        server.kill9();
        server = server.restart();
        client = TestClient::connect(&server);
        let stored = drain(&mut client, "t", 0).len() - 1;
        let told = told(&mut client).into_values().flatten().count();
        assert!(stored >= round * 10);
        assert_eq!(told, stored, "in round {round}");
    }
}
