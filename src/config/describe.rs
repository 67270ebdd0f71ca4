//! Answers DescribeConfigs for topics and the broker: values, where they come from, what stands behind them.
//!
//! Mirrors `ConfigHelper`. A deviation: where a topic's value comes from `log.retention.hours` or another setting in a coarser unit
//! that somebody has set, the source says so; Kafka shows it as its own default.
//! Another: where `advertised.listeners` is not given, `listeners` is shown in its place, as it counts then.
//! Documentation is in words of our own: it says what a setting does here.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::build::scaled;
use super::loggers::Levels;
use super::table::{self, Kind, Setting, Update};
use super::{BrokerOverrides, Config};

/// Where a value comes from (`DescribeConfigsResponse.ConfigSource`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Set on the topic.
    Topic,
    /// Set on the group.
    Group,
    /// Set on the subscription to clients' metrics.
    ClientMetrics,
    /// The level of a logger.
    BrokerLogger,
    /// Set by AlterConfigs for this broker.
    DynamicBroker,
    /// Set by AlterConfigs for all brokers.
    DynamicDefaultBroker,
    /// File, environment or flags.
    StaticBroker,
    /// The table.
    Default,
}

impl Source {
    /// Code on the wire.
    pub fn code(self) -> i8 {
        match self {
            Self::Topic => 1,
            Self::DynamicBroker => 2,
            Self::DynamicDefaultBroker => 3,
            Self::StaticBroker => 4,
            Self::Default => 5,
            Self::BrokerLogger => 6,
            Self::ClientMetrics => 7,
            Self::Group => 8,
        }
    }
}

/// A place that gives a setting a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synonym {
    /// Name there.
    pub name: Cow<'static, str>,
    /// Value there, in the unit of that name; none if sensitive.
    pub value: Option<String>,
    /// Which place.
    pub source: Source,
}

/// One setting of a described resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: Cow<'static, str>,
    /// Its value; none if sensitive or null.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: Source,
    /// Whether AlterConfigs may not change it.
    pub read_only: bool,
    /// Whether the value is hidden.
    pub sensitive: bool,
    /// What the value is written as; [`Kind::code`] on the wire.
    pub kind: Kind,
    /// For people.
    pub documentation: &'static str,
    /// All places that give it a value, the one in force first.
    pub synonyms: Vec<Synonym>,
}

/// All settings of the topic `name` that has `overrides` of its own, by name.
pub fn topic(config: &Config, name: &str, overrides: &BTreeMap<String, String>) -> Vec<Entry> {
    let is_defaulted = config.topic_defaults.dedup_defaults.are_of(name);
    let entries = table::TOPICS.iter().map(|setting| match setting {
        // Nothing of the broker stands behind those of other topics.
        setting if !is_defaulted && setting.synonyms.iter().any(|of| of.name.starts_with(table::DEDUP_DEFAULT)) => {
            let value = overrides.get(setting.name).cloned();
            let own = value.iter().map(|text| Synonym {
                name: setting.name.into(),
                value: Some(text.clone()),
                source: Source::Topic,
            });
            entry(setting, value.clone(), own.collect(), false)
        }
        setting => own_entry(config, setting, overrides, Source::Topic),
    });
    entries.collect()
}

/// All settings of a group that has `overrides` of its own, by name.
pub fn group(config: &Config, overrides: &BTreeMap<String, String>) -> Vec<Entry> {
    table::GROUPS.iter().map(|setting| own_entry(config, setting, overrides, Source::Group)).collect()
}

/// All settings of a subscription to clients' metrics that has `overrides` of its own, by name.
pub fn client_metrics(config: &Config, overrides: &BTreeMap<String, String>) -> Vec<Entry> {
    let entries = table::CLIENT_METRICS.iter();
    entries.map(|setting| own_entry(config, setting, overrides, Source::ClientMetrics)).collect()
}

/// The level of each logger, by name.
pub fn loggers(levels: &Levels) -> Vec<Entry> {
    let entries = levels.all().map(|(name, level)| Entry {
        name: name.into(),
        value: Some(level.name().to_owned()),
        source: Source::BrokerLogger,
        read_only: false,
        sensitive: false,
        kind: Kind::String,
        documentation: "",
        synonyms: Vec::new(),
    });
    entries.collect()
}

fn own_entry(
    config: &Config,
    setting: &'static Setting,
    overrides: &BTreeMap<String, String>,
    source: Source,
) -> Entry {
    let names: Vec<&'static str> = setting.synonyms.iter().map(|synonym| synonym.name).collect();
    let mut synonyms = broker_synonyms(config, &names);
    let from_broker = synonyms.first().and_then(|first| {
        let factor = setting.synonyms.iter().find(|synonym| synonym.name == first.name)?.factor;
        scaled(&first.name, first.value.as_deref()?, factor).ok()
    });
    // A default in a coarser unit, such as log.retention.hours, is shown as the topic setting's own, as in Kafka.
    if synonyms
        .first()
        .is_some_and(|first| first.source == Source::Default && Some(&*first.name) != names.first().copied())
    {
        synonyms.clear();
    }
    let own = overrides.get(setting.name);
    if let Some(text) = own {
        let value = Some(text.clone());
        synonyms.insert(0, Synonym { name: setting.name.into(), value, source });
    }
    entry(setting, own.cloned().or(from_broker), synonyms, false)
}

/// All settings of the broker, by name. `node` false: only what is set for all brokers.
pub fn broker(config: &Config, node: bool) -> Vec<Entry> {
    let mut entries: Vec<Entry> = if node {
        let all = table::broker_settings().map(|setting| (setting, broker_entry(config, setting)));
        let shown = all.filter(|(setting, entry)| !setting.only_where_given || entry.source != Source::Default);
        shown.map(|(_, entry)| entry).chain(listener_entries(config)).collect()
    } else {
        let set = config.overrides.cluster.iter();
        set.filter_map(|(name, text)| cluster_entry(name, text)).collect()
    };
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    entries
}

/// What listeners are given of their own.
fn listener_entries(config: &Config) -> impl Iterator<Item = Entry> {
    let BrokerOverrides { cluster, node, .. } = &config.overrides;
    let names: BTreeSet<&String> = config.texts.keys().chain(cluster.keys()).chain(node.keys()).collect();
    names.into_iter().filter_map(move |name| {
        let (_, setting) = table::dynamic_of_listener(name)?;
        let texts = [
            (Source::DynamicBroker, node.get(name)),
            (Source::DynamicDefaultBroker, cluster.get(name)),
            (Source::StaticBroker, config.texts.get(name).map(|(text, _)| text)),
        ];
        let own = texts.into_iter().filter_map(|(source, text)| Some(synonym(name.clone(), text?, source)));
        Some(listener_entry(name, setting, own.chain(broker_synonyms(config, &[setting.name])).collect()))
    })
}

/// Shown as read-only although it can be changed, and without documentation, as Kafka does: it finds no setting of that name.
fn listener_entry(name: &str, setting: &'static Setting, synonyms: Vec<Synonym>) -> Entry {
    let value = synonyms.first().and_then(|synonym| synonym.value.clone());
    Entry { name: name.to_owned().into(), documentation: "", ..entry(setting, value, synonyms, true) }
}

/// What no Kafka starts without: they have no default there, and are shown as given in the file.
const NODE_ID: &str = "node.id";
const PROCESS_ROLES: &str = "process.roles";

/// The number of the node and its older name.
const NODE_IDS: [&str; 2] = [NODE_ID, "broker.id"];

/// Follows `listeners`.
const ADVERTISED_LISTENERS: &str = "advertised.listeners";

fn broker_entry(config: &Config, setting: &'static Setting) -> Entry {
    // Where it is not given, clients are told what is bound.
    if setting.name == ADVERTISED_LISTENERS && !config.texts.contains_key(ADVERTISED_LISTENERS) {
        let synonyms = broker_synonyms(config, &["listeners"]);
        let value = synonyms.first().and_then(|synonym| synonym.value.clone());
        return entry(setting, value, synonyms, true);
    }
    let synonyms = broker_synonyms(config, family(setting.name));
    // Of a family of units each member shows its own value; the synonyms show the whole family, beginning with itself.
    let first_own = synonyms.iter().position(|synonym| synonym.name == setting.name);
    let synonyms = first_own.map_or_else(Vec::new, |first| synonyms[first..].to_vec());
    let value = synonyms.first().and_then(|synonym| synonym.value.clone());
    entry(setting, value, synonyms, setting.update == Update::ReadOnly)
}

/// None for a name that is not known, or of a listener's that is no more.
fn cluster_entry(name: &str, text: &str) -> Option<Entry> {
    let synonyms = vec![synonym(name.to_owned(), text, Source::DynamicDefaultBroker)];
    if let Some((_, setting)) = table::dynamic_of_listener(name) {
        return Some(listener_entry(name, setting, synonyms));
    }
    let setting = table::broker(name)?;
    Some(entry(setting, Some(text.to_owned()), synonyms, setting.update == Update::ReadOnly))
}

fn synonym(name: String, text: &str, source: Source) -> Synonym {
    Synonym { name: name.into(), value: Some(text.trim().to_owned()), source }
}

fn entry(setting: &'static Setting, value: Option<String>, mut synonyms: Vec<Synonym>, read_only: bool) -> Entry {
    let sensitive = setting.is_sensitive();
    if sensitive {
        synonyms.iter_mut().for_each(|synonym| synonym.value = None);
    }
    Entry {
        name: setting.name.into(),
        value: value.or_else(|| setting.default.map(str::to_owned)).filter(|_| !sensitive),
        source: synonyms.first().map_or(Source::Default, |synonym| synonym.source),
        read_only,
        sensitive,
        kind: setting.kind,
        documentation: setting.documentation,
        synonyms,
    }
}

/// The broker settings that stand for the same thing as `name`, the strongest first.
fn family(name: &'static str) -> &'static [&'static str] {
    const FAMILIES: &[&[&str]] = &[
        &["log.retention.ms", "log.retention.minutes", "log.retention.hours"],
        &["log.roll.ms", "log.roll.hours"],
        &["log.roll.jitter.ms", "log.roll.jitter.hours"],
        &["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
        &["log.dirs", "log.dir"],
    ];
    let found = FAMILIES.iter().find(|family| family.contains(&name));
    found.copied().unwrap_or_else(|| {
        let setting = table::broker(name).expect("only names of the table are described");
        std::slice::from_ref(&setting.name)
    })
}

/// Places that give one of `names` a value, in the order in which they win.
fn broker_synonyms(config: &Config, names: &[&'static str]) -> Vec<Synonym> {
    let BrokerOverrides { cluster, node, .. } = &config.overrides;
    let value_at = |source: Source, name: &str| match source {
        Source::DynamicBroker => node.get(name).cloned(),
        Source::DynamicDefaultBroker => cluster.get(name).cloned(),
        // Either gives both.
        Source::StaticBroker if NODE_IDS.contains(&name) => Some(config.node_id.to_string()),
        Source::StaticBroker => config.texts.get(name).map(|(text, _)| text.trim().to_owned()),
        Source::Default if name == NODE_ID => None,
        Source::Default if config.texts.contains_key(name) && name == PROCESS_ROLES => None,
        Source::Default => table::broker(name)?.default.map(str::to_owned),
        Source::Topic | Source::Group | Source::ClientMetrics | Source::BrokerLogger => None,
    };
    let mut synonyms = Vec::new();
    for source in [Source::DynamicBroker, Source::DynamicDefaultBroker, Source::StaticBroker, Source::Default] {
        for name in names {
            if let Some(value) = value_at(source, name) {
                let source = match source {
                    Source::Default if *name == PROCESS_ROLES => Source::StaticBroker,
                    source => source,
                };
                synonyms.push(Synonym { name: (*name).into(), value: Some(value), source });
            }
        }
    }
    synonyms
}

#[cfg(test)]
mod tests;
