//! Settings: one table with name, type, default, documentation and scope, from which everything else follows.
//!
//! [`table`] is the one home of names and defaults. [`properties`] and [`environment`] read texts, [`load`] lays default,
//! file, environment and flags over each other, [`build`] makes the typed [`Config`] of them. [`topic`] resolves settings of
//! topics and [`dedup`] those of their message ids, [`describe`] answers DescribeConfigs, [`alter`] judges AlterConfigs, [`document`] writes the settings page.
//!
//! Mirrors `KafkaConfig`, `LogConfig` and `DynamicBrokerConfig`.
//! Invariant: a [`Config`] that exists is checked; nobody parses a text again.

pub mod alter;
pub mod build;
mod client_metrics;
pub mod dedup;
pub mod describe;
pub mod document;
pub mod environment;
pub mod first_topics;
pub mod groups;
pub mod listeners;
pub mod load;
pub mod loggers;
pub mod properties;
pub mod show;
pub mod table;
pub mod topic;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use dedup::DedupConfig;

/// How bytes travel on a listener. Only PLAINTEXT is served until security exists; others are refused at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecurityProtocol {
    /// Neither encryption nor authentication.
    Plaintext,
}

/// One named listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its name, upper case as given, e.g. `PLAINTEXT`.
    pub name: Arc<str>,
    /// What it speaks.
    pub protocol: SecurityProtocol,
    /// Host to bind; empty or `0.0.0.0` for all.
    pub host: String,
    /// Port to bind; 0 lets the system choose.
    pub port: u16,
    /// Host and port that clients are told; none: the bound address, or this machine's name when bound to a wildcard. Port 0
    /// stands for the bound port.
    pub advertised: Option<(String, u16)>,
}

/// Broker settings in force: typed, checked. The texts behind it are kept for DescribeConfigs.
#[derive(Debug, Clone)]
pub struct Config {
    /// `node.id` (`broker.id`), ≥ 0.
    pub node_id: i32,
    /// `cluster.id`; none: one is made and kept in the data directory.
    pub cluster_id: Option<String>,
    /// `log.dirs` (first), `--data-dir`.
    pub data_dir: PathBuf,
    /// `listeners` with `advertised.listeners` and `listener.security.protocol.map`, those of controllers left out.
    pub listeners: Vec<Listener>,
    /// `einmal.admin.listener`: HTTP for metrics and health; none: off.
    pub admin_listener: Option<SocketAddr>,
    /// `num.partitions`.
    pub num_partitions: u32,
    /// `auto.create.topics.enable`.
    pub auto_create_topics_enable: bool,
    /// `delete.topic.enable`.
    pub delete_topic_enable: bool,
    /// `einmal.replication.factor.clamp`: a replication factor above 1 is taken as 1 instead of refused.
    pub replication_factor_clamp: bool,
    /// `socket.request.max.bytes`: largest Produce frame.
    pub socket_request_max_bytes: usize,
    /// `queued.max.request.bytes`: request bytes in memory, all connections together.
    pub queued_max_request_bytes: usize,
    /// `einmal.connection.request.bytes.max`: request bytes in memory per connection.
    pub connection_request_bytes_max: usize,
    /// `max.connections`.
    pub connections_max: usize,
    /// `max.connections.per.ip`.
    pub connections_max_per_ip: usize,
    /// `max.connection.creation.rate`: new connections in a second, all listeners together.
    pub connection_creation_rate_max: u32,
    /// `listener.name.NAME.max.connection.creation.rate`, by name of the listener.
    pub listener_connection_creation_rates: BTreeMap<String, u32>,
    /// `einmal.admin.connections.max`.
    pub admin_connections_max: usize,
    /// `einmal.admin.hosts`, and the name in `einmal.admin.listener`.
    pub admin_hosts: Vec<String>,
    /// `einmal.admin.request.timeout.ms`.
    pub admin_request_timeout: Duration,
    /// `connections.max.idle.ms`.
    pub connections_max_idle: Duration,
    /// `einmal.request.frame.timeout.ms`: time to finish a begun frame; also to send a first whole request ÷ 3.
    pub request_frame_timeout: Duration,
    /// `einmal.request.memory.stall.ms`: time in which a large frame must get on while memory for requests is spent.
    pub request_memory_stall: Duration,
    /// `fetch.max.bytes`: upper bound of one Fetch answer.
    pub fetch_max_bytes: usize,
    /// `einmal.fetch.memory.bytes`: Fetch answers in memory, all connections together.
    pub fetch_memory_bytes: usize,
    /// `einmal.fetch.memory.stall.ms`: time in which an answer must get on while that memory is spent.
    pub fetch_memory_stall: Duration,
    /// `max.incremental.fetch.session.cache.slots`.
    pub fetch_session_slots: usize,
    /// `max.request.partition.size.limit`, ≥ 1.
    pub request_partitions_max: usize,
    /// `einmal.fetch.session.partitions.max`: partitions in all cached fetch sessions together.
    pub fetch_session_partitions_max: usize,
    /// `einmal.tail.cache.bytes`.
    pub tail_cache_bytes: usize,
    /// `einmal.reader.threads`.
    pub reader_threads: usize,
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_max_bytes: usize,
    /// `offsets.retention.minutes`.
    pub offsets_retention: Duration,
    /// `log.cleaner.enable`.
    pub log_cleaner_enable: bool,
    /// `log.cleaner.backoff.ms`.
    pub log_cleaner_backoff: Duration,
    /// `log.cleaner.dedupe.buffer.size`.
    pub log_cleaner_dedupe_buffer_bytes: u64,
    /// `log.cleaner.io.max.bytes.per.second`.
    pub log_cleaner_bytes_per_second: f64,
    /// `log.retention.check.interval.ms`.
    pub log_retention_check_interval: Duration,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check_interval: Duration,
    /// `einmal.group.offsets.bytes.max`: memory of committed offsets, all groups together.
    pub group_offsets_bytes_max: usize,
    /// `group.initial.rebalance.delay.ms`.
    pub group_initial_rebalance_delay_ms: u64,
    /// `group.min.session.timeout.ms`.
    pub group_session_timeout_ms_min: i32,
    /// `group.max.session.timeout.ms`.
    pub group_session_timeout_ms_max: i32,
    /// `group.max.size`.
    pub group_size_max: usize,
    /// `offsets.topic.num.partitions`.
    pub offsets_topic_partitions: u32,
    /// `transaction.state.log.num.partitions`.
    pub transaction_topic_partitions: u32,
    /// `group.consumer.*`.
    pub consumer_groups: groups::ConsumerGroups,
    /// `einmal.group.members.bytes.max`: memory of groups and members, all groups together.
    pub group_members_bytes_max: usize,
    /// `einmal.group.members.bytes.per.group.max`: the same of one group.
    pub group_members_bytes_per_group_max: usize,
    /// `transaction.max.timeout.ms`.
    pub transaction_max_timeout_ms: u32,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`.
    pub transaction_timeout_check_interval: Duration,
    /// `transactional.id.expiration.ms`.
    pub transactional_id_expiration: Duration,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`.
    pub transactional_id_check_interval: Duration,
    /// `einmal.transactions.bytes.max`: memory of transactional ids and what belongs to their transactions.
    pub transactions_bytes_max: usize,
    /// `einmal.transaction.bytes.per.id.max`: the same of one transactional id.
    pub transaction_bytes_per_id_max: usize,
    /// `producer.id.expiration.ms`.
    pub producer_id_expiration: Duration,
    /// `producer.id.expiration.check.interval.ms`.
    pub producer_id_check_interval: Duration,
    /// `einmal.producer.ids.max`: producer states kept in all partitions together.
    pub producer_ids_max: usize,
    /// `einmal.dedup.memory.bytes`: message ids of all topics together.
    pub dedup_memory_bytes: usize,
    /// `einmal.dedup.open.max.ids`, ≥ 16: of one topic, before some are sealed.
    pub dedup_open_ids_max: usize,
    /// `einmal.dedup.slices.per.window`, ≥ 1.
    pub dedup_slices_per_window: usize,
    /// `einmal.dedup.id.max.bytes`: longest id.
    pub dedup_id_bytes_max: usize,
    /// `einmal.dedup.batch.max.bytes`: what a compressed batch with ids may become.
    pub dedup_batch_bytes_max: u64,
    /// `einmal.partitions.max`: partitions of all topics together.
    pub partitions_max: usize,
    /// `einmal.disk.reserve.bytes`: 0 switches it off.
    pub disk_reserve_bytes: u64,
    /// `einmal.storage.memtable.bytes`.
    pub storage_memtable_bytes: usize,
    /// `einmal.storage.block.cache.bytes`.
    pub storage_block_cache_bytes: usize,
    /// `einmal.client.metrics.bytes.max`.
    pub client_metrics_bytes_max: usize,
    /// `einmal.storage.accept.loss`: open in spite of damage to acknowledged data.
    pub storage_accept_loss: bool,
    /// `einmal.metrics.max.series.per.family`.
    pub metrics_series_max: usize,
    /// `einmal.metrics.level`: off, cluster, topic or partition.
    pub metrics_level: String,
    /// `einmal.metrics.compat`: whose names are shown beside our own.
    pub metrics_compat: Vec<String>,
    /// `einmal.log.level`: a filter for the program's own words.
    pub log_level: String,
    /// `einmal.create.topics`: created by a start before the broker is ready.
    pub create_topics: Vec<first_topics::FirstTopic>,
    /// Topic settings where a topic has none of its own.
    pub topic_defaults: TopicConfig,
    /// Texts as given by file, environment and flags, by name, with their origin.
    pub texts: BTreeMap<String, (String, Origin)>,
    /// Texts set by AlterConfigs; they win over all of `texts`.
    pub overrides: BrokerOverrides,
}

/// Where the value of a setting comes from; later ones win.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// What `einmal.profile` stands for.
    Profile,
    /// `server.properties`.
    File,
    /// `KAFKA_*`.
    KafkaEnvironment,
    /// `EINMAL_*`.
    Environment,
    /// `--set` and other flags.
    Flag,
}

/// Broker settings set by AlterConfigs. One node has two scopes for them, as Kafka has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BrokerOverrides {
    /// For all brokers: resource name empty.
    pub cluster: BTreeMap<String, String>,
    /// For this broker: resource name = node id. Wins.
    pub node: BTreeMap<String, String>,
    /// Subscriptions to clients' metrics, by name: resources of their own, kept here as they are the broker's, too.
    pub client_metrics: BTreeMap<String, BTreeMap<String, String>>,
}

impl BrokerOverrides {
    /// Marks names of [`BrokerOverrides::cluster`] in the one map that is stored; no setting's name begins with it.
    const CLUSTER_PREFIX: &'static str = "*/";

    /// Marks settings of subscriptions there, as `client-metrics/SUBSCRIPTION/SETTING`.
    const CLIENT_METRICS_PREFIX: &'static str = "client-metrics/";

    /// Everything in one map, as the engine stores it.
    pub fn to_stored(&self) -> BTreeMap<String, String> {
        let cluster = self.cluster.iter().map(|(name, text)| (format!("{}{name}", Self::CLUSTER_PREFIX), text.clone()));
        let client_metrics = self.client_metrics.iter().flat_map(|(subscription, settings)| {
            let key = move |name: &str| format!("{}{subscription}/{name}", Self::CLIENT_METRICS_PREFIX);
            settings.iter().map(move |(name, text)| (key(name), text.clone()))
        });
        cluster.chain(client_metrics).chain(self.node.clone()).collect()
    }

    /// Bytes of all subscriptions to clients' metrics.
    pub fn client_metrics_bytes(&self) -> usize {
        let subscription = |(subscription, settings): (&String, &BTreeMap<String, String>)| {
            let texts = settings.iter().map(|(name, text)| subscription.len() + name.len() + text.len());
            texts.sum::<usize>()
        };
        self.client_metrics.iter().map(subscription).sum()
    }

    /// What [`BrokerOverrides::to_stored`] made.
    pub fn from_stored(stored: &BTreeMap<String, String>) -> Self {
        let mut overrides = Self::default();
        for (name, text) in stored {
            let subscription = name.strip_prefix(Self::CLIENT_METRICS_PREFIX).and_then(|name| name.rsplit_once('/'));
            let (settings, name) = match (name.strip_prefix(Self::CLUSTER_PREFIX), subscription) {
                (Some(name), _) => (&mut overrides.cluster, name),
                (None, Some((subscription, name))) => {
                    (overrides.client_metrics.entry(subscription.to_owned()).or_default(), name)
                }
                (None, None) => (&mut overrides.node, name.as_str()),
            };
            settings.insert(name.to_owned(), text.clone());
        }
        overrides
    }
}

/// How a topic's batches are stored, whatever their producer chose (`BrokerCompressionType` in Kafka but for `producer`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressionType {
    /// `uncompressed`.
    Uncompressed,
    /// `gzip`.
    Gzip,
    /// `snappy`.
    Snappy,
    /// `lz4`.
    Lz4,
    /// `zstd`.
    Zstd,
}

/// Whose time a topic's records carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's, at the append.
    LogAppendTime,
}

/// Settings of one topic in force (`LogConfig` in Kafka). Times in ms, -1 unlimited where Kafka has it so.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicConfig {
    /// `cleanup.policy` has `compact`.
    pub compact: bool,
    /// `cleanup.policy` has `delete`.
    pub delete: bool,
    /// `max.message.bytes`: largest batch, as received.
    pub max_message_bytes: u32,
    /// `message.timestamp.type`.
    pub message_timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub message_timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub message_timestamp_after_max_ms: i64,
    /// `flush.messages`: 1 syncs before acks=all is answered; more relaxes it.
    pub flush_messages: i64,
    /// `flush.ms`: 0 syncs; more relaxes, with a sync at least that often.
    pub flush_ms: i64,
    /// `retention.ms`.
    pub retention_ms: i64,
    /// `retention.bytes`.
    pub retention_bytes: i64,
    /// `delete.retention.ms`.
    pub delete_retention_ms: i64,
    /// `min.compaction.lag.ms`.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`.
    pub max_compaction_lag_ms: i64,
    /// `min.cleanable.dirty.ratio`.
    pub min_cleanable_dirty_ratio: f64,
    /// `compression.type`; none is `producer`.
    pub compression_type: Option<CompressionType>,
    /// `compression.gzip.level`: 1 to 9, or -1 for the codec's own.
    pub compression_gzip_level: i32,
    /// `compression.zstd.level`: -131,072 to 22.
    pub compression_zstd_level: i32,
    /// `message.dedup.*`; none where `message.dedup.mode` is `none`.
    pub dedup: Option<Arc<DedupConfig>>,
    /// `einmal.message.dedup.*`: what stands behind that of topics.
    pub dedup_defaults: dedup::DedupDefaults,
}

impl TopicConfig {
    /// Whether acks=all is answered from the page cache: neither `flush.messages` is 1 nor `flush.ms` 0.
    pub fn is_relaxed(&self) -> bool {
        self.flush_messages != 1 && self.flush_ms != 0
    }
}
