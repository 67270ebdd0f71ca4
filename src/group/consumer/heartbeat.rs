//! ConsumerGroupHeartbeat: joins, keeps alive, hands out and takes back partitions, leaves.
//!
//! Mirrors `GroupMetadataManager.consumerGroupHeartbeat` and `consumerGroupLeave` of Kafka 4.3. It is different where Kafka
//! does in the background what is quick here: targets are computed within the heartbeat that needs them, and patterns are matched
//! before it is answered, so a member that joins an empty group has its partitions with the first answer.
//!
//! Invariant: a heartbeat that is refused has changed nothing.

use std::sync::Arc;

use super::change::Change;
use super::deadlines::Timeout;
use super::group::{Changes, ConsumerGroup, Outcome};
use super::member::{CurrentAssignment, JOIN_EPOCH, LEAVE_EPOCH, LEAVE_STATIC_EPOCH, Member, MemberMetadata};
use super::regex::TopicPattern;
use super::request::{
    Context, HeartbeatAnswer, HeartbeatRejected, HeartbeatRequest, MEMBER_TEXT_BYTES_MAX, Settings, check,
};
use super::settle::{News, Subject, settle};
use crate::group::rebalance_reason::RebalanceReason;

/// Decides a heartbeat of `api_version` for `group`, which is new where there is none yet: whoever calls keeps it only if it
/// [is not new](ConsumerGroup::is_new) afterwards. `new_member_id` is for a client that leaves the choice to the broker.
///
/// Where the topics cannot tell what a new pattern matches it is [`HeartbeatRejected::Unmatched`], after all else that could refuse it:
/// whoever calls finds that out and comes again.
///
/// # Errors
/// [`HeartbeatRejected`], with the group as it was.
pub fn heartbeat(
    group: &mut ConsumerGroup,
    request: &HeartbeatRequest,
    api_version: i16,
    new_member_id: &str,
    cx: &Context<'_>,
) -> Result<Outcome, HeartbeatRejected> {
    check(request, api_version, cx.settings)?;
    if group.is_new() && request.member_epoch != JOIN_EPOCH {
        return Err(HeartbeatRejected::GroupIdNotFound(request.group_id.clone()));
    }
    if matches!(request.member_epoch, LEAVE_EPOCH | LEAVE_STATIC_EPOCH) {
        leave(group, request, cx)
    } else {
        beat(group, request, new_member_id, cx)
    }
}

/// Refuses a member that joins a classic group for what is told without making a consumer group of it, which for many members takes
/// long: `members` is how many it has, `is_known` whether the request's id or instance id is one of theirs. [`heartbeat`] refuses the same.
///
/// # Errors
/// [`HeartbeatRejected`].
pub fn check_upgrading(
    request: &HeartbeatRequest,
    members: usize,
    is_known: bool,
    settings: &Settings,
) -> Result<(), HeartbeatRejected> {
    if !is_known && members >= settings.max_size {
        return Err(HeartbeatRejected::GroupMaxSizeReached(settings.max_size));
    }
    let Some(metadata) = changed_metadata(None, request) else { return Ok(()) };
    check_texts(&metadata, &request.member_id)?;
    match &metadata.subscribed_topic_regex {
        Some(regex) => Ok(TopicPattern::new(regex).map(drop)?),
        None => Ok(()),
    }
}

fn check_texts(metadata: &MemberMetadata, id: &str) -> Result<(), HeartbeatRejected> {
    if metadata.text_bytes() + id.len() > MEMBER_TEXT_BYTES_MAX {
        return Err(HeartbeatRejected::InvalidRequest("the subscription is too large"));
    }
    Ok(())
}

fn beat(
    group: &mut ConsumerGroup,
    request: &HeartbeatRequest,
    new_member_id: &str,
    cx: &Context<'_>,
) -> Result<Outcome, HeartbeatRejected> {
    let subject = subject(group, request, new_member_id, cx)?;
    let id = Arc::clone(subject.id());
    let base = subject.base().and_then(|id| group.state.members.get(id));
    let metadata = changed_metadata(base.map(|member| &member.metadata), request);
    let mut resolved = None;
    if let Some(metadata) = &metadata {
        check_texts(metadata, &id)?;
        if let Some(regex) = &metadata.subscribed_topic_regex
            && !group.state.regexes.contains_key(regex)
        {
            // A client ends upon it and shows the text; GROUP_MAX_SIZE_REACHED would be taken for one of too many members.
            if !group.has_room_for_regex(regex, subject.base()) {
                return Err(HeartbeatRejected::InvalidRequest("the group subscribes to too many patterns"));
            }
            let matching = cx.topics.matching(regex).ok_or_else(|| HeartbeatRejected::Unmatched(regex.clone()))?;
            resolved = Some((regex.clone(), matching?));
        }
    }

    // Nothing below refuses.
    let mut changes = Changes::default();
    let news = News { metadata, resolved, reported: request.topic_partitions.as_ref() };
    let reassigned = settle(group, &subject, news, cx, &mut changes);

    let current = group.state.members.get(&id).map(|member| &member.current);
    let is_full = request.rebalance_timeout_ms != -1
        && (request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some())
        && request.topic_partitions.is_some();
    let tells = request.member_epoch == JOIN_EPOCH || is_full || reassigned;
    let answer = HeartbeatAnswer {
        member_id: id.to_string(),
        member_epoch: current.map_or(JOIN_EPOCH, |current| current.epoch),
        heartbeat_interval_ms: cx.settings.heartbeat_interval_ms,
        assignment: current.filter(|_| tells).map(|current| current.assigned.keys().copied().collect()),
    };
    Ok(Outcome { rows: changes.rows(), answer })
}

/// Finds out whose heartbeat it is, and whether it may come.
fn subject(
    group: &ConsumerGroup,
    request: &HeartbeatRequest,
    new_member_id: &str,
    cx: &Context<'_>,
) -> Result<Subject, HeartbeatRejected> {
    let joins = request.member_epoch == JOIN_EPOCH;
    let id = if request.member_id.is_empty() { new_member_id } else { &request.member_id };
    let known = group.state.members.get_key_value(id);
    let holder = request.instance_id.as_ref().and_then(|instance_id| group.state.static_member(instance_id));
    let holder = holder.and_then(|id| group.state.members.get_key_value(id));
    // Of the classic protocol nobody says that it leaves for a while.
    let is_away = |member: &Member| member.current.epoch == LEAVE_STATIC_EPOCH || member.metadata.classic.is_some();
    let is_back = joins && holder.is_some_and(|(_, member)| is_away(member));
    // Before all else, as in Kafka. A static member that is back takes the place it has; Kafka refuses it, too.
    if known.is_none() && !is_back && group.state.members.len() >= cx.settings.max_size {
        return Err(HeartbeatRejected::GroupMaxSizeReached(cx.settings.max_size));
    }
    let Some(instance_id) = &request.instance_id else {
        return match known {
            Some((id, member)) => check_epoch(member, request).map(|()| Subject::Known(Arc::clone(id))),
            None if joins => Ok(Subject::New(id.into())),
            None => Err(HeartbeatRejected::UnknownMemberId(id.to_owned())),
        };
    };
    let Some((holder, member)) = holder else {
        return match known {
            Some((id, _)) if joins => Ok(Subject::Known(Arc::clone(id))),
            None if joins => Ok(Subject::New(id.into())),
            _ => Err(HeartbeatRejected::UnknownInstanceId(instance_id.clone())),
        };
    };
    if is_back {
        return Ok(Subject::Replacing { old: Arc::clone(holder), new: id.into() });
    }
    if joins {
        let (instance_id, owner) = (instance_id.clone(), holder.to_string());
        return Err(HeartbeatRejected::UnreleasedInstanceId { instance_id, owner });
    }
    if **holder != *id {
        return Err(HeartbeatRejected::FencedInstanceId {
            instance_id: instance_id.clone(),
            owner: holder.to_string(),
        });
    }
    check_epoch(member, request)?;
    Ok(Subject::Known(Arc::clone(holder)))
}

/// A member may come with its epoch, with 0 to begin anew, and with the epoch before if it owns nothing that it should not:
/// then it has not seen the answer that raised it.
fn check_epoch(member: &Member, request: &HeartbeatRequest) -> Result<(), HeartbeatRejected> {
    let (received, current) = (request.member_epoch, &member.current);
    let missed_an_answer = || {
        let owned = request.topic_partitions.as_ref();
        received < current.epoch
            && received == current.previous_epoch
            && owned.is_some_and(|owned| owned.iter().all(|partition| current.assigned.contains_key(partition)))
    };
    if received == JOIN_EPOCH || received == current.epoch || missed_an_answer() {
        Ok(())
    } else {
        Err(HeartbeatRejected::FencedMemberEpoch { received, current: current.epoch })
    }
}

/// The member's metadata with what the request says of them; none: as they were.
fn changed_metadata(base: Option<&MemberMetadata>, request: &HeartbeatRequest) -> Option<MemberMetadata> {
    let is_same = |base: &MemberMetadata| {
        let same = |old: &Option<String>, new: &Option<String>| new.is_none() || old == new;
        let names = request.subscribed_topic_names.as_ref();
        let regex = request.subscribed_topic_regex.as_ref();
        base.classic.is_none()
            && same(&base.instance_id, &request.instance_id)
            && same(&base.rack_id, &request.rack_id)
            && same(&base.server_assignor, &request.server_assignor)
            && base.client_id == request.client_id
            && base.client_host == request.client_host
            && (request.rebalance_timeout_ms == -1 || base.rebalance_timeout_ms == request.rebalance_timeout_ms)
            && names.is_none_or(|names| base.subscribed_topic_names == names.iter().cloned().collect())
            && regex.is_none_or(|regex| base.subscribed_topic_regex.as_deref().unwrap_or_default() == regex)
    };
    if base.is_some_and(is_same) {
        return None;
    }
    let mut metadata = base.cloned().unwrap_or(MemberMetadata { rebalance_timeout_ms: -1, ..Default::default() });
    let update = |old: &mut Option<String>, new: &Option<String>| {
        if new.is_some() {
            old.clone_from(new);
        }
    };
    update(&mut metadata.instance_id, &request.instance_id);
    update(&mut metadata.rack_id, &request.rack_id);
    update(&mut metadata.server_assignor, &request.server_assignor);
    metadata.classic = None;
    metadata.client_id.clone_from(&request.client_id);
    metadata.client_host.clone_from(&request.client_host);
    if request.rebalance_timeout_ms != -1 {
        metadata.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    if let Some(names) = &request.subscribed_topic_names {
        metadata.subscribed_topic_names = names.iter().cloned().collect();
    }
    if let Some(regex) = &request.subscribed_topic_regex {
        metadata.subscribed_topic_regex = Some(regex.clone()).filter(|regex| !regex.is_empty());
    }
    Some(metadata)
}

fn leave(
    group: &mut ConsumerGroup,
    request: &HeartbeatRequest,
    cx: &Context<'_>,
) -> Result<Outcome, HeartbeatRejected> {
    let id = match &request.instance_id {
        None => match group.state.members.get_key_value(request.member_id.as_str()) {
            Some((id, _)) => Arc::clone(id),
            None => return Err(HeartbeatRejected::UnknownMemberId(request.member_id.clone())),
        },
        Some(instance_id) => match group.state.static_member(instance_id) {
            None => return Err(HeartbeatRejected::UnknownInstanceId(instance_id.clone())),
            Some(holder) if **holder != *request.member_id => {
                let (instance_id, owner) = (instance_id.clone(), holder.to_string());
                return Err(HeartbeatRejected::FencedInstanceId { instance_id, owner });
            }
            Some(holder) => Arc::clone(holder),
        },
    };
    let mut changes = Changes::default();
    if request.member_epoch == LEAVE_STATIC_EPOCH {
        if let Some(member) = group.state.members.get(&id) {
            // It closed, so it owns nothing it had to give up. What it has stays reserved until its session ends.
            let current = CurrentAssignment {
                epoch: LEAVE_STATIC_EPOCH,
                pending_revocation: Default::default(),
                ..member.current.clone()
            };
            changes.make(&mut group.state, Change::Current(id.to_string(), Some(current)));
            group.deadlines.clear(&id, Timeout::Rebalance);
        }
    } else {
        group.remove_member(&id, RebalanceReason::Leave, cx.topics, &mut changes);
    }
    let answer = HeartbeatAnswer {
        member_id: id.to_string(),
        member_epoch: request.member_epoch,
        heartbeat_interval_ms: 0,
        assignment: None,
    };
    Ok(Outcome { rows: changes.rows(), answer })
}
