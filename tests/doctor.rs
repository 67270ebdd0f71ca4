//! `einmal doctor` against the built broker, and against what is none: what it finds, and which setting it names.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;

use serde_json::Value;
use support::{TestServer, server};

/// Whether it says that all is well, and each step with its result and advice.
fn doctor(bootstrap: &str, arguments: &[&str]) -> (bool, Vec<(String, String, String)>) {
    let output = server::call(&[&["doctor", "--bootstrap", bootstrap, "-o", "json"], arguments].concat());
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |row: &Value, member: &str| row[member].as_str().unwrap_or_default().to_owned();
    let found = |row: &Value| format!("{} -> {}", text(row, "found"), text(row, "advice"));
    let steps = rows.iter().map(|row| (text(row, "step"), text(row, "result"), found(row)));
    (output.status.success(), steps.collect())
}

/// The one failure of a walk, its last step.
fn failure(bootstrap: &str) -> (String, String) {
    let (is_well, steps) = doctor(bootstrap, &["--timeout", "20s"]);
    assert!(!is_well, "{steps:?}");
    assert_eq!(steps.iter().filter(|(_, result, _)| result == "failed").count(), 1, "{steps:?}");
    let (step, result, found) = steps.into_iter().next_back().expect("a step");
    assert_eq!(result, "failed", "{step}");
    (step, found)
}

/// A peer that answers the first bytes of one connection with `answer` and closes it.
fn peer(answer: &'static [u8]) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the doctor connects");
        let mut length = [0; 4];
        stream.read_exact(&mut length).expect("the doctor asks");
        let mut request = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut request).expect("a whole request");
        stream.write_all(answer).expect("the doctor reads");
    });
    (address, thread)
}

/// A port that nobody listens on.
fn dead() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound")
}

#[test]
fn a_healthy_broker_passes_every_step_and_nothing_is_left_behind() {
    let server = TestServer::start();
    let address = server.address.to_string();
    let (is_well, steps) = doctor(&address, &[]);
    assert!(is_well, "{steps:?}");
    let names: Vec<&str> = steps.iter().map(|(step, ..)| step.as_str()).collect();
    let expected = [
        "resolve",
        "connect",
        "api versions",
        "metadata",
        "advertised",
        "cluster",
        "create topic",
        "produce",
        "consume",
        "commit",
        "transaction",
        "read back",
        "clean up",
    ];
    assert_eq!(names, expected);
    assert!(steps.iter().all(|(_, result, _)| result == "ok"), "{steps:?}");
    let left = |kind: &str| {
        let output = server::call(&[kind, "list", "--bootstrap-server", &address, "-o", "json"]);
        String::from_utf8(output.stdout).expect("text")
    };
    let topics: Vec<Value> = serde_json::from_str(&left("topic")).expect("JSON");
    assert!(topics.iter().all(|topic| topic["kind"] == "internal"), "{topics:?}");
    assert_eq!(left("group"), "[]\n");

    let (is_well, steps) = doctor(&address, &["--read-only"]);
    assert!(is_well && steps.last().is_some_and(|(step, ..)| step == "cluster"), "{steps:?}");

    let output = server::call(&["doctor", "--bootstrap-server", &address]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.ends_with("is well: clients can do all of this\n"), "{text}");
}

#[test]
fn an_advertised_address_that_leads_nowhere_names_the_setting() {
    let nowhere = dead().port();
    let server = TestServer::start_with(&[&format!("advertised.listeners=PLAINTEXT://127.0.0.1:{nowhere}")]);
    let (step, found) = failure(&server.address.to_string());
    assert_eq!(step, "advertised");
    assert!(found.contains(&format!("127.0.0.1:{nowhere}")) && found.contains("advertised.listeners"), "{found}");
}

#[test]
fn other_commands_say_who_told_them_an_address_that_leads_nowhere() {
    let nowhere = dead().port();
    let server = TestServer::start_with(&[&format!("advertised.listeners=PLAINTEXT://127.0.0.1:{nowhere}")]);
    let address = server.address;
    let output = server::call(&["topic", "list", "--bootstrap", &address.to_string()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in [
        format!("cannot connect to 127.0.0.1:{nowhere}"),
        format!("{address} told this address of broker 1 (advertised.listeners)"),
        format!("`einmal doctor --bootstrap {address}` shows which setting"),
    ] {
        assert!(said.contains(&part) && said.lines().count() == 1, "{part}: {said}");
    }
}

#[test]
fn an_advertised_address_of_another_cluster_is_found_out() {
    let other = TestServer::start();
    let advertised = format!("advertised.listeners=PLAINTEXT://{}", other.address);
    let server = TestServer::start_with(&[&advertised]);
    let (step, found) = failure(&server.address.to_string());
    assert_eq!(step, "advertised");
    assert!(found.contains("another cluster answers"), "{found}");
}

#[test]
fn a_name_that_does_not_resolve_and_a_port_that_is_closed_are_told_apart() {
    let (step, found) = failure("no-such-host.invalid:9092");
    assert_eq!(step, "resolve");
    assert!(found.contains("names of containers"), "{found}");
    let (step, _) = failure("localhost");
    assert_eq!(step, "resolve");
    let (step, found) = failure(&dead().to_string());
    assert_eq!(step, "connect");
    assert!(found.contains("start the broker"), "{found}");
}

#[test]
fn what_is_no_kafka_is_named() {
    for (answer, words) in [
        // An alert: unexpected message.
        (&[0x15, 3, 3, 0, 2, 2, 10][..], "speaks TLS"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "speaks HTTP"),
        (b"220 mail.example ESMTP\r\n", "speaks something else"),
        (b"", "connection was closed"),
        // The answer to another request.
        (&[0, 0, 0, 10, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0], "correlation id is 9"),
    ] {
        let (address, thread) = peer(answer);
        let (step, found) = failure(&address.to_string());
        thread.join().expect("the peer does not panic");
        assert_eq!(step, "connect", "{words}");
        assert!(found.contains(words), "{words}: {found}");
    }
    let server = TestServer::start();
    let (step, found) = failure(&server.admin.to_string());
    assert_eq!(step, "connect");
    assert!(found.contains("admin port"), "{found}");
}
