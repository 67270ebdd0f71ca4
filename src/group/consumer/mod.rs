//! Consumer groups of KIP-848: the broker decides who reads what, and moves members there one heartbeat at a time.
//!
//! A member tells in its heartbeats what it subscribes to and what it owns. From the subscriptions an [`Assignor`] makes
//! *targets*; each change of members, subscriptions or subscribed topics raises the *group epoch* and makes new ones. Each
//! member moves to its target on its own: it is told to give up what it should not have, and gets the rest once the others have
//! given it up. Its *member epoch* says which target it has reached. So a rebalance stops nobody who is not concerned.
//!
//! ```text
//!                    ┌──────────── target reached, nothing to wait for ───────────┐
//!                    ▼                                                            │
//!   join ──────► Stable ── newer target, something to give up ──► UnrevokedPartitions
//!                 │  ▲                                              │         │
//!                 │  └── last one became free ──┐       given up, others own  │ not given up in time:
//!                 └── newer target, others ──► UnreleasedPartitions ◄─┘       ▼ the member is removed
//!                     still own some of it
//! ```
//!
//! | Module | Holds |
//! |---|---|
//! | [`assignment`] | sets of partitions |
//! | [`member`] | a member: what it asked for, what it has |
//! | [`change`], [`codec`] | what a decision changes, and the rows that keep it |
//! | [`state`] | the group, moved by changes alone |
//! | [`regex`], [`topics`] | topic patterns, and what a group sees of topics |
//! | [`assignor`] | `uniform` and `range` |
//! | [`reconcile`] | one step of a member towards its target |
//! | [`request`], [`heartbeat`](mod@heartbeat) | ConsumerGroupHeartbeat |
//! | [`classic`] | members that still speak the classic protocol |
//! | [`deadlines`] | when a member is given up |
//! | [`group`] | all of it together |
//! | [`offsets`] | who may commit and fetch |
//!
//! Mirrors `ConsumerGroup`, `GroupMetadataManager`, `CurrentAssignmentBuilder` and the assignors of Kafka 4.3. How a group
//! comes from the classic protocol and goes back to it is [`super::migration`].

pub mod assignment;

pub mod member;

pub mod change;

pub mod codec;

pub mod state;

pub mod regex;

pub mod topics;

pub mod assignor;

pub mod reconcile;

pub mod request;

mod settle;

pub mod heartbeat;

pub mod classic;

pub mod deadlines;

pub mod group;

pub mod offsets;

pub use assignor::Assignor;
pub use group::{ConsumerGroup, Expired, Outcome};
pub use heartbeat::{check_upgrading, heartbeat};
pub use request::{Context, HeartbeatAnswer, HeartbeatRejected, HeartbeatRequest, Settings};
pub use state::GroupState;

#[cfg(test)]
mod tests;
