//! The settings in force as text, for `einmal config show`.

use std::fmt::Write as _;

use super::{Config, Origin, table};

/// What is shown of a value that is a secret.
const HIDDEN: &str = "[hidden]";

/// Settings that are given, by name, and with `all` those that are not; one `name=value` a line, as a properties file has them, with
/// `origins` under a comment that says where it comes from.
pub fn settings(config: &Config, all: bool, origins: bool) -> String {
    let mut lines: Vec<(&str, String, &str)> = Vec::new();
    for (name, (text, origin)) in &config.texts {
        lines.push((name, if is_secret(name) { HIDDEN.to_owned() } else { text.clone() }, origin.describe()));
    }
    if all {
        let unset = table::broker_settings().filter(|setting| !config.texts.contains_key(setting.name));
        lines.extend(unset.filter_map(|setting| Some((setting.name, setting.default?.to_owned(), "default"))));
    }
    lines.sort();
    let mut shown = String::new();
    for (name, text, origin) in lines {
        if origins {
            let _ = writeln!(shown, "# {origin}");
        }
        // What a properties file would take for the end of the line or an escape.
        let _ = writeln!(shown, "{name}={}", text.replace('\\', "\\\\").replace('\n', "\\n"));
    }
    shown
}

fn is_secret(name: &str) -> bool {
    table::broker(name).is_some_and(|setting| setting.is_sensitive())
        || name.contains("password")
        || name.ends_with("jaas.config")
}

impl Origin {
    /// For people.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Profile => "profile dev",
            Self::File => "file",
            Self::KafkaEnvironment => "KAFKA_* variable",
            Self::Environment => "EINMAL_* variable",
            Self::Flag => "command line",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::{Sources, load};

    fn config() -> Config {
        let variable = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let sources = Sources {
            variables: vec![
                variable("KAFKA_NUM_PARTITIONS", "3"),
                variable("EINMAL_PROFILE", "dev"),
                variable("EINMAL_LOG_LEVEL", "warn"),
                variable("KAFKA_SSL_KEYSTORE_PASSWORD", "secret"),
            ],
            flags: vec![variable("num.partitions", "6")],
            host_name: "here".to_owned(),
            allow_unknown: true,
            ..Sources::default()
        };
        load(&sources).expect("good settings").config
    }

    #[test]
    fn settings_are_told_with_their_origin_and_without_secrets() {
        let shown = settings(&config(), false, true);
        for lines in [
            "# command line\nnum.partitions=6\n",
            "# EINMAL_* variable\neinmal.log.level=warn\n",
            "# profile dev\ngroup.initial.rebalance.delay.ms=0\n",
        ] {
            assert!(shown.contains(lines), "{lines} is not in\n{shown}");
        }
        assert!(!shown.contains("secret") && !shown.contains("# default"), "{shown}");
    }

    #[test]
    fn defaults_are_told_on_request() {
        let shown = settings(&config(), true, true);
        assert!(shown.contains("# default\neinmal.admin.connections.max=64\n"), "{shown}");
        assert_eq!(shown.lines().filter(|line| line.starts_with("num.partitions=")).count(), 1);
    }
}
