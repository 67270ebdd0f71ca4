//! Settings of consumer groups: those of the broker that bound them, and those of single groups, which AlterConfigs gives them.
//!
//! Mirrors the consumer part of `GroupCoordinatorConfig` and `GroupConfig`.

use std::collections::BTreeMap;

use super::Config;
use super::table::{self, InvalidSetting};

/// Name of a group's own session timeout.
pub const SESSION_TIMEOUT_MS: &str = "consumer.session.timeout.ms";
/// Name of a group's own heartbeat interval.
pub const HEARTBEAT_INTERVAL_MS: &str = "consumer.heartbeat.interval.ms";

/// What the broker says of consumer groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerGroups {
    /// `group.consumer.session.timeout.ms`.
    pub session_timeout_ms: Bounded,
    /// `group.consumer.heartbeat.interval.ms`.
    pub heartbeat_interval_ms: Bounded,
    /// `group.consumer.max.size`.
    pub size_max: usize,
    /// `group.consumer.assignors`, names; the first is the default.
    pub assignors: Vec<String>,
    /// `group.consumer.migration.policy`.
    pub migration_policy: String,
    /// `group.coordinator.rebalance.protocols` has `consumer`.
    pub is_enabled: bool,
}

/// A default, and the bounds of what single groups may have, ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounded {
    /// Lowest.
    pub min: i32,
    /// For groups without a value of their own.
    pub default: i32,
    /// Highest.
    pub max: i32,
}

impl Bounded {
    /// What is in force for a group: its own value within the bounds, which may have moved since it was given.
    pub fn in_force(self, own: Option<i32>) -> i32 {
        own.unwrap_or(self.default).max(self.min).min(self.max)
    }
}

impl ConsumerGroups {
    /// Checks what Kafka checks at its start.
    ///
    /// # Errors
    /// Bounds that contradict each other.
    pub(super) fn check(&self) -> Result<(), InvalidSetting> {
        check_bounds("session.timeout.ms", self.session_timeout_ms)?;
        check_bounds("heartbeat.interval.ms", self.heartbeat_interval_ms)?;
        if self.heartbeat_interval_ms.default >= self.session_timeout_ms.default {
            return Err(contradiction(
                "group.consumer.heartbeat.interval.ms",
                "must be less than group.consumer.session.timeout.ms",
            ));
        }
        if self.assignors.is_empty() {
            return Err(contradiction("group.consumer.assignors", "must name an assignor"));
        }
        Ok(())
    }
}

fn check_bounds(what: &str, bounded: Bounded) -> Result<(), InvalidSetting> {
    let (min, own, max) =
        (format!("group.consumer.min.{what}"), format!("group.consumer.{what}"), format!("group.consumer.max.{what}"));
    if bounded.max < bounded.min {
        Err(contradiction(&max, &format!("must be greater than or equal to {min}")))
    } else if bounded.default < bounded.min {
        Err(contradiction(&own, &format!("must be greater than or equal to {min}")))
    } else if bounded.default > bounded.max {
        Err(contradiction(&own, &format!("must be less than or equal to {max}")))
    } else {
        Ok(())
    }
}

fn contradiction(name: &str, what: &str) -> InvalidSetting {
    InvalidSetting { name: name.to_owned(), reason: format!("{name} {what}") }
}

/// Settings of one group as they are kept: known names, values trimmed and within the broker's bounds (`GroupConfig.validate`).
///
/// # Errors
/// The first that is not.
pub fn validate(
    config: &Config,
    overrides: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, InvalidSetting> {
    let mut kept = BTreeMap::new();
    for (name, text) in overrides {
        let setting = table::known_group(name)?;
        kept.insert(name.clone(), setting.check(text)?);
    }
    let bounds = &config.consumer_groups;
    let timeout = check_own(&kept, SESSION_TIMEOUT_MS, bounds.session_timeout_ms)?;
    let interval = check_own(&kept, HEARTBEAT_INTERVAL_MS, bounds.heartbeat_interval_ms)?;
    if timeout <= interval {
        return Err(contradiction(SESSION_TIMEOUT_MS, &format!("must be greater than {HEARTBEAT_INTERVAL_MS}")));
    }
    Ok(kept)
}

fn check_own(kept: &BTreeMap<String, String>, name: &str, bounds: Bounded) -> Result<i32, InvalidSetting> {
    let Some(own) = own(kept, name) else { return Ok(bounds.default) };
    let what = name.trim_start_matches("consumer.");
    if own < bounds.min {
        return Err(contradiction(name, &format!("must be greater than or equal to group.consumer.min.{what}")));
    }
    if own > bounds.max {
        return Err(contradiction(name, &format!("must be less than or equal to group.consumer.max.{what}")));
    }
    Ok(own)
}

/// A number among the settings of a group.
pub fn own(overrides: &BTreeMap<String, String>, name: &str) -> Option<i32> {
    overrides.get(name)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::{Sources, load};

    fn config(settings: &[(&str, &str)]) -> Result<Config, String> {
        let flags = settings.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let sources = Sources { flags, host_name: "localhost".into(), ..Sources::default() };
        load(&sources).map(|loaded| loaded.config).map_err(|error| error.to_string())
    }

    #[test]
    fn bounds_that_contradict_each_other_are_refused_at_the_start() {
        let cases: [(&[(&str, &str)], &str); 4] = [
            (
                &[("group.consumer.session.timeout.ms", "44999")],
                "must be greater than or equal to group.consumer.min.session.timeout.ms",
            ),
            (
                &[("group.consumer.session.timeout.ms", "60001")],
                "must be less than or equal to group.consumer.max.session.timeout.ms",
            ),
            (
                &[("group.consumer.max.heartbeat.interval.ms", "4999")],
                "must be greater than or equal to group.consumer.min.heartbeat.interval.ms",
            ),
            (&[("group.consumer.migration.policy", "sideways")], "must be one of"),
        ];
        for (settings, reason) in cases {
            let refused = config(settings).expect_err("refused");
            assert!(refused.contains(reason), "{settings:?}: {refused}");
        }
        config(&[("group.consumer.migration.policy", "UPGRADE")]).expect("any case");
    }

    #[test]
    fn own_settings_stay_within_the_brokers_bounds() {
        let config = config(&[]).expect("defaults");
        let check = |name: &str, text: &str| {
            validate(&config, &BTreeMap::from([(name.to_owned(), text.to_owned())])).map_err(|error| error.reason)
        };
        assert!(check(SESSION_TIMEOUT_MS, " 50000 ").is_ok_and(|kept| kept[SESSION_TIMEOUT_MS] == "50000"));
        let below =
            "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms";
        assert_eq!(check(SESSION_TIMEOUT_MS, "44999"), Err(below.to_owned()));
        let above =
            "consumer.heartbeat.interval.ms must be less than or equal to group.consumer.max.heartbeat.interval.ms";
        assert_eq!(check(HEARTBEAT_INTERVAL_MS, "15001"), Err(above.to_owned()));
        assert_eq!(check("nothing", "1"), Err("Unknown group config name: nothing".to_owned()));
        assert_eq!(Bounded { min: 5, default: 6, max: 7 }.in_force(Some(9)), 7);
    }
}
