//! Faults that tests plant in the writer, one at a time, to see that the checker of histories finds them
//! (`tests/mutants.rs`), or the model of message ids (`tests/message_ids_model.rs`). The broker has none: there [`Settings::has`] is false at compile time, and the fault is not compiled.

use super::settings::Settings;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// An end leaves one of its partitions without a marker.
    DropOneMarker,
    /// One partition is told another outcome than the others.
    TurnOneMarker,
    /// An abort moves offsets as a commit does.
    ApplyOffsetsOfAbort,
    /// A commit leaves its offsets behind.
    DropOffsetsOfCommit,
    /// Staged offsets are seen before the end.
    ShowStagedOffsets,
    /// The offsets of an end are applied outside of its write.
    ApplyOffsetsLater,
    /// The last stable offset is one too far.
    StableOneTooFar,
    /// The index of aborted transactions lacks an entry.
    LoseAbortedEntry,
    /// An end is answered before it is synced.
    AnswerEndEarly,
    /// A batch is answered before it is synced.
    AnswerBatchEarly,
    /// EndTxn with the epoch of before a fence is carried out.
    AcceptEndOfOldEpoch,
    /// A batch is appended whether it belongs to an open transaction or not.
    SkipMembership,
    /// A retried batch is appended again.
    ForgetDuplicates,
    /// A retried batch is answered with another offset.
    AnswerDuplicateWrongly,
    /// A start forgets what partitions know of their producers.
    ForgetProducersAtStart,
    /// A start forgets open transactions.
    ForgetTransactionsAtStart,
    /// A start forgets the offsets of open transactions.
    ForgetStagedOffsetsAtStart,
    /// A start leaves a prepared transaction as it is.
    LeavePreparedAtStart,
    /// Nobody looks for transactions whose time is up.
    SkipTimeouts,
    /// An abort leaves the ids of its records known.
    KeepIdsOfAbort,
    /// A start forgets the ids of messages.
    ForgetIdsAtStart,
    /// The store says that it has synced, and has not.
    #[cfg(test)]
    SkipSync,
    /// The rows of one commit are two writes of the store.
    #[cfg(test)]
    SplitWrites,
}

impl Settings {
    /// Whether this fault is planted.
    #[cfg(test)]
    pub(super) fn has(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Never.
    #[cfg(not(test))]
    #[allow(clippy::unused_self)]
    pub(super) const fn has(&self, _: Mutant) -> bool {
        false
    }
}
