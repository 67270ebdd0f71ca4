//! Settings of the broker that AlterConfigs changes while it runs: in force without a restart.

mod support;

use kafka_protocol::messages::IncrementalAlterConfigsRequest;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use support::client::payload;
use support::groups::{ask_until, text};
use support::requests::{create_topic_with, drain, keyed_batch, produce};
use support::{Reply, TestClient, TestServer};

fn set(client: &mut TestClient, name: &str, value: &str) {
    let (error, message) = alter(client, name, value);
    assert_eq!(error, 0, "{message}");
}

/// Code and message of the answer.
fn alter(client: &mut TestClient, name: &str, value: &str) -> (i16, String) {
    let config =
        AlterableConfig::default().with_name(text(name)).with_config_operation(0).with_value(Some(text(value)));
    let broker = AlterConfigsResource::default().with_resource_type(4).with_configs(vec![config]);
    let answer = client.call(&IncrementalAlterConfigsRequest::default().with_resources(vec![broker]), 1);
    let answer = &answer.responses[0];
    (answer.error_code, answer.error_message.as_ref().map(ToString::to_string).unwrap_or_default())
}

/// Whether a new connection is served.
fn is_served(server: &TestServer) -> bool {
    let mut client = TestClient::connect(server);
    // One that is refused may be closed already.
    let _ = client.send_frame(&payload(18, 0, 1, "", &[]));
    matches!(client.reply(), Reply::Frame(_))
}

#[test]
fn limits_of_connections_hold_for_the_next_one_and_close_none() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    for limit in ["max.connections.per.ip", "max.connections"] {
        ask_until(|| is_served(&server).then_some(()));
        set(&mut client, limit, "1");
        assert!(!is_served(&server), "{limit}");
        set(&mut client, limit, "100");
        assert!(is_served(&server), "{limit}");
    }
}

#[test]
fn open_files_limit_connections_whatever_is_set() {
    let server = TestServer::start_with_open_files(703);
    let mut client = TestClient::connect(&server);
    // Settings are put together anew.
    set(&mut client, "max.connections.per.ip", "100");
    let others = [TestClient::connect(&server), TestClient::connect(&server)];
    assert!(!is_served(&server));
    drop(others);
    ask_until(|| is_served(&server).then_some(()));
}

#[test]
fn nobody_can_lock_everybody_out() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    for limit in ["max.connections.per.ip", "max.connections"] {
        assert_eq!(alter(&mut client, limit, "0").0, 42, "{limit}");
    }
}

#[test]
fn compaction_goes_by_what_is_set_while_it_waits() {
    let server = TestServer::start_with(&["log.cleaner.backoff.ms=86400000", "log.cleaner.min.cleanable.ratio=0"]);
    let mut client = TestClient::connect(&server);
    create_topic_with(&mut client, "t", 1, &[("cleanup.policy", "compact")]);
    // The newest batch stays out of it.
    for value in ["old", "new", "newest"] {
        assert_eq!(produce(&mut client, "t", 0, keyed_batch("k", value)).error_code, 0);
    }
    assert_eq!(drain(&mut client, "t", 0).len(), 3);
    set(&mut client, "log.cleaner.backoff.ms", "10");
    ask_until(|| (drain(&mut client, "t", 0) == [(1, "new".to_owned()), (2, "newest".to_owned())]).then_some(()));
}
