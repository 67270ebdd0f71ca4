//! What writers, readers and the final drain report, one JSON object a line, and the payload of a value.

use serde::Deserialize;

/// One line of a history.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Event {
    /// A writer hands a value to its client. `seq` rises by one per producer.
    Invoke { producer: String, seq: u64 },
    /// The client reports the value as acknowledged.
    Ok { producer: String, seq: u64, partition: i32, offset: i64 },
    /// The client reports that the value was refused and never written.
    Fail { producer: String, seq: u64 },
    /// The client gave up; the value may be there once or not at all. Values without any outcome count as this.
    Unknown,
    /// A reader that ran meanwhile saw a record.
    Read { reader: String, partition: i32, offset: i64, payload: String },
    /// A reader saw the end of a partition.
    Watermark { reader: String, partition: i32, high: i64 },
    /// A record of the final drain, partitions from their start to their end.
    Drain { partition: i32, offset: i64, payload: String },
    /// A member of a group is told that it has a partition now. Times (`at`, `asked`) are of the clock that all processes share, ns.
    Assigned { member: String, partition: i32, at: u64 },
    /// A member has it no more.
    Revoked { member: String, partition: i32 },
    /// A member was given a record and has done with it what it wanted.
    Processed { member: String, partition: i32, offset: i64, payload: String },
    /// A member asks for an offset to be committed.
    Committing { partition: i32, offset: i64 },
    /// The commit is acknowledged.
    Committed { partition: i32, offset: i64, at: u64 },
    /// An observer that asked at that time was told this committed offset; 0 without one.
    Offset { partition: i32, offset: i64, asked: u64 },
}

/// Who wrote a value, and its number.
pub type Value = (String, u64);

/// The value of `PRODUCER/SEQ/FILL/CRC32`, CRC-32 as eight hex digits over what stands before the last slash; none if the
/// payload is not one that a writer wrote.
pub fn parse_payload(payload: &str) -> Option<Value> {
    let (body, crc) = payload.rsplit_once('/')?;
    if format!("{:08x}", crc32(body.as_bytes())) != crc {
        return None;
    }
    let mut parts = body.splitn(3, '/');
    let producer = parts.next()?.to_owned();
    Some((producer, parts.next()?.parse().ok()?))
}

/// CRC-32 as zlib, Go and Java have it.
pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}
