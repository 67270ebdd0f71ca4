//! A broker whose disk is nearly full serves what reads and frees, and takes records again once there is room.

mod support;

use support::requests::{Producer, batch, create_topic, drain, produce};
use support::{TestClient, TestServer};

const KAFKA_STORAGE_ERROR: i16 = 56;

#[test]
fn a_reserve_that_the_disk_cannot_keep_refuses_records_and_a_smaller_one_takes_them() {
    let mut server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 1);
    assert_eq!(produce(&mut client, "t", 0, batch(Producer::NONE, -1, &["a"])).error_code, 0);
    assert_eq!(server.metric("einmal_disk_low", &[]), Some(0.0));
    assert!(server.terminate().success());

    let mut server = server.restart_with(&["einmal.disk.reserve.bytes=9223372036854775807"]);
    let mut client = TestClient::connect(&server);
    let refused = produce(&mut client, "t", 0, batch(Producer::NONE, -1, &["b"]));
    assert_eq!(refused.error_code, KAFKA_STORAGE_ERROR);
    assert_eq!(drain(&mut client, "t", 0).len(), 1);
    assert_eq!(server.metric("einmal_disk_low", &[]), Some(1.0));
    let (status, body) = server.admin_get("/readyz");
    assert!(status == 200 && body.contains("disk"), "{status} {body}");
    let told = "the disk is nearly full";
    assert!(server.log_with(&[told]).contains(told));
    assert!(server.terminate().success());

    let server = server.restart_with(&["einmal.disk.reserve.bytes=1"]);
    let mut client = TestClient::connect(&server);
    assert_eq!(produce(&mut client, "t", 0, batch(Producer::NONE, -1, &["b"])).error_code, 0);
    assert_eq!(drain(&mut client, "t", 0).len(), 2);
}
