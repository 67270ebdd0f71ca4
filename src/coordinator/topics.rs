//! What groups see of the topics.

use std::sync::Arc;

use crate::group::consumer::topics::{TopicMetadata, TopicsImage};
use crate::log::catalog::{Topic, Topics};
use crate::types::Uuid;

/// All topics as of one committed change.
pub(super) struct Image(pub Arc<Topics>);

impl TopicsImage for Image {
    fn version(&self) -> u64 {
        self.0.version
    }

    fn topic(&self, name: &str) -> Option<TopicMetadata> {
        self.0.by_name.get(name).map(|topic| TopicMetadata { id: topic.id, partitions: partitions_of(topic) })
    }

    fn name(&self, id: Uuid) -> Option<&str> {
        self.0.by_id.get(&id).map(|topic| &*topic.name)
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.0.by_name.keys().map(|name| &**name))
    }
}

fn partitions_of(topic: &Topic) -> i32 {
    i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX)
}
