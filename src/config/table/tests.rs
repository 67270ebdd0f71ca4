use super::*;

#[test]
fn names_are_given_once() {
    for names in [names(broker_settings()), names(TOPICS.iter())] {
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), names.len());
    }
    assert!(TOPICS.is_sorted_by_key(|setting| setting.name));
}

fn names<'a>(settings: impl Iterator<Item = &'a Setting>) -> Vec<&'a str> {
    settings.map(|setting| setting.name).collect()
}

#[test]
fn every_default_is_an_allowed_value_as_it_is_kept() {
    for setting in broker_settings().chain(TOPICS) {
        if let Some(default) = setting.default {
            assert_eq!(setting.check(default).as_deref(), Ok(default), "{}", setting.name);
        }
    }
}

#[test]
fn every_setting_is_documented_in_sentences() {
    for setting in broker_settings().chain(TOPICS) {
        assert!(setting.documentation.ends_with('.'), "{}", setting.name);
        assert!(!setting.documentation.contains(['|', '\n']), "{}", setting.name);
    }
}

#[test]
fn synonyms_are_broker_settings_with_the_topics_default() {
    for topic in TOPICS {
        for synonym in topic.synonyms {
            let broker = broker(synonym.name).expect(synonym.name);
            assert_eq!(broker.honoured, topic.honoured, "{}", topic.name);
            if let (Some(default), 1) = (broker.default, synonym.factor) {
                assert_eq!(Some(default), topic.default, "{}", topic.name);
            }
        }
    }
}

#[test]
fn topic_table_is_that_of_kafka_4_3() {
    let of_kafka = TOPICS.iter().filter(|setting| !is_own(setting.name));
    assert_eq!(of_kafka.count(), 33);
    assert_eq!(topic("flush.messages").and_then(|setting| setting.default), Some("1"));
    assert_eq!(topic("retention.ms").and_then(|setting| setting.default), Some("604800000"));
}

fn check(setting: &str, text: &str, expected: Result<&str, &str>) {
    let setting = topic(setting).expect(setting);
    let checked = setting.check(text).map_err(|invalid| invalid.reason);
    assert_eq!(checked.as_deref().map_err(String::as_str), expected, "{text:?}");
}

#[test]
fn values_are_kept_or_refused_in_kafkas_words() {
    let r = "Invalid value";
    for (setting, text, expected) in [
        ("retention.ms", " 7 ", Ok("7")),
        ("retention.ms", "-1", Ok("-1")),
        ("retention.ms", "abc", Err("abc for configuration retention.ms: Not a number of type LONG")),
        ("retention.ms", "", Err(" for configuration retention.ms: Not a number of type LONG")),
        ("retention.ms", "-2", Err("-2 for configuration retention.ms: Value must be at least -1")),
        ("retention.bytes", "-5", Ok("-5")),
        (
            "min.cleanable.dirty.ratio",
            "2",
            Err("2.0 for configuration min.cleanable.dirty.ratio: Value must be no more than 1"),
        ),
        (
            "max.message.bytes",
            "99999999999",
            Err("99999999999 for configuration max.message.bytes: Not a number of type INT"),
        ),
        ("segment.bytes", "10", Err("10 for configuration segment.bytes: Value must be at least 1048576")),
        ("cleanup.policy", "compact, delete", Ok("compact, delete")),
        ("cleanup.policy", "", Ok("")),
        ("cleanup.policy", "foo", Err("foo for configuration cleanup.policy: String must be one of: compact, delete")),
        ("preallocate", " TRUE ", Ok("true")),
        ("preallocate", "yes", Err("yes for configuration preallocate: Expected value to be either true or false")),
        (
            "message.timestamp.type",
            "createtime",
            Err(
                "createtime for configuration message.timestamp.type: String must be one of: CreateTime, LogAppendTime",
            ),
        ),
        ("compression.gzip.level", "-1", Ok("-1")),
        (
            "compression.gzip.level",
            "0",
            Err("0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1"),
        ),
        (
            "compression.zstd.level",
            "23",
            Err("23 for configuration compression.zstd.level: Value must be no more than 22"),
        ),
        ("min.cleanable.dirty.ratio", "0.50", Ok("0.50")),
        (
            "min.cleanable.dirty.ratio",
            "1.5",
            Err("1.5 for configuration min.cleanable.dirty.ratio: Value must be no more than 1"),
        ),
        (
            "min.cleanable.dirty.ratio",
            "NaN",
            Err("NaN for configuration min.cleanable.dirty.ratio: Value must be at least 0"),
        ),
        ("leader.replication.throttled.replicas", "*", Ok("*")),
        ("leader.replication.throttled.replicas", "0:1,1:2", Ok("0:1,1:2")),
    ] {
        let refusal = expected.map_err(|rest| format!("{r} {rest}"));
        check(setting, text, refusal.as_ref().map(|kept| *kept).map_err(String::as_str));
    }
    assert!(topic("leader.replication.throttled.replicas").is_some_and(|setting| setting.check("10").is_err()));
}

#[test]
fn a_rate_of_compaction_is_above_zero() {
    let setting = broker("log.cleaner.io.max.bytes.per.second").expect("in the table");
    for (text, expected) in [
        ("1.5", Ok("1.5")),
        ("1.7976931348623157E308", Ok("1.7976931348623157E308")),
        (
            "0",
            Err(
                "Invalid value 0.0 for configuration log.cleaner.io.max.bytes.per.second: Value must be greater than 0",
            ),
        ),
        (
            "-1",
            Err(
                "Invalid value -1.0 for configuration log.cleaner.io.max.bytes.per.second: Value must be greater than 0",
            ),
        ),
        (
            "NaN",
            Err(
                "Invalid value NaN for configuration log.cleaner.io.max.bytes.per.second: Value must be greater than 0",
            ),
        ),
    ] {
        let checked = setting.check(text).map_err(|invalid| invalid.reason);
        assert_eq!(checked.as_deref().map_err(String::as_str), expected, "{text}");
    }
}

#[test]
fn passwords_are_hidden_in_refusals_and_kept_untrimmed() {
    let setting = broker("sasl.jaas.config").expect("in the table");
    assert_eq!(setting.check(" secret ").as_deref(), Ok(" secret "));
    assert!(setting.is_sensitive());
}

#[test]
fn misspelt_names_find_the_nearest_known_one() {
    for (name, expected) in [
        ("num.partition", Some("num.partitions")),
        ("listener", Some("listeners")),
        ("advertised.listener", Some("advertised.listeners")),
        ("log.retension.ms", Some("log.retention.ms")),
        ("einmal.admin.listner", Some("einmal.admin.listener")),
        ("num.io.thread", Some("num.io.threads")),
        ("xyz", None),
        ("completely.different.words", None),
    ] {
        assert_eq!(nearest_broker(name), expected, "{name}");
    }
}

#[test]
fn settings_of_other_parts_of_kafka_mean_nothing_here() {
    for name in [
        "zookeeper.connect",
        "controller.quorum.voters",
        "metric.reporters",
        "listener.name.sasl.plain.sasl.jaas.config",
    ] {
        assert!(is_ignored(name) && broker(name).is_none(), "{name}");
    }
    assert!(!is_ignored("num.partition"));
}
