//! OffsetForLeaderEpoch, and the check of a client's idea of the leader epoch that every read makes.
//!
//! Mirrors `Partition.lastOffsetForLeaderEpoch` and `Partition.checkCurrentLeaderEpoch` of Kafka (KIP-320).

use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use super::apis::count_error;
use super::{Context, partition_of};
use crate::log::catalog::Topic;
use crate::types::{ErrorCode, LeaderEpoch, Offset};
use crate::wire::{Close, RequestHeader};

/// Answers where each named epoch ends in each partition; -1/-1 for an epoch above any known. librdkafka asks with exactly
/// version 2 after every metadata change, and stalls without an answer.
pub async fn offset_for_leader_epoch(
    cx: Context,
    header: RequestHeader,
    request: OffsetForLeaderEpochRequest,
) -> Result<OffsetForLeaderEpochResponse, Close> {
    let topics = cx.broker.catalog.topics();
    let topics = request
        .topics
        .into_iter()
        .map(|asked| {
            let topic = topics.by_name.get(asked.topic.as_str());
            let partitions = asked.partitions.iter().map(|partition| {
                let end = epoch_end(topic.map(AsRef::as_ref), partition);
                answer(&header, partition.partition, end)
            });
            OffsetForLeaderTopicResult::default().with_partitions(partitions.collect()).with_topic(asked.topic)
        })
        .collect();
    Ok(OffsetForLeaderEpochResponse::default().with_topics(topics))
}

fn epoch_end(topic: Option<&Topic>, asked: &OffsetForLeaderPartition) -> Result<(LeaderEpoch, Offset), ErrorCode> {
    let partition =
        topic.and_then(|topic| partition_of(topic, asked.partition)).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    check_leader_epoch(asked.current_leader_epoch, partition.leader_epoch())?;
    Ok(partition.epoch_end(LeaderEpoch(asked.leader_epoch)))
}

fn answer(header: &RequestHeader, index: i32, end: Result<(LeaderEpoch, Offset), ErrorCode>) -> EpochEndOffset {
    let answer = EpochEndOffset::default().with_partition(index);
    match end {
        Ok((epoch, end_offset)) => answer.with_leader_epoch(epoch.0).with_end_offset(end_offset),
        Err(error) => {
            count_error(header, error);
            answer.with_error_code(error.0)
        }
    }
}

/// Compares the leader epoch that a client names with ours; -1 means that it names none.
pub(super) fn check_leader_epoch(named: i32, ours: LeaderEpoch) -> Result<(), ErrorCode> {
    match named {
        -1 => Ok(()),
        named if named < ours.0 => Err(ErrorCode::FENCED_LEADER_EPOCH),
        named if named > ours.0 => Err(ErrorCode::UNKNOWN_LEADER_EPOCH),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderTopic;
    use kafka_protocol::protocol::StrBytes;

    use super::*;
    use crate::api::testing::{TestBroker, batch};

    #[test]
    fn named_epoch_must_be_ours_or_absent() {
        for (named, ours, expected) in [
            (-1, 3, Ok(())),
            (3, 3, Ok(())),
            (2, 3, Err(ErrorCode::FENCED_LEADER_EPOCH)),
            (-2, 3, Err(ErrorCode::FENCED_LEADER_EPOCH)),
            (4, 3, Err(ErrorCode::UNKNOWN_LEADER_EPOCH)),
        ] {
            assert_eq!(check_leader_epoch(named, LeaderEpoch(ours)), expected, "{named} against {ours}");
        }
    }

    #[tokio::test]
    async fn current_epoch_ends_at_the_log_end_in_every_version() {
        let broker = TestBroker::start();
        let topic = broker.create_topic("t", 1).await;
        broker.append(&topic, 0, batch(1, &["a", "b"])).await;
        let ours = topic.partitions[0].leader_epoch().0;
        for version in 2..=4 {
            for (index, current, asked, expected) in [
                (0, -1, ours, (0, ours, 2)),
                (0, ours, ours, (0, ours, 2)),
                (0, ours + 1, ours, (75, -1, -1)),
                (0, -1, ours + 1, (0, -1, -1)),
                (1, -1, ours, (3, -1, -1)),
            ] {
                let partition = OffsetForLeaderPartition::default()
                    .with_partition(index)
                    .with_current_leader_epoch(current)
                    .with_leader_epoch(asked);
                let topic = OffsetForLeaderTopic::default()
                    .with_topic(StrBytes::from_static_str("t").into())
                    .with_partitions(vec![partition]);
                let request = OffsetForLeaderEpochRequest::default().with_topics(vec![topic]);
                let answer = broker.call(version, &request).await;
                let answer = &answer.topics[0].partitions[0];
                let answer = (answer.error_code, answer.leader_epoch, answer.end_offset);
                assert_eq!(answer, expected, "version {version} partition {index} epochs {current} {asked}");
            }
        }
    }
}
