//! What happens to a batch by the ids of its records.

use super::BatchIds;
use super::index::{Index, Known, Offered, Reach, Repeat};
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

/// By what a record was recognised as one that had come before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownBy {
    /// By a record of its own batch.
    Batch,
    /// By an id in memory.
    Open,
    /// By an id in a file.
    Sealed,
    /// By its sender's number (`message.dedup.mode=sequence`).
    Sequence,
    /// By a record of its own transaction, which is open.
    Pending,
}

impl KnownBy {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [Self::Batch, Self::Open, Self::Sealed, Self::Sequence, Self::Pending];

    /// As metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Open => "open",
            Self::Sealed => "sealed",
            Self::Sequence => "sequence",
            Self::Pending => "pending",
        }
    }
}

/// How many records of a batch were recognised, by what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recognised([u32; KnownBy::ALL.len()]);

impl Recognised {
    /// So many, all by the same.
    pub fn all(by: KnownBy, count: u32) -> Self {
        let mut recognised = Self::default();
        recognised.0[by as usize] = count;
        recognised
    }

    /// How many by this.
    pub fn by(&self, by: KnownBy) -> u32 {
        self.0[by as usize]
    }

    /// How many altogether.
    pub fn total(&self) -> u32 {
        self.0.iter().sum()
    }
}

/// What happens to a batch. What it brings is remembered by [`Index::keep`] if it is stored, and forgotten again otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is stored as it is.
    Store,
    /// It is stored without the records of these offset deltas, which rise; at least one record is left.
    StoreWithout(Vec<(u32, Original)>),
    /// It is stored, and the records of these offset deltas are told apart.
    Mark(Vec<(u32, Original)>),
    /// All of it is known, by offset deltas. Nothing is stored; the first record's original is the answer.
    Known(Vec<(u32, Original)>),
    /// The record of this offset delta is known, and the topic refuses such batches.
    Reject(u32, Original),
    /// An id belongs to a transaction that is open: nobody can tell yet.
    Undecided,
}

impl Judged<'_> {
    fn reach(&self, place: usize, config: &DedupConfig) -> Reach {
        let near = self.ids.times.get(place).map(|time| (*time, config.kept_ms()));
        Reach { expired_until: self.now.saturating_sub(config.kept_ms()), near }
    }
}

/// Judges a batch, and notes its new ids in `index` as those of a batch that may be stored: [`Index::keep`] or [`Index::drop_new`]
/// has to follow a verdict by which something is stored, and then, as after [`Verdict::Known`], [`Index::keep_repeats`]. Tells, too, by
/// what the records were recognised that the verdict is about.
pub fn decide(index: &mut Index, batch: &Judged<'_>, config: &DedupConfig) -> (Verdict, Recognised) {
    let expired_until = batch.now.saturating_sub(config.kept_ms());
    index.drop_repeats();
    let mut known = Vec::new();
    let mut recognised = Recognised::default();
    index.look_ahead(&batch.ids.ids);
    let mut sealed = batch.ids.sealed.known(expired_until).peekable();
    for (place, id) in batch.ids.ids.iter().enumerate() {
        let claim = batch.ids.claims.get(place);
        let reach = batch.reach(place, config);
        let sealed = sealed.next_if(|(at, ..)| *at as usize == place).filter(|_| !index.holds(id));
        let (original, by) = if let Some((_, original, time)) = sealed {
            if is_due(config, time, batch.now) {
                let time = batch.ids.times.get(place).copied();
                index.note_repeat(Repeat { fingerprint: id.fingerprint, original, number: None, time, claim: None });
            }
            (original, KnownBy::Sealed)
        } else {
            // What is in memory is newer than what is sealed.
            match index.offer(id, reach, batch.transaction) {
                Offered::New => {
                    if let Some(claim) = claim {
                        index.note_claim(claim.claim(batch.now));
                    }
                    continue;
                }
                Offered::Undecided => return (refuse(index, Verdict::Undecided), Recognised::default()),
                Offered::Known(earlier) => {
                    note_repeat(index, batch, place, &earlier, config);
                    (earlier.original, earlier.by())
                }
                Offered::InBatch(offset_delta) => {
                    let offset = batch.base_offset + Offset::from(offset_delta);
                    (Original { partition: batch.partition, offset }, KnownBy::Batch)
                }
            }
        };
        match claim.zip(index.claim_of(id, reach)) {
            // Also from its own owner: to confirm what anybody may take in the next moment would promise nothing.
            Some((claim, in_force))
                if in_force.expires <= batch.now
                    && (claim.owner == in_force.owner || claim.takes_over == Some(in_force.owner))
                    && index.replace(id, reach) =>
            {
                index.note_claim(claim.claim(batch.now));
                index.drop_repeat_of(id);
                continue;
            }
            Some((claim, in_force)) if claim.owner == in_force.owner => {}
            _ if config.on_duplicate == OnDuplicate::Reject => {
                return (refuse(index, Verdict::Reject(id.offset_delta, original)), Recognised::all(by, 1));
            }
            _ => {}
        }
        known.push((id.offset_delta, original));
        recognised.0[by as usize] += 1;
    }
    let verdict = of_known(known, batch.record_count, config.on_duplicate);
    if matches!(verdict, Verdict::Known(_)) {
        index.drop_new();
    }
    (verdict, recognised)
}

/// A refused batch leaves nothing behind.
fn refuse(index: &mut Index, verdict: Verdict) -> Verdict {
    index.drop_new();
    index.drop_repeats();
    verdict
}

/// Whether an id that was appended or sent again then is to live longer for being sent again now.
fn is_due(config: &DedupConfig, time: Timestamp, now: Timestamp) -> bool {
    config.refresh_ms.is_some_and(|step| now.saturating_sub(time) > step)
}

fn note_repeat(index: &mut Index, batch: &Judged<'_>, place: usize, earlier: &Known, config: &DedupConfig) {
    let own = batch.ids.times.get(place).copied();
    let had = own.and_then(|own| Some((own, index.record_time(earlier.number)?)));
    let is_later = had.is_some_and(|(own, had)| is_due(config, had, own));
    if earlier.is_settled && (is_later || is_due(config, earlier.time, batch.now)) {
        let id = &batch.ids.ids[place];
        let claim = config.is_ledger().then(|| index.claim_of(id, batch.reach(place, config))).flatten();
        let time = own.map(|own| had.map_or(own, |(own, had)| own.max(had)));
        let (fingerprint, original, number) = (id.fingerprint, earlier.original, Some(earlier.number));
        index.note_repeat(Repeat { fingerprint, original, number, time, claim });
    }
}

/// Takes the ids of a batch in that is stored whatever is known of them, as those of its records: of several records with one id the
/// newest counts, even while others are in open transactions. [`Index::keep`] or [`Index::drop_new`] has to follow.
pub fn take_in(index: &mut Index, batch: &Judged<'_>, config: &DedupConfig) -> Verdict {
    index.drop_repeats();
    index.look_ahead(&batch.ids.ids);
    for (place, id) in batch.ids.ids.iter().enumerate() {
        let near = batch.ids.times.get(place).map(|time| (*time, 1));
        if index.take_in(id, Reach { near, ..batch.reach(place, config) })
            && let Some(claim) = batch.ids.claims.get(place)
        {
            index.note_claim(claim.claim(batch.now));
        }
    }
    Verdict::Store
}

/// What happens to a batch of so many records of which these are known, where those do not spoil it.
pub(super) fn of_known(known: Vec<(u32, Original)>, record_count: i32, on_duplicate: OnDuplicate) -> Verdict {
    if known.is_empty() {
        return Verdict::Store;
    }
    if on_duplicate == OnDuplicate::Mark {
        return Verdict::Mark(known);
    }
    if PartitionIndex::try_from(known.len()) == Ok(record_count) {
        return Verdict::Known(known);
    }
    Verdict::StoreWithout(known)
}

#[cfg(test)]
mod tests;
