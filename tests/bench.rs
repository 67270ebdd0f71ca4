//! `einmal bench` as a child process against the built broker, and against its own null server.

mod support;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use kafka_protocol::messages::{DescribeGroupsRequest, GroupId, OffsetFetchRequest};
use kafka_protocol::protocol::StrBytes;
use serde_json::{Value, json};
use support::requests::{Producer, batch, create_topic, fetch, produce};
use support::{TestClient, TestServer};

/// Runs `einmal bench` with `flags` against `address`. Answers whether it ended well, and its JSON.
fn bench(mode: &str, address: SocketAddr, flags: &[&str]) -> (bool, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_einmal"))
        .args(["bench", mode, "--bootstrap-server", &address.to_string(), "--json", "-"])
        .args(flags)
        .output()
        .expect("the built binary runs");
    let result = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{mode} {flags:?}: {error}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.success(), result)
}

/// What `--verify` found, as `(ok, records, expected)`.
fn verified(result: &Value) -> (bool, u64, u64) {
    let verified = &result["verified"];
    let number = |name: &str| verified[name].as_u64().unwrap_or_else(|| panic!("{name} in {result:#}"));
    (verified["ok"] == Value::Bool(true), number("records"), number("expected"))
}

#[test]
fn what_is_produced_is_read_back_whole() {
    let server = TestServer::start();
    for flags in [
        &["--idempotent", "--connections", "2"][..],
        &["--compression", "lz4", "--acks", "1"],
        &["--compression", "zstd", "--partitions-per-request", "2"],
        &["--acks", "0", "--record-size", "10"],
        &["--idempotent", "--connections", "5", "--in-flight", "1"],
        &["--rate", "100000", "--arrival", "poisson"],
    ] {
        let common = ["--create-partitions", "3", "--records", "1200", "--records-per-batch", "10", "--verify"];
        let (is_ok, result) = bench("produce", server.address, &[&common[..], flags].concat());
        assert!(is_ok, "{flags:?}: {result:#}");
        let (is_whole, records, expected) = verified(&result);
        assert!(is_whole && records == expected && records >= 1200, "{flags:?}: {result:#}");
        assert_eq!(result["records"], records, "{flags:?}");
        assert!(records < 1250, "{flags:?}: at most a request more than wanted, not {records}");
        assert_eq!(result["held"].is_boolean(), flags.contains(&"--rate"), "{flags:?}");
    }
    let (is_ok, result) = bench("consume", server.address, &["--verify", "--connections", "2"]);
    let (is_whole, records, expected) = verified(&result);
    assert!(is_ok && is_whole && records == expected, "{result:#}");
    let mut client = TestClient::connect(&server);
    let next: u64 =
        (0..3).map(|partition| fetch(&mut client, "einmal-bench", partition, 0).high_watermark.unsigned_abs()).sum();
    assert_eq!(records, next, "the broker counts the same");
}

#[test]
fn every_consumer_reads_every_record_and_each_batch_tells_its_latency() {
    let server = TestServer::start();
    let flags = ["--create-partitions", "4", "--records", "2000", "--rate", "20000", "--consumers", "3", "--verify"];
    let (is_ok, result) = bench("e2e", server.address, &flags);
    assert!(is_ok, "{result:#}");
    let sent = result["produce"]["records"].as_u64().expect("a number");
    assert_eq!(verified(&result), (true, sent * 3, sent * 3));
    assert_eq!(result["latency_us"]["count"], result["requests"], "{result:#}");
    assert_eq!(result["requests"].as_u64(), result["produce"]["requests"].as_u64().map(|requests| requests * 3));
}

#[test]
fn records_of_somebody_else_fail_the_verification() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "foreign", 1);
    let flags = ["--topic", "foreign", "--records", "20", "--records-per-batch", "10", "--verify"];
    assert!(bench("produce", server.address, &flags).0);
    produce(&mut client, "foreign", 0, batch(Producer::NONE, -1, &["not what the bench sent"]));
    let (is_ok, result) = bench("consume", server.address, &["--topic", "foreign", "--verify"]);
    assert!(!is_ok);
    assert_eq!(verified(&result), (false, 20, 21));
    assert_eq!(result["verified"]["corrupt_records"], 1, "{result:#}");
    assert_eq!(
        result["verified"]["first_fault"], "partition 0: the value at offset 20 is not what was sent",
        "{result:#}"
    );
}

#[test]
fn connections_come_up_and_answer_while_they_are_held() {
    let server = TestServer::start_with(&["max.connections.per.ip=30"]);
    let flags = ["--count", "50", "--rate-per-connection", "20", "--duration", "0.2"];
    let (is_ok, result) = bench("connections", server.address, &flags);
    assert!(!is_ok, "twenty are refused: {result:#}");
    let spread = [&flags[..], &["--source-addresses", "2"]].concat();
    let (is_ok, result) = bench("connections", server.address, &spread);
    assert!(is_ok, "{result:#}");
    assert_eq!(result["opened"]["up"], 50, "{result:#}");
    assert!(result["requests"].as_u64().is_some_and(|requests| requests > 0), "{result:#}");
}

/// A null server; dropped, it is killed.
struct NullServer(Child, SocketAddr);

impl NullServer {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_einmal"))
            .args(["bench", "null-server", "--partitions", "7"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the built binary runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("listening ").and_then(|address| address.parse().ok());
        Self(child, address.unwrap_or_else(|| panic!("{line:?} tells no address")))
    }
}

impl Drop for NullServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_null_server_takes_and_gives_what_the_client_sends_and_asks_for() {
    let null = NullServer::start();
    for flags in [&["--idempotent", "--partitions-per-request", "3"][..], &["--acks", "0"]] {
        let (is_ok, result) = bench("produce", null.1, &[&["--records", "5000"], flags].concat());
        assert!(is_ok && result["records"].as_u64() >= Some(5000), "{flags:?}: {result:#}");
        assert_eq!(result["args"]["partitions"], 7);
    }
    let (is_ok, result) = bench("consume", null.1, &["--records", "5000", "--verify"]);
    assert!(is_ok && verified(&result).1 >= 5000, "{result:#}");
}

#[test]
fn groups_become_stable_after_each_change_and_commit() {
    let server = TestServer::start();
    let flags = [
        "--group",
        "g",
        "--groups",
        "2",
        "--members",
        "4",
        "--heartbeat-interval-ms",
        "20",
        "--lose",
        "--restarts",
        "2",
    ];
    let (is_ok, result) = bench("groups", server.address, &[&flags[..], &["--commit", "--duration", "0.3"]].concat());
    assert!(is_ok, "{result:#}");
    for phase in ["stable_s", "lost_s", "rolling_s", "commits_per_s"] {
        assert!(result[phase].as_f64().is_some_and(|value| value > 0.0), "{phase} in {result:#}");
    }
    let count = |what: &str| result[what].as_u64().unwrap_or_else(|| panic!("{what} in {result:#}"));
    assert_eq!(result["latency_us"]["count"], count("commits"), "{result:#}");
    let mut client = TestClient::connect(&server);
    let groups = ["g-0", "g-1"].map(|id| GroupId(StrBytes::from_static_str(id)));
    let request = OffsetFetchRequest::default().with_group_id(groups[0].clone()).with_topics(None);
    let committed = client.call(&request, 7).topics[0].partitions.len();
    assert!(committed > 0, "an offset that was committed is there");
    let described = client.call(&DescribeGroupsRequest::default().with_groups(groups.to_vec()), 5).groups;
    // They were not told to leave at the end, and their sessions are longer than this test.
    assert_eq!(described.iter().map(|group| group.members.len()).collect::<Vec<_>>(), [3, 4]);
    let (_, without) = bench("groups", server.address, &["--members", "1"]);
    assert_eq!(
        (&without["lost_s"], &without["rolling_s"], &without["commits"]),
        (&Value::Null, &Value::Null, &json!(0))
    );
}

#[test]
fn transactions_are_committed_and_told() {
    let server = TestServer::start();
    let flags =
        ["--producers", "2", "--create-partitions", "5", "--partitions-per-transaction", "3", "--duration", "0.3"];
    let (is_ok, result) = bench("transactions", server.address, &flags);
    assert!(is_ok && result["complete"] == true, "{result:#}");
    let transactions = result["transactions"].as_u64().unwrap_or_default();
    assert!(transactions > 0, "{result:#}");
    for latency in ["latency_us", "commit_latency_us"] {
        assert_eq!(result[latency]["count"], transactions, "{result:#}");
    }
    // Their producers take over from those of the run before.
    let (is_ok, result) = bench("transactions", server.address, &[&flags[..], &["--rate", "50"]].concat());
    assert!(is_ok && result["complete"] == true, "{result:#}");
    let transactions = result["transactions"].as_u64().unwrap_or_default();
    assert!((1..=16).contains(&transactions), "{result:#}");
    let (is_ok, result) = bench("consume", server.address, &["--isolation-level", "read_committed"]);
    assert!(is_ok && result["records"].as_u64() >= Some(transactions * 3), "{result:#}");
}
