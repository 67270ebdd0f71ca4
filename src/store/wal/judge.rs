//! Decides whether a write-ahead log that ends too early has lost what a crash may take, or more. Pure.

use super::survey::{BadSpot, Survey};
use super::synced::Synced;
use crate::types::Uuid;

/// What a survey means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing is missing.
    Whole,
    /// What is missing was never acknowledged as durable: cut there and go on.
    TornTail(BadSpot),
    /// More is missing than a crash can take.
    Damaged {
        /// Where; none if the logs just end too early.
        spot: Option<BadSpot>,
        /// Newest sequence number known to have been durable, if it is among the missing.
        synced: Option<u64>,
    },
}

/// Judges `survey` by the newest mark, in the logs or in the file `SYNCED`.
///
/// If the machine has not been restarted since (`boot_id` is the one in `SYNCED`), the page cache has survived and only the
/// very last write can be torn.
pub(super) fn judge(survey: &Survey, synced: Option<&Synced>, boot_id: Option<Uuid>) -> Verdict {
    let mark = survey.mark_beyond.max(synced.map_or(0, |synced| synced.sequence));
    if mark >= survey.next_sequence {
        return Verdict::Damaged { spot: survey.bad.clone(), synced: Some(mark) };
    }
    let Some(spot) = survey.bad.clone() else { return Verdict::Whole };
    let same_boot = boot_id.is_some() && synced.is_some_and(|synced| synced.boot_id == boot_id);
    if same_boot && !spot.torn_end {
        return Verdict::Damaged { spot: Some(spot), synced: None };
    }
    Verdict::TornTail(spot)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logs that end before sequence 10, against marks and boots.
    #[test]
    fn only_what_no_mark_covers_may_be_missing() {
        const BOOT: Option<Uuid> = Some(Uuid::from_u128(1));
        let spot = |torn_end| Some(BadSpot { file: 0, offset: 0, what: "", torn_end });
        // bad spot, mark beyond it, SYNCED (sequence, boot), this boot, verdict
        for (bad, mark_beyond, file, boot_id, expected) in [
            (None, 0, None, BOOT, "whole"),
            (None, 0, Some((9, BOOT)), BOOT, "whole"),
            (None, 0, Some((10, BOOT)), BOOT, "damaged"),
            (None, 0, Some((10, None)), BOOT, "damaged"),
            (spot(true), 0, None, BOOT, "torn"),
            (spot(true), 9, Some((9, BOOT)), BOOT, "torn"),
            (spot(true), 10, None, BOOT, "damaged"),
            (spot(true), 0, Some((10, BOOT)), BOOT, "damaged"),
            (spot(false), 9, Some((9, None)), BOOT, "torn"),
            (spot(false), 9, Some((9, None)), None, "torn"),
            (spot(false), 9, None, BOOT, "torn"),
            (spot(false), 10, Some((9, None)), BOOT, "damaged"),
            (spot(false), 9, Some((9, BOOT)), BOOT, "damaged"),
        ] {
            let survey = Survey { next_sequence: 10, bad: bad.clone(), mark_beyond, ..Survey::default() };
            let synced = file.map(|(sequence, boot_id)| Synced { sequence, clean: false, boot_id });
            let verdict = match judge(&survey, synced.as_ref(), boot_id) {
                Verdict::Whole => "whole",
                Verdict::TornTail(_) => "torn",
                Verdict::Damaged { .. } => "damaged",
            };
            assert_eq!(verdict, expected, "{bad:?} {mark_beyond} {file:?} {boot_id:?}");
        }
    }
}
