//! Fetch sessions (KIP-227): what a consumer fetches is remembered, so that both sides name only what changed.
//!
//! Mirrors `FetchManager`, `FetchSession` and `FetchSessionCache` of Kafka. No clock and no randomness: the time and new ids are
//! arguments. Eviction is simpler than Kafka's: there are no privileged (follower) sessions, and only a session that has been
//! idle for [`IDLE_BEFORE_EVICTION`] makes room; a fetch that finds no room is answered without a session, which costs
//! bandwidth and nothing else.
//!
//! Invariant: sessions ≤ slots, and partitions in all of them ≤ `partitions_max`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::types::{ErrorCode, Offset, PartitionIndex, Uuid};

/// Kafka's `MIN_INCREMENTAL_FETCH_SESSION_EVICTION_MS`.
pub const IDLE_BEFORE_EVICTION: Duration = Duration::from_secs(120);

/// Session id of an answer that belongs to no session.
pub const NO_SESSION: i32 = 0;

/// Epoch of a fetch that wants no session.
const SESSIONLESS: i32 = -1;
/// Epoch of a fetch that names everything and may open a session.
const FULL: i32 = 0;

/// A topic as a fetch names it: by name up to version 12, by id from version 13 on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TopicKey {
    /// Owned, so that a session does not pin the frame it came in.
    Name(Arc<str>),
    /// As sent, known or not.
    Id(Uuid),
}

/// A partition as a fetch names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PartitionKey {
    /// Its topic.
    pub topic: TopicKey,
    /// As sent, valid or not.
    pub index: PartitionIndex,
}

/// What is asked of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// First offset wanted.
    pub fetch_offset: Offset,
    /// `partition_max_bytes`, 0 and up.
    pub bytes_max: usize,
    /// The client's idea of the leader epoch, -1 none.
    pub current_leader_epoch: i32,
    /// Epoch of the last record that the client has, -1 none.
    pub last_fetched_epoch: i32,
}

/// What decides whether an incremental answer lists a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Whether it carries records.
    pub has_records: bool,
    /// Whether it is an error.
    pub is_error: bool,
    /// Whether it tells a diverging epoch.
    pub is_diverging: bool,
    /// As answered, -1 unknown.
    pub high_watermark: Offset,
    /// As answered, -1 unknown.
    pub log_start: Offset,
}

/// The session fields of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionRequest {
    /// Session id, 0 none.
    pub id: i32,
    /// -1 sessionless, 0 full, else the session's next epoch.
    pub epoch: i32,
    /// Whether the request's version names topics by id.
    pub by_topic_id: bool,
}

/// A fetch under way: what to read, in this order, and how to answer it.
#[derive(Debug)]
pub struct Fetching {
    /// All partitions of the session, or of the request where there is none.
    pub partitions: Vec<(PartitionKey, Asked)>,
    mode: Mode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Sessionless,
    Full { by_topic_id: bool },
    Incremental { id: i32, next_epoch: i32 },
}

/// How a finished fetch is answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Finished {
    /// Goes into the answer.
    pub session_id: i32,
    /// For each partition of [`Fetching::partitions`], whether the answer lists it.
    pub listed: Vec<bool>,
}

/// All fetch sessions of the broker.
#[derive(Debug)]
pub struct FetchSessions {
    slots: usize,
    partitions_max: usize,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    sessions: HashMap<i32, Session>,
    /// Least recently used first.
    by_last_use: BTreeSet<(Instant, i32)>,
    partition_count: usize,
}

#[derive(Debug)]
struct Session {
    /// Of the next request.
    epoch: i32,
    by_topic_id: bool,
    last_use: Instant,
    partitions: Partitions,
}

impl FetchSessions {
    /// An empty cache for `slots` sessions with `partitions_max` partitions in all of them together.
    pub fn new(slots: usize, partitions_max: usize) -> Self {
        Self { slots, partitions_max, cache: Mutex::default() }
    }

    /// Number of cached sessions.
    pub fn count(&self) -> usize {
        self.lock().sessions.len()
    }

    /// Finds out what a request wants to read. An error is the whole answer: top-level code, no partitions.
    pub fn begin(
        &self,
        now: Instant,
        request: SessionRequest,
        named: Vec<(PartitionKey, Asked)>,
        forgotten: &[PartitionKey],
    ) -> Result<Fetching, ErrorCode> {
        let mut cache = self.lock();
        if matches!(request.epoch, SESSIONLESS | FULL) {
            cache.remove(request.id);
            let mode = match request.epoch {
                SESSIONLESS => Mode::Sessionless,
                _ => Mode::Full { by_topic_id: request.by_topic_id },
            };
            return Ok(Fetching { partitions: last_of_each(named), mode });
        }
        let session = cache.sessions.get_mut(&request.id).ok_or(ErrorCode::FETCH_SESSION_ID_NOT_FOUND)?;
        if session.epoch != request.epoch {
            return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        }
        if session.by_topic_id != request.by_topic_id {
            return Err(ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
        }
        let before = session.partitions.len();
        for (key, asked) in named {
            session.partitions.set(key, asked);
        }
        for key in forgotten {
            session.partitions.remove(key);
        }
        session.epoch = next_epoch(session.epoch);
        let (next_epoch, after) = (session.epoch, session.partitions.len());
        cache.partition_count = cache.partition_count + after - before;
        if after == 0 {
            cache.remove(request.id);
            return Ok(Fetching { partitions: Vec::new(), mode: Mode::Sessionless });
        }
        cache.touch(request.id, now);
        if !cache.make_room(now, self.slots, self.partitions_max, Some(request.id)) {
            // It has outgrown the cache; a client that hears this comes back with a full fetch, which works without a session.
            cache.remove(request.id);
            return Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
        }
        let partitions = cache.sessions.get(&request.id).map(|session| session.partitions.asked()).unwrap_or_default();
        Ok(Fetching { partitions, mode: Mode::Incremental { id: request.id, next_epoch } })
    }

    /// Decides what the answer lists, remembers it, and opens a session for a full fetch if there is room. `draw` makes ids;
    /// none: no session.
    pub fn finish(
        &self,
        now: Instant,
        fetching: &Fetching,
        outcomes: &[Outcome],
        draw: impl FnMut() -> Option<i32>,
    ) -> Result<Finished, ErrorCode> {
        let all = vec![true; fetching.partitions.len()];
        match fetching.mode {
            Mode::Sessionless => Ok(Finished { session_id: NO_SESSION, listed: all }),
            Mode::Full { by_topic_id } => {
                let id = self.open(now, by_topic_id, &fetching.partitions, outcomes, draw);
                Ok(Finished { session_id: id.unwrap_or(NO_SESSION), listed: all })
            }
            Mode::Incremental { id, next_epoch } => {
                let mut cache = self.lock();
                let session = cache.sessions.get_mut(&id).ok_or(ErrorCode::FETCH_SESSION_ID_NOT_FOUND)?;
                if session.epoch != next_epoch {
                    return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
                }
                let answered = fetching.partitions.iter().zip(outcomes);
                let listed =
                    answered.map(|((key, _), outcome)| session.partitions.answer(key, outcome)).collect::<Vec<_>>();
                cache.touch(id, now);
                Ok(Finished { session_id: id, listed })
            }
        }
    }

    fn open(
        &self,
        now: Instant,
        by_topic_id: bool,
        named: &[(PartitionKey, Asked)],
        outcomes: &[Outcome],
        mut draw: impl FnMut() -> Option<i32>,
    ) -> Option<i32> {
        if named.is_empty() || self.slots == 0 {
            return None;
        }
        let mut cache = self.lock();
        let partitions_max = self.partitions_max.checked_sub(named.len())?;
        if !cache.make_room(now, self.slots - 1, partitions_max, None) {
            return None;
        }
        let id = loop {
            match draw()? {
                id if id > NO_SESSION && !cache.sessions.contains_key(&id) => break id,
                _ => {}
            }
        };
        let mut partitions = Partitions::default();
        for ((key, asked), outcome) in named.iter().zip(outcomes) {
            partitions.set(key.clone(), *asked);
            partitions.remember(key, outcome);
        }
        cache.partition_count += partitions.len();
        cache.by_last_use.insert((now, id));
        cache.sessions.insert(id, Session { epoch: next_epoch(FULL), by_topic_id, last_use: now, partitions });
        Some(id)
    }

    fn lock(&self) -> MutexGuard<'_, Cache> {
        // A poisoned cache is at worst a session that its client will be told to open again.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache {
    fn remove(&mut self, id: i32) {
        if let Some(session) = self.sessions.remove(&id) {
            self.by_last_use.remove(&(session.last_use, id));
            self.partition_count -= session.partitions.len();
        }
    }

    fn touch(&mut self, id: i32, now: Instant) {
        if let Some(session) = self.sessions.get_mut(&id) {
            self.by_last_use.remove(&(session.last_use, id));
            session.last_use = now;
            self.by_last_use.insert((now, id));
        }
    }

    /// Drops idle sessions, the oldest first, until at most `slots` and `partitions_max` are taken; false if they stay taken.
    fn make_room(&mut self, now: Instant, slots: usize, partitions_max: usize, keep: Option<i32>) -> bool {
        while self.sessions.len() > slots || self.partition_count > partitions_max {
            match self.by_last_use.first() {
                Some(&(last_use, id))
                    if Some(id) != keep && now.saturating_duration_since(last_use) >= IDLE_BEFORE_EVICTION =>
                {
                    self.remove(id);
                }
                _ => return false,
            }
        }
        true
    }
}

/// Partitions of a session in the order in which they are served.
#[derive(Debug, Default)]
struct Partitions {
    places: HashMap<PartitionKey, u64>,
    by_place: BTreeMap<u64, Cached>,
    next_place: u64,
}

#[derive(Debug)]
struct Cached {
    key: PartitionKey,
    asked: Asked,
    /// As last answered; -1 before the first answer and after an error, so that the recovery is reported.
    high_watermark: Offset,
    log_start: Offset,
}

impl Partitions {
    fn len(&self) -> usize {
        self.places.len()
    }

    fn asked(&self) -> Vec<(PartitionKey, Asked)> {
        self.by_place.values().map(|cached| (cached.key.clone(), cached.asked)).collect()
    }

    /// A known partition keeps its place and what is remembered of it.
    fn set(&mut self, key: PartitionKey, asked: Asked) {
        match self.cached(&key) {
            Some(cached) => cached.asked = asked,
            None => {
                let cached = Cached { key, asked, high_watermark: -1, log_start: -1 };
                self.push(cached);
            }
        }
    }

    fn remove(&mut self, key: &PartitionKey) -> Option<Cached> {
        let place = self.places.remove(key)?;
        self.by_place.remove(&place)
    }

    /// Remembers an outcome that is answered in full.
    fn remember(&mut self, key: &PartitionKey, outcome: &Outcome) {
        if let Some(cached) = self.cached(key) {
            cached.high_watermark = if outcome.is_error { -1 } else { outcome.high_watermark };
            cached.log_start = outcome.log_start;
        }
    }

    /// Whether an incremental answer lists the partition; remembers that it does. One with records goes to the end, so that
    /// others come first next time.
    fn answer(&mut self, key: &PartitionKey, outcome: &Outcome) -> bool {
        let Some(cached) = self.cached(key) else { return true };
        let changed = cached.high_watermark != outcome.high_watermark || cached.log_start != outcome.log_start;
        self.remember(key, outcome);
        if outcome.has_records
            && let Some(cached) = self.remove(key)
        {
            self.push(cached);
        }
        changed || outcome.has_records || outcome.is_error || outcome.is_diverging
    }

    fn cached(&mut self, key: &PartitionKey) -> Option<&mut Cached> {
        self.by_place.get_mut(self.places.get(key)?)
    }

    fn push(&mut self, cached: Cached) {
        self.places.insert(cached.key.clone(), self.next_place);
        self.by_place.insert(self.next_place, cached);
        self.next_place += 1;
    }
}

/// The epoch after `epoch`; 0 and -1 have meanings of their own and are skipped.
fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

/// Each partition once, at its first place, as last named.
fn last_of_each(named: Vec<(PartitionKey, Asked)>) -> Vec<(PartitionKey, Asked)> {
    let mut partitions = Partitions::default();
    for (key, asked) in named {
        partitions.set(key, asked);
    }
    partitions.asked()
}

#[cfg(test)]
mod tests;
