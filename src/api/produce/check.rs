//! Whether a topic takes a batch: what the batch must be in itself, and what the topic and the request's version ask of it.
//!
//! Mirrors `ProduceRequest.validateRecords`, `UnifiedLog.analyzeAndValidateRecords` and `LogValidator` of Kafka. Pure: the time
//! is an argument. Sequences are judged by the engine, which knows the producer.

use std::fmt;

use crate::config::{TimestampType, TopicConfig};
use crate::dedup::IdsRefused;
use crate::record::BatchHeader;
use crate::record::codec::{Codec, DecompressionLimits};
use crate::record::validate::{
    BatchRejected, RecordError, RecordRules, TimestampBounds, check_client_batch, check_records,
};
use crate::types::{ErrorCode, Timestamp};

/// First version whose clients know zstd.
const ZSTD_FROM: i16 = 7;

/// Why a partition's records do not reach the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Code for the wire.
    pub(super) error: ErrorCode,
    /// For people, where the code does not say it all.
    pub(super) message: Option<String>,
    /// The single records at fault, where it is single ones.
    pub(super) records: Vec<RecordError>,
    /// Whether the log itself refused, and its start offset is told.
    pub(super) is_by_log: bool,
}

impl Refusal {
    pub(super) fn of(error: ErrorCode) -> Self {
        Self { error, message: None, records: Vec::new(), is_by_log: false }
    }

    pub(super) fn saying(error: ErrorCode, message: String) -> Self {
        Self { message: Some(message), ..Self::of(error) }
    }
}

impl From<BatchRejected> for Refusal {
    fn from(rejected: BatchRejected) -> Self {
        let records = rejected.record_errors().to_vec();
        Self { records, is_by_log: rejected.is_intact(), ..Self::saying(rejected.error(), rejected.to_string()) }
    }
}

impl From<IdsRefused> for Refusal {
    fn from(refused: IdsRefused) -> Self {
        let records = refused.record_errors().to_vec();
        Self { records, is_by_log: true, ..Self::saying(refused.error(), refused.to_string()) }
    }
}

/// Whether [`check_batch`] may have to expand compressed records, a thousandfold in the worst case. Errs towards yes.
pub(super) fn may_expand(config: &TopicConfig, bytes: &[u8], now: Timestamp) -> bool {
    BatchHeader::parse(bytes).is_ok_and(|header| {
        let times_settle = config.message_timestamp_type != TimestampType::CreateTime
            || config.message_timestamp_before_max_ms == i64::MAX
                && header.base_timestamp <= header.max_timestamp
                && header.max_timestamp <= now.saturating_add(config.message_timestamp_after_max_ms);
        header.codec() != Ok(Codec::None) && (config.compact || !times_settle || header.is_log_append_time())
    })
}

/// Checks the records of `partition`. The size comes first: a batch that is too large costs no checksum.
pub(super) fn check_batch(
    config: &TopicConfig,
    partition: &dyn fmt::Display,
    bytes: &[u8],
    version: i16,
    now: Timestamp,
) -> Result<BatchHeader, Refusal> {
    let bytes_max = config.max_message_bytes;
    if bytes.len() as u64 > u64::from(bytes_max) {
        // Without a message, as Kafka: its tools print their own sentence for the code.
        return Err(Refusal::of(ErrorCode::MESSAGE_TOO_LARGE));
    }
    let header = check_client_batch(bytes)?;
    if version < ZSTD_FROM && header.codec() == Ok(Codec::Zstd) {
        let message = format!("zstd needs Produce version {ZSTD_FROM} or higher");
        return Err(Refusal::saying(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE, message));
    }
    let bounds = TimestampBounds {
        before_max_ms: config.message_timestamp_before_max_ms,
        after_max_ms: config.message_timestamp_after_max_ms,
    };
    let rules = RecordRules {
        times: (config.message_timestamp_type == TimestampType::CreateTime).then_some(bounds),
        keyed: config.compact.then_some(partition),
    };
    check_records(bytes, &header, rules, now, DecompressionLimits::default())?;
    Ok(header)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::record::build::BatchBuilder;

    const NOW: Timestamp = 1_700_000_000_000;
    const HOUR_MS: i64 = 3_600_000;

    fn topic() -> TopicConfig {
        TopicConfig {
            compact: false,
            delete: true,
            max_message_bytes: 1_048_588,
            message_timestamp_type: TimestampType::CreateTime,
            message_timestamp_before_max_ms: i64::MAX,
            message_timestamp_after_max_ms: HOUR_MS,
            flush_messages: 1,
            flush_ms: i64::MAX,
            retention_ms: -1,
            retention_bytes: -1,
            delete_retention_ms: 0,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            min_cleanable_dirty_ratio: 0.5,
            compression_type: None,
            compression_gzip_level: -1,
            compression_zstd_level: 3,
            dedup: None,
            dedup_defaults: Default::default(),
        }
    }

    fn keyed() -> BatchBuilder {
        BatchBuilder::new().record(NOW, Some(b"k"), Some(b"v"))
    }

    fn keyless_at(timestamp: Timestamp) -> BatchBuilder {
        keyed().record(timestamp, None, Some(b"v"))
    }

    /// Code, and the records that are named.
    fn check(config: TopicConfig, batch: &BytesMut, version: i16) -> (i16, Vec<i32>) {
        match check_batch(&config, &"t-0", batch, version, NOW) {
            Ok(_) => (0, Vec::new()),
            Err(refusal) => {
                assert_eq!(refusal.message.is_none(), refusal.error == ErrorCode::MESSAGE_TOO_LARGE, "{refusal:?}");
                (refusal.error.0, refusal.records.iter().map(|record| record.batch_index).collect())
            }
        }
    }

    #[test]
    fn topic_and_version_decide_what_is_taken() {
        let none = Vec::new;
        let zstd = keyed().codec(Codec::Zstd).build();
        let size = keyed().build().len() as u32;
        let limited = |max_message_bytes| TopicConfig { max_message_bytes, ..topic() };
        let compacted = || TopicConfig { compact: true, ..topic() };
        let stamped = || TopicConfig { message_timestamp_type: TimestampType::LogAppendTime, ..topic() };
        let late = NOW + HOUR_MS + 1;
        let mut claimed = keyed().build();
        crate::record::patch::stamp_log_append_time(&mut claimed, NOW);
        for (what, config, batch, version, expected) in [
            ("a plain batch", topic(), keyed().build(), 3, (0, none())),
            ("no batch", topic(), BytesMut::new(), 9, (87, none())),
            ("zstd for old clients", topic(), zstd.clone(), 6, (76, none())),
            ("zstd", topic(), zstd, 7, (0, none())),
            ("the largest", limited(size), keyed().build(), 9, (0, none())),
            ("one byte more", limited(size - 1), keyed().build(), 9, (10, none())),
            ("keyless", topic(), keyless_at(NOW).build(), 9, (0, none())),
            ("keyless, compacted", compacted(), keyless_at(NOW).build(), 9, (87, vec![1])),
            ("keyed, compacted", compacted(), keyed().build(), 9, (0, none())),
            ("an hour ahead", topic(), keyless_at(NOW + HOUR_MS).build(), 9, (0, none())),
            ("later", topic(), keyless_at(late).build(), 9, (32, vec![1])),
            ("later, but stamped by the broker", stamped(), keyless_at(late).build(), 9, (0, none())),
            ("stamped by the producer", stamped(), claimed.clone(), 3, (32, vec![0])),
            ("the same where the producer's time counts", topic(), claimed.clone(), 3, (0, none())),
        ] {
            assert_eq!(check(config, &batch, version), expected, "{what}");
        }
    }

    #[test]
    fn only_compressed_batches_whose_records_are_looked_at_may_expand() {
        let gzip = |timestamp| keyless_at(timestamp).codec(Codec::Gzip).build();
        let compacted = TopicConfig { compact: true, ..topic() };
        let bounded = TopicConfig { message_timestamp_before_max_ms: HOUR_MS, ..topic() };
        let mut claimed = gzip(NOW);
        crate::record::patch::stamp_log_append_time(&mut claimed, NOW);
        for (what, config, batch, expected) in [
            ("plain", &compacted, keyed().build(), false),
            ("settled by the header", &topic(), gzip(NOW), false),
            ("compacted", &compacted, gzip(NOW), true),
            ("bounded in the past", &bounded, gzip(NOW), true),
            ("beyond the future", &topic(), gzip(NOW + HOUR_MS + 1), true),
            ("stamped by the producer", &topic(), claimed, true),
            ("no batch", &compacted, BytesMut::new(), false),
        ] {
            assert_eq!(may_expand(config, &batch, NOW), expected, "{what}");
        }
    }

    #[test]
    fn damaged_batch_is_corrupt() {
        let mut batch = keyed().build();
        if let Some(last) = batch.last_mut() {
            *last ^= 1;
        }
        assert_eq!(check(topic(), &batch, 9), (2, Vec::new()));
    }
}
