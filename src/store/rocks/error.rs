//! What RocksDB's errors mean. It tells them apart by a kind and, for the system's errors, by their text only.

use rocksdb::{Error, ErrorKind};

use crate::store::StoreError;

/// Whether the device or the quota is full.
pub(super) fn is_no_space(error: &Error) -> bool {
    let text = error.as_ref();
    ["No space left on device", "Disk quota exceeded"].iter().any(|no_space| text.contains(no_space))
}

pub(super) fn store_error(error: Error) -> StoreError {
    if is_no_space(&error) {
        return StoreError::NoSpace(error.into_string());
    }
    match error.kind() {
        ErrorKind::Corruption => StoreError::Corrupt { place: "the database".to_owned(), detail: error.into_string() },
        _ => StoreError::Failed(error.into_string()),
    }
}
