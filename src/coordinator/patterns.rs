//! Finds out what patterns match, off the runtime's threads and under no group's lock: a costly one takes seconds for thousands of topics.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::kind::Group;
use super::slot::Slot;
use super::topics::Image;
use super::{Coordinator, EngineGone};
use crate::group::consumer::HeartbeatRequest;
use crate::group::consumer::regex::PatternInvalid;
use crate::group::consumer::topics::Matching;

/// What patterns match, as far as it was looked for.
pub(super) type Matchings = HashMap<String, Result<Matching, PatternInvalid>>;

/// How many threads match patterns at once: what is left belongs to all others.
pub(super) fn threads_max() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}

impl Coordinator {
    /// Matches all patterns of a group whose turn it is to see new topics, if `request` is of one of its members and a thread is free: the
    /// group can wait for that, with the topics that it has, until a later heartbeat.
    ///
    /// # Errors
    /// [`EngineGone`]: the runtime ends.
    pub(super) async fn refreshed(&self, slot: &Slot, request: &HeartbeatRequest) -> Result<Matchings, EngineGone> {
        let around = self.around(&request.group_id);
        let stale = slot.look(|state| match &state.group {
            Group::Consumer(group) if group.has_member(&request.member_id, request.member_epoch) => {
                group.stale_regexes(&around.context(self.clock.now()))
            }
            _ => Vec::new(),
        });
        let stale = stale.unwrap_or_default();
        if stale.is_empty() {
            return Ok(Matchings::new());
        }
        match Arc::clone(&self.matching).try_acquire_owned() {
            Ok(thread) => self.matched(stale, thread).await,
            Err(_) => Ok(Matchings::new()),
        }
    }

    /// Matches a pattern that a member brings along, once it is its turn.
    ///
    /// # Errors
    /// [`EngineGone`]: the runtime ends.
    pub(super) async fn matched_anew(&self, pattern: String) -> Result<Matchings, EngineGone> {
        let thread = Arc::clone(&self.matching).acquire_owned().await.map_err(|_| EngineGone)?;
        self.matched(vec![pattern], thread).await
    }

    /// The work goes on, and keeps its thread, also where nobody waits for it any more.
    async fn matched(&self, patterns: Vec<String>, thread: OwnedSemaphorePermit) -> Result<Matchings, EngineGone> {
        let topics = Image::of(self.catalog.topics());
        let matching = tokio::task::spawn_blocking(move || {
            let _thread = thread;
            let matched = |pattern: String| {
                let matching = Matching::of(&pattern, &topics);
                (pattern, matching)
            };
            patterns.into_iter().map(matched).collect()
        });
        matching.await.map_err(|_| EngineGone)
    }
}
