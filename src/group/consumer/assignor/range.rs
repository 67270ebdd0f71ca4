//! `range`: each topic is cut into as many neighbouring ranges as it has subscribers.
//!
//! Members stand in a fixed order, static ones first by instance id, the others by member id, and the first ones get a
//! partition more where the count does not divide. So where all members subscribe to the same topics with equal counts,
//! the same index of each topic goes to the same member: that is what joins of such topics need. It holds still as far as the
//! order does; a member that goes shifts the ranges behind it.

use std::collections::BTreeMap;

use super::{Subscriber, partition, subscribers_by_topic};
use crate::group::consumer::assignment::Partitions;
use crate::types::Uuid;

pub(super) fn assign(members: &[Subscriber<'_>], partition_counts: &BTreeMap<Uuid, i32>) -> Vec<Partitions> {
    let mut targets = vec![Partitions::new(); members.len()];
    let order = |index: &usize| {
        let member = &members[*index];
        (member.instance_id.is_none(), member.instance_id.unwrap_or(member.member_id), member.member_id)
    };
    for (topic, mut subscribers) in subscribers_by_topic(members) {
        let partitions = partition_counts.get(&topic).copied().unwrap_or(0).max(0);
        subscribers.sort_by(|left, right| order(left).cmp(&order(right)));
        let count = i32::try_from(subscribers.len()).expect("members are counted in 32 bits");
        let (share, with_one_more) = (partitions / count, partitions % count);
        let mut next = 0;
        for (place, index) in (0..count).zip(subscribers) {
            let end = next + share + i32::from(place < with_one_more);
            targets[index].extend((next..end).map(|at| partition(topic, at)));
            next = end;
        }
    }
    targets
}
