//! Fetch: batches from the log, now or as soon as there are enough.
//!
//! Mirrors `KafkaApis.handleFetchRequest`, `ReplicaManager.fetchMessages` and `DelayedFetch` of Kafka. The session decides what is
//! read, [`read`] how much, and this file who may read what and how long it waits. A long poll holds no batches and runs no
//! timer but its deadline: whoever moves a high watermark or a last stable offset wakes it, and [`wait`] tells from sums whether
//! it is worth a read.

mod aborted;
mod lookup;
mod position;
mod read;
mod wait;

use std::sync::Arc;
use std::time::{Duration, Instant};

use kafka_protocol::messages::FetchRequest;

use super::apis::{count_error, typed};
use super::fetch_memory::Grant;
use super::fetch_session::{Asked, Fetching, NO_SESSION, Outcome, PartitionKey, SessionRequest, TopicKey};
use super::leader_epoch::check_leader_epoch;
use super::topic_name::NAME_CHARACTERS_MAX;
use super::{Answer, Context, partition_of, storage_error};
use crate::log::catalog::Topic;
use crate::log::partition::Partition;
use crate::record::data_record_count;
use crate::types::{ErrorCode, IsolationLevel, Offset};
use crate::wire::fetch_response::{FetchPartition, FetchResponse, FetchTopic};
use crate::wire::{Close, Request, RequestHeader};
use lookup::Lookup;
use position::{Position, position};
use wait::{Noted, Waiting, watch};

/// First version that names topics by id.
const TOPIC_ID_FROM: i16 = 13;
/// First version whose clients know KAFKA_STORAGE_ERROR.
const STORAGE_ERROR_FROM: i16 = 6;

/// Answers a Fetch of version 4 to 18.
pub fn fetch(cx: Context, request: Request) -> Answer {
    Answer::LongPoll(Box::pin(async move {
        let (header, request) = typed::<FetchRequest>(request)?;
        let response = answer(&cx, &header, request).await?;
        response.encode(&header).map(Some)
    }))
}

/// What a request says about all of its partitions.
#[derive(Debug, Clone, Copy)]
struct Terms {
    isolation: IsolationLevel,
    /// A replica id of 0 or more claims to be a follower, which reads past the high watermark. There are none.
    from_follower: bool,
    bytes_min: usize,
    bytes_max: usize,
    wait_max: Duration,
}

async fn answer(cx: &Context, header: &RequestHeader, request: FetchRequest) -> Result<FetchResponse, Close> {
    let sessions = &cx.broker.fetch_sessions;
    let by_topic_id = header.api_version >= TOPIC_ID_FROM;
    let session = SessionRequest { id: request.session_id, epoch: request.session_epoch, by_topic_id };
    let terms = {
        let config = cx.broker.config.load();
        let terms = terms(&request, config.fetch_max_bytes);
        // Kafka closes a connection that is idle for as long, whether a Fetch of it waits or not.
        Terms { wait_max: terms.wait_max.min(config.connections_max_idle), ..terms }
    };
    let (named, forgotten) = named(header, &request)?;
    // Its names are slices of the whole frame, which is not to be kept through the wait.
    drop(request);
    let fetching = match sessions.begin(Instant::now(), session, named, &forgotten) {
        Ok(fetching) => fetching,
        Err(error) => return Ok(refused(header, error)),
    };
    let found = poll(cx, &fetching, terms).await;
    let outcomes: Vec<_> = found.iter().map(|found| outcome(&found.answer)).collect();
    let finished = sessions.finish(Instant::now(), &fetching, &outcomes, draw_session_id);
    metrics::gauge!(crate::metrics::FETCH_SESSIONS).set(sessions.count() as f64);
    match finished {
        Ok(finished) => {
            let listed = fetching.partitions.iter().zip(found).zip(finished.listed);
            let listed = listed.filter_map(|(((key, _), found), listed)| listed.then_some((key, found)));
            let topics = group(header, listed);
            Ok(FetchResponse { throttle_time_ms: 0, error: ErrorCode::NONE, session_id: finished.session_id, topics })
        }
        Err(error) => Ok(refused(header, error)),
    }
}

fn refused(header: &RequestHeader, error: ErrorCode) -> FetchResponse {
    count_error(header, error);
    FetchResponse { throttle_time_ms: 0, error, session_id: NO_SESSION, topics: Vec::new() }
}

fn terms(request: &FetchRequest, fetch_max_bytes: usize) -> Terms {
    let bytes_max = count(request.max_bytes).min(fetch_max_bytes);
    Terms {
        isolation: IsolationLevel::from_wire(request.isolation_level),
        from_follower: request.replica_id.0 >= 0 || request.replica_state.replica_id.0 >= 0,
        bytes_min: count(request.min_bytes).min(bytes_max),
        bytes_max,
        wait_max: Duration::from_millis(count(request.max_wait_ms) as u64),
    }
}

/// A number from the wire that cannot sensibly be negative.
fn count(number: i32) -> usize {
    usize::try_from(number).unwrap_or(0)
}

type Named = (Vec<(PartitionKey, Asked)>, Vec<PartitionKey>);

fn named(header: &RequestHeader, request: &FetchRequest) -> Result<Named, Close> {
    let topic_key = |name: &str, id| match header.api_version {
        TOPIC_ID_FROM.. => Ok(TopicKey::Id(id)),
        // No client's mistake, and hashing it per partition is costly.
        _ if name.len() > NAME_CHARACTERS_MAX => Err(Close::Decode {
            api_key: header.api_key,
            api_version: header.api_version,
            detail: format!("topic name of {} bytes", name.len()),
        }),
        _ => Ok(TopicKey::Name(name.into())),
    };
    let mut named = Vec::new();
    for topic in &request.topics {
        let key = topic_key(topic.topic.as_str(), topic.topic_id)?;
        named.extend(topic.partitions.iter().map(|partition| {
            let asked = Asked {
                fetch_offset: partition.fetch_offset,
                bytes_max: count(partition.partition_max_bytes),
                current_leader_epoch: partition.current_leader_epoch,
                last_fetched_epoch: partition.last_fetched_epoch,
            };
            (PartitionKey { topic: key.clone(), index: partition.partition }, asked)
        }));
    }
    let mut forgotten = Vec::new();
    for topic in &request.forgotten_topics_data {
        let key = topic_key(topic.topic.as_str(), topic.topic_id)?;
        forgotten.extend(topic.partitions.iter().map(|index| PartitionKey { topic: key.clone(), index: *index }));
    }
    Ok((named, forgotten))
}

/// One partition's part of the answer, and the topic to count it for.
struct Found {
    topic: Option<Arc<Topic>>,
    answer: FetchPartition,
    noted: Noted,
}

/// Reads what there is, and once more if that was not enough: when there is, or an error, or at the deadline, or when the broker
/// stops. As in Kafka the second answer may be shorter than was asked for: what is there need not fit into its limits.
async fn poll(cx: &Context, fetching: &Fetching, terms: Terms) -> Vec<Found> {
    let found = pass(cx, fetching, terms).await;
    let mut stopping = cx.stopping.clone();
    if is_enough(&found, terms) || terms.wait_max.is_zero() || *stopping.borrow() {
        return found;
    }
    // What was read is read again after the wait: a parked request holds no batches.
    let noted: Vec<_> = found.into_iter().map(|found| found.noted).collect();
    let _waiting = Waiting::begin();
    let deadline = tokio::time::sleep(terms.wait_max);
    tokio::pin!(deadline);
    loop {
        // First watch, then look: what is published in between wakes.
        let waiter = watch(cx, fetching);
        if is_worth_a_read(cx, fetching, terms, &noted) {
            break;
        }
        tokio::select! {
            () = waiter.woken() => {}
            () = &mut deadline => break,
            _ = stopping.wait_for(|stopping| *stopping) => break,
        }
    }
    pass(cx, fetching, terms).await
}

/// Whether there is something to tell, or as much to read as is waited for. Reads nothing.
fn is_worth_a_read(cx: &Context, fetching: &Fetching, terms: Terms, noted: &[Noted]) -> bool {
    let mut topics = Lookup::new(cx);
    let mut bytes = 0usize;
    for ((key, asked), noted) in fetching.partitions.iter().zip(noted) {
        let topic = topics.topic(&key.topic);
        let Judged { answer, partition, end } = judge(topic.as_deref(), key, asked, terms);
        let Some(partition) = partition.filter(|_| !is_told_at_once(&answer)) else { return true };
        let Some(available) = noted.available_bytes(&partition, end) else { return true };
        bytes = bytes.saturating_add(available.min(asked.bytes_max));
    }
    bytes >= terms.bytes_min
}

fn is_told_at_once(answer: &FetchPartition) -> bool {
    !answer.error.is_none() || answer.diverging_epoch.is_some()
}

/// An error or a diverging epoch is told at once; so is that there is nothing to read.
fn is_enough(found: &[Found], terms: Terms) -> bool {
    found.is_empty()
        || found.iter().any(|found| is_told_at_once(&found.answer))
        || found.iter().map(|found| found.answer.records_bytes()).sum::<usize>() >= terms.bytes_min
}

/// Reads once what there is.
async fn pass(cx: &Context, fetching: &Fetching, terms: Terms) -> Vec<Found> {
    let mut topics = Lookup::new(cx);
    let mut found = Vec::with_capacity(fetching.partitions.len());
    let mut wanted = Vec::new();
    for (place, (key, asked)) in fetching.partitions.iter().enumerate() {
        let topic = topics.topic(&key.topic);
        let partition = topic.as_deref().and_then(|topic| partition_of(topic, key.index));
        let mut noted = Noted::before_reading(partition.map(|partition| &**partition), terms.isolation);
        let Judged { answer, partition, end } = judge(topic.as_deref(), key, asked, terms);
        noted.end = end;
        let readable = partition.filter(|_| !is_told_at_once(&answer) && asked.fetch_offset < end);
        let batch_bytes_max = topic.as_ref().map_or(0, |topic| topic.config.max_message_bytes as usize);
        wanted.extend(readable.map(|partition| {
            let indexes = partition.indexes();
            Wanted { place, batch_bytes_max, partition, indexes, asked: *asked, end }
        }));
        found.push(Found { topic, answer, noted });
    }
    if wanted.is_empty() {
        return found;
    }
    let Some(mut grant) = grant(cx, &wanted, terms).await else { return found };
    let reader = &cx.broker.reader;
    let batches = read::read_within(
        &wanted,
        terms.bytes_max.min(grant.bytes()),
        |wanted| wanted.asked.bytes_max,
        |wanted, bytes_max| {
            let (partition, from, end) = (wanted.partition.clone(), wanted.asked.fetch_offset, wanted.end);
            async move { reader.read(&partition, from, end, bytes_max).await }
        },
    )
    .await;
    for (wanted, batches) in wanted.iter().zip(batches) {
        let Some(Found { answer, noted, .. }) = found.get_mut(wanted.place) else { continue };
        let left = match batches {
            Ok(batches) if terms.isolation == IsolationLevel::ReadCommitted => {
                aborted::leave(reader, &wanted.partition, wanted.asked.fetch_offset, wanted.indexes, batches).await
            }
            batches => batches.map(|batches| (batches, None)),
        };
        match left {
            Ok((mut batches, aborted)) => {
                grant.leave_with(&mut batches);
                noted.read_bytes = batches.iter().map(bytes::Bytes::len).sum();
                answer.batches = batches;
                answer.aborted = aborted;
            }
            Err(error) => {
                let error = storage_error(cx, "fetch", wanted.partition.id, &error);
                *answer = FetchPartition::refused(answer.index, error);
            }
        }
    }
    found
}

/// Memory for what is to be read; none if the broker stops first. It is as long as the wait for a slow disk would be, whatever the
/// request's own limit of time.
async fn grant(cx: &Context, wanted: &[Wanted], terms: Terms) -> Option<Grant> {
    let bytes = wanted.iter().fold(0usize, |bytes, wanted| bytes.saturating_add(wanted.asked.bytes_max));
    let first_bytes = wanted.iter().map(|wanted| wanted.batch_bytes_max).max().unwrap_or(0);
    let mut stopping = cx.stopping.clone();
    tokio::select! {
        biased;
        grant = cx.broker.fetch_memory.grant(bytes.min(terms.bytes_max), first_bytes) => Some(grant),
        _ = stopping.wait_for(|stopping| *stopping) => None,
    }
}

/// A partition that has something to read.
struct Wanted {
    place: usize,
    /// Largest batch that the topic takes.
    batch_bytes_max: usize,
    partition: Arc<Partition>,
    /// [`Partition::indexes`] before it is read.
    indexes: Option<u64>,
    asked: Asked,
    end: Offset,
}

/// What is to be said of a partition before it is read.
struct Judged {
    answer: FetchPartition,
    /// None if there is nothing more to say.
    partition: Option<Arc<Partition>>,
    /// Of what may be read, exclusive.
    end: Offset,
}

/// Kafka's order of checks: authorisation, existence, leader epoch, log start, diverging epoch, range. What passes them all
/// may be read up to the end beside it.
fn judge(topic: Option<&Topic>, key: &PartitionKey, asked: &Asked, terms: Terms) -> Judged {
    let told = |answer| Judged { answer, partition: None, end: 0 };
    let refused = |error| told(FetchPartition::refused(key.index, error));
    if terms.from_follower {
        return refused(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    }
    let Some(topic) = topic else { return refused(missing(&key.topic)) };
    let Some(partition) = partition_of(topic, key.index) else {
        return refused(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    };
    if partition.is_deleted() {
        return refused(missing(&key.topic));
    }
    if let Err(error) = check_leader_epoch(asked.current_leader_epoch, partition.leader_epoch()) {
        return refused(error);
    }
    let offsets = partition.offsets();
    let mut answer = FetchPartition {
        high_watermark: offsets.high_watermark,
        last_stable_offset: offsets.last_stable_offset,
        log_start_offset: offsets.log_start,
        ..FetchPartition::empty(key.index)
    };
    match position(asked, &offsets, |epoch| partition.epoch_end(epoch)) {
        Position::OutOfRange => {
            answer.error = ErrorCode::OFFSET_OUT_OF_RANGE;
            told(answer)
        }
        Position::Diverging(diverging) => {
            answer.diverging_epoch = Some(diverging);
            told(answer)
        }
        Position::InLog => {
            let end = match terms.isolation {
                IsolationLevel::ReadUncommitted => offsets.high_watermark,
                IsolationLevel::ReadCommitted => offsets.last_stable_offset,
            };
            // Without records none is aborted; the array tells a consumer that it reads committed.
            answer.aborted = (terms.isolation == IsolationLevel::ReadCommitted).then(Vec::new);
            Judged { answer, partition: Some(Arc::clone(partition)), end }
        }
    }
}

/// The code for a topic that is not there. An id of a topic that has been created anew is as unknown as any other; Kafka
/// answers INCONSISTENT_TOPIC_ID where a session still remembers its name, and clients do the same for both.
fn missing(key: &TopicKey) -> ErrorCode {
    match key {
        TopicKey::Name(_) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        TopicKey::Id(_) => ErrorCode::UNKNOWN_TOPIC_ID,
    }
}

fn outcome(answer: &FetchPartition) -> Outcome {
    Outcome {
        has_records: answer.records_bytes() > 0,
        is_error: !answer.error.is_none(),
        is_diverging: answer.diverging_epoch.is_some(),
        high_watermark: answer.high_watermark,
        log_start: answer.log_start_offset,
    }
}

/// Puts neighbours of one topic together, keeps the order, and counts what is answered.
fn group<'a>(header: &RequestHeader, listed: impl Iterator<Item = (&'a PartitionKey, Found)>) -> Vec<FetchTopic> {
    let mut topics = Vec::<FetchTopic>::new();
    let mut last = None;
    for (key, Found { topic, mut answer, .. }) in listed {
        if answer.error == ErrorCode::KAFKA_STORAGE_ERROR && header.api_version < STORAGE_ERROR_FROM {
            answer.error = ErrorCode::NOT_LEADER_OR_FOLLOWER;
        }
        count_error(header, answer.error);
        if let Some(topic) = topic {
            count_traffic(&topic, &answer);
        }
        if last != Some(&key.topic) {
            last = Some(&key.topic);
            topics.push(match &key.topic {
                TopicKey::Name(name) => FetchTopic { name: name.to_string(), ..FetchTopic::default() },
                TopicKey::Id(id) => FetchTopic { id: *id, ..FetchTopic::default() },
            });
        }
        if let Some(topic) = topics.last_mut() {
            topic.partitions.push(answer);
        }
    }
    topics
}

fn count_traffic(topic: &Topic, answer: &FetchPartition) {
    use std::sync::atomic::Ordering::Relaxed;
    if answer.error.is_none() {
        let bytes = answer.records_bytes() as u64;
        if bytes > 0 {
            topic.traffic.bytes_out.fetch_add(bytes, Relaxed);
            let records = answer.batches.iter().map(|batch| data_record_count(batch)).sum();
            topic.traffic.records_out.fetch_add(records, Relaxed);
            topic.traffic.fetches.fetch_add(1, Relaxed);
        }
    } else {
        topic.traffic.fetch_failed.fetch_add(1, Relaxed);
    }
}

/// A session id that cannot be guessed; none, so no session, where the system has no randomness.
fn draw_session_id() -> Option<i32> {
    getrandom::u32().ok().map(|random| (random >> 1) as i32)
}

#[cfg(test)]
mod isolation_tests;
#[cfg(test)]
mod tests;
