//! `einmal.create.topics`: topics that a start creates where they do not exist yet, for tests and compose files.

use std::collections::BTreeMap;

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

/// Reads `name[:partitions[:setting=value]...]`, several with commas.
///
/// # Errors
/// What is wrong, as a sentence.
pub fn parse(text: &str) -> Result<Vec<FirstTopic>, String> {
    text.split(',').map(str::trim).filter(|topic| !topic.is_empty()).map(parse_one).collect()
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
    let setting = |part: &str| match part.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(format!("{part} is no SETTING=VALUE of topic {name}")),
    };
    let given = parts.map(setting).collect::<Result<_, _>>()?;
    let overrides = topic::validate(&given).map_err(|error| error.to_string())?;
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
