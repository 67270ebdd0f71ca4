//! The bytes of a batch that the broker writes: offset, leader epoch, append time.

use super::header::{
    ATTRIBUTES_AT, BASE_OFFSET_AT, CRC_AT, LEADER_EPOCH_AT, LOG_APPEND_TIME_BIT, MAX_TIMESTAMP_AT, put,
};
use crate::types::{LeaderEpoch, Offset, Timestamp};

/// Writes the offset of the first record and the leader's epoch, which the CRC does not cover. `batch` holds one whole batch
/// that [`BatchHeader::parse`](crate::record::BatchHeader::parse) accepted.
pub fn set_base_offset_and_leader_epoch(batch: &mut [u8], base_offset: Offset, leader_epoch: LeaderEpoch) {
    put(batch, BASE_OFFSET_AT, base_offset.to_be_bytes());
    put(batch, LEADER_EPOCH_AT, leader_epoch.0.to_be_bytes());
}

/// Makes `now` the time of every record: sets the timestamp type bit and the max timestamp, and computes the CRC anew. The base
/// timestamp stays, as in Kafka. `batch` holds one whole batch that
/// [`BatchHeader::parse`](crate::record::BatchHeader::parse) accepted.
pub fn stamp_log_append_time(batch: &mut [u8], now: Timestamp) {
    let attributes = i16::from_be_bytes([batch[ATTRIBUTES_AT], batch[ATTRIBUTES_AT + 1]]);
    put(batch, ATTRIBUTES_AT, (attributes | LOG_APPEND_TIME_BIT).to_be_bytes());
    put(batch, MAX_TIMESTAMP_AT, now.to_be_bytes());
    set_crc(batch);
}

/// Takes the timestamp type LogAppendTime back that a client set, and computes the CRC anew: the times are the producer's.
/// `batch` holds one whole batch that [`BatchHeader::parse`](crate::record::BatchHeader::parse) accepted.
pub fn unstamp_log_append_time(batch: &mut [u8]) {
    let attributes = i16::from_be_bytes([batch[ATTRIBUTES_AT], batch[ATTRIBUTES_AT + 1]]);
    put(batch, ATTRIBUTES_AT, (attributes & !LOG_APPEND_TIME_BIT).to_be_bytes());
    set_crc(batch);
}

/// CRC-32C of what a batch's CRC covers. `batch` holds one whole batch that
/// [`BatchHeader::parse`](crate::record::BatchHeader::parse) accepted.
pub fn computed_crc(batch: &[u8]) -> u32 {
    crc32c::crc32c(&batch[ATTRIBUTES_AT..])
}

/// Writes the CRC that belongs to the other bytes.
pub(super) fn set_crc(batch: &mut [u8]) {
    let crc = computed_crc(batch);
    put(batch, CRC_AT, crc.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::BatchHeader;
    use crate::record::build::BatchBuilder;
    use crate::record::validate::check_client_batch;

    const NOW: Timestamp = 1_700_000_000_000;

    #[test]
    fn offset_and_epoch_lie_outside_the_crc() {
        let received = BatchBuilder::new().record(NOW, Some(b"k"), Some(b"v")).build();
        let mut stored = received.clone();
        set_base_offset_and_leader_epoch(&mut stored, 1 << 40, LeaderEpoch(7));
        let header = BatchHeader::parse(&stored).expect("still a batch");
        assert_eq!((header.base_offset, header.leader_epoch), (1 << 40, LeaderEpoch(7)));
        assert_eq!(header.crc, computed_crc(&stored));
        assert_eq!(received[8..12], stored[8..12]);
        assert_eq!(received[16..], stored[16..]);
    }

    #[test]
    fn stamped_batch_is_valid_and_changes_nothing_else() {
        let received = BatchBuilder::new().record(NOW, Some(b"k"), Some(b"v")).build();
        let before = check_client_batch(&received).expect("valid");
        let mut stored = received.clone();
        stamp_log_append_time(&mut stored, NOW + 5);
        let after = BatchHeader::parse(&stored).expect("still a batch");
        assert!(after.is_log_append_time());
        assert_eq!(after.crc, computed_crc(&stored));
        assert_ne!(after.crc, before.crc);
        let expected = BatchHeader {
            crc: after.crc,
            attributes: before.attributes | LOG_APPEND_TIME_BIT,
            max_timestamp: NOW + 5,
            ..before
        };
        assert_eq!(after, expected);
        assert_eq!(received[61..], stored[61..]);
        unstamp_log_append_time(&mut stored);
        let back = check_client_batch(&stored).expect("valid");
        assert_eq!(back, BatchHeader { crc: back.crc, max_timestamp: NOW + 5, ..before });
    }
}
