//! What a start says: to people in the log, to scripts on the standard output.

use std::io::Write as _;

use crate::api::Broker;
use crate::server::Bound;
use crate::server::reach::Reach;
use crate::types::LeaderEpoch;

/// Tells people what they may connect to, and at which durability.
pub(super) fn introduce(broker: &Broker, reach: &Reach, leader_epoch: LeaderEpoch, fsync_disabled: bool) {
    for endpoint in &broker.endpoints {
        tracing::info!(listener = %endpoint.listener, host = endpoint.host, port = endpoint.port, "clients are told to connect here");
    }
    tracing::info!("{}", reach.directions);
    for warning in &reach.warnings {
        tracing::warn!("{warning}");
    }
    if fsync_disabled {
        tracing::warn!("acks=all is answered from the page cache: a power cut may take acknowledged records back");
    }
    let config = broker.config.load();
    tracing::info!(cluster_id = %broker.cluster_id, node_id = config.node_id, leader_epoch = leader_epoch.0, version = env!("CARGO_PKG_VERSION"), "started");
    let durability = if fsync_disabled { "os" } else { "fsync" };
    metrics::gauge!(crate::metrics::CONFIG_INFO, "durability" => durability, "mode" => "broker").set(1.0);
}

/// Where it listens, a line each.
pub(super) fn addresses(bound: &[Bound]) -> Vec<String> {
    let line = |bound: &Bound| format!("listening {}://{}", bound.endpoint.listener, bound.address);
    bound.iter().map(line).collect()
}

/// Phrases by which modules for tests recognise that Kafka has started; each waits for one of them.
pub(super) fn kafkas_words(node_id: i32) -> [String; 3] {
    [
        "Transitioning from RECOVERY to RUNNING".to_owned(),
        "Kafka Server started".to_owned(),
        format!("[KafkaServer id={node_id}] started"),
    ]
}

/// Tells scripts where to connect and that they may.
pub(super) fn announce(mut lines: Vec<String>) {
    lines.push("ready\n".to_owned());
    let mut stdout = std::io::stdout().lock();
    // Nobody may be reading.
    let _ = stdout.write_all(lines.join("\n").as_bytes()).and_then(|()| stdout.flush());
}
