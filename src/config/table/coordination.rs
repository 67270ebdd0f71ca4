//! Broker settings of consumer groups, and of offsets, internal topics and security that are accepted and shown, and not acted on.

use super::setting::{Kind, Setting, Valid};

const GROUP: &str =
    "Belongs to work that Kafka does in the background. einmal assigns with the heartbeat that needs it.";
const SHARE: &str = "Belongs to share groups, which are not served.";
const INTERNAL_TOPIC: &str = "Belongs to an internal topic of Kafka. einmal keeps this state in its store.";
const SASL: &str = "Belongs to SASL listeners, which are not served.";

const fn kept(name: &'static str, kind: Kind, default: &'static str, documentation: &'static str) -> Setting {
    Setting::new(name, kind, default, documentation).without_effect()
}

const THREADS: &str = "Size of a thread pool of Kafka. einmal has its own.";
const BROKERS: &str = "Timeout of requests between brokers, of which there is one.";
const SOCKETS: &str = "Left to the operating system.";

/// All of them, by name.
pub const COORDINATION: &[Setting] = &[
    kept("background.threads", Kind::Int, "10", THREADS).at_least(1).dynamic(),
    kept("num.io.threads", Kind::Int, "8", THREADS).at_least(1).dynamic(),
    kept("num.network.threads", Kind::Int, "3", THREADS).at_least(1).dynamic(),
    kept("queued.max.requests", Kind::Int, "500", "Requests that wait for Kafka's threads. Here they are counted in bytes: queued.max.request.bytes.").at_least(1),
    kept("request.timeout.ms", Kind::Int, "30000", BROKERS).at_least(0),
    kept("socket.listen.backlog.size", Kind::Int, "50", SOCKETS).at_least(1),
    kept("socket.receive.buffer.bytes", Kind::Int, "102400", SOCKETS),
    kept("socket.send.buffer.bytes", Kind::Int, "102400", SOCKETS),
    kept(
        "allow.everyone.if.no.acl.found",
        Kind::Boolean,
        "false",
        "Belongs to access control, which is not there: everybody may do everything.",
    ),
    Setting::new(
        "authorizer.class.name",
        Kind::String,
        "",
        "Kafka's class for access control. Refused, as there is none.",
    ),
    kept("connections.max.reauth.ms", Kind::Long, "0", SASL),
    kept("group.consumer.assignment.interval.ms", Kind::Int, "1000", GROUP).at_least(0).dynamic(),
    Setting::new(
        "group.consumer.assignors",
        Kind::List,
        "uniform,range",
        "Assignors of consumer groups (KIP-848). The first is the default where members prefer none.",
    )
    .valid(Valid::OneOf(&["uniform", "range"])),
    Setting::new(
        "group.consumer.heartbeat.interval.ms",
        Kind::Int,
        "5000",
        "Time between two heartbeats of a member of a consumer group, ms. Groups may have their own.",
    )
    .at_least(1),
    Setting::new(
        "group.consumer.max.heartbeat.interval.ms",
        Kind::Int,
        "15000",
        "Longest heartbeat interval that a group may have, ms.",
    )
    .at_least(1),
    Setting::new(
        "group.consumer.max.session.timeout.ms",
        Kind::Int,
        "60000",
        "Longest session timeout that a consumer group may have, ms.",
    )
    .at_least(1),
    Setting::new(
        "group.consumer.max.size",
        Kind::Int,
        "5000",
        "Members that one consumer group may have. Kafka has no limit (2147483647).",
    )
    .at_least(1),
    Setting::new(
        "group.consumer.migration.policy",
        Kind::String,
        "bidirectional",
        "Which groups change their protocol while members read: classic ones when a member of the new protocol joins (`upgrade`), \
         consumer groups when the last such member has gone (`downgrade`), both (`bidirectional`) or none (`disabled`).",
    )
    .valid(Valid::AnyCase(&["disabled", "downgrade", "upgrade", "bidirectional"])),
    Setting::new(
        "group.consumer.min.heartbeat.interval.ms",
        Kind::Int,
        "5000",
        "Shortest heartbeat interval that a group may have, ms.",
    )
    .at_least(1),
    Setting::new(
        "group.consumer.min.session.timeout.ms",
        Kind::Int,
        "45000",
        "Shortest session timeout that a consumer group may have, ms.",
    )
    .at_least(1),
    Setting::new(
        "group.consumer.session.timeout.ms",
        Kind::Int,
        "45000",
        "Time without a heartbeat after which a member of a consumer group is given up, ms. Groups may have their own.",
    )
    .at_least(1),
    Setting::new(
        "group.coordinator.rebalance.protocols",
        Kind::List,
        "classic,consumer,streams",
        "Group protocols that are served. Without `consumer`, ConsumerGroupHeartbeat is UNSUPPORTED_VERSION; classic groups are always \
         served, streams groups never.",
    )
    .valid(Valid::OneOf(&["classic", "consumer", "share", "streams"])),
    kept("group.share.delivery.count.limit", Kind::Int, "5", SHARE),
    kept("group.share.heartbeat.interval.ms", Kind::Int, "5000", SHARE),
    kept("group.share.max.size", Kind::Int, "200", SHARE),
    kept("group.share.min.record.lock.duration.ms", Kind::Int, "15000", SHARE),
    kept("group.share.record.lock.duration.ms", Kind::Int, "30000", SHARE),
    kept("group.share.session.timeout.ms", Kind::Int, "45000", SHARE),
    kept(
        "inter.broker.listener.name",
        Kind::String,
        "",
        "Listener for traffic between brokers, of which there is none.",
    ),
    kept("offsets.topic.replication.factor", Kind::Short, "1", INTERNAL_TOPIC).at_least(1),
    kept(
        "process.roles",
        Kind::List,
        "broker,controller",
        "Roles of a Kafka node. einmal has one process for everything.",
    ),
    kept("sasl.enabled.mechanisms", Kind::List, "", SASL),
    Setting::unset("sasl.jaas.config", Kind::Password, SASL).without_effect(),
    kept("share.coordinator.state.topic.min.isr", Kind::Short, "1", INTERNAL_TOPIC).at_least(1),
    kept("share.coordinator.state.topic.num.partitions", Kind::Int, "50", INTERNAL_TOPIC).at_least(1),
    kept("share.coordinator.state.topic.replication.factor", Kind::Short, "1", INTERNAL_TOPIC).at_least(1),
    kept(
        "super.users",
        Kind::String,
        "",
        "Who may do everything in spite of access control, which is not there: everybody may.",
    ),
    kept("transaction.state.log.min.isr", Kind::Int, "1", INTERNAL_TOPIC).at_least(1),
    kept("transaction.state.log.replication.factor", Kind::Short, "1", INTERNAL_TOPIC).at_least(1),
];
