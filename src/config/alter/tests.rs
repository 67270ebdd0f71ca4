use super::*;
use crate::config::build::tests::config;

fn change(name: &str, operation: Operation, value: &str) -> Change {
    Change { name: name.to_owned(), operation, value: Some(value.to_owned()) }
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn altered(current: &[(&str, &str)], changes: &[Change]) -> Result<BTreeMap<String, String>, String> {
    let config = config(&[]).expect("allowed");
    topic(&config, "any", &map(current), changes).map_err(|refused| refused.to_string())
}

#[test]
fn changes_make_a_whole_new_map() {
    use Operation::*;
    let current = &[("retention.ms", "5"), ("cleanup.policy", "compact")];
    for (changes, expected) in [
        (vec![change("retention.ms", Set, " 6 ")], map(&[("retention.ms", "6"), ("cleanup.policy", "compact")])),
        (vec![change("retention.ms", Delete, "")], map(&[("cleanup.policy", "compact")])),
        (vec![change("segment.ms", Delete, "")], map(current)),
        (
            vec![change("cleanup.policy", Append, "delete")],
            map(&[("retention.ms", "5"), ("cleanup.policy", "compact,delete")]),
        ),
        (vec![change("cleanup.policy", Append, "compact")], map(current)),
        (
            vec![change("cleanup.policy", Subtract, "delete,compact")],
            map(&[("retention.ms", "5"), ("cleanup.policy", "")]),
        ),
    ] {
        assert_eq!(altered(current, &changes), Ok(expected), "{changes:?}");
    }
    // Nothing is added, and the value in force becomes the topic's own, as in Kafka.
    for nothing in [change("cleanup.policy", Append, ","), change("cleanup.policy", Subtract, "")] {
        assert_eq!(altered(&[], &[nothing]), Ok(map(&[("cleanup.policy", "delete")])));
    }
    assert_eq!(
        altered(&[], &[change("cleanup.policy", Append, "compact,")]),
        Ok(map(&[("cleanup.policy", "delete,compact")]))
    );
    assert_eq!(
        altered(&[], &[change("leader.replication.throttled.replicas", Append, "")]),
        Ok(map(&[("leader.replication.throttled.replicas", "")]))
    );
    // Without a value of its own a list begins from the value in force.
    assert_eq!(
        altered(&[], &[change("cleanup.policy", Append, "compact")]),
        Ok(map(&[("cleanup.policy", "delete,compact")]))
    );
}

#[test]
fn refusals_speak_kafkas_words() {
    use Operation::*;
    for (changes, expected) in [
        (vec![change("nope", Set, "1")], "Unknown topic config name: nope"),
        (
            vec![change("retention.ms", Set, "x")],
            "Invalid value x for configuration retention.ms: Not a number of type LONG",
        ),
        (vec![change("cleanup.policy", Append, "")], "Configuration 'cleanup.policy' values must not be empty."),
        (vec![change("cleanup.policy", Append, " ")], "Configuration 'cleanup.policy' values must not be empty."),
        (
            vec![change("cleanup.policy", Append, ",compact")],
            "Configuration 'cleanup.policy' values must not be empty.",
        ),
        (vec![change("cleanup.policy", Set, "compact,")], "Configuration 'cleanup.policy' values must not be empty."),
        (vec![change("retention.ms", Append, "1")], "Can't APPEND to key retention.ms because its type is not LIST."),
        (
            vec![change("retention.ms", Subtract, "1")],
            "Can't SUBTRACT to key retention.ms because its type is not LIST.",
        ),
        (
            vec![change("retention.ms", Set, "1"), change("retention.ms", Set, "2")],
            "Error due to duplicate config keys",
        ),
        (
            vec![Change { name: "retention.ms".to_owned(), operation: Set, value: None }],
            "Null value not supported for : retention.ms",
        ),
    ] {
        assert_eq!(altered(&[], &changes), Err(expected.to_owned()));
    }
}

#[test]
fn what_is_not_known_can_be_deleted() {
    assert_eq!(altered(&[], &[change("nope", Operation::Delete, "")]), Ok(map(&[])));
    assert_eq!(altered(&[("gone", "1")], &[change("gone", Operation::Delete, "")]), Ok(map(&[])));
}

#[test]
fn broker_settings_change_only_where_they_are_dynamic() {
    let config = config(&[]).expect("allowed");
    let set = |name: &str, value: &str| broker(&config, true, &[change(name, Operation::Set, value)]);
    let changed = set("log.retention.ms", "7").expect("dynamic");
    assert_eq!(changed.node, map(&[("log.retention.ms", "7")]));
    let refused = |name: &str, value: &str| set(name, value).expect_err(name).to_string();
    assert_eq!(refused("node.id", "7"), "Cannot update these configs dynamically: [node.id]");
    assert_eq!(refused("log.retension.ms", "7"), "Unknown broker config name: log.retension.ms");
    assert!(refused("log.retention.ms", "x").starts_with("Invalid value x"));
}

/// Kafka's tools set them on running brokers, `kafka-reassign-partitions --throttle` the first.
#[test]
fn what_kafka_changes_while_it_runs_is_taken_also_where_it_means_nothing() {
    let config = config(&[]).expect("allowed");
    for (name, value, expected) in [
        ("leader.replication.throttled.rate", "1000", Ok("1000")),
        ("follower.replication.throttled.rate", "-1", Err("Value must be at least 0")),
        ("replica.alter.log.dirs.io.max.bytes.per.second", "x", Err("Not a number of type LONG")),
        ("log.cleaner.threads", " 2 ", Ok("2")),
        ("num.replica.fetchers", "0", Err("Value must be at least 1")),
        ("max.connections.per.ip.overrides", "127.0.0.1:5", Ok("127.0.0.1:5")),
        ("remote.log.manager.copy.max.bytes.per.second", "5", Ok("5")),
        ("transaction.partition.verification.enable", "false", Ok("false")),
        ("listener.name.plaintext.max.connections", "5", Ok("5")),
        ("listener.name.plaintext.max.connections", "x", Err("for configuration max.connections: Not a number of")),
        ("listener.name.other.max.connections", "5", Err("Cannot update these configs dynamically: [listener.name.")),
        // Protection that would not be there, and what Kafka does not change either.
        ("listener.name.plaintext.ssl.keystore.location", "x", Err("Cannot update these configs dynamically")),
        ("ssl.keystore.location", "x", Err("Cannot update these configs dynamically: [ssl.keystore.location]")),
        ("auto.leader.rebalance.enable", "false", Err("Cannot update these configs dynamically: [auto.")),
    ] {
        let given = [(name.to_owned(), Some(value.to_owned()))];
        for outcome in
            [broker(&config, true, &[change(name, Operation::Set, value)]), replace_broker(&config, true, &given)]
        {
            match (outcome, expected) {
                (Ok(overrides), Ok(kept)) => assert_eq!(overrides.node, map(&[(name, kept)])),
                (Err(refused), Err(reason)) => assert!(refused.to_string().contains(reason), "{name}: {refused}"),
                (outcome, _) => panic!("{name}: {outcome:?}"),
            }
        }
    }
}

#[test]
fn creation_rates_of_listeners_change_while_running() {
    const NAME: &str = "listener.name.plaintext.max.connection.creation.rate";
    let before = config(&[(NAME, "7")]).expect("allowed");
    let rate = |config: &Config| config.listener_connection_creation_rates.get("PLAINTEXT").copied();
    let changed = broker(&before, true, &[change(NAME, Operation::Set, "9")]).expect("dynamic");
    let after = before.with_overrides(changed).expect("allowed");
    assert_eq!((rate(&before), rate(&after)), (Some(7), Some(9)));
}

#[test]
fn replacing_forgets_what_is_not_named() {
    let mut before = config(&[]).expect("allowed");
    before.overrides.cluster = map(&[("log.retention.ms", "1")]);
    before.overrides.node = map(&[("log.retention.ms", "2")]);
    let given = [("message.max.bytes".to_owned(), Some("9".to_owned()))];
    let after = replace_broker(&before, false, &given).expect("dynamic");
    assert_eq!((after.cluster, after.node), (map(&[("message.max.bytes", "9")]), map(&[("log.retention.ms", "2")])));
    assert_eq!(replace_topic(&[("retention.ms".to_owned(), Some("9".to_owned()))]), Ok(map(&[("retention.ms", "9")])));
}

/// What a running broker goes by as it is at the moment: the defaults of topics, the server's limits of connections, the cleaner's
/// settings (`dynamic_settings.rs` sees these two at work), and how long idle producers are known.
fn looked_at(config: &Config) -> impl PartialEq + std::fmt::Debug {
    let connections = (config.connections_max, config.connections_max_per_ip, config.connection_creation_rate_max);
    let cleaner =
        (config.log_cleaner_backoff, config.log_cleaner_dedupe_buffer_bytes, config.log_cleaner_bytes_per_second);
    (config.topic_defaults.clone(), connections, cleaner, config.producer_id_expiration)
}

#[test]
fn dynamic_settings_are_those_whose_change_takes_effect() {
    let before = config(&[]).expect("allowed");
    for setting in table::broker_settings().filter(|setting| setting.honoured && setting.update == Update::ClusterWide)
    {
        let other = match setting.valid {
            crate::config::table::Valid::OneOf(values) => {
                values.iter().copied().find(|value| Some(*value) != setting.default).expect("a choice")
            }
            crate::config::table::Valid::Ratio | crate::config::table::Valid::Positive => "0.25",
            _ => ["17", "7", "77", "true", "header:x", "a,b", "7777777", "User:x"]
                .into_iter()
                .find(|value| broker(&before, true, &[change(setting.name, Operation::Set, value)]).is_ok())
                .expect("a choice"),
        };
        let changed = broker(&before, true, &[change(setting.name, Operation::Set, other)]).expect(setting.name);
        let after = before.with_overrides(changed).expect(setting.name);
        assert_ne!(looked_at(&after), looked_at(&before), "{} changes nothing", setting.name);
    }
}
