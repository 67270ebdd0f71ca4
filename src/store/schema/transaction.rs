//! Transactions.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::value::{FieldReader, Fields, RowValue};
use super::{RowError, key, prefix};
use crate::transaction::{TransactionMetadata, TransactionState, TransactionVersion};
use crate::types::{PartitionId, ProducerEpoch, ProducerId};

const PARTITION_BYTES: usize = 8;
/// Smallest group: the length before its name.
const GROUP_BYTES_MIN: usize = 4;

/// States and versions by the numbers in which they are stored, which are Kafka's.
const STATES: [TransactionState; 6] = TransactionState::ALL;
const VERSIONS: [TransactionVersion; 2] = [TransactionVersion::V1, TransactionVersion::V2];

impl RowValue for TransactionMetadata {
    const NAME: &'static str = "transaction";

    fn write(&self, fields: &mut Fields) {
        fields.i64(self.producer_id.0);
        fields.i64(self.previous_producer_id.0);
        fields.i64(self.next_producer_id.0);
        fields.i16(self.producer_epoch.0);
        fields.i16(self.last_producer_epoch.0);
        fields.u32(self.timeout_ms);
        fields.number_of(&STATES, self.state);
        fields.number_of(&VERSIONS, self.version);
        fields.i64(self.start_time);
        fields.i64(self.last_update);
        fields.count(self.partitions.len());
        for partition in &self.partitions {
            key::write_partition(fields, *partition);
        }
        fields.count(self.groups.len());
        for group in &self.groups {
            fields.text(group);
        }
    }

    fn read(_: u8, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        let transaction = Self {
            producer_id: ProducerId(fields.non_negative()?),
            previous_producer_id: ProducerId(fields.i64()?),
            next_producer_id: ProducerId(fields.i64()?),
            producer_epoch: ProducerEpoch(fields.i16()?),
            last_producer_epoch: ProducerEpoch(fields.i16()?),
            timeout_ms: fields.u32()?,
            state: fields.one_of(&STATES)?,
            version: fields.one_of(&VERSIONS)?,
            start_time: fields.i64()?,
            last_update: fields.i64()?,
            partitions: BTreeSet::new(),
            groups: BTreeSet::new(),
        };
        let count = fields.count(PARTITION_BYTES)?;
        let partitions: Vec<PartitionId> = (0..count).map(|_| key::read_partition(fields)).collect::<Result<_, _>>()?;
        let count = fields.count(GROUP_BYTES_MIN)?;
        let groups: Vec<Arc<str>> = (0..count).map(|_| fields.text().map(Arc::from)).collect::<Result<_, _>>()?;
        // In order and each once, as they are written.
        if !partitions.is_sorted_by(|one, next| one < next) || !groups.is_sorted_by(|one, next| one < next) {
            return Err(fields.corrupt("participants out of order"));
        }
        let (partitions, groups) = (partitions.into_iter().collect(), groups.into_iter().collect());
        Ok(Self { partitions, groups, ..transaction })
    }
}

/// Prefix of all transactions.
pub fn transactions_prefix() -> Vec<u8> {
    vec![prefix::TRANSACTION]
}

/// Key of the transactions of one transactional id.
pub fn transaction_key(transactional_id: &str) -> Vec<u8> {
    let mut key = transactions_prefix();
    key.extend_from_slice(transactional_id.as_bytes());
    key
}

/// The transactional id that a key of [`transaction_key`] names.
///
/// # Errors
/// [`RowError::Corrupt`] for any other key.
pub fn transaction_of_key(key: &[u8]) -> Result<String, RowError> {
    let mut reader = FieldReader::of_key("transaction", prefix::TRANSACTION, key)?;
    reader.text_of(key.len() - 1)
}
