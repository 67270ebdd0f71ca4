//! States of a transaction, and which follow which.

/// Where a transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransactionState {
    /// No transaction since InitProducerId. Partitions and groups may be added; an end is refused, but for the abort of nothing
    /// that a client of V2 may send.
    Empty,
    /// Partitions or groups take part. More may be added; an end, a newer producer or the timeout prepare the outcome.
    Ongoing,
    /// To be committed, decided for good. Retries are told to come again until the markers are written.
    PrepareCommit,
    /// The same for an abort.
    PrepareAbort,
    /// Committed; the retry of the commit succeeds. The next participant begins a new transaction.
    CompleteCommit,
    /// The same for an abort.
    CompleteAbort,
}

impl TransactionState {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
    ];

    /// Kafka's name, as DescribeTransactions and ListTransactions show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }

    /// The state of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether nothing is open: no participant, no outcome that is not carried out.
    pub fn is_at_rest(self) -> bool {
        matches!(self, Self::Empty | Self::CompleteCommit | Self::CompleteAbort)
    }

    /// Whether the outcome is decided and not carried out.
    pub fn is_prepared(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::PrepareAbort)
    }

    /// Whether a transaction may go from here to `next`. [`TransactionState::Empty`] and those at rest go to `PrepareAbort` in V2
    /// only: the abort of nothing.
    pub fn may_become(self, next: Self) -> bool {
        match next {
            Self::Empty => self.is_at_rest(),
            Self::Ongoing => self.is_at_rest() || self == Self::Ongoing,
            Self::PrepareCommit => self == Self::Ongoing,
            Self::PrepareAbort => self.is_at_rest() || self == Self::Ongoing,
            Self::CompleteCommit => self == Self::PrepareCommit,
            Self::CompleteAbort => self == Self::PrepareAbort,
        }
    }
}
