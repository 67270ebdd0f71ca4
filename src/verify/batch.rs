//! One batch against its key and its own checksum.

use crate::record::{BatchHeader, patch};
use crate::store::schema::LogKey;

/// Holds `bytes` against `key`, under which they lie; answers the batch's header.
///
/// Where records at the end of a batch were there before and were left out, its key ends with the last one that is stored, and its header
/// says how far its offsets go.
///
/// # Errors
/// What is wrong with them.
pub(super) fn check(key: &LogKey, bytes: &[u8]) -> Result<BatchHeader, String> {
    key.check_batch(bytes)?;
    let header = BatchHeader::parse(bytes).map_err(|error| error.to_string())?;
    let crc = patch::computed_crc(bytes);
    if crc != header.crc {
        return Err(format!("checksum is {crc:#010x}, the batch says {:#010x}", header.crc));
    }
    let last_present_delta = i64::from(key.last_offset_delta);
    let is_said = header.last_offset_delta >= 0
        && LogKey { last_offset_delta: key.last_offset_delta, ..LogKey::of(key.partition, &header) } == *key
        && last_present_delta <= i64::from(header.last_offset_delta)
        && (last_present_delta == i64::from(header.last_offset_delta)
            || i64::from(header.record_count) <= last_present_delta + 1);
    if is_said { Ok(header) } else { Err("the batch's header is not what its key says".to_owned()) }
}
