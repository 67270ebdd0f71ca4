//! Why a group's partitions are shared anew.

/// What began a rebalance. Of several causes it is the first: the others find it under way.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum RebalanceReason {
    /// A member has come.
    #[default]
    Join,
    /// A member has left, or was removed by an administrator.
    Leave,
    /// A member was not heard of within its session.
    SessionTimeout,
    /// A member was heard of, and did not join, ask for its assignment or give up partitions within its rebalance timeout.
    RebalanceTimeout,
    /// A member subscribes to other topics, topics have changed, or the leader wants to share anew for a reason of its own.
    Metadata,
    /// A member of a classic group names other assignors than before.
    Assignor,
}

impl RebalanceReason {
    /// All of them, each at the place of its number.
    pub const ALL: [Self; 6] =
        [Self::Join, Self::Leave, Self::SessionTimeout, Self::RebalanceTimeout, Self::Metadata, Self::Assignor];

    /// As a label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Leave => "leave",
            Self::SessionTimeout => "session_timeout",
            Self::RebalanceTimeout => "rebalance_timeout",
            Self::Metadata => "metadata",
            Self::Assignor => "assignor",
        }
    }
}

/// How many rebalances each reason has begun.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Rebalances([u64; RebalanceReason::ALL.len()]);

impl Rebalances {
    /// One more.
    pub fn count(&mut self, reason: RebalanceReason) {
        self.0[reason as usize] += 1;
    }

    /// All reasons with their counts.
    pub fn by_reason(&self) -> impl Iterator<Item = (RebalanceReason, u64)> + '_ {
        RebalanceReason::ALL.into_iter().zip(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_counted_for_itself() {
        let mut rebalances = Rebalances::default();
        for (times, reason) in RebalanceReason::ALL.into_iter().enumerate() {
            (0..times).for_each(|_| rebalances.count(reason));
        }
        let counted: Vec<_> = rebalances.by_reason().collect();
        let expected: Vec<_> = RebalanceReason::ALL.into_iter().zip(0..).collect();
        assert_eq!(counted, expected);
    }
}
