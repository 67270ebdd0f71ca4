//! What is told to other topics in the write that is being decided: how far senders have come by their numbers, and which records were
//! there already ([`audit`](super::audit)).
//!
//! Numbers are told in a compacted topic. A record of it has the key `<topic>/<topic id>/<partition>/<name>` and the number as decimal
//! text. It is in the same write as the record that moved the name; only what is in no open transaction is published. Where it cannot be
//! written (no room for the topic, a low disk) what is published stays behind, never ahead: a sender that goes on from there has some
//! of its records left out.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use super::super::append;
use super::super::command::{AppendBatch, NewTopic};
use super::super::environment::Environment;
use super::super::group::Group;
use super::super::state::State;
use super::super::topics;
use super::audit::{self, Audit};
use crate::dedup::SEQUENCES_TOPIC;
use crate::log::catalog::Topic;
use crate::record::BatchHeader;
use crate::record::build::BatchBuilder;
use crate::types::{PartitionId, Timestamp, base64_uuid};

/// Records of one batch of the topic that tells numbers.
const PUBLISHED_PER_BATCH: usize = 1024;

/// What is not told yet.
#[derive(Default)]
pub(super) struct News {
    /// Numbers, by keys.
    unpublished: BTreeMap<String, u64>,
    /// Keys of names that are forgotten and that are still told of.
    unretracted: BTreeSet<String>,
    /// Numbers could not be told.
    is_held_up: bool,
    /// For audit topics.
    pub audit: Audit,
}

impl News {
    /// A name has come so far.
    pub fn publish(&mut self, topic: &Topic, partition: u32, name: &str, number: u64) {
        let key = published_key(topic, partition, name);
        self.unretracted.remove(&key);
        self.unpublished.insert(key, number);
    }

    /// A name is forgotten.
    pub fn retract(&mut self, topic: &Topic, partition: u32, name: &str) {
        let key = published_key(topic, partition, name);
        self.unpublished.remove(&key);
        self.unretracted.insert(key);
    }

    /// Whether there is something: every round of the writer looks at it.
    fn is_any(&self) -> bool {
        !self.unpublished.is_empty() || !self.unretracted.is_empty() || !self.audit.is_empty()
    }

    /// Whether there is something to tell, and no reason to wait.
    pub fn is_waiting(&self) -> bool {
        self.is_any() && !self.is_held_up
    }
}

fn published_key(topic: &Topic, partition: u32, name: &str) -> String {
    format!("{}/{}/{partition}/{name}", topic.name, base64_uuid(topic.id))
}

/// Tells what there is to tell: of numbers all that moved, and a part of what is forgotten.
pub(in crate::engine) fn tell(state: &mut State, group: &mut Group, environment: &mut dyn Environment, now: Timestamp) {
    if state.message_ids.news.is_any() {
        tell_all(state, group, environment, now);
    }
}

// Rare, and large for a round of the writer that does without it.
#[inline(never)]
fn tell_all(state: &mut State, group: &mut Group, environment: &mut dyn Environment, now: Timestamp) {
    audit::tell(state, group, now);
    if !state.message_ids.news.unpublished.is_empty() || !state.message_ids.news.unretracted.is_empty() {
        let told = tell_numbers(state, group, environment, now);
        let was_held_up = mem::replace(&mut state.message_ids.news.is_held_up, told.is_err());
        // Said once, tried again with every write.
        if let Err(error) = told
            && !was_held_up
        {
            tracing::warn!(topic = SEQUENCES_TOPIC, error, "numbers of senders cannot be published");
        }
    }
}

fn tell_numbers(
    state: &mut State,
    group: &mut Group,
    environment: &mut dyn Environment,
    now: Timestamp,
) -> Result<(), String> {
    let partition = topic_of_numbers(state, group, environment)?;
    loop {
        let news = &mut state.message_ids.news;
        let moved: Vec<_> = news.unpublished.iter().take(PUBLISHED_PER_BATCH).map(told_number).collect();
        if moved.is_empty() {
            break;
        }
        append_numbers(state, group, partition, now, &moved)?;
        for (key, _) in &moved {
            state.message_ids.news.unpublished.remove(key);
        }
    }
    let news = &mut state.message_ids.news;
    let forgotten: Vec<_> = news.unretracted.iter().take(PUBLISHED_PER_BATCH).map(|key| (key.clone(), None)).collect();
    append_numbers(state, group, partition, now, &forgotten)?;
    for (key, _) in &forgotten {
        state.message_ids.news.unretracted.remove(key);
    }
    Ok(())
}

fn told_number((key, number): (&String, &u64)) -> (String, Option<String>) {
    (key.clone(), Some(number.to_string()))
}

/// Appends one batch of keys with their numbers; none: the name is forgotten.
fn append_numbers(
    state: &mut State,
    group: &mut Group,
    partition: PartitionId,
    now: Timestamp,
    told: &[(String, Option<String>)],
) -> Result<(), String> {
    if told.is_empty() {
        return Ok(());
    }
    let batch = told.iter().fold(BatchBuilder::new(), |batch, (key, number)| {
        batch.record(now, Some(key.as_bytes()), number.as_ref().map(|number| number.as_bytes()))
    });
    append_told(state, group, partition, now, batch)
}

/// Appends a batch of the broker's own.
pub(super) fn append_told(
    state: &mut State,
    group: &mut Group,
    partition: PartitionId,
    now: Timestamp,
    batch: BatchBuilder,
) -> Result<(), String> {
    let bytes = batch.build();
    let header = BatchHeader::parse(&bytes).map_err(|error| error.to_string())?;
    let batch = AppendBatch { partition, header, bytes, transaction: None, ids: None, refused: None };
    let (appended, _) = append::append(state, group, batch, now);
    if appended.error.is_none() { Ok(()) } else { Err(appended.message.unwrap_or_default()) }
}

/// Where numbers are told; made when there is the first.
fn topic_of_numbers(
    state: &mut State,
    group: &mut Group,
    environment: &mut dyn Environment,
) -> Result<PartitionId, String> {
    let topic = match state.topics.by_name.get(SEQUENCES_TOPIC) {
        Some(topic) => topic.clone(),
        None => {
            let overrides = BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]);
            let new = NewTopic { name: SEQUENCES_TOPIC.to_owned(), partitions: 1, overrides };
            topics::create(state, group, &new, false, environment).map_err(|refused| refused.message)?
        }
    };
    topic.partitions.first().map(|partition| partition.id).ok_or_else(|| "it has no partition".to_owned())
}
