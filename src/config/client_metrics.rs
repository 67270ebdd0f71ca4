//! Judges what a subscription to clients' metrics is to be (KIP-714). They are kept and shown so that tools can manage them; no
//! client is asked for metrics.
//!
//! Mirrors `ClientMetricsConfigs.validate`.

use std::collections::BTreeMap;

use super::alter::AlterRefused;
use super::table::{self, InvalidSetting, list};

const INTERVAL_MS: &str = "interval.ms";
const INTERVAL_MS_MIN: i32 = 100;
const INTERVAL_MS_MAX: i32 = 3_600_000;

const MATCH: &str = "match";
/// What of a client a pattern may be about.
const MATCHED: [&str; 6] = [
    "client_instance_id",
    "client_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];
/// Length of a pattern, bytes.
const PATTERN_BYTES_MAX: usize = 1 << 10;

/// The settings of a subscription as they are kept.
///
/// # Errors
/// The first that is not known or not allowed.
pub(super) fn validate(given: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, AlterRefused> {
    let mut kept = BTreeMap::new();
    for (name, text) in given {
        let text = known(name)?.check(text)?;
        match name.as_str() {
            INTERVAL_MS => check_interval(&text)?,
            MATCH => check_match(&text)?,
            _ => {}
        }
        kept.insert(name.clone(), text);
    }
    Ok(kept)
}

/// The setting of this name.
pub(super) fn known(name: &str) -> Result<&'static table::Setting, AlterRefused> {
    table::client_metrics(name)
        .ok_or_else(|| AlterRefused::Request(format!("Unknown client metrics configuration: {name}")))
}

fn check_interval(text: &str) -> Result<(), AlterRefused> {
    match text.parse() {
        Ok(INTERVAL_MS_MIN..=INTERVAL_MS_MAX) => Ok(()),
        _ => Err(AlterRefused::Request(format!(
            "Invalid value {text} for {INTERVAL_MS}, interval must be between {INTERVAL_MS_MIN} and {INTERVAL_MS_MAX} (1 hour)"
        ))),
    }
}

/// Patterns are read and not compiled: nothing is ever matched with them, and a few bytes may take seconds to compile.
fn check_match(text: &str) -> Result<(), AlterRefused> {
    let is_pattern = |pattern: &str| {
        pattern.len() <= PATTERN_BYTES_MAX && regex_syntax::ast::parse::Parser::new().parse(pattern).is_ok()
    };
    let is_clear = |element: &str| {
        let pair = element.split_once('=').map(|(what, pattern)| (what.trim(), pattern.trim()));
        pair.is_some_and(|(what, pattern)| MATCHED.contains(&what) && is_pattern(pattern))
    };
    match list(text).find(|element| !is_clear(element)) {
        None => Ok(()),
        Some(element) => {
            let reason = format!("Illegal client matching pattern: {element}");
            Err(AlterRefused::Invalid(InvalidSetting { name: MATCH.to_owned(), reason }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_and_not_compiled() {
        let judged = |pattern: &str| check_match(&format!("client_id={pattern}")).is_ok();
        let costly = r"((((\w{200}){200}){200}){200})";
        let long = |bytes: usize| "a".repeat(bytes);
        for (pattern, expected) in [
            (costly, true),
            ("(?i)[a-z]+|x{2}?$", true),
            ("a(b", false),
            ("a{2", false),
            (&*"(".repeat(PATTERN_BYTES_MAX), false),
            (&*long(PATTERN_BYTES_MAX), true),
            (&*long(PATTERN_BYTES_MAX + 1), false),
        ] {
            assert_eq!(judged(pattern), expected, "{pattern}");
        }
    }

    /// What a real Kafka 4.3.1 answered.
    #[test]
    fn subscriptions_are_judged_in_kafkas_words() {
        for (name, text, expected) in [
            ("interval.ms", "100", Ok("100")),
            (
                "interval.ms",
                "99",
                Err("Invalid value 99 for interval.ms, interval must be between 100 and 3600000 (1 hour)"),
            ),
            (
                "interval.ms",
                "3600001",
                Err("Invalid value 3600001 for interval.ms, interval must be between 100 and 3600000 (1 hour)"),
            ),
            ("interval.ms", "x", Err("Invalid value x for configuration interval.ms: Not a number of type INT")),
            ("metrics", "*", Ok("*")),
            ("match", "", Ok("")),
            ("match", "client_id=a, client_source_address=.*", Ok("client_id=a, client_source_address=.*")),
            ("match", "x", Err("Illegal client matching pattern: x")),
            ("match", "nope=a", Err("Illegal client matching pattern: nope=a")),
            ("match", "client_id=[abc", Err("Illegal client matching pattern: client_id=[abc")),
            ("nope", "1", Err("Unknown client metrics configuration: nope")),
        ] {
            let judged = validate(&BTreeMap::from([(name.to_owned(), text.to_owned())]));
            let judged = judged.map(|kept| kept[name].clone()).map_err(|refused| refused.to_string());
            assert_eq!(judged.as_deref().map_err(String::as_str), expected, "{name}={text}");
        }
    }
}
