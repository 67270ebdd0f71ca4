//! What retention and compaction take from readers comes back to the disk, whatever lives long beside it.

mod support;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use kafka_protocol::messages::DeleteRecordsRequest;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use support::requests::{Producer, batch, create_topic_with, drain, fetch, keyed_batch, produce, topic_name};
use support::{TestClient, TestServer};

const MIB: u64 = 1 << 20;
const VALUE_BYTES: usize = 40_000;

fn directory_bytes(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    // Files go while they are counted.
    let bytes = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => directory_bytes(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.map(bytes).sum()
}

#[test]
fn directory_follows_what_retention_keeps_also_beside_topics_that_keep_all() {
    const ROUNDS: usize = 300;
    let server = TestServer::start_with(&[
        "einmal.storage.memtable.bytes=1048576",
        "log.retention.check.interval.ms=50",
        "einmal.tail.cache.bytes=0",
    ]);
    let mut client = TestClient::connect(&server);
    let shorts = ["a-short", "c-short", "e-short", "g-short"];
    let longs = ["b-long", "d-long", "f-long"];
    // In the order of creation, which is that of their batches in files: each that keeps little lies between others that keep all.
    for (short, long) in shorts.iter().zip(longs.iter().map(Some).chain([None])) {
        create_topic_with(&mut client, short, 1, &[("retention.bytes", "400000"), ("retention.ms", "-1")]);
        if let Some(long) = long {
            create_topic_with(&mut client, long, 1, &[("retention.ms", "-1")]);
        }
    }
    let value = "v".repeat(VALUE_BYTES);
    let mut written = 0;
    let mut peak = 0;
    for round in 0..ROUNDS {
        for topic in shorts {
            assert_eq!(produce(&mut client, topic, 0, batch(Producer::NONE, -1, &[&value])).error_code, 0);
            written += VALUE_BYTES as u64;
        }
        // About one memtable in three holds something that stays.
        if round % 20 == 0 {
            for topic in longs {
                assert_eq!(produce(&mut client, topic, 0, batch(Producer::NONE, -1, &[&value])).error_code, 0);
            }
        }
        if round % 20 == 19 {
            peak = peak.max(directory_bytes(server.data_dir()));
        }
    }
    let kept_long = (longs.len() * ROUNDS / 20 * VALUE_BYTES) as u64;
    let kept_short = shorts.len() as u64 * 400_000;
    assert!(written >= 10 * (kept_short + kept_long), "{written} written, {kept_short} + {kept_long} kept");
    // Memtables and their write-ahead logs, what waits for a memtable's worth, and as much garbage as there are batches.
    let bound = 2 * (kept_short + kept_long) + 12 * MIB;
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let bytes = directory_bytes(server.data_dir());
        if bytes <= bound {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "{bytes} bytes in the directory, {bound} are the bound, {peak} the most so far"
        );
        // Whatever goes on is to be written out, too.
        assert_eq!(produce(&mut client, shorts[0], 0, batch(Producer::NONE, -1, &[&value])).error_code, 0);
    }
    assert!(peak < written / 2, "{peak} bytes at the most while {written} were written");
    for topic in longs {
        assert_eq!(drain(&mut client, topic, 0).len(), ROUNDS / 20, "all of {topic} is there");
    }
    for topic in shorts {
        // The look after the last append may be still to come.
        while fetch(&mut client, topic, 0, i64::MAX >> 1).log_start_offset <= (ROUNDS - 20) as i64 {
            assert!(Instant::now() < deadline, "{topic} keeps too much");
        }
    }
    let deleted = server.metric("einmal_retention_deleted_bytes_total", &["topic=\"a-short\"", "reason=\"size\""]);
    assert!(deleted.is_some_and(|bytes| bytes > 10_000_000.0), "{deleted:?}");
}

/// Bytes of the files that hold batches.
fn batch_file_bytes(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir.join("db")).into_iter().flatten().flatten();
    let is_blob = |entry: &fs::DirEntry| entry.path().extension().is_some_and(|extension| extension == "blob");
    entries.filter(is_blob).map(|entry| entry.metadata().map_or(0, |metadata| metadata.len())).sum()
}

#[test]
fn space_of_records_that_a_client_deletes_comes_back_though_nobody_writes_any_more() {
    let server = TestServer::start_with(&["einmal.storage.memtable.bytes=1048576"]);
    let mut client = TestClient::connect(&server);
    let value = "v".repeat(VALUE_BYTES);
    // Far less goes than stays.
    for (topic, batches) in [("kept", 600), ("deleted", 150)] {
        create_topic_with(&mut client, topic, 1, &[]);
        for _ in 0..batches {
            assert_eq!(produce(&mut client, topic, 0, batch(Producer::NONE, -1, &[&value])).error_code, 0);
        }
    }
    let kept = 600 * VALUE_BYTES as u64;
    let held = batch_file_bytes(server.data_dir());
    assert!(held > kept + 3 * MIB, "{held} bytes in files, {kept} of what stays");
    let partitions = vec![DeleteRecordsPartition::default().with_partition_index(0).with_offset(-1)];
    let topic = DeleteRecordsTopic::default().with_name(topic_name("deleted")).with_partitions(partitions);
    let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
    assert_eq!(client.call(&request, 2).topics[0].partitions[0].low_watermark, 150);
    let deadline = Instant::now() + Duration::from_secs(60);
    while batch_file_bytes(server.data_dir()) > kept + MIB {
        assert!(Instant::now() < deadline, "{} bytes in files", batch_file_bytes(server.data_dir()));
        // Nobody writes.
        assert!(server.metric("einmal_storage_blob_bytes", &[]).is_some());
    }
    assert_eq!(drain(&mut client, "kept", 0).len(), 600);
}

#[test]
fn directory_of_a_compacted_topic_follows_its_keys() {
    const WRITES: usize = 1200;
    const KEYS: usize = 10;
    let server = TestServer::start_with(&[
        "einmal.storage.memtable.bytes=1048576",
        "log.cleaner.backoff.ms=50",
        "log.cleaner.io.max.bytes.per.second=1e12",
    ]);
    let mut client = TestClient::connect(&server);
    create_topic_with(&mut client, "t", 1, &[("cleanup.policy", "compact")]);
    for write in 0..WRITES {
        let value = format!("{write:>VALUE_BYTES$}");
        let batch = keyed_batch(&format!("key {}", write % KEYS), &value);
        assert_eq!(produce(&mut client, "t", 0, batch).error_code, 0);
    }
    let written = (WRITES * VALUE_BYTES) as u64;
    let deadline = Instant::now() + Duration::from_secs(60);
    while directory_bytes(server.data_dir()) > written / 3 {
        assert!(Instant::now() < deadline, "{} bytes in the directory", directory_bytes(server.data_dir()));
        let batch = keyed_batch("another", &"v".repeat(VALUE_BYTES));
        assert_eq!(produce(&mut client, "t", 0, batch).error_code, 0);
    }
    let last = drain(&mut client, "t", 0);
    for write in WRITES - KEYS..WRITES {
        let value = format!("{write:>VALUE_BYTES$}");
        assert!(last.contains(&(write as i64, value)), "the last value of key {}", write % KEYS);
    }
}
