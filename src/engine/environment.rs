//! What the engine takes from outside beside commands: the time and chance. Simulations bring their own.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::types::{Timestamp, Uuid};

/// Source of time and chance.
pub trait Environment: Send + 'static {
    /// Wall clock, ms since 1970; for record times and expiry, never for timeouts.
    fn now(&mut self) -> Timestamp;
    /// Monotonic clock, ms since some moment; for timeouts.
    fn monotonic_ms(&mut self) -> u64;
    /// A number that nobody can guess.
    fn random(&mut self) -> u64;
    /// A random UUID, version 4.
    fn random_uuid(&mut self) -> Uuid {
        let (high, low) = (self.random(), self.random());
        uuid::Builder::from_random_bytes((u128::from(high) << 64 | u128::from(low)).to_be_bytes()).into_uuid()
    }
}

/// The machine's clock and the kernel's random numbers.
#[derive(Debug, Clone, Copy)]
pub struct SystemEnvironment;

impl Environment for SystemEnvironment {
    fn now(&mut self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::try_from(since.as_millis()).unwrap_or(Timestamp::MAX)
    }

    fn monotonic_ms(&mut self) -> u64 {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        u64::try_from(ORIGIN.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn random(&mut self) -> u64 {
        getrandom::u64().expect("the kernel has random numbers once it has booted")
    }
}
