//! Judges AlterConfigs and IncrementalAlterConfigs: the whole new map of overrides, or why not.
//!
//! Mirrors `ConfigurationControlManager` and `DynamicBrokerConfig`. Nothing is changed here: the engine stores what comes out.

use std::collections::{BTreeMap, BTreeSet};

use super::table::{self, InvalidSetting, Kind, Setting, Update, Valid, list};
use super::{BrokerOverrides, Config, client_metrics as client_metrics_settings, topic as topic_settings};

/// What is to happen to one setting (`AlterConfigOp.OpType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Takes the value given.
    Set,
    /// Back to the default.
    Delete,
    /// Adds elements to a list.
    Append,
    /// Takes elements out of a list.
    Subtract,
}

impl Operation {
    /// From its code on the wire.
    pub fn from_wire(code: i8) -> Option<Self> {
        match code {
            0 => Some(Self::Set),
            1 => Some(Self::Delete),
            2 => Some(Self::Append),
            3 => Some(Self::Subtract),
            _ => None,
        }
    }

    fn is_of_lists(self) -> bool {
        matches!(self, Self::Append | Self::Subtract)
    }
}

/// One change asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which setting.
    pub name: String,
    /// What with it.
    pub operation: Operation,
    /// The value; none where null was sent.
    pub value: Option<String>,
}

/// Why a change was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AlterRefused {
    /// INVALID_CONFIG.
    #[error(transparent)]
    Invalid(#[from] InvalidSetting),
    /// INVALID_REQUEST: the request contradicts itself.
    #[error("{0}")]
    Request(String),
}

/// The overrides of the topic `name` that has `current` after `changes`. All or nothing.
pub fn topic(
    config: &Config,
    name: &str,
    current: &BTreeMap<String, String>,
    changes: &[Change],
) -> Result<BTreeMap<String, String>, AlterRefused> {
    check_names(changes)?;
    let default = |setting: &'static Setting| {
        let described = super::describe::topic(config, name, &BTreeMap::new());
        described.into_iter().find(|entry| entry.name == setting.name)?.value
    };
    let changed = apply(current, changes, table::known_topic, default)?;
    Ok(topic_settings::judge(current, &changed)?)
}

/// All overrides of a topic replaced by `given` (AlterConfigs, the older API).
pub fn replace_topic(given: &[(String, Option<String>)]) -> Result<BTreeMap<String, String>, AlterRefused> {
    let changes = set_all(given);
    check_names(&changes)?;
    let given = changes.into_iter().filter_map(|change| Some((change.name, change.value?))).collect();
    Ok(topic_settings::judge(&BTreeMap::new(), &given)?)
}

/// The settings of a group that has `current` after `changes`. All or nothing.
pub fn group(
    config: &Config,
    current: &BTreeMap<String, String>,
    changes: &[Change],
) -> Result<BTreeMap<String, String>, AlterRefused> {
    check_names(changes)?;
    // None of them is a list, so no default is asked for.
    let changed = apply(current, changes, table::known_group, |_| None)?;
    Ok(super::groups::validate(config, &changed)?)
}

/// All settings of a group replaced by `given` (AlterConfigs, the older API).
pub fn replace_group(
    config: &Config,
    given: &[(String, Option<String>)],
) -> Result<BTreeMap<String, String>, AlterRefused> {
    group(config, &BTreeMap::new(), &set_all(given))
}

/// The dynamic settings after `changes`, for this broker (`node`) or for all. The whole configuration must hold with them.
pub fn broker(config: &Config, node: bool, changes: &[Change]) -> Result<BrokerOverrides, AlterRefused> {
    check_names(changes)?;
    let mut overrides = config.overrides.clone();
    let scope = if node { &mut overrides.node } else { &mut overrides.cluster };
    let default = |setting: &'static Setting| {
        let given = config.texts.get(setting.name).map(|(text, _)| text.clone());
        given.or_else(|| setting.default.map(str::to_owned))
    };
    *scope = apply(scope, changes, |name| dynamic_setting(config, name), default)?;
    check_broker(config, &overrides)?;
    Ok(overrides)
}

/// All dynamic settings of one scope replaced by `given` (AlterConfigs, the older API).
pub fn replace_broker(
    config: &Config,
    node: bool,
    given: &[(String, Option<String>)],
) -> Result<BrokerOverrides, AlterRefused> {
    let mut emptied = config.clone();
    if node {
        emptied.overrides.node.clear();
    } else {
        emptied.overrides.cluster.clear();
    }
    broker(&emptied, node, &set_all(given))
}

/// The dynamic settings after `changes` of the subscription `name` to clients' metrics, which is gone once it has no setting.
pub fn client_metrics(config: &Config, name: &str, changes: &[Change]) -> Result<BrokerOverrides, AlterRefused> {
    check_names(changes)?;
    // Kafka does not know here which of them are lists.
    if let Some(change) = changes.iter().find(|change| change.operation.is_of_lists()) {
        return Err(not_a_list(change.operation, &change.name).into());
    }
    let mut overrides = config.overrides.clone();
    let mut settings = overrides.client_metrics.remove(name).unwrap_or_default();
    for change in changes {
        match (change.operation, &change.value) {
            (Operation::Set, Some(value)) => settings.insert(change.name.clone(), value.clone()),
            _ => settings.remove(&change.name),
        };
    }
    let settings = client_metrics_settings::validate(&settings)?;
    if !settings.is_empty() {
        overrides.client_metrics.insert(name.to_owned(), settings);
    }
    let bytes_max = config.client_metrics_bytes_max;
    let (before, after) = (config.overrides.client_metrics_bytes(), overrides.client_metrics_bytes());
    if after > before && after > bytes_max {
        let message = format!("subscriptions would exceed einmal.client.metrics.bytes.max={bytes_max}");
        return Err(AlterRefused::Request(message));
    }
    Ok(overrides)
}

/// All settings of the subscription replaced by `given` (AlterConfigs, the older API).
pub fn replace_client_metrics(
    config: &Config,
    name: &str,
    given: &[(String, Option<String>)],
) -> Result<BrokerOverrides, AlterRefused> {
    let mut without = config.clone();
    without.overrides.client_metrics.remove(name);
    client_metrics(&without, name, &set_all(given))
}

fn set_all(given: &[(String, Option<String>)]) -> Vec<Change> {
    let change = |(name, value): &(String, Option<String>)| Change {
        name: name.clone(),
        operation: Operation::Set,
        value: value.clone(),
    };
    given.iter().map(change).collect()
}

fn check_broker(config: &Config, overrides: &BrokerOverrides) -> Result<(), AlterRefused> {
    match config.with_overrides(overrides.clone()) {
        Ok(_) => Ok(()),
        Err(super::build::BuildError::Invalid(invalid)) => Err(invalid.into()),
        Err(super::build::BuildError::Listener(error)) => Err(AlterRefused::Request(error.to_string())),
    }
}

/// The setting of this name, if AlterConfigs may change it, or the one that a listener of this broker has of its own under this
/// name. Kafka takes unknown names silently, and those of listeners that do not exist; here they are refused, as a misspelt name
/// that seems to be in force is worse, and as each is kept in memory.
fn dynamic_setting(config: &Config, name: &str) -> Result<&'static Setting, InvalidSetting> {
    let refuse = |reason| Err(InvalidSetting { name: name.to_owned(), reason });
    if let Some((listener, setting)) = table::dynamic_of_listener(name)
        && config.listeners.iter().any(|of| of.name.to_lowercase() == listener)
    {
        return Ok(setting);
    }
    match table::broker(name) {
        Some(setting) if setting.update == Update::ClusterWide => Ok(setting),
        None if !table::is_ignored(name) => refuse(format!("Unknown broker config name: {name}")),
        _ => refuse(format!("Cannot update these configs dynamically: [{name}]")),
    }
}

pub(super) fn check_names(changes: &[Change]) -> Result<(), AlterRefused> {
    let mut names = BTreeSet::new();
    for change in changes {
        if !names.insert(change.name.as_str()) {
            return Err(AlterRefused::Request("Error due to duplicate config keys".to_owned()));
        }
        if change.operation != Operation::Delete && change.value.is_none() {
            return Err(AlterRefused::Request(format!("Null value not supported for : {}", change.name)));
        }
    }
    Ok(())
}

fn apply(
    current: &BTreeMap<String, String>,
    changes: &[Change],
    known: impl Fn(&str) -> Result<&'static Setting, InvalidSetting>,
    default: impl Fn(&'static Setting) -> Option<String>,
) -> Result<BTreeMap<String, String>, InvalidSetting> {
    let mut changed = current.clone();
    for change in changes {
        // What is not set is not there after its deletion either, known or not; Kafka's tools count on that.
        if change.operation == Operation::Delete {
            changed.remove(&change.name);
            continue;
        }
        let setting = known(&change.name)?;
        let value = change.value.as_deref().unwrap_or_default();
        let text = match change.operation {
            Operation::Set => value.to_owned(),
            Operation::Delete | Operation::Append | Operation::Subtract => {
                let before = changed.get(&change.name).cloned().or_else(|| default(setting)).unwrap_or_default();
                change_list(setting, change.operation, &before, value)?
            }
        };
        changed.insert(change.name.clone(), setting.check(&text)?);
    }
    Ok(changed)
}

fn not_a_list(operation: Operation, name: &str) -> InvalidSetting {
    let verb = if operation == Operation::Append { "APPEND" } else { "SUBTRACT" };
    let reason = format!("Can't {verb} to key {name} because its type is not LIST.");
    InvalidSetting { name: name.to_owned(), reason }
}

fn change_list(setting: &Setting, operation: Operation, before: &str, value: &str) -> Result<String, InvalidSetting> {
    if setting.kind != Kind::List {
        return Err(not_a_list(operation, setting.name));
    }
    let mut elements: Vec<&str> = list(before).collect();
    if operation == Operation::Append {
        let mut known: BTreeSet<&str> = elements.iter().copied().collect();
        // An empty one is refused where only some words are allowed, with the whole list.
        let may_add = |element: &&str| !element.is_empty() || matches!(setting.valid, Valid::OneOf(_));
        elements.extend(java_split(value).filter(may_add).filter(|element| known.insert(element)));
    } else {
        let gone: BTreeSet<&str> = list(value).collect();
        elements.retain(|element| !gone.contains(element));
    }
    Ok(elements.join(","))
}

/// As `String.split` of Java: empty elements at the end are left out, but for the one of an empty text.
fn java_split(text: &str) -> impl Iterator<Item = &str> {
    let kept = text.trim_end_matches(',');
    let elements = if kept.is_empty() && !text.is_empty() { None } else { Some(kept.split(',').map(str::trim)) };
    elements.into_iter().flatten()
}

#[cfg(test)]
mod tests;
