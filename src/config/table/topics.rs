//! Settings of topics (`TopicConfig` and `LogConfig` in Kafka), but for `internal.segment.bytes`, which Kafka hides and has for its
//! own tests.

use super::setting::{Kind, Setting, Synonym, Valid};

const fn same(name: &'static str) -> Synonym {
    Synonym { name, factor: 1 }
}

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// All of them, by name.
pub const TOPICS: &[Setting] = &[
    Setting::new(
        "cleanup.policy",
        Kind::List,
        "delete",
        "What happens to old records: delete removes them by age and size, compact keeps the newest of each key, both together do both. Empty, \
         nothing removes any but DeleteRecords and the deletion of the topic, as in Kafka.",
    )
    .valid(Valid::OneOf(&["compact", "delete"]))
    .synonyms(&[same("log.cleanup.policy")]),
    Setting::new("compression.gzip.level", Kind::Int, "-1", "Level used when the broker itself compresses with gzip.")
        .valid(Valid::RangeOr(1, 9, -1))
        .synonyms(&[same("compression.gzip.level")]),
    Setting::new("compression.lz4.level", Kind::Int, "9", "Level used when the broker itself compresses with lz4. einmal always does it at 9, which in Kafka, too, is the quickest.")
        .valid(Valid::Range(1, 17))
        .synonyms(&[same("compression.lz4.level")])
        .without_effect(),
    Setting::new(
        "compression.type",
        Kind::String,
        "producer",
        "Codec of stored batches. producer keeps what the producer chose; with another value, batches of other codecs are compressed \
         anew before they are stored, by all cores but one at the most, and requests with such batches are done one after the other on \
         their connection.",
    )
    .valid(Valid::OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]))
    .synonyms(&[same("compression.type")]),
    Setting::new("compression.zstd.level", Kind::Int, "3", "Level used when the broker itself compresses with zstd.")
        .valid(Valid::Range(-131_072, 22))
        .synonyms(&[same("compression.zstd.level")]),
    Setting::new(
        "delete.retention.ms",
        Kind::Long,
        "86400000",
        "How long a compacted topic keeps the records that delete a key, so that readers from the start can still see the deletion.",
    )
    .at_least(0)
    .synonyms(&[same("log.cleaner.delete.retention.ms")]),
    Setting::new(
        "file.delete.delay.ms",
        Kind::Long,
        "60000",
        "Delay before Kafka removes a deleted segment's file. einmal has no segment files.",
    )
    .at_least(0)
    .synonyms(&[same("log.segment.delete.delay.ms")])
    .without_effect(),
    Setting::new(
        "flush.messages",
        Kind::Long,
        "1",
        "1: acks=all is answered after an fsync. More: it is answered from the page cache, as Kafka does by default, and a power cut \
         may take the newest records back.",
    )
    .at_least(1)
    .synonyms(&[same("log.flush.interval.messages")]),
    Setting::new(
        "flush.ms",
        Kind::Long,
        "9223372036854775807",
        "0: acks=all is answered after an fsync. With flush.messages above 1: the longest time between two syncs.",
    )
    .at_least(0)
    .synonyms(&[same("log.flush.interval.ms"), same("log.flush.scheduler.interval.ms")]),
    Setting::new(
        "follower.replication.throttled.replicas",
        Kind::List,
        "",
        "Replicas whose following is throttled. One node has no followers.",
    )
    .valid(Valid::Replicas)
    .without_effect(),
    Setting::new(
        "index.interval.bytes",
        Kind::Int,
        "4096",
        "Bytes of records between two entries of Kafka's offset index. einmal finds every batch by its key.",
    )
    .at_least(0)
    .synonyms(&[same("log.index.interval.bytes")])
    .without_effect(),
    Setting::new(
        "leader.replication.throttled.replicas",
        Kind::List,
        "",
        "Replicas whose leading is throttled. One node has no followers.",
    )
    .valid(Valid::Replicas)
    .without_effect(),
    Setting::new(
        "local.retention.bytes",
        Kind::Long,
        "-2",
        "Bytes kept locally when tiered storage holds the rest; -2 means as retention.bytes.",
    )
    .at_least(-2)
    .synonyms(&[same("log.local.retention.bytes")])
    .without_effect(),
    Setting::new(
        "local.retention.ms",
        Kind::Long,
        "-2",
        "Time kept locally when tiered storage holds the rest; -2 means as retention.ms.",
    )
    .at_least(-2)
    .synonyms(&[same("log.local.retention.ms")])
    .without_effect(),
    Setting::new(
        "max.compaction.lag.ms",
        Kind::Long,
        "9223372036854775807",
        "Longest time a record of a compacted topic stays uncompacted.",
    )
    .at_least(1)
    .synonyms(&[same("log.cleaner.max.compaction.lag.ms")]),
    Setting::new("max.message.bytes", Kind::Int, "1048588", "Largest record batch the topic takes, in bytes, as it is sent.")
        .at_least(0)
        .synonyms(&[same("message.max.bytes")]),
    Setting::new(
        "message.dedup.audit.topic",
        Kind::String,
        "",
        "The topic that is told of each record that was there already, whether it was left out, refused or marked: JSON under the id, with \
         what was repeated, who sent it and a copy, in the same write as what became of the record. It has to be there and to have \
         message.dedup.mode=none; partitions are chosen by the id. Retries of idempotent producers are no such records.",
    )
    .synonyms(&[same("einmal.message.dedup.audit.topic")]),
    Setting::new(
        "message.dedup.bypass.principals",
        Kind::String,
        "",
        "Who sends what was checked elsewhere, or is to be stored again: mirrors and replays. With semicolons between them, as \
         User:mirror;User:replay. The ids and numbers of their records are remembered and not checked, and records without one are \
         taken. einmal knows everybody as User:ANONYMOUS.",
    )
    .synonyms(&[same("einmal.message.dedup.bypass.principals")]),
    Setting::new(
        "message.dedup.id.headers",
        Kind::List,
        "message-id,ce_source+ce_id",
        "Headers that hold a record's id: the first alternative of which all headers are present; + joins the headers of one. At most 32 in \
         all. Of several headers of one name the last counts.",
    )
    .synonyms(&[same("einmal.message.dedup.id.headers")]),
    Setting::new(
        "message.dedup.id.source",
        Kind::String,
        "header",
        "What a record is recognised by: headers, its key, its value, or both. By value, two messages that happen to be equal are one.",
    )
    .valid(Valid::OneOf(&["header", "key", "value-hash", "key-value-hash"]))
    .synonyms(&[same("einmal.message.dedup.id.source")]),
    Setting::new(
        "message.dedup.missing.id",
        Kind::String,
        "accept",
        "What happens to a record without an id, or with an empty one: it is stored unchecked, or its batch is refused. A ledger \
         (message.dedup.on.duplicate) always refuses it.",
    )
    .valid(Valid::OneOf(&["accept", "reject"]))
    .synonyms(&[same("einmal.message.dedup.missing.id")]),
    Setting::new(
        "message.dedup.mode",
        Kind::String,
        "none",
        "window: a record whose id was seen within message.dedup.window.ms is stored no second time, whoever sends it. Ids are remembered \
         from the moment in which this is switched on. sequence: a record is stored if its number is above the highest that its sender \
         has sent to the partition; gaps are allowed, and the numbers are remembered for ever and are published in the compacted topic \
         __einmal_sequences. Needs a sender that keeps the order: a record that comes behind a higher number is answered like one that \
         is stored, and is not.",
    )
    .valid(Valid::OneOf(&["none", "window", "sequence"]))
    .synonyms(&[same("einmal.message.dedup.mode")]),
    Setting::new(
        "message.dedup.namespace",
        Kind::String,
        "none",
        "What keeps the ids of different senders apart: principal, as the broker knows them (einmal knows everybody as User:ANONYMOUS), or \
         with header:<name> the value of that header, in which a sender can name another.",
    )
    .synonyms(&[same("einmal.message.dedup.namespace")]),
    Setting::new(
        "message.dedup.on.duplicate",
        Kind::String,
        "drop",
        "What happens to a record whose id is known: drop leaves it out and answers as if it had been stored, reject refuses its batch \
         with INVALID_RECORD, mark stores it with a header einmal-duplicate-of: <partition>:<offset>, or unknown. With message.dedup.id.source=key, \
         reject makes the topic a ledger: a record claims its key for the owner that its value names, who may send it again; header \
         claim-expires says after how many milliseconds the claim may be taken over: by its owner, who has it for as long anew, or by \
         another, who names the owner in header claim-takes-over.",
    )
    .valid(Valid::OneOf(&["drop", "reject", "mark"]))
    .synonyms(&[same("einmal.message.dedup.on.duplicate")]),
    Setting::new(
        "message.dedup.overflow",
        Kind::String,
        "evict-oldest",
        "What happens when there is no room for more ids: the oldest are forgotten, or batches with new ones are refused with \
         NOT_ENOUGH_REPLICAS, on which clients try again.",
    )
    .valid(Valid::OneOf(&["evict-oldest", "throttle"]))
    .synonyms(&[same("einmal.message.dedup.overflow")]),
    Setting::new(
        "message.dedup.scope",
        Kind::String,
        "topic",
        "Whether an id is known in its whole topic or in its partition alone.",
    )
    .valid(Valid::OneOf(&["topic", "partition"]))
    .synonyms(&[same("einmal.message.dedup.scope")]),
    Setting::new(
        "message.dedup.sequence.headers",
        Kind::List,
        "producer-name,producer-sequence",
        "Mode sequence: the header with the sender's name, UTF-8, and the one with the record's number: decimal text, or 8 bytes of a \
         number below 2^61, highest first.",
    )
    .synonyms(&[same("einmal.message.dedup.sequence.headers")]),
    Setting::new(
        "message.dedup.sequence.retention.ms",
        Kind::Long,
        "-1",
        "Mode sequence: a name that sends nothing for so long is forgotten; -1: never. Only time in which the broker runs counts.",
    )
    .at_least(-1)
    .synonyms(&[same("einmal.message.dedup.sequence.retention.ms")]),
    Setting::new(
        "message.dedup.time.source",
        Kind::String,
        "append",
        "Whose time tells a repetition: the broker's at the append, or with create the records' own, for copies of older data: two \
         records of one id are one message if their times are less than message.dedup.window.ms apart. An id is forgotten by the \
         broker's time either way, so that no record's time can make a topic forget; a copy that comes slower than its original did \
         needs a longer window. With create ids stay in memory.",
    )
    .valid(Valid::OneOf(&["append", "create"]))
    .synonyms(&[same("einmal.message.dedup.time.source")]),
    Setting::new(
        "message.dedup.window.max.ids",
        Kind::Int,
        "10000000",
        "Ids of the topic that are remembered at the most; see message.dedup.overflow.",
    )
    .valid(Valid::Range(1, 2_000_000_000))
    .synonyms(&[same("einmal.message.dedup.window.max.ids")]),
    Setting::new(
        "message.dedup.window.ms",
        Kind::Long,
        "3600000",
        "How long an id is remembered, unless there is no room (message.dedup.overflow). Only time in which the broker runs counts.",
    )
    .at_least(1)
    .synonyms(&[same("einmal.message.dedup.window.ms")]),
    Setting::new(
        "message.dedup.window.refresh",
        Kind::Boolean,
        "false",
        "Whether a repetition that is not refused extends the life of its id: it is remembered for message.dedup.window.ms from then on, \
         and up to an eighth longer. A record that is sent again and again for ever is then stored once for ever.",
    )
    .synonyms(&[same("einmal.message.dedup.window.refresh")]),
    Setting::new(
        "message.timestamp.after.max.ms",
        Kind::Long,
        "3600000",
        "How far a record's own time may lie ahead of the broker's clock before the record is refused.",
    )
    .at_least(0)
    .synonyms(&[same("log.message.timestamp.after.max.ms")]),
    Setting::new(
        "message.timestamp.before.max.ms",
        Kind::Long,
        "9223372036854775807",
        "How far a record's own time may lie behind the broker's clock before the record is refused.",
    )
    .at_least(0)
    .synonyms(&[same("log.message.timestamp.before.max.ms")]),
    Setting::new(
        "message.timestamp.type",
        Kind::String,
        "CreateTime",
        "Whose time records carry: the producer's (CreateTime) or the broker's at the append (LogAppendTime).",
    )
    .valid(Valid::OneOf(&["CreateTime", "LogAppendTime"]))
    .synonyms(&[same("log.message.timestamp.type")]),
    Setting::new(
        "message.version.check",
        Kind::Boolean,
        "false",
        "Whether a record may name in header expected-version the offset of its key's newest record in the partition, or none, and is \
         refused with INVALID_RECORD if that is not so. Such records are looked up, and each with a key writes its version, which stays \
         until a newer one of the key, or one without a value. Goes with cleanup.policy=compact alone, as a setting of the topic itself: \
         where records go otherwise, versions would stay that nobody can read. Transactions are refused. Cannot be switched off again.",
    ),
    Setting::new(
        "min.cleanable.dirty.ratio",
        Kind::Double,
        "0.5",
        "Share of a compacted topic that must be uncompacted before it is compacted again.",
    )
    .valid(Valid::Ratio)
    .synonyms(&[same("log.cleaner.min.cleanable.ratio")]),
    Setting::new(
        "min.compaction.lag.ms",
        Kind::Long,
        "0",
        "Shortest time a record of a compacted topic stays uncompacted.",
    )
    .at_least(0)
    .synonyms(&[same("log.cleaner.min.compaction.lag.ms")]),
    Setting::new(
        "min.insync.replicas",
        Kind::Int,
        "1",
        "Replicas that must have a batch before acks=all is answered. One node has one replica and answers after its fsync, whatever \
         is set.",
    )
    .at_least(1)
    .synonyms(&[same("min.insync.replicas")])
    .without_effect(),
    Setting::new("preallocate", Kind::Boolean, "false", "Whether Kafka allocates segment files in advance.")
        .synonyms(&[same("log.preallocate")])
        .without_effect(),
    Setting::new("remote.log.copy.disable", Kind::Boolean, "false", "Makes a topic's tiered data read-only. einmal has no tiers.")
        .without_effect(),
    Setting::new(
        "remote.log.delete.on.disable",
        Kind::Boolean,
        "false",
        "Whether tiered data is deleted when tiering is switched off. einmal has no tiers.",
    )
    .without_effect(),
    Setting::new("remote.storage.enable", Kind::Boolean, "false", "Tiered storage of the topic. einmal has no tiers.")
        .without_effect(),
    Setting::new(
        "retention.bytes",
        Kind::Long,
        "-1",
        "Bytes kept per partition under the delete policy, the oldest batches go first; -1 means no limit. Kafka deletes whole \
         segments and keeps up to segment.bytes more.",
    )
    .synonyms(&[same("log.retention.bytes")]),
    Setting::new(
        "retention.ms",
        Kind::Long,
        "604800000",
        "Time records are kept under the delete policy; -1 means for ever. Only time in which the broker runs counts, so that a jump of \
         the clock deletes nothing. A batch goes with its newest record; Kafka deletes whole segments and keeps up to segment.ms more.",
    )
    .at_least(-1)
    .synonyms(&[
        same("log.retention.ms"),
        Synonym { name: "log.retention.minutes", factor: MINUTE_MS },
        Synonym { name: "log.retention.hours", factor: HOUR_MS },
    ]),
    Setting::new("segment.bytes", Kind::Int, "1073741824", "Size of Kafka's segment files. einmal has no segment files.")
        .at_least(1_048_576)
        .synonyms(&[same("log.segment.bytes")])
        .without_effect(),
    Setting::new("segment.index.bytes", Kind::Int, "10485760", "Size of Kafka's offset index files. einmal has none.")
        .at_least(4)
        .synonyms(&[same("log.index.size.max.bytes")])
        .without_effect(),
    Setting::new("segment.jitter.ms", Kind::Long, "0", "Random spread of the time after which Kafka begins a new segment file.")
        .at_least(0)
        .synonyms(&[same("log.roll.jitter.ms"), Synonym { name: "log.roll.jitter.hours", factor: HOUR_MS }])
        .without_effect(),
    Setting::new("segment.ms", Kind::Long, "604800000", "Time after which Kafka begins a new segment file.")
        .at_least(1)
        .synonyms(&[same("log.roll.ms"), Synonym { name: "log.roll.hours", factor: HOUR_MS }])
        .without_effect(),
    Setting::new(
        "unclean.leader.election.enable",
        Kind::Boolean,
        "false",
        "Whether a replica that lacks records may become leader. One node is always its own leader.",
    )
    .synonyms(&[same("unclean.leader.election.enable")])
    .without_effect(),
];
