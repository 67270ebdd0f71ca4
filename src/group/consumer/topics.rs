//! What a group has to know of topics.

use std::collections::BTreeSet;

use super::regex::{PatternInvalid, TopicPattern};
use crate::types::Uuid;

/// A topic as far as groups care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicMetadata {
    /// Its id.
    pub id: Uuid,
    /// Count of its partitions.
    pub partitions: i32,
}

/// The topics at one moment.
pub trait TopicsImage {
    /// Rises with each topic created, deleted or grown. It may begin anew with each start of the broker.
    fn version(&self) -> u64;
    /// The topic named `name`.
    fn topic(&self, name: &str) -> Option<TopicMetadata>;
    /// The name of the topic with `id`.
    fn name(&self, id: Uuid) -> Option<&str>;
    /// All names.
    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_>;
    /// What `pattern` matches, or why it is none; none where that has to be found out elsewhere first.
    fn matching(&self, pattern: &str) -> Option<Result<Matching, PatternInvalid>> {
        Some(Matching::of(pattern, self))
    }
}

/// What a pattern matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matching {
    /// Version of the topics that were looked at.
    pub version: u64,
    /// Names of those that the pattern matches as a whole.
    pub names: BTreeSet<String>,
}

impl Matching {
    /// Matches all topics, which for a costly pattern and thousands of them takes seconds.
    ///
    /// # Errors
    /// [`PatternInvalid`].
    pub fn of<T: TopicsImage + ?Sized>(pattern: &str, topics: &T) -> Result<Self, PatternInvalid> {
        let pattern = TopicPattern::new(pattern)?;
        let names = topics.names().filter(|name| pattern.matches(name)).map(str::to_owned);
        Ok(Self { version: topics.version(), names: names.collect() })
    }
}

/// A number that changes when one of the topics `names` is created, deleted, created again or grows. Topics that do not exist
/// count like none. It is stored, so the function is spelled out here: FNV-1a with 64 bits.
pub fn metadata_hash(names: &BTreeSet<&str>, topics: &dyn TopicsImage) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut update = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for name in names {
        if let Some(topic) = topics.topic(name) {
            update(name.as_bytes());
            update(&[0]);
            update(topic.id.as_bytes());
            update(&topic.partitions.to_be_bytes());
        }
    }
    hash
}
