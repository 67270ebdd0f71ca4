//! What readers see: topics, and for each partition its offsets, newest batches and waiters.
//!
//! The engine publishes here; connections read without a lock of the write path. Nothing here is visible before it is
//! committed at the durability that its topic promises.
pub mod aborted;
pub mod catalog;
pub mod offsets;
pub mod partition;
pub mod reader;
pub(crate) mod search;
pub mod tail_cache;
