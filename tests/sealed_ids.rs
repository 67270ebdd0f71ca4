//! Message ids that have left memory for files, in the built broker: across SIGKILL at whatever moment, damaged, verified.

mod support;

use std::fs;
use std::path::PathBuf;

use einmal::record::build::BatchBuilder;
use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use support::groups::text;
use support::requests::{produce, topic_name};
use support::{TestClient, TestServer, server};

const NONE: i16 = 0;
const KAFKA_STORAGE_ERROR: i16 = 56;
const DAMAGE: i32 = 4;

/// Looks once a second, and seals what one look finds.
const SEALS_SOON: &[&str] = &["einmal.dedup.open.max.ids=16"];

fn create(client: &mut TestClient, settings: &[(&str, &str)]) {
    let configs = settings.iter().map(|(name, value)| {
        let name = text(&format!("message.dedup.{name}"));
        CreatableTopicConfig::default().with_name(name).with_value(Some(text(value)))
    });
    let topic = CreatableTopic::default()
        .with_name(topic_name("once"))
        .with_num_partitions(1)
        .with_replication_factor(1)
        .with_configs(configs.collect());
    let answer = client.call(&CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000), 6);
    assert_eq!(answer.topics[0].error_code, NONE);
}

/// Code and base offset of a batch with these ids.
fn send(client: &mut TestClient, ids: std::ops::Range<i64>) -> (i16, i64) {
    let batch = ids.fold(BatchBuilder::new(), |batch, id| {
        let id = id.to_string();
        batch.record_with_headers(1_700_000_000_000, None, None, &[(b"message-id", Some(id.as_bytes()))])
    });
    let answer = produce(client, "once", 0, batch.build().freeze());
    (answer.error_code, answer.base_offset)
}

/// Files of ids that are finished.
fn files(server: &TestServer) -> Vec<PathBuf> {
    let entries = fs::read_dir(server.data_dir().join("dedup")).into_iter().flatten();
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|ends| ends == "slice")).collect();
    paths.sort();
    paths
}

/// Sends new ids until there are `count` files that the log knows of; answers the next id, which is the log's end.
fn send_until(server: &TestServer, client: &mut TestClient, from: i64, count: usize) -> i64 {
    let mut next = from;
    while server.metric("einmal_dedup_slices", &[]).is_none_or(|slices| slices < count as f64) {
        assert_eq!(send(client, next..next + 20), (NONE, next));
        next += 20;
    }
    next
}

fn verify(server: &TestServer) -> std::process::Output {
    server::call(&["verify", "-o", "json", "--data-dir", server.data_dir().to_str().expect("a path of UTF-8")])
}

#[test]
fn ids_in_files_are_known_whenever_the_broker_is_killed() {
    let mut server = TestServer::start_with(SEALS_SOON);
    create(&mut TestClient::connect(&server), &[("mode", "window")]);
    let mut next = 0;
    // With each kill the next file has come so far as it has: begun, named, or its ids on their way out of memory.
    for count in 1..5 {
        let mut client = TestClient::connect(&server);
        next = send_until(&server, &mut client, next, count);
        for _ in 0..count {
            assert_eq!(send(&mut client, next..next + 20), (NONE, next));
            next += 20;
        }
        server.kill9();
        let verified = verify(&server);
        assert!(verified.status.success(), "{verified:?}");
        server = server.restart();
        let mut client = TestClient::connect(&server);
        for first in (0..next).step_by(20) {
            assert_eq!(send(&mut client, first..first + 20), (NONE, first), "after {count} kills");
        }
    }
    assert!(server.metric("einmal_dedup_slices", &[]).is_some_and(|slices| slices >= 4.0));
}

#[test]
fn damaged_file_is_told_by_verify_and_its_batches_are_refused() {
    let mut server = TestServer::start_with(SEALS_SOON);
    let mut client = TestClient::connect(&server);
    create(&mut client, &[("mode", "window")]);
    let next = send_until(&server, &mut client, 0, 1);
    assert!(server.terminate().success());
    let path = files(&server).remove(0);
    let sound = fs::read(&path).expect("a file");
    let mut damaged = sound.clone();
    damaged[100] ^= 1;
    fs::write(&path, &damaged).expect("written");
    let verified = verify(&server);
    assert_eq!(verified.status.code(), Some(DAMAGE), "{verified:?}");
    let told = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(told.contains("dedup/00000000000000000001.slice") && told.contains("bytes 72 to "), "{told}");
    let server = server.restart();
    let mut client = TestClient::connect(&server);
    let firsts = || (0..next).step_by(20);
    let answers: Vec<_> = firsts().map(|first| send(&mut client, first..first + 20)).collect();
    assert!(answers.contains(&(KAFKA_STORAGE_ERROR, -1)), "{answers:?}");
    assert!(
        answers.iter().zip(firsts()).all(|(answer, first)| *answer == (NONE, first) || answer.0 == KAFKA_STORAGE_ERROR)
    );
}

#[test]
fn file_that_is_cut_off_says_what_to_do_and_one_that_is_gone_is_told() {
    let mut server = TestServer::start_with(SEALS_SOON);
    let mut client = TestClient::connect(&server);
    create(&mut client, &[("mode", "window")]);
    // The second is not begun before the ids of the first have left memory.
    let next = send_until(&server, &mut client, 0, 2);
    assert!(server.terminate().success());
    let path = files(&server).remove(0);
    let bytes = fs::read(&path).expect("a file");
    fs::write(&path, &bytes[..bytes.len() / 2]).expect("written");
    let data_dir = server.data_dir().to_str().expect("a path of UTF-8").to_owned();
    let listeners = ["--set", "listeners=PLAINTEXT://127.0.0.1:0", "--set", "einmal.admin.listener=127.0.0.1:0"];
    let refused = server::run(&[&["start", "--data-dir", &data_dir][..], &listeners[..]].concat());
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(DAMAGE), "{told}");
    assert!(told.contains("or remove it: then ") && told.contains("message ids of topic once are forgotten"), "{told}");
    fs::remove_file(&path).expect("it was there");
    let verified = verify(&server);
    assert_eq!(verified.status.code(), Some(DAMAGE), "{verified:?}");
    assert!(String::from_utf8_lossy(&verified.stdout).contains("it is gone"), "{verified:?}");
    let mut server = server.restart();
    let words = ["a file of message ids is gone", "once"];
    let log = server.log_with(&words);
    assert!(words.iter().all(|word| log.contains(word)), "{log}");
    let mut client = TestClient::connect(&server);
    assert_eq!(send(&mut client, 0..1), (NONE, next), "it is forgotten");
    assert!(server.terminate().success());
    assert!(verify(&server).status.success(), "it is told once");
}
