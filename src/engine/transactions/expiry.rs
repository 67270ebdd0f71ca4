//! Ends transactions whose time is up, and forgets transactional ids that nobody uses.

use std::sync::Arc;

use super::end::{self, Initiator};
use crate::engine::group::Group;
use crate::engine::mutant::Mutant;
use crate::engine::state::State;
use crate::types::Timestamp;

/// Transactions that one round aborts, so that others are served meanwhile.
const ABORTS_PER_ROUND: usize = 100;

/// Of a transactional id, what a line of the log shows.
const ID_CHARACTERS_SHOWN: usize = 256;

/// Aborts open transactions that are older than their timeout. Answers whether those were all.
pub fn abort_timed_out(state: &mut State, group: &mut Group, now: Timestamp) -> bool {
    if state.settings.has(Mutant::SkipTimeouts) {
        return true;
    }
    for _ in 0..ABORTS_PER_ROUND {
        let transactions = &state.transactions;
        let due = transactions.deadlines.first().filter(|(deadline_ms, _)| *deadline_ms <= transactions.now_ms);
        let Some((_, id)) = due.cloned() else { return true };
        let metadata = transactions.get(&id).expect("what has a deadline is open");
        // An id may have 32 kB, and its client chose it.
        let shown_end = id.char_indices().nth(ID_CHARACTERS_SHOWN).map_or(id.len(), |(end, _)| end);
        tracing::info!(
            transactional_id = &id[..shown_end],
            producer_id = metadata.producer_id.0,
            producer_epoch = metadata.producer_epoch.0,
            "transaction aborted after its timeout"
        );
        end::count_fenced("timeout");
        end::abort(state, group, &id, Initiator::Timeout, now);
    }
    false
}

/// Forgets transactional ids without an open transaction that nobody used for `transactional.id.expiration.ms`.
pub fn forget_idle(state: &mut State, group: &mut Group) {
    let expiration_ms = state.settings.transactional_id_expiration_ms;
    let now = state.expiry_clock.now(expiration_ms);
    let transactions = &mut state.transactions;
    let expired = transactions.by_id.iter().filter(|(_, entry)| entry.metadata.is_expired(now, expiration_ms));
    let expired: Vec<Arc<str>> = expired.map(|(id, _)| Arc::clone(id)).collect();
    for id in &expired {
        transactions.remove(group, id);
    }
}
