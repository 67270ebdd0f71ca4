//! `einmal.create.topics`: topics that a start creates where they do not exist yet, for tests and compose files.
//!
//! Commas stand between topics, and in the values of some settings. A word that is one of the values which the list before the comma
//! may hold (`cleanup.policy=compact,delete`) belongs to that list. Where a semicolon stands between topics, or a line break, all
//! commas belong to values.

use std::collections::BTreeMap;

use super::table::{self, Kind, Valid};
use super::topic;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstTopic {
    /// As given; whether a topic may be called so is not looked at here.
    pub name: String,
    /// None: `num.partitions`.
    pub partitions: Option<u32>,
    /// Settings, validated.
    pub overrides: BTreeMap<String, String>,
}

/// Reads `name[:partitions[:setting=value]...]`, several with commas, semicolons or line breaks.
///
/// # Errors
/// What is wrong, as a sentence.
pub fn parse(text: &str) -> Result<Vec<FirstTopic>, String> {
    separate(text).iter().map(|topic| topic.trim()).filter(|topic| !topic.is_empty()).map(parse_one).collect()
}

/// The texts of single topics.
fn separate(text: &str) -> Vec<String> {
    const BETWEEN_TOPICS_ALONE: [char; 2] = [';', '\n'];
    if text.contains(BETWEEN_TOPICS_ALONE) {
        return text.split(BETWEEN_TOPICS_ALONE).map(str::to_owned).collect();
    }
    let mut topics: Vec<String> = Vec::new();
    for part in text.split(',') {
        match topics.last_mut().filter(|before| continues_list(before, part.trim())) {
            Some(before) => {
                before.push(',');
                before.push_str(part.trim());
            }
            None => topics.push(part.to_owned()),
        }
    }
    topics
}

/// Whether `before` ends with the value of a list that may also hold `word`.
fn continues_list(before: &str, word: &str) -> bool {
    let setting = before.rsplit(':').next().and_then(|setting| setting.split_once('='));
    let setting = setting.and_then(|(name, _)| table::topic(name.trim()));
    setting.is_some_and(|setting| {
        setting.kind == Kind::List && matches!(setting.valid, Valid::OneOf(values) if values.contains(&word))
    })
}

fn parse_one(text: &str) -> Result<FirstTopic, String> {
    let mut parts = text.split(':').map(str::trim);
    let name = parts.next().unwrap_or_default().to_owned();
    let partitions = match parts.next() {
        None | Some("") => None,
        Some(count) => match count.parse() {
            Ok(count @ 1..) => Some(count),
            _ => return Err(format!("{count} is no number of partitions; write NAME:PARTITIONS:SETTING=VALUE")),
        },
    };
    let mut given: Vec<(String, String)> = Vec::new();
    for part in parts {
        match (part.split_once('='), given.last_mut()) {
            (Some((name, value)), _) => given.push((name.to_owned(), value.to_owned())),
            // A colon of the value before.
            (None, Some((_, value))) => {
                value.push(':');
                value.push_str(part);
            }
            (None, None) => return Err(format!("{part} is no SETTING=VALUE of topic {name}")),
        }
    }
    let overrides = topic::judge(&BTreeMap::new(), &given.into_iter().collect()).map_err(|error| error.to_string())?;
    Ok(FirstTopic { name, partitions, overrides })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_with_partitions_and_settings() {
        let topics = parse("orders:6, payments:3:cleanup.policy=compact:retention.ms=-1,,events,logs::retention.ms=5")
            .expect("reads");
        let read: Vec<_> = topics
            .iter()
            .map(|topic| {
                let settings: Vec<_> = topic.overrides.iter().map(|(name, value)| format!("{name}={value}")).collect();
                (topic.name.as_str(), topic.partitions, settings.join(" "))
            })
            .collect();
        let expected = [
            ("orders", Some(6), ""),
            ("payments", Some(3), "cleanup.policy=compact retention.ms=-1"),
            ("events", None, ""),
            ("logs", None, "retention.ms=5"),
        ];
        assert_eq!(read, expected.map(|(name, partitions, settings)| (name, partitions, settings.to_owned())));
        assert_eq!(parse(""), Ok(Vec::new()));
    }

    #[test]
    fn values_may_hold_commas_and_colons() {
        for (text, expected) in [
            ("a:1:cleanup.policy=compact,delete", "a{cleanup.policy=compact,delete}"),
            ("a:1:cleanup.policy=compact, delete,b", "a{cleanup.policy=compact,delete} b{}"),
            ("delete,a::cleanup.policy=compact,delete:2", "delete{} a{cleanup.policy=compact} delete{}"),
            ("a::cleanup.policy=compact:retention.ms=5,delete", "a{cleanup.policy=compact,retention.ms=5} delete{}"),
            ("a::message.dedup.id.headers=x,y+z;b", "a{message.dedup.id.headers=x,y+z} b{}"),
            ("a::cleanup.policy=delete\nb:3\n", "a{cleanup.policy=delete} b{}"),
            ("a::message.dedup.namespace=header:tenant", "a{message.dedup.namespace=header:tenant}"),
        ] {
            let show = |topic: &FirstTopic| {
                let settings: Vec<_> = topic.overrides.iter().map(|(name, value)| format!("{name}={value}")).collect();
                format!("{}{{{}}}", topic.name, settings.join(","))
            };
            let topics = parse(text).expect(text);
            assert_eq!(topics.iter().map(show).collect::<Vec<_>>().join(" "), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_topic_is_told() {
        for (text, told) in [
            ("orders:six", "six"),
            ("orders:0", "0"),
            ("orders:-1", "-1"),
            ("orders:1:compact", "compact"),
            ("orders:1:retention.ms=soon", "retention.ms"),
            ("orders:1:no.such.setting=1", "no.such.setting"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
