//! From texts to the typed [`Config`].

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::dedup::DedupDefaults;
use super::first_topics::{self, FirstTopic};
use super::groups::{Bounded, ConsumerGroups};
use super::listeners::{self, ListenerError, Listeners};
use super::table::{self, InvalidSetting, list};
use super::{BrokerOverrides, Config, Origin, TopicConfig};

const CREATION_RATE: &str = "max.connection.creation.rate";

/// Texts by name, with their origin.
pub type Texts = BTreeMap<String, (String, Origin)>;

/// Why texts make no configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A value that its setting may not have.
    #[error(transparent)]
    Invalid(#[from] InvalidSetting),
    /// Something about listeners.
    #[error(transparent)]
    Listener(#[from] ListenerError),
}

/// What the texts alone do not tell.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// This machine's name, for `auto` as advertised host.
    pub host_name: String,
    /// Leave listeners out whose protocol is not served, instead of refusing to start.
    pub skip_unserved_listeners: bool,
}

impl Config {
    /// The settings that `texts` give, defaults elsewhere, and the names of listeners that were left out. The names in `texts`
    /// need not be known; unknown ones are kept and mean nothing.
    pub fn build(
        texts: Texts,
        overrides: BrokerOverrides,
        surroundings: &Surroundings,
    ) -> Result<(Self, Vec<String>), BuildError> {
        let values = Values { texts: &texts, overrides: &overrides };
        let Listeners { served, skipped } = listeners::resolve(
            &listeners::Texts {
                listeners: values.text("listeners").unwrap_or_default(),
                advertised: values.text("advertised.listeners"),
                advertised_host: values.text("einmal.advertised.host"),
                protocols: values.text("listener.security.protocol.map").unwrap_or_default(),
                controllers: values.text("controller.listener.names").unwrap_or_default(),
            },
            &surroundings.host_name,
            surroundings.skip_unserved_listeners,
        )?;
        let mut config = Self {
            node_id: values.node_id()?,
            cluster_id: values.text("cluster.id").map(str::to_owned),
            data_dir: values.data_dir()?,
            admin_listener: values.admin_listener(served.iter().all(|listener| listener.port == 0))?,
            listeners: served,
            num_partitions: values.number("num.partitions")?,
            auto_create_topics_enable: values.boolean("auto.create.topics.enable")?,
            delete_topic_enable: values.boolean("delete.topic.enable")?,
            replication_factor_clamp: values.boolean("einmal.replication.factor.clamp")?,
            socket_request_max_bytes: values.number("socket.request.max.bytes")?,
            queued_max_request_bytes: values.number("queued.max.request.bytes")?,
            connection_request_bytes_max: values.number("einmal.connection.request.bytes.max")?,
            connections_max: values.number("max.connections")?,
            connections_max_per_ip: values.number("max.connections.per.ip")?,
            connection_creation_rate_max: values.number(CREATION_RATE)?,
            listener_connection_creation_rates: values.listener_creation_rates()?,
            admin_connections_max: values.number("einmal.admin.connections.max")?,
            admin_hosts: values.admin_hosts()?,
            admin_request_timeout: values.duration_ms("einmal.admin.request.timeout.ms")?,
            connections_max_idle: values.duration_ms("connections.max.idle.ms")?,
            request_frame_timeout: values.duration_ms("einmal.request.frame.timeout.ms")?,
            fetch_max_bytes: values.number("fetch.max.bytes")?,
            fetch_memory_bytes: values.number("einmal.fetch.memory.bytes")?,
            request_memory_stall: values.duration_ms("einmal.request.memory.stall.ms")?,
            fetch_memory_stall: values.duration_ms("einmal.fetch.memory.stall.ms")?,
            fetch_session_slots: values.number("max.incremental.fetch.session.cache.slots")?,
            request_partitions_max: values.number("max.request.partition.size.limit")?,
            fetch_session_partitions_max: values.number("einmal.fetch.session.partitions.max")?,
            tail_cache_bytes: values.number("einmal.tail.cache.bytes")?,
            reader_threads: values.number("einmal.reader.threads")?,
            offset_metadata_max_bytes: values.number("offset.metadata.max.bytes")?,
            offsets_retention: Duration::from_secs(
                values.number::<u64>("offsets.retention.minutes")?.saturating_mul(60),
            ),
            log_cleaner_enable: values.boolean("log.cleaner.enable")?,
            log_cleaner_backoff: values.duration_ms("log.cleaner.backoff.ms")?,
            log_cleaner_dedupe_buffer_bytes: values.number("log.cleaner.dedupe.buffer.size")?,
            log_cleaner_bytes_per_second: values.number("log.cleaner.io.max.bytes.per.second")?,
            log_retention_check_interval: values.duration_ms("log.retention.check.interval.ms")?,
            offsets_retention_check_interval: values.duration_ms("offsets.retention.check.interval.ms")?,
            group_offsets_bytes_max: values.number("einmal.group.offsets.bytes.max")?,
            group_initial_rebalance_delay_ms: values.number("group.initial.rebalance.delay.ms")?,
            group_session_timeout_ms_min: values.number("group.min.session.timeout.ms")?,
            group_session_timeout_ms_max: values.number("group.max.session.timeout.ms")?,
            group_size_max: values.number("group.max.size")?,
            offsets_topic_partitions: values.number("offsets.topic.num.partitions")?,
            transaction_topic_partitions: values.number("transaction.state.log.num.partitions")?,
            consumer_groups: values.consumer_groups()?,
            group_members_bytes_max: values.number("einmal.group.members.bytes.max")?,
            group_members_bytes_per_group_max: values.number("einmal.group.members.bytes.per.group.max")?,
            transaction_max_timeout_ms: values.number("transaction.max.timeout.ms")?,
            transaction_timeout_check_interval: values
                .duration_ms("transaction.abort.timed.out.transaction.cleanup.interval.ms")?,
            transactional_id_expiration: values.duration_ms("transactional.id.expiration.ms")?,
            transactional_id_check_interval: values
                .duration_ms("transaction.remove.expired.transaction.cleanup.interval.ms")?,
            transactions_bytes_max: values.number("einmal.transactions.bytes.max")?,
            transaction_bytes_per_id_max: values.number("einmal.transaction.bytes.per.id.max")?,
            producer_id_expiration: values.duration_ms("producer.id.expiration.ms")?,
            producer_id_check_interval: values.duration_ms("producer.id.expiration.check.interval.ms")?,
            producer_ids_max: values.number("einmal.producer.ids.max")?,
            dedup_memory_bytes: values.number("einmal.dedup.memory.bytes")?,
            dedup_open_ids_max: values.number("einmal.dedup.open.max.ids")?,
            dedup_slices_per_window: values.number("einmal.dedup.slices.per.window")?,
            dedup_id_bytes_max: values.number("einmal.dedup.id.max.bytes")?,
            dedup_batch_bytes_max: values.number("einmal.dedup.batch.max.bytes")?,
            partitions_max: values.number("einmal.partitions.max")?,
            disk_reserve_bytes: values.number("einmal.disk.reserve.bytes")?,
            storage_memtable_bytes: values.number("einmal.storage.memtable.bytes")?,
            storage_block_cache_bytes: values.number("einmal.storage.block.cache.bytes")?,
            client_metrics_bytes_max: values.number("einmal.client.metrics.bytes.max")?,
            storage_accept_loss: values.boolean("einmal.storage.accept.loss")?,
            metrics_series_max: values.number("einmal.metrics.max.series.per.family")?,
            metrics_level: values.checked("einmal.metrics.level")?,
            metrics_compat: list(&values.checked("einmal.metrics.compat")?).map(str::to_owned).collect(),
            log_level: values.text("einmal.log.level").unwrap_or_default().to_owned(),
            create_topics: values.create_topics()?,
            topic_defaults: values.topic_defaults()?,
            texts: BTreeMap::new(),
            overrides: BrokerOverrides::default(),
        };
        values.check_all()?;
        config.texts = texts;
        config.overrides = overrides;
        Ok((config, skipped))
    }

    /// This configuration under other dynamic settings. Listeners stay as they are: they are bound at the start.
    pub fn with_overrides(&self, overrides: BrokerOverrides) -> Result<Self, BuildError> {
        let surroundings = Surroundings { host_name: String::new(), skip_unserved_listeners: true };
        let (mut config, _) = Self::build(self.texts.clone(), overrides, &surroundings)?;
        config.listeners.clone_from(&self.listeners);
        config.admin_listener = self.admin_listener;
        Ok(config)
    }
}

/// Texts in force: dynamic over given over default.
#[derive(Clone, Copy)]
struct Values<'a> {
    texts: &'a Texts,
    overrides: &'a BrokerOverrides,
}

impl<'a> Values<'a> {
    fn given(&self, name: &str) -> Option<&'a str> {
        let dynamic = self.overrides.node.get(name).or_else(|| self.overrides.cluster.get(name));
        dynamic.or_else(|| self.texts.get(name).map(|(text, _)| text)).map(String::as_str)
    }

    fn is_given(&self, name: &str) -> bool {
        self.given(name).is_some()
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        let setting = table::broker(name).expect("only names of the table are asked for: a test builds the default");
        self.given(name).map(str::trim).or(setting.default)
    }

    fn checked(&self, name: &str) -> Result<String, InvalidSetting> {
        let setting = table::broker(name).expect("only names of the table are asked for: a test builds the default");
        setting.check(self.text(name).unwrap_or_default())
    }

    fn number<T: FromStr>(&self, name: &str) -> Result<T, InvalidSetting> {
        let text = self.checked(name)?;
        table::number(name, &text)
    }

    fn boolean(&self, name: &str) -> Result<bool, InvalidSetting> {
        Ok(self.checked(name)? == "true")
    }

    fn duration_ms(&self, name: &str) -> Result<Duration, InvalidSetting> {
        Ok(Duration::from_millis(self.number(name)?))
    }

    fn node_id(&self) -> Result<i32, InvalidSetting> {
        let node: Option<i32> = self.given("node.id").map(|_| self.number("node.id")).transpose()?;
        // -1 is Kafka's word for "not given".
        let broker: Option<i32> = self.given("broker.id").map(|_| self.number("broker.id")).transpose()?;
        match (node, broker.filter(|id| *id >= 0)) {
            (Some(node), Some(broker)) if node != broker => Err(invalid(
                "broker.id",
                &broker.to_string(),
                format!("it must be equal to node.id, which is {node}; give one of the two"),
            )),
            (Some(id), _) | (None, Some(id)) => Ok(id),
            (None, None) => self.number("node.id"),
        }
    }

    fn data_dir(&self) -> Result<PathBuf, InvalidSetting> {
        let name = if !self.is_given("log.dirs") && self.is_given("log.dir") { "log.dir" } else { "log.dirs" };
        let text = self.text(name).unwrap_or_default();
        list(text).next().map(PathBuf::from).ok_or_else(|| invalid(name, text, "it must name a directory"))
    }

    /// By name of the listener, which is in lower case in the names of settings.
    fn listener_creation_rates(&self) -> Result<BTreeMap<String, u32>, InvalidSetting> {
        let setting = table::broker(CREATION_RATE).expect("it is in the table");
        let BrokerOverrides { cluster, node, .. } = self.overrides;
        let mut rates = BTreeMap::new();
        for name in self.texts.keys().chain(cluster.keys()).chain(node.keys()) {
            if let (Some(listener), Some(text)) = (table::listener_of(name, CREATION_RATE), self.given(name)) {
                let rate = setting.check(text)?;
                rates.insert(listener.to_uppercase(), rate.parse().map_err(|_| invalid(name, &rate, "out of range"))?);
            }
        }
        Ok(rates)
    }

    fn consumer_groups(&self) -> Result<ConsumerGroups, InvalidSetting> {
        let bounded = |what: &str| {
            let number = |bound: &str| self.number(&format!("group.consumer.{bound}{what}"));
            Ok(Bounded { min: number("min.")?, default: number("")?, max: number("max.")? })
        };
        let groups = ConsumerGroups {
            session_timeout_ms: bounded("session.timeout.ms")?,
            heartbeat_interval_ms: bounded("heartbeat.interval.ms")?,
            size_max: self.number("group.consumer.max.size")?,
            assignors: list(&self.checked("group.consumer.assignors")?).map(str::to_owned).collect(),
            is_enabled: list(&self.checked("group.coordinator.rebalance.protocols")?).any(|name| name == "consumer"),
            migration_policy: self.checked("group.consumer.migration.policy")?,
        };
        groups.check()?;
        Ok(groups)
    }

    fn admin_listener(&self, all_ports_free: bool) -> Result<Option<SocketAddr>, InvalidSetting> {
        const NAME: &str = "einmal.admin.listener";
        let text = self.text(NAME).unwrap_or_default();
        if text.is_empty() || text.eq_ignore_ascii_case("off") {
            return Ok(None);
        }
        let resolved = text.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
        let mut address = resolved
            .ok_or_else(|| invalid(NAME, text, "it must be an address and a port, or off; e.g. 127.0.0.1:9644"))?;
        if all_ports_free && !self.is_given(NAME) {
            address.set_port(0);
        }
        Ok(Some(address))
    }

    fn admin_hosts(&self) -> Result<Vec<String>, InvalidSetting> {
        let named = self.checked("einmal.admin.hosts")?;
        let bound = self.text("einmal.admin.listener").and_then(|text| text.rsplit_once(':')).map(|(host, _)| host);
        Ok(list(&named).chain(bound).map(str::to_owned).collect())
    }

    fn create_topics(&self) -> Result<Vec<FirstTopic>, InvalidSetting> {
        const NAME: &str = "einmal.create.topics";
        let text = self.text(NAME).unwrap_or_default();
        first_topics::parse(text).map_err(|reason| invalid(NAME, text, reason))
    }

    /// Defaults of topics: of the broker settings behind each, the first given one, else the topic setting's own default.
    fn topic_defaults(&self) -> Result<TopicConfig, InvalidSetting> {
        let mut config = TopicConfig::default();
        for setting in table::TOPICS {
            let Some((name, text, factor)) = setting
                .synonyms
                .iter()
                .find_map(|synonym| Some((synonym.name, self.given(synonym.name)?, synonym.factor)))
            else {
                continue;
            };
            let broker = table::broker(name).expect("every synonym is in the table: a test looks each up");
            let text = broker.check(text)?;
            config.set(setting.name, &scaled(name, &text, factor)?)?;
        }
        config.dedup_defaults = self.dedup_defaults()?;
        Ok(config)
    }

    fn dedup_defaults(&self) -> Result<DedupDefaults, InvalidSetting> {
        let mut texts = BTreeMap::new();
        for setting in table::TOPICS {
            for synonym in setting.synonyms.iter().filter(|synonym| synonym.name.starts_with(table::DEDUP_DEFAULT)) {
                if let Some(text) = self.given(synonym.name) {
                    let broker = table::broker(synonym.name).expect("every synonym is in the table");
                    texts.insert(setting.name.to_owned(), broker.check(text)?);
                }
            }
        }
        DedupDefaults::of(&self.checked(table::DEFAULTED_TOPICS)?, texts)
    }

    /// Checks the settings that no field is made of.
    fn check_all(&self) -> Result<(), InvalidSetting> {
        for setting in table::broker_settings() {
            if let Some(text) = self.given(setting.name) {
                setting.check(text)?;
            }
        }
        Ok(())
    }
}

/// `text` in the unit of the topic setting. Kafka takes any negative time as unlimited.
pub(super) fn scaled(name: &str, text: &str, factor: i64) -> Result<String, InvalidSetting> {
    if factor == 1 {
        return Ok(text.to_owned());
    }
    let value: i64 = text.parse().map_err(|_| invalid(name, text, "out of range"))?;
    Ok(if value < 0 { -1 } else { value.saturating_mul(factor) }.to_string())
}

fn invalid(name: &str, text: &str, reason: impl std::fmt::Display) -> InvalidSetting {
    InvalidSetting { name: name.to_owned(), reason: format!("Invalid value {text} for configuration {name}: {reason}") }
}

#[cfg(test)]
pub(super) mod tests;
