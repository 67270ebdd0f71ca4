//! Threads that work beside the writer for as long as the engine is there.

use std::convert::Infallible;
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
        std::thread::Builder::new().name(name.to_owned()).spawn(move || work(&Ending(told)))?;
        Ok(Self { _ending })
    }
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
