use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;

use super::super::exposition::family_names;
use super::*;
use crate::config::TopicConfig;
use crate::log::catalog::{Topic, Traffic};
use crate::log::offsets::CommittedOffset;
use crate::log::partition::{Partition, Recovered};
use crate::metrics::Source;
use crate::store::Rows;
use crate::store::memory::MemoryStore;
use crate::store::schema::LogKey;
use crate::types::{LeaderEpoch, PartitionId, ProducerEpoch, ProducerId, TopicNo, Uuid};

pub(in crate::telemetry) fn topic(no: u32, name: &str, bytes_in: u64) -> Topic {
    let traffic = Traffic { bytes_in: AtomicU64::new(bytes_in), ..Traffic::default() };
    let config = TopicConfig { flush_messages: if name == "relaxed" { 2 } else { 1 }, ..TopicConfig::default() };
    let (id, name) = (Uuid::from_u128(no.into()), Arc::from(name));
    let overrides = Default::default();
    Topic { no: TopicNo(no), name, id, partitions: Vec::new(), overrides, config, traffic: Arc::new(traffic) }
}

fn topics(names: &[&str]) -> Topics {
    let mut topics = Topics::default();
    for (no, name) in (1..).zip(names) {
        let topic = Arc::new(topic(no, name, u64::from(no)));
        topics.by_name.insert(topic.name.clone(), topic);
    }
    topics
}

pub(in crate::telemetry) fn observing(
    catalog: Arc<Catalog>,
    offsets: Arc<CommittedOffsets>,
    store: Arc<dyn Store>,
    series_max: usize,
) -> Collector {
    let (disk_low, open_transactions, sync_under_way) = Default::default();
    let (busy, clients, phases, senders) = Default::default();
    let sources = Sources {
        catalog,
        offsets,
        coordinator: None,
        store,
        disk_low,
        open_transactions,
        busy,
        sync_under_way,
        clients,
        phases,
        senders,
    };
    let settings = Settings {
        data_dir: PathBuf::from("/data"),
        series_max,
        level: Level::Topic,
        compat: vec![Dialect::KafkaExporter, Dialect::Jmx],
        fsync_disabled: false,
        node_id: 1,
        advertised: "localhost:9092".to_owned(),
        transaction_timeout_max: Duration::from_secs(900),
    };
    Collector::new(sources, settings)
}

fn page_of(recorded: &str, collector: &Collector) -> String {
    page(recorded.to_owned(), Some(collector), &RuntimeFigures::default())
}

fn collector(names: &[&str], series_max: usize) -> Collector {
    let catalog = Arc::new(Catalog::default());
    catalog.publish(Arc::new(topics(names)));
    observing(catalog, Arc::default(), Arc::new(MemoryStore::new()), series_max)
}

/// The values of the samples that begin with `series`.
fn values(text: &str, series: &str) -> Vec<f64> {
    let samples = text.lines().filter(|line| line.starts_with(series));
    samples.map(|line| line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect(line)).collect()
}

/// Asserts the rules of the text format: heads before samples, families whole and once, samples that parse.
fn check_format(text: &str) {
    let mut families = BTreeSet::new();
    let mut current = String::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            current = rest.split(' ').next().expect("a name").to_owned();
            assert!(families.insert(current.clone()), "{current} comes twice");
            assert!(rest.len() > current.len() + 1, "{current} has no help");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert_eq!(rest.split(' ').next(), Some(current.as_str()));
        } else {
            let (series, value) = line.rsplit_once(' ').expect(line);
            let name = series.split('{').next().expect("a name");
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
            assert!(name == current || base == Some(current.as_str()), "{line} stands under {current}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
}

#[test]
fn every_family_of_the_catalogue_appears_once_in_a_valid_page() {
    let recorder =
        "# HELP einmal_panics_total Panics caught\n# TYPE einmal_panics_total counter\neinmal_panics_total 0\n\n";
    let text = page_of(recorder, &collector(&["a", "b\"\\"], 10));
    check_format(&text);
    let named: BTreeSet<&str> = family_names(&text).collect();
    for family in FAMILIES {
        assert!(named.contains(family.name), "{} is missing", family.name);
    }
    for family in compat::FAMILIES {
        assert!(named.contains(family.name), "{} is missing", family.name);
    }
    assert_eq!(named.len(), FAMILIES.len() + compat::FAMILIES.len());
}

#[test]
fn topics_have_series_while_they_exist() {
    let collector = collector(&["a", "relaxed"], 10);
    let text = page_of("", &collector);
    assert_eq!(values(&text, "einmal_topic_bytes_in_total{topic=\"a\"}"), [1.0]);
    assert_eq!(values(&text, "einmal_topics "), [2.0]);
    assert_eq!(values(&text, "einmal_topics_relaxed_durability "), [1.0]);
    assert_eq!(values(&text, "einmal_metrics_folded"), [0.0; 0]);
    collector.sources.catalog.publish(Arc::new(topics(&["a"])));
    assert!(!page_of("", &collector).contains("topic=\"relaxed\""));
}

#[test]
fn topics_beyond_the_cap_fold_into_one_series() {
    let text = page_of("", &collector(&["a", "b", "c", "d"], 3));
    check_format(&text);
    assert_eq!(values(&text, "einmal_topic_bytes_in_total{"), [1.0, 2.0, 7.0]);
    assert_eq!(values(&text, "einmal_topic_bytes_in_total{topic=\"_other\"}"), [7.0]);
    assert_eq!(values(&text, "einmal_metrics_folded{family=\"einmal_topic_bytes_in_total\"}"), [1.0]);
}

#[test]
fn recorded_families_are_not_rendered_again() {
    let recorded = "# HELP einmal_topics x\n# TYPE einmal_topics gauge\neinmal_topics 9\n";
    let text = page_of(recorded, &collector(&["a"], 3));
    assert_eq!(values(&text, "einmal_topics "), [9.0]);
}

#[test]
fn what_is_rendered_is_not_the_recorders() {
    let text = page_of("", &with_groups(100).0);
    let with_samples: BTreeSet<&str> =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(['{', ' ']).next()).collect();
    for name in with_samples.into_iter().filter(|name| !name.starts_with("kafka_")) {
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        let name = of_histogram.filter(|name| FAMILIES.iter().any(|family| family.name == *name)).unwrap_or(name);
        assert_ne!(family(name).source, Source::Recorder, "{name}");
    }
}

#[test]
fn a_broker_that_is_not_open_yet_shows_what_is_known_of_the_process() {
    let text = page(String::new(), None, &RuntimeFigures::default());
    let with_samples: BTreeSet<&str> =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(' ').next()).collect();
    let of_process = FAMILIES.iter().filter(|family| family.source == Source::Process).map(|family| family.name);
    assert_eq!(with_samples, of_process.collect::<BTreeSet<_>>());
}

/// A topic of two partitions, each with ten records, a second apart from 1970 on. The last of partition 1 is not stable.
fn filled(no: u32, name: &str, store: &MemoryStore) -> Arc<Topic> {
    let mut rows = Rows::default();
    let mut topic = topic(no, name, 0);
    for index in 0..2 {
        let partition = PartitionId { topic: TopicNo(no), index };
        for offset in 0..10 {
            let key = LogKey {
                partition,
                base_offset: offset,
                last_offset_delta: 0,
                size_bytes: 1,
                max_timestamp: 1_000 * offset,
                flags: 0,
                producer_id: ProducerId::NONE,
                producer_epoch: ProducerEpoch::NONE,
                base_sequence: -1,
            };
            rows.put(key.encode(), bytes::Bytes::from_static(b"x"));
        }
        let last_stable_offset = if index == 1 { 9 } else { 10 };
        let recovered = Recovered { log_end: 10, last_stable_offset, ..Recovered::default() };
        topic.partitions.push(Arc::new(Partition::new(partition, LeaderEpoch(0), &recovered)));
    }
    store.write(&rows, 0).expect("memory takes it");
    Arc::new(topic)
}

pub(in crate::telemetry) fn commit(offsets: &CommittedOffsets, group: &str, topic: u32, index: u32, offset: i64) {
    let committed = CommittedOffset {
        offset,
        leader_epoch: LeaderEpoch(-1),
        metadata: String::new(),
        commit_timestamp: 5_000 + offset,
        expire_timestamp: -1,
    };
    offsets.publish(group, [(PartitionId { topic: TopicNo(topic), index }, committed)]);
}

fn with_groups(series_max: usize) -> (Collector, Arc<CommittedOffsets>) {
    let (catalog, offsets, store) =
        (Arc::new(Catalog::default()), Arc::<CommittedOffsets>::default(), MemoryStore::new());
    let mut topics = Topics::default();
    topics.insert(filled(1, "orders", &store));
    topics.insert(filled(2, "paid", &store));
    catalog.publish(Arc::new(topics));
    commit(&offsets, "slow", 1, 0, 4);
    commit(&offsets, "slow", 1, 1, 8);
    commit(&offsets, "slow", 2, 0, 10);
    commit(&offsets, "held", 1, 1, 9);
    (observing(catalog, Arc::clone(&offsets), Arc::new(store), series_max), offsets)
}

#[test]
fn lag_is_told_in_records_and_in_time_and_apart_where_a_transaction_holds_back() {
    let (collector, _) = with_groups(100);
    let text = page_of("", &collector);
    check_format(&text);
    let of = |family: &str, group: &str, topic: &str| {
        values(&text, &format!("einmal_group_{family}{{group=\"{group}\",topic=\"{topic}\"}}"))
    };
    assert_eq!(of("lag_records", "slow", "orders"), [8.0]);
    assert_eq!(of("lag_committed_records", "slow", "orders"), [7.0]);
    assert_eq!(of("lag_records", "held", "orders"), [1.0]);
    assert_eq!(of("lag_committed_records", "held", "orders"), [0.0]);
    assert_eq!(of("lag_records", "slow", "paid"), [0.0]);
    assert_eq!(of("lag_committed_records", "slow", "paid"), [0.0; 0]);
    assert_eq!(of("lag_seconds", "slow", "paid"), [0.0]);
    // The oldest unread record of `slow` is of second 4, that of `held` of second 9.
    let apart = of("lag_seconds", "slow", "orders")[0] - of("lag_seconds", "held", "orders")[0];
    assert!((apart - 5.0).abs() < 0.01, "{apart}");
    assert_eq!(values(&text, "einmal_group_lag_records_max{group=\"slow\"}"), [6.0]);
    assert_eq!(values(&text, "einmal_group_commits_total{group=\"slow\",result=\"committed\"}"), [3.0]);
    assert_eq!(values(&text, "einmal_group_commits_total{group=\"slow\",result=\"refused\"}"), [0.0]);
    assert_eq!(values(&text, "einmal_group_members{group=\"slow\"}"), [0.0]);
    assert_eq!(values(&text, "einmal_group_last_commit_timestamp_seconds{group=\"slow\"}"), [5.01]);
    assert_eq!(values(&text, "einmal_partition_lso_lag_records{topic=\"orders\",partition=\"1\"}"), [1.0]);
    assert_eq!(values(&text, "einmal_partition_lso_lag_records{topic=\"orders\",partition=\"0\"}"), [0.0; 0]);
    assert_eq!(
        values(&text, "kafka_consumergroup_lag{consumergroup=\"slow\",topic=\"orders\",partition=\"0\"}"),
        [6.0]
    );
    assert_eq!(values(&text, "kafka_consumergroup_lag_sum{consumergroup=\"slow\",topic=\"orders\"}"), [8.0]);
    let oldest = values(&text, "einmal_topic_oldest_record_age_seconds{topic=\"orders\"}")[0];
    assert!((oldest - of("lag_seconds", "slow", "orders")[0] - 4.0).abs() < 0.01);
}

#[test]
fn the_series_of_a_group_vanish_with_its_offsets() {
    let (collector, offsets) = with_groups(100);
    assert!(page_of("", &collector).contains("group=\"held\""));
    offsets.publish_forgotten(&[("held".into(), PartitionId { topic: TopicNo(1), index: 1 })]);
    assert!(!page_of("", &collector).contains("group=\"held\""));
}

#[test]
fn long_names_of_groups_are_cut_and_stay_apart() {
    let (collector, offsets) = with_groups(100);
    let long = "g".repeat(32_000);
    (0..20).for_each(|no| commit(&offsets, &format!("{long}{no}"), 1, 0, 4));
    let text = page_of("", &collector);
    check_format(&text);
    assert_eq!(values(&text, "einmal_group_lag_records_max{group=\"ggg").len(), 20);
    let series: BTreeSet<&str> =
        text.lines().filter_map(|line| line.rsplit_once(' ')).map(|(series, _)| series).collect();
    assert_eq!(series.iter().filter(|series| series.starts_with("einmal_group_members{group=\"ggg")).count(), 20);
    let longest = text.lines().map(str::len).max();
    assert!(longest < Some(500), "{longest:?}");
}

#[test]
fn groups_beyond_the_cap_fold_into_one_series() {
    let (collector, _) = with_groups(2);
    let text = page_of("", &collector);
    check_format(&text);
    assert_eq!(values(&text, "einmal_group_lag_records{"), [1.0, 8.0]);
    assert_eq!(values(&text, "einmal_group_lag_records{group=\"_other\",topic=\"_other\"}"), [8.0]);
    assert_eq!(values(&text, "kafka_consumergroup_lag{"), [0.0; 0]);
    for family in ["einmal_group_lag_records", "kafka_consumergroup_lag"] {
        assert_eq!(values(&text, &format!("einmal_metrics_folded{{family=\"{family}\"}}")), [1.0], "{family}");
    }
}

#[test]
fn levels_and_names_that_are_not_wanted_are_left_out() {
    let (mut collector, _) = with_groups(100);
    collector.settings.compat = Vec::new();
    let text = page_of("", &collector);
    assert!(text.contains("\neinmal_group_lag_records{") && !text.contains("\nkafka_"), "{text}");
    collector.settings.level = Level::Cluster;
    let text = page_of("", &collector);
    assert!(text.contains("\neinmal_topics 2\n"));
    assert!(!text.contains("topic=\"") && !text.contains("group=\""), "{text}");
}

#[test]
fn what_fills_the_lists_of_boards_made_for_kafka_is_there_among_many_partitions() {
    const PARTITIONS: usize = PARTITIONS_SHOWN_MAX + 1;
    for (series_max, shown) in [(PARTITIONS, PARTITIONS), (PARTITIONS - 1, 0)] {
        let (catalog, mut topics) = (Arc::new(Catalog::default()), Topics::default());
        let mut topic = topic(1, "t", 0);
        let id = |index| PartitionId { topic: TopicNo(1), index };
        let partition = |index| Arc::new(Partition::new(id(index), LeaderEpoch(0), &Recovered::default()));
        topic.partitions = (0..PARTITIONS as u32).map(partition).collect();
        topics.insert(Arc::new(topic));
        catalog.publish(Arc::new(topics));
        let text = page_of("", &observing(catalog, Arc::default(), Arc::new(MemoryStore::new()), series_max));
        for (family, shown) in [
            ("kafka_topic_partition_current_offset", shown),
            ("kafka_topic_partition_oldest_offset", shown),
            ("kafka_cluster_partition_replicascount", shown),
            ("kafka_topic_partition_leader", 0),
        ] {
            assert_eq!(values(&text, &format!("{family}{{")).len(), shown, "{family} of {series_max} series");
            let folded = values(&text, &format!("einmal_metrics_folded{{family=\"{family}\"}}"));
            assert_eq!(folded.is_empty(), shown > 0, "{family}");
        }
    }
}

#[test]
fn the_start_of_the_process_does_not_move() {
    let collector = collector(&["a"], 10);
    let starts: BTreeSet<String> = (0..50)
        .filter_map(|_| {
            page_of("", &collector).lines().find(|line| line.starts_with("process_start")).map(str::to_owned)
        })
        .collect();
    assert_eq!(starts.len(), 1, "{starts:?}");
}
