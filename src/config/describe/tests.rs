use super::*;
use crate::config::build::tests::config;

fn find(entries: Vec<Entry>, name: &str) -> Entry {
    entries.into_iter().find(|entry| entry.name == name).expect(name)
}

/// Synonyms as `name=value source`.
fn show(entry: &Entry) -> Vec<String> {
    let shown = |synonym: &Synonym| {
        format!("{}={} {:?}", synonym.name, synonym.value.as_deref().unwrap_or("null"), synonym.source)
    };
    entry.synonyms.iter().map(shown).collect()
}

#[test]
fn topic_settings_show_where_their_value_comes_from() {
    let config = config(&[("log.retention.hours", "1")]).expect("allowed");
    let inherited = find(topic(&config, "any", &BTreeMap::new()), "retention.ms");
    assert_eq!((inherited.value.as_deref(), inherited.source), (Some("3600000"), Source::StaticBroker));
    assert_eq!(show(&inherited), ["log.retention.hours=1 StaticBroker", "log.retention.hours=168 Default"]);

    let own = BTreeMap::from([("retention.ms".to_owned(), "9".to_owned())]);
    let set = find(topic(&config, "any", &own), "retention.ms");
    assert_eq!((set.value.as_deref(), set.source), (Some("9"), Source::Topic));
    assert_eq!(show(&set)[0], "retention.ms=9 Topic");

    let default = find(topic(&config, "any", &own), "max.message.bytes");
    assert_eq!((default.value.as_deref(), default.source), (Some("1048588"), Source::Default));
    let plain = find(topic(&config, "any", &own), "remote.storage.enable");
    assert_eq!((plain.value.as_deref(), plain.source, plain.synonyms), (Some("false"), Source::Default, vec![]));
}

#[test]
fn defaults_of_message_ids_are_shown_with_the_topics_that_they_are_for() {
    let mut config =
        config(&[("einmal.message.dedup.topics", "ord*"), ("einmal.message.dedup.mode", "window")]).expect("allowed");
    config.overrides.cluster.insert("einmal.message.dedup.window.ms".to_owned(), "6".to_owned());
    let own = BTreeMap::from([("message.dedup.window.ms".to_owned(), "9".to_owned())]);
    let mode = find(topic(&config, "orders", &own), "message.dedup.mode");
    assert_eq!((mode.value.as_deref(), mode.source), (Some("window"), Source::StaticBroker));
    assert_eq!(
        show(&mode),
        ["einmal.message.dedup.mode=window StaticBroker", "einmal.message.dedup.mode=none Default"]
    );
    let window = find(topic(&config, "orders", &own), "message.dedup.window.ms");
    assert_eq!((window.value.as_deref(), window.source), (Some("9"), Source::Topic));
    assert_eq!(show(&window)[1], "einmal.message.dedup.window.ms=6 DynamicDefaultBroker");
    let other = find(topic(&config, "payments", &own), "message.dedup.mode");
    assert_eq!((other.value.as_deref(), other.source, other.synonyms), (Some("none"), Source::Default, vec![]));
    let own_alone = find(topic(&config, "payments", &own), "message.dedup.window.ms");
    assert_eq!(show(&own_alone), ["message.dedup.window.ms=9 Topic"]);
}

#[test]
fn described_topic_values_are_those_in_force() {
    let config = config(&[("log.retention.minutes", "2"), ("message.max.bytes", "77")]).expect("allowed");
    for entry in topic(&config, "any", &BTreeMap::new()) {
        let mut rebuilt = config.topic_defaults.clone();
        rebuilt.set(&entry.name, entry.value.as_deref().expect("topic settings have values")).expect("allowed");
        assert_eq!(rebuilt, config.topic_defaults, "{}", entry.name);
    }
}

#[test]
fn broker_settings_show_all_places_strongest_first() {
    let mut config = config(&[("log.retention.ms", "5")]).expect("allowed");
    config.overrides.cluster.insert("log.retention.ms".to_owned(), "6".to_owned());
    config.overrides.node.insert("log.retention.ms".to_owned(), "7".to_owned());
    let entry = find(broker(&config, true), "log.retention.ms");
    assert_eq!((entry.value.as_deref(), entry.source, entry.read_only), (Some("7"), Source::DynamicBroker, false));
    assert_eq!(
        show(&entry),
        [
            "log.retention.ms=7 DynamicBroker",
            "log.retention.ms=6 DynamicDefaultBroker",
            "log.retention.ms=5 StaticBroker",
            "log.retention.hours=168 Default"
        ]
    );
    let hours = find(broker(&config, true), "log.retention.hours");
    assert_eq!((hours.value.as_deref(), hours.source), (Some("168"), Source::Default));
    assert_eq!(broker(&config, false).len(), 1);
}

#[test]
fn read_only_null_and_secret_settings_are_shown_as_such() {
    let config = config(&[("sasl.jaas.config", "secret"), ("node.id", "4")]).expect("allowed");
    let node = find(broker(&config, true), "node.id");
    assert_eq!((node.value.as_deref(), node.read_only, node.kind.code()), (Some("4"), true, 3));
    let unset = find(broker(&config, true), "cluster.id");
    assert_eq!((unset.value, unset.source), (None, Source::Default));
    let secret = find(broker(&config, true), "sasl.jaas.config");
    assert!(secret.sensitive && secret.value.is_none());
    assert_eq!(show(&secret), ["sasl.jaas.config=null StaticBroker"]);
}

/// Kafka UI reads the roles of a node from here.
#[test]
fn what_every_node_of_kafka_is_given_is_shown_as_given() {
    for (given, id, synonyms) in [
        (&[][..], "1", ["node.id=1 StaticBroker"]),
        (&[("node.id", "4")], "4", ["node.id=4 StaticBroker"]),
        (&[("broker.id", "4")], "4", ["node.id=4 StaticBroker"]),
    ] {
        let entries = broker(&config(given).expect("allowed"), true);
        let node = find(entries.clone(), "node.id");
        assert_eq!((node.value.as_deref(), show(&node)), (Some(id), synonyms.map(str::to_owned).to_vec()));
        let older = find(entries.clone(), "broker.id");
        let both = [format!("broker.id={id} StaticBroker"), "broker.id=-1 Default".to_owned()];
        assert_eq!((older.value.as_deref(), show(&older)), (Some(id), both.to_vec()));
        let roles = find(entries, "process.roles");
        assert_eq!((roles.value.as_deref(), roles.source), (Some("broker,controller"), Source::StaticBroker));
    }
}

#[test]
fn advertised_listeners_show_what_counts_for_them() {
    let (told, bound) =
        (("advertised.listeners", "PLAINTEXT://kafka.example:1"), ("listeners", "PLAINTEXT://localhost:9092"));
    for (given, value, source) in [
        (&[told, bound][..], told.1, Source::StaticBroker),
        (&[bound], bound.1, Source::StaticBroker),
        (&[], "PLAINTEXT://:9092", Source::Default),
    ] {
        let entries = broker(&config(given).expect("allowed"), true);
        let entry = find(entries, "advertised.listeners");
        assert_eq!((entry.value.as_deref(), entry.source), (Some(value), source));
        assert!(entry.read_only);
    }
}

/// What `kafka-reassign-partitions --throttle` sets, and what listeners have of their own: shown where it is set, as Kafka shows it.
#[test]
fn settings_of_other_brokers_and_of_listeners_are_shown_where_they_are_set() {
    const THROTTLE: &str = "leader.replication.throttled.rate";
    const CONNECTIONS: &str = "listener.name.plaintext.max.connections";
    let mut config = config(&[]).expect("allowed");
    let names = |config: &Config, node| broker(config, node).into_iter().map(|entry| entry.name).collect::<Vec<_>>();
    for name in [THROTTLE, CONNECTIONS] {
        assert!(!names(&config, true).contains(&name.into()), "{name}");
    }
    config.overrides.node.insert(THROTTLE.to_owned(), "7".to_owned());
    config.overrides.cluster.insert(CONNECTIONS.to_owned(), "9".to_owned());
    let throttle = find(broker(&config, true), THROTTLE);
    assert_eq!(show(&throttle), ["leader.replication.throttled.rate=7 DynamicBroker"]);
    assert_eq!((throttle.value.as_deref(), throttle.read_only, throttle.kind), (Some("7"), false, Kind::Long));
    let connections = find(broker(&config, true), CONNECTIONS);
    let own = "listener.name.plaintext.max.connections=9 DynamicDefaultBroker";
    assert_eq!(show(&connections), [own, "max.connections=15000 Default"]);
    assert_eq!(
        (connections.value.as_deref(), connections.read_only, connections.kind, connections.documentation),
        (Some("9"), true, Kind::Int, "")
    );
    assert_eq!(names(&config, false), [CONNECTIONS]);
    assert_eq!(show(&find(broker(&config, false), CONNECTIONS)), [own]);
    // What the table has a default for is always shown.
    assert_eq!(find(broker(&config, true), "log.cleaner.threads").value.as_deref(), Some("1"));
}
