//! Keys and values of every row: the one home of the on-disk layout.
//!
//! A key is a one-byte prefix and big-endian integers, so key order is logical order. A value begins with the version of its
//! own layout, except a log row's, which is the record batch and nothing else. What a value means lies with its owner; here
//! is only how it is written.
//!
//! | prefix | key after it | value |
//! | --- | --- | --- |
//! | 0x10 log | topic, partition, base offset, the batch's facts | record batch |
//! | 0x11 partition | topic, partition | [`PartitionRow`] |
//! | 0x12 producer | topic, partition, producer id | [`crate::producer::ProducerState`] |
//! | 0x13 aborted | topic, partition, offset of the marker | [`AbortedRow`] |
//! | 0x14 sparse | topic, partition, base offset | [`SparseRow`] |
//! | 0x15 message ids | topic, partition, base offset, and the time if they were sent again | [`IdBlock`] |
//! | 0x16 compacted | topic, partition | [`CompactedRow`] |
//! | 0x17 sequence | topic, partition, name | [`crate::dedup::Sequence`] |
//! | 0x18 version | topic, partition, fingerprint of a record's key | [`KeyVersion`] |
//! | 0x19 file of message ids | its number | [`SliceRow`] |
//! | 0x20 transaction | transactional id | [`crate::transaction::TransactionMetadata`] |
//! | 0x21 pending offset | producer id, length of group, group, topic, partition | [`OffsetRow`] |
//! | 0x30 group | group | [`crate::group::classic::StoredGroup`] |
//! | 0x31 offset | length of group, group, topic, partition | [`OffsetRow`] |
//! | 0x32 consumer group | length of group, group, kind of row, name | [`crate::group::consumer::change::Change`] |
//! | 0x33 group settings | group | [`GroupConfigs`] |
//! | 0x40 topic | topic | [`TopicRow`] |
//! | 0x41–0x49 | nothing: single rows | [`NextTopicNo`], [`ProducerIdBlock`], [`Identity`], [`BrokerEpoch`], [`BrokerOverrides`], [`ExpiryClockRow`], [`MessageIdSecret`], [`MessageIdTime`], [`IssuedIdBlock`] |
//!
//! Invariant: decoding returns what was encoded, and an error, never a panic, for any other bytes.
//! Invariant: a topic's number is never reused, so rows that outlive their topic are never read again.

mod consumer_group;
mod group;
mod key;
mod log_key;
mod message_ids;
mod meta;
mod offset;
mod partition;
mod producer;
mod sequence;
mod slice;
mod topic;
mod transaction;
mod value;
mod version;

pub use consumer_group::{
    GroupConfigs, consumer_group_key, consumer_group_row, consumer_groups_prefix, group_configs_key,
    group_configs_prefix, group_of_configs_key,
};
pub use group::{group_key, group_of_key, groups_prefix};
pub use key::{
    PARTITION_PREFIX_BYTES, aborted_key, aborted_of_key, aborted_prefix, compacted_key, compacted_of_key, next_prefix,
    partition_key, partition_of_key, partitions_prefix, producer_key, producer_of_key, producers_prefix, sparse_key,
    sparse_of_key, sparse_prefix, topic_prefixes,
};
pub use log_key::{LOG_KEY_BYTES, LogKey, log_prefix, log_range, log_seek_key, topic_log_range};
pub use message_ids::{IdBlock, MessageIdSecret, MessageIdTime, id_block_key, id_block_of_key, id_blocks_prefix};
pub use meta::{BrokerEpoch, BrokerOverrides, ExpiryClockRow, Identity, IssuedIdBlock, NextTopicNo, ProducerIdBlock};
pub use offset::{
    OffsetRow, offset_key, offset_of_key, offsets_of_group_prefix, offsets_prefix, pending_offset_key,
    pending_offset_of_key, pending_offsets_prefix,
};
pub use partition::{AbortedRow, CompactedRow, PartitionRow, SparseRow};
pub use sequence::{sequence_key, sequence_of_key, sequences_prefix};
pub use slice::{SliceRow, slice_key, slice_of_key};
pub use topic::{TopicRow, topic_key, topic_of_key, topics_prefix};
pub use transaction::{transaction_key, transaction_of_key, transactions_prefix};
pub use value::RowValue;
pub use version::{KeyVersion, topic_of_version_key, version_key, versions_prefix};

use super::StoreError;

/// First byte of every key.
pub mod prefix {
    /// Record batches.
    pub const LOG: u8 = 0x10;
    /// State of partitions.
    pub const PARTITION: u8 = 0x11;
    /// State of producers, per partition.
    pub const PRODUCER: u8 = 0x12;
    /// Aborted transactions, per partition.
    pub const ABORTED: u8 = 0x13;
    /// Sparse index of times and sizes, per partition.
    pub const SPARSE: u8 = 0x14;
    /// Ids of messages, per batch.
    pub const ID_BLOCK: u8 = 0x15;
    /// How far compaction has come, per partition.
    pub const COMPACTED: u8 = 0x16;
    /// Numbers of producers, per partition and name.
    pub const SEQUENCE: u8 = 0x17;
    /// Versions of keys, per partition.
    pub const KEY_VERSION: u8 = 0x18;
    /// Files of message ids, per number.
    pub const SLICE: u8 = 0x19;
    /// Transactions, per transactional id.
    pub const TRANSACTION: u8 = 0x20;
    /// Offsets that belong to an open transaction, per producer.
    pub const PENDING_OFFSET: u8 = 0x21;
    /// Groups.
    pub const GROUP: u8 = 0x30;
    /// Committed offsets, per group.
    pub const OFFSET: u8 = 0x31;
    /// Consumer groups of KIP-848.
    pub const CONSUMER_GROUP: u8 = 0x32;
    /// Settings of single groups.
    pub const GROUP_CONFIGS: u8 = 0x33;
    /// Topics.
    pub const TOPIC: u8 = 0x40;
    /// The one row of the next topic number.
    pub const NEXT_TOPIC_NO: u8 = 0x41;
    /// The one row of the next block of producer ids.
    pub const PRODUCER_ID_BLOCK: u8 = 0x42;
    /// The one row of cluster id and directory id.
    pub const IDENTITY: u8 = 0x43;
    /// The one row of the leader epoch and how the last run ended.
    pub const BROKER_EPOCH: u8 = 0x44;
    /// The one row of the broker's dynamic settings.
    pub const BROKER_OVERRIDES: u8 = 0x45;
    /// The one row of the time by which things expire.
    pub const EXPIRY_CLOCK: u8 = 0x46;
    /// The one row of the secret behind fingerprints of message ids.
    pub const MESSAGE_ID_SECRET: u8 = 0x47;
    /// The one row of the time that message ids are kept by.
    pub const MESSAGE_ID_TIME: u8 = 0x48;
    /// The one row of the 64-bit ids that were handed out.
    pub const ISSUED_ID_BLOCK: u8 = 0x49;
}

/// A key or value that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The bytes are not what any version of einmal writes.
    #[error("corrupt {row} row: {detail}")]
    Corrupt {
        /// Which kind of row.
        row: &'static str,
        /// What did not match.
        detail: &'static str,
    },
    /// A later version of einmal wrote the value.
    #[error("{row} row has layout version {found}, this version reads up to {supported}")]
    Newer {
        /// Which kind of row.
        row: &'static str,
        /// Version byte found.
        found: u8,
        /// Newest version known.
        supported: u8,
    },
}

impl From<RowError> for StoreError {
    fn from(error: RowError) -> Self {
        let row = match error {
            RowError::Corrupt { row, .. } | RowError::Newer { row, .. } => row,
        };
        Self::Corrupt { place: format!("{row} row"), detail: error.to_string() }
    }
}

#[cfg(test)]
mod tests;
