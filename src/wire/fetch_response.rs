//! Fetch answers encoded around refcounted slices of stored batches: a small frame, no copy of record bytes.
//!
//! Mirrors `FetchResponse` of Kafka at versions 4 to 18, but for what a single node never sends: preferred read replica,
//! current leader, snapshot id and node endpoints stay at their defaults.
//!
//! Invariant: the segments, put end to end, are byte for byte what the crate's encoder writes for the same values.

use bytes::{BufMut, Bytes, BytesMut};

use super::primitive::{put_compact_length, put_compact_string, put_string};
use super::{Close, RequestHeader, Segments};
use crate::types::{ErrorCode, Offset, PartitionIndex, ProducerId, Uuid};

#[cfg(test)]
mod tests;

/// Versions that [`FetchResponse::encode`] writes.
pub const VERSIONS: (i16, i16) = (4, 18);

/// First version with compact lengths and tag sections.
const FLEXIBLE_FROM: i16 = 12;

/// A single node has no replica that a client could prefer.
const NO_PREFERRED_READ_REPLICA: i32 = -1;

/// A whole Fetch answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchResponse {
    /// Time the client is asked to wait, ms; 0 without a quota.
    pub throttle_time_ms: i32,
    /// Error of the session or the whole request; written from version 7.
    pub error: ErrorCode,
    /// Fetch session, 0 for none; written from version 7.
    pub session_id: i32,
    /// In the order of the request.
    pub topics: Vec<FetchTopic>,
}

/// One topic of a Fetch answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FetchTopic {
    /// Written up to version 12.
    pub name: String,
    /// Written from version 13.
    pub id: Uuid,
    /// In the order of the request.
    pub partitions: Vec<FetchPartition>,
}

/// One partition of a Fetch answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchPartition {
    /// Index of the partition.
    pub index: PartitionIndex,
    /// Outcome.
    pub error: ErrorCode,
    /// End of what may be read; -1 with most errors.
    pub high_watermark: Offset,
    /// End of what read_committed may see.
    pub last_stable_offset: Offset,
    /// First readable offset; written from version 5.
    pub log_start_offset: Offset,
    /// Aborted transactions that overlap the batches; none for read_uncommitted.
    pub aborted: Option<Vec<AbortedTransaction>>,
    /// End of the newest epoch the reader shares with this log (KIP-595), if the reader's last fetched epoch is not in it;
    /// written from version 12.
    pub diverging_epoch: Option<EpochEnd>,
    /// Whole batches as stored; empty for nothing, which is never null on the wire.
    pub batches: Vec<Bytes>,
}

/// A transaction whose records a read_committed consumer drops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Its producer.
    pub producer_id: ProducerId,
    /// Its first offset in the partition.
    pub first_offset: Offset,
}

/// An epoch and the offset after its last record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEnd {
    /// Leader epoch.
    pub epoch: i32,
    /// Offset after the last record of the epoch.
    pub end_offset: Offset,
}

impl FetchPartition {
    /// A partition without records: `error` with unknown offsets.
    pub fn refused(index: PartitionIndex, error: ErrorCode) -> Self {
        Self { error, ..Self::empty(index) }
    }

    /// A partition without records and offsets, for the caller to fill.
    pub fn empty(index: PartitionIndex) -> Self {
        Self {
            index,
            error: ErrorCode::NONE,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            aborted: None,
            diverging_epoch: None,
            batches: Vec::new(),
        }
    }

    /// Bytes of all batches.
    pub fn records_bytes(&self) -> usize {
        self.batches.iter().map(Bytes::len).sum()
    }
}

impl FetchResponse {
    /// Encodes the whole frame, length and response header included, at the request's version.
    pub fn encode(self, header: &RequestHeader) -> Result<Segments, Close> {
        let version = header.api_version;
        let refuse = |detail: String| Close::Encode { api_key: header.api_key, api_version: version, detail };
        if !(VERSIONS.0..=VERSIONS.1).contains(&version) {
            return Err(refuse("no such version".to_owned()));
        }
        let mut framing = Framing::new(&self, version);
        framing.bytes.put_i32(0);
        framing.bytes.put_i32(header.correlation_id);
        framing.put_tag_section();
        framing.put_response(self);
        framing.into_segments().ok_or_else(|| refuse("longer than a frame can be".to_owned()))
    }
}

/// All bytes that are not records, in one allocation, and where between them the batches go.
struct Framing {
    version: i16,
    bytes: BytesMut,
    /// Batches and the position in `bytes` before which they stand, in rising order.
    batches: Vec<(usize, Vec<Bytes>)>,
    records_bytes: usize,
}

impl Framing {
    fn new(response: &FetchResponse, version: i16) -> Self {
        let partitions: usize = response.topics.iter().map(|topic| topic.partitions.len()).sum();
        let capacity = 64 + response.topics.len() * 64 + partitions * 64;
        Self {
            version,
            bytes: BytesMut::with_capacity(capacity),
            batches: Vec::with_capacity(partitions),
            records_bytes: 0,
        }
    }

    fn is_flexible(&self) -> bool {
        self.version >= FLEXIBLE_FROM
    }

    fn put_response(&mut self, response: FetchResponse) {
        self.bytes.put_i32(response.throttle_time_ms);
        if self.version >= 7 {
            self.bytes.put_i16(response.error.0);
            self.bytes.put_i32(response.session_id);
        }
        self.put_count(response.topics.len());
        for topic in response.topics {
            self.put_topic(topic);
        }
        self.put_tag_section();
    }

    fn put_topic(&mut self, topic: FetchTopic) {
        match self.version {
            ..=11 => put_string(&mut self.bytes, &topic.name),
            12 => put_compact_string(&mut self.bytes, &topic.name),
            _ => self.bytes.put_slice(topic.id.as_bytes()),
        }
        self.put_count(topic.partitions.len());
        for partition in topic.partitions {
            self.put_partition(partition);
        }
        self.put_tag_section();
    }

    fn put_partition(&mut self, partition: FetchPartition) {
        self.bytes.put_i32(partition.index);
        self.bytes.put_i16(partition.error.0);
        self.bytes.put_i64(partition.high_watermark);
        self.bytes.put_i64(partition.last_stable_offset);
        if self.version >= 5 {
            self.bytes.put_i64(partition.log_start_offset);
        }
        self.put_aborted(partition.aborted.as_deref());
        if self.version >= 11 {
            self.bytes.put_i32(NO_PREFERRED_READ_REPLICA);
        }
        let records_bytes = partition.records_bytes();
        self.put_count(records_bytes);
        if records_bytes > 0 {
            self.records_bytes += records_bytes;
            self.batches.push((self.bytes.len(), partition.batches));
        }
        self.put_partition_tags(partition.diverging_epoch);
    }

    fn put_aborted(&mut self, aborted: Option<&[AbortedTransaction]>) {
        let Some(aborted) = aborted else {
            if self.is_flexible() {
                self.bytes.put_u8(0)
            } else {
                self.bytes.put_i32(-1)
            }
            return;
        };
        self.put_count(aborted.len());
        for transaction in aborted {
            self.bytes.put_i64(transaction.producer_id.0);
            self.bytes.put_i64(transaction.first_offset);
            self.put_tag_section();
        }
    }

    fn put_partition_tags(&mut self, diverging_epoch: Option<EpochEnd>) {
        match diverging_epoch {
            Some(diverging) if self.is_flexible() => {
                // One tag, number 0, 13 bytes: epoch, end offset and an empty tag section.
                self.bytes.put_slice(&[1, 0, 13]);
                self.bytes.put_i32(diverging.epoch);
                self.bytes.put_i64(diverging.end_offset);
                self.put_tag_section();
            }
            _ => self.put_tag_section(),
        }
    }

    /// Length of an array or of bytes. Whether it fits is seen at the end: the whole frame must.
    fn put_count(&mut self, count: usize) {
        if self.is_flexible() {
            put_compact_length(&mut self.bytes, count);
        } else {
            self.bytes.put_u32(count as u32);
        }
    }

    fn put_tag_section(&mut self) {
        if self.is_flexible() {
            self.bytes.put_u8(0);
        }
    }

    /// None if the frame's length does not fit its field.
    fn into_segments(mut self) -> Option<Segments> {
        let length = i32::try_from(self.bytes.len() - 4 + self.records_bytes).ok()?;
        self.bytes[..4].copy_from_slice(&length.to_be_bytes());
        let mut rest = self.bytes.freeze();
        let count: usize = self.batches.iter().map(|(_, batches)| batches.len() + 1).sum();
        let mut segments = Segments::with_capacity(count + 1);
        let mut written = 0;
        for (position, batches) in self.batches {
            segments.push(rest.split_to(position - written));
            written = position;
            segments.extend(batches.into_iter().filter(|batch| !batch.is_empty()));
        }
        segments.push(rest);
        Some(segments.into_iter().filter(|segment| !segment.is_empty()).collect())
    }
}
