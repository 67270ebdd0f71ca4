//! The seat of the single writer: whoever sits in it decides and writes, nobody else.
//!
//! A caller that appends and finds the seat free takes it for one group, so that a lone request costs no change of threads: on
//! a virtual machine each costs more than the write. Whoever finds the seat taken only queues, and the writer's own thread takes
//! over what queued up meanwhile. The group commit is the same either way.
//!
//! Invariant: a queued command is never left without somebody who will look at the queue: whoever leaves the seat looks
//! afterwards whether something is pending, and [`Seat::offer`] counts before it tries the seat.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, OnceLock, TryLockError};
use std::thread::Thread;

use super::command::Command;
use super::writer::{After, Writer};

/// Commands from their callers, with the number of those that nobody has taken.
pub(super) struct Queue {
    commands: Receiver<Command>,
    pending: Arc<AtomicUsize>,
}

impl Queue {
    /// The next command, if one is there.
    pub fn take(&self) -> Option<Command> {
        let command = self.commands.try_recv().ok()?;
        self.pending.fetch_sub(1, Ordering::SeqCst);
        Some(command)
    }
}

/// See the module.
pub(super) struct Seat {
    /// None once the engine has ended.
    writer: Mutex<Option<Writer>>,
    /// At least the number of commands in the queue.
    pending: Arc<AtomicUsize>,
    /// Nobody is left to ask for anything.
    is_abandoned: AtomicBool,
    thread: OnceLock<Thread>,
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seat").field("pending", &self.pending).finish_non_exhaustive()
    }
}

impl Seat {
    /// Starts the writer's own thread.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(commands: Receiver<Command>, seated: impl FnOnce(Queue) -> Writer) -> std::io::Result<Arc<Self>> {
        let pending = Arc::new(AtomicUsize::new(0));
        let writer = seated(Queue { commands, pending: Arc::clone(&pending) });
        let writer = Mutex::new(Some(writer));
        let seat = Arc::new(Self { writer, pending, is_abandoned: AtomicBool::new(false), thread: OnceLock::new() });
        let own = Arc::clone(&seat);
        let thread = std::thread::Builder::new().name("engine-writer".to_owned()).spawn(move || own.run())?;
        // The thread parks itself only for a time, should a command have come before this.
        let _ = seat.thread.set(thread.thread().clone());
        seat.wake();
        Ok(seat)
    }

    /// Counts a command that is about to be queued.
    pub fn announce(&self) {
        self.pending.fetch_add(1, Ordering::SeqCst);
    }

    /// Has the writer's thread look at the queue.
    pub fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Ends the writer's thread without a stop: its callers are gone.
    pub fn abandon(&self) {
        self.is_abandoned.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Takes the seat for one group, if it is free.
    pub fn offer(&self) {
        fence(Ordering::SeqCst);
        let mut seat = match self.writer.try_lock() {
            Ok(seat) => seat,
            // Whoever sits there looks at the queue afterwards.
            Err(TryLockError::WouldBlock | TryLockError::Poisoned(_)) => return,
        };
        let Some(writer) = seat.as_mut() else { return };
        let is_to_wake = match contained(writer, Writer::queued_round) {
            After::More => false,
            After::Stop => true,
            After::Ended => {
                *seat = None;
                true
            }
        };
        drop(seat);
        if is_to_wake || self.has_pending() {
            self.wake();
        }
    }

    fn has_pending(&self) -> bool {
        fence(Ordering::SeqCst);
        self.pending.load(Ordering::SeqCst) > 0
    }

    fn run(&self) {
        loop {
            let sleep_max = {
                let Ok(mut seat) = self.writer.lock() else { return };
                let Some(writer) = seat.as_mut() else { return };
                match contained(writer, Writer::rounds) {
                    After::More => writer.sleep_max(),
                    After::Stop => {
                        let writer = seat.take();
                        drop(seat);
                        return writer.map_or((), Writer::stop);
                    }
                    After::Ended => {
                        *seat = None;
                        return;
                    }
                }
            };
            if self.is_abandoned.load(Ordering::SeqCst) {
                return;
            }
            if self.has_pending() {
                // Announced and about to be queued.
                std::thread::yield_now();
            } else {
                std::thread::park_timeout(sleep_max);
            }
        }
    }
}

/// A panic of the writer ends the engine as a failed write does, and not whoever lent it the thread.
fn contained(writer: &mut Writer, work: impl FnOnce(&mut Writer) -> After) -> After {
    catch_unwind(AssertUnwindSafe(|| work(writer))).unwrap_or_else(|_| {
        writer.panicked();
        After::Ended
    })
}

#[cfg(test)]
pub(super) mod for_tests {
    use super::*;

    /// Keeps everybody out of the seat, so that commands queue up.
    pub struct Held<'a> {
        seat: &'a Seat,
        writer: Option<std::sync::MutexGuard<'a, Option<Writer>>>,
    }

    impl Seat {
        pub fn hold(&self) -> Held<'_> {
            let writer = self.writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            Held { seat: self, writer: Some(writer) }
        }

        /// One round without a command: the time in which the writer removes what is dead.
        pub fn idle_round(&self) {
            if let Some(writer) = self.hold().writer.as_mut().and_then(|seat| seat.as_mut()) {
                writer.idle_round();
            }
        }
    }

    impl Drop for Held<'_> {
        fn drop(&mut self) {
            self.writer = None;
            self.seat.wake();
        }
    }
}
