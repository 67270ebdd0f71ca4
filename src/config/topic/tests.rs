use super::*;

fn overrides(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn defaults_are_kafkas_but_for_the_sync() {
    let config = TopicConfig::default();
    assert_eq!(
        config,
        TopicConfig {
            compact: false,
            delete: true,
            max_message_bytes: 1_048_588,
            message_timestamp_type: TimestampType::CreateTime,
            message_timestamp_before_max_ms: i64::MAX,
            message_timestamp_after_max_ms: 3_600_000,
            flush_messages: 1,
            flush_ms: i64::MAX,
            retention_ms: 604_800_000,
            retention_bytes: -1,
            delete_retention_ms: 86_400_000,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            min_cleanable_dirty_ratio: 0.5,
            compression_type: None,
            compression_gzip_level: -1,
            compression_zstd_level: 3,
            dedup: None,
            dedup_defaults: DedupDefaults::default(),
        }
    );
    assert!(!config.is_relaxed());
}

#[test]
fn overrides_win_over_the_brokers_defaults() {
    let defaults = TopicConfig { retention_ms: 5, max_message_bytes: 7, ..TopicConfig::default() };
    let given = overrides(&[
        ("cleanup.policy", "compact,delete"),
        ("compression.type", "zstd"),
        ("compression.zstd.level", "-7"),
        ("flush.messages", "9223372036854775807"),
        ("message.timestamp.type", "LogAppendTime"),
        ("retention.ms", " 9 "),
        ("min.insync.replicas", "3"),
    ]);
    let resolved = TopicConfig::resolve(&defaults, "any", &given).expect("allowed");
    let expected = TopicConfig {
        compact: true,
        delete: true,
        compression_type: Some(CompressionType::Zstd),
        compression_zstd_level: -7,
        flush_messages: i64::MAX,
        message_timestamp_type: TimestampType::LogAppendTime,
        retention_ms: 9,
        max_message_bytes: 7,
        ..TopicConfig::default()
    };
    assert_eq!(resolved, expected);
    assert!(resolved.is_relaxed());
}

#[test]
fn zero_flush_ms_keeps_a_topic_synced() {
    let given = overrides(&[("flush.messages", "100"), ("flush.ms", "0")]);
    assert!(!TopicConfig::resolve(&TopicConfig::default(), "any", &given).expect("allowed").is_relaxed());
}

#[test]
fn unknown_and_contradicting_settings_are_refused_in_kafkas_words() {
    let reason = |pairs: &[(&str, &str)]| validate(&overrides(pairs)).map_err(|invalid| invalid.reason);
    assert_eq!(reason(&[("foo.bar", "1")]), Err("Unknown topic config name: foo.bar".to_owned()));
    assert_eq!(
        reason(&[("min.compaction.lag.ms", "10"), ("max.compaction.lag.ms", "5")]),
        Err("conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)".to_owned())
    );
    assert!(reason(&[("min.compaction.lag.ms", "10")]).is_ok());
    assert!(TopicConfig::resolve(&TopicConfig::default(), "any", &overrides(&[("retention.ms", "x")])).is_err());
}

#[test]
fn tiered_storage_is_refused_as_kafka_refuses_it_where_it_is_off() {
    let refused = validate(&overrides(&[("remote.storage.enable", "TRUE")])).expect_err("refused");
    assert!(refused.reason.starts_with("Tiered Storage functionality is disabled in the broker."), "{refused}");
    validate(&overrides(&[("remote.storage.enable", "false")])).expect("the default");
}

#[test]
fn settings_of_a_topic_have_a_limit_together_that_does_not_touch_what_is_stored() {
    let replicas = |bytes: usize| {
        let text = "0:1,".repeat(bytes / 4);
        assert_eq!(text.len(), bytes);
        text
    };
    let of = |leader: usize, follower: usize, headers: usize| {
        let headers = format!("h{}", "x".repeat(headers - 1));
        overrides(&[
            ("leader.replication.throttled.replicas", &replicas(leader)),
            ("follower.replication.throttled.replicas", &replicas(follower)),
            ("message.dedup.id.headers", &headers),
        ])
    };
    let names = "leader.replication.throttled.replicas".len()
        + "follower.replication.throttled.replicas".len()
        + "message.dedup.id.headers".len();
    let most = of(30_000, 30_000, SETTINGS_BYTES_MAX - 60_000 - names);
    let more = of(30_000, 30_000, SETTINGS_BYTES_MAX - 60_000 - names + 1);
    assert_eq!(bytes_of(&most), SETTINGS_BYTES_MAX);
    assert_eq!(judge(&BTreeMap::new(), &most).as_ref(), Ok(&most));
    let refused = judge(&most, &more).expect_err("one byte more");
    assert!(refused.reason.contains("65536 bytes together, and these have 65537"), "{refused}");
    assert_eq!(refused.name, "follower.replication.throttled.replicas");
    // What is there already is loaded, and may become less in steps.
    TopicConfig::resolve(&TopicConfig::default(), "any", &more).expect("stored before");
    let most_of_old = of(32_000, 32_000, 20_000);
    judge(&most_of_old, &of(32_000, 32_000, 19_000)).expect("less than before");
    judge(&most_of_old, &of(32_000, 32_000, 20_001)).expect_err("more than before");
}
