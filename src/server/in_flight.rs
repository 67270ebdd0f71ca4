//! One request from its dispatch to its answer.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::{Duration, Instant};

use crate::api::Pending;
use crate::api::turns::Gone;
use crate::metrics::phases::{ApiClass, Phase};
use crate::wire::{Close, Segments};

use super::budget::Charge;
use super::table::Line;

/// A request under way. Dropping it cancels it.
pub(crate) struct InFlight {
    pending: Pending,
    line: Arc<Line>,
    started: Instant,
    spent: Spent,
    frame_bytes: usize,
    charge: Charge,
    is_cancellable: bool,
    is_long_poll: bool,
    gone: Option<Gone>,
}

/// How a request began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begun {
    /// When it was taken up.
    pub(crate) started: Instant,
    /// How long it had lain before.
    pub(crate) queued: Duration,
    /// Whether earlier requests of its connection are under way.
    pub(crate) is_behind: bool,
    pub(crate) frame_bytes: usize,
}

/// What a request's time went to.
#[derive(Debug)]
struct Spent {
    /// Before it was taken up, and then behind earlier requests of its connection.
    queued: Duration,
    /// While a thread worked on it.
    handled: Duration,
    /// For something else.
    waited: Duration,
    /// Up to where that counts.
    until: Instant,
    is_behind: bool,
    has_been_polled: bool,
}

impl Spent {
    /// Of a request that has been dispatched.
    fn new(begun: &Begun, dispatched: Instant) -> Self {
        Self {
            queued: begun.queued,
            handled: dispatched - begun.started,
            waited: Duration::ZERO,
            until: dispatched,
            is_behind: begun.is_behind,
            has_been_polled: false,
        }
    }

    /// A thread works on it from `entered` until `left`.
    fn work(&mut self, entered: Instant, left: Instant) {
        let idle = match (self.has_been_polled, self.is_behind) {
            (true, _) => &mut self.waited,
            (false, true) => &mut self.queued,
            // What was done before the first look belongs to it.
            (false, false) => &mut self.handled,
        };
        *idle += entered - self.until;
        self.handled += left - entered;
        (self.until, self.has_been_polled) = (left, true);
    }
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
        let spent = Spent::new(&begun, Instant::now());
        let Begun { started, frame_bytes, .. } = begun;
        Self {
            pending,
            line,
            started,
            spent,
            frame_bytes,
            charge,
            is_cancellable: false,
            is_long_poll: false,
            gone: None,
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

    /// Gives itself up where it can once `gone` is told.
    pub(crate) fn until(mut self, gone: Gone) -> Self {
        self.gone = Some(gone);
        self
    }

    /// Its client waits for nothing any more.
    pub(crate) fn tell_gone(&self) {
        if let Some(gone) = &self.gone {
            gone.tell();
        }
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
        let entered = Instant::now();
        let polled = contain(|| self.pending.as_mut().poll(cx));
        let left = Instant::now();
        self.spent.work(entered, left);
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
        let Line { phases, class, duration, .. } = &*self.line;
        duration.record((left - self.started).as_secs_f64());
        phases.record(*class, Phase::Queue, self.spent.queued);
        phases.record(*class, Phase::Handle, self.spent.handled);
        phases.record(*class, Phase::Wait, self.spent.waited);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_behind_earlier_requests_is_no_work_and_time_between_looks_is_waiting() {
        let began = Instant::now();
        let at = |ms| began + Duration::from_millis(ms);
        for (is_behind, expected) in [(true, [100 + 20, 1 + 3 + 1, 30]), (false, [100, 1 + 20 + 3 + 1, 30])] {
            let begun = Begun { started: at(0), queued: Duration::from_millis(100), is_behind, frame_bytes: 1 };
            let mut spent = Spent::new(&begun, at(1));
            spent.work(at(21), at(24));
            spent.work(at(54), at(55));
            let of = [spent.queued, spent.handled, spent.waited].map(|time| time.as_millis());
            assert_eq!(of, expected, "{is_behind}");
        }
    }
}
