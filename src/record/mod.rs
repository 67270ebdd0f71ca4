//! Record batch v2: a view over its header, validation, records, codecs, building. Pure.
//!
//! On the produce path batches are checked by [`BatchHeader::parse`] and [`validate`], never decoded, and stored byte for
//! byte; [`patch`] writes what the broker may change: base offset and leader epoch, which lie outside the CRC, and for
//! LogAppendTime topics the time and the CRC over it. [`amend`] leaves out what was sent before, [`rewrite`] what compaction removes.
//! Mirrors `DefaultRecordBatch` of Kafka.
//!
//! Invariant: arbitrary bytes give a header or an error, never a panic; nothing is allocated from a declared length.

pub mod amend;
pub mod build;
pub mod codec;
pub mod control;
mod header;
pub mod partitioner;
pub mod patch;
pub mod recompress;
pub mod records;
pub mod rewrite;
pub mod validate;

pub(crate) use header::{ATTRIBUTES_AT, CONTROL_BIT, CRC_AT, LENGTH_AT, PRODUCER_ID_AT};
pub use header::{BatchHeader, BatchInvalid, HEADER_BYTES, advance_sequence, data_record_count};
