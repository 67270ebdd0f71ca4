//! What groups see of the topics.

use std::sync::Arc;

use super::patterns::Matchings;
use crate::group::consumer::regex::PatternInvalid;
use crate::group::consumer::topics::{Matching, TopicMetadata, TopicsImage};
use crate::log::catalog::{Topic, Topics};
use crate::types::Uuid;

/// All topics as of one committed change, with what was found out before of the patterns that match them.
pub(super) struct Image {
    topics: Arc<Topics>,
    matchings: Arc<Matchings>,
}

impl Image {
    /// With no pattern matched.
    pub fn of(topics: Arc<Topics>) -> Self {
        Self { topics, matchings: Arc::default() }
    }

    /// With `matchings`, which may be of older topics.
    pub fn with(topics: Arc<Topics>, matchings: Arc<Matchings>) -> Self {
        Self { topics, matchings }
    }
}

impl TopicsImage for Image {
    fn version(&self) -> u64 {
        self.topics.version
    }

    fn topic(&self, name: &str) -> Option<TopicMetadata> {
        self.topics.by_name.get(name).map(|topic| TopicMetadata { id: topic.id, partitions: partitions_of(topic) })
    }

    fn name(&self, id: Uuid) -> Option<&str> {
        self.topics.by_id.get(&id).map(|topic| &*topic.name)
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.topics.by_name.keys().map(|name| &**name))
    }

    fn matching(&self, pattern: &str) -> Option<Result<Matching, PatternInvalid>> {
        self.matchings.get(pattern).cloned()
    }
}

fn partitions_of(topic: &Topic) -> i32 {
    i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX)
}
