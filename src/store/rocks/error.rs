//! What RocksDB's errors mean. It tells them apart by a kind and, for the system's errors, by their text only.

use rocksdb::{Error, ErrorKind};

use crate::store::StoreError;

/// Whether the device or the quota is full.
pub(super) fn is_no_space(error: &Error) -> bool {
    let text = error.as_ref();
    ["No space left on device", "Disk quota exceeded"].iter().any(|no_space| text.contains(no_space))
}

/// Whether what was written is not there any more, or not as it was. A file that is gone is an error of the system for RocksDB.
pub(super) fn is_damage(error: &Error) -> bool {
    error.kind() == ErrorKind::Corruption || error.as_ref().contains("No such file or directory")
}

pub(super) fn store_error(error: Error) -> StoreError {
    if is_no_space(&error) {
        return StoreError::NoSpace(error.into_string());
    }
    if is_damage(&error) {
        return StoreError::Corrupt { place: "the database".to_owned(), detail: error.into_string() };
    }
    StoreError::Failed(error.into_string())
}
