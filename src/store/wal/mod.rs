//! A look at RocksDB's write-ahead log before RocksDB opens it: a torn tail is cut off, damage is refused.
//!
//! RocksDB alone cannot tell the tail that a power cut may take from damage to data that was acknowledged as durable: it
//! stops at the first bad record without a word, and it skips a zeroed block and applies what follows. So every write carries
//! the newest sequence number that was fsynced before it (its *mark*), the file `SYNCED` holds another, and [`check()`] compares
//! both with what can be read.
//!
//! Invariant: after [`check()`] RocksDB sees a gap-free run of whole records, each of them fsynced.
//! Invariant: nothing is deleted; what is cut off is set aside in the folder `cut`.
//!
//! Not detected: damage to the last commits of the last second before a crash, when nothing readable follows them.

mod check;
mod cut;
mod judge;
mod keeper;
mod manifest;
mod record;
mod survey;
mod synced;

pub use check::Inspected;
pub(super) use check::{Checked, check, inspect};
pub use cut::TailCut;
pub(super) use keeper::Keeper;
pub(super) use record::mark;
#[cfg(test)]
pub(super) use synced::Synced;
pub(super) use synced::{SYNCED_FILE, SyncedFile, boot_id};
