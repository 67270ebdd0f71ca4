//! `einmal verify` on data directories that the built broker has left, sound and damaged.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use support::requests::{Producer, batch, create_topic, produce};
use support::transactions::{Protocol, TransactionalProducer};
use support::{TestClient, TestServer, server};

const USAGE: i32 = 2;
const DATA_DIRECTORY: i32 = 3;
const DAMAGE: i32 = 4;
const ADMIN: &str = "einmal.admin.listener=127.0.0.1:0";

fn verify(dir: &Path) -> Output {
    server::call(&["verify", "-o", "json", "--data-dir", dir.to_str().expect("a path of UTF-8")])
}

/// Place and range of what is damaged.
fn damage(output: &Output) -> Vec<(String, Value, Value)> {
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    let place = |row: &Value| row["place"].as_str().expect("a place").to_owned();
    rows.iter().map(|row| (place(row), row["first_offset"].clone(), row["last_offset"].clone())).collect()
}

/// Names, lengths and contents of all files.
fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.push((path.clone(), fs::read(&path).expect("a file")));
        }
    }
    found.sort();
    found
}

/// A broker that has seen all that leaves rows.
fn used() -> TestServer {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 2);
    let producer = Producer::init(&mut client);
    let large = "x".repeat(2_000);
    for index in 0..4 {
        assert_eq!(produce(&mut client, "t", 0, batch(producer, index, &[&large])).error_code, 0);
    }
    for (id, protocol, is_committed) in [("a", Protocol::V1, true), ("b", Protocol::V2, false)] {
        let mut producer = TransactionalProducer::init(&mut client, protocol, id);
        assert_eq!(producer.send(&mut client, "t", 1, &["x", "y"]).0, 0);
        assert_eq!(producer.commit_offset(&mut client, "g", "t", 1), 0);
        assert_eq!(producer.end(&mut client, is_committed), 0);
    }
    let mut open = TransactionalProducer::init(&mut client, Protocol::V2, "open");
    assert_eq!(open.send(&mut client, "t", 1, &["z"]).0, 0);
    assert_eq!(open.commit_offset(&mut client, "h", "t", 1), 0);
    server
}

#[test]
fn what_a_broker_has_left_is_sound_and_stays_as_it_is() {
    let mut server = used();
    let output = verify(server.data_dir());
    assert_eq!(output.status.code(), Some(DATA_DIRECTORY), "a running broker has it: {output:?}");
    // In the write-ahead log alone, then in files.
    server.kill9();
    let before = contents(server.data_dir());
    let output = verify(server.data_dir());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"[]\n");
    assert!(String::from_utf8_lossy(&output.stderr).contains("no damage: "), "{output:?}");
    assert!(contents(server.data_dir()) == before, "something was written");
    let mut server = server.restart();
    assert!(server.terminate().success());
    let output = verify(server.data_dir());
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_flipped_byte_in_a_batch_is_found_at_its_offset() {
    let mut server = used();
    assert!(server.terminate().success());
    let mut is_planted = false;
    for (path, mut bytes) in contents(server.data_dir()) {
        // The third batch of t-0.
        let places: Vec<usize> = bytes
            .windows(1_900)
            .step_by(1)
            .enumerate()
            .filter_map(|(at, window)| {
                (window.iter().all(|byte| *byte == b'x') && (at == 0 || bytes[at - 1] != b'x')).then_some(at)
            })
            .collect();
        if path.extension().is_some_and(|extension| extension == "blob") && places.len() == 4 {
            bytes[places[2] + 900] = b'y';
            fs::write(&path, bytes).expect("the file is written");
            is_planted = true;
        }
    }
    assert!(is_planted, "the batches lie elsewhere");
    let output = verify(server.data_dir());
    assert_eq!(output.status.code(), Some(DAMAGE), "{output:?}");
    assert_eq!(damage(&output), [("t-0".to_owned(), 2.into(), 2.into())], "{output:?}");
}

#[test]
fn a_flipped_byte_in_the_write_ahead_log_is_damage() {
    let mut server = used();
    server.kill9();
    for (path, mut bytes) in contents(server.data_dir()) {
        if path.extension().is_some_and(|extension| extension == "log") {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&path, bytes).expect("the file is written");
        }
    }
    let output = verify(server.data_dir());
    assert_eq!(output.status.code(), Some(DAMAGE), "{output:?}");
    assert!(damage(&output).iter().any(|(place, ..)| place == "write-ahead log"), "{output:?}");
    let data_dir = server.data_dir().to_str().expect("a path of UTF-8");
    let output = server::run(&["start", "--data-dir", data_dir, "--listen", "127.0.0.1:0", "--set", ADMIN]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("einmal.storage.accept.loss=true; einmal verify tells"), "{said}");
}

#[test]
fn a_database_that_is_gone_is_damage_as_it_is_for_a_start() {
    let mut server = used();
    assert!(server.terminate().success());
    fs::remove_file(server.data_dir().join("db/CURRENT")).expect("it was there");
    let output = verify(server.data_dir());
    assert_eq!(output.status.code(), Some(DAMAGE), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("durable writes is gone"), "{output:?}");
}

#[test]
fn a_start_advises_what_helps_and_names_what_is_damaged() {
    const ACCEPT: &str = "einmal.storage.accept.loss=true";
    let mut server = used();
    assert!(server.terminate().success());
    let data_dir = server.data_dir().to_owned();
    let start = |settings: &[&str]| {
        let mut arguments = vec!["start", "--data-dir", data_dir.to_str().expect("UTF-8"), "--listen", "127.0.0.1:0"];
        arguments.extend(["--set", ADMIN]);
        arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
        let output = server::run(&arguments);
        assert_eq!(output.status.code(), Some(DAMAGE), "{output:?}");
        String::from_utf8_lossy(&output.stderr).lines().last().expect("a sentence").to_owned()
    };
    let (none, current): (&[&str], _) = (&[], data_dir.join("db/CURRENT"));
    let named = fs::read_to_string(&current).expect("a text");
    let manifest = data_dir.join("db").join(named.trim_end());
    for (path, place) in [(&manifest, named.trim_end()), (&current, "db")] {
        let kept = data_dir.join("kept");
        fs::rename(path, &kept).expect("it was there");
        for settings in [none, &[ACCEPT]] {
            let said = start(settings);
            assert!(said.contains(place), "{said}");
            assert!(said.contains("backup") && !said.contains(ACCEPT), "what does not help is not advised: {said}");
        }
        fs::rename(&kept, path).expect("it is put back");
    }
    assert!(verify(&data_dir).status.success(), "those that were refused have changed nothing");
    fs::write(&current, "MANIFEST-000019x\n").expect("it is written");
    assert!(start(&[]).contains("db/CURRENT"));
    assert_eq!(verify(&data_dir).status.code(), Some(DAMAGE));
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_damage_and_keeps_nobody_waiting() {
    let mut server = used();
    assert!(server.terminate().success());
    for name in ["db/CURRENT", "SYNCED", "FORMAT", "einmal.lock"] {
        let (path, kept) = (server.data_dir().join(name), server.data_dir().join("kept"));
        fs::rename(&path, &kept).expect("it was there");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo runs").success());
        let data_dir = server.data_dir().to_str().expect("a path of UTF-8");
        for output in
            [verify(server.data_dir()), server::run(&["start", "--data-dir", data_dir, "--listen", "127.0.0.1:0"])]
        {
            assert_eq!(output.status.code(), Some(DAMAGE), "{name}: {output:?}");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains("a pipe or a device") && said.contains(name), "{said}");
        }
        fs::rename(&kept, &path).expect("it is put back");
    }
    let output = verify(server.data_dir());
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn what_is_no_data_directory_is_refused() {
    let empty = tempfile::tempdir().expect("a directory");
    let missing = empty.path().join("missing");
    for (dir, why) in [(empty.path(), "it has no FORMAT"), (missing.as_path(), "it does not exist")] {
        let output = verify(dir);
        assert_eq!(output.status.code(), Some(USAGE), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(&format!("{} is no data directory of einmal: {why}", dir.display())), "{said}");
        assert!(said.contains("FORMAT") && said.contains("--data-dir") && output.stdout.is_empty(), "{output:?}");
    }
    assert_eq!(fs::read_dir(empty.path()).expect("it is there").count(), 0);

    fs::write(empty.path().join("meta.properties"), "cluster.id=x\n").expect("ours to write");
    let output = verify(empty.path());
    assert_eq!(output.status.code(), Some(DATA_DIRECTORY), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("a log of Apache Kafka"), "{output:?}");
}
