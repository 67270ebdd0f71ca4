//! Random lives of a group, with clients that lose answers, go silent and come back.
//!
//! After each step: what clients really read is disjoint, the rows tell the state, and deadlines are there for members alone.
//! At the end everybody heartbeats, and within a few rounds everything is assigned exactly once.
//!
//! One thing the protocol cannot keep apart, Kafka's as little as ours: a member that lost an answer may still go over to what it was
//! told before, which the group has meanwhile taken from it, for it reported to own none of it. Until its next answer it reads what
//! another reads too, and none of its commits of that are accepted (KIP-1251), which is what the model asks for then.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::assignment::{Partitions, TopicIdPartition};
use super::super::offsets::{Committer, check_commit};
use super::super::state::GroupPhase;
use super::super::{Assignor, Context, HeartbeatRequest, heartbeat};
use super::script::{World, partitions, text, topic_id};
use crate::types::ErrorCode;

const CLIENTS: usize = 6;
const SUBSCRIPTIONS: &[(&str, &str)] =
    &[("t", ""), ("t,u", ""), ("u", ""), ("", ""), ("", "[tu]"), ("t", "[uv].*"), ("", "w|t")];

#[derive(Debug, Clone)]
enum Step {
    /// A client heartbeats; it has gone over to what it was told, or not yet; the answer reaches it, or not.
    Beat {
        client: usize,
        reconciled: bool,
        answered: bool,
        full: bool,
    },
    Subscribe {
        client: usize,
        subscription: usize,
    },
    Leave {
        client: usize,
        for_a_while: bool,
    },
    /// The process ends without a word. Its successor has another member id, and the same instance id.
    Crash {
        client: usize,
    },
    Grow {
        topic: usize,
    },
    Delete {
        topic: usize,
    },
    Wait {
        ms: i64,
    },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    prop_oneof![
        12 => (client.clone(), any::<bool>(), prop::bool::weighted(0.8), any::<bool>())
            .prop_map(|(client, reconciled, answered, full)| Step::Beat { client, reconciled, answered, full }),
        2 => (client.clone(), 0..SUBSCRIPTIONS.len())
            .prop_map(|(client, subscription)| Step::Subscribe { client, subscription }),
        1 => (client.clone(), any::<bool>()).prop_map(|(client, for_a_while)| Step::Leave { client, for_a_while }),
        1 => client.prop_map(|client| Step::Crash { client }),
        1 => (0..4usize).prop_map(|topic| Step::Grow { topic }),
        1 => (0..4usize).prop_map(|topic| Step::Delete { topic }),
        1 => (0..30_000i64).prop_map(|ms| Step::Wait { ms }),
        1 => Just(Step::Restart),
    ]
}

/// A consumer as the Java client and librdkafka behave: it goes over to what it was told in one piece, what goes before what comes, and
/// reports that afterwards; in between it reports what it had.
#[derive(Debug, Clone, Default)]
struct Client {
    life: usize,
    member_id: String,
    is_static: bool,
    epoch: i32,
    reads: Partitions,
    told: Partitions,
    /// Its last report; none: that was not answered, so the next one is in full.
    reported: Option<Partitions>,
    subscription: usize,
}

impl Client {
    fn born(index: usize, life: usize, subscription: usize) -> Self {
        let member_id = format!("{index}-{life}");
        Self { life, member_id, is_static: index < 2, subscription, ..Self::default() }
    }

    fn begin_anew(&mut self) {
        (self.reads, self.told, self.reported, self.epoch) = Default::default();
    }
}

struct Life {
    world: World,
    clients: Vec<Client>,
}

impl Life {
    fn new() -> Self {
        let mut world = World::new();
        world.settings.max_size = CLIENTS - 1;
        let clients = (0..CLIENTS).map(|index| Client::born(index, 0, index % SUBSCRIPTIONS.len())).collect();
        Self { world, clients }
    }

    fn request(&self, index: usize, full: bool) -> HeartbeatRequest {
        let client = &self.clients[index];
        let full = full || client.epoch == 0 || client.reported.is_none();
        let (names, regex) = SUBSCRIPTIONS[client.subscription];
        HeartbeatRequest {
            group_id: "g".into(),
            member_id: client.member_id.clone(),
            member_epoch: client.epoch,
            instance_id: client.is_static.then(|| format!("i{index}")),
            rebalance_timeout_ms: if full { 10_000 } else { -1 },
            subscribed_topic_names: Some(names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()),
            subscribed_topic_regex: Some(regex.to_owned()),
            topic_partitions: (full || client.reported.as_ref() != Some(&client.reads)).then(|| client.reads.clone()),
            ..Default::default()
        }
    }

    fn send(&mut self, index: usize, request: &HeartbeatRequest, answered: bool) -> ErrorCode {
        let world = &mut self.world;
        let cx = Context { topics: &world.topics, settings: &world.settings, now_ms: world.now_ms };
        let client = &mut self.clients[index];
        client.reported = answered.then(|| client.reads.clone());
        match heartbeat(&mut world.group, request, 1, "", &cx) {
            Ok(outcome) => {
                world.write(outcome.rows);
                if answered {
                    client.epoch = outcome.answer.member_epoch;
                    if let Some(told) = outcome.answer.assignment {
                        client.told = told;
                    }
                }
                ErrorCode::NONE
            }
            Err(rejected) => {
                // Fenced, unknown, or replaced: whatever it was, it reads nothing and begins anew.
                if answered && request.member_epoch != 0 {
                    client.begin_anew();
                }
                rejected.error()
            }
        }
    }

    fn beat(&mut self, index: usize, reconciled: bool, answered: bool, full: bool) -> ErrorCode {
        let client = &mut self.clients[index];
        if reconciled {
            client.reads = client.told.clone();
        }
        let request = self.request(index, full);
        self.send(index, &request, answered)
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Beat { client, reconciled, answered, full } => {
                self.beat(client, reconciled, answered, full);
            }
            Step::Subscribe { client, subscription } => self.clients[client].subscription = subscription,
            Step::Leave { client: index, for_a_while } => {
                let client = &mut self.clients[index];
                let mut request = HeartbeatRequest {
                    group_id: "g".into(),
                    member_id: client.member_id.clone(),
                    member_epoch: if for_a_while && client.is_static { -2 } else { -1 },
                    instance_id: client.is_static.then(|| format!("i{index}")),
                    ..Default::default()
                };
                request.rebalance_timeout_ms = -1;
                *client = Client::born(index, client.life + 1, client.subscription);
                self.send(index, &request, false);
            }
            Step::Crash { client: index } => {
                let client = &mut self.clients[index];
                *client = Client::born(index, client.life + 1, client.subscription);
            }
            Step::Grow { topic } => {
                let name = ["t", "u", "v", "w"][topic];
                let count = self.world.topics.partitions.get(name).copied().unwrap_or(0) + 3;
                self.world.topics.set(name, count.min(12));
            }
            Step::Delete { topic } => {
                self.world.topics.partitions.remove(["t", "u", "v", "w"][topic]);
                self.world.topics.version += 1;
            }
            Step::Wait { ms } => {
                self.world.wait(ms);
            }
            Step::Restart => {
                self.world.run("restart");
            }
        }
        self.audit();
    }

    fn may_commit(&self, client: &Client, partition: &TopicIdPartition) -> bool {
        let committer = Committer {
            member_id: &client.member_id,
            instance_id: None,
            member_epoch: client.epoch,
            is_transactional: false,
            api_version: 9,
        };
        check_commit(self.world.group.state(), &committer).is_ok_and(|scope| scope.covers(partition))
    }

    fn audit(&self) {
        let state = self.world.group.state();
        let mut read_by: BTreeMap<_, &str> = BTreeMap::new();
        for client in &self.clients {
            // Whom the group has given up is a zombie: its commits are refused.
            if !state.members.contains_key(client.member_id.as_str()) {
                continue;
            }
            for partition in &client.reads {
                if client.reported.is_none() && !self.may_commit(client, partition) {
                    continue;
                }
                assert_eq!(state.owner(partition), Some(client.member_id.as_str()), "{partition:?} is read");
                let other = read_by.insert(*partition, &client.member_id);
                assert_eq!(other, None, "{partition:?} is read by {} too", client.member_id);
            }
        }
        let mut targets: BTreeSet<_> = BTreeSet::new();
        for (id, target) in &state.targets {
            assert!(state.members.contains_key(id), "a target of nobody");
            assert!(target.iter().all(|partition| targets.insert(*partition)), "a partition in two targets");
        }
        assert_eq!(self.world.group.deadlines().next().is_some(), !state.members.is_empty(), "members have deadlines");
    }

    /// Everybody heartbeats until nothing is left to do.
    fn settle(&mut self) {
        // Members of earlier lives are given up, the group has room for the others.
        self.world.settings.max_size = CLIENTS;
        self.world.wait(60_000);
        self.audit();
        self.clients.iter_mut().for_each(Client::begin_anew);
        for round in 0.. {
            assert!(round < 8, "not settled: {:#?}", self.world.group.state());
            for index in 0..CLIENTS {
                let code = self.beat(index, true, true, false);
                assert_eq!(code, ErrorCode::NONE);
                self.audit();
            }
            let all_read = self.clients.iter().all(|client| client.reads == client.told);
            if self.world.group.state().phase() == GroupPhase::Stable && all_read && round > 0 {
                break;
            }
        }
        for (topic, count) in &self.world.topics.partitions {
            let state = self.world.group.state();
            let is_subscribed = state.subscribes(topic);
            for partition in partitions(&(0..*count).map(|at| format!("{topic}{at}")).collect::<Vec<_>>().join(",")) {
                let readers: Vec<&Client> =
                    self.clients.iter().filter(|client| client.reads.contains(&partition)).collect();
                assert_eq!(readers.len(), usize::from(is_subscribed), "readers of {partition:?}");
                for reader in readers {
                    let member = &state.members[reader.member_id.as_str()];
                    assert!(state.is_subscribed(member, topic), "{} reads {topic} unasked", reader.member_id);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_partition_has_two_readers_and_everything_settles(steps in prop::collection::vec(step(), 0..120)) {
        let mut life = Life::new();
        steps.iter().for_each(|step| life.run(step));
        life.settle();
    }

    /// Members with equal subscriptions: shares differ by one at most, and who leaves moves nothing but what it had.
    #[test]
    fn equal_members_share_equally_and_stay_where_they_are(
        members in 2usize..9,
        t in 1i32..30,
        u in 0i32..9,
        leaver in 0usize..9,
    ) {
        let mut world = World::new();
        world.settings.max_size = 100;
        world.topics.set("t", t);
        world.topics.set("u", u);
        for member in 0..members {
            world.run(&format!("m{member} 0 names=t,u"));
        }
        let targets = |world: &World| -> BTreeMap<String, Partitions> {
            let members = world.group.state().members.keys();
            members.map(|id| (id.to_string(), world.group.state().targets.get(id).cloned().unwrap_or_default())).collect()
        };
        let before = targets(&world);
        let sizes: Vec<usize> = before.values().map(Partitions::len).collect();
        let (least, most) = (sizes.iter().min().expect("members"), sizes.iter().max().expect("members"));
        prop_assert!(most - least <= 1, "{sizes:?}");
        prop_assert_eq!(sizes.iter().sum::<usize>(), usize::try_from(t + u).expect("positive"));

        let leaver = format!("m{}", leaver % members);
        world.run(&format!("{leaver} -1"));
        let someone = before.keys().find(|id| **id != leaver).expect("another member");
        let epoch = world.group.state().members[someone.as_str()].current.epoch;
        world.run(&format!("{someone} {epoch}"));
        let after = targets(&world);
        for (id, target) in &after {
            let lost: Partitions = before[id].difference(target).copied().collect();
            prop_assert!(lost.is_empty(), "{id} lost {} when {leaver} left", text(&lost));
        }
        prop_assert_eq!(after.values().map(Partitions::len).sum::<usize>(), usize::try_from(t + u).expect("positive"));
    }
}

/// The same with the other assignor.
#[test]
fn range_settles_too() {
    let mut life = Life::new();
    life.world.settings.assignors = vec![Assignor::Range];
    life.world.topics.set("t", 7);
    life.settle();
    let share = |index: usize| -> Vec<_> {
        life.clients[index].reads.iter().filter(|partition| partition.topic_id == topic_id("t")).collect()
    };
    assert!((0..CLIENTS).any(|index| !share(index).is_empty()));
}
