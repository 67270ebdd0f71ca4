//! Broker settings: identity, listeners, what is made on demand, limits of the network and of state.

use super::setting::{Kind, Setting, Valid};

/// All of them, by subject.
pub const SERVER: &[Setting] = &[
    Setting::new("node.id", Kind::Int, "1", "Number of this broker, as clients see it.").at_least(0),
    Setting::new("broker.id", Kind::Int, "-1", "Older name of node.id; -1 is for none.").at_least(-1),
    Setting::unset(
        "cluster.id",
        Kind::String,
        "Id of the cluster, as clients see it. Where not given, one is made at the first start and kept in the data directory.",
    ),
    Setting::new(
        "log.dirs",
        Kind::List,
        "einmal-data",
        "The data directory. Of several the first is used: one database holds everything.",
    ),
    Setting::unset("log.dir", Kind::List, "Older name of log.dirs, used where that is not given."),
    Setting::unset("broker.rack", Kind::String, "Rack of the broker, as clients see it.").without_effect(),
    Setting::new(
        "listeners",
        Kind::List,
        "PLAINTEXT://:9092",
        "Where clients connect: NAME://host:port, several with commas between. No host means all interfaces, port 0 lets the system \
         choose.",
    ),
    Setting::unset(
        "advertised.listeners",
        Kind::List,
        "What clients are told to connect to, by listener name, where it differs from listeners. The host auto stands for this \
         machine's name.",
    ),
    Setting::unset(
        "einmal.advertised.host",
        Kind::String,
        "Host that clients are told for every listener that advertised.listeners does not name.",
    ),
    Setting::new(
        "einmal.profile",
        Kind::String,
        "prod",
        "What stands behind all that is given. dev, also --dev: topics as clients ask for them (auto.create.topics.enable=true, \
         einmal.replication.factor.clamp=true), groups without delay (group.initial.rebalance.delay.ms=0), and acks=all answered from the page \
         cache (log.flush.interval.messages=9223372036854775807), which a power cut may take back. prod: the defaults.",
    )
    .valid(Valid::OneOf(&["prod", "dev"])),
    Setting::new(
        "listener.security.protocol.map",
        Kind::String,
        "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT",
        "What each listener speaks: NAME:PROTOCOL, several with commas between.",
    ),
    Setting::new(
        "controller.listener.names",
        Kind::List,
        "",
        "Listeners of Kafka's controllers. They are skipped: one node needs no controller.",
    ),
    Setting::new(
        "einmal.admin.listener",
        Kind::String,
        "127.0.0.1:9644",
        "Address of the HTTP port with /metrics, /livez and /readyz; off switches it off. If every listener has port 0, so has \
         this one by default.",
    ),
    Setting::new(
        "einmal.admin.connections.max",
        Kind::Int,
        "64",
        "Open connections of the admin port; more are told no more than whether the broker lives and is ready.",
    )
    .at_least(1),
    Setting::new(
        "einmal.admin.request.timeout.ms",
        Kind::Long,
        "10000",
        "Time in which a request to the admin port must have arrived and its answer been taken; then its connection is closed.",
    )
    .at_least(1),
    Setting::new(
        "einmal.admin.hosts",
        Kind::List,
        "",
        "Names by which the admin port may be asked for its page and /api/v1/, beside addresses, localhost and the names that listeners, \
         this port's included, advertise or are bound by: those of proxies before it, say. By others these are refused, as pages of other sites could read them through a \
         browser; /metrics, /livez and /readyz are not.",
    ),
    Setting::new(
        "auto.create.topics.enable",
        Kind::Boolean,
        "true",
        "Whether a topic is created when a producer or a consumer first asks for it.",
    ),
    Setting::new("num.partitions", Kind::Int, "1", "Partitions of topics that are created without a count.").at_least(1),
    Setting::new(
        "default.replication.factor",
        Kind::Int,
        "1",
        "Replicas of topics that are created without a count. One node keeps one.",
    )
    .without_effect(),
    Setting::new(
        "einmal.replication.factor.clamp",
        Kind::Boolean,
        "false",
        "Takes a replication factor above 1 as 1 instead of refusing the topic.",
    ),
    Setting::new("delete.topic.enable", Kind::Boolean, "true", "Whether topics may be deleted."),
    Setting::new(
        "socket.request.max.bytes",
        Kind::Int,
        "104857600",
        "Largest request, in bytes. Requests that carry no records are held to 1 MiB.",
    )
    .at_least(1),
    Setting::new(
        "queued.max.request.bytes",
        Kind::Long,
        "268435456",
        "Bytes of requests in memory, all connections together; beyond, reading waits. A quarter is for small requests (256 KiB), \
         which others do not keep waiting. As much again is for batches that topics want with another codec than they came with, \
         and as much for the encoders at that work: one per core but one at the most (zstd takes up to 10 MiB at level 3, 138 MiB at 22), \
         beyond which batches wait; one that takes more than the limit works alone. Kafka's default is no limit.",
    )
    .at_least(1),
    Setting::new(
        "einmal.request.memory.stall.ms",
        Kind::Long,
        "2000",
        "Time in which a large request must get on by 64 KiB while others wait for memory, or its connection is closed.",
    )
    .at_least(1),
    Setting::new(
        "einmal.connection.request.bytes.max",
        Kind::Long,
        "16777216",
        "Bytes of requests in memory per connection; beyond, reading from it waits. A single larger request is still taken.",
    )
    .at_least(1),
    // Kafka takes 0, too. Here that could not be undone: only a client can change it back, and none could connect.
    Setting::new("max.connections", Kind::Int, "15000", "Open connections, all listeners together; more are refused.")
        .at_least(1)
        .dynamic(),
    Setting::new("max.connections.per.ip", Kind::Int, "2000", "Open connections per client address; more are refused.")
        .at_least(1)
        .dynamic(),
    Setting::new(
        "max.connection.creation.rate",
        Kind::Int,
        "2147483647",
        "New connections in a second, all listeners together; more are accepted later. \
         listener.name.NAME.max.connection.creation.rate is the same for one listener.",
    )
    .at_least(1)
    .dynamic(),
    Setting::new("connections.max.idle.ms", Kind::Long, "600000", "Time without a request after which a connection is closed.")
        .at_least(1),
    Setting::new(
        "einmal.request.frame.timeout.ms",
        Kind::Long,
        "30000",
        "Time in which a begun request must have arrived whole. A third of it is the time for the first request of a connection.",
    )
    .at_least(1),
    Setting::new("fetch.max.bytes", Kind::Int, "57671680", "Largest answer to one fetch, in bytes.").at_least(1024),
    Setting::new(
        "einmal.fetch.memory.bytes",
        Kind::Long,
        "134217728",
        "Bytes of answers to fetches, and of other answers above 64 KiB, in memory, all connections together. An eighth is \
         for Metadata and members of groups, an eighth for administrators, the rest for fetches. The less of it is left, the shorter \
         are fetches; with none left, such answers wait. Beside it, answers that are expected to be large are made a few at a \
         time (for Metadata, for members of groups, for changes, and for all others: 8 of up to 4 MiB, and 2 larger ones).",
    )
    .at_least(1024),
    Setting::new(
        "einmal.fetch.memory.stall.ms",
        Kind::Long,
        "10000",
        "Time without progress of an answer after which its connection is closed while answers wait for memory.",
    )
    .at_least(1),
    Setting::new(
        "einmal.client.metrics.bytes.max",
        Kind::Int,
        "65536",
        "Memory of subscriptions to clients' metrics, all together; more are refused.",
    )
    .at_least(0),
    Setting::new(
        "max.incremental.fetch.session.cache.slots",
        Kind::Int,
        "1000",
        "Fetch sessions kept. A client without one repeats its partitions in every fetch.",
    )
    .at_least(0),
    Setting::new(
        "max.request.partition.size.limit",
        Kind::Int,
        "2000",
        "Partitions in one answer to DescribeTopicPartitions, which tells where to go on.",
    )
    .at_least(1),
    Setting::new(
        "einmal.fetch.session.partitions.max",
        Kind::Int,
        "100000",
        "Partitions in all fetch sessions together.",
    )
    .at_least(0),
    Setting::new("offset.metadata.max.bytes", Kind::Int, "4096", "Longest text that a client may attach to a committed offset.")
        .at_least(0),
    Setting::new(
        "offsets.retention.minutes",
        Kind::Int,
        "10080",
        "Time after its commit at which an offset of a group without members is forgotten. Only time in which the broker runs counts.",
    )
    .at_least(1),
    Setting::new(
        "offsets.retention.check.interval.ms",
        Kind::Long,
        "600000",
        "Time between two looks for committed offsets to forget.",
    )
    .at_least(1),
    Setting::new(
        "group.initial.rebalance.delay.ms",
        Kind::Int,
        "0",
        "Time that the first members of an empty group are given to come together, ms. Kafka waits 3000; here a single consumer reads \
         at once. Worth setting where dozens of members start together: they then share one rebalance.",
    )
    .at_least(0),
    Setting::new(
        "group.min.session.timeout.ms",
        Kind::Int,
        "6000",
        "Shortest session timeout that a member may ask for.",
    )
    .at_least(0),
    Setting::new(
        "group.max.session.timeout.ms",
        Kind::Int,
        "1800000",
        "Longest session timeout that a member may ask for.",
    )
    .at_least(0),
    Setting::new(
        "offsets.topic.num.partitions",
        Kind::Int,
        "50",
        "Partitions of __consumer_offsets, which is created when a group first looks for its coordinator, and stays empty: groups are kept in rows of their own.",
    )
    .at_least(1),
    Setting::new(
        "transaction.state.log.num.partitions",
        Kind::Int,
        "50",
        "Partitions of __transaction_state, which is created when a transactional producer first looks for its coordinator, and stays empty.",
    )
    .at_least(1),
    Setting::new(
        "group.max.size",
        Kind::Int,
        "5000",
        "Members that one group of the classic protocol may have. Kafka has no limit (2147483647).",
    )
    .at_least(1),
    Setting::new(
        "einmal.group.members.bytes.max",
        Kind::Long,
        "268435456",
        "Memory of groups and their members, all groups together; more members are refused. Each takes about 640 bytes, its ids, its subscription and its assignment.",
    )
    .at_least(0),
    Setting::new(
        "einmal.group.members.bytes.per.group.max",
        Kind::Long,
        "67108864",
        "The part of that memory which one group may take, so that no group keeps all others from growing.",
    )
    .at_least(0),
    Setting::new(
        "einmal.group.offsets.bytes.max",
        Kind::Long,
        "268435456",
        "Memory of committed offsets, all groups together; more are refused. Each takes 256 bytes, its metadata and its group's id.",
    )
    .at_least(0),
    Setting::new(
        "transaction.max.timeout.ms",
        Kind::Int,
        "900000",
        "Longest timeout of transactions that a producer may ask for.",
    )
    .at_least(1),
    Setting::new(
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        Kind::Int,
        "10000",
        "Time between two looks for open transactions that are older than their timeout; they are aborted.",
    )
    .at_least(1),
    Setting::new(
        "transactional.id.expiration.ms",
        Kind::Int,
        "604800000",
        "Time after which a transactional id that nobody uses is forgotten. One with an open transaction never is.",
    )
    .at_least(1),
    Setting::new(
        "transaction.remove.expired.transaction.cleanup.interval.ms",
        Kind::Int,
        "3600000",
        "Time between two looks for transactional ids to forget.",
    )
    .at_least(1),
    Setting::new(
        "einmal.transactions.bytes.max",
        Kind::Long,
        "268435456",
        "Memory of transactional ids and what belongs to their transactions; more are refused. An id takes 512 bytes and its length, a partition of an open transaction 48, a group 96 and its length.",
    )
    .at_least(0),
    Setting::new(
        "einmal.transaction.bytes.per.id.max",
        Kind::Long,
        "8388608",
        "Memory of one transactional id and of what belongs to its transaction, so that one producer does not take the room of all: about 170,000 partitions. More are refused, as above.",
    )
    .at_least(1024),
    Setting::new(
        "producer.id.expiration.ms",
        Kind::Int,
        "86400000",
        "Time after which a producer that no longer writes to a partition is forgotten there. Only time in which the broker runs counts.",
    )
    .at_least(1)
    .dynamic(),
    Setting::new(
        "producer.id.expiration.check.interval.ms",
        Kind::Int,
        "600000",
        "Time between two looks for producers to forget.",
    )
    .at_least(1),
    Setting::new(
        "einmal.producer.ids.max",
        Kind::Int,
        "1000000",
        "Producers remembered, all partitions together; beyond, those that wrote longest ago are forgotten first.",
    )
    .at_least(1),
    Setting::new(
        "einmal.dedup.memory.bytes",
        Kind::Long,
        "268435456",
        "Memory of the message ids of all topics together, with names of message.dedup.mode=sequence and the filters of sealed ids. Room is \
         made before a batch is stored. Where memory is nearly full, ids are sealed, from 4,096 of a topic on and of the largest topic first; \
         what cannot be sealed is forgotten, the oldest ids of the topic that has most. What may not be forgotten takes three quarters at \
         the most: the ids of topics with message.dedup.overflow=throttle, those of open transactions with what came to their topics \
         after them, and names, which take half. A batch for which there is no room has to come again later (NOT_ENOUGH_REPLICAS); one \
         with a name for which the names' half has no room is refused (POLICY_VIOLATION), and so is one that takes more than half of \
         all (INVALID_RECORD). An id takes about 32 bytes in batches of 100, 80 in a batch of its \
         own, and 1.4 bytes once it is sealed; a topic with ids takes 2,000 and more.",
    )
    .at_least(0),
    Setting::new(
        "einmal.dedup.open.max.ids",
        Kind::Int,
        "4000000",
        "Message ids of one topic that are in memory before they are sealed: written to a file, of which a filter stays in memory. From a \
         sixteenth of this on they are sealed earlier, when the oldest is older than a part of the window (einmal.dedup.slices.per.window) or memory is \
         short; from 4,096 on where it is nearly full (einmal.dedup.memory.bytes). The ids of ledgers and of open transactions are not sealed.",
    )
    .at_least(16),
    Setting::new(
        "einmal.dedup.slices.per.window",
        Kind::Int,
        "8",
        "Parts of a window of time that are sealed and forgotten whole: an id is remembered that much longer than \
         message.dedup.window.ms. Where message.dedup.window.max.ids is reached, a file is forgotten at once, too.",
    )
    .valid(Valid::Range(1, 64)),
    Setting::new(
        "einmal.dedup.id.max.bytes",
        Kind::Int,
        "512",
        "Longest message id; batches with longer ones are refused. Keys and values that serve as ids may have any length.",
    )
    .at_least(1),
    Setting::new(
        "einmal.dedup.batch.max.bytes",
        Kind::Long,
        "16777216",
        "What a compressed batch may become when its message ids are read; one that becomes larger is refused.",
    )
    .at_least(1),
    Setting::new("einmal.partitions.max", Kind::Int, "20000", "Partitions of all topics together; more are refused.").at_least(1),
    Setting::new(
        "einmal.tail.cache.bytes",
        Kind::Long,
        "67108864",
        "Memory for the newest batches, from which consumers near the end are answered.",
    )
    .at_least(0),
    Setting::new("einmal.reader.threads", Kind::Int, "4", "Threads that read older batches from the store.").at_least(1),
    Setting::new(
        "einmal.disk.reserve.bytes",
        Kind::Long,
        "268435456",
        "Disk space that is kept free, beside that of four write buffers. With less, produce requests and new topics are refused; \
         reading and deleting go on. 0 fills the disk, and the broker ends when it is full.",
    )
    .at_least(0),
    Setting::new(
        "einmal.storage.memtable.bytes",
        Kind::Long,
        "67108864",
        "Memory of one of RocksDB's write buffers, of which there are up to four.",
    )
    .at_least(65_536),
    Setting::new("einmal.storage.block.cache.bytes", Kind::Long, "33554432", "Memory for blocks read from the store.").at_least(0),
    Setting::new(
        "einmal.storage.accept.loss",
        Kind::Boolean,
        "false",
        "Opens a damaged data directory although acknowledged records are lost. The loss is noted in the directory.",
    ),
    Setting::new(
        "einmal.metrics.max.series.per.family",
        Kind::Int,
        "10000",
        "Series of one metric, and 200 bytes for each, all together; beyond, those of the topics and groups that come last are folded together \
         under the name _other.",
    )
    .at_least(1),
    Setting::new(
        "einmal.metrics.level",
        Kind::String,
        "topic",
        "How far metrics are broken down: cluster, topic (and by partition while there are at most 1000 of them) or partition. off: \
         what happens is not counted, and only what exists is shown; to measure what counting costs.",
    )
    .valid(Valid::OneOf(&["off", "cluster", "topic", "partition"])),
    Setting::new(
        "einmal.metrics.compat",
        Kind::List,
        "kafka_exporter,jmx",
        "Whose names metrics are shown under beside our own: kafka_exporter, jmx (the rules of Strimzi), both or none.",
    )
    .valid(Valid::OneOf(&["kafka_exporter", "jmx"])),
    Setting::new(
        "einmal.create.topics",
        Kind::String,
        "",
        "Topics that a start creates where they do not exist, before the broker is ready: name:partitions:setting=value, several with commas, \
         such as orders:6,balances:3:cleanup.policy=compact,delete. Partitions and settings may be left out. With semicolons between topics \
         all commas belong to values.",
    ),
    Setting::new(
        "einmal.log.level",
        Kind::String,
        "info",
        "What the program writes of itself: error, warn, info, debug, trace, or a filter by module. RUST_LOG goes before it.",
    ),
];
