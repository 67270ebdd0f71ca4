//! Which transactions are open, in the order in which they began: what holds readers back longest is at its head.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use crate::transaction::TransactionMetadata;
use crate::types::Timestamp;

/// What a scrape reads of the open transactions, without asking the writer.
#[derive(Debug)]
pub struct OpenTransactions {
    oldest_start: AtomicI64,
    timeout_max_ms: AtomicU32,
}

impl Default for OpenTransactions {
    fn default() -> Self {
        Self { oldest_start: AtomicI64::new(i64::MAX), timeout_max_ms: AtomicU32::new(0) }
    }
}

impl OpenTransactions {
    /// When the oldest of them began, none if none is open.
    pub fn oldest_start(&self) -> Option<Timestamp> {
        Some(self.oldest_start.load(Ordering::Relaxed)).filter(|start| *start != i64::MAX)
    }

    /// The longest time that one of them may be open, ms; 0 if none is.
    pub fn timeout_max_ms(&self) -> u32 {
        self.timeout_max_ms.load(Ordering::Relaxed)
    }
}

/// When an open transaction began, and how long it may be open, ms.
pub(super) type Span = (Timestamp, u32);

/// The span of a transaction that is open or prepared.
pub(super) fn span(metadata: &TransactionMetadata) -> Option<Span> {
    (!metadata.state.is_at_rest()).then_some((metadata.start_time, metadata.timeout_ms))
}

/// All spans.
#[derive(Debug, Default)]
pub(super) struct Spans {
    by_start: BTreeSet<(Timestamp, Arc<str>)>,
    /// How many have each timeout.
    timeouts: BTreeMap<u32, usize>,
    shown: Arc<OpenTransactions>,
}

impl Spans {
    /// How many are open.
    pub fn count(&self) -> usize {
        self.by_start.len()
    }

    /// Their ids, in the order in which they began.
    pub fn ids(&self) -> impl Iterator<Item = &Arc<str>> {
        self.by_start.iter().map(|(_, id)| id)
    }

    /// What others see of them, as of the last [`Spans::show`].
    pub fn shown(&self) -> Arc<OpenTransactions> {
        Arc::clone(&self.shown)
    }

    /// Lets others see what there is.
    pub fn show(&self) {
        let oldest = self.by_start.first().map_or(i64::MAX, |(start, _)| *start);
        self.shown.oldest_start.store(oldest, Ordering::Relaxed);
        let timeout = self.timeouts.last_key_value().map_or(0, |(timeout_ms, _)| *timeout_ms);
        self.shown.timeout_max_ms.store(timeout, Ordering::Relaxed);
    }

    /// The transaction of `id` had the span `before` and has the span `after`.
    pub fn replace(&mut self, id: &Arc<str>, before: Option<Span>, after: Option<Span>) {
        if before == after {
            return;
        }
        if let Some((start, timeout_ms)) = before {
            self.by_start.remove(&(start, Arc::clone(id)));
            if let Some(count) = self.timeouts.get_mut(&timeout_ms) {
                *count -= 1;
                if *count == 0 {
                    self.timeouts.remove(&timeout_ms);
                }
            }
        }
        if let Some((start, timeout_ms)) = after {
            self.by_start.insert((start, Arc::clone(id)));
            *self.timeouts.entry(timeout_ms).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_open_transaction_and_the_longest_timeout_are_shown() {
        let mut spans = Spans::default();
        let shown = spans.shown();
        assert_eq!((shown.oldest_start(), shown.timeout_max_ms()), (None, 0));
        let (one, two): (Arc<str>, Arc<str>) = ("one".into(), "two".into());
        spans.replace(&one, None, Some((20, 60_000)));
        spans.replace(&two, None, Some((10, 5_000)));
        spans.show();
        assert_eq!((spans.count(), shown.oldest_start(), shown.timeout_max_ms()), (2, Some(10), 60_000));
        spans.replace(&two, Some((10, 5_000)), None);
        spans.replace(&one, Some((20, 60_000)), Some((30, 1_000)));
        spans.show();
        assert_eq!((spans.count(), shown.oldest_start(), shown.timeout_max_ms()), (1, Some(30), 1_000));
        spans.replace(&one, Some((30, 1_000)), None);
        spans.show();
        assert_eq!((shown.oldest_start(), shown.timeout_max_ms()), (None, 0));
    }
}
