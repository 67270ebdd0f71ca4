//! All brokers of a cluster, and which of them to ask.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{FindCoordinatorRequest, MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::{ClientError, Connection, open_any, until_ready};
use crate::types::{ErrorCode, PartitionIndex};

/// Id of a broker.
pub type NodeId = i32;

/// `FindCoordinator` for groups.
const KEY_TYPE_GROUP: i8 = 0;
/// `FindCoordinator` for transactions.
const KEY_TYPE_TRANSACTION: i8 = 1;

/// Id of no broker.
const NO_NODE: NodeId = -1;

/// A partition, and the broker that leads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionLeader {
    /// Name of its topic.
    pub topic: String,
    /// Its index.
    pub partition: PartitionIndex,
    /// None while nobody leads it.
    pub leader: Option<NodeId>,
}

/// As connections are opened to it: an IPv6 address stands in brackets.
pub fn host_and_port(host: &str, port: i32) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// A cluster. Connections to its brokers are opened when they are first asked.
#[derive(Debug)]
pub struct Cluster {
    bootstrap: Connection,
    addresses: BTreeMap<NodeId, String>,
    connections: BTreeMap<NodeId, Connection>,
    controller: NodeId,
    client_id: &'static str,
    patience: Duration,
}

impl Cluster {
    /// Connects to `bootstrap` (host:port), one of the cluster's brokers, or the first of several that answers, and asks for the others.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn connect(bootstrap: &str, client_id: &'static str, patience: Duration) -> Result<Self, ClientError> {
        let bootstrap = open_any(bootstrap, client_id, patience)?;
        let (addresses, connections) = (BTreeMap::new(), BTreeMap::new());
        let mut cluster = Self { bootstrap, addresses, connections, controller: NO_NODE, client_id, patience };
        cluster.metadata(Some(&[]))?;
        Ok(cluster)
    }

    /// Ids of all brokers.
    pub fn brokers(&self) -> Vec<NodeId> {
        self.addresses.keys().copied().collect()
    }

    /// The connection to one of them.
    ///
    /// # Errors
    /// [`ClientError::NoBroker`], or why there is no connection.
    pub fn broker(&mut self, id: NodeId) -> Result<&mut Connection, ClientError> {
        let address = self.addresses.get(&id).ok_or(ClientError::NoBroker(id))?;
        match self.connections.entry(id) {
            std::collections::btree_map::Entry::Occupied(open) => Ok(open.into_mut()),
            std::collections::btree_map::Entry::Vacant(place) => {
                let opened = Connection::open(address, self.client_id, self.patience);
                let told_by = self.bootstrap.address();
                Ok(place.insert(opened.map_err(|error| ClientError::Told { told_by, id, error: error.into() })?))
            }
        }
    }

    /// The connection to the broker that takes changes of topics and settings.
    ///
    /// # Errors
    /// [`ClientError::NoBroker`] while there is none, or why there is no connection.
    pub fn controller(&mut self) -> Result<&mut Connection, ClientError> {
        self.broker(self.controller)
    }

    /// The broker that coordinates the group.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn group_coordinator(&mut self, group_id: &str) -> Result<NodeId, ClientError> {
        self.coordinator(group_id, KEY_TYPE_GROUP)
    }

    /// The broker that coordinates the transactions of `transactional_id`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn transaction_coordinator(&mut self, transactional_id: &str) -> Result<NodeId, ClientError> {
        self.coordinator(transactional_id, KEY_TYPE_TRANSACTION)
    }

    fn coordinator(&mut self, key: &str, key_type: i8) -> Result<NodeId, ClientError> {
        let request =
            FindCoordinatorRequest::default().with_key(StrBytes::from_string(key.to_owned())).with_key_type(key_type);
        // The first one to ask for any makes Kafka create the topic of coordinators.
        let not_ready = [ErrorCode::COORDINATOR_NOT_AVAILABLE, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS];
        let (code, answer) = until_ready(self.patience, &not_ready, || {
            let answer = self.bootstrap.call("FindCoordinator", &request, (1, 3))?;
            Ok((ErrorCode(answer.error_code), answer))
        })?;
        ClientError::check("FindCoordinator", code.0, answer.error_message.as_deref())?;
        Ok(answer.node_id.0)
    }

    /// The partitions of `topics`, of all topics if there are none, in order.
    ///
    /// # Errors
    /// [`ClientError::NoTopic`], and what else happens.
    pub fn partitions(&mut self, topics: &[String]) -> Result<Vec<PartitionLeader>, ClientError> {
        let answer = self.metadata((!topics.is_empty()).then_some(topics))?;
        let mut partitions = Vec::new();
        for topic in answer.topics {
            let name = topic.name.map(|name| name.to_string()).unwrap_or_default();
            if topic.error_code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.0 {
                return Err(ClientError::NoTopic(name));
            }
            ClientError::check("Metadata", topic.error_code, None)?;
            partitions.extend(topic.partitions.into_iter().map(|partition| PartitionLeader {
                topic: name.clone(),
                partition: partition.partition_index,
                leader: (partition.leader_id.0 >= 0).then_some(partition.leader_id.0),
            }));
        }
        partitions.sort_unstable_by(|one, other| (&one.topic, one.partition).cmp(&(&other.topic, other.partition)));
        Ok(partitions)
    }

    /// Of these topics, or of all. Takes note of the brokers.
    fn metadata(&mut self, topics: Option<&[String]>) -> Result<MetadataResponse, ClientError> {
        let name = |topic: &String| {
            MetadataRequestTopic::default().with_name(Some(TopicName(StrBytes::from_string(topic.clone()))))
        };
        let topics = topics.map(|topics| topics.iter().map(name).collect());
        let request = MetadataRequest::default().with_topics(topics).with_allow_auto_topic_creation(false);
        let answer = self.bootstrap.call("Metadata", &request, (4, 9))?;
        self.addresses =
            answer.brokers.iter().map(|broker| (broker.node_id.0, host_and_port(&broker.host, broker.port))).collect();
        self.controller = answer.controller_id.0;
        Ok(answer)
    }
}
