use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource as ToReplace, AlterableConfig as Given};
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource as ToChange, AlterableConfig as ConfigToChange,
};

use futures_util::StreamExt;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::{DescribeConfigsRequest, ListConfigResourcesRequest};

use super::*;
use crate::api::testing::{TestBroker, text};
use crate::config::loggers::Levels;
use crate::store::Store as _;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

type ConfigChange<'a> = (&'a str, i8, Option<&'a str>);

fn to_change(resource_type: i8, name: &str, changes: &[ConfigChange<'_>]) -> ToChange {
    let configs = changes.iter().map(|(name, operation, value)| {
        ConfigToChange::default().with_name(text(name)).with_config_operation(*operation).with_value(value.map(text))
    });
    ToChange::default().with_resource_type(resource_type).with_resource_name(text(name)).with_configs(configs.collect())
}

fn incremental(resources: Vec<ToChange>) -> IncrementalAlterConfigsRequest {
    IncrementalAlterConfigsRequest::default().with_resources(resources)
}

fn to_replace(resource_type: i8, name: &str, given: &[(&str, Option<&str>)]) -> ToReplace {
    let configs = given.iter().map(|(name, value)| Given::default().with_name(text(name)).with_value(value.map(text)));
    ToReplace::default()
        .with_resource_type(resource_type)
        .with_resource_name(text(name))
        .with_configs(configs.collect())
}

/// `error message`.
fn show(answer: &IncrementalAlterConfigsResponse) -> Vec<String> {
    let message = |of: &Changed| of.error_message.as_ref().map_or("-".into(), |text| text.to_string());
    answer.responses.iter().map(|of| format!("{} {}", of.error_code, message(of))).collect()
}

fn own_settings(broker: &TestBroker, topic: &str) -> Vec<String> {
    let topic = broker.cx.broker.catalog.topic(topic).expect("there");
    topic.overrides.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

#[tokio::test]
async fn refusals_speak_kafkas_words_and_change_nothing() {
    let broker = TestBroker::start();
    broker.create_topic_with("t", 1, &[("retention.ms", "5")]).await;
    for (resource_type, name, changes, expected) in [
        (
            TOPIC,
            "unknown",
            &[("retention.ms", SET, Some("1"))] as &[ConfigChange<'_>],
            "3 The topic 'unknown' does not exist.",
        ),
        (TOPIC, "", &[], "42 Default topic resources are not allowed."),
        (
            TOPIC,
            "a/b",
            &[],
            "17 Topic name is invalid: 'a/b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
        ),
        (TOPIC, "t", &[("retention.ms", 9, Some("1"))], "42 Unknown operation type 9"),
        (TOPIC, "t", &[("retention.ms", SET, None)], "42 Null value not supported for : retention.ms"),
        (
            TOPIC,
            "t",
            &[("retention.ms", SET, Some("1")), ("retention.ms", DELETE, None)],
            "42 Error due to duplicate config keys",
        ),
        (
            TOPIC,
            "t",
            &[("retention.ms", APPEND, Some("1"))],
            "40 Can't APPEND to key retention.ms because its type is not LIST.",
        ),
        (
            TOPIC,
            "t",
            &[("retention.ms", SUBTRACT, Some("1"))],
            "40 Can't SUBTRACT to key retention.ms because its type is not LIST.",
        ),
        (TOPIC, "t", &[("no.such", SET, Some("1"))], "40 Unknown topic config name: no.such"),
        (
            TOPIC,
            "t",
            &[("cleanup.policy", SET, Some("compact")), ("retention.ms", SET, Some("x"))],
            "40 Invalid value x for configuration retention.ms: Not a number of type LONG",
        ),
        (BROKER, "1", &[("node.id", SET, Some("3"))], "42 Cannot update these configs dynamically: [node.id]"),
        (BROKER, "", &[("node.id", SET, Some("3"))], "42 Cannot update these configs dynamically: [node.id]"),
        (
            BROKER,
            "1",
            &[("log.retention.ms", SET, Some("x"))],
            "42 Invalid value x for configuration log.retention.ms: Not a number of type LONG",
        ),
        (BROKER, "7", &[], "42 Unexpected broker id, expected 1, but received 7"),
        (BROKER, "01", &[], "42 Unexpected broker id, expected 1, but received 01"),
        (BROKER, "abc", &[], "42 Node id must be an integer, but it is: abc"),
        (
            LOGGER,
            "1",
            &[("root", APPEND, Some("INFO"))],
            "42 APPEND operation is not allowed for the BROKER_LOGGER resource",
        ),
        (LOGGER, "1", &[("root", DELETE, None)], "42 Removing the log level of the root logger is not allowed"),
        (LOGGER, "1", &[("root", SET, Some("DEBUG")), ("nope", SET, Some("INFO"))], "40 Logger nope does not exist!"),
        (
            LOGGER,
            "1",
            &[("root", SET, Some("OFF"))],
            "40 Cannot set the log level of root to OFF as it is not a supported log level. Valid log levels are DEBUG, ERROR, \
             FATAL, INFO, TRACE, WARN",
        ),
        (LOGGER, "", &[("root", SET, Some("INFO"))], "42 Node id must be an integer, but it is: "),
        (LOGGER, "abc", &[], "42 Node id must be an integer, but it is: abc"),
        (LOGGER, "7", &[], "42 Unexpected node id. Expected 1, but received 7"),
        (77, "x", &[], "42 Unknown resource type 77"),
    ] {
        for version in [0, 1] {
            let request = incremental(vec![to_change(resource_type, name, changes)]);
            assert_eq!(show(&broker.call(version, &request).await), [expected]);
        }
    }
    assert_eq!(broker.cx.broker.loggers.levels(), Levels::of("info"));
    assert_eq!(own_settings(&broker, "t"), ["retention.ms=5"]);
    assert_eq!(broker.cx.broker.config.load().overrides, BrokerOverrides::default());
}

#[tokio::test]
async fn a_topic_takes_only_so_much_of_settings() {
    let broker = TestBroker::start();
    broker.create_topic("t", 1).await;
    let long = "0:1,".repeat(8_000);
    let set = |name| (name, SET, Some(long.as_str()));
    let (leader, follower) =
        (set("leader.replication.throttled.replicas"), set("follower.replication.throttled.replicas"));
    let headers = "h".repeat(2_000);
    let third = ("message.dedup.id.headers", SET, Some(headers.as_str()));
    for (changes, expected) in [(vec![leader], 0), (vec![follower, third], 40), (vec![follower], 0), (vec![third], 40)]
    {
        let answer = broker.call(1, &incremental(vec![to_change(TOPIC, "t", &changes)])).await;
        assert_eq!(answer.responses[0].error_code, expected, "{:?}", show(&answer));
    }
    assert_eq!(own_settings(&broker, "t").len(), 2);
    let given = [leader, follower, third].map(|(name, _, value)| (name, value));
    let replace = AlterConfigsRequest::default().with_resources(vec![to_replace(TOPIC, "t", &given)]);
    assert_eq!(broker.call(2, &replace).await.responses[0].error_code, 40);
}

#[tokio::test]
async fn changes_of_a_topic_are_in_force_before_the_answer() {
    let broker = TestBroker::start();
    broker.create_topic_with("t", 1, &[("retention.ms", "5"), ("segment.ms", "6")]).await;
    let changes = [
        ("retention.ms", DELETE, None),
        ("no.such", DELETE, None),
        ("max.message.bytes", SET, Some(" 77 ")),
        ("cleanup.policy", APPEND, Some("compact")),
    ];
    let request = incremental(vec![to_change(TOPIC, "t", &changes)]);
    assert_eq!(show(&broker.call(1, &request.clone().with_validate_only(true)).await), ["0 -"]);
    assert_eq!(own_settings(&broker, "t"), ["retention.ms=5", "segment.ms=6"]);
    assert_eq!(show(&broker.call(1, &request).await), ["0 -"]);
    assert_eq!(own_settings(&broker, "t"), ["cleanup.policy=delete,compact", "max.message.bytes=77", "segment.ms=6"]);
    let config = &broker.cx.broker.catalog.topic("t").unwrap().config;
    assert_eq!((config.max_message_bytes, config.compact, config.delete), (77, true, true));
    let request = incremental(vec![to_change(TOPIC, "t", &[("cleanup.policy", SUBTRACT, Some("delete"))])]);
    assert_eq!(show(&broker.call(0, &request).await), ["0 -"]);
    assert!(!broker.cx.broker.catalog.topic("t").unwrap().config.delete);
}

#[tokio::test]
async fn replacing_forgets_what_is_not_named() {
    let broker = TestBroker::start();
    for version in 0..=2 {
        let name = format!("t{version}");
        broker.create_topic_with(&name, 1, &[("retention.ms", "5"), ("segment.ms", "6")]).await;
        let replaced = to_replace(TOPIC, &name, &[("retention.ms", Some("7"))]);
        let request = AlterConfigsRequest::default().with_resources(vec![replaced]);
        let validated = broker.call(version, &request.clone().with_validate_only(true)).await;
        assert_eq!((validated.responses[0].error_code, &validated.responses[0].error_message), (0, &None));
        assert_eq!(own_settings(&broker, &name), ["retention.ms=5", "segment.ms=6"]);
        broker.call(version, &request).await;
        assert_eq!(own_settings(&broker, &name), ["retention.ms=7"]);
        let bad = to_replace(TOPIC, &name, &[("retention.ms", None)]);
        let answer = broker.call(version, &AlterConfigsRequest::default().with_resources(vec![bad])).await;
        assert_eq!(answer.responses[0].error_code, 42);
        assert_eq!(own_settings(&broker, &name), ["retention.ms=7"]);
    }
}

#[tokio::test]
async fn a_resource_named_twice_is_refused_both_times_and_others_are_changed() {
    let broker = TestBroker::start();
    for name in ["twice", "once"] {
        broker.create_topic(name, 1).await;
    }
    let set = [("retention.ms", SET, Some("5"))];
    let names = ["twice", "once", "twice"];
    let request = incremental(names.iter().map(|name| to_change(TOPIC, name, &set)).collect());
    let twice = "42 Each resource must appear at most once.";
    assert_eq!(show(&broker.call(1, &request).await), [twice, "0 -", twice]);
    assert_eq!((own_settings(&broker, "twice").len(), own_settings(&broker, "once").len()), (0, 1));

    let replaced = names.iter().map(|name| to_replace(TOPIC, name, &[("retention.ms", Some("6"))]));
    let answer = broker.call(2, &AlterConfigsRequest::default().with_resources(replaced.collect())).await;
    let errors: Vec<_> = answer.responses.iter().map(|of| of.error_code).collect();
    assert_eq!(errors, [42, 0, 42]);
    assert_eq!(own_settings(&broker, "once"), ["retention.ms=6"]);
}

#[tokio::test]
async fn broker_settings_reach_topics_without_their_own() {
    let broker = TestBroker::start();
    broker.create_topic("plain", 1).await;
    broker.create_topic_with("own", 1, &[("max.message.bytes", "11")]).await;
    let bytes_max = |name| broker.cx.broker.catalog.topic(name).unwrap().config.max_message_bytes;
    for (resource, value, expected) in [("", "100", 100), ("1", "200", 200)] {
        let request = incremental(vec![to_change(BROKER, resource, &[("message.max.bytes", SET, Some(value))])]);
        assert_eq!(show(&broker.call(1, &request.clone().with_validate_only(true)).await), ["0 -"]);
        assert_ne!(bytes_max("plain"), expected);
        assert_eq!(show(&broker.call(1, &request).await), ["0 -"]);
        assert_eq!((bytes_max("plain"), bytes_max("own")), (expected, 11));
    }
    let request = incremental(vec![to_change(BROKER, "1", &[("message.max.bytes", DELETE, None)])]);
    assert_eq!(show(&broker.call(1, &request).await), ["0 -"]);
    assert_eq!((bytes_max("plain"), bytes_max("own")), (100, 11));
}

#[tokio::test]
async fn changes_that_arrive_together_are_all_kept() {
    let broker = TestBroker::start();
    broker.create_topic("t", 1).await;
    let change = |resource_type, name, setting| {
        broker.send(1, &incremental(vec![to_change(resource_type, name, &[(setting, SET, Some("100"))])]))
    };
    // Each is judged on the settings that the one before it left: on one thread all begin before the first is stored.
    let topic =
        [change(TOPIC, "t", "retention.ms"), change(TOPIC, "t", "flush.ms"), change(TOPIC, "t", "retention.bytes")];
    let mut answers: futures_util::stream::FuturesUnordered<_> = topic.into_iter().collect();
    while let Some(answer) = answers.next().await {
        answer.expect("answered");
    }
    assert_eq!(own_settings(&broker, "t"), ["flush.ms=100", "retention.bytes=100", "retention.ms=100"]);
}

/// A subscription's settings as DescribeConfigs shows them, `name=value source`, and all subscriptions by ListConfigResources.
async fn subscription(broker: &TestBroker, name: &str) -> (Vec<String>, Vec<String>) {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(CLIENT_METRICS)
        .with_resource_name(text(name))
        .with_configuration_keys(None);
    let described = broker.call(4, &DescribeConfigsRequest::default().with_resources(vec![resource])).await;
    let entries = described.results[0].configs.iter().map(|entry| {
        format!("{}={} {}", entry.name.as_str(), entry.value.as_ref().expect("text").as_str(), entry.config_source)
    });
    let listed = broker.call(0, &ListConfigResourcesRequest::default()).await;
    let listed = listed.config_resources.iter().map(|of| of.resource_name.to_string());
    (entries.collect(), listed.collect())
}

#[tokio::test]
async fn settings_of_a_group_are_kept_unless_they_are_to_be_validated_only() {
    let broker = TestBroker::start();
    let name = "consumer.session.timeout.ms";
    let change = incremental(vec![to_change(GROUP, "g", &[(name, SET, Some("45001"))])]);
    let replaced = to_replace(GROUP, "g", &[(name, Some("45002"))]);
    let replace = AlterConfigsRequest::default().with_resources(vec![replaced]);
    let own = || broker.cx.broker.coordinator.configs("g").into_values().collect::<Vec<_>>();
    for (validate_only, changed, replaced) in [(true, None, None), (false, Some("45001"), Some("45002"))] {
        assert_eq!(show(&broker.call(1, &change.clone().with_validate_only(validate_only)).await), ["0 -"]);
        assert_eq!(own(), Vec::from_iter(changed));
        let answer = broker.call(2, &replace.clone().with_validate_only(validate_only)).await;
        assert_eq!(answer.responses[0].error_code, 0, "{:?}", answer.responses[0].error_message);
        assert_eq!(own(), Vec::from_iter(replaced));
    }
}

#[tokio::test]
async fn subscriptions_to_client_metrics_are_kept_over_restarts_until_they_are_empty() {
    let store = std::sync::Arc::new(crate::store::memory::MemoryStore::new());
    let broker = TestBroker::over(store.clone(), &[("einmal.client.metrics.bytes.max", "100")]);
    let change = |name: &str, changes: &[ConfigChange<'_>]| incremental(vec![to_change(CLIENT_METRICS, name, changes)]);
    let set = change("a/b", &[("interval.ms", SET, Some("100")), ("metrics", SET, Some("*"))]);
    assert_eq!(show(&broker.call(1, &set.clone().with_validate_only(true)).await), ["0 -"]);
    assert_eq!(subscription(&broker, "a/b").await.1, [""; 0]);
    assert_eq!(show(&broker.call(1, &set).await), ["0 -"]);
    let entries = ["interval.ms=100 7", "match= 5", "metrics=* 7"];
    assert_eq!(subscription(&broker, "a/b").await, (entries.map(str::to_owned).to_vec(), vec!["a/b".to_owned()]));
    let stored = crate::engine::Engine::stored_broker_overrides(store.as_ref()).expect("read");
    assert_eq!(BrokerOverrides::from_stored(&stored), broker.cx.broker.config.load().overrides);

    let long = "x".repeat(100);
    for (name, changes, expected) in [
        ("", &[("metrics", SET, Some("*"))] as &[ConfigChange<'_>], "42 Subscription name can't be empty"),
        ("a/b", &[("nope", SET, Some("1"))], "42 Unknown client metrics configuration: nope"),
        ("a/b", &[("metrics", APPEND, Some("x"))], "40 Can't APPEND to key metrics because its type is not LIST."),
        ("c", &[("metrics", SET, Some(&long))], "42 subscriptions would exceed einmal.client.metrics.bytes.max=100"),
    ] {
        assert_eq!(show(&broker.call(1, &change(name, changes)).await), [expected]);
    }
    let replaced = to_replace(CLIENT_METRICS, "a/b", &[("metrics", Some("z"))]);
    broker.call(2, &AlterConfigsRequest::default().with_resources(vec![replaced])).await;
    assert_eq!(subscription(&broker, "a/b").await.0, ["interval.ms=300000 5", "match= 5", "metrics=z 7"]);
    let delete = change("a/b", &[("metrics", DELETE, None), ("never.there", DELETE, None)]);
    assert_eq!(show(&broker.call(1, &delete).await), ["0 -"]);
    assert_eq!(subscription(&broker, "a/b").await.1, [""; 0]);
    // What changes nothing costs no write: a request may name a hundred thousand such.
    let written = store.sequence();
    assert_eq!(show(&broker.call(1, &delete).await), ["0 -"]);
    assert_eq!(store.sequence(), written);
}
