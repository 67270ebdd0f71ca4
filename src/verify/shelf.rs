//! Where rows come from: a data directory, or the store of tests.

use bytes::Bytes;

use crate::store::StoreError;
use crate::store::rocks::ReadOnlyStore;
use crate::store::schema::LogKey;
use crate::types::{Offset, PartitionId, TopicNo};

/// Rows to read.
pub trait Shelf {
    /// Visits all rows whose key begins with `prefix`, in key order, as far as they can be read.
    ///
    /// # Errors
    /// Where it cannot go on.
    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError>;

    /// Visits the facts of the batches of `partition` from the one that holds `from` on, in order.
    ///
    /// # Errors
    /// Where it cannot go on.
    fn facts(&self, partition: PartitionId, from: Offset, visit: &mut dyn FnMut(LogKey)) -> Result<(), StoreError>;

    /// The first topic from `from` on of which there are batches.
    ///
    /// # Errors
    /// Where it cannot go on.
    fn topic_with_batches(&self, from: TopicNo) -> Result<Option<TopicNo>, StoreError>;

    /// The batch under `key`.
    ///
    /// # Errors
    /// What the disk or the database says.
    fn batch(&self, key: &LogKey) -> Result<Option<Bytes>, StoreError>;
}

impl Shelf for ReadOnlyStore {
    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        ReadOnlyStore::scan(self, prefix, visit)
    }

    fn facts(&self, partition: PartitionId, from: Offset, visit: &mut dyn FnMut(LogKey)) -> Result<(), StoreError> {
        self.scan_log(partition, from, visit)
    }

    fn topic_with_batches(&self, from: TopicNo) -> Result<Option<TopicNo>, StoreError> {
        ReadOnlyStore::topic_with_batches(self, from)
    }

    fn batch(&self, key: &LogKey) -> Result<Option<Bytes>, StoreError> {
        ReadOnlyStore::batch(self, key)
    }
}
