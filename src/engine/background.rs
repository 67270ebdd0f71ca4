//! Threads that work beside the writer for as long as the engine is there.

use std::any::Any;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// One such thread; told to end when this is dropped.
#[derive(Debug)]
pub(super) struct Background {
    _ending: Sender<Infallible>,
}

/// Tells the thread when to end.
pub(super) struct Ending(Receiver<Infallible>);

impl Background {
    /// Starts a thread.
    ///
    /// # Errors
    /// The system has none left.
    pub fn start(name: &str, work: impl FnOnce(&Ending) + Send + 'static) -> std::io::Result<Self> {
        let (_ending, told) = channel();
        std::thread::Builder::new().name(name.to_owned()).spawn({
            let name = name.to_owned();
            move || {
                until_panic(&name, || work(&Ending(told)));
            }
        })?;
        Ok(Self { _ending })
    }
}

/// Runs the work of a thread that nobody joins, and tells operators when it panics: nothing else would show. Answers whether it ended
/// by itself.
pub(super) fn until_panic(thread: &str, work: impl FnOnce()) -> bool {
    let panics = metrics::counter!(crate::metrics::ENGINE_THREAD_PANICS_TOTAL, "thread" => thread.to_owned());
    // Shown before there are any, so that an alert sees the first.
    panics.increment(0);
    // Nobody looks at what it leaves: its own state goes with it, and it changes that of others by commands.
    let ended = catch_unwind(AssertUnwindSafe(work));
    if let Err(panic) = &ended {
        panics.increment(1);
        let panic = message_of(panic.as_ref());
        tracing::error!(thread, panic, "a thread of the engine panicked: its work is left undone until a restart");
    }
    ended.is_ok()
}

fn message_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

impl Ending {
    /// Waits; answers whether the end came meanwhile.
    pub fn within(&self, time: Duration) -> bool {
        matches!(self.0.recv_timeout(time), Err(RecvTimeoutError::Disconnected))
    }

    /// Whether it has come.
    pub fn has_come(&self) -> bool {
        self.within(Duration::ZERO)
    }

    /// One that never comes.
    #[cfg(test)]
    pub fn never() -> Self {
        let (sender, told) = channel();
        std::mem::forget(sender);
        Self(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_and_goes_no_further() {
        assert!(until_panic("ends", || {}));
        assert!(!until_panic("panics", || panic!("{} is odd", 7)));
        let panic = catch_unwind(|| panic!("{} is odd", 7)).unwrap_err();
        assert_eq!(message_of(panic.as_ref()), "7 is odd");
        let panic = catch_unwind(|| panic!("odd")).unwrap_err();
        assert_eq!(message_of(panic.as_ref()), "odd");
    }
}
