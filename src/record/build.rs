//! Builds valid batches: markers of transactions, compaction, and the batches of tests.

use bytes::{BufMut, BytesMut};

use super::header::{CONTROL_BIT, TRANSACTIONAL_BIT};
use super::{BatchHeader, HEADER_BYTES, patch};
use crate::record::codec::{self, Codec};
use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};

/// Makes one batch. By default: uncompressed, no producer, base offset 0, record times as given.
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    base_offset: Offset,
    codec: Codec,
    producer: Option<(ProducerId, ProducerEpoch, i32)>,
    attributes: i16,
    /// Of the first record, which the others' deltas count from.
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
    record_count: i32,
    /// Encoded, not compressed.
    records: Vec<u8>,
}

impl BatchBuilder {
    /// A builder without records.
    pub fn new() -> Self {
        Self {
            base_offset: 0,
            codec: Codec::None,
            producer: None,
            attributes: 0,
            base_timestamp: -1,
            max_timestamp: -1,
            record_count: 0,
            records: Vec::new(),
        }
    }

    /// Offset of the first record.
    pub fn base_offset(mut self, base_offset: Offset) -> Self {
        self.base_offset = base_offset;
        self
    }

    /// Compresses the records.
    pub fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// Makes the batch idempotent.
    pub fn producer(mut self, id: ProducerId, epoch: ProducerEpoch, base_sequence: i32) -> Self {
        self.producer = Some((id, epoch, base_sequence));
        self
    }

    /// Makes it part of a transaction.
    pub fn transactional(mut self) -> Self {
        self.attributes |= TRANSACTIONAL_BIT;
        self
    }

    /// Makes it a control batch.
    pub fn control(mut self) -> Self {
        self.attributes |= CONTROL_BIT;
        self
    }

    /// Adds a record without headers.
    pub fn record(self, timestamp: Timestamp, key: Option<&[u8]>, value: Option<&[u8]>) -> Self {
        self.record_with_headers(timestamp, key, value, &[])
    }

    /// Adds a record.
    pub fn record_with_headers(
        mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&[u8], Option<&[u8]>)],
    ) -> Self {
        if self.record_count == 0 {
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let mut body = vec![0]; // a record's attributes: none are defined
        put_varint(&mut body, timestamp.wrapping_sub(self.base_timestamp));
        put_varint(&mut body, i64::from(self.record_count));
        put_nullable(&mut body, key);
        put_nullable(&mut body, value);
        put_varint(&mut body, headers.len() as i64);
        for (key, value) in headers {
            put_nullable(&mut body, Some(key));
            put_nullable(&mut body, *value);
        }
        put_varint(&mut self.records, body.len() as i64);
        self.records.extend_from_slice(&body);
        self.record_count += 1;
        self
    }

    /// The batch, ready for the wire.
    ///
    /// # Panics
    /// Without a record, or with more bytes of records than a batch can hold (2 GiB).
    pub fn build(&self) -> BytesMut {
        assert!(self.record_count > 0, "a batch has at least one record");
        let records = codec::compress(self.codec, &self.records);
        let size_bytes = i32::try_from(HEADER_BYTES + records.len()).expect("a batch is smaller than 2 GiB");
        let (producer_id, producer_epoch, base_sequence) =
            self.producer.unwrap_or((ProducerId::NONE, ProducerEpoch::NONE, -1));
        let header = BatchHeader {
            base_offset: self.base_offset,
            size_bytes: size_bytes.unsigned_abs(),
            leader_epoch: LeaderEpoch(-1),
            crc: 0,
            attributes: self.attributes | self.codec.number(),
            last_offset_delta: self.record_count - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id,
            producer_epoch,
            base_sequence,
            record_count: self.record_count,
        };
        let mut batch = BytesMut::with_capacity(HEADER_BYTES + records.len());
        batch.put_slice(&header.to_bytes());
        batch.put_slice(&records);
        patch::set_crc(&mut batch);
        batch
    }
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

/// Zigzag varint, as all numbers of a record are encoded.
pub(super) fn put_varint(buffer: &mut Vec<u8>, value: i64) {
    let mut rest = (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned();
    while rest > 0x7f {
        buffer.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    buffer.push(rest as u8);
}

/// Bytes behind their length; none is -1, Kafka's null.
pub(super) fn put_nullable(buffer: &mut Vec<u8>, bytes: Option<&[u8]>) {
    put_varint(buffer, bytes.map_or(-1, |bytes| bytes.len() as i64));
    buffer.extend_from_slice(bytes.unwrap_or_default());
}

#[cfg(test)]
mod tests;
