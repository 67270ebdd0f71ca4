use super::*;
use crate::config::TopicConfig;
use crate::store::memory::MemoryStore;
use crate::types::{TopicNo, Uuid};

fn topic(no: u32, name: &str, bytes_in: u64) -> Arc<Topic> {
    let traffic = Traffic { bytes_in: AtomicU64::new(bytes_in), ..Traffic::default() };
    let config = TopicConfig { flush_messages: if name == "relaxed" { 2 } else { 1 }, ..TopicConfig::default() };
    let (id, name) = (Uuid::from_u128(no.into()), Arc::from(name));
    let overrides = Default::default();
    Arc::new(Topic { no: TopicNo(no), name, id, partitions: Vec::new(), overrides, config, traffic: Arc::new(traffic) })
}

fn topics(names: &[&str]) -> Topics {
    let mut topics = Topics::default();
    for (no, name) in (1..).zip(names) {
        let topic = topic(no, name, u64::from(no));
        topics.by_name.insert(topic.name.clone(), topic);
    }
    topics
}

fn collector(names: &[&str], series_max: usize) -> Collector {
    let catalog = Arc::new(Catalog::default());
    catalog.publish(Arc::new(topics(names)));
    let store = Arc::new(MemoryStore::new());
    let timeout_max = Duration::from_secs(900);
    Collector::new(catalog, store, PathBuf::from("/data"), series_max, false, Arc::default(), timeout_max)
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
    let text = page(recorder.to_owned(), Some(&collector(&["a", "b\"\\"], 10)));
    check_format(&text);
    let named: BTreeSet<&str> = family_names(&text).collect();
    for family in FAMILIES {
        assert!(named.contains(family.name), "{} is missing", family.name);
    }
    assert_eq!(named.len(), FAMILIES.len());
}

#[test]
fn topics_have_series_while_they_exist() {
    let collector = collector(&["a", "relaxed"], 10);
    let text = page(String::new(), Some(&collector));
    assert_eq!(values(&text, "einmal_topic_bytes_in_total{topic=\"a\"}"), [1.0]);
    assert_eq!(values(&text, "einmal_topics "), [2.0]);
    assert_eq!(values(&text, "einmal_topics_relaxed_durability "), [1.0]);
    assert_eq!(values(&text, "einmal_metrics_folded"), [0.0; 0]);
    collector.catalog.publish(Arc::new(topics(&["a"])));
    assert!(!page(String::new(), Some(&collector)).contains("topic=\"relaxed\""));
}

#[test]
fn topics_beyond_the_cap_fold_into_one_series() {
    let text = page(String::new(), Some(&collector(&["a", "b", "c", "d"], 3)));
    check_format(&text);
    assert_eq!(values(&text, "einmal_topic_bytes_in_total{"), [1.0, 2.0, 7.0]);
    assert_eq!(values(&text, "einmal_topic_bytes_in_total{topic=\"_other\"}"), [7.0]);
    assert_eq!(values(&text, "einmal_metrics_folded{family=\"einmal_topic_bytes_in_total\"}"), [1.0]);
}

#[test]
fn recorded_families_are_not_rendered_again() {
    let recorded = "# HELP einmal_topics x\n# TYPE einmal_topics gauge\neinmal_topics 9\n";
    let text = page(recorded.to_owned(), Some(&collector(&["a"], 3)));
    assert_eq!(values(&text, "einmal_topics "), [9.0]);
}

#[test]
fn recorder_leaves_to_the_collector_what_it_renders() {
    let text = page(String::new(), Some(&collector(&["a"], 3)));
    let with_samples: BTreeSet<&str> =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(['{', ' ']).next()).collect();
    for name in with_samples {
        assert!(collects(name), "{name}");
    }
}
