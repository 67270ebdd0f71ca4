//! einmal is a Kafka wire-protocol broker in one process with a RocksDB-backed log.
#![warn(missing_docs)]
pub mod types;
pub mod metrics;
pub mod config;
pub mod wire;
pub mod record;
pub mod producer;
pub mod store;
pub mod log;
pub mod engine;
pub mod api;
pub mod server;
