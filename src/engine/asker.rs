//! The way to the writer: for the engine's callers, and for its own threads.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::command::{Command, Reply};
use super::seat::Seat;

/// Queues commands.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub seat: Arc<Seat>,
    pub queued: metrics::Gauge,
}

impl Asker {
    /// Queues a command and leaves the writer asleep. One that finds the engine gone is dropped, and with it the way back: the caller
    /// sees a closed channel.
    pub fn queue(&self, command: Command) {
        self.queued.increment(1.0);
        if !self.seat.queue(command) {
            self.queued.decrement(1.0);
        }
    }

    /// Asks the writer.
    pub fn request<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> oneshot::Receiver<T> {
        let (reply, answer) = oneshot::channel();
        self.queue(command(reply));
        self.seat.wake();
        answer
    }

    /// The same, and waits for the answer; none once the engine has ended. Not for threads of the runtime.
    pub fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Option<T> {
        self.request(command).blocking_recv().ok()
    }
}
