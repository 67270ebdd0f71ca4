//! One batch against its key and its own checksum.

use crate::record::{BatchHeader, patch};
use crate::store::schema::LogKey;

/// What is wrong with `bytes`, which lie under `key`; none if nothing is.
pub(super) fn fault(key: &LogKey, bytes: &[u8]) -> Option<String> {
    if let Err(what) = key.check_batch(bytes) {
        return Some(what);
    }
    let header = match BatchHeader::parse(bytes) {
        Ok(header) => header,
        Err(error) => return Some(error.to_string()),
    };
    let crc = patch::computed_crc(bytes);
    if crc != header.crc {
        return Some(format!("checksum is {crc:#010x}, the batch says {:#010x}", header.crc));
    }
    if header.last_offset_delta < 0 || LogKey::of(key.partition, &header) != *key {
        return Some("the batch's header is not what its key says".to_owned());
    }
    None
}
