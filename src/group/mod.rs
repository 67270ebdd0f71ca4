//! Groups of consumers: who is a member, in which generation, with which assignment. Pure: time, ids and settings are arguments.
//!
//! [`classic`] is the protocol of JoinGroup and SyncGroup, in which clients assign partitions; [`consumer`] is KIP-848, in which the
//! broker does. [`migration`] leads from one to the other, by way of what clients write to each other ([`embedded`]). Committed
//! offsets are rows of their own (`engine::commit_offsets`); what a group says about who may commit them,
//! and how long they are kept, is here.

pub mod classic;

pub mod consumer;

pub mod embedded;

pub mod migration;

pub mod offsets_partition;

pub mod rebalance_reason;

#[cfg(test)]
mod random;
