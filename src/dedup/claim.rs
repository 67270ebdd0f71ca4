//! Claims: records of a ledger, whose key says what is claimed and whose value by whom.

use super::fingerprint::Secret;
use crate::record::records::RecordView;
use crate::types::Timestamp;

/// Header with the milliseconds after which a claim may be taken over, as decimal text: by its owner, who has it for as long anew, or by
/// another. Without it nobody may.
const EXPIRES: &[u8] = b"claim-expires";
/// Header that names the owner whose claim is taken over.
const TAKES_OVER: &[u8] = b"claim-takes-over";

/// A claim that is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Stands for its owner: keyed hash of the record's value.
    pub owner: u64,
    /// When another may take it over, ms of the clock of message ids; [`Timestamp::MAX`]: never.
    pub expires: Timestamp,
}

/// A claim as it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfferedClaim {
    /// As in [`Claim`].
    pub owner: u64,
    /// How long nobody may take it over, ms, ≥ 1: a takeover is always younger than what it takes over; none: for as long as it is remembered.
    pub lease_ms: Option<Timestamp>,
    /// The owner whose claim it takes over.
    pub takes_over: Option<u64>,
}

impl OfferedClaim {
    /// What comes into force `now`.
    pub(super) fn claim(&self, now: Timestamp) -> Claim {
        let expires = self.lease_ms.map_or(Timestamp::MAX, |lease_ms| now.saturating_add(lease_ms));
        Claim { owner: self.owner, expires }
    }

    /// The claim that `record` makes, or why it makes none.
    pub(super) fn of(record: &RecordView<'_>, secret: Secret) -> Result<Self, &'static str> {
        let owner = |token: Option<&[u8]>| token.filter(|token| !token.is_empty()).map(|token| secret.owner(token));
        let mut claim =
            Self { owner: owner(record.value).ok_or("it names no owner")?, lease_ms: None, takes_over: None };
        for (name, value) in record.header_pairs() {
            if name == EXPIRES {
                let text = value.and_then(|value| std::str::from_utf8(value).ok());
                let lease_ms = text.and_then(|text| text.parse().ok()).filter(|ms| *ms >= 1);
                claim.lease_ms = Some(lease_ms.ok_or("its claim-expires is no number of milliseconds")?);
            } else if name == TAKES_OVER {
                claim.takes_over = Some(owner(value).ok_or("its claim-takes-over names no owner")?);
            }
        }
        Ok(claim)
    }
}
