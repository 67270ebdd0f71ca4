//! `einmal txn` against a running broker: what people and scripts are shown, and what an abort does.

mod support;

use kafka_protocol::messages::FindCoordinatorRequest;
use kafka_protocol::protocol::StrBytes;
use serde_json::{Value, json};
use support::requests::{Producer, batch, create_topic, produce};
use support::transactions::{
    Protocol, TransactionalProducer, committed_offset, drain_committed, fetch_committed, transaction_state,
};
use support::{TestClient, TestServer, server};

/// What `einmal txn` with these arguments prints, and whether it succeeds.
fn txn(server: &TestServer, arguments: &[&str]) -> (bool, String, String) {
    let address = server.address.to_string();
    let output = server::call(&[&["txn"], arguments, &["--bootstrap-server", &address]].concat());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// The rows of a call that succeeds.
fn rows(server: &TestServer, arguments: &[&str]) -> Vec<Value> {
    let (is_success, stdout, stderr) = txn(server, &[arguments, &["-o", "json"]].concat());
    assert!(is_success, "{arguments:?}: {stderr}");
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {stdout}"))
}

/// What a call that fails says.
fn refusal(server: &TestServer, arguments: &[&str]) -> String {
    let (is_success, _, stderr) = txn(server, arguments);
    assert!(!is_success, "{arguments:?}");
    stderr
}

fn start() -> (TestServer, TestClient) {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 2);
    (server, client)
}

#[test]
fn transactions_are_listed_and_described_for_people_and_for_scripts() {
    let (server, mut client) = start();
    assert!(rows(&server, &["list"]).is_empty());
    let mut open = TransactionalProducer::init(&mut client, Protocol::V2, "open");
    assert_eq!(open.send(&mut client, "t", 1, &["a"]).0, 0);
    assert_eq!(open.send(&mut client, "t", 0, &["a"]).0, 0);
    let mut ended = TransactionalProducer::init(&mut client, Protocol::V1, "ended");
    assert_eq!(ended.send(&mut client, "t", 0, &["b"]).0, 0);
    assert_eq!(ended.end(&mut client, true), 0);

    let of_ended =
        json!({ "transactional_id": "ended", "coordinator": 1, "producer_id": ended.id, "state": "CompleteCommit" });
    let of_open = json!({ "transactional_id": "open", "coordinator": 1, "producer_id": open.id, "state": "Ongoing" });
    let id = ended.id.to_string();
    for (arguments, expected) in [
        (&[][..], vec![&of_ended, &of_open]),
        (&["--state", "Ongoing"], vec![&of_open]),
        (&["--state", "Ongoing", "--state", "CompleteCommit"], vec![&of_ended, &of_open]),
        (&["--producer-id", &id], vec![&of_ended]),
        (&["--pattern", "o.*"], vec![&of_open]),
        (&["--older-than", "1h"], vec![]),
    ] {
        let listed = rows(&server, &[&["list"], arguments].concat());
        assert_eq!(listed.iter().collect::<Vec<_>>(), expected, "{arguments:?}");
    }

    let described = rows(&server, &["describe", "open", "ended"]);
    assert_eq!(described[0]["partitions"], json!([{ "topic": "t", "partitions": [0, 1] }]));
    assert_eq!((&described[0]["timeout_ms"], &described[0]["producer_epoch"]), (&json!(60_000), &json!(0)));
    assert!(described[0]["start_time_ms"].as_i64() > Some(1_700_000_000_000));
    assert!(described[0]["duration_ms"].as_i64() >= Some(0));
    assert_eq!((&described[1]["state"], &described[1]["partitions"]), (&json!("CompleteCommit"), &json!([])));

    let (_, table, _) = txn(&server, &["describe", "open"]);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 2, "{table}");
    assert_eq!((lines[0][0], lines[0][8]), ("TRANSACTIONAL-ID", "PARTITIONS"), "{table}");
    assert_eq!((lines[1][0], lines[1][4], lines[1].last()), ("open", "Ongoing", Some(&"t:0,1")), "{table}");

    let (is_success, table, _) = txn(&server, &["describe", "nobody"]);
    assert!(!is_success && table.is_empty(), "{table}");
    // Those that are there are shown all the same.
    let (is_success, stdout, stderr) = txn(&server, &["describe", "nobody", "open", "-o", "json"]);
    assert!(!is_success && stderr.contains("\"nobody\""), "{stderr}");
    assert_eq!(serde_json::from_str::<Vec<Value>>(&stdout).expect("JSON").len(), 1);
}

#[test]
fn producers_of_a_partition_are_shown_with_where_their_transactions_begin() {
    let (server, mut client) = start();
    produce(&mut client, "t", 0, batch(Producer::NONE, -1, &["x", "y"]));
    let mut producer = TransactionalProducer::init(&mut client, Protocol::V2, "payments");
    assert_eq!(producer.send(&mut client, "t", 0, &["a", "b"]).0, 0);
    let of = |arguments: &[&str]| rows(&server, &[&["producers", "t"], arguments].concat());
    let found = of(&[]);
    let members = ["topic", "partition", "producer_id", "producer_epoch", "last_sequence", "transaction_start_offset"];
    let values: Vec<&Value> = members.iter().map(|member| &found[0][member]).collect();
    assert_eq!(values, [&json!("t"), &json!(0), &json!(producer.id), &json!(0), &json!(1), &json!(2)]);
    assert_eq!((found.len(), of(&["--partition", "1"]).len()), (1, 0));
    assert_eq!(producer.end(&mut client, true), 0);
    assert_eq!(of(&["--partition", "0"])[0]["transaction_start_offset"], Value::Null);
    assert!(refusal(&server, &["producers", "t", "--partition", "2"]).contains("no partition 2"));
    assert!(refusal(&server, &["producers", "nowhere"]).contains("no topic nowhere"));
}

#[test]
fn an_abort_ends_what_is_open_and_fences_its_producer() {
    for protocol in [Protocol::V1, Protocol::V2] {
        let (server, mut client) = start();
        let mut producer = TransactionalProducer::init(&mut client, protocol, "payments");
        for partition in [0, 1] {
            assert_eq!(producer.send(&mut client, "t", partition, &["a"]).0, 0);
        }
        let aborted = rows(&server, &["abort", "payments"]);
        assert_eq!((&aborted[0]["outcome"], &aborted[0]["producer_id"]), (&json!("aborted"), &json!(producer.id)));
        assert_eq!(transaction_state(&mut client, "payments"), "Empty");
        for partition in [0, 1] {
            assert_eq!(fetch_committed(&mut client, "t", partition, 0).last_stable_offset, 2);
            assert!(drain_committed(&mut client, "t", partition).is_empty());
        }
        assert_eq!(producer.send_at(&mut client, "t", 0, 1, &["b"]).0, 47, "{protocol:?}");
        assert_eq!(producer.end_once(&mut client, true).0, 90, "{protocol:?}");
        assert!(refusal(&server, &["abort", "payments"]).contains("nothing of \"payments\" is open"));
        assert!(refusal(&server, &["abort", "nobody"]).contains("\"nobody\""));
        assert_eq!(rows(&server, &["list"]).len(), 1, "asking for nobody did not make one");
    }
}

#[test]
fn a_partition_alone_is_aborted_where_a_transaction_begins_and_nobody_else_will_end_it() {
    let (server, mut client) = start();
    let mut producer = TransactionalProducer::init(&mut client, Protocol::V1, "payments");
    for partition in [0, 1] {
        assert_eq!(producer.send(&mut client, "t", partition, &["a"]).0, 0);
    }
    let at = |offset: &'static str| ["abort", "--topic", "t", "--partition", "1", "--start-offset", offset];
    assert!(refusal(&server, &at("5")).contains("open ones begin at 0"));
    assert!(refusal(&server, &at("0")).contains("open transaction of \"payments\""));
    // Its coordinator knows it, so that it does not hang however old it is.
    assert!(rows(&server, &["find-hanging", "--max-transaction-timeout", "0s"]).is_empty());
    assert_eq!(fetch_committed(&mut client, "t", 1, 0).last_stable_offset, 0);
    let aborted = rows(&server, &[&at("0")[..], &["--force"]].concat());
    assert_eq!((&aborted[0]["outcome"], &aborted[0]["start_offset"]), (&json!("aborted"), &json!(0)));
    assert_eq!(fetch_committed(&mut client, "t", 1, 0).last_stable_offset, 2);
    assert_eq!(fetch_committed(&mut client, "t", 0, 0).last_stable_offset, 0, "the other partition is left alone");
}

#[test]
fn pending_offsets_are_aborted_in_the_partition_where_kafka_keeps_them_also_over_a_kill() {
    let (mut server, mut client) = start();
    let request = FindCoordinatorRequest::default().with_key(StrBytes::from_static_str("group"));
    assert_eq!(client.call(&request, 3).error_code, 0);
    let mut producer = TransactionalProducer::init(&mut client, Protocol::V2, "payments");
    for group in ["group", "polygenelubricants"] {
        assert_eq!(producer.commit_offset(&mut client, group, "t", 7), 0);
        assert_eq!(committed_offset(&mut client, group, "t"), (-1, 88), "UNSTABLE_OFFSET_COMMIT");
    }
    let found = rows(&server, &["producers", "__consumer_offsets"]);
    let partitions: Vec<_> = found.iter().map(|row| (&row["partition"], &row["producer_id"])).collect();
    assert_eq!(partitions, [(&json!(0), &json!(producer.id)), (&json!(47), &json!(producer.id))]);
    assert!(rows(&server, &["find-hanging", "--max-transaction-timeout", "0s"]).is_empty());
    let start_offset = found[1]["transaction_start_offset"].to_string();
    let abort = ["abort", "--topic", "__consumer_offsets", "--partition", "47", "--start-offset", &start_offset];
    assert!(refusal(&server, &abort).contains("open transaction of \"payments\""));
    assert_eq!(rows(&server, &[&abort[..], &["--force"]].concat())[0]["outcome"], json!("aborted"));
    server.kill9();
    let server = server.restart();
    let mut client = TestClient::connect(&server);
    assert_eq!(committed_offset(&mut client, "group", "t"), (-1, 0));
    assert_eq!(committed_offset(&mut client, "polygenelubricants", "t"), (-1, 88));
    assert_eq!(producer.end(&mut client, true), 0);
    assert_eq!(committed_offset(&mut client, "group", "t"), (-1, 0), "dropped for good");
    assert_eq!(committed_offset(&mut client, "polygenelubricants", "t"), (7, 0));
}

#[test]
fn what_makes_no_sense_is_a_usage_error_and_no_broker_an_ordinary_one() {
    for arguments in [
        &["txn"][..],
        &["txn", "abort"],
        &["txn", "abort", "payments", "--topic", "t"],
        &["txn", "abort", "--topic", "t", "--partition", "0"],
        &["txn", "describe"],
        &["txn", "list", "--state", "Nonsense"],
        &["txn", "list", "--older-than", "5"],
        &["txn", "find-hanging", "--partition", "0"],
        &["txn", "list", "-o", "yaml"],
    ] {
        let output = server::call(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    let output = server::call(&["txn", "list", "--bootstrap-server", "127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert!(stderr.starts_with("einmal: cannot connect to 127.0.0.1:1") && stderr.lines().count() == 1, "{stderr}");
}

#[test]
fn help_tells_each_command() {
    let output = server::call(&["txn", "--help"]);
    let help = String::from_utf8(output.stdout).expect("text");
    for word in ["list", "describe", "producers", "abort", "find-hanging"] {
        assert!(help.contains(&format!("  {word}  ")), "{help}");
    }
}
