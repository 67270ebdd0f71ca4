use super::*;

pub(in crate::config) fn config(pairs: &[(&str, &str)]) -> Result<Config, BuildError> {
    let given = pairs.iter().map(|(name, text)| ((*name).to_owned(), ((*text).to_owned(), Origin::File)));
    let surroundings = Surroundings { host_name: "here".to_owned(), skip_unserved_listeners: false };
    Config::build(given.collect(), BrokerOverrides::default(), &surroundings).map(|(config, _)| config)
}

fn built(pairs: &[(&str, &str)]) -> Config {
    config(pairs).expect("allowed")
}

#[test]
fn nothing_given_makes_the_default_configuration() {
    let config = built(&[]);
    assert_eq!((config.node_id, config.num_partitions, config.listeners.len()), (1, 1, 1));
    assert_eq!(config.topic_defaults, TopicConfig::default());
    assert_eq!(config.admin_listener, Some(([127, 0, 0, 1], 9644).into()));
    assert_eq!(config.request_frame_timeout, Duration::from_secs(30));
}

#[test]
fn older_names_stand_in_for_newer_ones() {
    assert_eq!(built(&[("broker.id", "7")]).node_id, 7);
    assert_eq!(built(&[("node.id", "0"), ("broker.id", "-1")]).node_id, 0);
    assert!(config(&[("node.id", "1"), ("broker.id", "2")]).is_err());
    assert_eq!(built(&[("log.dir", "/a")]).data_dir, PathBuf::from("/a"));
    assert_eq!(built(&[("log.dirs", "/b, /c"), ("log.dir", "/a")]).data_dir, PathBuf::from("/b"));
    assert!(config(&[("log.dirs", " , ")]).is_err());
}

#[test]
fn first_given_synonym_sets_the_topic_default() {
    let retention = |pairs: &[(&str, &str)]| built(pairs).topic_defaults.retention_ms;
    assert_eq!(retention(&[("log.retention.hours", "2")]), 7_200_000);
    assert_eq!(retention(&[("log.retention.hours", "2"), ("log.retention.minutes", "3")]), 180_000);
    assert_eq!(retention(&[("log.retention.hours", "2"), ("log.retention.ms", "5")]), 5);
    assert_eq!(retention(&[("log.retention.hours", "-1")]), -1);
    assert_eq!(built(&[("log.flush.scheduler.interval.ms", "0")]).topic_defaults.flush_ms, 0);
}

#[test]
fn admin_port_is_free_where_all_listeners_are() {
    let port = |pairs: &[(&str, &str)]| built(pairs).admin_listener.map(|address| address.port());
    assert_eq!(port(&[("listeners", "PLAINTEXT://127.0.0.1:0")]), Some(0));
    assert_eq!(port(&[("listeners", "PLAINTEXT://:0"), ("einmal.admin.listener", "127.0.0.1:5")]), Some(5));
    assert_eq!(port(&[("einmal.admin.listener", "off")]), None);
    assert_eq!(port(&[("einmal.admin.listener", "")]), None);
    assert!(config(&[("einmal.admin.listener", "9644")]).is_err());
}

#[test]
fn settings_without_a_field_are_checked_too() {
    assert!(config(&[("group.max.size", "many")]).is_err());
    assert!(config(&[("log.segment.bytes", "1")]).is_err());
}

#[test]
fn dynamic_settings_win_and_leave_listeners_alone() {
    let before = built(&[
        ("log.retention.ms", "5"),
        ("listeners", "A://h:1"),
        ("listener.security.protocol.map", "A:PLAINTEXT"),
    ]);
    let mut overrides = BrokerOverrides::default();
    overrides.cluster.insert("log.retention.ms".to_owned(), "6".to_owned());
    let after = before.with_overrides(overrides.clone()).expect("allowed");
    assert_eq!((after.topic_defaults.retention_ms, &after.listeners), (6, &before.listeners));
    overrides.node.insert("log.retention.ms".to_owned(), "7".to_owned());
    assert_eq!(before.with_overrides(overrides.clone()).expect("allowed").topic_defaults.retention_ms, 7);
    let subscription = [("interval.ms".to_owned(), "100".to_owned())].into();
    overrides.client_metrics.insert("all/of them".to_owned(), subscription);
    assert_eq!(BrokerOverrides::from_stored(&overrides.to_stored()), overrides);
}
