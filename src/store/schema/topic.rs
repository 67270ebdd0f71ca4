//! Topics.

use std::collections::BTreeMap;

use super::value::{FieldReader, Fields, RowValue};
use super::{RowError, prefix};
use crate::types::{TopicNo, Uuid};

/// A topic, keyed by its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRow {
    /// The broker's number for it; the key.
    pub no: TopicNo,
    /// Its name.
    pub name: String,
    /// Its id for clients.
    pub id: Uuid,
    /// Number of partitions.
    pub partitions: u32,
    /// Settings of its own, by Kafka's names.
    pub overrides: BTreeMap<String, String>,
}

impl RowValue for TopicRow {
    const NAME: &'static str = "topic";

    fn write(&self, fields: &mut Fields) {
        fields.u32(self.no.0);
        fields.text(&self.name);
        fields.array(*self.id.as_bytes());
        fields.u32(self.partitions);
        fields.texts(&self.overrides);
    }

    fn read(_: u8, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        Ok(Self {
            no: TopicNo(fields.u32()?),
            name: fields.text()?,
            id: Uuid::from_bytes(fields.array()?),
            partitions: fields.u32()?,
            overrides: fields.texts()?,
        })
    }
}

/// Prefix of all topics.
pub fn topics_prefix() -> Vec<u8> {
    vec![prefix::TOPIC]
}

/// Key of a topic.
pub fn topic_key(no: TopicNo) -> Vec<u8> {
    let mut key = topics_prefix();
    key.extend_from_slice(&no.0.to_be_bytes());
    key
}

/// The number that a key of [`topic_key`] names.
///
/// # Errors
/// [`RowError::Corrupt`] for any other key.
pub fn topic_of_key(key: &[u8]) -> Result<TopicNo, RowError> {
    let mut reader = FieldReader::of_key("topic", prefix::TOPIC, key)?;
    let no = TopicNo(reader.u32()?);
    reader.end()?;
    Ok(no)
}
