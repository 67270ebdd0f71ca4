//! Levels of single loggers, shown by DescribeConfigs and changed by IncrementalAlterConfigs until the next start.

mod support;

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{
    AlterConfigsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest, alter_configs_request,
};
use support::client::payload;
use support::groups::text;
use support::{TestClient, TestServer};

const BROKER_LOGGER: i8 = 8;
const SET: i8 = 0;
const DELETE: i8 = 1;

/// The error code of `logger` given `level`, or its own level taken away.
fn alter(client: &mut TestClient, logger: &str, level: Option<&str>, validate_only: bool) -> i16 {
    let config = AlterableConfig::default()
        .with_name(text(logger))
        .with_config_operation(if level.is_some() { SET } else { DELETE })
        .with_value(level.map(text));
    let resource = AlterConfigsResource::default()
        .with_resource_type(BROKER_LOGGER)
        .with_resource_name(text("1"))
        .with_configs(vec![config]);
    let request =
        IncrementalAlterConfigsRequest::default().with_resources(vec![resource]).with_validate_only(validate_only);
    client.call(&request, 1).responses[0].error_code
}

/// Each logger with its level, as `name=LEVEL`.
fn levels(client: &mut TestClient) -> Vec<String> {
    let loggers = DescribeConfigsResource::default()
        .with_resource_type(BROKER_LOGGER)
        .with_resource_name(text("1"))
        .with_configuration_keys(None);
    let answer = client.call(&DescribeConfigsRequest::default().with_resources(vec![loggers]), 4);
    assert_eq!(answer.results[0].error_code, 0, "{:?}", answer.results[0].error_message);
    let entries = answer.results[0].configs.iter();
    entries
        .map(|entry| format!("{}={}", entry.name.as_str(), entry.value.as_ref().expect("a level").as_str()))
        .collect()
}

/// Sends what no broker understands from a client of this name, which tells of it at debug level.
fn misbehave(server: &TestServer, client_id: &str) {
    let mut client = TestClient::connect(server);
    client.send_frame(&payload(9999, 0, 1, client_id, &[])).expect("it is sent");
    client.reply();
}

#[test]
fn a_logger_writes_by_its_level_from_the_answer_on_and_as_before_after_a_restart() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    let at_first = levels(&mut client);
    assert!(at_first.contains(&"root=INFO".to_owned()) && at_first.contains(&"einmal.server=INFO".to_owned()));

    misbehave(&server, "unheard");
    assert_eq!(alter(&mut client, "einmal.server", Some("DEBUG"), true), 0);
    assert_eq!(levels(&mut client), at_first);
    assert_eq!(alter(&mut client, "einmal.server", Some("DEBUG"), false), 0);
    assert!(levels(&mut client).contains(&"einmal.server=DEBUG".to_owned()));
    misbehave(&server, "heard");
    let log = server.log_with(&["\"heard\""]);
    assert!(log.contains("\"heard\"") && !log.contains("\"unheard\""), "{log}");

    // SIGHUP takes the filter of the start over, which lies below.
    server.signal("HUP");
    assert!(server.log_with(&["settings read again"]).contains("settings read again"));
    assert!(levels(&mut client).contains(&"einmal.server=DEBUG".to_owned()));

    assert_eq!(alter(&mut client, "einmal.server", None, false), 0);
    assert_eq!(levels(&mut client), at_first);
    misbehave(&server, "unheard");
    assert_eq!(alter(&mut client, "root", Some("TRACE"), false), 0);
    misbehave(&server, "heard again");
    let log = server.log_with(&["\"heard again\""]);
    assert!(log.contains("\"heard again\"") && !log.contains("\"unheard\""), "{log}");

    let server = server.restart();
    assert_eq!(levels(&mut TestClient::connect(&server)), at_first);
}

#[test]
fn what_loggers_cannot_be_told_is_refused_and_changes_nothing() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    let at_first = levels(&mut client);
    assert_eq!(alter(&mut client, "nope", Some("INFO"), false), 40);
    assert_eq!(alter(&mut client, "root", Some("LOUD"), false), 40);
    assert_eq!(alter(&mut client, "root", None, false), 42);
    // Not all of them at once.
    let config =
        alter_configs_request::AlterableConfig::default().with_name(text("root")).with_value(Some(text("WARN")));
    let resource = alter_configs_request::AlterConfigsResource::default()
        .with_resource_type(BROKER_LOGGER)
        .with_resource_name(text("1"))
        .with_configs(vec![config]);
    let answer = client.call(&AlterConfigsRequest::default().with_resources(vec![resource]), 2);
    assert_eq!(answer.responses[0].error_code, 42);
    assert_eq!(answer.responses[0].error_message, Some(text("Unknown resource type 8")));
    assert_eq!(levels(&mut client), at_first);
}
