//! Requests of members of the group `g`, as both protocols send them.

use std::time::Instant;

use bytes::Bytes;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{GroupId, HeartbeatRequest, JoinGroupResponse, OffsetCommitRequest, SyncGroupRequest};
use kafka_protocol::protocol::StrBytes;

use super::requests::topic_name;
use super::{PATIENCE, TestClient};

pub const UNKNOWN_MEMBER_ID: i16 = 25;
pub const REBALANCE_IN_PROGRESS: i16 = 27;
pub const NON_EMPTY_GROUP: i16 = 68;
pub const MEMBER_ID_REQUIRED: i16 = 79;

pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub fn group() -> GroupId {
    GroupId(text("g"))
}

/// SyncGroup of a member, of the leader with what everybody gets. Answers the error and the member's own part.
pub fn sync(client: &mut TestClient, joined: &JoinGroupResponse, parts: &[(&str, Bytes)]) -> (i16, Bytes) {
    let assignments = parts
        .iter()
        .map(|(id, part)| SyncGroupRequestAssignment::default().with_member_id(text(id)).with_assignment(part.clone()));
    let request = SyncGroupRequest::default()
        .with_group_id(group())
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone())
        .with_assignments(assignments.collect());
    let answer = client.call(&request, 3);
    (answer.error_code, answer.assignment)
}

/// Heartbeat of the classic protocol.
pub fn heartbeat(client: &mut TestClient, member_id: &str, generation_id: i32) -> i16 {
    let request = HeartbeatRequest::default()
        .with_group_id(group())
        .with_member_id(text(member_id))
        .with_generation_id(generation_id);
    client.call(&request, 3).error_code
}

/// Commits `offset` of partition 0 of `t`.
pub fn commit(client: &mut TestClient, version: i16, member_id: &str, generation_or_epoch: i32, offset: i64) -> i16 {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(offset);
    let topic = OffsetCommitRequestTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(group())
        .with_member_id(text(member_id))
        .with_generation_id_or_member_epoch(generation_or_epoch)
        .with_topics(vec![topic]);
    client.call(&request, version).topics[0].partitions[0].error_code
}

/// Asks again and again until there is an answer, for what another connection or the passing of time brings about.
pub fn ask_until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < give_up, "it did not come about");
    }
}
