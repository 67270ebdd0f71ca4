//! AlterReplicaLogDirs: there is one data directory, in which every partition lies already.
//!
//! Mirrors `ReplicaManager.alterReplicaLogDirs`.

use std::collections::BTreeMap;

use kafka_protocol::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use kafka_protocol::messages::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse, TopicName};

use super::apis::count_error;
use super::cluster::absolute;
use super::{Context, partition_of};
use crate::types::{ErrorCode, PartitionIndex};
use crate::wire::{Close, RequestHeader};

/// Answers each partition once; of several directories that it is to move to, the last counts.
pub async fn alter_replica_log_dirs(
    cx: Context,
    header: RequestHeader,
    request: AlterReplicaLogDirsRequest,
) -> Result<AlterReplicaLogDirsResponse, Close> {
    let topics = cx.broker.catalog.topics();
    let here = absolute(&cx.broker.config.load().data_dir);
    let mut moves: BTreeMap<TopicName, BTreeMap<PartitionIndex, bool>> = BTreeMap::new();
    for dir in request.dirs {
        let is_here = dir.path.as_str() == here;
        for topic in dir.topics {
            let partitions = topic.partitions.into_iter().map(|index| (index, is_here));
            moves.entry(topic.name).or_default().extend(partitions);
        }
    }
    let results = moves.into_iter().map(|(name, partitions)| {
        let topic = topics.by_name.get(name.as_str());
        let partitions = partitions.into_iter().map(|(index, is_here)| {
            let is_known = topic.is_some_and(|topic| partition_of(topic, index).is_some());
            let error = match (is_here, is_known) {
                (false, _) => ErrorCode::LOG_DIR_NOT_FOUND,
                (true, false) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                (true, true) => ErrorCode::NONE,
            };
            count_error(&header, error);
            AlterReplicaLogDirPartitionResult::default().with_partition_index(index).with_error_code(error.0)
        });
        let partitions = partitions.collect();
        AlterReplicaLogDirTopicResult::default().with_topic_name(name).with_partitions(partitions)
    });
    Ok(AlterReplicaLogDirsResponse::default().with_results(results.collect()))
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};

    use super::*;
    use crate::api::testing::{TestBroker, text, topic_name};

    #[tokio::test]
    async fn partitions_stay_where_they_are() {
        let broker = TestBroker::with_settings(&[("log.dirs", "/")]);
        broker.create_topic("a", 2).await;
        let dir = |path: &str, topic: &str, partitions: &[i32]| {
            let topic =
                AlterReplicaLogDirTopic::default().with_name(topic_name(topic)).with_partitions(partitions.to_vec());
            AlterReplicaLogDir::default().with_path(text(path)).with_topics(vec![topic])
        };
        let dirs = vec![dir("/", "a", &[0, 1, 7]), dir("/", "no", &[0]), dir("/elsewhere", "a", &[1, 8])];
        for version in [1, 2] {
            let answer = broker.call(version, &AlterReplicaLogDirsRequest::default().with_dirs(dirs.clone())).await;
            let found = answer.results.iter().flat_map(|topic| {
                let partitions = topic.partitions.iter();
                partitions.map(|of| format!("{}-{}={}", topic.topic_name.as_str(), of.partition_index, of.error_code))
            });
            assert_eq!(found.collect::<Vec<_>>(), ["a-0=0", "a-1=57", "a-7=3", "a-8=57", "no-0=3"]);
        }
    }
}
