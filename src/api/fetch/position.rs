//! Where a fetch stands in a partition's log. Pure.
//!
//! Mirrors the checks of `Partition.readRecords` in Kafka.

use crate::api::fetch_session::Asked;
use crate::log::partition::Offsets;
use crate::types::{LeaderEpoch, Offset};
use crate::wire::fetch_response::EpochEnd;

/// Where a fetch offset lies.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// Below the log start or above the log end.
    OutOfRange,
    /// The client's last record is from an epoch that ended before it (KIP-595).
    Diverging(EpochEnd),
    /// In the log or at its end.
    InLog,
}

pub(super) fn position(
    asked: &Asked,
    offsets: &Offsets,
    end_of: impl Fn(LeaderEpoch) -> (LeaderEpoch, Offset),
) -> Position {
    let in_range = (offsets.log_start..=offsets.log_end).contains(&asked.fetch_offset);
    if asked.last_fetched_epoch >= 0 && asked.fetch_offset >= offsets.log_start {
        let (epoch, end_offset) = end_of(LeaderEpoch(asked.last_fetched_epoch));
        if epoch.0 < 0 || end_offset < 0 {
            return Position::OutOfRange;
        }
        if epoch.0 < asked.last_fetched_epoch || end_offset < asked.fetch_offset {
            return Position::Diverging(EpochEnd { epoch: epoch.0, end_offset });
        }
    }
    if in_range { Position::InLog } else { Position::OutOfRange }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_and_epochs_decide_where_a_fetch_stands() {
        use Position::*;
        let offsets = Offsets { log_start: 10, last_stable_offset: 25, high_watermark: 28, log_end: 30 };
        // Epoch 2 began at offset 5, epoch 5 at 20.
        let end_of = |epoch: LeaderEpoch| match epoch.0 {
            0..2 => (epoch, 5),
            2..5 => (LeaderEpoch(2), 20),
            5 => (LeaderEpoch(5), 30),
            _ => (LeaderEpoch(-1), -1),
        };
        let diverging = |epoch, end_offset| Diverging(EpochEnd { epoch, end_offset });
        for (fetch_offset, last_fetched_epoch, expected) in [
            (-1, -1, OutOfRange),
            (9, -1, OutOfRange),
            (10, -1, InLog),
            (30, -1, InLog),
            (31, -1, OutOfRange),
            (15, 2, InLog),
            (20, 2, InLog),
            (21, 2, diverging(2, 20)),
            (15, 3, diverging(2, 20)),
            (30, 5, InLog),
            (31, 5, diverging(5, 30)),
            (15, 6, OutOfRange),
            (9, 3, OutOfRange),
            (15, 1, diverging(1, 5)),
        ] {
            let asked = Asked { fetch_offset, bytes_max: 1, current_leader_epoch: -1, last_fetched_epoch };
            assert_eq!(
                position(&asked, &offsets, end_of),
                expected,
                "offset {fetch_offset} epoch {last_fetched_epoch}"
            );
        }
    }
}
