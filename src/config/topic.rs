//! Settings of one topic: checks what is set on it and lays it over the broker's defaults.
//!
//! Mirrors `LogConfig` of Kafka.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::dedup::{DedupDefaults, check_id_headers};
use super::table::{self, InvalidSetting, list, number};
use super::{CompressionType, DedupConfig, TimestampType, TopicConfig};

/// Tiered storage, which there is none of.
const REMOTE_STORAGE: &str = "remote.storage.enable";

/// Names and values of the settings of one topic, bytes: all of them are in memory, are read by whoever describes topics, and are written
/// whole with each change. All that there are, with long lists, take a few KB.
pub const SETTINGS_BYTES_MAX: usize = 64 << 10;

/// The settings that a topic which has `current` is to be given, as they are kept: what [`validate`] takes, and no more than
/// [`SETTINGS_BYTES_MAX`] and headers of ids in all, unless there were as many before, from a time without this limit.
pub fn judge(
    current: &BTreeMap<String, String>,
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, InvalidSetting> {
    let kept = validate(given)?;
    check_id_headers(current, &kept)?;
    let bytes = bytes_of(&kept);
    if bytes > SETTINGS_BYTES_MAX && bytes > bytes_of(current) {
        let longest = kept.iter().max_by_key(|(name, text)| name.len() + text.len());
        let name = longest.map(|(name, _)| name.clone()).unwrap_or_default();
        let reason = format!(
            "The settings of a topic may have {SETTINGS_BYTES_MAX} bytes together, and these have {bytes}; the longest is {name}"
        );
        return Err(InvalidSetting { name, reason });
    }
    Ok(kept)
}

fn bytes_of(settings: &BTreeMap<String, String>) -> usize {
    settings.iter().map(|(name, text)| name.len() + text.len()).sum()
}

/// The settings `overrides` as they are kept: known names, values trimmed and allowed, no two that contradict each other.
pub fn validate(overrides: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, InvalidSetting> {
    let mut kept = BTreeMap::new();
    for (name, text) in overrides {
        kept.insert(name.clone(), check(name, text)?);
    }
    check_compaction_lags(&kept)?;
    if kept.get(REMOTE_STORAGE).is_some_and(|enabled| enabled == "true") {
        let reason = "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.";
        return Err(InvalidSetting { name: REMOTE_STORAGE.to_owned(), reason: reason.to_owned() });
    }
    DedupConfig::of(&kept)?;
    Ok(kept)
}

/// The value of the topic setting `name` as it is kept.
pub(super) fn check(name: &str, text: &str) -> Result<String, InvalidSetting> {
    table::known_topic(name)?.check(text)
}

fn check_compaction_lags(overrides: &BTreeMap<String, String>) -> Result<(), InvalidSetting> {
    const MIN: &str = "min.compaction.lag.ms";
    const MAX: &str = "max.compaction.lag.ms";
    let lag = |name: &str| -> Option<i64> {
        let default = table::topic(name)?.default?;
        overrides.get(name).map_or(default, String::as_str).parse().ok()
    };
    match (lag(MIN), lag(MAX)) {
        (Some(min), Some(max)) if min > max => Err(InvalidSetting {
            name: MIN.to_owned(),
            reason: format!("conflict topic config setting {MIN} ({min}) > {MAX} ({max})"),
        }),
        _ => Ok(()),
    }
}

impl TopicConfig {
    /// The settings in force for the topic `name` that has `overrides` of its own. Refuses what [`validate`] refuses.
    pub fn resolve(defaults: &Self, name: &str, overrides: &BTreeMap<String, String>) -> Result<Self, InvalidSetting> {
        let mut config = defaults.clone();
        let overrides = validate(overrides)?;
        for (name, text) in &overrides {
            config.set(name, text)?;
        }
        config.dedup = DedupConfig::of(&defaults.dedup_defaults.behind(name, &overrides))?.map(Arc::new);
        Ok(config)
    }

    /// Takes over one value that has been checked. Settings without effect have no field.
    pub(super) fn set(&mut self, name: &str, text: &str) -> Result<(), InvalidSetting> {
        match name {
            "cleanup.policy" => {
                self.compact = list(text).any(|policy| policy == "compact");
                self.delete = list(text).any(|policy| policy == "delete");
            }
            "compression.gzip.level" => self.compression_gzip_level = number(name, text)?,
            "compression.type" => {
                self.compression_type = match text {
                    "uncompressed" => Some(CompressionType::Uncompressed),
                    "gzip" => Some(CompressionType::Gzip),
                    "snappy" => Some(CompressionType::Snappy),
                    "lz4" => Some(CompressionType::Lz4),
                    "zstd" => Some(CompressionType::Zstd),
                    _ => None,
                }
            }
            "compression.zstd.level" => self.compression_zstd_level = number(name, text)?,
            "delete.retention.ms" => self.delete_retention_ms = number(name, text)?,
            "flush.messages" => self.flush_messages = number(name, text)?,
            "flush.ms" => self.flush_ms = number(name, text)?,
            "max.message.bytes" => self.max_message_bytes = number(name, text)?,
            "message.timestamp.after.max.ms" => self.message_timestamp_after_max_ms = number(name, text)?,
            "message.timestamp.before.max.ms" => self.message_timestamp_before_max_ms = number(name, text)?,
            "message.timestamp.type" => {
                self.message_timestamp_type = match text {
                    "LogAppendTime" => TimestampType::LogAppendTime,
                    _ => TimestampType::CreateTime,
                }
            }
            "max.compaction.lag.ms" => self.max_compaction_lag_ms = number(name, text)?,
            "min.cleanable.dirty.ratio" => self.min_cleanable_dirty_ratio = number(name, text)?,
            "min.compaction.lag.ms" => self.min_compaction_lag_ms = number(name, text)?,
            "retention.bytes" => self.retention_bytes = number(name, text)?,
            "retention.ms" => self.retention_ms = number(name, text)?,
            _ => {}
        }
        Ok(())
    }
}

impl Default for TopicConfig {
    /// The table's defaults.
    fn default() -> Self {
        let mut config = Self {
            compact: false,
            delete: true,
            max_message_bytes: 0,
            message_timestamp_type: TimestampType::CreateTime,
            message_timestamp_before_max_ms: 0,
            message_timestamp_after_max_ms: 0,
            flush_messages: 1,
            flush_ms: 0,
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
            dedup_defaults: DedupDefaults::default(),
        };
        for setting in table::TOPICS {
            if let Some(default) = setting.default {
                config.set(setting.name, default).expect("the table's own defaults are allowed: a test checks each");
            }
        }
        config
    }
}

#[cfg(test)]
mod tests;
