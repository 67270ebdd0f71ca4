//! ListOffsets: offsets by position or by time.
//!
//! Mirrors `ReplicaManager.fetchOffset` and `Partition.fetchOffsetForTimestamp` of Kafka. A request that claims to come from a
//! follower is answered like a consumer's: nothing beyond the high watermark is shown to anybody.
//!
//! An isolation level that does not exist counts as read uncommitted, as in Fetch; Kafka answers UNKNOWN_SERVER_ERROR. No client has
//! one.
//!
//! A search by time may take long. It ends with the connection that asked for it, and with the broker: then the answer is
//! NOT_LEADER_OR_FOLLOWER, upon which clients ask again, of whoever is there by then.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};

use super::apis::count_error;
use super::leader_epoch::check_leader_epoch;
use super::{Context, READS_MAX, partition_of, storage_error};
use crate::log::catalog::Topic;
use crate::log::partition::Partition;
use crate::log::reader::{SearchBudget, TimestampHit};
use crate::types::{ErrorCode, IsolationLevel, LeaderEpoch, Offset, Timestamp};
use crate::wire::{Close, RequestHeader};

/// What a timestamp in a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spec {
    /// The fetchable end.
    Latest,
    /// The log start; "earliest local" is the same without tiered storage.
    Earliest,
    /// The record with the largest timestamp.
    MaxTimestamp,
    /// The end of what lies in tiered storage: there is none.
    LatestTiered,
    /// The first offset that tiered storage is still to get (KIP-1023): there is none.
    EarliestPendingUpload,
    /// The first record at or after this time.
    At(Timestamp),
}

impl Spec {
    /// Negative numbers are names, each known from some version on (`ListOffsetsRequest` constants).
    fn from_wire(timestamp: Timestamp, version: i16) -> Result<Self, ErrorCode> {
        match (timestamp, version) {
            (0.., _) => Ok(Self::At(timestamp)),
            (-1, _) => Ok(Self::Latest),
            (-2, _) => Ok(Self::Earliest),
            (-3, 7..) => Ok(Self::MaxTimestamp),
            (-4, 8..) => Ok(Self::Earliest),
            (-5, 9..) => Ok(Self::LatestTiered),
            (-6, 11..) => Ok(Self::EarliestPendingUpload),
            _ => Err(ErrorCode::UNSUPPORTED_VERSION),
        }
    }
}

/// Nothing found: -1/-1 and no error. Anything else, and 0 above all, makes consumers re-read or skip.
const NOT_FOUND: TimestampHit = TimestampHit { offset: -1, timestamp: -1, leader_epoch: LeaderEpoch(-1) };

/// Answers an offset per partition. A partition that is named again is answered once, and refused, as in Kafka.
pub async fn list_offsets(
    cx: Context,
    header: RequestHeader,
    request: ListOffsetsRequest,
) -> Result<ListOffsetsResponse, Close> {
    let isolation = IsolationLevel::from_wire(request.isolation_level);
    let topics = cx.broker.catalog.topics();
    // By topic first: a long name is hashed once, not once per partition.
    let mut named = HashMap::<&str, HashMap<i32, u32>>::new();
    for topic in &request.topics {
        let named = named.entry(topic.name.as_str()).or_default();
        for partition in &topic.partitions {
            *named.entry(partition.partition_index).or_default() += 1;
        }
    }
    let mut answers = Vec::with_capacity(request.topics.len());
    let budget = Arc::default();
    for asked in &request.topics {
        let topic = topics.by_name.get(asked.name.as_str());
        let named = named.get_mut(asked.name.as_str());
        // Each at its first mention, with the number of mentions.
        let mentions = named.map_or_else(Vec::new, |named| {
            asked.partitions.iter().filter_map(|asked| Some((asked, named.remove(&asked.partition_index)?))).collect()
        });
        if mentions.is_empty() && !asked.partitions.is_empty() {
            continue;
        }
        let checked: Vec<_> = mentions
            .iter()
            .map(|(partition, count)| {
                let (partition, spec) = check(topic, partition, *count == 1, header.api_version)?;
                Ok((partition.clone(), spec))
            })
            .collect();
        let found = checked.into_iter().map(|checked| find(&cx, checked, isolation, &budget));
        let found: Vec<_> = stream::iter(found).buffered(READS_MAX).collect().await;
        let partitions = mentions.iter().zip(found);
        answers.push(ListOffsetsTopicResponse::default().with_name(asked.name.clone()).with_partitions(
            partitions.map(|((asked, _), found)| answer(&header, asked.partition_index, found)).collect(),
        ));
    }
    Ok(ListOffsetsResponse::default().with_topics(answers))
}

/// Kafka's order of checks: duplicate, sentinel, existence, leader epoch.
fn check<'a>(
    topic: Option<&'a Arc<Topic>>,
    asked: &ListOffsetsPartition,
    named_once: bool,
    version: i16,
) -> Result<(&'a Arc<Partition>, Spec), ErrorCode> {
    if !named_once {
        return Err(ErrorCode::INVALID_REQUEST);
    }
    let spec = Spec::from_wire(asked.timestamp, version)?;
    let partition = topic
        .and_then(|topic| partition_of(topic, asked.partition_index))
        .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    check_leader_epoch(asked.current_leader_epoch, partition.leader_epoch())?;
    Ok((partition, spec))
}

async fn find(
    cx: &Context,
    checked: Result<(Arc<Partition>, Spec), ErrorCode>,
    isolation: IsolationLevel,
    budget: &Arc<SearchBudget>,
) -> Result<TimestampHit, ErrorCode> {
    let (partition, spec) = checked?;
    let offsets = partition.offsets();
    let end = match isolation {
        IsolationLevel::ReadUncommitted => offsets.high_watermark,
        IsolationLevel::ReadCommitted => offsets.last_stable_offset,
    };
    let reader = &cx.broker.reader;
    let hit = match spec {
        Spec::Latest => Ok(Some(position(end, partition.leader_epoch()))),
        Spec::Earliest => {
            let epoch = epoch_at(offsets.log_start, partition.leader_epoch(), |epoch| partition.epoch_end(epoch));
            Ok(Some(position(offsets.log_start, epoch)))
        }
        Spec::LatestTiered | Spec::EarliestPendingUpload => Ok(None),
        Spec::MaxTimestamp => unless_stopping(cx, reader.max_timestamp(&partition, end, budget)).await?,
        Spec::At(timestamp) => {
            unless_stopping(cx, reader.offset_for_timestamp(&partition, timestamp, end, budget)).await?
        }
    };
    match hit {
        Ok(hit) => Ok(hit.unwrap_or(NOT_FOUND)),
        Err(error) => Err(storage_error(cx, "list offsets", partition.id, &error)),
    }
}

async fn unless_stopping<T>(cx: &Context, search: impl Future<Output = T>) -> Result<T, ErrorCode> {
    let mut stopping = cx.stopping.clone();
    tokio::select! {
        biased;
        found = search => Ok(found),
        _ = stopping.wait_for(|stopping| *stopping) => Err(ErrorCode::NOT_LEADER_OR_FOLLOWER),
    }
}

/// A position has no timestamp of its own.
fn position(offset: Offset, leader_epoch: LeaderEpoch) -> TimestampHit {
    TimestampHit { offset, timestamp: -1, leader_epoch }
}

/// Epoch that `offset` was or will be written in: the first one that ends after it, else the newest.
fn epoch_at(offset: Offset, newest: LeaderEpoch, end_of: impl Fn(LeaderEpoch) -> (LeaderEpoch, Offset)) -> LeaderEpoch {
    let (mut low, mut high) = (0, newest.0);
    while low < high {
        let middle = low + (high - low) / 2;
        if end_of(LeaderEpoch(middle)).1 > offset {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    LeaderEpoch(low)
}

fn answer(header: &RequestHeader, index: i32, found: Result<TimestampHit, ErrorCode>) -> ListOffsetsPartitionResponse {
    let answer = ListOffsetsPartitionResponse::default().with_partition_index(index);
    match found {
        Ok(hit) => {
            let answer = answer.with_offset(hit.offset).with_timestamp(hit.timestamp);
            if header.api_version >= 4 { answer.with_leader_epoch(hit.leader_epoch.0) } else { answer }
        }
        Err(error) => {
            count_error(header, error);
            answer.with_error_code(error.0).with_offset(-1).with_timestamp(-1)
        }
    }
}

#[cfg(test)]
mod tests;
