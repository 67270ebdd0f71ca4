//! Checks everything that was read: offsets without gaps, checksums of batches and of each value. Pure.

use super::payload::is_intact;
use crate::record::codec::{DecompressionLimits, decompress};
use crate::record::records::records;
use crate::record::{BatchHeader, HEADER_BYTES, patch};
use crate::types::{Offset, PartitionIndex};

/// What was found in all partitions together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Verified {
    /// Records that were read and are whole.
    pub(super) records: u64,
    /// Batches that were read.
    pub(super) batches: u64,
    /// Places where offsets are missing.
    pub(super) gaps: u64,
    /// Batches that begin before the end of the one before.
    pub(super) overlaps: u64,
    /// Batches whose checksum is wrong or that do not decode.
    pub(super) corrupt_batches: u64,
    /// Records whose value is not what was sent.
    pub(super) corrupt_records: u64,
    /// The first of all these, in words.
    pub(super) first_fault: Option<String>,
}

impl Verified {
    /// Whether nothing was wrong.
    pub(super) fn is_clean(&self) -> bool {
        self.gaps + self.overlaps + self.corrupt_batches + self.corrupt_records == 0
    }

    /// Adds what another consumer found.
    pub(super) fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.batches += other.batches;
        self.gaps += other.gaps;
        self.overlaps += other.overlaps;
        self.corrupt_batches += other.corrupt_batches;
        self.corrupt_records += other.corrupt_records;
        if self.first_fault.is_none() {
            self.first_fault.clone_from(&other.first_fault);
        }
    }

    /// Checks one batch, which is expected to begin at `expected`, or before it if `is_first` of its partition.
    pub(super) fn batch(&mut self, partition: PartitionIndex, expected: Offset, is_first: bool, batch: &[u8]) {
        self.batches += 1;
        let header = match BatchHeader::parse(batch) {
            Ok(header) => header,
            Err(error) => return self.corrupt_batch(format!("{partition} at offset {expected}: {error}")),
        };
        let base = header.base_offset;
        if base > expected {
            self.gaps += 1;
            self.fault(format!("partition {partition}: offsets {expected} to {} are missing", base - 1));
        } else if base < expected && !is_first {
            self.overlaps += 1;
            self.fault(format!("partition {partition}: offset {base} comes again after {}", expected - 1));
        }
        if patch::computed_crc(batch) != header.crc {
            return self.corrupt_batch(format!("{partition} at offset {base}: wrong checksum"));
        }
        if header.is_control() {
            return;
        }
        let plain = header.codec().map_err(|error| error.to_string()).and_then(|codec| {
            let limits = DecompressionLimits::default();
            decompress(codec, &batch[HEADER_BYTES..], limits).map_err(|error| error.to_string())
        });
        let plain = match plain {
            Ok(plain) => plain,
            Err(error) => return self.corrupt_batch(format!("{partition} at offset {base}: {error}")),
        };
        let mut next_delta = 0;
        for record in records(&plain, header.record_count) {
            let record = match record {
                Ok(record) => record,
                Err(error) => return self.corrupt_batch(format!("{partition} at offset {base}: {error}")),
            };
            if record.offset_delta != next_delta {
                self.gaps += 1;
                self.fault(format!("partition {partition}: offset {} is missing", base + i64::from(next_delta)));
            }
            next_delta = record.offset_delta.saturating_add(1);
            let offset = base + i64::from(record.offset_delta);
            if !is_intact(record.value.unwrap_or_default()) {
                self.corrupt_records += 1;
                self.fault(format!("partition {partition}: the value at offset {offset} is not what was sent"));
            } else if offset >= expected {
                self.records += 1;
            }
        }
    }

    fn corrupt_batch(&mut self, what: String) {
        self.corrupt_batches += 1;
        self.fault(format!("partition {what}"));
    }

    fn fault(&mut self, what: String) {
        if self.first_fault.is_none() {
            self.first_fault = Some(what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::payload::{Payload, PayloadSpec};
    use crate::record::codec::Codec;
    use crate::types::LeaderEpoch;

    fn batch(codec: Codec, base_offset: Offset) -> Vec<u8> {
        let spec = PayloadSpec {
            record_bytes: 40,
            record_count: 3,
            codec,
            is_transactional: false,
            timestamp: 1,
            seed: 1,
            ids: None,
        };
        let mut batch = Vec::new();
        Payload::new(&spec).put(&mut batch, None, 5);
        patch::set_base_offset_and_leader_epoch(&mut batch, base_offset, LeaderEpoch(0));
        batch
    }

    /// What is found in batches that lie one behind the other from offset 10 on.
    fn verified(batches: &[Vec<u8>]) -> Verified {
        let mut verified = Verified::default();
        let mut expected = 10;
        for (index, batch) in batches.iter().enumerate() {
            verified.batch(0, expected, index == 0, batch);
            if let Ok(header) = BatchHeader::parse(batch) {
                expected = header.base_offset + 3;
            }
        }
        verified
    }

    #[test]
    fn what_was_sent_is_clean_in_every_codec() {
        for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
            let verified = verified(&[batch(codec, 10), batch(codec, 13)]);
            assert!(verified.is_clean(), "{verified:?}");
            assert_eq!((verified.records, verified.batches), (6, 2));
        }
    }

    #[test]
    fn records_before_the_place_where_reading_began_do_not_count() {
        let verified = verified(&[batch(Codec::None, 9), batch(Codec::None, 12)]);
        assert!(verified.is_clean(), "{verified:?}");
        assert_eq!(verified.records, 5);
    }

    #[test]
    fn a_gap_and_a_repetition_are_found() {
        let gap = verified(&[batch(Codec::None, 10), batch(Codec::None, 14)]);
        assert_eq!((gap.gaps, gap.overlaps, gap.is_clean()), (1, 0, false));
        assert_eq!(gap.first_fault.as_deref(), Some("partition 0: offsets 13 to 13 are missing"));
        let again = verified(&[batch(Codec::None, 10), batch(Codec::None, 10)]);
        assert_eq!((again.gaps, again.overlaps, again.is_clean()), (0, 1, false));
        assert_eq!(verified(&[batch(Codec::None, 11)]).gaps, 1, "also before the first");
    }

    #[test]
    fn a_changed_byte_is_found_whether_or_not_the_checksum_of_the_batch_was_mended() {
        let mut broken = batch(Codec::None, 10);
        let last = broken.len() - 5;
        broken[last] ^= 1;
        assert_eq!(verified(&[broken.clone()]).corrupt_batches, 1);
        let crc = patch::computed_crc(&broken);
        broken[17..21].copy_from_slice(&crc.to_be_bytes());
        let mended = verified(&[broken]);
        assert_eq!((mended.corrupt_batches, mended.corrupt_records, mended.records), (0, 1, 2));
        assert_eq!(verified(&[vec![0; 80]]).corrupt_batches, 1);
    }
}
