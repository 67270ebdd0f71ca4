//! The way to the writer: for the engine's callers, and for its own threads.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::command::{Command, Reply};
use super::seat::Seat;

/// Queues commands.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub seat: Arc<Seat>,
    pub queued: Queued,
}

/// What waits for the writer, as metrics show it.
#[derive(Debug, Clone)]
pub(super) struct Queued {
    commands: metrics::Gauge,
    bytes: metrics::Gauge,
}

impl Queued {
    /// Nothing waits.
    pub fn new() -> Self {
        Self {
            commands: metrics::gauge!(crate::metrics::ENGINE_QUEUE_COMMANDS),
            bytes: metrics::gauge!(crate::metrics::ENGINE_QUEUE_BYTES),
        }
    }

    fn add(&self, bytes: usize) {
        self.commands.increment(1.0);
        if bytes > 0 {
            self.bytes.increment(bytes as f64);
        }
    }

    /// So many commands, which hold so many bytes, wait no more.
    pub fn take(&self, commands: usize, bytes: usize) {
        self.commands.decrement(commands as f64);
        if bytes > 0 {
            self.bytes.decrement(bytes as f64);
        }
    }
}

impl Asker {
    /// Queues a command and leaves the writer asleep. One that finds the engine gone is dropped, and with it the way back: the caller
    /// sees a closed channel.
    pub fn queue(&self, command: Command) {
        let bytes = command.bytes();
        self.queued.add(bytes);
        if !self.seat.queue(command) {
            self.queued.take(1, bytes);
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
