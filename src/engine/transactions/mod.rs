//! The coordinator of transactions: a part of the writer's state, so that what it decides is in the write with what it is about.
//!
//! Mirrors `TransactionCoordinator` and `TransactionStateManager`. [`crate::transaction`] judges and moves single transactions;
//! here they are kept by transactional id, with their deadlines and the room they take. `producer` answers who may write in a
//! transaction, `end` carries outcomes out, `offsets` keeps what groups will have committed, `expiry` ends and forgets what is
//! too old, `open` tells how long they are open, `connections` tells late requests, `describe` shows it all to administrators,
//! who end by `offsets_partitions` what hangs in a partition of `__consumer_offsets`.
//!
//! Kafka writes an end in steps: outcome, markers to each partition's leader, completion. Here these are rows of one write, so a
//! prepared outcome is seen by nobody, unless it has more participants than one write should carry ([`end::SLICE`]).
//!
//! Invariant: a transaction moves by [`Transactions::change`] only, which has its row written with the group that is decided.
//! Invariant: pending offsets exist only under transactions that are open or prepared.

mod connections;
pub(super) mod describe;
pub(super) mod end;
pub(super) mod expiry;
pub(super) mod offsets;
pub(super) mod offsets_partitions;
mod open;
pub(super) mod producer;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::group::{Answer, Group};
use crate::transaction::{TransactionMetadata, TransactionRefused, TransactionState, TransactionVersion};
use crate::types::{ProducerId, Timestamp};
use connections::Connections;
use offsets::PendingOffsets;
pub use open::OpenTransactions;
use open::Spans;

/// Which protocol the broker speaks where it acts in a producer's stead: the one that it has finalised.
const BROKER_VERSION: TransactionVersion = TransactionVersion::V2;

/// What a transactional id takes in memory beside its name and participants, bytes.
const ID_BYTES: usize = 512;
/// The same for a partition, and for a group beside its name.
const PARTITION_BYTES: usize = 48;
const GROUP_BYTES: usize = 96;

/// How much memory transactional ids may take, bytes.
#[derive(Debug, Default, Clone, Copy)]
pub struct Limits {
    /// All of them: `einmal.transactions.bytes.max`.
    pub bytes_max: usize,
    /// Each: `einmal.transaction.bytes.per.id.max`. A transaction's row is written whole whenever something joins it, so this is also
    /// about what one small request can have written.
    pub bytes_per_id_max: usize,
}

/// All transactional ids.
#[derive(Default)]
pub(super) struct Transactions {
    by_id: HashMap<Arc<str>, Entry>,
    /// When open transactions are to be aborted.
    deadlines: BTreeSet<(u64, Arc<str>)>,
    /// Prepared ones whose outcome is not carried out everywhere, with who waits for it.
    ending: VecDeque<Ending>,
    /// Offsets of open transactions.
    pub pending: PendingOffsets,
    bytes: usize,
    limits: Limits,
    /// Monotonic time of the group that is being decided, ms.
    now_ms: u64,
    /// How many there are in each state.
    states: BTreeMap<TransactionState, usize>,
    /// Those that are open or prepared.
    spans: Spans,
    /// Since the last [`Transactions::take_figures`].
    has_moved: bool,
}

/// A prepared transaction whose outcome is not carried out everywhere.
struct Ending {
    id: Arc<str>,
    answer: Option<EndAnswer>,
    /// Not before this: a partition could not be read.
    at_ms: u64,
}

/// How much there is of transactions.
pub(super) struct Totals<'a> {
    pub ids: usize,
    /// Memory taken.
    pub bytes: usize,
    pub states: &'a BTreeMap<TransactionState, usize>,
    /// Open or prepared.
    pub open: usize,
    /// Prepared, with an outcome that is not carried out everywhere.
    pub ending: usize,
}

/// Answers an end once it is complete.
pub(super) type EndAnswer = Box<dyn FnOnce(&TransactionMetadata) -> Answer + Send>;

struct Entry {
    metadata: TransactionMetadata,
    /// While it is open.
    deadline_ms: Option<u64>,
    bytes: usize,
    connections: Connections,
    /// Of the open transaction, as far as they came in this run.
    records: u64,
}

impl Transactions {
    /// None yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Sets the time of the next group.
    pub fn set_now(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// What is known of a transactional id.
    pub fn get(&self, transactional_id: &str) -> Option<&TransactionMetadata> {
        self.by_id.get(transactional_id).map(|entry| &entry.metadata)
    }

    /// The same, with the id as it is kept.
    pub fn find(&self, transactional_id: &str) -> Result<(Arc<str>, &TransactionMetadata), TransactionRefused> {
        let found = self.by_id.get_key_value(transactional_id).ok_or(TransactionRefused::UnknownTransactionalId)?;
        Ok((Arc::clone(found.0), &found.1.metadata))
    }

    /// Counts records that a known id's open transaction has been given.
    pub fn count_records(&mut self, transactional_id: &str, records: u64) {
        if let Some(entry) = self.by_id.get_mut(transactional_id) {
            entry.records += records;
        }
    }

    /// The records that were counted for the open transaction, which is about to end.
    fn take_records(&mut self, transactional_id: &str) -> u64 {
        self.by_id.get_mut(transactional_id).map_or(0, |entry| std::mem::take(&mut entry.records))
    }

    /// How much there is; none if that is what it was at the last call.
    pub fn take_figures(&mut self) -> Option<Totals<'_>> {
        if !std::mem::take(&mut self.has_moved) {
            return None;
        }
        self.spans.show();
        Some(Totals {
            ids: self.by_id.len(),
            bytes: self.bytes,
            states: &self.states,
            open: self.spans.count(),
            ending: self.ending.len(),
        })
    }

    /// What a scrape reads of the open ones.
    pub fn open(&self) -> Arc<OpenTransactions> {
        self.spans.shown()
    }

    /// Whether an outcome is left to be carried out now.
    pub fn is_ending(&self) -> bool {
        self.ending.front().is_some_and(|next| next.at_ms <= self.now_ms)
    }

    /// Whether `bytes` more may be taken by a transactional id that takes `taken`.
    fn check_room(&self, taken: usize, bytes: usize) -> Result<(), TransactionRefused> {
        let is_over = self.bytes.saturating_add(bytes) > self.limits.bytes_max;
        let is_over_of_id = taken.saturating_add(bytes) > self.limits.bytes_per_id_max;
        if is_over || is_over_of_id { Err(TransactionRefused::NoRoom) } else { Ok(()) }
    }

    /// Whether the transaction of a known id may have participants that take `bytes` more.
    fn check_growth(&self, id: &str, bytes: usize) -> Result<(), TransactionRefused> {
        self.check_room(self.by_id.get(id).map_or(0, |entry| entry.bytes), bytes)
    }

    /// Takes a transactional id in that is not known.
    fn create(
        &mut self,
        transactional_id: &str,
        producer_id: impl FnOnce() -> ProducerId,
        now: Timestamp,
    ) -> Result<Arc<str>, TransactionRefused> {
        self.check_room(0, ID_BYTES + transactional_id.len())?;
        let id: Arc<str> = Arc::from(transactional_id);
        self.insert(Arc::clone(&id), TransactionMetadata::new(producer_id(), now), None);
        Ok(id)
    }

    /// Takes in what was stored: an open transaction has what is left of its time, a prepared one is carried out.
    pub fn recover(&mut self, transactional_id: String, metadata: TransactionMetadata, now: Timestamp) {
        let id: Arc<str> = Arc::from(transactional_id);
        if metadata.state.is_prepared() {
            self.ending.push_back(Ending { id: Arc::clone(&id), answer: None, at_ms: self.now_ms });
        }
        // The wall clock tells how long the broker was away; wherever it jumped meanwhile, no transaction gets more than its time.
        let open_ms = u64::try_from(now.saturating_sub(metadata.start_time)).unwrap_or(0);
        let left_ms = u64::from(metadata.timeout_ms).saturating_sub(open_ms);
        let deadline_ms = (metadata.state == TransactionState::Ongoing).then(|| self.now_ms.saturating_add(left_ms));
        self.insert(id, metadata, deadline_ms);
    }

    fn insert(&mut self, id: Arc<str>, metadata: TransactionMetadata, deadline_ms: Option<u64>) {
        let bytes = bytes_of(&id, &metadata);
        self.has_moved = true;
        self.bytes += bytes;
        *self.states.entry(metadata.state).or_default() += 1;
        self.spans.replace(&id, None, open::span(&metadata));
        self.deadlines.extend(deadline_ms.map(|deadline_ms| (deadline_ms, Arc::clone(&id))));
        let replaced = self
            .by_id
            .insert(id, Entry { metadata, deadline_ms, bytes, connections: Connections::default(), records: 0 });
        assert!(replaced.is_none(), "a transactional id is taken in once");
    }

    /// Forgets a transactional id.
    fn remove(&mut self, group: &mut Group, id: &Arc<str>) {
        if let Some(entry) = self.by_id.remove(id) {
            self.has_moved = true;
            self.bytes -= entry.bytes;
            *self.states.entry(entry.metadata.state).or_default() -= 1;
            self.spans.replace(id, open::span(&entry.metadata), None);
            if let Some(deadline_ms) = entry.deadline_ms {
                self.deadlines.remove(&(deadline_ms, Arc::clone(id)));
            }
            group.transactions.insert(Arc::clone(id));
        }
    }

    /// The one way in which a transaction moves: its row is written with the group, its deadline follows its state.
    ///
    /// # Panics
    /// If the id is not known.
    fn change<T>(&mut self, group: &mut Group, id: &Arc<str>, change: impl FnOnce(&mut TransactionMetadata) -> T) -> T {
        self.has_moved = true;
        let entry = self.by_id.get_mut(id).expect("found before");
        let before = entry.metadata.state;
        let span_before = open::span(&entry.metadata);
        let changed = change(&mut entry.metadata);
        let after = entry.metadata.state;
        self.spans.replace(id, span_before, open::span(&entry.metadata));
        if before != after {
            *self.states.entry(before).or_default() -= 1;
            *self.states.entry(after).or_default() += 1;
        }
        let bytes = bytes_of(id, &entry.metadata);
        self.bytes = self.bytes - entry.bytes + bytes;
        entry.bytes = bytes;
        if (after == TransactionState::Ongoing) != entry.deadline_ms.is_some() {
            match entry.deadline_ms.take() {
                Some(deadline_ms) => {
                    self.deadlines.remove(&(deadline_ms, Arc::clone(id)));
                }
                None => {
                    let deadline_ms = self.now_ms.saturating_add(u64::from(entry.metadata.timeout_ms));
                    entry.deadline_ms = Some(deadline_ms);
                    self.deadlines.insert((deadline_ms, Arc::clone(id)));
                }
            }
        }
        group.transactions.insert(Arc::clone(id));
        changed
    }
}

/// Memory of one transactional id. Participants are counted at their number, so this costs nothing for large transactions but the
/// groups' names.
fn bytes_of(id: &str, metadata: &TransactionMetadata) -> usize {
    let groups: usize = metadata.groups.iter().map(|group| GROUP_BYTES + group.len()).sum();
    ID_BYTES + id.len() + metadata.partitions.len() * PARTITION_BYTES + groups
}
