//! Kafka's settings that tools change on running brokers, and that mean nothing to one node with one database: of followers, tiered
//! storage, and threads and buffers that einmal does not have.
//!
//! They are kept and shown, or such tools would stop here, as `kafka-reassign-partitions --throttle` does at the first two. Left
//! out on purpose, and refused: `ssl.*`, `sasl.*` and `principal.builder.class`, whose value would seem to protect something;
//! `metric.reporters` and `config.providers`, which name Java classes; `cordoned.log.dirs`, which promises that nothing new is
//! placed on the one disk.

use super::{Kind, Setting};

const FOLLOWERS: &str = "Belongs to replication. einmal is one node.";
const TIERED: &str = "Belongs to tiered storage, which does not exist here.";
const CLEANER: &str = "Belongs to the threads of Kafka's cleaner. einmal compacts in one thread.";
const GROUPS: &str = "Belongs to groups that are not served, or to a log of groups that does not exist here.";

const fn kept(name: &'static str, kind: Kind, default: &'static str, documentation: &'static str) -> Setting {
    Setting::new(name, kind, default, documentation).dynamic().without_effect()
}

const fn tiered(name: &'static str, kind: Kind, default: &'static str) -> Setting {
    kept(name, kind, default, TIERED).at_least(1)
}

/// Kafka's `DynamicConfig` has these beside its broker's settings, so they are shown only where somebody has set them.
const fn throttle(name: &'static str) -> Setting {
    Setting::unset(name, Kind::Long, FOLLOWERS).at_least(0).dynamic().without_effect().only_where_given()
}

/// All of them.
pub const KEPT_WITHOUT_EFFECT: &[Setting] = &[
    throttle("leader.replication.throttled.rate"),
    throttle("follower.replication.throttled.rate"),
    throttle("replica.alter.log.dirs.io.max.bytes.per.second"),
    kept("num.replica.fetchers", Kind::Int, "1", FOLLOWERS).at_least(1),
    kept("follower.fetch.last.tiered.offset.enable", Kind::Boolean, "false", FOLLOWERS),
    kept("log.cleaner.threads", Kind::Int, "1", CLEANER).at_least(0),
    kept("log.cleaner.io.buffer.size", Kind::Int, "524288", CLEANER).at_least(0),
    kept("log.cleaner.io.buffer.load.factor", Kind::Double, "0.9", CLEANER),
    kept(
        "num.recovery.threads.per.data.dir",
        Kind::Int,
        "2",
        "Belongs to the recovery of Kafka's segments. RocksDB recovers by itself.",
    )
    .at_least(1),
    kept(
        "max.connections.per.ip.overrides",
        Kind::String,
        "",
        "Other limits for single addresses. Here max.connections.per.ip counts for each.",
    ),
    kept(
        "transaction.partition.verification.enable",
        Kind::Boolean,
        "true",
        "Whether Kafka asks the coordinator before a transactional append. einmal always knows.",
    ),
    kept("group.coordinator.cached.buffer.max.bytes", Kind::Int, "1048588", GROUPS).at_least(524_288),
    kept("share.coordinator.cached.buffer.max.bytes", Kind::Int, "1048588", GROUPS).at_least(524_288),
    kept("group.share.assignment.interval.ms", Kind::Int, "1000", GROUPS).at_least(0),
    kept("group.streams.assignment.interval.ms", Kind::Int, "1000", GROUPS).at_least(0),
    tiered("remote.fetch.max.wait.ms", Kind::Int, "500"),
    tiered("remote.list.offsets.request.timeout.ms", Kind::Long, "30000"),
    tiered("remote.log.index.file.cache.total.size.bytes", Kind::Long, "1073741824"),
    tiered("remote.log.manager.copy.max.bytes.per.second", Kind::Long, "9223372036854775807"),
    tiered("remote.log.manager.fetch.max.bytes.per.second", Kind::Long, "9223372036854775807"),
    tiered("remote.log.manager.copier.thread.pool.size", Kind::Int, "10"),
    tiered("remote.log.manager.expiration.thread.pool.size", Kind::Int, "10"),
    tiered("remote.log.manager.follower.thread.pool.size", Kind::Int, "2"),
    tiered("remote.log.reader.threads", Kind::Int, "10"),
];
