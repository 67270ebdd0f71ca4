//! A heartbeat's request and answer, and why it can be refused.

use super::assignment::Partitions;
use super::assignor::Assignor;
use super::member::{JOIN_EPOCH, LEAVE_EPOCH, LEAVE_STATIC_EPOCH};
use super::regex::PatternInvalid;
use super::topics::TopicsImage;
use crate::types::ErrorCode;

/// Most bytes of names, patterns and ids that one member may bring along. Kafka knows no such limit; it is far above any
/// real subscription and keeps one request from staying in memory as long as its member. A constant and no setting: nobody has a
/// reason to turn it, for a request that tells more is too large anyway (frames that carry no records are held to the same
/// size), and how much all members take together is `einmal.group.members.bytes.max`.
pub const MEMBER_TEXT_BYTES_MAX: usize = 1024 * 1024;

/// From this version of the request on, the client chooses the member id.
const CLIENT_CHOOSES_MEMBER_ID_VERSION: i16 = 1;

/// A ConsumerGroupHeartbeat request (key 68). What is none or -1 did not change since the member's last heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeartbeatRequest {
    /// The group.
    pub group_id: String,
    /// The member; empty in version 0 where it joins.
    pub member_id: String,
    /// Its epoch, or [`JOIN_EPOCH`], [`LEAVE_EPOCH`], [`LEAVE_STATIC_EPOCH`].
    pub member_epoch: i32,
    /// `group.instance.id`.
    pub instance_id: Option<String>,
    /// `client.rack`.
    pub rack_id: Option<String>,
    /// From the request's header.
    pub client_id: String,
    /// From the connection.
    pub client_host: String,
    /// In ms.
    pub rebalance_timeout_ms: i32,
    /// Topics by name.
    pub subscribed_topic_names: Option<Vec<String>>,
    /// Topics by pattern; empty: by none any more.
    pub subscribed_topic_regex: Option<String>,
    /// The assignor it prefers.
    pub server_assignor: Option<String>,
    /// What it owns.
    pub topic_partitions: Option<Partitions>,
}

/// The answer to an accepted heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeartbeatAnswer {
    /// The member.
    pub member_id: String,
    /// Its epoch from now on.
    pub member_epoch: i32,
    /// When it should come again, in ms; 0 to one that leaves.
    pub heartbeat_interval_ms: i32,
    /// What it may read; none: as it was told last.
    pub assignment: Option<Partitions>,
}

/// What a group's decisions depend on besides its state.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The topics as they are.
    pub topics: &'a dyn TopicsImage,
    /// The settings of the group.
    pub settings: &'a Settings,
    /// Now, in ms of a clock that never goes back.
    pub now_ms: i64,
}

/// Settings of a group, those of the broker or the group's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `group.consumer.session.timeout.ms`.
    pub session_timeout_ms: i32,
    /// `group.consumer.heartbeat.interval.ms`.
    pub heartbeat_interval_ms: i32,
    /// `group.consumer.max.size`: most members.
    pub max_size: usize,
    /// `group.consumer.assignors`; not empty, the first is the default.
    pub assignors: Vec<Assignor>,
}

/// Why a heartbeat is refused. The group is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeartbeatRejected {
    /// A field is missing, empty, too large or contradicts another.
    #[error("{0}")]
    InvalidRequest(&'static str),
    /// The assignor is not among the broker's.
    #[error("ServerAssignor {name} is not supported. Supported assignors: {supported}.")]
    UnsupportedAssignor {
        /// Of the request.
        name: String,
        /// Names of those that are, with commas between them.
        supported: String,
    },
    /// The topic pattern does not compile.
    #[error(transparent)]
    InvalidRegularExpression(#[from] PatternInvalid),
    /// What this pattern matches has to be found out first: no answer to a client.
    #[error("it is not known yet which topics the pattern {0} matches")]
    Unmatched(String),
    /// There is no such group, and only joining makes one.
    #[error("group {0} not found")]
    GroupIdNotFound(String),
    /// The group is one of the classic protocol, and stays so.
    #[error("Group {0} is not a consumer group.")]
    NotAConsumerGroup(String),
    /// Groups take all the memory that they may.
    #[error("groups have no more memory: see einmal.group.members.bytes.max")]
    NoMemory,
    /// The group is full.
    #[error("the group has its maximum of {0} members")]
    GroupMaxSizeReached(usize),
    /// No member has this id.
    #[error("member {0} is not a member of the group")]
    UnknownMemberId(String),
    /// No member has this instance id.
    #[error("instance id {0} is unknown")]
    UnknownInstanceId(String),
    /// The member's epoch is not its current one: it was fenced, or it is a zombie.
    #[error("member epoch {received} does not fit the current epoch {current}: give up all partitions and join again")]
    FencedMemberEpoch {
        /// Of the request.
        received: i32,
        /// Of the member.
        current: i32,
    },
    /// Another member with the same instance id is in the group and has not left.
    #[error("instance id {instance_id} is held by member {owner}")]
    UnreleasedInstanceId {
        /// Of the request.
        instance_id: String,
        /// Who holds it.
        owner: String,
    },
    /// Another member took over the instance id.
    #[error("instance id {instance_id} was taken over by member {owner}")]
    FencedInstanceId {
        /// Of the request.
        instance_id: String,
        /// Who holds it.
        owner: String,
    },
}

impl HeartbeatRejected {
    /// Code for the wire.
    pub fn error(&self) -> ErrorCode {
        match self {
            Self::InvalidRequest(_) => ErrorCode::INVALID_REQUEST,
            Self::UnsupportedAssignor { .. } => ErrorCode::UNSUPPORTED_ASSIGNOR,
            Self::InvalidRegularExpression(_) => ErrorCode::INVALID_REGULAR_EXPRESSION,
            Self::GroupIdNotFound(_) | Self::NotAConsumerGroup(_) => ErrorCode::GROUP_ID_NOT_FOUND,
            Self::Unmatched(_) => ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
            Self::GroupMaxSizeReached(_) | Self::NoMemory => ErrorCode::GROUP_MAX_SIZE_REACHED,
            Self::UnknownMemberId(_) | Self::UnknownInstanceId(_) => ErrorCode::UNKNOWN_MEMBER_ID,
            Self::FencedMemberEpoch { .. } => ErrorCode::FENCED_MEMBER_EPOCH,
            Self::UnreleasedInstanceId { .. } => ErrorCode::UNRELEASED_INSTANCE_ID,
            Self::FencedInstanceId { .. } => ErrorCode::FENCED_INSTANCE_ID,
        }
    }
}

/// Checks what can be checked without the group, in Kafka's order
/// (`GroupCoordinatorService.throwIfConsumerGroupHeartbeatRequestIsInvalid`).
///
/// # Errors
/// INVALID_REQUEST or UNSUPPORTED_ASSIGNOR.
pub fn check(request: &HeartbeatRequest, api_version: i16, settings: &Settings) -> Result<(), HeartbeatRejected> {
    let refuse = |reason| Err(HeartbeatRejected::InvalidRequest(reason));
    let is_empty = |text: &Option<String>| text.as_ref().is_some_and(String::is_empty);
    let needs_member_id = api_version >= CLIENT_CHOOSES_MEMBER_ID_VERSION
        || request.member_epoch > JOIN_EPOCH
        || request.member_epoch == LEAVE_EPOCH;
    if needs_member_id && request.member_id.is_empty() {
        return refuse("the member id is empty");
    }
    if request.group_id.is_empty() {
        return refuse("the group id is empty");
    }
    if is_empty(&request.instance_id) {
        return refuse("the instance id is empty");
    }
    if is_empty(&request.rack_id) {
        return refuse("the rack id is empty");
    }
    match request.member_epoch {
        JOIN_EPOCH => {
            if request.rebalance_timeout_ms == -1 {
                return refuse("a join has no rebalance timeout");
            }
            if !request.topic_partitions.as_ref().is_some_and(Partitions::is_empty) {
                return refuse("a join does not say that the member owns no partitions");
            }
            if request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none() {
                return refuse("a join subscribes to neither names nor a pattern");
            }
        }
        LEAVE_STATIC_EPOCH if request.instance_id.is_none() => {
            return refuse("a static leave has no instance id");
        }
        epoch if epoch < LEAVE_STATIC_EPOCH => return refuse("the member epoch is below -2"),
        _ => {}
    }
    match &request.server_assignor {
        Some(name) if !settings.assignors.iter().any(|assignor| assignor.name() == name) => {
            let supported: Vec<_> = settings.assignors.iter().map(|assignor| assignor.name()).collect();
            Err(HeartbeatRejected::UnsupportedAssignor { name: name.clone(), supported: supported.join(", ") })
        }
        _ => Ok(()),
    }
}
