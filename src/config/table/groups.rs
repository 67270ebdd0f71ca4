//! Settings of single groups (`GroupConfig`), which AlterConfigs gives them.

use super::setting::{Kind, Setting, Synonym};

const SESSION_TIMEOUT: &[Synonym] = &[Synonym { name: "group.consumer.session.timeout.ms", factor: 1 }];
const HEARTBEAT_INTERVAL: &[Synonym] = &[Synonym { name: "group.consumer.heartbeat.interval.ms", factor: 1 }];
const ASSIGNMENT_INTERVAL: &[Synonym] = &[Synonym { name: "group.consumer.assignment.interval.ms", factor: 1 }];

/// All of them, by name.
pub const GROUPS: &[Setting] = &[
    Setting::new(
        "consumer.assignment.interval.ms",
        Kind::Int,
        "1000",
        "Time between assignments. einmal assigns with the heartbeat that needs it.",
    )
    .at_least(0)
    .synonyms(ASSIGNMENT_INTERVAL)
    .without_effect(),
    Setting::new(
        "consumer.heartbeat.interval.ms",
        Kind::Int,
        "5000",
        "Time between two heartbeats of a member of a consumer group, ms.",
    )
    .at_least(1)
    .synonyms(HEARTBEAT_INTERVAL),
    Setting::new(
        "consumer.session.timeout.ms",
        Kind::Int,
        "45000",
        "Time without a heartbeat after which a member of a consumer group is given up, ms.",
    )
    .at_least(1)
    .synonyms(SESSION_TIMEOUT),
];
