//! Families under the names of other exporters, so that dashboards made for Kafka show data: `einmal.metrics.compat`.
//!
//! kafka_exporter names offsets and groups; the rules that Strimzi gives to Kafka's JMX exporter name its MBeans. What a broker
//! without replicas cannot vary, such as the number of replicas, is shown as the constant that it is: panels need it.

use super::{Family, Kind, Source};

/// Whose names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dialect {
    /// kafka_exporter.
    KafkaExporter,
    /// JMX exporter with Strimzi's rules.
    Jmx,
}

impl Dialect {
    /// The dialect of this name in `einmal.metrics.compat`.
    pub fn of_name(name: &str) -> Option<Self> {
        match name {
            "kafka_exporter" => Some(Self::KafkaExporter),
            "jmx" => Some(Self::Jmx),
            _ => None,
        }
    }
}

macro_rules! families {
    ($($constant:ident = $name:literal $kind:ident [$($label:literal),*] $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: &Family = &Family {
            name: $name,
            kind: Kind::$kind,
            source: Source::Collector,
            labels: &[$($label),*],
            values: &[],
            help: $help,
        };)*
        /// All families of this module.
        pub const FAMILIES: &[&Family] = &[$($constant),*];
    };
}

families! {
    BROKERS = "kafka_brokers" Gauge [] "Brokers: always 1";
    BROKER_INFO = "kafka_broker_info" Gauge ["id", "address"] "Always 1; the labels tell id and advertised address";
    TOPIC_PARTITIONS = "kafka_topic_partitions" Gauge ["topic"] "Partitions of the topic";
    CURRENT_OFFSET = "kafka_topic_partition_current_offset" Gauge ["topic", "partition"] "High watermark";
    OLDEST_OFFSET = "kafka_topic_partition_oldest_offset" Gauge ["topic", "partition"] "Log start offset";
    IN_SYNC_REPLICA = "kafka_topic_partition_in_sync_replica" Gauge ["topic", "partition"] "Replicas in sync: always 1";
    LEADER = "kafka_topic_partition_leader" Gauge ["topic", "partition"] "Node id of the leader";
    LEADER_IS_PREFERRED = "kafka_topic_partition_leader_is_preferred" Gauge ["topic", "partition"] "Always 1";
    REPLICAS = "kafka_topic_partition_replicas" Gauge ["topic", "partition"] "Replicas: always 1";
    UNDER_REPLICATED = "kafka_topic_partition_under_replicated_partition" Gauge ["topic", "partition"] "Always 0";
    GROUP_OFFSET = "kafka_consumergroup_current_offset" Gauge ["consumergroup", "topic", "partition"] "Committed offset";
    GROUP_OFFSET_SUM = "kafka_consumergroup_current_offset_sum" Gauge ["consumergroup", "topic"] "Committed offsets of all partitions";
    GROUP_LAG = "kafka_consumergroup_lag" Gauge ["consumergroup", "topic", "partition"] "Records between the committed offset and the high watermark";
    GROUP_LAG_SUM = "kafka_consumergroup_lag_sum" Gauge ["consumergroup", "topic"] "The same over all partitions";
    GROUP_MEMBERS = "kafka_consumergroup_members" Gauge ["consumergroup"] "Members of the group";

    BYTES_IN = "kafka_server_brokertopicmetrics_bytesin_total" Counter ["topic"] "Bytes of appended batches";
    BYTES_OUT = "kafka_server_brokertopicmetrics_bytesout_total" Counter ["topic"] "Bytes of fetched batches";
    MESSAGES_IN = "kafka_server_brokertopicmetrics_messagesin_total" Counter ["topic"] "Records appended";
    PRODUCE_REQUESTS = "kafka_server_brokertopicmetrics_totalproducerequests_total" Counter ["topic"] "Batches appended or refused";
    PRODUCE_FAILED = "kafka_server_brokertopicmetrics_failedproducerequests_total" Counter ["topic"] "Batches refused";
    FETCH_REQUESTS = "kafka_server_brokertopicmetrics_totalfetchrequests_total" Counter ["topic"] "Partitions of fetches that were answered with records or an error";
    FETCH_FAILED = "kafka_server_brokertopicmetrics_failedfetchrequests_total" Counter ["topic"] "Partitions of fetches answered with an error";
    LEADER_COUNT = "kafka_server_replicamanager_leadercount" Gauge [] "Partitions";
    PARTITION_COUNT = "kafka_server_replicamanager_partitioncount" Gauge [] "Partitions";
    UNDER_REPLICATED_COUNT = "kafka_server_replicamanager_underreplicatedpartitions" Gauge [] "Always 0";
    UNDER_MIN_ISR_COUNT = "kafka_server_replicamanager_underminisrpartitioncount" Gauge [] "Always 0";
    ACTIVE_CONTROLLER = "kafka_controller_kafkacontroller_activecontrollercount" Gauge [] "Always 1";
    OFFLINE_PARTITIONS = "kafka_controller_kafkacontroller_offlinepartitionscount" Gauge [] "Always 0";
    GLOBAL_TOPICS = "kafka_controller_kafkacontroller_globaltopiccount" Gauge [] "Topics";
    GLOBAL_PARTITIONS = "kafka_controller_kafkacontroller_globalpartitioncount" Gauge [] "Partitions";
    UNCLEAN_ELECTIONS = "kafka_controller_controllerstats_uncleanleaderelections_total" Counter [] "Always 0";
    LOG_SIZE = "kafka_log_log_size" Gauge ["topic", "partition"] "Bytes of readable batches";
    OFFLINE_DIRECTORIES = "kafka_log_logmanager_offlinelogdirectorycount" Gauge [] "Always 0: without its directory the broker ends";
    AT_MIN_ISR = "kafka_cluster_partition_atminisr" Gauge ["topic", "partition"] "Always 0";
    UNDER_MIN_ISR = "kafka_cluster_partition_underminisr" Gauge ["topic", "partition"] "Always 0";
    REPLICAS_COUNT = "kafka_cluster_partition_replicascount" Gauge ["topic", "partition"] "Always 1";
    LSO_LAG = "kafka_cluster_partition_laststableoffsetlag" Gauge ["topic", "partition"] "Records between last stable offset and high watermark";
    REQUESTS = "kafka_network_requestmetrics_requests_total" Counter ["request", "version"] "Requests by API and version";
    REQUEST_TIME = "kafka_network_requestmetrics_totaltimems" Gauge ["request", "quantile"] "Time of requests since the start, ms, as near as buckets tell";
    CONNECTION_COUNT = "kafka_server_socket_server_metrics_connection_count" Gauge ["listener", "networkProcessor"] "Open connections";
    HANDLER_IDLE = "kafka_server_kafkarequesthandlerpool_requesthandleravgidle_percent" Gauge [] "Share of time in which the threads that serve connections had nothing to do, since the start";
    PROCESSOR_IDLE = "kafka_network_socketserver_networkprocessoravgidle_percent" Gauge [] "The same: they are the same threads";
}
