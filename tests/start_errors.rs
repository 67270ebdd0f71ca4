//! A start that cannot succeed says in one sentence what to do, and ends with an exit code of its own.

mod support;

use std::net::TcpListener;
use std::process::Output;

use serde_json::Value;
use support::TestServer;
use support::server::run;

const USAGE: i32 = 2;
const DATA_DIRECTORY: i32 = 3;
const PORT_IN_USE: i32 = 5;

/// What the last line on stderr says, which is JSON as all that are for machines, after asserting the exit code.
fn refused(output: &Output, exit_code: i32) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit_code), "{stderr}");
    assert!(!stderr.contains("panicked") && !stderr.contains("backtrace"), "{stderr}");
    let last = stderr.lines().rfind(|line| !line.trim().is_empty()).expect("a line on stderr");
    let last: Value = serde_json::from_str(last).unwrap_or_else(|_| panic!("{last}"));
    assert_eq!((&last["level"], &last["message"]), (&"ERROR".into(), &"ended".into()));
    last["error"].as_str().expect("a sentence").to_owned()
}

fn start(data_dir: &str, settings: &[&str]) -> Output {
    let mut arguments = vec!["start", "--data-dir", data_dir, "--set", "einmal.admin.listener=127.0.0.1:0"];
    if !settings.iter().any(|setting| setting.starts_with("listeners=")) {
        arguments.extend(["--set", "listeners=PLAINTEXT://127.0.0.1:0"]);
    }
    arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
    run(&arguments)
}

fn data_dir() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().to_str().expect("a path of UTF-8").to_owned();
    (dir, path)
}

#[test]
fn a_port_in_use_is_named() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = holder.local_addr().expect("it is bound").port();
    let (_dir, path) = data_dir();
    let sentence = refused(&start(&path, &[&format!("listeners=PLAINTEXT://127.0.0.1:{port}")]), PORT_IN_USE);
    assert!(sentence.contains(&port.to_string()), "{sentence}");
}

#[test]
fn a_log_that_takes_no_errors_does_not_silence_the_end() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let listeners = format!("listeners=PLAINTEXT://{}", holder.local_addr().expect("it is bound"));
    let (_dir, path) = data_dir();
    let output = start(&path, &["einmal.log.level=off", &listeners]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("einmal: ") && said.lines().count() == 1, "{said}");
}

#[test]
fn a_data_directory_in_use_is_refused() {
    let server = TestServer::start();
    let path = server.data_dir().to_str().expect("a path of UTF-8");
    let sentence = refused(&start(path, &[]), DATA_DIRECTORY);
    assert!(sentence.contains(path), "{sentence}");
}

#[test]
fn a_data_directory_of_a_newer_format_is_refused() {
    let mut server = TestServer::start();
    assert!(server.terminate().success());
    let format = server.data_dir().join("FORMAT");
    let text = std::fs::read_to_string(&format).expect("the data directory has a FORMAT file");
    let newer: String = text.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    assert_ne!(newer, text);
    std::fs::write(&format, newer).expect("ours to write");
    let path = server.data_dir().to_str().expect("a path of UTF-8");
    let sentence = refused(&start(path, &[]), DATA_DIRECTORY);
    assert!(sentence.contains("format"), "{sentence}");
}

#[test]
fn a_data_directory_that_is_a_file_is_refused() {
    let (dir, _) = data_dir();
    let file = dir.path().join("file");
    std::fs::write(&file, "not a directory").expect("ours to write");
    for path in [file.clone(), file.join("below")] {
        let path = path.to_str().expect("a path of UTF-8");
        let sentence = refused(&start(path, &[]), DATA_DIRECTORY);
        assert!(sentence.contains(path) && sentence.contains("is a file"), "{sentence}");
    }
}

#[test]
fn a_bad_value_names_the_setting() {
    let (_dir, path) = data_dir();
    for (setting, name) in [
        ("num.partitions=many", "num.partitions"),
        ("num.partitions=0", "num.partitions"),
        ("node.id=-1", "node.id"),
        ("listeners=PLAINTEXT://127.0.0.1:99999", "listeners"),
        ("listeners=PLAINTEXT://127.0.0.1:99999", "no port 99999"),
        ("listeners=SECRET://127.0.0.1:0", "SECRET"),
        ("advertised.listeners=PLAINTEXT://0.0.0.0:9092", "advertised.listeners"),
    ] {
        let sentence = refused(&start(&path, &[setting]), USAGE);
        assert!(sentence.contains(name), "{setting}: {sentence}");
    }
}

#[test]
fn an_unknown_setting_is_answered_with_the_nearest_known_one() {
    let (_dir, path) = data_dir();
    let sentence = refused(&start(&path, &["num.partition=3"]), USAGE);
    assert!(sentence.contains("num.partition") && sentence.contains("num.partitions"), "{sentence}");
}

#[test]
fn an_unknown_setting_is_accepted_when_that_is_asked_for() {
    let mut server = TestServer::start_with_arguments(&["--allow-unknown-config"], &["no.such.setting=1"]);
    assert!(server.is_alive());
}

#[test]
fn a_missing_configuration_file_is_named() {
    let (_dir, path) = data_dir();
    let sentence = refused(&run(&["start", "--data-dir", &path, "--config", "/nonexistent/server.properties"]), USAGE);
    assert!(sentence.contains("/nonexistent/server.properties"), "{sentence}");
}

#[test]
fn a_setting_without_a_name_is_refused_as_such() {
    let (_dir, path) = data_dir();
    let output = run(&["start", "--data-dir", &path, "--set", "=1"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(USAGE), "{stderr}");
    assert!(stderr.contains("name before = is missing"), "{stderr}");
}

#[test]
fn an_advertised_host_that_nobody_knows_is_told() {
    let server = TestServer::start_with(&["advertised.listeners=PLAINTEXT://no-such-host.invalid:9092"]);
    let words = ["a host that this machine does not know", "no-such-host.invalid"];
    let log = server.log_with(&words);
    assert!(words.iter().all(|word| log.contains(word)), "{log}");
}

#[test]
fn the_start_says_from_where_to_use_which_address() {
    let server = TestServer::start_with(&["advertised.listeners=PLAINTEXT://localhost:9092"]);
    let log = server.log_with(&["from another host: not configured"]);
    assert!(log.contains(": use localhost:9092"), "{log}");
}

#[test]
fn a_topic_that_cannot_be_created_is_named() {
    for (topics, told) in
        [("or/ders:1", "or/ders"), ("orders:x", "orders:x"), ("orders:1:retention.ms=x", "retention.ms")]
    {
        let (_dir, path) = data_dir();
        let sentence = refused(&start(&path, &[&format!("einmal.create.topics={topics}")]), USAGE);
        assert!(sentence.contains("einmal.create.topics") && sentence.contains(told), "{sentence}");
    }
}
