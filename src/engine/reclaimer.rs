//! The thread that gives the space of deleted topics back to the disk. Their rows are gone by then, but the files keep them until
//! a compaction comes by, which for a log that nobody writes to any more may be never.
//!
//! It takes all topics that were handed over while it was at work, and asks for one compaction per run of neighbours. What a
//! restart makes it forget waits for the compaction that comes by chance.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::store::Store;
use crate::store::schema::topic_log_range;
use crate::types::TopicNo;

/// The writer's end of the thread; the thread ends after it is dropped.
pub(super) struct Reclaimer {
    topics: Sender<TopicNo>,
}

impl Reclaimer {
    /// Starts the thread.
    pub fn start(store: &Arc<dyn Store>) -> std::io::Result<Self> {
        let (topics, queue) = channel();
        let store = Arc::clone(store);
        std::thread::Builder::new().name("engine-reclaimer".to_owned()).spawn(move || run(store.as_ref(), &queue))?;
        Ok(Self { topics })
    }

    /// Has the space of a topic reclaimed whose rows have been removed.
    pub fn hand_over(&self, topic: TopicNo) {
        // If the thread has panicked, space is all that is lost.
        let _ = self.topics.send(topic);
    }
}

fn run(store: &dyn Store, queue: &Receiver<TopicNo>) {
    while let Ok(first) = queue.recv() {
        for (first, last) in neighbours(std::iter::once(first).chain(queue.try_iter()).collect()) {
            let ((from, _), (_, to)) = (topic_log_range(first), topic_log_range(last));
            store.reclaim_log_range(&from, &to);
        }
    }
}

/// Runs of consecutive numbers: first and last of each.
fn neighbours(topics: BTreeSet<TopicNo>) -> Vec<(TopicNo, TopicNo)> {
    let mut runs: Vec<(TopicNo, TopicNo)> = Vec::new();
    for topic in topics {
        match runs.last_mut() {
            Some((_, last)) if last.0.checked_add(1) == Some(topic.0) => *last = topic,
            _ => runs.push((topic, topic)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_reclaimed_together() {
        let runs = |topics: &[u32]| {
            let runs = neighbours(topics.iter().copied().map(TopicNo).collect());
            runs.into_iter().map(|(first, last)| (first.0, last.0)).collect::<Vec<_>>()
        };
        assert_eq!(runs(&[5]), [(5, 5)]);
        assert_eq!(runs(&[9, 3, 1, 2, u32::MAX, 10]), [(1, 3), (9, 10), (u32::MAX, u32::MAX)]);
    }
}
