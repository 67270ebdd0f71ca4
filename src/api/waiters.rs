//! Who waits for memory, so that those who stand in the way can be told to go.

use std::sync::Arc;

use tokio::sync::watch;

/// A count of those that wait. Clones count together.
#[derive(Debug, Clone)]
pub struct Waiters(Arc<watch::Sender<usize>>);

/// One that waits, until it is dropped.
pub struct Waiting<'a>(&'a watch::Sender<usize>);

impl Waiters {
    /// Counts one for as long as it waits, also when its connection drops it.
    pub fn begin(&self) -> Waiting<'_> {
        self.0.send_modify(|waiting| *waiting += 1);
        Waiting(&self.0)
    }

    /// Resolves while somebody waits.
    pub async fn are_there(&self) {
        // Its sender is in `self`.
        let _ = self.0.subscribe().wait_for(|waiting| *waiting > 0).await;
    }
}

impl Default for Waiters {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}
