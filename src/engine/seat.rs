//! The seat of the single writer: whoever sits in it decides and writes, nobody else.
//!
//! A caller that appends and finds the seat free takes it for one group, so that a lone request costs no change of threads: on
//! a virtual machine each costs more than the write. Whoever finds the seat taken only queues, and the writer's own thread takes
//! over what queued up meanwhile. The group commit is the same either way. When the store was slow, which holds up whatever else the
//! lent thread serves, the writer keeps to its own thread for a while.
//!
//! Invariant: a queued command is never left without somebody who will look at the queue. A caller queues before it tries the
//! seat, and whoever leaves the seat looks at the queue afterwards: of the two one comes after the other under the queue's lock.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread::Thread;

use super::command::Command;
use super::writer::{After, Writer};

/// Commands in the order in which they came.
#[derive(Clone, Default)]
pub(super) struct Queue(Arc<Mutex<Queued>>);

#[derive(Default)]
struct Queued {
    commands: VecDeque<Command>,
    /// The engine has ended.
    is_closed: bool,
}

impl Queue {
    /// Answers whether the engine is there to take the command; if not it is dropped, and with it the way back.
    fn push(&self, command: Command) -> bool {
        let mut queued = self.lock();
        if !queued.is_closed {
            queued.commands.push_back(command);
        }
        !queued.is_closed
    }

    /// The next command, if one is there.
    pub fn take(&self) -> Option<Command> {
        self.lock().commands.pop_front()
    }

    fn is_empty(&self) -> bool {
        self.lock().commands.is_empty()
    }

    fn close(&self) {
        let left = {
            let mut queued = self.lock();
            queued.is_closed = true;
            std::mem::take(&mut queued.commands)
        };
        drop(left);
    }

    fn lock(&self) -> MutexGuard<'_, Queued> {
        // Whoever holds it only moves commands in and out.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module.
pub(super) struct Seat {
    queue: Queue,
    /// None once the engine has ended.
    writer: Mutex<Option<Writer>>,
    /// Nobody is left to ask for anything.
    is_abandoned: AtomicBool,
    thread: OnceLock<Thread>,
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seat").field("is_abandoned", &self.is_abandoned).finish_non_exhaustive()
    }
}

impl Seat {
    /// Starts the writer's own thread.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(seated: impl FnOnce(Queue) -> Writer) -> std::io::Result<Arc<Self>> {
        let queue = Queue::default();
        let writer = Mutex::new(Some(seated(queue.clone())));
        let seat = Arc::new(Self { queue, writer, is_abandoned: AtomicBool::new(false), thread: OnceLock::new() });
        let own = Arc::clone(&seat);
        let thread = std::thread::Builder::new().name("engine-writer".to_owned()).spawn(move || own.run())?;
        // The thread parks itself only for a time, should a command have come before this.
        let _ = seat.thread.set(thread.thread().clone());
        seat.wake();
        Ok(seat)
    }

    /// Queues a command. Answers whether the engine is there to take it.
    pub fn queue(&self, command: Command) -> bool {
        self.queue.push(command)
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
        let mut seat = match self.writer.try_lock() {
            Ok(seat) => seat,
            // Whoever sits there looks at the queue afterwards.
            Err(TryLockError::WouldBlock | TryLockError::Poisoned(_)) => return,
        };
        let Some(writer) = seat.as_mut() else { return };
        if !writer.takes_loans() {
            drop(seat);
            return self.wake();
        }
        let after = contained(writer, Writer::queued_round);
        if matches!(after, After::Ended) {
            self.end(&mut seat);
        }
        drop(seat);
        if !matches!(after, After::More) || !self.queue.is_empty() {
            self.wake();
        }
    }

    fn end(&self, seat: &mut Option<Writer>) {
        *seat = None;
        self.queue.close();
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
                        self.queue.close();
                        return writer.map_or((), Writer::stop);
                    }
                    After::Ended => return self.end(&mut seat),
                }
            };
            if self.is_abandoned.load(Ordering::SeqCst) {
                // The engine's own threads may still ask.
                return self.queue.close();
            }
            if self.queue.is_empty() {
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
        writer: Option<MutexGuard<'a, Option<Writer>>>,
    }

    impl Seat {
        pub fn hold(&self) -> Held<'_> {
            let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            Held { seat: self, writer: Some(writer) }
        }

        /// Tells when the thread that makes slices has done all that it was told before.
        pub fn sealer_rests(&self, reply: crate::engine::command::Reply<()>) {
            if let Some(writer) = self.hold().writer.as_ref().and_then(|seat| seat.as_ref()) {
                writer.sealing().rest(reply);
            }
        }

        /// Memory of message ids, bytes, if the writer is there.
        pub fn message_id_bytes(&self) -> Option<usize> {
            let seat = self.hold();
            let writer = seat.writer.as_ref().and_then(|seat| seat.as_ref());
            writer.map(Writer::message_id_bytes)
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
