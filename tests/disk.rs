//! A broker whose disk is nearly full serves what reads and frees, and takes records again once there is room.

mod support;

use support::requests::{Producer, batch, create_topic, drain, produce};
use support::{TestClient, TestServer, server};

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
    // Ready for those who read and delete, and told to those who ask; a script that wants to write can demand more.
    let admin = server.admin.to_string();
    for (arguments, code) in [(&["health", "--ready"][..], 0), (&["health", "--ready", "--strict"], 1)] {
        let asked = server::call(&[arguments, &["--admin", &admin]].concat());
        let said = String::from_utf8_lossy(&asked.stderr).into_owned();
        assert_eq!(asked.status.code(), Some(code), "{said}");
        assert_eq!(
            said,
            format!(
                "einmal: {admin} is ready in part: disk nearly full: produce requests and new topics are refused\n"
            )
        );
    }
    let told = "the disk is nearly full";
    assert!(server.log_with(&[told]).contains(told));
    assert!(server.terminate().success());

    let server = server.restart_with(&["einmal.disk.reserve.bytes=1"]);
    let asked = server::call(&["health", "--ready", "--strict", "--admin", &server.admin.to_string()]);
    assert!(asked.status.success() && asked.stderr.is_empty(), "{asked:?}");
    let mut client = TestClient::connect(&server);
    assert_eq!(produce(&mut client, "t", 0, batch(Producer::NONE, -1, &["b"])).error_code, 0);
    assert_eq!(drain(&mut client, "t", 0).len(), 2);
}
