//! `einmal produce` and `einmal consume` against the built broker, and `einmal health --ready`.

mod support;

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::requests::create_topic;
use support::transactions::{Protocol, TransactionalProducer};
use support::{TestClient, TestServer, server};

/// What `einmal` prints on stdout with these arguments and this on stdin.
fn einmal(server: &TestServer, arguments: &[&str], stdin: &str) -> String {
    let address = server.address.to_string();
    let output = server::call_with_input(&[arguments, &["--bootstrap-server", &address]].concat(), stdin);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

const ALL: [&str; 2] = ["--from-beginning", "--exit-at-end"];

#[test]
fn lines_become_records_and_records_lines() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 1);
    let told = einmal(&server, &["produce", "t", "-o", "json"], "a\n\nno newline at the end");
    let told: Value = serde_json::from_str(&told).expect("JSON");
    let expected = json!([{ "topic": "t", "partition": 0, "records": 3, "first_offset": 0, "last_offset": 2 }]);
    assert_eq!(told, expected);
    let read = einmal(&server, &[&["consume", "t"], &ALL[..]].concat(), "");
    assert_eq!(read, "a\n\nno newline at the end\n");

    einmal(&server, &["produce", "t", "-k", "=", "--tombstones"], "k=v=w\nl=\nnone\n");
    let read = einmal(&server, &[&["consume", "t", "-o", "json"], &ALL[..]].concat(), "");
    let lines: Vec<Value> = read.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let last: Vec<_> = lines[3..].iter().map(|line| (line["key"].clone(), line["value"].clone())).collect();
    let expected = [(json!("k"), json!("v=w")), (json!("l"), Value::Null), (Value::Null, json!("none"))];
    assert_eq!(last, expected);
    assert_eq!(lines[5]["offset"], json!(5));
    let read = einmal(&server, &["consume", "t", "--from-beginning", "-n", "2"], "");
    assert_eq!(read, "a\n\n");

    let from = |offset: &str| einmal(&server, &["consume", "t", "--offset", offset, "--exit-at-end"], "");
    let all = "a\n\nno newline at the end\nv=w\n\nnone\n";
    for (offset, expected) in
        [("4", "\nnone\n"), ("earliest", all), ("@0", all), ("latest", ""), ("6", ""), ("@9999999999999", "")]
    {
        assert_eq!(from(offset), expected, "{offset}");
    }
    let address = server.address.to_string();
    let said = |arguments: &[&str]| {
        let output = server::call(&[arguments, &["--exit-at-end", "--bootstrap-server", &address]].concat());
        assert!(output.stdout.is_empty(), "{arguments:?}: {output:?}");
        (output.status.code(), String::from_utf8(output.stderr).expect("text"))
    };
    let beyond = "einmal: OFFSET_OUT_OF_RANGE [1]: 99 is beyond the end of t-0, which is 6; write latest for the end\n";
    assert_eq!(said(&["consume", "t", "--offset", "99"]), (Some(1), beyond.to_owned()));
    create_topic(&mut client, "empty", 1);
    for (arguments, words) in [
        (&["consume", "t"][..], "what t has lies before (--from-beginning reads it)"),
        (&["consume", "t", "--offset", "@9999999999999"], "what t has lies before"),
        (&["consume", "empty", "--from-beginning"], "empty has no records"),
    ] {
        let (code, said) = said(arguments);
        assert!(code == Some(0) && said.contains(words) && said.lines().count() == 1, "{arguments:?}: {said}");
    }
    let (_, both) = {
        let output =
            server::call(&["consume", "t", "empty", "--offset", "4", "--exit-at-end", "--bootstrap", &address]);
        (output.stdout, String::from_utf8(output.stderr).expect("text"))
    };
    assert!(both.contains("4 is beyond the end of empty-0, which is 0") && both.contains("is read"), "{both}");

    for (command, topic, words) in [
        ("consume", "no", "there is no topic no; `einmal topic create no` makes it"),
        ("produce", "emty", "there is no topic emty (did you mean empty?); `einmal topic create emty` makes it"),
    ] {
        let missing = server::call(&[command, topic, "--bootstrap-server", &address]);
        assert!(!missing.status.success() && missing.stdout.is_empty(), "{missing:?}");
        assert_eq!(String::from_utf8_lossy(&missing.stderr), format!("einmal: {words}\n"));
    }
}

#[test]
fn what_is_too_large_for_the_topic_names_the_setting() {
    let server = TestServer::start();
    let address = server.address.to_string();
    einmal(&server, &["topic", "create", "t", "-p", "1", "-c", "max.message.bytes=100"], "");
    einmal(&server, &["produce", "t"], "short\n");
    let refused = server::call_with_input(&["produce", "t", "--bootstrap-server", &address], &"x".repeat(101));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1));
    for part in ["MESSAGE_TOO_LARGE [10];", "(1 line) for t-0", "einmal topic alter t --set max.message.bytes="] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn lines_of_a_transaction_are_seen_together_or_not_at_all() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 2);
    let read = |isolation: &str| {
        let read = einmal(&server, &[&["consume", "t", "--isolation", isolation], &ALL[..]].concat(), "");
        let mut lines: Vec<String> = read.lines().map(str::to_owned).collect();
        lines.sort();
        lines.join(" ")
    };
    let produce = ["produce", "t", "-k", "=", "--transactional-id", "shop", "-o", "json"];
    let told: Value = serde_json::from_str(&einmal(&server, &produce, "abc=1\nfoobar=2\n")).expect("JSON");
    assert_eq!(told.as_array().map(Vec::len), Some(2), "a partition each: {told}");
    assert_eq!(read("read_committed"), "1 2");

    let told = einmal(&server, &[&produce[..], &["--abort"]].concat(), "abc=3\nfoobar=4\n");
    assert_eq!(told, "[]\n", "nothing of it stays");
    assert_eq!((read("read_committed"), read("read_uncommitted")), ("1 2".to_owned(), "1 2 3 4".to_owned()));
    let address = server.address.to_string();
    let open = server::call(&["txn", "list", "--state", "Ongoing", "-o", "json", "--bootstrap-server", &address]);
    assert_eq!(String::from_utf8_lossy(&open.stdout), "[]\n");
    assert_eq!(einmal(&server, &produce, ""), "[]\n", "without lines there is nothing to commit");

    // What fails on the way is no part of what is committed, and JSON is there for scripts all the same.
    let too_large = format!("abc=5\nfoobar={}\n", "x".repeat(2 << 20));
    let failed = server::call_with_input(&[&produce[..], &["--bootstrap-server", &address]].concat(), &too_large);
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    assert_eq!(String::from_utf8_lossy(&failed.stdout), "[]\n");
    assert!(String::from_utf8_lossy(&failed.stderr).contains("MESSAGE_TOO_LARGE"), "{failed:?}");
    assert_eq!(read("read_committed"), "1 2");
    let plain = ["produce", "t", "-o", "json", "--bootstrap-server", &address];
    let failed = server::call_with_input(&plain, &"x".repeat(2 << 20));
    assert_eq!((failed.status.code(), &failed.stdout[..]), (Some(1), &b"[]\n"[..]), "{failed:?}");
}

#[test]
fn a_producer_whose_transaction_is_aborted_by_others_is_told_what_that_means() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 1);
    let address = server.address.to_string();
    let mut producing = Command::new(env!("CARGO_BIN_EXE_einmal"))
        .args(["produce", "t", "--transactional-id", "shop", "--bootstrap", &address])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the built binary starts");
    let mut stdin = producing.stdin.take().expect("it is piped");
    stdin.write_all(b"first\n").expect("it reads");
    while einmal(&server, &["txn", "list", "--state", "Ongoing", "-o", "json"], "") == "[]\n" {
        assert!(producing.try_wait().expect("a child").is_none(), "it ended before its stdin did");
    }
    einmal(&server, &["txn", "abort", "shop"], "");
    stdin.write_all(b"second\n").expect("it reads");
    drop(stdin);
    let output = producing.wait_with_output().expect("a child ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("nothing of it is kept") && said.contains("then send all of it again"), "{said}");
    assert_eq!(einmal(&server, &[&["consume", "t"], &ALL[..]].concat(), ""), "");
}

#[test]
fn keys_go_where_kafkas_producers_send_them_and_partitions_are_kept_apart() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 5);
    einmal(&server, &["produce", "t", "-k", ":"], "21:x\nfoobar:y\nabc:z\n");
    for (key, hash) in [("21", -973_932_308_i32), ("foobar", -790_332_482), ("abc", 479_470_107)] {
        let partition = ((hash & 0x7fff_ffff) % 5).to_string();
        let read = einmal(&server, &[&["consume", "t", "-k", ":", "-p", &partition], &ALL[..]].concat(), "");
        assert!(read.lines().any(|line| line.starts_with(&format!("{key}:"))), "{key} is not in {partition}: {read}");
    }
}

#[test]
fn a_group_goes_on_where_it_has_ended() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 1);
    einmal(&server, &["produce", "t"], "a\nb\nc\n");
    let next = |count: &str| {
        let group = ["consume", "t", "--group", "g", "--from-beginning", "--exit-at-end", "-n", count];
        einmal(&server, &group, "")
    };
    let again = ["consume", "t", "--group", "g", "--exit-at-end", "--bootstrap", &server.address.to_string()];
    let of_the_next = server::call(&again);
    assert!(
        String::from_utf8_lossy(&of_the_next.stderr).contains("lies before"),
        "it has committed nothing: {of_the_next:?}"
    );
    assert_eq!(next("1"), "a\n");
    assert_eq!(next("9"), "b\nc\n");
    assert_eq!(next("9"), "");
    let again = server::call(&again);
    assert!(String::from_utf8_lossy(&again.stderr).contains("the group \"g\" has read what there is"), "{again:?}");
    einmal(&server, &["produce", "t"], "d\n");
    assert_eq!(next("9"), "d\n");
}

#[test]
fn a_group_has_no_lag_behind_what_is_never_printed_and_is_told_what_to_do_where_its_place_is_deleted() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 1);
    einmal(&server, &["produce", "t"], "a\nb\n");
    let consume = ["consume", "t", "--group", "g", "--from-beginning", "--exit-at-end"];
    let committed = || {
        let rows: Value =
            serde_json::from_str(&einmal(&server, &["group", "lag", "g", "-o", "json"], "")).expect("JSON");
        (rows[0]["committed_offset"].as_i64(), rows[0]["lag"].as_i64())
    };
    assert_eq!(einmal(&server, &consume, ""), "a\nb\n");
    einmal(&server, &["produce", "t", "--transactional-id", "shop", "--abort"], "c\n");
    // The record and its marker.
    assert_eq!(committed(), (Some(2), Some(2)));
    assert_eq!(einmal(&server, &consume, ""), "");
    assert_eq!(committed(), (Some(4), Some(0)));

    einmal(&server, &["produce", "t"], "d\ne\nf\n");
    einmal(&server, &["topic", "trim", "t", "--to", "6", "--execute"], "");
    let lost = server::call(&[&consume[..], &["--bootstrap-server", &server.address.to_string()]].concat());
    let said = String::from_utf8_lossy(&lost.stderr);
    assert_eq!(lost.status.code(), Some(1), "{said}");
    let mend = ["group", "reset", "g", "--topic", "t", "-p", "0", "--to", "earliest", "--execute"];
    for part in
        ["OFFSET_OUT_OF_RANGE", "\"g\" has committed 4 in t-0", "from 6 to 7", &format!("`einmal {}`", mend.join(" "))]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    einmal(&server, &mend, "");
    assert_eq!(einmal(&server, &consume, ""), "f\n");
}

#[test]
fn aborted_and_open_records_are_seen_only_by_those_who_ask_for_them() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 1);
    for (id, value, is_committed) in [("a", "aborted", false), ("b", "committed", true), ("a", "again", false)] {
        let mut producer = TransactionalProducer::init(&mut client, Protocol::V2, id);
        assert_eq!(producer.send(&mut client, "t", 0, &[value]).0, 0);
        assert_eq!(producer.end(&mut client, is_committed), 0);
    }
    let mut open = TransactionalProducer::init(&mut client, Protocol::V2, "c");
    assert_eq!(open.send(&mut client, "t", 0, &["open"]).0, 0);
    einmal(&server, &["produce", "t"], "behind it\n");
    let read = einmal(&server, &[&["consume", "t"], &ALL[..]].concat(), "");
    assert_eq!(read, "committed\n");
    let uncommitted = ["consume", "t", "--isolation", "read_uncommitted"];
    let read = einmal(&server, &[&uncommitted, &ALL[..]].concat(), "");
    assert_eq!(read, "aborted\ncommitted\nagain\nopen\nbehind it\n");
}

#[test]
fn who_does_not_come_to_the_end_is_told_whose_transaction_is_open_and_what_ends_it() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 1);
    einmal(&server, &["produce", "t"], "before\n");
    let address = server.address.to_string();
    let told = |arguments: &[&str]| {
        let output = server::call(&[arguments, &["--bootstrap-server", &address]].concat());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        (text(output.stdout), text(output.stderr))
    };
    let consume = [&["consume", "t", "--group", "g"], &ALL[..]].concat();
    assert_eq!(told(&consume), ("before\n".to_owned(), String::new()));
    let mut open = TransactionalProducer::init(&mut client, Protocol::V2, "payments");
    assert_eq!(open.send(&mut client, "t", 0, &["open", "too"]).0, 0);
    einmal(&server, &["produce", "t"], "behind it\n");

    let asked = [&consume[..], &["group", "lag", "g", "-o", "json"], &["topic", "describe", "t", "-o", "json"]];
    for arguments in asked {
        let (stdout, said) = told(arguments);
        for part in [
            "einmal: 3 records of t-0 are beyond the last stable offset 1: ",
            &format!("transaction \"payments\" of producer {}, open for ", open.id),
            "`einmal txn abort payments` ends it",
        ] {
            assert!(said.contains(part) && said.lines().count() == 1, "{arguments:?}: {part}: {said}");
        }
        if stdout.starts_with('[') {
            let rows: Value = serde_json::from_str(&stdout).expect("JSON");
            let offsets = (&rows[0]["last_stable_offset"], &rows[0]["end_offset"]);
            assert_eq!(offsets, (&json!(1), &json!(4)), "{arguments:?}: {rows}");
        }
    }
    let (_, said) = told(&["consume", "t", "--from-beginning", "--exit-at-end", "--isolation", "read_uncommitted"]);
    assert_eq!(said, "", "nobody is held back");

    einmal(&server, &["txn", "abort", "payments"], "");
    assert_eq!(told(&consume), ("behind it\n".to_owned(), String::new()));
    for arguments in &asked[1..] {
        assert_eq!(told(arguments).1, "", "{arguments:?}");
    }
}

#[test]
fn readiness_is_asked_at_the_admin_port() {
    let server = TestServer::start();
    let output = server::call(&["health", "--ready", "--admin", &server.admin.to_string()]);
    assert!(output.status.success(), "{output:?}");
    // A Kafka listener is no admin port.
    let output = server::call(&["health", "--ready", "--admin", &server.address.to_string()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("EINMAL_ADMIN"), "{output:?}");
    let output = server::call(&["health", "--bootstrap-server", &server.address.to_string()]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn who_asks_for_health_where_nothing_serves_is_told_what_to_do() {
    let server = TestServer::start();
    let admin = server.admin.to_string();
    for (arguments, advice) in [
        (["health", "--bootstrap-server", "127.0.0.1:1"].as_slice(), "EINMAL_BOOTSTRAP"),
        (&["health", "--bootstrap-server", &admin], "einmal doctor"),
        (&["health", "--ready", "--admin", "127.0.0.1:1"], "EINMAL_ADMIN"),
        (&["id", "--format", "int64", "--admin", "127.0.0.1:1"], "EINMAL_ADMIN"),
    ] {
        let output = server::call(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        assert!(said.contains(advice) && said.lines().count() == 1, "{arguments:?}: {said}");
    }
}

#[test]
fn shells_are_told_how_to_complete() {
    for shell in ["bash", "zsh", "fish"] {
        let output = server::call(&["completion", shell]);
        let script = String::from_utf8(output.stdout).expect("text");
        assert!(output.status.success() && script.contains("doctor") && script.contains("consume"), "{shell}");
    }
}
