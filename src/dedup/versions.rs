//! Versions of keys (`message.version.check`): a record may say after which record of its key it may come.
//!
//! The version of a key is the offset of its newest record in the partition, which its sender was answered; a key without one, or whose
//! newest record has no value, has none. It is an optimistic lock: who has read version 7 writes "after 7", and is refused if somebody
//! else was first.

use super::fingerprint::{Fingerprint, Secret};
use crate::record::records::RecordView;
use crate::types::Offset;

/// Header with the version that the key must have: an offset as decimal text, or [`ABSENT`].
const EXPECTED: &[u8] = b"expected-version";
/// For a key that must have none.
const ABSENT: &[u8] = b"none";

/// What a record with a key says of versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionedRecord {
    /// Of its key.
    pub key: Fingerprint,
    /// The version that its key must have, none for no record; none if any will do.
    pub expected: Option<Option<Offset>>,
    /// Whether it removes its key: it has no value.
    pub removes: bool,
    /// Offset of the record minus the base offset of its batch.
    pub offset_delta: u32,
}

impl VersionedRecord {
    /// What `record` says; nothing if it has no key and expects nothing.
    pub(super) fn of(record: &RecordView<'_>, offset_delta: u32, secret: Secret) -> Result<Option<Self>, &'static str> {
        // The last of several counts, as in Kafka's `Headers.lastHeader`.
        let header = record.header_pairs().filter(|(name, _)| *name == EXPECTED).last();
        let expected = header.map(|(_, value)| read_version(value.unwrap_or_default())).transpose()?;
        let Some(key) = record.key else {
            return expected.map_or(Ok(None), |_| Err("it expects a version and has no key"));
        };
        let key = secret.fingerprint([Some(key)]);
        Ok(Some(Self { key, expected, removes: record.value.is_none(), offset_delta }))
    }
}

fn read_version(text: &[u8]) -> Result<Option<Offset>, &'static str> {
    if text == ABSENT {
        return Ok(None);
    }
    let digits = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let offset = digits.and_then(|digits| digits.parse().ok());
    offset.map(Some).ok_or("its expected-version is neither an offset nor none")
}
