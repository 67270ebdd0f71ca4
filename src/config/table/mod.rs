//! The one table of settings: name, kind, default, allowed values, documentation, who may change it.
//!
//! The parts of the table lie in files by subject. DescribeConfigs, docs/settings.md, the environment's mapping and the
//! hints for misspelt names all follow from it. Names are Kafka's where Kafka has one, else they begin with `einmal.`.
//! Pure: nothing here reads a file, the environment or a clock.

mod client_metrics;
mod coordination;
mod dedup;
mod groups;
mod ignored;
mod kept_without_effect;
mod logs;
mod server;
mod setting;
#[cfg(test)]
mod tests;
mod topics;

pub use client_metrics::CLIENT_METRICS;
pub use dedup::{DEFAULTED_TOPICS, PREFIX as DEDUP_DEFAULT};
pub use groups::GROUPS;
pub use ignored::is_ignored;
pub use setting::{InvalidSetting, Kind, Setting, Synonym, Update, Valid, list, number};
pub use topics::TOPICS;

use crate::spelling::{hint, nearest};

/// All settings of the broker.
pub fn broker_settings() -> impl Iterator<Item = &'static Setting> {
    let kept = kept_without_effect::KEPT_WITHOUT_EFFECT;
    let parts = [server::SERVER, logs::LOGS, coordination::COORDINATION, dedup::DEDUP, kept];
    parts.into_iter().flatten()
}

/// The broker setting of this name.
pub fn broker(name: &str) -> Option<&'static Setting> {
    broker_settings().find(|setting| setting.name == name)
}

/// Whether a topic setting of this name is einmal's own, which Kafka does not have.
pub fn is_own(name: &str) -> bool {
    name.starts_with("message.dedup.") || name == "message.version.check"
}

/// The topic setting of this name.
pub fn topic(name: &str) -> Option<&'static Setting> {
    TOPICS.iter().find(|setting| setting.name == name)
}

/// The topic setting of this name.
///
/// # Errors
/// There is none, in Kafka's words, and which one may be meant.
pub fn known_topic(name: &str) -> Result<&'static Setting, InvalidSetting> {
    topic(name).ok_or_else(|| unknown("topic", name, TOPICS))
}

/// The group setting of this name.
///
/// # Errors
/// As [`known_topic`].
pub fn known_group(name: &str) -> Result<&'static Setting, InvalidSetting> {
    GROUPS.iter().find(|setting| setting.name == name).ok_or_else(|| unknown("group", name, GROUPS))
}

fn unknown(what: &str, name: &str, known: &[Setting]) -> InvalidSetting {
    let hint = hint(nearest(name, known.iter().map(|setting| setting.name)));
    InvalidSetting { name: name.to_owned(), reason: format!("Unknown {what} config name: {name}{hint}") }
}

/// The setting of this name of a subscription to clients' metrics.
pub fn client_metrics(name: &str) -> Option<&'static Setting> {
    CLIENT_METRICS.iter().find(|setting| setting.name == name)
}

/// The known broker name that `name` most likely stands for, or none if nothing is near. Of the name of a topic setting, the one that is
/// the default of it.
pub fn nearest_broker(name: &str) -> Option<&'static str> {
    if let Some(default) = topic(name).and_then(|setting| setting.synonyms.first()) {
        return Some(default.name);
    }
    let known = broker_settings().map(|setting| setting.name).chain(ignored::names().iter().copied());
    nearest(name, known)
}

/// Settings that a listener may have of its own, as `listener.name.NAME.SETTING`.
const OF_LISTENERS: &[&str] = &["max.connection.creation.rate"];

/// Those that Kafka changes while it runs. What is not in [`OF_LISTENERS`], too, is kept and shown, without effect.
const DYNAMIC_OF_LISTENERS: &[&str] = &["max.connection.creation.rate", "max.connections", "num.network.threads"];

/// The listener whose own `setting` is called `name`.
pub fn listener_of<'a>(name: &'a str, setting: &str) -> Option<&'a str> {
    let listener = name.strip_prefix("listener.name.")?.strip_suffix(setting)?.strip_suffix('.')?;
    (!listener.is_empty() && !listener.contains('.')).then_some(listener)
}

/// The listener that `name` is a setting of, if such settings have an effect.
pub fn of_listener(name: &str) -> Option<&str> {
    OF_LISTENERS.iter().find_map(|setting| listener_of(name, setting))
}

/// The listener that `name` is a setting of, and that setting, if it may be changed while running.
pub fn dynamic_of_listener(name: &str) -> Option<(&str, &'static Setting)> {
    DYNAMIC_OF_LISTENERS.iter().find_map(|setting| Some((listener_of(name, setting)?, broker(setting)?)))
}
