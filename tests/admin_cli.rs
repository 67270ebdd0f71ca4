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

/// Does what tells of one thing that it is done, or with a dry run that it could be.
fn done(server: &TestServer, arguments: &[&str]) {
    let expected = if arguments.contains(&"--dry-run") { "possible" } else { "done" };
    assert_eq!(rows(server, arguments, &["outcome", "reason"]), [[json!(expected), json!(null)]], "{arguments:?}");
}

/// The lines of a call that is refused in part, and what it says.
fn refused_in_part(server: &TestServer, arguments: &[&str]) -> (String, String) {
    let (is_success, stdout, stderr) = einmal(server, arguments);
    assert!(!is_success, "{arguments:?}: {stdout}");
    (stdout, stderr)
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
    let unchanged = [[json!("a"), json!("unchanged"), json!(null)]];
    assert_eq!(rows(&server, &["topic", "create", "a", "--if-not-exists"], &["topic", "outcome", "reason"]), unchanged);

    let mut client = TestClient::connect(&server);
    assert_eq!(produce(&mut client, "a", 1, batch(Producer::NONE, -1, &["x", "y"])).error_code, 0);
    let described = ["topic", "partition", "leader", "replicas", "in_sync", "log_start_offset", "end_offset"];
    let sizes = rows(&server, &["topic", "describe", "a"], &["size_bytes"]);
    assert_eq!(sizes[0], [json!(0)]);
    assert!(sizes[1][0].as_i64().is_some_and(|bytes| (61..1_000).contains(&bytes)), "{sizes:?}");
    let partition =
        |index: i32, end: i32| [json!("a"), json!(index), json!(1), json!([1]), json!([1]), json!(0), json!(end)];
    assert_eq!(rows(&server, &["topic", "describe", "a"], &described), [partition(0, 0), partition(1, 2)]);

    let alter = ["topic", "alter", "a", "--set", "max.message.bytes=77", "--unset", "retention.ms", "-p", "3"];
    let steps = [[json!("settings"), json!("done")], [json!("partitions"), json!("done")]];
    assert_eq!(rows(&server, &alter, &["step", "outcome"]), steps);
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
        (
            &["topic", "alter", "a", "--set", "retntion.ms=1"],
            "Unknown topic config name: retntion.ms (did you mean retention.ms?)",
        ),
        (&["topic", "create", "d", "-c", "cleanup.polisy=compact"], "(did you mean cleanup.policy?)"),
        (&["topic", "describe", "no"], "there is no topic no"),
        (&["topic", "delete", "no"], "there is no topic no"),
        (&["topic", "create", "d", "--replication-factor", "3"], "INVALID_REPLICATION_FACTOR"),
    ] {
        let said = refusal(&server, arguments);
        assert!(said.contains(sentence), "{arguments:?}: {said}");
    }
    let outcomes = rows(&server, &["topic", "delete", "a", "no", "b", "--if-exists"], &["topic", "outcome"]);
    let deleted = |topic: &str, outcome: &str| [json!(topic), json!(outcome)];
    assert_eq!(outcomes, [deleted("a", "done"), deleted("b", "done"), deleted("no", "unchanged")]);
    assert_eq!(rows(&server, &["topic", "list"], &["topic"]), [[json!("c")]]);
    let (_, table, _) = einmal(&server, &["topic", "list"]);
    assert_eq!(table, "TOPIC  PARTITIONS  REPLICATION-FACTOR  KIND\nc      1           1                   client\n");
}

#[test]
fn what_is_done_and_what_is_refused_of_several_is_told_line_by_line() {
    let server = TestServer::start();
    rows(&server, &["topic", "create", "a", "b"], &[]);
    let (lines, said) = refused_in_part(&server, &["topic", "create", "c", "a", "b", "sp ace"]);
    assert_eq!(lines.lines().count(), 5, "{lines}");
    for (line, words) in lines.lines().zip([
        &["TOPIC", "OUTCOME"][..],
        &["a ", "refused", "Topic 'a' already exists."],
        &["b ", "refused", "Topic 'b' already exists."],
        &["c ", "done"],
        &["sp ace ", "refused", "INVALID_TOPIC_EXCEPTION"],
    ]) {
        assert!(words.iter().all(|word| line.contains(word)), "{words:?}: {line}");
    }
    assert!(said.contains("3 of 4 refused, the first because: ") && said.contains("'a' already exists."), "{said}");

    let alter = ["topic", "alter", "c", "no", "a", "--set", "retention.ms=6666", "--partitions", "4"];
    rows(&server, &["topic", "alter", "c", "--partitions", "9"], &[]);
    let (lines, said) = refused_in_part(&server, &[&alter[..], &["-o", "json"]].concat());
    let lines: Vec<Value> = serde_json::from_str(&lines).expect("an array");
    let told: Vec<String> = lines
        .iter()
        .map(|line| ["topic", "step", "outcome"].map(|column| line[column].as_str().expect("text")).join(" "))
        .collect();
    assert_eq!(
        told,
        [
            "a settings done",
            "c settings done",
            "no settings refused",
            "no partitions skipped",
            "a partitions done",
            "c partitions refused",
        ]
    );
    assert!(lines[2]["reason"].as_str().expect("text").contains("UNKNOWN_TOPIC_OR_PARTITION"), "{lines:?}");
    assert_eq!(lines[3]["reason"], json!("its settings were refused"));
    assert!(lines[5]["reason"].as_str().expect("text").contains("INVALID_PARTITIONS"), "{lines:?}");
    assert!(said.contains("2 of 6 refused"), "{said}");
    assert_eq!(rows(&server, &["topic", "describe", "a"], &["partition"]).len(), 4);

    let config = ["config", "alter", "topic", "no", "b", "--set", "retention.ms=5"];
    let (lines, _) = refused_in_part(&server, &config);
    assert!(lines.contains("no    refused") && lines.contains("b     done"), "{lines}");
    let (lines, _) = refused_in_part(&server, &["config", "alter", "broker", "9", "1", "--set", "log.retention.ms=5"]);
    assert!(lines.contains("9     refused  there is no broker 9") && lines.contains("1     done"), "{lines}");

    let (lines, said) = refused_in_part(&server, &["topic", "delete", "no", "a", "b"]);
    let expected = "\
TOPIC  STEP    OUTCOME  REASON
a      delete  done     -
b      delete  done     -
no     delete  refused  there is no topic no
";
    assert_eq!(lines, expected);
    assert_eq!(said, "einmal: 1 of 3 refused: there is no topic no\n");
    // Of one alone the error is enough, unless a program reads it.
    let (lines, said) = refused_in_part(&server, &["topic", "delete", "no"]);
    assert_eq!((lines.as_str(), said.as_str()), ("", "einmal: there is no topic no\n"));
    let (lines, _) = refused_in_part(&server, &["topic", "delete", "no", "-o", "json"]);
    assert!(lines.contains("\"outcome\": \"refused\""), "{lines}");

    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 1);
    assert_eq!(commit(&mut client, 8, "", -1, 1), 0);
    let (lines, _) = refused_in_part(&server, &["group", "delete", "no", "g"]);
    assert!(
        lines.contains("no     delete  refused  there is no group") && lines.contains("g      delete  done"),
        "{lines}"
    );
}

#[test]
fn records_before_a_place_are_deleted() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 2);
    produce(&mut client, "t", 0, batch(Producer::NONE, -1, &["a", "b", "c"]));
    let trim = ["topic", "trim", "t", "--to"];
    let columns = ["partition", "log_start_offset", "new_start_offset", "end_offset", "outcome"];
    let line = |partition: i32, offsets: [i64; 3], outcome: &str| {
        let [start, new, end] = offsets.map(|offset| json!(offset));
        [json!(partition), start, new, end, json!(outcome)]
    };
    let starts = || rows(&server, &["topic", "describe", "t"], &["log_start_offset"]);
    let plan = [line(0, [0, 3, 3], "possible"), line(1, [0, 0, 0], "unchanged")];
    // What is done and what is not come in this order.
    assert_eq!(rows(&server, &[&trim[..], &["-1"]].concat(), &columns), plan);
    assert_eq!(starts(), [[json!(0)], [json!(0)]], "nothing without --execute");
    assert_eq!(
        rows(&server, &[&trim[..], &["2", "-p", "0", "--execute"]].concat(), &columns),
        [line(0, [0, 2, 3], "done")]
    );
    // Kafka refuses an offset beyond the end as well; a time after all records would empty the topic.
    for (to, words) in [
        ("4", "OFFSET_OUT_OF_RANGE [1]: 4 is beyond the end of t-0, which is 3; write latest"),
        ("@9999999999999", "no record of t is that new, and all of them would go"),
    ] {
        let (lines, said) = refused_in_part(&server, &[&trim[..], &[to, "--execute"]].concat());
        assert!(lines.contains("refused") && said.contains(words), "{to}: {lines}{said}");
        assert_eq!(starts(), [[json!(2)], [json!(0)]], "{to}");
    }
    // A partition without records of that time is trimmed where another has some.
    produce(&mut client, "t", 1, batch(Producer::NONE, -1, &["a", "b", "c", "d"]));
    let done = rows(&server, &[&trim[..], &["@1700000000003", "--execute"]].concat(), &columns);
    assert_eq!(done, [line(0, [2, 3, 3], "done"), line(1, [0, 3, 4], "done")]);
    assert_eq!(starts(), [[json!(3)], [json!(3)]]);
    for (arguments, sentence) in [
        (&["no", "--to", "latest"][..], "there is no topic no"),
        (&["t", "-p", "2", "--to", "latest"], "there is no partition 2 of t"),
        (&["t", "--to", "yesterday"], "write earliest, latest, an offset"),
        (&["__consumer_offsets", "--to", "latest", "--execute"], "there is no topic"),
    ] {
        let said = refusal(&server, &[&["topic", "trim"], arguments].concat());
        assert!(said.contains(sentence), "{arguments:?}: {said}");
    }
    // One that is not there keeps none of the others from being trimmed.
    create_topic(&mut client, "u", 1);
    produce(&mut client, "u", 0, batch(Producer::NONE, -1, &["a"]));
    let several = ["topic", "trim", "no", "t", "u", "--to", "latest", "--execute"];
    let (lines, said) = refused_in_part(&server, &several);
    let lines: Vec<Vec<&str>> = lines.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert_eq!(lines[0].join(" "), "no - - - - refused there is no topic no");
    assert_eq!((lines[3][0], lines[3][5]), ("u", "done"), "{lines:?}");
    assert!(said.contains("1 of 4 refused: there is no topic no"), "{said}");
    assert_eq!(rows(&server, &["topic", "describe", "u"], &["log_start_offset"]), [[json!(1)]]);
}

#[test]
fn a_cluster_that_does_not_answer_is_said_to_not_answer() {
    // Bound, and never listening again.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    for arguments in [&["topic", "list", "-o", "json"][..], &["group", "list", "-o", "json"], &["topic", "delete", "t"]]
    {
        let called = server::call(&[arguments, &["--bootstrap-server", &silent.to_string()]].concat());
        let said = String::from_utf8_lossy(&called.stderr).into_owned();
        assert_eq!(called.status.code(), Some(1), "{said}");
        assert!(called.stdout.is_empty(), "an empty array would say that there is none");
        assert!(said.starts_with(&format!("einmal: cannot connect to {silent}")), "{said}");
    }
}

#[test]
fn who_waits_for_a_silent_broker_is_told_for_what_and_in_the_end_for_how_long() {
    // Connections come to its backlog, and nobody takes them.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("an address").to_string();
    let called = |arguments: &[&str]| {
        let output = server::call(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        String::from_utf8(output.stderr).expect("text")
    };
    let said = called(&["topic", "list", "--bootstrap", &address, "--timeout", "3s"]);
    let (waiting, end) = said.split_once('\n').expect("two lines");
    assert_eq!(waiting, format!("einmal: waiting for {address} to answer ApiVersions, for 3.0s at most (--timeout)"));
    assert!(
        end.starts_with(&format!("einmal: {address} did not answer ApiVersions within 3s; the broker is")),
        "{end}"
    );
    for arguments in [
        &["topic", "list", "--bootstrap", &address, "--timeout", "50ms"][..],
        &["dedup", "status", "--admin", &address, "--timeout", "50ms"],
        &["health", "--bootstrap", &address],
        &["health", "--ready", "--admin", &address],
    ] {
        let said = called(arguments);
        let is_told = ["within 50ms", "longer than 50ms", "longer than 1s"].iter().any(|words| said.contains(words));
        assert!(is_told && !said.contains("os error") && said.lines().count() == 1, "{said}");
    }
}

#[test]
fn of_several_brokers_the_first_that_answers_is_asked_and_what_is_no_address_says_what_to_write() {
    let server = TestServer::start();
    let admin = server.admin.to_string();
    // Bound for a moment, and listening nowhere since; no Kafka; the broker.
    let dead = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let list = format!("PLAINTEXT://{dead}, {admin},{}", server.address);
    for arguments in [&["topic", "list"][..], &["health"], &["doctor", "--read-only"]] {
        let called = server::call(&[arguments, &["--bootstrap", &list]].concat());
        assert!(called.status.success(), "{arguments:?}: {called:?}");
    }
    let none = format!("{dead},{admin}");
    let called = server::call(&["topic", "list", "--bootstrap", &none]);
    let said = String::from_utf8_lossy(&called.stderr).into_owned();
    assert!(said.starts_with("einmal: none of the 2 brokers answers: ") && said.lines().count() == 1, "{said}");
    assert!(
        said.contains(&format!("cannot connect to {dead}")) && said.contains(&format!("{admin} speaks HTTP")),
        "{said}"
    );
    for (given, words) in [
        (format!("http://{}", server.admin), "write HOST:PORT of a listener"),
        (format!("SASL_SSL://{}", server.address), "PLAINTEXT listener"),
        ("localhost".to_owned(), "its port is missing: write HOST:PORT, e.g. localhost:9092"),
    ] {
        for arguments in [&["topic", "list"][..], &["health"], &["bench", "produce", "--records", "1"]] {
            let called = server::call(&[arguments, &["--bootstrap-server", &given]].concat());
            let said = String::from_utf8_lossy(&called.stderr).into_owned();
            assert_eq!(called.status.code(), Some(1), "{arguments:?} {given}");
            assert!(said.contains(words) && said.lines().count() == 1, "{arguments:?} {given}: {said}");
        }
    }
    let ready = server::call(&["health", "--ready", "--admin", &format!("http://{admin}/")]);
    assert!(ready.status.success(), "as the start prints it: {ready:?}");
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

    // Without a name all of them, where one has committed nothing.
    let all = rows(&server, &["group", "lag"], &["group", "lag"]);
    assert_eq!(all, [[json!("g"), json!(2)]]);
    assert_eq!(rows(&server, &["group", "describe"], &["group", "state"]), [[json!("g"), json!("Empty")]]);

    let reset = ["group", "reset", "g", "--topic", "t", "--to"];
    let plan = ["committed_offset", "new_offset"];
    assert_eq!(rows(&server, &[&reset[..], &["2", "-p", "0"]].concat(), &["partition"]), [[json!(0)]]);
    let none = refusal(&server, &[&reset[..], &["2", "-p", "7"]].concat());
    assert!(none.contains("there is no partition 7 of t"), "{none}");
    let beyond = refusal(&server, &[&reset[..], &["99", "--execute"]].concat());
    assert!(beyond.contains("OFFSET_OUT_OF_RANGE [1]: 99 is beyond the end of t-0, which is 3"), "{beyond}");
    let (_, _, said) = einmal(&server, &[&reset[..], &["@9999999999999"]].concat());
    assert!(said.contains("no record of t-0 is that new: the group goes on at the end there"), "{said}");
    for (to, offset) in [("earliest", 0), ("latest", 3), ("2", 2), ("@1", 0), ("@9999999999999", 3)] {
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
        (&["group", "lag", "no"], "there is no group \"no\""),
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
fn the_lag_of_a_group_that_has_committed_nothing_tells_what_its_members_read() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 1);
    produce(&mut client, "t", 0, batch(Producer::NONE, -1, &["a", "b", "c"]));
    let join = |topic: &str| {
        ConsumerGroupHeartbeatRequest::default()
            .with_group_id(group())
            .with_member_id(text("m"))
            .with_rebalance_timeout_ms(60_000)
            .with_subscribed_topic_names(Some(vec![topic_name(topic)]))
            .with_topic_partitions(Some(Vec::new()))
    };
    let joined = client.call(&join("t"), 1);
    assert_eq!(joined.error_code, 0, "{joined:?}");
    let columns = ["topic", "partition", "committed_offset", "log_start_offset", "end_offset", "lag", "member_id"];
    let row = |offset: Value, lag: Value| [json!("t"), json!(0), offset, json!(0), json!(3), lag, json!("m")];
    assert_eq!(rows(&server, &["group", "lag", "g"], &columns), [row(json!(null), json!(null))]);
    assert_eq!(commit(&mut client, 9, "m", joined.member_epoch, 1), 0);
    assert_eq!(rows(&server, &["group", "lag", "g"], &columns), [row(json!(1), json!(2))]);

    client.call(&join("t").with_member_epoch(-1), 1);
    done(&server, &["group", "delete", "g"]);
    let joined = client.call(&join("none"), 1);
    assert_eq!(joined.error_code, 0, "{joined:?}");
    let (is_success, shown, said) = einmal(&server, &["group", "lag", "g"]);
    assert!(is_success && shown.lines().count() == 1, "{shown}{said}");
    assert!(said.contains("\"g\" has committed nothing and its one member has no partition; its state is "), "{said}");
    assert!(rows(&server, &["group", "lag"], &columns).is_empty(), "of all groups none has a row");
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
    // What nobody has set for all brokers is a setting all the same.
    assert!(describe(&["broker", "-s", "num.partitions"]).is_empty());
    let asked = ["config", "describe", "topic", "t", "-s", "nope", "-s", "retention.ms"];
    let (lines, _) = refused_in_part(&server, &asked);
    assert!(lines.contains("retention.ms"), "{lines}");
    // An empty value is not the same as none.
    done(&server, &[&alter[..], &["--set", "cleanup.policy="]].concat());
    let (_, table, _) = einmal(&server, &["config", "describe", "topic", "t"]);
    assert!(table.contains("cleanup.policy  \"\"     topic"), "{table}");
    assert_eq!(describe(&["topic", "t", "-s", "cleanup.policy"])[0][2], json!(""));

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
        (&["describe", "topic", "t", "-s", "nope"], "einmal: there is no setting nope of t\n"),
        (
            &["describe", "topic", "t", "-s", "retention.mss"],
            "no setting retention.mss of t (did you mean retention.ms?)",
        ),
        (&["describe", "broker", "-s", "log.retension.ms"], "no setting log.retension.ms of brokers (did you mean"),
        (
            &["alter", "group", "g", "--set", "consumer.sesion.timeout.ms=1"],
            "did you mean consumer.session.timeout.ms?",
        ),
        (&["describe", "broker", "x"], "there is no broker x"),
        (&["describe", "topic"], "NAME"),
    ] {
        let said = refusal(&server, &[&["config"], arguments].concat());
        assert!(said.contains(sentence), "{arguments:?}: {said}");
    }
}
