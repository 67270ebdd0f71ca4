//! Looks ids of batches up in slices: on the connection that brings a batch, and, for slices made meanwhile, in the writer.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::dedup::{BatchId, SealedFindings, Secret};
use crate::store::StoreError;
use crate::store::slices::Slice;
use crate::types::TopicNo;

/// Slices as of the newest that was made.
#[derive(Default)]
struct Shown {
    generation: u64,
    /// Newest first.
    by_topic: HashMap<TopicNo, Box<[Arc<Slice>]>>,
}

/// All slices, for everybody. Cheap to clone.
#[derive(Clone)]
pub struct SealedIds {
    secret: Secret,
    shown: Arc<ArcSwap<Shown>>,
}

impl fmt::Debug for SealedIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedIds").field("generation", &self.shown.load().generation).finish_non_exhaustive()
    }
}

impl SealedIds {
    /// Those in `slices`, oldest first: for measurements.
    pub fn of(secret: Secret, slices: impl IntoIterator<Item = Arc<Slice>>) -> Self {
        let mut by_topic: HashMap<TopicNo, VecDeque<_>> = HashMap::new();
        for slice in slices {
            by_topic.entry(slice.head.topic).or_default().push_back(slice);
        }
        let all = Self::new(secret);
        all.publish(by_topic.values().flatten().map(|slice| slice.head.number).max().unwrap_or(0), &by_topic);
        all
    }

    pub(super) fn new(secret: Secret) -> Self {
        Self { secret, shown: Arc::default() }
    }

    pub(super) fn publish(&self, generation: u64, by_topic: &HashMap<TopicNo, VecDeque<Arc<Slice>>>) {
        let newest_first = by_topic.iter().map(|(topic, slices)| (*topic, slices.iter().rev().cloned().collect()));
        self.shown.store(Arc::new(Shown { generation, by_topic: newest_first.collect() }));
    }

    /// What the filters of the topic's slices say of these ids. Reads nothing.
    pub fn ask(&self, topic: TopicNo, ids: &[BatchId]) -> PerhapsSealed {
        self.ask_newer(topic, ids, 0)
    }

    /// The same of slices above a number.
    pub(in crate::engine) fn ask_newer(&self, topic: TopicNo, ids: &[BatchId], above: u64) -> PerhapsSealed {
        let shown = self.shown.load();
        let mut perhaps = PerhapsSealed { generation: shown.generation, candidates: Vec::new() };
        let slices = shown.by_topic.get(&topic).map_or(&[][..], |slices| slices);
        let slices = &slices[..slices.partition_point(|slice| slice.head.number > above)];
        if slices.is_empty() {
            return perhaps;
        }
        for (at, id) in (0..).zip(ids) {
            let place = self.secret.sealed_place(&id.fingerprint);
            for slice in slices {
                if slice.may_hold(place) {
                    perhaps.candidates.push(Candidate { at, place, slice: Arc::clone(slice) });
                }
            }
        }
        perhaps
    }
}

/// What filters say of the ids of a batch.
pub struct PerhapsSealed {
    generation: u64,
    /// By rising places in the batch; of one place newest first.
    candidates: Vec<Candidate>,
}

struct Candidate {
    at: u32,
    place: u64,
    slice: Arc<Slice>,
}

impl PerhapsSealed {
    /// Whether none of the ids is in a slice, for sure: [`PerhapsSealed::read`] reads nothing then.
    pub fn is_none(&self) -> bool {
        self.candidates.is_empty()
    }

    /// How many reads it takes at most.
    pub fn candidates(&self) -> usize {
        self.candidates.len()
    }

    /// Reads the slices that perhaps hold one of `ids`, which are those that were asked for.
    ///
    /// # Errors
    /// What the store says: whether ids are known cannot be told then.
    pub fn read(self, ids: &[BatchId]) -> Result<SealedFindings, StoreError> {
        let mut findings = SealedFindings { generation: self.generation, found: Vec::new() };
        for Candidate { at, place, slice } in self.candidates {
            if findings.found.last().is_some_and(|(found, _)| *found == at) {
                continue;
            }
            if let Some(id) = slice.find(place, &ids[at as usize].fingerprint)? {
                findings.found.push((at, id));
            }
        }
        Ok(findings)
    }
}
