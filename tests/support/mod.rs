//! What socket tests share: the built broker as a child process, and a client of raw frames.
//!
//! The broker runs as a child so that an abort shows as the end of a process, not of the test run. The only clock is the
//! timeout of a read: what is awaited announces itself by a line or a frame.
#![allow(dead_code, unused_imports)] // each test binary uses its own part

pub mod client;
pub mod groups;
pub mod requests;
pub mod server;
pub mod transactions;

pub use client::{Reply, TestClient};
pub use server::TestServer;

use std::time::Duration;

/// How long anything may take before a test calls it hung.
pub const PATIENCE: Duration = Duration::from_secs(60);
