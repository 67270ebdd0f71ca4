//! Ids of messages that topics remember, one row for each batch that brought some.

use super::value::{FieldReader, Fields, RowValue};
use super::{RowError, key, prefix};
use crate::dedup::{BatchId, Claim, Fingerprint, KeptIds};
use crate::types::{Offset, PartitionId, ProducerId, Timestamp, TopicNo};

/// The ids of a batch, or those of earlier records that were sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdBlock {
    /// When the batch was appended, or they were sent again, ms that brokers had run on this data directory.
    pub time: Timestamp,
    /// The producer whose transaction it belongs to; none if it belongs to none. Whether that is open, the producer's row tells.
    pub transaction: Option<ProducerId>,
    /// By rising offset deltas.
    pub kept: KeptIds,
}

/// Key of the ids of the batch at `base_offset`, or of records from there on that were sent again at a time.
///
/// # Panics
/// If `base_offset` is negative.
pub fn id_block_key(partition: PartitionId, base_offset: Offset, repeated: Option<Timestamp>) -> Vec<u8> {
    let mut key = key::of_partition_and_number(prefix::ID_BLOCK, partition, base_offset);
    key.extend(repeated.into_iter().flat_map(Timestamp::to_be_bytes));
    key
}

/// Prefix of the ids of one topic, of all if none is given.
pub fn id_blocks_prefix(topic: Option<TopicNo>) -> Vec<u8> {
    key::of_topic(prefix::ID_BLOCK, topic)
}

/// Partition, base offset and time that a key of [`id_block_key`] names.
///
/// # Errors
/// [`RowError::Corrupt`] for any other key.
pub fn id_block_of_key(bytes: &[u8]) -> Result<(PartitionId, Offset, Option<Timestamp>), RowError> {
    let mut reader = FieldReader::of_key(IdBlock::NAME, prefix::ID_BLOCK, bytes)?;
    let (partition, base_offset) = (key::read_partition(&mut reader)?, reader.non_negative()?);
    let repeated = if reader.end().is_ok() { None } else { Some(reader.i64()?) };
    reader.end()?;
    Ok((partition, base_offset, repeated))
}

/// Every record has an id: its offset delta is its place.
const DENSE: u8 = 0;
/// Each id has its offset delta behind it.
const SPARSE: u8 = 1;

impl RowValue for IdBlock {
    const NAME: &'static str = "message ids";
    /// 2: with claims; 3: with times.
    const VERSION: u8 = 3;

    fn write(&self, fields: &mut Fields) {
        let KeptIds { ids, claims, times } = &self.kept;
        fields
            .reserve(32 + size_of::<BatchId>() * ids.len() + size_of::<Claim>() * claims.len() + size_of_val(&**times));
        fields.i64(self.time);
        fields.i64(self.transaction.map_or(-1, |producer_id| producer_id.0));
        let is_dense = (0..).zip(ids).all(|(place, id)| id.offset_delta == place);
        fields.array([if is_dense { DENSE } else { SPARSE }]);
        fields.count(ids.len());
        for id in ids {
            fields.array(id.fingerprint.0);
            if !is_dense {
                fields.u32(id.offset_delta);
            }
        }
        assert!(claims.is_empty() || claims.len() == ids.len(), "a ledger claims each id");
        fields.flag(!claims.is_empty());
        for claim in claims {
            fields.u64(claim.owner);
            fields.i64(claim.expires);
        }
        assert!(times.is_empty() || times.len() == ids.len(), "each id has a time or none has");
        fields.flag(!times.is_empty());
        for time in times {
            fields.i64(*time);
        }
    }

    fn read(version: u8, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        let time = fields.i64()?;
        let transaction = Some(ProducerId(fields.i64()?)).filter(|producer_id| producer_id.0 >= 0);
        let is_dense = fields.one_of(&[true, false])?;
        let count = fields.count(if is_dense { 16 } else { 20 })?;
        let mut ids = Vec::with_capacity(count);
        for place in (0..u32::MAX).take(count) {
            let fingerprint = Fingerprint(fields.array()?);
            ids.push(BatchId { fingerprint, offset_delta: if is_dense { place } else { fields.u32()? } });
        }
        let is_ledger = version >= 2 && fields.flag()?;
        let mut claims = Vec::new();
        for _ in ids.iter().filter(|_| is_ledger) {
            claims.push(Claim { owner: fields.u64()?, expires: fields.i64()? });
        }
        let has_times = version >= 3 && fields.flag()?;
        let mut times = Vec::new();
        for _ in ids.iter().filter(|_| has_times) {
            times.push(fields.i64()?);
        }
        Ok(Self { time, transaction, kept: KeptIds { ids, claims, times } })
    }
}

/// The one row of how long brokers have run on this data directory, ms, as of the last look: the time that ids are kept by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageIdTime(pub Timestamp);

impl MessageIdTime {
    /// Its key.
    pub const KEY: [u8; 1] = [prefix::MESSAGE_ID_TIME];
}

impl RowValue for MessageIdTime {
    const NAME: &'static str = "time of message ids";

    fn write(&self, fields: &mut Fields) {
        fields.i64(self.0);
    }

    fn read(_: u8, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        Ok(Self(fields.i64()?))
    }
}

/// The one row of what makes fingerprints of ids unforeseeable: random bytes, made with the first start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageIdSecret(pub [u8; 16]);

impl MessageIdSecret {
    /// Its key.
    pub const KEY: [u8; 1] = [prefix::MESSAGE_ID_SECRET];
}

impl RowValue for MessageIdSecret {
    const NAME: &'static str = "secret of message ids";

    fn write(&self, fields: &mut Fields) {
        fields.array(self.0);
    }

    fn read(_: u8, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        Ok(Self(fields.array()?))
    }
}
