//! Stub.
/// Header of a batch.
#[derive(Debug, Clone, Copy)]
pub struct BatchHeader {}
