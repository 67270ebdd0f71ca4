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
    /// A transactional producer has come to be: InitProducerId is answered, and older instances of the id are fenced.
    Initialized { id: String, instance: u64, at: u64 },
    /// It begins a transaction; names are unique.
    Begin { id: String, instance: u64, txn: String, at: u64 },
    /// It hands a value to its client, for the output.
    Send { txn: String, producer: String, seq: u64, partition: i32 },
    /// The value is acknowledged.
    Sent { txn: String, producer: String, seq: u64, partition: i32, offset: i64 },
    /// The transaction works on this record.
    Consumed { txn: String, partition: i32, offset: i64, payload: String },
    /// It will commit this offset of the input.
    Staged { txn: String, partition: i32, offset: i64 },
    /// Its end is asked for.
    Ending { txn: String, commit: bool, at: u64 },
    /// And answered. Without this nobody knows the outcome.
    Ended { txn: String, commit: bool, at: u64 },
    /// A reader of committed or of all records was given a record of the output in the poll of this number.
    Polled { reader: String, committed: bool, poll: u64, partition: i32, offset: i64, payload: String, at: u64 },
    /// A reader went elsewhere in a partition of its own accord.
    Positioned { reader: String, partition: i32 },
    /// Log start, last stable offset and high watermark of a partition of the output.
    Ends { reader: String, partition: i32, start: i64, stable: i64, high: i64, at: u64 },
    /// A record of the final drain of the output, of committed or of all records.
    Final { committed: bool, partition: i32, offset: i64, payload: String },
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

/// The fill of a payload: in the output, the name of the transaction that wrote it.
pub fn transaction_of(payload: &str) -> Option<&str> {
    let (body, _) = payload.rsplit_once('/')?;
    body.splitn(3, '/').nth(2)
}

/// CRC-32 as zlib, Go and Java have it.
pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}
