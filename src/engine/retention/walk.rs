//! How far a log start may go: by time and by size, read from keys and the sparse index alone.

use crate::config::TopicConfig;
use crate::engine::expiry_clock::ExpiryClock;
use crate::log::search::last_entry;
use crate::store::schema::{LogKey, SparseRow};
use crate::store::{Store, StoreError};
use crate::types::{Offset, PartitionId, Timestamp};

/// Keys that one walk looks at, so that no iterator keeps old files of the store for long.
pub(super) const KEYS_MAX: usize = 65_536;

/// What a partition may keep.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Batches whose youngest record is from before it go.
    oldest: Option<Timestamp>,
    /// Bytes that stay.
    bytes: Option<u64>,
}

/// A partition as its readers see it. Bytes count all that was ever appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub log_start: Offset,
    /// Bytes below the log start.
    pub start_bytes: u64,
    pub high_watermark: Offset,
    /// Bytes below the log end.
    pub end_bytes: u64,
}

/// How far the log start may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Walk {
    pub log_start: Offset,
    /// Bytes below it.
    pub start_bytes: u64,
    /// Those of them that go for their age, the others for want of room.
    pub old_bytes: u64,
    /// The largest time of the batch that the start then stands at, if it was seen and has one.
    pub oldest_timestamp: Option<Timestamp>,
    /// Whether there may be more to go.
    pub is_cut_short: bool,
}

impl Limits {
    pub fn of(config: &TopicConfig, clock: &ExpiryClock) -> Self {
        if !config.delete {
            return Self { oldest: None, bytes: None };
        }
        let retention_ms = config.retention_ms;
        let oldest = || clock.now(retention_ms).saturating_sub(retention_ms);
        Self { oldest: (retention_ms >= 0).then(oldest), bytes: u64::try_from(config.retention_bytes).ok() }
    }

    /// Bytes of all ever appended that may go.
    fn bytes_to_go(&self, span: &Span) -> u64 {
        self.bytes.map_or(0, |bytes| span.end_bytes.saturating_sub(bytes))
    }

    /// Whether something of the partition may have to go; `oldest_timestamp` is the largest time of its first batch, if known.
    pub fn may_concern(&self, span: &Span, oldest_timestamp: Option<Timestamp>) -> bool {
        let by_time = self.oldest.is_some_and(|oldest| oldest_timestamp.is_none_or(|first| first < oldest));
        span.log_start < span.high_watermark && (by_time || self.bytes_to_go(span) > span.start_bytes)
    }

    fn is_too_old(&self, timestamp: Timestamp) -> bool {
        timestamp >= 0 && self.oldest.is_some_and(|oldest| timestamp < oldest)
    }
}

/// Walks from the log start over what may go.
///
/// # Errors
/// What the store says.
pub(super) fn walk(
    store: &dyn Store,
    id: PartitionId,
    span: &Span,
    limits: &Limits,
    keys_max: usize,
) -> Result<Walk, StoreError> {
    let mut walk = Walk {
        log_start: span.log_start,
        start_bytes: span.start_bytes,
        old_bytes: 0,
        oldest_timestamp: None,
        is_cut_short: false,
    };
    for (log_start, start_bytes, is_old) in leaps(store, id, span, limits)? {
        if log_start > walk.log_start && start_bytes >= walk.start_bytes {
            walk.old_bytes += if is_old { start_bytes - walk.start_bytes } else { 0 };
            (walk.log_start, walk.start_bytes) = (log_start, start_bytes);
        }
    }
    let bytes_to_go = limits.bytes_to_go(span);
    // Runs ahead over batches that have no time of their own, which go once a younger one behind them does.
    let (mut passed_bytes, mut passed_old_bytes) = (walk.start_bytes, walk.old_bytes);
    let mut keys = 0;
    store.scan_log(id, walk.log_start, span.high_watermark, &mut |key: LogKey| {
        let after_bytes = passed_bytes + u64::from(key.size_bytes);
        let (is_old, is_too_much) = (limits.is_too_old(key.max_timestamp), after_bytes <= bytes_to_go);
        let has_time = key.max_timestamp >= 0;
        if key.last_offset() >= span.high_watermark || (!is_old && !is_too_much && has_time) {
            walk.oldest_timestamp = (has_time && passed_bytes == walk.start_bytes).then_some(key.max_timestamp);
            return false;
        }
        passed_old_bytes += if is_old { u64::from(key.size_bytes) } else { 0 };
        passed_bytes = after_bytes;
        if is_old || is_too_much {
            (walk.log_start, walk.start_bytes) = (key.last_offset() + 1, after_bytes);
            walk.old_bytes = passed_old_bytes;
        }
        keys += 1;
        walk.is_cut_short = keys >= keys_max;
        !walk.is_cut_short
    })?;
    Ok(walk)
}

/// Where the sparse index lets a walk begin, so that of a long log few keys are looked at: log start, bytes below it, and whether it
/// is for age. By age first: what is old goes for its age.
fn leaps(
    store: &dyn Store,
    id: PartitionId,
    span: &Span,
    limits: &Limits,
) -> Result<Vec<(Offset, u64, bool)>, StoreError> {
    let mut leaps = Vec::new();
    let range = span.log_start..span.high_watermark;
    let leap = |(base_offset, entry): (Offset, SparseRow), is_old| (base_offset, entry.cumulative_bytes, is_old);
    if let Some(oldest) = limits.oldest {
        // What is before the batch that the entry names is old with it; what is after it may have no time at all.
        let old = last_entry(store, id, range.clone(), |entry| entry.max_timestamp < oldest)?;
        if let Some((_, entry)) = old
            && limits.is_too_old(entry.max_timestamp)
            && range.contains(&entry.max_timestamp_offset)
        {
            let reached = range.start..entry.max_timestamp_offset + 1;
            leaps.extend(last_entry(store, id, reached, |_| true)?.map(|found| leap(found, true)));
        }
    }
    if limits.bytes.is_some() {
        let bytes_to_go = limits.bytes_to_go(span);
        let much = last_entry(store, id, range, |entry| entry.cumulative_bytes <= bytes_to_go)?;
        leaps.extend(much.map(|found| leap(found, false)));
    }
    Ok(leaps)
}
