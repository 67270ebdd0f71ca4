//! Topics as fetches name them.

use std::sync::Arc;

use crate::api::Context;
use crate::api::fetch_session::TopicKey;
use crate::log::catalog::{Topic, Topics};

/// Looks topics up in one snapshot; neighbours of one topic cost one search.
pub(super) struct Lookup {
    topics: Arc<Topics>,
    last: Option<(TopicKey, Option<Arc<Topic>>)>,
}

impl Lookup {
    pub(super) fn new(cx: &Context) -> Self {
        Self { topics: cx.broker.catalog.topics(), last: None }
    }

    pub(super) fn topic(&mut self, key: &TopicKey) -> Option<Arc<Topic>> {
        if let Some((last, topic)) = &self.last
            && last == key
        {
            return topic.clone();
        }
        let topic = match key {
            TopicKey::Name(name) => self.topics.by_name.get(name),
            TopicKey::Id(id) => self.topics.by_id.get(id),
        };
        self.last = Some((key.clone(), topic.cloned()));
        topic.cloned()
    }
}
