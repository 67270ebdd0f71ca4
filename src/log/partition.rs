//! Stub.
/// Readers' view of one partition.
#[derive(Debug)]
pub struct Partition {}
