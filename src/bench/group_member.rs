//! A member of a classic group as clients play it: what it sends next, and what an answer makes of it. No socket, no clock.

use std::collections::VecDeque;

use bytes::{BufMut as _, Bytes, BytesMut};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    GroupId, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    OffsetCommitRequest, OffsetCommitResponse, SyncGroupRequest, SyncGroupResponse, TopicName,
};
use kafka_protocol::protocol::{Decodable, Request, StrBytes};

use super::BenchError;
use super::request::put_request;
use crate::client::ClientError;
use crate::types::ErrorCode;

/// Versions before the compact encoding, which every broker of today serves: the header of an answer is the correlation id.
const JOIN_VERSION: i16 = 5;
const SYNC_VERSION: i16 = 3;
const HEARTBEAT_VERSION: i16 = 3;
const LEAVE_VERSION: i16 = 2;
const COMMIT_VERSION: i16 = 7;

const CORRELATION_ID_BYTES: usize = 4;

/// Bytes of one member's assignment, as large as that of a few partitions of one topic.
const ASSIGNMENT: &[u8] = &[0; 64];

/// What a member waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Join,
    Sync,
    Heartbeat,
    Leave,
    Commit,
}

/// What an answer means to those who run the member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The member goes on by itself: what it sends next is in the buffer.
    Goes,
    /// It has its assignment of this generation.
    Stable(i32),
    /// Its offsets are committed.
    Committed,
    /// It has left.
    Left,
    /// The broker refused what is not to be refused.
    Refused(ErrorCode),
}

/// Timeouts that a member asks for, ms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    pub(super) session_ms: i32,
    pub(super) rebalance_ms: i32,
}

/// One member.
#[derive(Debug)]
pub(super) struct Member {
    group_id: GroupId,
    topic: TopicName,
    timeouts: Timeouts,
    member_id: StrBytes,
    generation_id: i32,
    is_stable: bool,
    /// Answers come in the order of the requests.
    asked: VecDeque<Asked>,
    correlation_id: i32,
}

impl Member {
    pub(super) fn new(group_id: &str, topic: &str, timeouts: Timeouts) -> Self {
        Self {
            group_id: GroupId(StrBytes::from_string(group_id.to_owned())),
            topic: TopicName(StrBytes::from_string(topic.to_owned())),
            timeouts,
            member_id: StrBytes::default(),
            generation_id: -1,
            is_stable: false,
            asked: VecDeque::new(),
            correlation_id: 0,
        }
    }

    /// Whether it has the assignment of a generation of which it has not heard that it is over.
    pub(super) fn is_stable(&self) -> bool {
        self.is_stable
    }

    pub(super) fn join(&mut self, out: &mut Vec<u8>) -> Result<(), BenchError> {
        self.is_stable = false;
        // Version 0 of a subscription to the topic, without user data.
        let mut metadata = BytesMut::new();
        metadata.put_i16(0);
        metadata.put_i32(1);
        metadata.put_i16(i16::try_from(self.topic.0.len()).unwrap_or(i16::MAX));
        metadata.put_slice(self.topic.0.as_bytes());
        metadata.put_i32(-1);
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(StrBytes::from_static_str("range"))
            .with_metadata(metadata.freeze());
        let request = JoinGroupRequest::default()
            .with_group_id(self.group_id.clone())
            .with_session_timeout_ms(self.timeouts.session_ms)
            .with_rebalance_timeout_ms(self.timeouts.rebalance_ms)
            .with_member_id(self.member_id.clone())
            .with_protocol_type(StrBytes::from_static_str("consumer"))
            .with_protocols(vec![protocol]);
        self.send(Asked::Join, &request, JOIN_VERSION, out)
    }

    pub(super) fn heartbeat(&mut self, out: &mut Vec<u8>) -> Result<(), BenchError> {
        let request = HeartbeatRequest::default()
            .with_group_id(self.group_id.clone())
            .with_generation_id(self.generation_id)
            .with_member_id(self.member_id.clone());
        self.send(Asked::Heartbeat, &request, HEARTBEAT_VERSION, out)
    }

    pub(super) fn leave(&mut self, out: &mut Vec<u8>) -> Result<(), BenchError> {
        self.is_stable = false;
        let request =
            LeaveGroupRequest::default().with_group_id(self.group_id.clone()).with_member_id(self.member_id.clone());
        self.send(Asked::Leave, &request, LEAVE_VERSION, out)
    }

    /// Commits an offset of one partition.
    pub(super) fn commit(&mut self, partition: i32, offset: i64, out: &mut Vec<u8>) -> Result<(), BenchError> {
        let part = OffsetCommitRequestPartition::default()
            .with_partition_index(partition)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(StrBytes::default()));
        let topic = OffsetCommitRequestTopic::default().with_name(self.topic.clone()).with_partitions(vec![part]);
        let request = OffsetCommitRequest::default()
            .with_group_id(self.group_id.clone())
            .with_generation_id_or_member_epoch(self.generation_id)
            .with_member_id(self.member_id.clone())
            .with_topics(vec![topic]);
        self.send(Asked::Commit, &request, COMMIT_VERSION, out)
    }

    /// Takes in the answer to the oldest request, and appends to `out` what the member sends because of it.
    pub(super) fn on_answer(&mut self, frame: &[u8], out: &mut Vec<u8>) -> Result<Outcome, BenchError> {
        let unexpected = || ClientError::Decode { api: "nothing", detail: "nobody asked".to_owned() };
        let asked = self.asked.pop_front().ok_or_else(unexpected)?;
        let body = Bytes::copy_from_slice(frame.get(CORRELATION_ID_BYTES..).unwrap_or_default());
        match asked {
            Asked::Join => self.on_joined(decode("JoinGroup", body, JOIN_VERSION)?, out),
            Asked::Sync => {
                let answer: SyncGroupResponse = decode("SyncGroup", body, SYNC_VERSION)?;
                if answer.error_code != 0 {
                    return self.on_error(ErrorCode(answer.error_code), out);
                }
                self.is_stable = true;
                Ok(Outcome::Stable(self.generation_id))
            }
            Asked::Heartbeat => {
                let answer: HeartbeatResponse = decode("Heartbeat", body, HEARTBEAT_VERSION)?;
                self.on_error(ErrorCode(answer.error_code), out)
            }
            Asked::Leave => Ok(Outcome::Left),
            Asked::Commit => {
                let answer: OffsetCommitResponse = decode("OffsetCommit", body, COMMIT_VERSION)?;
                let code = answer.topics.first().and_then(|topic| topic.partitions.first()).map(|part| part.error_code);
                match ErrorCode(code.unwrap_or(ErrorCode::UNKNOWN_SERVER_ERROR.0)) {
                    ErrorCode::NONE => Ok(Outcome::Committed),
                    error => Ok(Outcome::Refused(error)),
                }
            }
        }
    }

    fn on_joined(&mut self, answer: JoinGroupResponse, out: &mut Vec<u8>) -> Result<Outcome, BenchError> {
        if answer.error_code == ErrorCode::MEMBER_ID_REQUIRED.0 {
            self.member_id = answer.member_id;
            return self.join(out).map(|()| Outcome::Goes);
        }
        if answer.error_code != 0 {
            return self.on_error(ErrorCode(answer.error_code), out);
        }
        self.generation_id = answer.generation_id;
        self.member_id = answer.member_id;
        // Of all members if this one leads, else of none.
        let assignments = answer.members.into_iter().map(|member| {
            SyncGroupRequestAssignment::default()
                .with_member_id(member.member_id)
                .with_assignment(Bytes::from_static(ASSIGNMENT))
        });
        let request = SyncGroupRequest::default()
            .with_group_id(self.group_id.clone())
            .with_generation_id(self.generation_id)
            .with_member_id(self.member_id.clone())
            .with_assignments(assignments.collect());
        self.send(Asked::Sync, &request, SYNC_VERSION, out).map(|()| Outcome::Goes)
    }

    /// A generation that is over is joined anew, once; a member that is unknown begins again.
    fn on_error(&mut self, error: ErrorCode, out: &mut Vec<u8>) -> Result<Outcome, BenchError> {
        match error {
            ErrorCode::NONE => return Ok(Outcome::Goes),
            ErrorCode::UNKNOWN_MEMBER_ID => self.member_id = StrBytes::default(),
            ErrorCode::REBALANCE_IN_PROGRESS | ErrorCode::ILLEGAL_GENERATION => {}
            error => return Ok(Outcome::Refused(error)),
        }
        // It has asked already, or is on its way out.
        let is_under_way = self.asked.iter().any(|asked| matches!(asked, Asked::Join | Asked::Sync | Asked::Leave));
        if !is_under_way {
            self.join(out)?;
        }
        Ok(Outcome::Goes)
    }

    fn send<R: Request>(
        &mut self,
        asked: Asked,
        request: &R,
        version: i16,
        out: &mut Vec<u8>,
    ) -> Result<(), BenchError> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        put_request(out, "a request", request, version, self.correlation_id)?;
        self.asked.push_back(asked);
        Ok(())
    }
}

fn decode<T: Decodable>(api: &'static str, mut body: Bytes, version: i16) -> Result<T, BenchError> {
    Ok(T::decode(&mut body, version).map_err(|error| ClientError::Decode { api, detail: format!("{error:#}") })?)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::protocol::Encodable;

    use super::*;

    fn answer<T: Encodable>(body: &T, version: i16) -> Vec<u8> {
        let mut frame = BytesMut::new();
        frame.put_i32(7);
        body.encode(&mut frame, version).expect("it encodes");
        frame.to_vec()
    }

    fn joined(error: ErrorCode, generation_id: i32) -> Vec<u8> {
        let body = JoinGroupResponse::default()
            .with_error_code(error.0)
            .with_generation_id(generation_id)
            .with_member_id(StrBytes::from_static_str("m"));
        answer(&body, JOIN_VERSION)
    }

    fn beaten(error: ErrorCode) -> Vec<u8> {
        answer(&HeartbeatResponse::default().with_error_code(error.0), HEARTBEAT_VERSION)
    }

    fn stable() -> (Member, Vec<u8>) {
        let (mut member, mut out) = (Member::new("g", "t", Timeouts { session_ms: 1, rebalance_ms: 1 }), Vec::new());
        member.join(&mut out).expect("it encodes");
        let first = member.on_answer(&joined(ErrorCode::MEMBER_ID_REQUIRED, -1), &mut out);
        assert_eq!((first.expect("an answer"), &*member.member_id), (Outcome::Goes, "m"));
        member.on_answer(&joined(ErrorCode::NONE, 5), &mut out).expect("an answer");
        assert!(!member.is_stable());
        let synced = member.on_answer(&answer(&SyncGroupResponse::default(), SYNC_VERSION), &mut out);
        assert_eq!(synced.expect("an answer"), Outcome::Stable(5));
        assert!(member.is_stable());
        (member, out)
    }

    #[test]
    fn a_member_joins_with_the_id_that_it_is_given_and_syncs() {
        let (member, out) = stable();
        assert_eq!(member.asked, []);
        let keys: Vec<i16> = frames(&out).iter().map(|frame| i16::from_be_bytes([frame[0], frame[1]])).collect();
        assert_eq!(keys, [JoinGroupRequest::KEY, JoinGroupRequest::KEY, SyncGroupRequest::KEY]);
    }

    #[test]
    fn a_rebalance_of_which_two_heartbeats_tell_is_joined_once() {
        let (mut member, mut out) = stable();
        member.heartbeat(&mut out).expect("it encodes");
        member.heartbeat(&mut out).expect("it encodes");
        for _ in 0..2 {
            let told = member.on_answer(&beaten(ErrorCode::REBALANCE_IN_PROGRESS), &mut out);
            assert_eq!(told.expect("an answer"), Outcome::Goes);
        }
        assert_eq!(member.asked, [Asked::Join]);
        assert!(!member.is_stable());
    }

    #[test]
    fn a_member_on_its_way_out_does_not_join_again_and_refusals_are_told() {
        let (mut member, mut out) = stable();
        member.heartbeat(&mut out).expect("it encodes");
        member.heartbeat(&mut out).expect("it encodes");
        member.leave(&mut out).expect("it encodes");
        member.on_answer(&beaten(ErrorCode::REBALANCE_IN_PROGRESS), &mut out).expect("an answer");
        assert_eq!(member.asked, [Asked::Heartbeat, Asked::Leave]);
        let refused = member.on_answer(&beaten(ErrorCode::GROUP_AUTHORIZATION_FAILED), &mut out).expect("an answer");
        assert_eq!(refused, Outcome::Refused(ErrorCode::GROUP_AUTHORIZATION_FAILED));
        assert_eq!(member.on_answer(&[0; 8], &mut out).expect("an answer"), Outcome::Left);
        assert!(member.on_answer(&[0; 8], &mut out).is_err(), "nobody asked");
    }

    fn frames(mut out: &[u8]) -> Vec<&[u8]> {
        let mut frames = Vec::new();
        while let Some((length, rest)) = out.split_first_chunk() {
            let (frame, after) = rest.split_at(u32::from_be_bytes(*length) as usize);
            frames.push(frame);
            out = after;
        }
        frames
    }
}
