//! How the engine's own threads ask the writer.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::command::{Command, Reply};
use super::seat::Seat;

/// Asks the writer and waits for the answer. Not for threads of the runtime.
#[derive(Clone)]
pub(super) struct Asker {
    pub seat: Arc<Seat>,
    pub queued: metrics::Gauge,
}

impl Asker {
    /// The answer; none once the engine has ended.
    pub fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.queued.increment(1.0);
        if !self.seat.queue(command(reply)) {
            self.queued.decrement(1.0);
            return None;
        }
        self.seat.wake();
        answer.blocking_recv().ok()
    }
}
