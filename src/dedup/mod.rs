//! Which messages are sent again: ids of records, and who had them before. Pure.
//!
//! Kafka's idempotence ends with the producer's process. Here a message carries an id, and its topic remembers ids for a window of
//! time and number, whoever sends them (`message.dedup.*`). [`extract`] makes fingerprints of ids on the connection that brings a
//! batch, [`Index`] remembers them, [`decide`] says what happens to a batch. The engine asks once per batch of a topic that wants
//! it, in the order of the log, and writes what is to be remembered as one row beside the batch. Of long
//! windows most ids are in files ([`slice`](mod@slice)), where they are looked up before.
//!
//! Senders that count need no window: [`Sequences`] has one number for each, for ever (`message.dedup.mode=sequence`).
//!
//! Invariant: an id is called known only by an entry that holds all of its fingerprint; a filter says "perhaps", never "yes".
//! Invariant: every id in the index is that of a record which is in the log or was, or is in the write being decided; ids that were
//! forgotten for their age, for want of room or with an aborted transaction are in none.

mod claim;
mod decide;
pub mod extract;
mod fingerprint;
mod index;
mod place;
mod sealed;
mod sender;
mod sequences;
pub mod slice;
mod table;
mod versions;

pub use claim::{Claim, OfferedClaim};
pub use decide::{Judged, KnownBy, Original, Recognised, Verdict, decide, take_in};
pub use extract::{
    AUDIT_BYTES_MAX, AuditRecord, AuditRecords, BatchIds, Extractor, IdsRefused, NamedId, RepeatedRecords, UnfitId,
};
pub use fingerprint::{Fingerprint, Secret};
pub use index::{Index, KeptBlock, KeptIds, RememberedId};
pub use sealed::SealedFindings;
pub use sender::Sender;
pub use sequences::{BatchNumber, JudgedNumbers, Moved, Place, Reached, SEQUENCES_TOPIC, Sequence, Sequences};
pub use versions::VersionedRecord;

/// The id of one record of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchId {
    /// Of the id.
    pub fingerprint: Fingerprint,
    /// Offset of the record minus the base offset of its batch.
    pub offset_delta: u32,
}
