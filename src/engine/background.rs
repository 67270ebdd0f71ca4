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
pub(super) struct Ending(Told);

enum Told {
    By(Receiver<Infallible>),
    /// Never: counts what would be waited for, µs.
    #[cfg(test)]
    Never(std::sync::Arc<std::sync::atomic::AtomicU64>),
}

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
                until_panic(&name, || work(&Ending(Told::By(told))));
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
        match &self.0 {
            Told::By(told) => matches!(told.recv_timeout(time), Err(RecvTimeoutError::Disconnected)),
            #[cfg(test)]
            Told::Never(waited_us) => {
                let time_us = u64::try_from(time.as_micros()).expect("not for ever");
                waited_us.fetch_add(time_us, std::sync::atomic::Ordering::SeqCst);
                false
            }
        }
    }

    /// Whether it has come.
    pub fn has_come(&self) -> bool {
        self.within(Duration::ZERO)
    }

    /// One that never comes, and no time passes until it.
    #[cfg(test)]
    pub fn never() -> Self {
        Self::counting(std::sync::Arc::default())
    }

    /// The same; counts what would be waited for, µs.
    #[cfg(test)]
    pub fn counting(waited_us: std::sync::Arc<std::sync::atomic::AtomicU64>) -> Self {
        Self(Told::Never(waited_us))
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
