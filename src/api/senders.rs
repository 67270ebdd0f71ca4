//! Who sends what is there already: a list of bounded length, for people who look for the sender that is broken.
//!
//! Client ids are what clients choose and no labels of metrics. Counted where batches are answered, and only those with records that
//! came before: nobody else takes the lock. The list forgets by the rule of *Space-Saving* (Metwally, Agrawal and El Abbadi, 2005):
//! who comes anew takes the place of the one with least, and is weighed from there on, so that nobody is missed who sent more than
//! its part of all repetitions, however many others there are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::command::Repeated;
use crate::types::TopicNo;

/// Senders that are told apart, each of one topic.
pub const SENDERS_MAX: usize = 1_000;
/// Bytes of a client id that are kept.
const CLIENT_ID_BYTES_MAX: usize = 256;

/// What one client has sent to one topic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Records that were there already, since it is on the list.
    pub repeated: Repeated,
    /// What those whose place it took had at most: so many of its own may be missing.
    pub missed_max: u64,
}

impl Sent {
    fn records(&self) -> u64 {
        self.repeated.records()
    }

    /// By what the list forgets.
    fn weight(&self) -> u64 {
        self.records().saturating_add(self.missed_max)
    }
}

/// Those who sent most.
#[derive(Debug, Default)]
pub struct Senders(Mutex<HashMap<(TopicNo, Arc<str>), Sent>>);

impl Senders {
    /// Counts what a client has sent to a topic that was there; nothing if it was nothing.
    pub fn note(&self, topic: TopicNo, client_id: &str, repeated: Repeated) {
        if repeated.records() == 0 {
            return;
        }
        let sender = (topic, Arc::from(beginning(client_id)));
        let mut senders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sent) = senders.get_mut(&sender) {
            sent.repeated += repeated;
            return;
        }
        let mut missed_max = 0;
        if senders.len() >= SENDERS_MAX {
            let least = senders.iter().min_by_key(|(_, sent)| sent.weight());
            if let Some((least, sent)) = least.map(|(least, sent)| (least.clone(), *sent)) {
                missed_max = sent.weight();
                senders.remove(&least);
            }
        }
        senders.insert(sender, Sent { repeated, missed_max });
    }

    /// The `count` who sent most records that were there, worst first.
    pub fn worst(&self, count: usize) -> Vec<(TopicNo, Arc<str>, Sent)> {
        let senders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut worst: Vec<_> = senders.iter().map(|((topic, id), sent)| (*topic, Arc::clone(id), *sent)).collect();
        drop(senders);
        worst.sort_unstable_by(|(topic, id, sent), (other_topic, other_id, other)| {
            (other.records(), topic, id).cmp(&(sent.records(), other_topic, other_id))
        });
        worst.truncate(count);
        worst
    }
}

/// As much of a client id as is kept.
fn beginning(client_id: &str) -> &str {
    let ends = client_id.char_indices().map(|(at, c)| at + c.len_utf8());
    &client_id[..ends.take_while(|end| *end <= CLIENT_ID_BYTES_MAX).last().unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(known: u64) -> Repeated {
        Repeated { known, retried: 0 }
    }

    #[test]
    fn what_was_sent_again_is_counted_by_client_and_topic() {
        let senders = Senders::default();
        senders.note(TopicNo(1), "shop", known(3));
        senders.note(TopicNo(1), "shop", Repeated { known: 1, retried: 5 });
        senders.note(TopicNo(2), "shop", known(4));
        senders.note(TopicNo(1), "well-behaved", known(0));
        let worst = senders.worst(10);
        let names: Vec<_> = worst.iter().map(|(topic, id, _)| (topic.0, &**id)).collect();
        assert_eq!(names, [(1, "shop"), (2, "shop")]);
        assert_eq!(worst[0].2, Sent { repeated: Repeated { known: 4, retried: 5 }, missed_max: 0 });
        assert_eq!(senders.worst(1).len(), 1);
    }

    #[test]
    fn the_list_is_bounded_and_finds_who_sends_most_among_any_number_of_others() {
        let senders = Senders::default();
        for round in 0..20 {
            senders.note(TopicNo(1), "broken", known(100));
            for other in 0..SENDERS_MAX / 2 {
                senders.note(TopicNo(1), &format!("{round}-{other}"), known(1));
            }
        }
        assert_eq!(senders.0.lock().expect("nobody panicked").len(), SENDERS_MAX);
        let worst = senders.worst(2);
        assert_eq!((&*worst[0].1, worst[0].2.repeated.known), ("broken", 2000));
        assert!(worst[1].2.records() < 2000);
    }

    #[test]
    fn who_comes_late_and_sends_much_is_found_and_long_names_are_cut() {
        let senders = Senders::default();
        for other in 0..2 * SENDERS_MAX {
            senders.note(TopicNo(1), &other.to_string(), known(2));
        }
        let name = "é".repeat(1000);
        for _ in 0..10 {
            senders.note(TopicNo(1), &name, known(1));
        }
        let (_, id, sent) = senders.worst(1).remove(0);
        assert_eq!((id.len(), sent.repeated.known, sent.missed_max), (256, 10, 4));
    }
}
