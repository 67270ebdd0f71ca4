//! ConsumerGroupHeartbeat and ConsumerGroupDescribe: groups to which the broker assigns (KIP-848).

use std::collections::HashSet;

use kafka_protocol::messages::consumer_group_describe_response::{
    Assignment as DescribedAssignment, DescribedGroup, Member as DescribedMember,
    TopicPartitions as DescribedPartitions,
};
use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse, GroupId, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::apis::count_error;
use super::group_id::{CLIENT_ID_BYTES_MAX, TEXT_BYTES_MAX, shortened};
use super::told::told;
use super::{Context, authorized_operations};
use crate::coordinator::{Described, DescribedConsumerGroup};
use crate::engine::environment::{Environment, SystemEnvironment};
use crate::group::consumer::assignment::{Partitions, TopicIdPartition, by_topic};
use crate::group::consumer::member::Member;
use crate::group::consumer::{HeartbeatAnswer, HeartbeatRejected, HeartbeatRequest};
use crate::log::catalog::Topics;
use crate::types::ErrorCode;
use crate::wire::{Close, RequestHeader};

/// First version of ConsumerGroupDescribe that tells which protocol a member speaks.
const MEMBER_TYPE_FROM: i16 = 1;
/// Members of the classic protocol, and of this one.
const CLASSIC_MEMBER: i8 = 0;
const CONSUMER_MEMBER: i8 = 1;
/// Authorized operations that were not asked for.
const NO_OPERATIONS: i32 = i32::MIN;

/// A member joins, stays, reports what it owns and hears what it may read, or leaves.
pub async fn heartbeat(
    cx: Context,
    header: RequestHeader,
    request: ConsumerGroupHeartbeatRequest,
) -> Result<ConsumerGroupHeartbeatResponse, Close> {
    if !cx.broker.config.load().consumer_groups.is_enabled {
        count_error(&header, ErrorCode::UNSUPPORTED_VERSION);
        return Ok(ConsumerGroupHeartbeatResponse::default().with_error_code(ErrorCode::UNSUPPORTED_VERSION.0));
    }
    let beat = heartbeat_request(&cx, &header, request);
    let decided = if has_texts_to_keep(&beat) {
        // Below version 1 the broker may choose the member's id.
        let new_member_id = SystemEnvironment.random_uuid().to_string();
        let coordinator = &cx.broker.coordinator;
        let answer = coordinator.consumer_heartbeat(&beat, header.api_version, &new_member_id);
        answer.await.map_err(|_| Close::Ending)?
    } else {
        Err(HeartbeatRejected::InvalidRequest("an id is too long"))
    };
    Ok(match decided {
        Ok(answer) => accepted(answer),
        Err(rejected) => {
            count_error(&header, rejected.error());
            ConsumerGroupHeartbeatResponse::default()
                .with_error_code(rejected.error().0)
                .with_error_message(Some(told(rejected.to_string())))
        }
    })
}

fn heartbeat_request(cx: &Context, header: &RequestHeader, request: ConsumerGroupHeartbeatRequest) -> HeartbeatRequest {
    // Copies: what is kept must not keep the frame.
    let text = |text: Option<StrBytes>| text.map(|text| text.to_string());
    let owned = request.topic_partitions.map(|topics| {
        let topics = topics.into_iter();
        let partitions = topics.flat_map(|topic| {
            let topic_id = topic.topic_id;
            topic.partitions.into_iter().map(move |partition| TopicIdPartition { topic_id, partition })
        });
        partitions.collect::<Partitions>()
    });
    HeartbeatRequest {
        group_id: request.group_id.to_string(),
        member_id: request.member_id.to_string(),
        member_epoch: request.member_epoch,
        instance_id: text(request.instance_id),
        rack_id: text(request.rack_id),
        client_id: shortened(header.client_id.as_deref().unwrap_or_default(), CLIENT_ID_BYTES_MAX).to_owned(),
        client_host: format!("/{}", cx.peer.ip().to_canonical()),
        rebalance_timeout_ms: request.rebalance_timeout_ms,
        subscribed_topic_names: request
            .subscribed_topic_names
            .map(|names| names.iter().map(|name| name.as_str().to_owned()).collect()),
        subscribed_topic_regex: text(request.subscribed_topic_regex),
        server_assignor: text(request.server_assignor),
        topic_partitions: owned,
    }
}

fn has_texts_to_keep(request: &HeartbeatRequest) -> bool {
    let optional = [&request.instance_id, &request.rack_id];
    let mut texts = optional.into_iter().flatten().chain([&request.group_id, &request.member_id]);
    texts.all(|text| text.len() <= TEXT_BYTES_MAX)
}

fn accepted(answer: HeartbeatAnswer) -> ConsumerGroupHeartbeatResponse {
    let assignment = answer.assignment.map(|partitions| {
        let topics = by_topic(&partitions).into_iter().map(|(topic_id, partitions)| {
            TopicPartitions::default().with_topic_id(topic_id).with_partitions(partitions)
        });
        Assignment::default().with_topic_partitions(topics.collect())
    });
    ConsumerGroupHeartbeatResponse::default()
        .with_member_id(Some(StrBytes::from_string(answer.member_id)))
        .with_member_epoch(answer.member_epoch)
        .with_heartbeat_interval_ms(answer.heartbeat_interval_ms)
        .with_assignment(assignment)
}

/// Answers each group once, in the order in which they are named: what a few bytes ask for can be large.
pub async fn describe(
    cx: Context,
    header: RequestHeader,
    request: ConsumerGroupDescribeRequest,
) -> Result<ConsumerGroupDescribeResponse, Close> {
    let operations = if request.include_authorized_operations { authorized_operations::GROUP } else { NO_OPERATIONS };
    let mut named = HashSet::new();
    let mut groups = Vec::new();
    for group_id in request.group_ids {
        if !named.insert(group_id.clone()) {
            continue;
        }
        if group_id.is_empty() {
            groups.push(refused(&header, group_id, ErrorCode::INVALID_GROUP_ID, None));
            continue;
        }
        let described = cx.broker.coordinator.describe(&group_id).await.map_err(|_| Close::Ending)?;
        groups.push(match described {
            Some(Described::Consumer(group)) => {
                let topics = cx.broker.catalog.topics();
                known(&header, group_id, group, &topics).with_authorized_operations(operations)
            }
            Some(Described::Classic(_)) => {
                let message = format!("Group {} is not a consumer group.", group_id.as_str());
                refused(&header, group_id, ErrorCode::GROUP_ID_NOT_FOUND, Some(message))
            }
            None => {
                let message = format!("Group {} not found.", group_id.as_str());
                refused(&header, group_id, ErrorCode::GROUP_ID_NOT_FOUND, Some(message))
            }
        });
    }
    Ok(ConsumerGroupDescribeResponse::default().with_groups(groups))
}

fn refused(header: &RequestHeader, group_id: GroupId, error: ErrorCode, message: Option<String>) -> DescribedGroup {
    count_error(header, error);
    DescribedGroup::default().with_group_id(group_id).with_error_code(error.0).with_error_message(message.map(told))
}

fn known(header: &RequestHeader, group_id: GroupId, group: DescribedConsumerGroup, topics: &Topics) -> DescribedGroup {
    let member = |(id, member, target): (_, Member, Partitions)| {
        let id: std::sync::Arc<str> = id;
        let metadata = member.metadata;
        let text = |text: Option<String>| text.map(StrBytes::from_string);
        let names = metadata.subscribed_topic_names.into_iter();
        let names = names.map(|name| TopicName(StrBytes::from_string(name)));
        let described = DescribedMember::default()
            .with_member_id(StrBytes::from_string(id.to_string()))
            .with_instance_id(text(metadata.instance_id))
            .with_rack_id(text(metadata.rack_id))
            .with_member_epoch(member.current.epoch)
            .with_client_id(StrBytes::from_string(metadata.client_id))
            .with_client_host(StrBytes::from_string(metadata.client_host))
            .with_subscribed_topic_names(names.collect())
            // Empty where there is none, as Kafka shows it.
            .with_subscribed_topic_regex(Some(text(metadata.subscribed_topic_regex).unwrap_or_default()))
            .with_assignment(assignment(member.current.assigned.keys(), topics))
            .with_target_assignment(assignment(&target, topics));
        let member_type = if metadata.classic.is_some() { CLASSIC_MEMBER } else { CONSUMER_MEMBER };
        if header.api_version >= MEMBER_TYPE_FROM { described.with_member_type(member_type) } else { described }
    };
    DescribedGroup::default()
        .with_group_id(group_id)
        .with_group_state(StrBytes::from_static_str(group.state))
        .with_group_epoch(group.group_epoch)
        .with_assignment_epoch(group.assignment_epoch)
        .with_assignor_name(StrBytes::from_static_str(group.assignor.name()))
        .with_members(group.members.into_iter().map(member).collect())
}

/// Of topics that exist: of others there is no name.
fn assignment<'a>(partitions: impl IntoIterator<Item = &'a TopicIdPartition>, topics: &Topics) -> DescribedAssignment {
    let described = by_topic(partitions).into_iter().filter_map(|(topic_id, partitions)| {
        let name = topics.by_id.get(&topic_id)?.name.to_string();
        let described = DescribedPartitions::default().with_topic_id(topic_id).with_partitions(partitions);
        Some(described.with_topic_name(TopicName(StrBytes::from_string(name))))
    });
    DescribedAssignment::default().with_topic_partitions(described.collect())
}
