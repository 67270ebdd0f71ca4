//! Clients that ask and do not read: what they do not take stays bounded, and others are served.

mod support;

use support::requests::{FETCH_VERSION, Producer, batch, create_topic, drain, fetch_request, produce};
use support::{TestClient, TestServer};

/// Answers that nobody takes, all together, may be as large as this.
const MEMORY_BYTES: usize = 16 << 20;
/// Beside it: threads, RocksDB, one batch per reader thread and what the allocator keeps.
const GROWTH_BYTES_MAX: usize = MEMORY_BYTES + (112 << 20);

#[test]
fn clients_that_never_read_take_no_more_than_the_fetch_memory_and_others_get_their_records() {
    let server = TestServer::start_with(&[
        &format!("einmal.fetch.memory.bytes={MEMORY_BYTES}"),
        "einmal.fetch.memory.stall.ms=100",
        "einmal.tail.cache.bytes=1048576",
    ]);
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 1);
    let value = "v".repeat(900_000);
    for _ in 0..32 {
        assert_eq!(produce(&mut client, "t", 0, batch(Producer::NONE, 0, &[&value])).error_code, 0);
    }
    let before = server.peak_resident_bytes();
    let mut request = fetch_request("t", 0, 0);
    request.topics[0].partitions[0].partition_max_bytes = 64 << 20;
    // Each asks twice for all there is.
    let _silent: Vec<TestClient> = (0..20)
        .map(|_| {
            let mut silent = TestClient::connect(&server);
            silent.send(&request, FETCH_VERSION);
            silent.send(&request, FETCH_VERSION);
            silent
        })
        .collect();
    assert_eq!(drain(&mut client, "t", 0).len(), 32, "an honest consumer gets all of it");
    let grown = server.peak_resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "grew by {grown} bytes");
}
