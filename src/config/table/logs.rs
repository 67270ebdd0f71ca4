//! Broker settings that give topics their defaults (`ServerLogConfigs`, `CleanerConfig` in Kafka).

use super::setting::{Kind, Setting, Valid};

/// All of them, by name.
pub const LOGS: &[Setting] = &[
    Setting::new("compression.gzip.level", Kind::Int, "-1", "Default of compression.gzip.level of topics.")
        .valid(Valid::RangeOr(1, 9, -1))
        .dynamic(),
    Setting::new("compression.lz4.level", Kind::Int, "9", "Default of compression.lz4.level of topics.")
        .valid(Valid::Range(1, 17))
        .dynamic()
        .without_effect(),
    Setting::new("compression.type", Kind::String, "producer", "Default of compression.type of topics.")
        .valid(Valid::OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]))
        .dynamic(),
    Setting::new("compression.zstd.level", Kind::Int, "3", "Default of compression.zstd.level of topics.")
        .valid(Valid::Range(-131_072, 22))
        .dynamic(),
    Setting::new(
        "log.cleaner.backoff.ms",
        Kind::Long,
        "15000",
        "Time between two looks for topics that are to be compacted, at least 100 ms.",
    )
    .at_least(0)
    .dynamic(),
    Setting::new(
        "log.cleaner.dedupe.buffer.size",
        Kind::Long,
        "134217728",
        "Memory for the keys of one partition that is being compacted, bytes; taken as needed, 29 to 57 bytes to a key. With more keys \
         it is compacted in several rounds.",
    )
    // Kafka says 1 MB and refuses just that, too.
    .at_least((1 << 20) + 1)
    .dynamic(),
    Setting::new("log.cleaner.delete.retention.ms", Kind::Long, "86400000", "Default of delete.retention.ms of topics.")
        .at_least(0)
        .dynamic(),
    Setting::new("log.cleaner.enable", Kind::Boolean, "true", "Whether topics with the compact policy are compacted."),
    Setting::new(
        "log.cleaner.io.max.bytes.per.second",
        Kind::Double,
        "33554432",
        "Bytes a second that compaction reads and writes together. Kafka's default is no limit.",
    )
    // Kafka takes any number: 0 halts its cleaner, and with a negative one or NaN it runs unlimited, which nobody means by them.
    .valid(Valid::Positive)
    .dynamic(),
    Setting::new(
        "log.cleaner.max.compaction.lag.ms",
        Kind::Long,
        "9223372036854775807",
        "Default of max.compaction.lag.ms of topics.",
    )
    .at_least(1)
    .dynamic(),
    Setting::new("log.cleaner.min.cleanable.ratio", Kind::Double, "0.5", "Default of min.cleanable.dirty.ratio of topics.")
        .valid(Valid::Ratio)
        .dynamic(),
    Setting::new("log.cleaner.min.compaction.lag.ms", Kind::Long, "0", "Default of min.compaction.lag.ms of topics.")
        .at_least(0)
        .dynamic(),
    Setting::new("log.cleanup.policy", Kind::List, "delete", "Default of cleanup.policy of topics.")
        .valid(Valid::OneOf(&["compact", "delete"]))
        .dynamic(),
    Setting::new(
        "log.flush.interval.messages",
        Kind::Long,
        "1",
        "Default of flush.messages of topics. 1 answers acks=all after an fsync; more answers it from the page cache. Kafka's default \
         is never to sync.",
    )
    .at_least(1)
    .dynamic(),
    Setting::unset(
        "log.flush.interval.ms",
        Kind::Long,
        "Default of flush.ms of topics; where not given, log.flush.scheduler.interval.ms.",
    )
    .at_least(0)
    .dynamic(),
    Setting::new(
        "log.flush.scheduler.interval.ms",
        Kind::Long,
        "9223372036854775807",
        "Default of flush.ms of topics where log.flush.interval.ms is not given.",
    )
    .at_least(0),
    Setting::new("log.index.interval.bytes", Kind::Int, "4096", "Default of index.interval.bytes of topics.")
        .at_least(0)
        .dynamic()
        .without_effect(),
    Setting::new("log.index.size.max.bytes", Kind::Int, "10485760", "Default of segment.index.bytes of topics.")
        .at_least(4)
        .dynamic()
        .without_effect(),
    Setting::new("log.local.retention.bytes", Kind::Long, "-2", "Default of local.retention.bytes of topics.")
        .at_least(-2)
        .dynamic()
        .without_effect(),
    Setting::new("log.local.retention.ms", Kind::Long, "-2", "Default of local.retention.ms of topics.")
        .at_least(-2)
        .dynamic()
        .without_effect(),
    Setting::new(
        "log.message.timestamp.after.max.ms",
        Kind::Long,
        "3600000",
        "Default of message.timestamp.after.max.ms of topics.",
    )
    .at_least(0)
    .dynamic(),
    Setting::new(
        "log.message.timestamp.before.max.ms",
        Kind::Long,
        "9223372036854775807",
        "Default of message.timestamp.before.max.ms of topics.",
    )
    .at_least(0)
    .dynamic(),
    Setting::new("log.message.timestamp.type", Kind::String, "CreateTime", "Default of message.timestamp.type of topics.")
        .valid(Valid::OneOf(&["CreateTime", "LogAppendTime"]))
        .dynamic(),
    Setting::new("log.preallocate", Kind::Boolean, "false", "Default of preallocate of topics.").dynamic().without_effect(),
    Setting::new("log.retention.bytes", Kind::Long, "-1", "Default of retention.bytes of topics.").dynamic(),
    Setting::new(
        "log.retention.check.interval.ms",
        Kind::Long,
        "300000",
        "Time between two looks for records that retention.ms and retention.bytes do not keep.",
    )
    .at_least(1),
    Setting::new(
        "log.retention.hours",
        Kind::Int,
        "168",
        "Default of retention.ms of topics, in hours, where neither log.retention.ms nor log.retention.minutes is given.",
    ),
    Setting::unset(
        "log.retention.minutes",
        Kind::Int,
        "Default of retention.ms of topics, in minutes, where log.retention.ms is not given.",
    ),
    Setting::unset("log.retention.ms", Kind::Long, "Default of retention.ms of topics; -1 means for ever.").at_least(-1).dynamic(),
    Setting::new("log.roll.hours", Kind::Int, "168", "Default of segment.ms of topics, in hours.").at_least(1).without_effect(),
    Setting::new("log.roll.jitter.hours", Kind::Int, "0", "Default of segment.jitter.ms of topics, in hours.")
        .at_least(0)
        .without_effect(),
    Setting::unset("log.roll.jitter.ms", Kind::Long, "Default of segment.jitter.ms of topics.")
        .at_least(0)
        .dynamic()
        .without_effect(),
    Setting::unset("log.roll.ms", Kind::Long, "Default of segment.ms of topics.").at_least(1).dynamic().without_effect(),
    Setting::new("log.segment.bytes", Kind::Int, "1073741824", "Default of segment.bytes of topics.")
        .at_least(1_048_576)
        .dynamic()
        .without_effect(),
    Setting::new("log.segment.delete.delay.ms", Kind::Long, "60000", "Default of file.delete.delay.ms of topics.")
        .at_least(0)
        .dynamic()
        .without_effect(),
    Setting::new("message.max.bytes", Kind::Int, "1048588", "Default of max.message.bytes of topics.").at_least(0).dynamic(),
    Setting::new("min.insync.replicas", Kind::Int, "1", "Default of min.insync.replicas of topics.")
        .at_least(1)
        .dynamic()
        .without_effect(),
    Setting::new(
        "unclean.leader.election.enable",
        Kind::Boolean,
        "false",
        "Default of unclean.leader.election.enable of topics.",
    )
    .dynamic()
    .without_effect(),
];
