//! The keys of a partition's batches, by which reads are planned.

use rocksdb::DB;

use super::iterator::{LogIterator, Passes};
use crate::store::StoreError;
use crate::store::schema::{LOG_KEY_BYTES, LogKey, log_prefix, log_seek_key};
use crate::types::{Offset, PartitionId};

/// The batches of a partition that hold offsets in a range, by their keys.
pub(super) struct LogCursor<'a> {
    iterator: LogIterator<'a>,
    from: Offset,
    /// Last offset of the key given before.
    last_offset: Option<Offset>,
    placed: bool,
}

impl<'a> LogCursor<'a> {
    /// From the batch that holds `from`, or the next after it, to the last that begins below `to`.
    pub(super) fn new(db: &'a DB, partition: PartitionId, from: Offset, to: Offset) -> Self {
        let iterator = LogIterator::new(db, log_prefix(partition), log_seek_key(partition, to), Passes::Keys);
        let mut cursor = Self { iterator, from, last_offset: None, placed: from < to };
        if cursor.placed {
            // Beyond any key of a batch at `from`.
            let mut seek = log_seek_key(partition, from);
            seek.resize(LOG_KEY_BYTES, 0xff);
            cursor.iterator.seek_for_prev(&seek);
            if !cursor.iterator.valid() {
                cursor.iterator.seek(&log_seek_key(partition, from));
            }
        }
        cursor
    }

    /// The next key; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<LogKey>, StoreError> {
        while self.placed && self.iterator.valid() {
            let key = LogKey::decode(self.iterator.key())?;
            self.iterator.next();
            // The row before the one sought, if that does not hold `from`.
            if key.last_offset() < self.from {
                continue;
            }
            self.check_order(&key)?;
            return Ok(Some(key));
        }
        if self.placed {
            self.iterator.status()?;
        }
        Ok(None)
    }

    /// Facts behind the base offset would hide two batches at one offset from key order.
    fn check_order(&mut self, key: &LogKey) -> Result<(), StoreError> {
        match self.last_offset.replace(key.last_offset()) {
            Some(last_offset) if key.base_offset <= last_offset => Err(StoreError::Corrupt {
                place: format!("partition {} offset {}", key.partition, key.base_offset),
                detail: format!("batch begins before the end of the one before it, {last_offset}"),
            }),
            _ => Ok(()),
        }
    }
}
