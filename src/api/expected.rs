//! What answers are expected to take, as structures, where that hangs on more than the length of the request: with [`Turns`] it is
//! judged before they are made. Bytes, roughly, and rather too much; no more is counted once it is clear that the turn is a long one.
//!
//! [`Turns`]: super::turns::Turns

use kafka_protocol::messages::describe_topic_partitions_request::TopicRequest;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, CreateTopicsRequest, DescribeConfigsRequest, DescribeGroupsRequest,
    DescribeLogDirsRequest, DescribeTopicPartitionsRequest, ElectLeadersRequest, FindCoordinatorRequest,
    ListConfigResourcesRequest, ListGroupsRequest, MetadataRequest, OffsetFetchRequest,
};

use super::Context;
use super::turns::{SHORT_BYTES_MAX, TURNLESS_BYTES_MAX};
use crate::log::catalog::Topic;
use crate::wire::RequestHeader;

/// A partition, described.
const PARTITION_BYTES: usize = 256;
/// A topic, or another thing without what belongs to it and without its name, if that may be longer than a topic's.
const NAMED_BYTES: usize = 512;
/// What a byte of an id or of another text becomes that a list shows: it is copied, and encoded.
const TEXT_MULTIPLE: usize = 2;
/// All settings of a topic, with what stands behind them.
const SETTINGS_BYTES: usize = 16 << 10;
/// A committed offset without its text.
const OFFSET_BYTES: usize = 256;
/// What a byte of a group's memory becomes where its members are described: names of topics for their numbers.
const GROUP_MULTIPLE: usize = 4;

/// The sum of `parts`, or of as many of them as make a long turn.
fn sum(parts: impl IntoIterator<Item = usize>) -> usize {
    let mut sum = 0_usize;
    for part in parts {
        sum = sum.saturating_add(part);
        if sum > SHORT_BYTES_MAX {
            break;
        }
    }
    sum
}

fn of_topic(topic: &Topic) -> usize {
    NAMED_BYTES + topic.partitions.len() * PARTITION_BYTES
}

fn all_topics(cx: &Context) -> usize {
    sum(cx.broker.catalog.topics().by_name.values().map(|topic| of_topic(topic)))
}

fn named_topics<'a>(cx: &Context, names: impl IntoIterator<Item = &'a str>) -> usize {
    let topics = cx.broker.catalog.topics();
    sum(names.into_iter().map(|name| topics.by_name.get(name).map_or(0, |topic| of_topic(topic))))
}

/// Where only the engine's writer knows: as much as there can be.
pub(super) fn unknown<Req>(_: &Context, _: &RequestHeader, _: &Req) -> usize {
    usize::MAX
}

/// What these texts, and what each is shown with, take.
fn of_texts(lengths: impl IntoIterator<Item = usize>) -> usize {
    sum(lengths.into_iter().map(|bytes| bytes.saturating_mul(TEXT_MULTIPLE).saturating_add(NAMED_BYTES)))
}

pub(super) fn metadata(cx: &Context, header: &RequestHeader, request: &MetadataRequest) -> usize {
    // Version 0 asks for all with an empty list.
    let Some(asked) = request.topics.as_ref().filter(|asked| header.api_version > 0 || !asked.is_empty()) else {
        return all_topics(cx);
    };
    let topics = cx.broker.catalog.topics();
    sum(asked.iter().map(|asked| {
        let found = match &asked.name {
            Some(name) if asked.topic_id.is_nil() => topics.by_name.get(name.as_str()),
            _ => topics.by_id.get(&asked.topic_id),
        };
        found.map_or(0, |topic| of_topic(topic))
    }))
}

pub(super) fn describe_topic_partitions(
    cx: &Context,
    _: &RequestHeader,
    request: &DescribeTopicPartitionsRequest,
) -> usize {
    let described = match request.topics.as_slice() {
        [] => all_topics(cx),
        asked => named_topics(cx, asked.iter().map(|TopicRequest { name, .. }| name.as_str())),
    };
    described.min(cx.broker.config.load().request_partitions_max.saturating_mul(PARTITION_BYTES))
}

pub(super) fn describe_log_dirs(cx: &Context, _: &RequestHeader, request: &DescribeLogDirsRequest) -> usize {
    request.topics.as_ref().map_or_else(|| all_topics(cx), |_| 0)
}

pub(super) fn elect_leaders(cx: &Context, _: &RequestHeader, request: &ElectLeadersRequest) -> usize {
    let all = || cx.broker.catalog.topics().by_name.len().saturating_mul(NAMED_BYTES);
    request.topic_partitions.as_ref().map_or_else(all, |_| 0)
}

pub(super) fn list_config_resources(cx: &Context, _: &RequestHeader, _: &ListConfigResourcesRequest) -> usize {
    let topics = cx.broker.catalog.topics().by_name.len().saturating_mul(NAMED_BYTES);
    topics.saturating_add(cx.broker.coordinator.of_configured_ids(|lengths| of_texts(lengths)))
}

pub(super) fn describe_configs(_: &Context, _: &RequestHeader, request: &DescribeConfigsRequest) -> usize {
    request.resources.len().saturating_mul(SETTINGS_BYTES)
}

/// The answer shows the settings of each topic.
pub(super) fn create_topics(_: &Context, _: &RequestHeader, request: &CreateTopicsRequest) -> usize {
    request.topics.len().saturating_mul(SETTINGS_BYTES)
}

pub(super) fn find_coordinator(_: &Context, _: &RequestHeader, request: &FindCoordinatorRequest) -> usize {
    request.coordinator_keys.len().saturating_mul(NAMED_BYTES)
}

pub(super) fn list_groups(cx: &Context, _: &RequestHeader, _: &ListGroupsRequest) -> usize {
    let (coordinator, offsets) = (&cx.broker.coordinator, &cx.broker.offsets);
    let ids =
        coordinator.of_ids(|lengths| of_texts(lengths)).saturating_add(offsets.of_ids(|lengths| of_texts(lengths)));
    if ids > SHORT_BYTES_MAX {
        return ids;
    }
    // Few enough for each to be looked at.
    let types = sum(coordinator.protocol_type_bytes().map(|bytes| bytes.saturating_mul(TEXT_MULTIPLE)));
    ids.saturating_add(types)
}

pub(super) fn describe_groups(cx: &Context, _: &RequestHeader, request: &DescribeGroupsRequest) -> usize {
    sum(request.groups.iter().map(|group| of_group(cx, group)))
}

pub(super) fn describe_consumer_groups(
    cx: &Context,
    _: &RequestHeader,
    request: &ConsumerGroupDescribeRequest,
) -> usize {
    sum(request.group_ids.iter().map(|group| of_group(cx, group)))
}

fn of_group(cx: &Context, group: &str) -> usize {
    cx.broker.coordinator.bytes_of(group).saturating_mul(GROUP_MULTIPLE).saturating_add(NAMED_BYTES)
}

pub(super) fn offset_fetch(cx: &Context, _: &RequestHeader, request: &OffsetFetchRequest) -> usize {
    let groups = request.groups.iter().map(|group| {
        let asked = group.topics.as_ref();
        (&group.group_id, asked.map(|topics| topics.iter().map(|topic| topic.partition_indexes.len()).sum()))
    });
    // Below version 8 there is one group, with fields of its own.
    let asked = request.topics.as_ref();
    let asked = asked.map(|topics| topics.iter().map(|topic| topic.partition_indexes.len()).sum());
    let one = (!request.group_id.is_empty()).then_some((&request.group_id, asked));
    sum(one.into_iter().chain(groups).map(|(group, asked)| of_offsets(cx, group, asked)))
}

/// Of as many partitions as are `asked` for, all that there are for none.
fn of_offsets(cx: &Context, group: &str, asked: Option<usize>) -> usize {
    let text_bytes_max = cx.broker.config.load().offset_metadata_max_bytes;
    let bare_bytes = asked.map(|count| count.saturating_mul(OFFSET_BYTES));
    let text_bytes = asked.map_or(usize::MAX, |count| count.saturating_mul(text_bytes_max));
    if let Some(bytes) = bare_bytes.map(|bytes| bytes.saturating_add(text_bytes))
        && bytes <= TURNLESS_BYTES_MAX
    {
        return bytes;
    }
    let committed = cx.broker.offsets.bytes_up_to(group, OFFSET_BYTES, SHORT_BYTES_MAX);
    bare_bytes.map_or(committed, |bytes| bytes.saturating_add(committed.min(text_bytes)))
}

#[cfg(test)]
#[path = "expected_tests.rs"]
mod tests;
