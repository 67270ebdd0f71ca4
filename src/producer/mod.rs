//! What a partition knows of each idempotent producer: epoch, the last five batches, open transaction. Pure.
//!
//! Mirrors `ProducerStateManager`, `ProducerStateEntry` and `ProducerAppendInfo` of Kafka. [`decide`] judges a batch,
//! [`decide_marker`] the end of a transaction; [`ProducerState::first`], [`ProducerState::append`] and [`ProducerState::end`] are the
//! one place where state moves.
//!
//! Invariant: a batch that is judged [`Decision::Append`] continues its producer's sequence without a gap.
//! Invariant: a retry of one of the last [`WINDOW_BATCHES`] batches is a [`Decision::Duplicate`] and moves nothing, unless the
//! batch was aborted.
//! Invariant: behind a batch of a producer that was not known, and that was refused for what the client may mend, none of its later
//! batches is appended before that one.

mod decide;
mod marker;
mod window;

pub use decide::{AppendRejected, Decision, decide};
pub use marker::{EndMarker, MarkerDecision, MarkerRejected, MarkerWriter, decide_marker};
pub use window::{WINDOW_BATCHES, Window, WindowBatch};

use crate::record::BatchHeader;
use crate::types::{Offset, ProducerEpoch, Timestamp, TransactionResult};

/// State of one producer in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerState {
    /// Newest epoch seen.
    pub epoch: ProducerEpoch,
    /// Epoch of the transaction coordinator that wrote the last marker, -1 none.
    pub coordinator_epoch: i32,
    /// When it last wrote, for expiry; broker's wall clock.
    pub last_timestamp: Timestamp,
    /// First offset of its open transaction here.
    pub open_transaction: Option<Offset>,
    /// The last batches of its epoch.
    pub window: Window,
}

impl ProducerState {
    /// The state after a producer's first batch, appended at `base_offset` at time `now`. `header` as for
    /// [`ProducerState::append`].
    pub fn first(header: &BatchHeader, base_offset: Offset, now: Timestamp) -> Self {
        let mut state = Self::new(header, now);
        state.append(header, base_offset, now);
        state
    }

    fn new(header: &BatchHeader, now: Timestamp) -> Self {
        Self {
            epoch: header.producer_epoch,
            coordinator_epoch: -1,
            last_timestamp: now,
            open_transaction: None,
            window: Window::default(),
        }
    }

    /// Takes note of a batch that [`decide`] let pass and that is appended at `base_offset` at time `now`. `header` is the
    /// one of the stored batch: where the topic stamps times, its max timestamp is the append time.
    pub fn append(&mut self, header: &BatchHeader, base_offset: Offset, now: Timestamp) {
        self.pass_over(header, base_offset, now);
        if header.is_transactional() && self.open_transaction.is_none() {
            self.open_transaction = Some(base_offset);
        }
    }

    /// Takes note of a batch that [`decide`] let pass and of which nothing is appended, for all of its messages are there already:
    /// its sequences are used up, and a retry is answered with the same `base_offset`.
    pub fn pass_over(&mut self, header: &BatchHeader, base_offset: Offset, now: Timestamp) {
        if header.producer_epoch != self.epoch {
            self.epoch = header.producer_epoch;
            self.window.clear();
        }
        self.window.push(WindowBatch {
            first_sequence: header.base_sequence,
            offset_delta: header.last_offset_delta,
            last_offset: base_offset + i64::from(header.last_offset_delta),
            timestamp: header.max_timestamp,
            aborted: false,
        });
        self.last_timestamp = now;
    }

    /// The state of a producer of whose first batch nothing is appended.
    pub fn first_passed_over(header: &BatchHeader, base_offset: Offset, now: Timestamp) -> Self {
        let mut state = Self::new(header, now);
        state.pass_over(header, base_offset, now);
        state
    }

    /// The state of a producer of which nothing was known, and whose first batch was let pass by [`decide`] and then refused for
    /// another reason: it is expected still. What the producer has sent behind it is refused until it comes, as behind a refused
    /// batch of a known producer. Kafka knows nothing of a producer whose batch it refused, and appends the second one; librdkafka
    /// takes that for proof of the first and reports it as delivered.
    pub fn awaiting(refused: &BatchHeader, now: Timestamp) -> Self {
        let mut state = Self::new(refused, now);
        if refused.base_sequence > 0 {
            state.window.push(WindowBatch::up_to(refused.base_sequence - 1));
        }
        state
    }

    /// The state after the first that is heard of a producer is a marker: its transaction had no data here, or the producer was
    /// forgotten.
    pub fn of_marker(marker: &EndMarker, now: Timestamp) -> Self {
        Self {
            epoch: marker.producer_epoch,
            coordinator_epoch: marker.coordinator_epoch,
            last_timestamp: now,
            open_transaction: None,
            window: Window::default(),
        }
    }

    /// Takes note of a marker that [`decide_marker`] let pass at time `now`; answers the first offset of the transaction that it
    /// ends, if one was open.
    ///
    /// A new epoch begins its sequences anew. At the same epoch they go on (transactions of version 1), and an abort marks the
    /// batches that it takes back: a client that rewinds its sequence, as Java's does after a failed batch, must not be told that its
    /// new records are stored where the aborted ones are. Kafka tells it so (KAFKA-14053). Those of its earlier transactions are marked along:
    /// nobody waits for them any more, and batches that were passed over do not tell by their offsets to which they belong.
    pub fn end(&mut self, marker: &EndMarker, now: Timestamp) -> Option<Offset> {
        let first_offset = self.open_transaction.take();
        if marker.producer_epoch != self.epoch {
            self.epoch = marker.producer_epoch;
            self.window.clear();
        } else if marker.result == TransactionResult::Abort {
            self.window.abort();
        }
        self.coordinator_epoch = marker.coordinator_epoch;
        self.last_timestamp = now;
        first_offset
    }

    /// Whether it may be forgotten: it wrote nothing for `expiration_ms` (`producer.id.expiration.ms`) and has no open
    /// transaction here, however old that is. A clock that went back expires nothing.
    pub fn is_expired(&self, now: Timestamp, expiration_ms: i64) -> bool {
        self.open_transaction.is_none() && now.saturating_sub(self.last_timestamp) >= expiration_ms
    }
}

#[cfg(test)]
mod tests;
