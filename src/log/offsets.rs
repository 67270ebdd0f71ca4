//! Stub.
/// Committed offsets of all groups.
#[derive(Debug, Default)]
pub struct CommittedOffsets {}
