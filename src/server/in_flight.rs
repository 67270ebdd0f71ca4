//! One request from its dispatch to its answer.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::{Duration, Instant};

use crate::api::Pending;
use crate::metrics::phases::{ApiClass, Phase};
use crate::wire::{Close, Segments};

use super::budget::Charge;
use super::table::Line;

/// A request under way. Dropping it cancels it.
pub(crate) struct InFlight {
    pending: Pending,
    line: Arc<Line>,
    started: Instant,
    /// Time before that, and in which a thread worked on it.
    queued: Duration,
    handled: Duration,
    has_been_polled: bool,
    frame_bytes: usize,
    charge: Charge,
    is_cancellable: bool,
    is_long_poll: bool,
}

/// How a request began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begun {
    /// When it was taken up.
    pub(crate) started: Instant,
    /// How long it had lain before.
    pub(crate) queued: Duration,
    pub(crate) frame_bytes: usize,
}

/// How a request ended.
pub(crate) struct Answered {
    pub(crate) frame_bytes: usize,
    pub(crate) class: ApiClass,
    pub(crate) answered_at: Instant,
    pub(crate) result: Result<Option<Segments>, Failure>,
}

/// Why there is no answer and the connection ends.
#[derive(Debug)]
pub(crate) enum Failure {
    Close(Close),
    /// A defect of a handler: its connection dies alone.
    Panicked(String),
}

impl InFlight {
    pub(crate) fn new(pending: Pending, line: Arc<Line>, begun: Begun, charge: Charge) -> Self {
        line.in_flight.increment(1);
        let Begun { started, queued, frame_bytes } = begun;
        Self {
            pending,
            line,
            started,
            queued,
            handled: Duration::ZERO,
            has_been_polled: false,
            frame_bytes,
            charge,
            is_cancellable: false,
            is_long_poll: false,
        }
    }

    /// Nobody needs it once its client has gone.
    pub(crate) fn into_cancellable(mut self) -> Self {
        self.is_cancellable = true;
        self
    }

    /// Cancellable, and gives its charge back as soon as it waits.
    pub(crate) fn into_long_poll(mut self) -> Self {
        self.is_long_poll = true;
        self.into_cancellable()
    }

    pub(crate) fn is_cancellable(&self) -> bool {
        self.is_cancellable
    }

    pub(crate) fn is_long_poll(&self) -> bool {
        self.is_long_poll
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.line.in_flight.decrement(1);
    }
}

impl Future for InFlight {
    type Output = Answered;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answered> {
        // What was done before the first look belongs to it.
        let entered = if self.has_been_polled { Instant::now() } else { self.started };
        self.has_been_polled = true;
        let polled = contain(|| self.pending.as_mut().poll(cx));
        let left = Instant::now();
        self.handled += left - entered;
        let result = match polled {
            Ok(Poll::Pending) => {
                if self.is_long_poll {
                    self.charge = Charge::default();
                }
                return Poll::Pending;
            }
            Ok(Poll::Ready(result)) => result.map_err(Failure::Close),
            Err(failure) => Err(failure),
        };
        let taken = left - self.started;
        let Line { phases, class, duration, .. } = &*self.line;
        duration.record(taken.as_secs_f64());
        phases.record(*class, Phase::Queue, self.queued);
        phases.record(*class, Phase::Handle, self.handled);
        phases.record(*class, Phase::Wait, taken.saturating_sub(self.handled));
        if let Ok(Some(segments)) = &result {
            self.line.response_bytes.record(segments.iter().map(bytes::Bytes::len).sum::<usize>() as f64);
        }
        Poll::Ready(Answered { frame_bytes: self.frame_bytes, class: self.line.class, answered_at: left, result })
    }
}

/// Runs a handler so that its panic ends no more than its connection. What it shares with others is behind the engine's
/// queue or atomics, which a panic leaves whole.
pub(crate) fn contain<T>(work: impl FnOnce() -> T) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| Failure::Panicked(panic_text(&*payload)))
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}
