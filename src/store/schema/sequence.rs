//! How far producers have come by their own numbers, one row for each name in each partition.

use super::value::{FieldReader, Fields, RowValue};
use super::{RowError, key, prefix};
use crate::dedup::{Reached, Sequence};
use crate::types::{PartitionId, ProducerId, TopicNo};

/// Key of a name's row.
pub fn sequence_key(partition: PartitionId, name: &str) -> Vec<u8> {
    let mut key = key::of_partition(prefix::SEQUENCE, partition, name.len());
    key.extend_from_slice(name.as_bytes());
    key
}

/// Prefix of the names of one topic, of all if none is given.
pub fn sequences_prefix(topic: Option<TopicNo>) -> Vec<u8> {
    key::of_topic(prefix::SEQUENCE, topic)
}

/// Partition and name that a key of [`sequence_key`] names.
///
/// # Errors
/// [`RowError::Corrupt`] for any other key.
pub fn sequence_of_key(bytes: &[u8]) -> Result<(PartitionId, &str), RowError> {
    let mut reader = FieldReader::of_key(Sequence::NAME, prefix::SEQUENCE, bytes)?;
    let partition = key::read_partition(&mut reader)?;
    let name = bytes.get(key::PARTITION_PREFIX_BYTES..).and_then(|name| std::str::from_utf8(name).ok());
    Ok((partition, name.ok_or(RowError::Corrupt { row: Sequence::NAME, detail: "its name is not UTF-8" })?))
}

impl RowValue for Sequence {
    const NAME: &'static str = "sequence";

    fn write(&self, fields: &mut Fields) {
        fields.i64(self.time);
        fields.flag(self.settled.is_some());
        if let Some(settled) = &self.settled {
            write_reached(fields, settled);
        }
        fields.flag(self.pending.is_some());
        if let Some((producer_id, pending)) = &self.pending {
            fields.i64(producer_id.0);
            write_reached(fields, pending);
        }
    }

    fn read(_: u8, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        let time = fields.i64()?;
        let settled = if fields.flag()? { Some(read_reached(fields)?) } else { None };
        let pending = if fields.flag()? { Some((ProducerId(fields.i64()?), read_reached(fields)?)) } else { None };
        Ok(Self { settled, pending, time })
    }
}

fn write_reached(fields: &mut Fields, reached: &Reached) {
    fields.u64(reached.number);
    fields.i64(reached.offset);
    fields.u64(reached.run);
}

fn read_reached(fields: &mut FieldReader<'_>) -> Result<Reached, RowError> {
    Ok(Reached { number: fields.u64()?, offset: fields.i64()?, run: fields.u64()? })
}
