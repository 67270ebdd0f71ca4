//! Settings of subscriptions to clients' metrics (KIP-714), which AlterConfigs gives them (`ClientMetricsConfigs` in Kafka).

use super::setting::{Kind, Setting};

/// All of them, by name.
pub const CLIENT_METRICS: &[Setting] = &[
    Setting::new(
        "interval.ms",
        Kind::Int,
        "300000",
        "Time between two pushes of a client, from 100 to 3600000 ms. einmal asks no client for metrics.",
    )
    .without_effect(),
    Setting::new("match", Kind::List, "", "Which clients: client_id=PATTERN and the like, all of which must match.")
        .without_effect(),
    Setting::new("metrics", Kind::List, "", "Prefixes of the metrics wanted; * for all.").without_effect(),
];
