use super::*;
use crate::api::testing::{TestBroker, text};
use crate::config::loggers::LOGGERS;

fn resource(resource_type: i8, name: &str, keys: Option<&[&str]>) -> DescribeConfigsResource {
    DescribeConfigsResource::default()
        .with_resource_type(resource_type)
        .with_resource_name(text(name))
        .with_configuration_keys(keys.map(|keys| keys.iter().copied().map(text).collect()))
}

fn request(resources: Vec<DescribeConfigsResource>) -> DescribeConfigsRequest {
    DescribeConfigsRequest::default().with_resources(resources)
}

/// `name=value source`, with `ro` for read-only.
fn show(result: &DescribeConfigsResult) -> Vec<String> {
    let value = |of: &DescribeConfigsResourceResult| of.value.as_ref().map_or("null".into(), |value| value.to_string());
    let entries = result.configs.iter();
    let read_only = |of: &DescribeConfigsResourceResult| if of.read_only { " ro" } else { "" };
    entries.map(|of| format!("{}={} {}{}", of.name.as_str(), value(of), of.config_source, read_only(of))).collect()
}

#[tokio::test]
async fn refusals_name_what_is_wrong_with_the_resource() {
    let broker = TestBroker::start();
    for (resource_type, name, expected) in [
        (2, "unknown", "3 The topic 'unknown' does not exist."),
        (2, "", "17 Topic name is invalid: the empty string is not allowed"),
        (4, "7", "42 Unexpected broker id, expected 1 or empty string, but received 7"),
        (4, "abc", "42 Broker id must be an integer, but it is: abc"),
        (8, "", "42 Broker id must not be empty"),
        (8, "7", "42 Unexpected broker id, expected 1 but received 7"),
        (0, "x", "42 Unsupported resource type: 0"),
        (16, "", "42 Client metrics subscription name must not be empty"),
        (64, "x", "42 Unsupported resource type: 64"),
        (-1, "x", "42 Unsupported resource type: -1"),
    ] {
        for version in 1..=4 {
            let answer = broker.call(version, &request(vec![resource(resource_type, name, None)])).await;
            let result = &answer.results[0];
            let message = result.error_message.as_ref().expect("a sentence");
            assert_eq!(format!("{} {}", result.error_code, message.as_str()), expected);
            assert_eq!((result.resource_type, result.resource_name.as_str()), (resource_type, name));
            assert!(result.configs.is_empty());
        }
    }
}

#[tokio::test]
async fn null_and_empty_keys_are_all_and_unknown_keys_none() {
    let broker = TestBroker::start();
    broker.create_topic("t", 1).await;
    for version in 1..=4 {
        for keys in [None, Some(&[] as &[&str])] {
            let answer = broker.call(version, &request(vec![resource(2, "t", keys), resource(4, "1", keys)])).await;
            assert_eq!(
                answer.results[0].configs.len(),
                describe::topic(&broker.cx.broker.config.load(), "any", &Default::default()).len()
            );
            assert!(answer.results[1].configs.len() > answer.results[0].configs.len());
        }
        let answer = broker.call(version, &request(vec![resource(2, "t", Some(&["no.such", "retention.ms"]))])).await;
        assert_eq!(show(&answer.results[0]), ["retention.ms=604800000 5"]);
    }
}

#[tokio::test]
async fn values_come_with_source_synonyms_type_and_documentation() {
    let broker = TestBroker::with_settings(&[("message.max.bytes", "2000"), ("node.id", "1")]);
    broker.create_topic_with("t", 1, &[("max.message.bytes", "1000")]).await;
    for version in 1..=4 {
        let keys: &[&str] = &["max.message.bytes", "cleanup.policy"];
        let mut asked = request(vec![resource(2, "t", Some(keys)), resource(4, "1", Some(&["node.id"]))]);
        let plain = broker.call(version, &asked).await;
        assert_eq!(show(&plain.results[0]), ["cleanup.policy=delete 5", "max.message.bytes=1000 1"]);
        assert_eq!(show(&plain.results[1]), ["node.id=1 4 ro"]);
        assert!(plain.results.iter().flat_map(|result| &result.configs).all(|of| of.synonyms.is_empty()));

        asked = asked.with_include_synonyms(true).with_include_documentation(version >= 3);
        let answer = broker.call(version, &asked).await;
        let bytes = &answer.results[0].configs[1];
        let synonyms = bytes.synonyms.iter().map(|of| {
            format!("{}={} {}", of.name.as_str(), of.value.as_ref().map_or("null", StrBytes::as_str), of.source)
        });
        let expected = ["max.message.bytes=1000 1", "message.max.bytes=2000 4", "message.max.bytes=1048588 5"];
        assert_eq!(synonyms.collect::<Vec<_>>(), expected);
        assert_eq!(bytes.config_type, if version >= 3 { 3 } else { 0 });
        assert_eq!(bytes.documentation.as_ref().is_some_and(|text| !text.is_empty()), version >= 3);
    }
}

#[tokio::test]
async fn a_resource_named_again_is_described_once_with_all_its_keys() {
    let broker = TestBroker::start();
    broker.create_topic("t", 1).await;
    let asked = vec![
        resource(2, "t", Some(&["retention.ms"])),
        resource(4, "1", Some(&["num.partitions"])),
        resource(2, "t", Some(&["cleanup.policy"])),
        resource(4, "1", None),
    ];
    let answer = broker.call(4, &request(asked)).await;
    assert_eq!(answer.results.len(), 2);
    assert_eq!(show(&answer.results[0]), ["cleanup.policy=delete 5", "retention.ms=604800000 5"]);
    assert!(answer.results[1].configs.len() > 1);
}

#[tokio::test]
async fn loggers_of_this_broker_are_described_as_in_kafka() {
    let broker = TestBroker::start();
    let all = request(vec![resource(8, "1", None)]).with_include_synonyms(true).with_include_documentation(true);
    let answer = broker.call(4, &all).await;
    assert_eq!(answer.results[0].configs.len(), LOGGERS.len());
    let answer = broker.call(4, &request(vec![resource(8, "1", Some(&["root", "nope"]))])).await;
    assert_eq!(show(&answer.results[0]), ["root=INFO 6"]);
    let root = &answer.results[0].configs[0];
    assert_eq!((root.config_type, root.documentation.as_deref(), root.synonyms.len()), (0, Some(""), 0));
}
