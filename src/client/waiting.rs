//! What is waited for, so that somebody can be told while it lasts.
//!
//! The client asks one thing at a time and blocks, and a blocked thread can say nothing. So what is waited for is noted here, for the whole
//! process, and [`tell_after`] watches it from a thread of its own.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

struct Awaited {
    what: String,
    since: Instant,
}

/// Where it is noted.
struct Slot(Mutex<Option<Awaited>>);

static SLOT: Slot = Slot(Mutex::new(None));

/// While it lives, something is waited for. Within another one it changes nothing: that has begun earlier.
#[must_use]
pub(super) struct Waiting {
    slot: &'static Slot,
    is_outermost: bool,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.is_outermost {
            *self.slot.lock() = None;
        }
    }
}

impl Slot {
    /// A holder that panicked has left nothing half done.
    fn lock(&self) -> MutexGuard<'_, Option<Awaited>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for(&'static self, what: impl FnOnce() -> String) -> Waiting {
        let mut awaited = self.lock();
        let is_outermost = awaited.is_none();
        if is_outermost {
            *awaited = Some(Awaited { what: what(), since: Instant::now() });
        }
        Waiting { slot: self, is_outermost }
    }

    fn tell_after(&'static self, span: Duration, tell: impl FnOnce(&str)) {
        loop {
            // Whatever begins while this sleeps has not lasted for `span` when it wakes.
            let sleep = match &*self.lock() {
                None => span,
                Some(Awaited { what, since }) if since.elapsed() >= span => return tell(what),
                Some(Awaited { since, .. }) => span.saturating_sub(since.elapsed()),
            };
            thread::sleep(sleep);
        }
    }
}

/// Notes what is waited for from here on, such as `127.0.0.1:9092 to answer Metadata`.
pub(super) fn wait_for(what: impl FnOnce() -> String) -> Waiting {
    SLOT.wait_for(what)
}

/// Tells, once, what is waited for when one thing has taken `span`. Returns at once; `tell` is called by another thread.
pub fn tell_after(span: Duration, tell: impl FnOnce(&str) + Send + 'static) {
    thread::spawn(move || SLOT.tell_after(span, tell));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_told_by_its_outermost_name() {
        static SLOT: Slot = Slot(Mutex::new(None));
        let told = || {
            let mut told = String::new();
            SLOT.tell_after(Duration::ZERO, |what| told.push_str(what));
            told
        };
        let outer = SLOT.wait_for(|| "the outer".to_owned());
        drop(SLOT.wait_for(|| "the inner".to_owned()));
        assert_eq!(told(), "the outer");
        drop(outer);
        let _next = SLOT.wait_for(|| "the next".to_owned());
        assert_eq!(told(), "the next");
    }
}
