//! Topics by name and by id, as of the last committed change.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::config::TopicConfig;
use crate::types::{TopicNo, Uuid};

use super::partition::Partition;

/// A topic as of one committed change. Immutable: a change makes a new one.
#[derive(Debug)]
pub struct Topic {
    /// The broker's number for it, never reused.
    pub no: TopicNo,
    /// Its name.
    pub name: Arc<str>,
    /// Its id for clients: a random UUID, new on re-creation.
    pub id: Uuid,
    /// Partitions by index.
    pub partitions: Vec<Arc<Partition>>,
    /// Configuration set on the topic itself, Kafka's names and the texts given.
    pub overrides: BTreeMap<String, String>,
    /// The configuration in force: overrides over broker settings over defaults.
    pub config: TopicConfig,
}

/// All topics as of one committed change.
#[derive(Debug, Default)]
pub struct Topics {
    /// By name, sorted as listings show them.
    pub by_name: BTreeMap<Arc<str>, Arc<Topic>>,
    /// By id.
    pub by_id: HashMap<Uuid, Arc<Topic>>,
}

/// Hands out the newest [`Topics`].
#[derive(Debug, Default)]
pub struct Catalog {
    topics: arc_swap::ArcSwap<Topics>,
}

impl Catalog {
    /// All topics, consistent among themselves.
    pub fn topics(&self) -> Arc<Topics> {
        self.topics.load_full()
    }
    /// The topic of this name.
    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics.load().by_name.get(name).cloned()
    }
    /// The topic of this id.
    pub fn topic_by_id(&self, id: Uuid) -> Option<Arc<Topic>> {
        self.topics.load().by_id.get(&id).cloned()
    }
    /// Replaces all topics. Called by the engine alone, before it answers the change.
    pub fn publish(&self, topics: Topics) {
        self.topics.store(Arc::new(topics));
    }
}
