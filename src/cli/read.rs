//! Reads partitions: what a fetch brings, as whole records, without those of aborted transactions.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{BrokerId, FetchRequest};

use super::{CliError, text};
use crate::client::{ClientError, Cluster, NodeId};
use crate::record::codec::{DecompressionLimits, decompress};
use crate::record::control::marker_of_key;
use crate::record::records::{RecordsInvalid, records};
use crate::record::{BatchHeader, HEADER_BYTES};
use crate::types::{IsolationLevel, Offset, PartitionIndex, ProducerId, Timestamp, TransactionResult};

/// Most that one answer may bring, bytes; a single batch may be larger.
const ANSWER_BYTES_MAX: i32 = 16 << 20;
/// The same of one partition.
const PARTITION_BYTES_MAX: i32 = 1 << 20;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// Its offset.
    pub offset: Offset,
    /// ms since 1970.
    pub timestamp: Timestamp,
    /// None is null.
    pub key: Option<Vec<u8>>,
    /// None is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Names and values, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// A partition to read, from where on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: PartitionIndex,
    /// The next one to read.
    pub offset: Offset,
}

/// What a fetch brought of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Brought {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: PartitionIndex,
    /// In order.
    pub messages: Vec<Message>,
    /// Where to go on.
    pub next_offset: Offset,
    /// Where what can be read ends for now.
    pub end: Offset,
    /// Where it ends for those who read what is not committed.
    pub high_watermark: Offset,
}

/// Asks `leader` for what follows `positions`, and waits up to `wait` for something.
pub(super) fn fetch(
    cluster: &mut Cluster,
    leader: NodeId,
    positions: &[Position],
    isolation: IsolationLevel,
    wait: Duration,
) -> Result<Vec<Brought>, CliError> {
    let topics = positions.iter().map(|position| {
        let partition = FetchPartition::default()
            .with_partition(position.partition)
            .with_current_leader_epoch(-1)
            .with_fetch_offset(position.offset)
            .with_log_start_offset(-1)
            .with_partition_max_bytes(PARTITION_BYTES_MAX);
        FetchTopic::default().with_topic(text(&position.topic).into()).with_partitions(vec![partition])
    });
    let request = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(i32::try_from(wait.as_millis()).unwrap_or(i32::MAX))
        .with_min_bytes(1)
        .with_max_bytes(ANSWER_BYTES_MAX)
        .with_isolation_level(i8::from(isolation == IsolationLevel::ReadCommitted))
        .with_session_epoch(-1)
        .with_topics(topics.collect());
    let answer = cluster.broker(leader)?.call("Fetch", &request, (4, 11))?;
    ClientError::check("Fetch", answer.error_code, None)?;
    let mut brought = Vec::new();
    for topic in answer.responses {
        for data in topic.partitions {
            let (name, partition) = (topic.topic.to_string(), data.partition_index);
            ClientError::check("Fetch", data.error_code, Some(&format!("({name}-{partition})")))?;
            let asked = positions.iter().find(|asked| asked.topic == name && asked.partition == partition);
            let from = asked.map_or(0, |asked| asked.offset);
            let high_watermark = data.high_watermark;
            let end = match isolation {
                IsolationLevel::ReadCommitted => data.last_stable_offset,
                IsolationLevel::ReadUncommitted => high_watermark,
            };
            let (messages, next_offset) = messages(data, from).map_err(|error| {
                CliError::Unfit(format!("{name}-{partition} has a batch that cannot be read: {error}"))
            })?;
            brought.push(Brought { topic: name, partition, messages, next_offset, end, high_watermark });
        }
    }
    Ok(brought)
}

/// The messages of an answer from offset `from` on, and where the next fetch begins.
fn messages(data: PartitionData, from: Offset) -> Result<(Vec<Message>, Offset), RecordsInvalid> {
    let mut aborted: Vec<(Offset, ProducerId)> = data
        .aborted_transactions
        .into_iter()
        .flatten()
        .map(|aborted| (aborted.first_offset, ProducerId(aborted.producer_id.0)))
        .collect();
    aborted.sort_unstable_by(|one, other| other.cmp(one));
    let mut aborting = BTreeSet::new();
    let mut messages = Vec::new();
    let mut next_offset = from;
    for batch in batches(data.records.unwrap_or_default()) {
        let header = BatchHeader::parse(&batch)?;
        next_offset = header.last_offset() + 1;
        while let Some((_, producer_id)) = aborted.pop_if(|(first, _)| *first <= header.last_offset()) {
            aborting.insert(producer_id);
        }
        let is_aborted = header.is_transactional() && aborting.contains(&header.producer_id);
        if is_aborted && !header.is_control() {
            continue;
        }
        let compressed = batch.get(HEADER_BYTES..).unwrap_or_default();
        let plain = decompress(header.codec()?, compressed, DecompressionLimits::default())?;
        for record in records(&plain, header.record_count) {
            let record = record?;
            if header.is_control() {
                if marker_of_key(record.key.unwrap_or_default()) == Some(TransactionResult::Abort) {
                    aborting.remove(&header.producer_id);
                }
                continue;
            }
            let offset = header.base_offset + Offset::from(record.offset_delta);
            if offset < from {
                continue;
            }
            messages.push(Message {
                offset,
                timestamp: match header.is_log_append_time() {
                    true => header.max_timestamp,
                    false => header.base_timestamp.wrapping_add(record.timestamp_delta),
                },
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: record
                    .header_pairs()
                    .map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.map(<[u8]>::to_vec)))
                    .collect(),
            });
        }
    }
    Ok((messages, next_offset))
}

/// The whole batches in `bytes`; the last one of an answer may be cut off.
fn batches(mut bytes: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let length: [u8; 4] = bytes.get(8..12)?.try_into().ok()?;
        let size = usize::try_from(i32::from_be_bytes(length)).ok()?.checked_add(12)?;
        (size <= bytes.len()).then(|| bytes.split_to(size))
    })
}
