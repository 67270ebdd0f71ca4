//! DescribeCluster and DescribeLogDirs: the one broker, and what lies in its data directory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytes::{BufMut, BytesMut};
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{
    DescribeClusterRequest, DescribeClusterResponse, DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::answering::turned_as;
use super::apis::count_error;
use super::told::told;
use super::turns::Lane;
use super::{Answer, Context, authorized_operations, expected, partition_of};
use crate::log::catalog::Topic;
use crate::store::disk::DiskSpace;
use crate::types::{ErrorCode, PartitionIndex};
use crate::wire::{Close, Request, RequestHeader, Segments};

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

/// Answers this broker at the address of the client's listener. Controllers have no endpoint of their own here.
pub async fn describe_cluster(
    cx: Context,
    header: RequestHeader,
    request: DescribeClusterRequest,
) -> Result<DescribeClusterResponse, Close> {
    let refusal = match request.endpoint_type {
        BROKERS => None,
        CONTROLLERS => Some((
            ErrorCode::MISMATCHED_ENDPOINT_TYPE,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER"
                .to_owned(),
        )),
        other => Some((ErrorCode::UNSUPPORTED_ENDPOINT_TYPE, format!("Unsupported endpoint type {other}"))),
    };
    if let Some((error, message)) = refusal {
        count_error(&header, error);
        return Ok(DescribeClusterResponse::default().with_error_code(error.0).with_error_message(Some(told(message))));
    }
    let node_id = cx.broker.config.load().node_id;
    let endpoint = cx.endpoint();
    let broker = DescribeClusterBroker::default()
        .with_broker_id(node_id.into())
        .with_host(StrBytes::from_string(endpoint.host.clone()))
        .with_port(i32::from(endpoint.port));
    let mut answer = DescribeClusterResponse::default()
        .with_cluster_id(StrBytes::from_string(cx.broker.cluster_id.to_string()))
        .with_controller_id(node_id.into())
        .with_brokers(vec![broker]);
    if request.include_cluster_authorized_operations {
        answer.cluster_authorized_operations = authorized_operations::CLUSTER;
    }
    Ok(answer)
}

/// DescribeLogDirs. Version 5 is the crate's 4 with one more field.
pub fn describe_log_dirs(cx: Context, request: Request) -> Answer {
    turned_as(cx, request, Lane::Admin, expected::describe_log_dirs, log_dirs, |header, answer| {
        if header.api_version >= 5 { with_is_cordoned(answer) } else { answer }
    })
}

/// Adds to the one directory that it is not cordoned (KIP-1066), in front of the empty tag sections which end it and the answer.
fn with_is_cordoned(answer: Segments) -> Segments {
    let mut frame = BytesMut::from(answer.concat().as_slice());
    frame.truncate(frame.len() - 2);
    frame.put_slice(&[0, 0, 0]);
    let length = u32::try_from(frame.len() - 4).expect("a frame of few bytes per partition");
    frame[..4].copy_from_slice(&length.to_be_bytes());
    vec![frame.freeze()]
}

/// Answers the data directory with the sizes of the partitions asked for, all for null.
async fn log_dirs(
    cx: Context,
    header: RequestHeader,
    request: DescribeLogDirsRequest,
) -> Result<DescribeLogDirsResponse, Close> {
    let topics = cx.broker.catalog.topics();
    let found: Vec<DescribeLogDirsTopic> = match request.topics {
        None => topics.by_name.values().map(|topic| sizes(topic, 0..partition_count(topic))).collect(),
        Some(asked) => {
            let mut by_topic: BTreeMap<&str, BTreeSet<PartitionIndex>> = BTreeMap::new();
            asked.iter().for_each(|asked| by_topic.entry(&asked.topic).or_default().extend(&asked.partitions));
            let known = by_topic.into_iter().filter_map(|(name, indexes)| Some((topics.by_name.get(name)?, indexes)));
            let sized = known.map(|(topic, indexes)| sizes(topic, indexes));
            sized.filter(|topic| !topic.partitions.is_empty()).collect()
        }
    };
    let config = cx.broker.config.load_full();
    let mut result = DescribeLogDirsResult::default()
        .with_log_dir(StrBytes::from_string(absolute(&config.data_dir)))
        .with_topics(found);
    if header.api_version >= 4 {
        (result.total_bytes, result.usable_bytes) = disk(&config.data_dir);
    }
    Ok(DescribeLogDirsResponse::default().with_results(vec![result]))
}

fn partition_count(topic: &Topic) -> PartitionIndex {
    PartitionIndex::try_from(topic.partitions.len()).unwrap_or(PartitionIndex::MAX)
}

fn sizes(topic: &Topic, indexes: impl IntoIterator<Item = PartitionIndex>) -> DescribeLogDirsTopic {
    let partitions = indexes.into_iter().filter_map(|index| {
        let size_bytes = partition_of(topic, index)?.size_bytes();
        let sized = DescribeLogDirsPartition::default()
            .with_partition_index(index)
            .with_partition_size(i64::try_from(size_bytes).unwrap_or(i64::MAX));
        Some(sized)
    });
    DescribeLogDirsTopic::default()
        .with_name(TopicName(StrBytes::from_string(topic.name.to_string())))
        .with_partitions(partitions.collect())
}

/// As clients are told of it.
pub(super) fn absolute(dir: &Path) -> String {
    std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned()).display().to_string()
}

/// Total and usable bytes of the file system that holds `dir`, -1 where the system does not tell.
fn disk(dir: &Path) -> (i64, i64) {
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    DiskSpace::of(dir).map_or((-1, -1), |space| (bytes(space.total_bytes), bytes(space.free_bytes)))
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
