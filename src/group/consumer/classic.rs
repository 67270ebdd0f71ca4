//! Members of a consumer group that still speak the classic protocol: half of a group that is being upgraded or downgraded.
//!
//! The broker assigns to them as to all others. They learn of it by REBALANCE_IN_PROGRESS, join, and are given with SyncGroup what
//! they may read. Nobody waits for anybody: JoinGroup and SyncGroup are answered at once, the member epoch is their generation, and
//! none of them is told to be the leader.
//!
//! Mirrors `GroupMetadataManager.classicGroup{Join,Sync,Heartbeat,Leave}ToConsumerGroup` (KIP-848, online migration).
//!
//! Invariant: a request that is refused has changed nothing but deadlines.

use std::collections::HashSet;
use std::sync::Arc;

use super::assignment::{Partitions, TopicIdPartition};
use super::codec::Row;
use super::deadlines::Timeout;
use super::group::{Changes, ConsumerGroup};
use super::member::{ClassicMember, Member, MemberMetadata, MemberState};
use super::request::Context;
use super::settle::{News, Subject, settle};
use super::topics::TopicsImage;
use crate::group::classic::{JoinAnswer, JoinRequest, Leaving, SyncAnswer, SyncRequest};
use crate::group::embedded::{Assignment, NamedPartitions, PROTOCOL_TYPE, Subscription};
use crate::group::rebalance_reason::RebalanceReason;
use crate::types::ErrorCode;

impl ConsumerGroup {
    /// JoinGroup. The caller has checked what is common to all groups: the session timeout.
    pub fn join(&mut self, request: &JoinRequest, cx: &Context<'_>) -> (JoinAnswer, Vec<Row>) {
        let mut changes = Changes::default();
        let answer = self.try_join(request, cx, &mut changes).unwrap_or_else(|error| {
            let is_given_an_id = error == ErrorCode::MEMBER_ID_REQUIRED;
            JoinAnswer::refused(error, if is_given_an_id { &request.new_member_id } else { "" })
        });
        (answer, changes.rows())
    }

    fn try_join(
        &mut self,
        request: &JoinRequest,
        cx: &Context<'_>,
        changes: &mut Changes,
    ) -> Result<JoinAnswer, ErrorCode> {
        let is_new = request.member_id.is_empty();
        if self.state.members.len() >= cx.settings.max_size
            && !self.state.members.contains_key(request.member_id.as_str())
        {
            return Err(ErrorCode::GROUP_MAX_SIZE_REACHED);
        }
        if !self.supports(request) {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        if is_new && request.instance_id.is_none() && request.requires_known_member_id {
            return Err(ErrorCode::MEMBER_ID_REQUIRED);
        }
        let Some((protocol_name, metadata)) = request.protocols.first() else {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        };
        // Kafka answers UNKNOWN_SERVER_ERROR, of which a client can make less.
        let subscription = Subscription::read(metadata).map_err(|_| ErrorCode::INCONSISTENT_GROUP_PROTOCOL)?;
        let subject = self.subject_of_join(request)?;
        let base = subject.base().and_then(|id| self.state.members.get(id)).map(|member| &member.metadata);
        let joining = joining_metadata(base, request, &subscription);
        let reported = ids_of(&subscription.owned, cx.topics);
        let news = News {
            metadata: Some(joining).filter(|joining| base != Some(joining)),
            resolved: None,
            reported: Some(&reported),
        };

        // Nothing below refuses.
        settle(self, &subject, news, cx, changes);
        let id = subject.id();
        self.deadlines.clear(id, Timeout::Join);
        self.set_rebalance_deadline(id, Timeout::Sync, cx.now_ms);
        Ok(JoinAnswer {
            error: ErrorCode::NONE,
            member_id: id.to_string(),
            generation_id: self.state.members.get(id).map_or(-1, |member| member.current.epoch),
            protocol_type: Some(PROTOCOL_TYPE.to_owned()),
            protocol_name: Some(protocol_name.clone()),
            leader: String::new(),
            skip_assignment: false,
            members: Vec::new(),
        })
    }

    /// Whose JoinGroup it is. An id that is not known here is one that was given by MEMBER_ID_REQUIRED, here or before the group was
    /// upgraded: none of them are kept.
    fn subject_of_join(&self, request: &JoinRequest) -> Result<Subject, ErrorCode> {
        let is_new = request.member_id.is_empty();
        let id: Arc<str> =
            if is_new { request.new_member_id.as_str().into() } else { request.member_id.as_str().into() };
        let Some(instance_id) = &request.instance_id else {
            let is_known = self.state.members.contains_key(&id);
            return Ok(if is_known { Subject::Known(id) } else { Subject::New(id) });
        };
        match self.state.static_member(instance_id) {
            None if is_new => Ok(Subject::New(id)),
            None => Err(ErrorCode::UNKNOWN_MEMBER_ID),
            // A static member that lost its id takes its place, whichever protocol it had spoken.
            Some(holder) if is_new => Ok(Subject::Replacing { old: Arc::clone(holder), new: id }),
            Some(holder) if *holder == id => Ok(Subject::Known(id)),
            Some(_) => Err(ErrorCode::FENCED_INSTANCE_ID),
        }
    }

    /// Whether the others of the classic protocol could go on with this member if the group became a classic one.
    fn supports(&self, request: &JoinRequest) -> bool {
        let mut common: HashSet<&str> = request.protocols.iter().map(|(name, _)| name.as_str()).collect();
        for other in self.state.members.values().filter_map(|member| member.metadata.classic.as_ref()) {
            // Sets on both sides: each may name as many as a request holds.
            let own: HashSet<&str> = other.protocols.iter().map(|(name, _)| name.as_str()).collect();
            common.retain(|name| own.contains(name));
        }
        request.protocol_type == PROTOCOL_TYPE && !common.is_empty()
    }

    /// SyncGroup.
    pub fn sync(&mut self, request: &SyncRequest, cx: &Context<'_>) -> SyncAnswer {
        match self.try_sync(request, cx) {
            Ok(answer) => answer,
            Err(error) => SyncAnswer::refused(error),
        }
    }

    fn try_sync(&mut self, request: &SyncRequest, cx: &Context<'_>) -> Result<SyncAnswer, ErrorCode> {
        let id = self.classic_member(&request.member_id, request.instance_id.as_deref(), request.generation_id)?;
        let member = self.state.members.get(&id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        let protocols = member.metadata.classic.as_ref().map_or(&[][..], |classic| &classic.protocols);
        let (name, metadata) = protocols.first().ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        if request.protocol_type.as_ref().is_some_and(|own| own != PROTOCOL_TYPE)
            || request.protocol_name.as_ref().is_some_and(|own| own != name)
        {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        // One that has to give something up has joined already; it must learn what, before it joins again.
        if self.state.epochs.group_epoch > member.current.epoch
            && member.current.state != MemberState::UnrevokedPartitions
        {
            self.ask_to_join(&id, cx);
            return Err(ErrorCode::REBALANCE_IN_PROGRESS);
        }
        let answer = SyncAnswer {
            error: ErrorCode::NONE,
            protocol_type: request.protocol_type.clone().or_else(|| Some(PROTOCOL_TYPE.to_owned())),
            protocol_name: request.protocol_name.clone().or_else(|| Some(name.clone())),
            assignment: assignment_of(member, cx.topics).write(version_of(metadata)),
        };
        self.deadlines.clear(&id, Timeout::Sync);
        self.keep_alive(&id, cx);
        Ok(answer)
    }

    /// Heartbeat.
    pub fn classic_heartbeat(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        generation_id: i32,
        cx: &Context<'_>,
    ) -> ErrorCode {
        let id = match self.classic_member(member_id, instance_id, generation_id) {
            Ok(id) => id,
            Err(error) => return error,
        };
        self.keep_alive(&id, cx);
        let Some(member) = self.state.members.get(&id) else { return ErrorCode::UNKNOWN_MEMBER_ID };
        let current = &member.current;
        let can_go_on = match current.state {
            MemberState::Stable => false,
            MemberState::UnrevokedPartitions => true,
            MemberState::UnreleasedPartitions => !self.waits_for_others(&id, member),
        };
        if current.epoch < self.state.epochs.group_epoch || can_go_on {
            self.ask_to_join(&id, cx);
            return ErrorCode::REBALANCE_IN_PROGRESS;
        }
        ErrorCode::NONE
    }

    /// LeaveGroup: also administrators remove members so, of either protocol.
    pub fn leave(&mut self, leaving: &[Leaving], cx: &Context<'_>) -> (Vec<ErrorCode>, Vec<Row>) {
        let mut changes = Changes::default();
        let mut leave = |leaving: &Leaving| match self.leaving_member(leaving) {
            Ok(id) => {
                self.remove_member(&id, RebalanceReason::Leave, cx.topics, &mut changes);
                ErrorCode::NONE
            }
            Err(error) => error,
        };
        let errors = leaving.iter().map(&mut leave).collect();
        (errors, changes.rows())
    }

    fn leaving_member(&self, leaving: &Leaving) -> Result<Arc<str>, ErrorCode> {
        if let Some(instance_id) = &leaving.instance_id {
            let holder = self.state.static_member(instance_id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
            if !leaving.member_id.is_empty() && **holder != *leaving.member_id {
                return Err(ErrorCode::FENCED_INSTANCE_ID);
            }
            return Ok(Arc::clone(holder));
        }
        let known = self.state.members.get_key_value(leaving.member_id.as_str());
        known.map(|(id, _)| Arc::clone(id)).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)
    }

    /// The member that a request of the classic protocol is from.
    fn classic_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        generation_id: i32,
    ) -> Result<Arc<str>, ErrorCode> {
        if let Some(instance_id) = instance_id {
            let holder = self.state.static_member(instance_id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
            if **holder != *member_id {
                return Err(ErrorCode::FENCED_INSTANCE_ID);
            }
        }
        let known = self.state.members.get_key_value(member_id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        if known.1.metadata.classic.is_none() {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        if known.1.current.epoch != generation_id {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        Ok(Arc::clone(known.0))
    }

    /// Whether a partition of the member's target is still owned by another.
    fn waits_for_others(&self, id: &str, member: &Member) -> bool {
        let target = self.state.targets.get(id).into_iter().flatten();
        let mut missing = target.filter(|partition| !member.current.assigned.contains_key(partition));
        missing.any(|partition| self.state.owner(partition).is_some_and(|owner| owner != id))
    }

    /// The member has its rebalance timeout to join, from when it was told first.
    fn ask_to_join(&mut self, id: &Arc<str>, cx: &Context<'_>) {
        if self.deadlines.get(id, Timeout::Join).is_none() {
            self.set_rebalance_deadline(id, Timeout::Join, cx.now_ms);
        }
    }

    fn set_rebalance_deadline(&mut self, id: &Arc<str>, timeout: Timeout, now_ms: i64) {
        let rebalance_timeout_ms = self.state.members.get(id).map_or(0, |member| member.metadata.rebalance_timeout_ms);
        self.deadlines.set(id, timeout, now_ms + i64::from(rebalance_timeout_ms.max(0)));
    }
}

fn joining_metadata(
    base: Option<&MemberMetadata>,
    request: &JoinRequest,
    subscription: &Subscription,
) -> MemberMetadata {
    MemberMetadata {
        instance_id: request.instance_id.clone().or_else(|| base.and_then(|base| base.instance_id.clone())),
        rack_id: subscription.rack_id.clone().or_else(|| base.and_then(|base| base.rack_id.clone())),
        client_id: request.client_id.clone(),
        client_host: request.client_host.clone(),
        rebalance_timeout_ms: request.rebalance_timeout_ms.max(0),
        server_assignor: base.and_then(|base| base.server_assignor.clone()),
        subscribed_topic_names: subscription.topics.iter().cloned().collect(),
        subscribed_topic_regex: None,
        classic: Some(ClassicMember {
            session_timeout_ms: request.session_timeout_ms.unsigned_abs(),
            protocols: request.protocols.clone(),
        }),
    }
}

/// Version of the subscription that `metadata` is.
pub(crate) fn version_of(metadata: &[u8]) -> i16 {
    metadata.first_chunk().map_or(0, |version| i16::from_be_bytes(*version))
}

/// What `member` may read, by names of topics.
pub(crate) fn assignment_of(member: &Member, topics: &dyn TopicsImage) -> Assignment {
    let mut partitions = NamedPartitions::new();
    for partition in member.current.assigned.keys() {
        if let Some(name) = topics.name(partition.topic_id) {
            partitions.entry(name.to_owned()).or_default().push(partition.partition);
        }
    }
    Assignment { partitions, has_user_data: false }
}

/// Those of the partitions that exist, by id: what a client tells may name any.
pub(crate) fn ids_of(named: &NamedPartitions, topics: &dyn TopicsImage) -> Partitions {
    let known = named.iter().filter_map(|(name, partitions)| Some((topics.topic(name)?, partitions)));
    known
        .flat_map(|(topic, partitions)| {
            let existing = partitions.iter().filter(move |partition| (0..topic.partitions).contains(*partition));
            existing.map(move |partition| TopicIdPartition { topic_id: topic.id, partition: *partition })
        })
        .collect()
}
