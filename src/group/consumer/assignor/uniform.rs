//! `uniform`: shares differ by one partition at most, and as much as possible stays where it is. Balance goes first.
//!
//! Where all members subscribe to the same topics, shares are known beforehand and one pass over members and partitions does.
//! Else partitions go to the subscriber with the fewest, topics with the fewest subscribers per partition first, and
//! afterwards move from the fullest to the emptiest subscriber of each topic while that evens out. There a difference can stay
//! that only a chain of moves over several topics would remove, as in Kafka.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Subscriber, partition, subscribers_by_topic};
use crate::group::consumer::assignment::{Partitions, TopicIdPartition};
use crate::types::Uuid;

/// Rounds over all topics that even out shares of different subscriptions. One does where subscriptions overlap simply; each
/// further one about halves what is left, so the limit bounds time, not quality.
const BALANCING_ROUNDS_MAX: usize = 16;

pub(super) fn assign(members: &[Subscriber<'_>], partition_counts: &BTreeMap<Uuid, i32>) -> Vec<Partitions> {
    if members.windows(2).all(|pair| pair[0].topics == pair[1].topics) {
        homogeneous(members, partition_counts)
    } else {
        heterogeneous(members, partition_counts)
    }
}

/// All partitions of `topic`.
fn partitions_of(topic: Uuid, partition_counts: &BTreeMap<Uuid, i32>) -> impl Iterator<Item = TopicIdPartition> {
    (0..partition_counts.get(&topic).copied().unwrap_or(0)).map(move |index| partition(topic, index))
}

/// Whether `kept` may stay with `member`: it is subscribed and the partition still exists.
fn may_keep(member: &Subscriber<'_>, kept: &TopicIdPartition, partition_counts: &BTreeMap<Uuid, i32>) -> bool {
    let exists = partition_counts.get(&kept.topic_id).is_some_and(|count| kept.partition < *count);
    exists && member.topics.contains(&kept.topic_id)
}

fn homogeneous(members: &[Subscriber<'_>], partition_counts: &BTreeMap<Uuid, i32>) -> Vec<Partitions> {
    let Some(first) = members.first() else { return Vec::new() };
    let all: Vec<TopicIdPartition> =
        first.topics.iter().flat_map(|topic| partitions_of(*topic, partition_counts)).collect();
    let share = all.len() / members.len();
    // How many members get one more than the share.
    let mut with_one_more = all.len() % members.len();
    let mut taken: BTreeSet<TopicIdPartition> = BTreeSet::new();
    let mut targets: Vec<Partitions> = Vec::with_capacity(members.len());
    for member in members {
        let may_keep = |kept: &&TopicIdPartition| may_keep(member, kept, partition_counts) && !taken.contains(kept);
        let mut kept: Partitions = member.previous.iter().filter(may_keep).take(share + 1).copied().collect();
        if kept.len() > share {
            if with_one_more > 0 {
                with_one_more -= 1;
            } else {
                kept.pop_last();
            }
        }
        taken.extend(&kept);
        targets.push(kept);
    }
    let mut free = all.into_iter().filter(|partition| !taken.contains(partition));
    // In turns, so that each topic spreads over many members.
    let mut open: Vec<usize> = (0..members.len()).filter(|index| targets[*index].len() < share).collect();
    while !open.is_empty() {
        open.retain(|index| {
            targets[*index].extend(free.next());
            targets[*index].len() < share
        });
    }
    let at_share: Vec<usize> = (0..members.len()).filter(|index| targets[*index].len() == share).collect();
    for (index, partition) in at_share.into_iter().zip(free) {
        targets[index].insert(partition);
    }
    targets
}

/// Targets that are being made, with the count of each and the owner of each partition.
struct Shares {
    counts: Vec<usize>,
    owners: HashMap<TopicIdPartition, usize>,
}

fn heterogeneous(members: &[Subscriber<'_>], partition_counts: &BTreeMap<Uuid, i32>) -> Vec<Partitions> {
    let mut shares = Shares { counts: vec![0; members.len()], owners: HashMap::new() };
    for (index, member) in members.iter().enumerate() {
        for kept in member.previous.iter().filter(|kept| may_keep(member, kept, partition_counts)) {
            if let Entry::Vacant(vacant) = shares.owners.entry(*kept) {
                vacant.insert(index);
                shares.counts[index] += 1;
            }
        }
    }
    let subscribers = subscribers_by_topic(members);
    let mut topics: Vec<(&Uuid, &Vec<usize>)> = subscribers.iter().collect();
    topics.sort_by_key(|(topic, subscribers)| {
        let partitions = i64::from(partition_counts.get(*topic).copied().unwrap_or(0));
        // Few subscribers for many partitions first: those have the least choice. The id makes the order total.
        let count = i64::try_from(subscribers.len()).unwrap_or(i64::MAX);
        (-(partitions.saturating_mul(1 << 20) / count), count, **topic)
    });
    for (topic, subscribers) in &topics {
        shares.hand_out(**topic, subscribers, partition_counts);
    }
    for _ in 0..BALANCING_ROUNDS_MAX {
        let mut moved = false;
        for (topic, subscribers) in &topics {
            moved |= shares.even_out(**topic, subscribers, partition_counts);
        }
        if !moved {
            break;
        }
    }
    let mut targets = vec![Partitions::new(); members.len()];
    for (partition, owner) in shares.owners {
        targets[owner].insert(partition);
    }
    targets
}

impl Shares {
    /// Gives partitions of `topic` that nobody has to the subscribers with the fewest.
    fn hand_out(&mut self, topic: Uuid, subscribers: &[usize], partition_counts: &BTreeMap<Uuid, i32>) {
        let mut by_count: BTreeSet<(usize, usize)> =
            subscribers.iter().map(|member| (self.counts[*member], *member)).collect();
        for partition in partitions_of(topic, partition_counts) {
            if self.owners.contains_key(&partition) {
                continue;
            }
            let Some((count, member)) = by_count.pop_first() else { return };
            self.owners.insert(partition, member);
            self.counts[member] = count + 1;
            by_count.insert((count + 1, member));
        }
    }

    /// Moves partitions of `topic` from the fullest to the emptiest subscribers while that evens out. Whether it moved any.
    fn even_out(&mut self, topic: Uuid, subscribers: &[usize], partition_counts: &BTreeMap<Uuid, i32>) -> bool {
        let mut of_topic: HashMap<usize, Vec<TopicIdPartition>> = HashMap::new();
        for partition in partitions_of(topic, partition_counts) {
            if let Some(owner) = self.owners.get(&partition) {
                of_topic.entry(*owner).or_default().push(partition);
            }
        }
        let mut by_count: BTreeSet<(usize, usize)> =
            subscribers.iter().map(|member| (self.counts[*member], *member)).collect();
        let mut givers: BTreeSet<(usize, usize)> =
            of_topic.keys().map(|member| (self.counts[*member], *member)).collect();
        let mut moved = false;
        while let (Some(&(fewest, to)), Some(&(most, from))) = (by_count.first(), givers.last()) {
            if most < fewest + 2 {
                break;
            }
            givers.remove(&(most, from));
            by_count.remove(&(most, from));
            by_count.remove(&(fewest, to));
            let was_giver = givers.remove(&(fewest, to));
            if let Some(partition) = of_topic.get_mut(&from).and_then(Vec::pop) {
                self.owners.insert(partition, to);
                // Not offered again: what has moved stays, or two members would exchange it for ever.
                self.counts[from] = most - 1;
                self.counts[to] = fewest + 1;
                moved = true;
            }
            by_count.insert((self.counts[from], from));
            by_count.insert((self.counts[to], to));
            if of_topic.get(&from).is_some_and(|left| !left.is_empty()) {
                givers.insert((self.counts[from], from));
            }
            if was_giver {
                givers.insert((self.counts[to], to));
            }
        }
        moved
    }
}
