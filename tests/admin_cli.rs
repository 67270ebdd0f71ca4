//! `einmal topic` and `einmal group` against a running broker: what people and scripts are shown, and what is changed.

mod support;

use kafka_protocol::messages::ConsumerGroupHeartbeatRequest;
use serde_json::{Value, json};
use support::groups::{commit, group, text};
use support::requests::{Producer, batch, create_topic, produce, topic_name};
use support::{TestClient, TestServer, server};

/// What `einmal` with these arguments prints, and whether it succeeds.
fn einmal(server: &TestServer, arguments: &[&str]) -> (bool, String, String) {
    let address = server.address.to_string();
    let output = server::call(&[arguments, &["--bootstrap-server", &address]].concat());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// The rows of a call that succeeds, all values of the columns.
fn rows(server: &TestServer, arguments: &[&str], columns: &[&str]) -> Vec<Vec<Value>> {
    let (is_success, stdout, stderr) = einmal(server, &[arguments, &["-o", "json"]].concat());
    assert!(is_success, "{arguments:?}: {stderr}");
    let rows: Vec<Value> =
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {stdout}"));
    rows.iter().map(|row| columns.iter().map(|column| row[*column].clone()).collect()).collect()
}

/// Does what prints nothing.
fn done(server: &TestServer, arguments: &[&str]) {
    let (is_success, stdout, stderr) = einmal(server, arguments);
    assert!(is_success && stdout.is_empty(), "{arguments:?}: {stdout}{stderr}");
}

/// What a call that fails says.
fn refusal(server: &TestServer, arguments: &[&str]) -> String {
    let (is_success, _, stderr) = einmal(server, arguments);
    assert!(!is_success, "{arguments:?}");
    stderr
}

#[test]
fn topics_are_created_shown_changed_and_deleted() {
    let server = TestServer::start();
    let columns = ["topic", "partitions", "replication_factor"];
    let create = ["topic", "create", "b", "a", "--partitions", "2", "--config", "retention.ms=1000000000000"];
    let created = [[json!("a"), json!(2), json!(1)], [json!("b"), json!(2), json!(1)]];
    assert_eq!(rows(&server, &[&create[..], &["--dry-run"]].concat(), &columns), created);
    assert!(rows(&server, &["topic", "list"], &columns).is_empty());
    assert_eq!(rows(&server, &create, &columns), created);
    assert_eq!(rows(&server, &["topic", "list"], &columns), created);
    let again = refusal(&server, &["topic", "create", "a", "c"]);
    assert!(again.contains("TOPIC_ALREADY_EXISTS [36] Topic 'a' already exists."), "{again}");
    let (_, shown, _) = einmal(&server, &["topic", "create", "a"]);
    assert!(shown.is_empty(), "{shown}");
    // What is right with one topic is done although another is refused.
    assert_eq!(rows(&server, &["topic", "list"], &["topic"]), [[json!("a")], [json!("b")], [json!("c")]]);
    assert!(rows(&server, &["topic", "create", "a", "--if-not-exists"], &columns).is_empty());

    let mut client = TestClient::connect(&server);
    assert_eq!(produce(&mut client, "a", 1, batch(Producer::NONE, -1, &["x", "y"])).error_code, 0);
    let described = ["topic", "partition", "leader", "replicas", "in_sync", "log_start_offset", "end_offset"];
    let partition =
        |index: i32, end: i32| [json!("a"), json!(index), json!(1), json!("1"), json!("1"), json!(0), json!(end)];
    assert_eq!(rows(&server, &["topic", "describe", "a"], &described), [partition(0, 0), partition(1, 2)]);

    done(&server, &["topic", "alter", "a", "--set", "max.message.bytes=77", "--unset", "retention.ms", "-p", "3"]);
    assert_eq!(rows(&server, &["topic", "describe", "a"], &["partition"]).len(), 3);
    let settings = ["topic", "setting", "value", "source"];
    let own = [json!("a"), json!("max.message.bytes"), json!("77"), json!("topic")];
    assert_eq!(rows(&server, &["topic", "describe", "a", "--settings"], &settings), [own]);
    assert!(rows(&server, &["topic", "describe", "a", "--settings", "--all"], &settings).len() > 20);
    done(&server, &["topic", "alter", "a", "--set", "max.message.bytes=88", "--dry-run"]);
    assert_eq!(rows(&server, &["topic", "describe", "a", "--settings"], &["value"]), [[json!("77")]]);
    for (arguments, sentence) in [
        (&["topic", "alter", "a", "-p", "2"][..], "INVALID_PARTITIONS"),
        (&["topic", "alter", "a", "--set", "nope=1"], "Unknown topic config name: nope"),
        (&["topic", "describe", "no"], "there is no topic no"),
        (&["topic", "delete", "no"], "there is no topic no"),
        (&["topic", "create", "d", "--replication-factor", "3"], "INVALID_REPLICATION_FACTOR"),
    ] {
        let said = refusal(&server, arguments);
        assert!(said.contains(sentence), "{arguments:?}: {said}");
    }
    done(&server, &["topic", "delete", "a", "b", "no", "--if-exists"]);
    assert_eq!(rows(&server, &["topic", "list"], &["topic"]), [[json!("c")]]);
    let (_, table, _) = einmal(&server, &["topic", "list"]);
    assert_eq!(table, "TOPIC  PARTITIONS  REPLICATION-FACTOR  KIND\nc      1           1                   client\n");
}

#[test]
fn groups_are_listed_and_told_where_to_go_on() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 1);
    produce(&mut client, "t", 0, batch(Producer::NONE, -1, &["a", "b", "c"]));
    assert_eq!(commit(&mut client, 8, "", -1, 1), 0);
    let columns = ["group", "state", "type"];
    assert_eq!(rows(&server, &["group", "list"], &columns), [[json!("g"), json!("Empty"), json!("classic")]]);
    assert!(rows(&server, &["group", "list", "--state", "Stable"], &columns).is_empty());
    let described = ["group", "state", "member_id", "partitions"];
    let empty = [json!("g"), json!("Empty"), json!(null), json!([])];
    assert_eq!(rows(&server, &["group", "describe", "g"], &described), [empty]);
    let lag = |server: &TestServer| {
        rows(server, &["group", "lag", "g"], &["topic", "partition", "committed_offset", "end_offset", "lag"])
    };
    assert_eq!(lag(&server), [[json!("t"), json!(0), json!(1), json!(3), json!(2)]]);

    let reset = ["group", "reset", "g", "--topic", "t", "--to"];
    let plan = ["committed_offset", "new_offset"];
    for (to, offset) in [("earliest", 0), ("latest", 3), ("2", 2), ("99", 3), ("@1", 0), ("@9999999999999", 3)] {
        assert_eq!(rows(&server, &[&reset[..], &[to]].concat(), &plan), [[json!(1), json!(offset)]], "{to}");
    }
    assert_eq!(lag(&server)[0][2], json!(1));
    assert_eq!(rows(&server, &[&reset[..], &["latest", "--execute"]].concat(), &plan), [[json!(1), json!(3)]]);
    assert_eq!(lag(&server)[0][4], json!(0));

    // A member of the new protocol.
    let heartbeat = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group())
        .with_member_id(text("m"))
        .with_rebalance_timeout_ms(60_000)
        .with_subscribed_topic_names(Some(vec![topic_name("t")]))
        .with_topic_partitions(Some(Vec::new()));
    let joined = client.call(&heartbeat, 1);
    assert_eq!(joined.error_code, 0, "{joined:?}");
    let member = [json!("g"), json!("Stable"), json!("m"), json!([{ "topic": "t", "partitions": [0] }])];
    assert_eq!(rows(&server, &["group", "describe", "g"], &described), [member]);
    for (arguments, sentence) in [
        (&["group", "reset", "g", "--topic", "t", "--to", "earliest", "--execute"][..], "OffsetCommit was refused"),
        (&["group", "delete", "g"], "the group \"g\" has members"),
        (&["group", "delete", "no"], "there is no group \"no\""),
        (&["group", "describe", "no"], "there is no group \"no\""),
        (&["group", "lag", "no"], "nothing is committed by the group \"no\""),
    ] {
        let (is_success, shown, said) = einmal(&server, arguments);
        assert!(!is_success && said.contains(sentence), "{arguments:?}: {said}");
        assert!(shown.is_empty(), "{arguments:?}: {shown}");
    }
    client.call(&heartbeat.with_member_epoch(-1), 1);
    done(&server, &["group", "delete", "g"]);
    assert!(rows(&server, &["group", "list"], &columns).is_empty());
}

#[test]
fn settings_of_topics_brokers_and_groups_are_shown_and_changed() {
    let server = TestServer::start();
    rows(&server, &["topic", "create", "t"], &["topic"]);
    let columns = ["name", "setting", "value", "source", "read_only"];
    let describe = |arguments: &[&str]| rows(&server, &[&["config", "describe"], arguments].concat(), &columns);
    let row = |name: &str, setting: &str, value: &str, source: &str| {
        vec![json!(name), json!(setting), json!(value), json!(source), json!("no")]
    };
    assert!(describe(&["topic", "t"]).is_empty());
    let alter = ["config", "alter", "topic", "t"];
    done(&server, &[&alter[..], &["--set", "cleanup.policy=compact", "--set", "retention.ms=5", "--dry-run"]].concat());
    assert!(describe(&["topic", "t"]).is_empty());
    done(&server, &[&alter[..], &["--set", "cleanup.policy=compact", "--set", "retention.ms=5"]].concat());
    done(&server, &[&alter[..], &["--append", "cleanup.policy=delete", "--unset", "retention.ms"]].concat());
    assert_eq!(describe(&["topic", "t"]), [row("t", "cleanup.policy", "compact,delete", "topic")]);
    done(&server, &[&alter[..], &["--subtract", "cleanup.policy=compact"]].concat());
    assert_eq!(describe(&["topic", "t"]), [row("t", "cleanup.policy", "delete", "topic")]);
    assert_eq!(describe(&["topic", "t", "-s", "retention.ms"]), [row("t", "retention.ms", "604800000", "default")]);
    assert!(describe(&["topic", "t", "--all"]).len() > 20);

    // What holds for all brokers, and over it what holds for one.
    done(&server, &["config", "alter", "broker", "--set", "log.retention.ms=7"]);
    done(&server, &["config", "alter", "broker", "1", "--set", "log.retention.ms=8"]);
    assert_eq!(describe(&["broker"]), [row("", "log.retention.ms", "7", "cluster-dynamic")]);
    assert_eq!(describe(&["broker", "1"]), [row("1", "log.retention.ms", "8", "broker-dynamic")]);
    let synonyms = rows(&server, &["config", "describe", "topic", "t", "-s", "retention.ms"], &["synonyms"]);
    let expected =
        "broker-dynamic:log.retention.ms=8 cluster-dynamic:log.retention.ms=7 default:log.retention.hours=168";
    assert_eq!(synonyms, [[json!(expected)]]);
    done(&server, &["config", "alter", "broker", "1", "--delete", "log.retention.ms"]);
    assert!(describe(&["broker", "1", "-s", "node.id"])[0][4] == json!("yes"));

    done(&server, &["config", "alter", "group", "g", "--set", "consumer.session.timeout.ms=50000"]);
    assert_eq!(describe(&["group", "g"]), [row("g", "consumer.session.timeout.ms", "50000", "group")]);
    for (arguments, sentence) in [
        (&["alter", "topic", "t", "--set", "nope=1"][..], "Unknown topic config name: nope"),
        (&["alter", "topic", "t", "--set", "retention.ms=x"], "INVALID_CONFIG"),
        (&["alter", "topic", "t", "--append", "retention.ms=1"], "INVALID_CONFIG"),
        (&["alter", "topic", "no", "--set", "retention.ms=1"], "UNKNOWN_TOPIC_OR_PARTITION"),
        (&["alter", "topic", "t"], "--set"),
        (&["alter", "broker", "1", "--set", "node.id=2"], "INVALID_REQUEST"),
        (&["alter", "broker", "9", "--set", "log.retention.ms=2"], "there is no broker 9"),
        (&["describe", "topic", "no"], "UNKNOWN_TOPIC_OR_PARTITION"),
        (&["describe", "broker", "x"], "there is no broker x"),
        (&["describe", "topic"], "NAME"),
    ] {
        let said = refusal(&server, &[&["config"], arguments].concat());
        assert!(said.contains(sentence), "{arguments:?}: {said}");
    }
}
