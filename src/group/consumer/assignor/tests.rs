//! Both assignors on small groups written out, and their promises on random ones.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::group::consumer::tests::script::{partitions, text, topic_id};

/// Members as `id: topics: previous`, topics as `t=4,u=2`; the targets as `id: partitions`.
#[track_caller]
fn check(assignor: Assignor, counts: &str, members: &[(&str, &str, &str)], expected: &[&str]) {
    let counts = counts
        .split(',')
        .map(|topic| topic.split_once('=').expect("topic=count"))
        .map(|(topic, count)| (topic_id(topic), count.parse().expect("a count")))
        .collect();
    let previous: Vec<Partitions> = members.iter().map(|(_, _, previous)| partitions(previous)).collect();
    let members: Vec<Subscriber<'_>> = members
        .iter()
        .zip(&previous)
        .map(|((id, topics, _), previous)| {
            let (member_id, instance_id) =
                id.split_once('/').map_or((*id, None), |(id, instance)| (id, Some(instance)));
            let topics = topics.chars().map(|topic| topic_id(&topic.to_string())).collect();
            Subscriber { member_id, instance_id, topics, previous }
        })
        .collect();
    let targets = assignor.assign(&members, &counts);
    assert_eq!(targets.iter().map(text).collect::<Vec<_>>(), expected);
}

#[test]
fn uniform_shares_equally_and_keeps_what_it_can() {
    use Assignor::Uniform;
    check(Uniform, "t=4", &[], &[]);
    check(Uniform, "t=4", &[("a", "t", "")], &["t0,t1,t2,t3"]);
    check(Uniform, "t=4,u=2", &[("a", "tu", ""), ("b", "tu", "")], &["t0,t2,u0", "t1,t3,u1"]);
    check(Uniform, "t=3", &[("a", "t", "t0,t1,t2"), ("b", "t", "")], &["t0,t1", "t2"]);
    check(Uniform, "t=3", &[("a", "t", ""), ("b", "t", "t0,t1,t2")], &["t2", "t0,t1"]);
    check(Uniform, "t=1", &[("a", "t", ""), ("b", "t", "t0"), ("c", "t", "")], &["", "t0", ""]);
    // What is not there any more, or not subscribed, is not kept.
    check(Uniform, "t=2", &[("a", "t", "t3,u0"), ("b", "t", "t1")], &["t0", "t1"]);
}

#[test]
fn uniform_weighs_different_subscriptions() {
    use Assignor::Uniform;
    check(Uniform, "t=4,u=4", &[("a", "tu", ""), ("b", "u", "")], &["t0,t1,t2,t3", "u0,u1,u2,u3"]);
    check(Uniform, "t=2,u=4", &[("a", "t", ""), ("b", "tu", ""), ("c", "u", "")], &["t0,t1", "u0,u2", "u1,u3"]);
    check(Uniform, "t=4,u=2", &[("a", "tu", "t0,t1,t2,t3,u0,u1"), ("b", "u", "")], &["t0,t1,t2,t3", "u0,u1"]);
    check(Uniform, "t=2", &[("a", "t", ""), ("b", "", "t0")], &["t0,t1", ""]);
}

#[test]
fn range_cuts_each_topic_in_the_order_of_members() {
    use Assignor::Range;
    check(Range, "t=3,u=3", &[("a", "tu", ""), ("b", "tu", "")], &["t0,t1,u0,u1", "t2,u2"]);
    check(Range, "t=3,u=2", &[("a", "tu", ""), ("b", "u", "")], &["t0,t1,t2,u0", "u1"]);
    check(Range, "t=1", &[("a", "t", ""), ("b", "t", "")], &["t0", ""]);
    // Static members first, by instance id: a new member id moves nothing.
    check(Range, "t=3", &[("a", "t", ""), ("b/2", "t", ""), ("c/1", "t", "")], &["t2", "t1", "t0"]);
    check(Range, "t=3", &[("a", "t", ""), ("b/1", "t", ""), ("c/2", "t", "")], &["t2", "t0", "t1"]);
}

proptest! {
    /// Each partition with a subscriber has one subscriber as its only owner, from any previous targets, and a second run
    /// moves nothing.
    #[test]
    fn every_partition_goes_to_one_subscriber(
        counts in prop::collection::vec(0i32..12, 1..5),
        subscriptions in prop::collection::vec(prop::collection::btree_set(0usize..5, 0..5), 1..8),
        previous in prop::collection::vec((0usize..5, 0i32..14, 0usize..8), 0..60),
        range in any::<bool>(),
    ) {
        let names = ["t", "u", "v", "w", "x"];
        let counts: BTreeMap<Uuid, i32> =
            counts.into_iter().enumerate().map(|(index, count)| (topic_id(names[index]), count)).collect();
        let mut so_far = vec![Partitions::new(); subscriptions.len()];
        let mut owned = BTreeSet::new();
        for (topic, index, owner) in previous {
            let partition = partition(topic_id(names[topic]), index);
            if owned.insert(partition) {
                so_far[owner % subscriptions.len()].insert(partition);
            }
        }
        let ids: Vec<String> = (0..subscriptions.len()).map(|index| format!("m{index}")).collect();
        let topics: Vec<BTreeSet<Uuid>> = subscriptions
            .iter()
            .map(|topics| topics.iter().map(|topic| topic_id(names[*topic])).filter(|id| counts.contains_key(id)).collect())
            .collect();
        let members = |so_far: &'_ [Partitions]| -> Vec<Partitions> {
            let members: Vec<Subscriber<'_>> = ids
                .iter()
                .zip(&topics)
                .zip(so_far)
                .map(|((id, topics), previous)| Subscriber {
                    member_id: id,
                    instance_id: None,
                    topics: topics.clone(),
                    previous,
                })
                .collect();
            let assignor = if range { Assignor::Range } else { Assignor::Uniform };
            assignor.assign(&members, &counts)
        };
        let targets = members(&so_far);
        for (topic, count) in &counts {
            let subscribed = topics.iter().any(|topics| topics.contains(topic));
            for index in 0..*count {
                let owners: Vec<usize> = (0..targets.len())
                    .filter(|owner| targets[*owner].contains(&partition(*topic, index)))
                    .collect();
                prop_assert_eq!(owners.len(), usize::from(subscribed));
                prop_assert!(owners.iter().all(|owner| topics[*owner].contains(topic)));
            }
        }
        let all: usize = targets.iter().map(Partitions::len).sum();
        let expected: i32 = counts.iter().filter(|(topic, _)| topics.iter().any(|of| of.contains(topic))).map(|(_, count)| count).sum();
        prop_assert_eq!(all, usize::try_from(expected).expect("positive"));
        prop_assert_eq!(members(&targets), targets);
    }
}
