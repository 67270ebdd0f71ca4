//! What happens to a batch by the ids of its records.

use super::BatchIds;
use super::index::{Index, Offered};
use crate::config::DedupConfig;
use crate::config::dedup::OnDuplicate;
use crate::types::{Offset, PartitionIndex, ProducerId, Timestamp};

/// Where the record lies that had the id first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Original {
    /// Its partition.
    pub partition: u32,
    /// Its offset.
    pub offset: Offset,
}

/// What is known of a batch when it is judged.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a> {
    /// Its ids.
    pub ids: &'a BatchIds,
    /// Number of its records, those without an id included.
    pub record_count: i32,
    /// Where it goes.
    pub partition: u32,
    /// Offset that its first record would have.
    pub base_offset: Offset,
    /// The producer whose transaction it belongs to, if it belongs to one.
    pub transaction: Option<ProducerId>,
    /// By the clock of message ids, ms.
    pub now: Timestamp,
}

/// What happens to a batch. What it brings is remembered by [`Index::keep`] if it is stored, and forgotten again otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is stored as it is.
    Store,
    /// It is stored without the records of these offset deltas, which rise; at least one record is left.
    StoreWithout(Vec<u32>),
    /// It is stored, and the records of these offset deltas are told apart.
    Mark(Vec<(u32, Original)>),
    /// All of it is known. Nothing is stored; the first record's original is the answer.
    Known(Original),
    /// The record of this offset delta is known, and the topic refuses such batches.
    Reject(u32, Original),
    /// An id belongs to a transaction that is open: nobody can tell yet.
    Undecided,
}

/// Judges a batch, and notes its new ids in `index` as those of a batch that may be stored: [`Index::keep`] or [`Index::drop_new`]
/// has to follow a verdict by which something is stored.
pub fn decide(index: &mut Index, batch: &Judged<'_>, config: &DedupConfig) -> Verdict {
    let expired_until = batch.now.saturating_sub(config.window_ms);
    let mut known = Vec::new();
    index.look_ahead(&batch.ids.ids);
    let mut sealed = batch.ids.sealed.known(expired_until).peekable();
    for (place, id) in batch.ids.ids.iter().enumerate() {
        let claim = batch.ids.claims.get(place);
        let sealed = sealed.next_if(|(at, _)| *at as usize == place).filter(|_| !index.holds(id));
        let offered = match sealed {
            Some((_, original)) => Offered::Known(original),
            // What is in memory is newer.
            None => index.offer(id, expired_until, batch.transaction),
        };
        let original = match offered {
            Offered::New => {
                if let Some(claim) = claim {
                    index.note_claim(claim.claim(batch.now));
                }
                continue;
            }
            Offered::Undecided => {
                index.drop_new();
                return Verdict::Undecided;
            }
            Offered::Known(original) => original,
            Offered::InBatch(offset_delta) => {
                Original { partition: batch.partition, offset: batch.base_offset + Offset::from(offset_delta) }
            }
        };
        match claim.zip(index.claim_of(id)) {
            Some((claim, in_force)) if claim.owner == in_force.owner => {
                known.push((id.offset_delta, original));
                continue;
            }
            Some((claim, in_force))
                if claim.takes_over == Some(in_force.owner) && in_force.expires <= batch.now && index.replace(id) =>
            {
                index.note_claim(claim.claim(batch.now));
                continue;
            }
            _ => {}
        }
        if config.on_duplicate == OnDuplicate::Reject {
            index.drop_new();
            return Verdict::Reject(id.offset_delta, original);
        }
        known.push((id.offset_delta, original));
    }
    let verdict = of_known(known, batch.record_count, config.on_duplicate);
    if matches!(verdict, Verdict::Known(_)) {
        index.drop_new();
    }
    verdict
}

/// Takes the ids of a batch in that is stored whatever is known of them, as those of its records: of several records with one id the
/// newest counts, even while others are in open transactions. [`Index::keep`] or [`Index::drop_new`] has to follow.
pub fn take_in(index: &mut Index, batch: &Judged<'_>) -> Verdict {
    index.look_ahead(&batch.ids.ids);
    for (place, id) in batch.ids.ids.iter().enumerate() {
        if index.take_in(id)
            && let Some(claim) = batch.ids.claims.get(place)
        {
            index.note_claim(claim.claim(batch.now));
        }
    }
    Verdict::Store
}

/// What happens to a batch of so many records of which these are known, where those do not spoil it.
pub(super) fn of_known(known: Vec<(u32, Original)>, record_count: i32, on_duplicate: OnDuplicate) -> Verdict {
    let Some((_, first)) = known.first().copied() else { return Verdict::Store };
    if on_duplicate == OnDuplicate::Mark {
        return Verdict::Mark(known);
    }
    if PartitionIndex::try_from(known.len()) == Ok(record_count) {
        return Verdict::Known(first);
    }
    Verdict::StoreWithout(known.into_iter().map(|(offset_delta, _)| offset_delta).collect())
}

#[cfg(test)]
mod tests;
