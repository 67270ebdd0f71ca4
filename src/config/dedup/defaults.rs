//! `einmal.message.dedup.*`: what stands behind `message.dedup.*` of topics that say nothing of their own.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{AUDIT_TOPIC, DedupConfig, VERSION_CHECK, check_id_headers};
use crate::config::table::{self, InvalidSetting, list};

/// Names and patterns in `einmal.message.dedup.topics`.
const PATTERNS_MAX: usize = 100;
/// Bytes of each; names of topics have 249.
const PATTERN_BYTES_MAX: usize = 256;

/// What the broker's settings say of topics that say nothing of their own (`einmal.message.dedup.*`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DedupDefaults(Arc<Defaults>);

#[derive(Debug, Default, PartialEq, Eq)]
struct Defaults {
    /// `einmal.message.dedup.topics`; none is empty.
    topics: Vec<String>,
    /// Those given, by the names of the topic settings; checked one by one.
    texts: BTreeMap<String, String>,
}

impl DedupDefaults {
    /// Those of topics whose names are among `topics`, with commas between them.
    ///
    /// # Errors
    /// [`InvalidSetting`] of the broker, as topics are refused.
    pub(crate) fn of(topics: &str, texts: BTreeMap<String, String>) -> Result<Self, InvalidSetting> {
        let checked = check_id_headers(&BTreeMap::new(), &texts).and_then(|()| DedupConfig::of(&texts));
        checked.map_err(|refused| InvalidSetting {
            reason: refused.reason.replace("message.dedup.", table::DEDUP_DEFAULT),
            name: refused.name.replace("message.dedup.", table::DEDUP_DEFAULT),
        })?;
        let topics: Vec<_> = list(topics).map(str::to_owned).collect();
        check_patterns(&topics)?;
        Ok(Self(Arc::new(Defaults { topics, texts })))
    }

    /// The settings of the topic `name` that has `overrides` of its own.
    pub(in crate::config) fn behind(
        &self,
        name: &str,
        overrides: &BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        let mut texts = overrides.clone();
        if self.are_of(name) && overrides.get(VERSION_CHECK).is_none_or(|text| text != "true") {
            for (name, text) in &self.0.texts {
                texts.entry(name.clone()).or_insert_with(|| text.clone());
            }
        }
        texts
    }

    /// Whether they stand behind the settings of the topic `name`.
    pub(in crate::config) fn are_of(&self, name: &str) -> bool {
        // The broker's own topics hold what it says itself, and so does the one that it tells of repeated records.
        !name.starts_with("__")
            && self.0.texts.get(AUDIT_TOPIC).is_none_or(|audit| audit != name)
            && self.0.topics.iter().any(|pattern| matches(pattern, name))
    }
}

/// Each is compared with the names of all topics whenever defaults of topics change, and with that of each topic that is described.
fn check_patterns(patterns: &[String]) -> Result<(), InvalidSetting> {
    let what = if patterns.len() > PATTERNS_MAX {
        format!("{} names are more than {PATTERNS_MAX}", patterns.len())
    } else if let Some(long) = patterns.iter().find(|pattern| pattern.len() > PATTERN_BYTES_MAX) {
        format!("a name of {} bytes is longer than {PATTERN_BYTES_MAX}", long.len())
    } else {
        return Ok(());
    };
    let name = table::DEFAULTED_TOPICS;
    Err(InvalidSetting { name: name.to_owned(), reason: format!("Invalid value for configuration {name}: {what}") })
}

/// Whether `name` is `pattern`, in which `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        match name.split_once(part) {
            Some((_, after)) => name = after,
            None => return false,
        }
    }
    name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::super::{MODE, NAMESPACE, WINDOW_MS};
    use super::*;

    #[test]
    fn defaults_stand_behind_the_settings_of_the_topics_that_they_are_for() {
        let texts = |texts: &[(&str, &str)]| -> BTreeMap<String, String> {
            texts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
        };
        let given = texts(&[(MODE, "window"), (WINDOW_MS, "5")]);
        let defaults = DedupDefaults::of("orders, pay*", given.clone()).expect("allowed");
        let own = texts(&[(WINDOW_MS, "7"), ("retention.ms", "1")]);
        assert_eq!(defaults.behind("orders", &BTreeMap::new()), given);
        assert_eq!(
            defaults.behind("payments", &own),
            texts(&[(MODE, "window"), (WINDOW_MS, "7"), ("retention.ms", "1")])
        );
        assert_eq!(defaults.behind("other", &own), own);
        let checking = texts(&[(VERSION_CHECK, "true")]);
        assert_eq!(defaults.behind("orders", &checking), checking);
        let all = DedupDefaults::of("*", given).expect("allowed");
        assert!(all.are_of("x") && !all.are_of(crate::dedup::SEQUENCES_TOPIC));
        assert!(!DedupDefaults::default().are_of("orders"));
        let audited = DedupDefaults::of("*", texts(&[(MODE, "window"), (AUDIT_TOPIC, "x")])).expect("allowed");
        assert!(audited.are_of("orders") && !audited.are_of("x"), "it would tell itself of itself");
        let refused = DedupDefaults::of("*", texts(&[(NAMESPACE, "header:")])).expect_err("as on topics");
        assert!(refused.reason.contains("for configuration einmal.message.dedup.namespace:"), "{refused}");
    }

    #[test]
    fn defaults_are_for_so_many_patterns_of_so_many_bytes() {
        let of = |topics: &str| DedupDefaults::of(topics, BTreeMap::new()).map_err(|invalid| invalid.reason);
        let patterns = |count: usize| (0..count).map(|index| format!("topic-{index}-*")).collect::<Vec<_>>().join(",");
        let long = |bytes: usize| format!("a,{}", "x".repeat(bytes));
        for (topics, expected) in [
            (patterns(PATTERNS_MAX), None),
            (patterns(PATTERNS_MAX + 1), Some("101 names are more than 100")),
            (long(PATTERN_BYTES_MAX), None),
            (long(PATTERN_BYTES_MAX + 1), Some("a name of 257 bytes is longer than 256")),
        ] {
            let refused = of(&topics).err();
            let expected =
                expected.map(|what| format!("Invalid value for configuration einmal.message.dedup.topics: {what}"));
            assert_eq!(refused, expected);
        }
    }

    #[test]
    fn star_stands_for_any_text() {
        for (pattern, name, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("*", "a.b", true),
            ("a*", "a", true),
            ("a*", "ba", false),
            ("*a", "ba", true),
            ("*a", "ab", false),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abde", false),
            ("a*a", "a", false),
            ("a**b", "ab", true),
            ("*x*", "axb", true),
            ("*xx*x", "xx", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
