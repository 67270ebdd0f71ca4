//! Versions of keys, one row for each key in each partition of a topic that checks them.

use super::value::{FieldReader, Fields, RowValue};
use super::{RowError, key, prefix};
use crate::dedup::Fingerprint;
use crate::types::{Offset, PartitionId, TopicNo};

/// Offset of the newest record of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyVersion(pub Offset);

/// Key of the row of a record's key.
pub fn version_key(partition: PartitionId, of: &Fingerprint) -> Vec<u8> {
    let mut key = key::of_partition(prefix::KEY_VERSION, partition, of.0.len());
    key.extend_from_slice(&of.0);
    key
}

/// Prefix of the versions of one topic, of all if none is given.
pub fn versions_prefix(topic: Option<TopicNo>) -> Vec<u8> {
    key::of_topic(prefix::KEY_VERSION, topic)
}

/// The topic that a key of [`version_key`] names.
///
/// # Errors
/// [`RowError::Corrupt`] for any other key.
pub fn topic_of_version_key(bytes: &[u8]) -> Result<TopicNo, RowError> {
    let mut reader = FieldReader::of_key(KeyVersion::NAME, prefix::KEY_VERSION, bytes)?;
    let partition = key::read_partition(&mut reader)?;
    reader.array::<16>()?;
    reader.end()?;
    Ok(partition.topic)
}

impl RowValue for KeyVersion {
    const NAME: &'static str = "version of a key";

    fn write(&self, fields: &mut Fields) {
        fields.i64(self.0);
    }

    fn read(_: u8, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        Ok(Self(fields.i64()?))
    }
}
