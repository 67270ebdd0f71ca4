//! Random lives of a group with members of both protocols, which becomes a consumer group and a classic one again on the way.
//!
//! Clients join, read, commit, go silent, crash and have commits under way that arrive late; the broker restarts at any step from
//! what was stored. After each step: no partition has two owners that could commit, nobody takes back what another one has committed,
//! epochs do not go back while there are members, what is stored tells the group, and nobody was answered twice. At the end those of
//! one protocol are left and share everything once.

#[path = "migration_tests/audit.rs"]
mod audit;
#[path = "migration_tests/clients.rs"]
mod clients;
#[path = "migration_tests/commits.rs"]
mod commits;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use super::*;
use crate::group::classic::{
    Committer, Effects, JoinAnswer, JoinRequest, Leaving, State, SyncAnswer, SyncRequest, Terms, Ticket,
};
use crate::group::consumer::assignment::{Partitions, TopicIdPartition};
use crate::group::consumer::codec::Row;
use crate::group::consumer::offsets::{self, check_commit};
use crate::group::consumer::state::GroupPhase;
use crate::group::consumer::topics::TopicMetadata;
use crate::group::consumer::{Assignor, HeartbeatRejected, HeartbeatRequest, Settings, heartbeat};
use crate::group::random::Random;
use crate::group::rebalance_reason::RebalanceReason;
use crate::types::{ErrorCode, Uuid};

const TOPIC_ID: Uuid = Uuid::from_u128(7);
const PARTITIONS: i32 = 6;
/// Clients of the classic protocol come first.
const CLIENTS: usize = 5;
const CLASSIC_CLIENTS: usize = 3;
const SESSION_MS: u64 = 10_000;

/// One topic.
struct OneTopic;

impl TopicsImage for OneTopic {
    fn version(&self) -> u64 {
        1
    }
    fn topic(&self, name: &str) -> Option<TopicMetadata> {
        (name == "t").then_some(TopicMetadata { id: TOPIC_ID, partitions: PARTITIONS })
    }
    fn name(&self, id: Uuid) -> Option<&str> {
        (id == TOPIC_ID).then_some("t")
    }
    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(["t"].into_iter())
    }
}

/// A group of either protocol.
enum Group {
    Classic(ClassicGroup),
    Consumer(ConsumerGroup),
}

/// What a restart finds.
enum Stored {
    Classic(StoredGroup),
    Consumer(BTreeMap<Vec<u8>, Vec<u8>>),
}

#[derive(Default)]
struct Client {
    life: u64,
    member_id: String,
    /// Generation, or epoch.
    epoch: i32,
    join: Option<Ticket>,
    sync: Option<Ticket>,
    /// What it reads and how far it has come; none until it has been told.
    reads: Option<BTreeMap<i32, u64>>,
    /// What a client of the new protocol was told last.
    told: BTreeSet<i32>,
}

/// A commit on its way.
struct Commit {
    member_id: String,
    epoch: i32,
    offsets: BTreeMap<i32, u64>,
}

struct World {
    random: Random,
    now_ms: u64,
    group: Group,
    stored: Stored,
    clients: Vec<Client>,
    tickets: Ticket,
    joined: BTreeMap<Ticket, JoinAnswer>,
    synced: BTreeMap<Ticket, SyncAnswer>,
    /// Requests that wait, since the last restart.
    waiting: BTreeSet<Ticket>,
    /// By client, in the order in which they were sent: what comes behind on the same connection is not read before.
    under_way: Vec<VecDeque<Commit>>,
    /// The same of connections that have been given up.
    strays: Vec<VecDeque<Commit>>,
    /// How far, and by whom.
    committed: BTreeMap<i32, (u64, String)>,
    upgrades: usize,
    downgrades: usize,
}

fn terms() -> Terms {
    Terms {
        initial_rebalance_delay_ms: 0,
        session_timeout_ms_min: 6000,
        session_timeout_ms_max: 60_000,
        members_max: 100,
    }
}

fn settings() -> Settings {
    Settings {
        session_timeout_ms: 10_000,
        heartbeat_interval_ms: 3000,
        max_size: 100,
        assignors: vec![Assignor::Uniform],
    }
}

/// `ConsumerProtocolSubscription` version 1 to `t`, with what its member owns.
fn subscription(owned: &[i32]) -> Bytes {
    let mut bytes = b"\0\x01\0\0\0\x01\0\x01t\xff\xff\xff\xff\0\0\0\x01\0\x01t".to_vec();
    bytes.extend_from_slice(&(owned.len() as i32).to_be_bytes());
    owned.iter().for_each(|partition| bytes.extend_from_slice(&partition.to_be_bytes()));
    bytes.into()
}

fn assignment(partitions: Vec<i32>) -> Bytes {
    Assignment { partitions: [("t".to_owned(), partitions)].into(), has_user_data: false }.write(1)
}

fn partition(partition: i32) -> TopicIdPartition {
    TopicIdPartition { topic_id: TOPIC_ID, partition }
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            random: Random(seed),
            now_ms: 1000,
            group: Group::Classic(ClassicGroup::default()),
            stored: Stored::Classic(StoredGroup::default()),
            clients: (0..CLIENTS).map(|_| Client::default()).collect(),
            tickets: 0,
            joined: BTreeMap::new(),
            synced: BTreeMap::new(),
            waiting: BTreeSet::new(),
            under_way: (0..CLIENTS).map(|_| VecDeque::new()).collect(),
            strays: Vec::new(),
            committed: BTreeMap::new(),
            upgrades: 0,
            downgrades: 0,
        }
    }

    fn now(&self) -> Now {
        Now { monotonic_ms: self.now_ms, wall: self.now_ms as i64 }
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        self.waiting.insert(self.tickets);
        self.tickets
    }

    /// What the coordinator does around a decision: give way to the other protocol, store, answer.
    fn change<T>(&mut self, decide: impl FnOnce(&mut Group, &Context<'_>, Now, &mut Effects, &mut Vec<Row>) -> T) -> T {
        let (now, settings) = (self.now(), settings());
        let cx = Context { topics: &OneTopic, settings: &settings, now_ms: self.now_ms as i64 };
        let (mut effects, mut rows) = (Effects::default(), Vec::new());
        let was_consumer = matches!(self.group, Group::Consumer(_));
        let epoch_before = self.epoch();
        let decided = decide(&mut self.group, &cx, now, &mut effects, &mut rows);
        let mut downgraded_to = None;
        if let Group::Consumer(group) = &self.group
            && group.state().is_all_classic()
        {
            let is_settled = group.state().phase() == GroupPhase::Stable;
            let mut classic = downgraded(group, &OneTopic, now);
            downgraded_to = Some(classic.to_stored());
            if !is_settled {
                classic.rebalance(now, &terms(), RebalanceReason::Leave, &mut effects);
            }
            self.group = Group::Classic(classic);
            self.downgrades += 1;
        }
        if let Some((before, after)) = epoch_before.zip(self.epoch()) {
            assert!(before <= after, "from {before} back to {after}");
        }
        match &self.group {
            Group::Classic(group) if effects.store => self.stored = Stored::Classic(group.to_stored()),
            Group::Classic(_) => {
                if let Some(stored) = downgraded_to {
                    self.stored = Stored::Classic(stored);
                }
            }
            Group::Consumer(_) => {
                if !was_consumer {
                    self.upgrades += 1;
                    self.stored = Stored::Consumer(BTreeMap::new());
                }
                let Stored::Consumer(kept) = &mut self.stored else { panic!("rows of a consumer group") };
                for row in rows {
                    match row.value {
                        Some(value) => kept.insert(row.key, value),
                        None => kept.remove(&row.key),
                    };
                }
            }
        }
        for (ticket, answer) in effects.joined {
            assert!(self.joined.insert(ticket, answer).is_none(), "answered twice");
            self.waiting.remove(&ticket);
        }
        for (ticket, answer) in effects.synced {
            assert!(self.synced.insert(ticket, answer).is_none(), "answered twice");
            self.waiting.remove(&ticket);
        }
        decided
    }

    /// Generation or group epoch; none without members.
    fn epoch(&self) -> Option<i32> {
        match &self.group {
            Group::Classic(group) => (group.member_count() > 0).then(|| group.generation_id()),
            Group::Consumer(group) => (!group.is_new()).then(|| group.state().epochs.assignment_epoch),
        }
    }

    fn restored(&self) -> Group {
        match &self.stored {
            Stored::Classic(stored) => Group::Classic(ClassicGroup::restore(self.now(), stored.clone())),
            Stored::Consumer(rows) => {
                let changes = rows.iter().map(|(key, value)| Change::of_row(key, value).expect("a row"));
                let state = GroupState::restore(changes).expect("consistent rows");
                Group::Consumer(ConsumerGroup::restored(state, &settings(), self.now_ms as i64))
            }
        }
    }

    fn step(&mut self) {
        let index = self.random.below(CLIENTS as u64) as usize;
        match self.random.below(24) {
            0 => self.crash(index),
            1..=3 if index >= CLASSIC_CLIENTS => self.leave(index),
            1 => self.leave(index),
            2 => self.restart(),
            3 => {
                let ms = self.random.below(SESSION_MS);
                self.pass(ms);
            }
            4 => self.reconnect(index),
            5 | 6 => self.arrive(index),
            7 if index < CLASSIC_CLIENTS => self.join(index),
            _ if index < CLASSIC_CLIENTS => self.go_on(index),
            _ => self.beat(index),
        }
        self.receive();
        self.audit();
    }

    fn crash(&mut self, index: usize) {
        let life = self.clients[index].life + 1;
        self.clients[index] = Client { life, ..Client::default() };
        self.reconnect(index);
    }

    /// What is under way on the connection so far may arrive behind what is sent on the new one.
    fn reconnect(&mut self, index: usize) {
        self.strays.push(std::mem::take(&mut self.under_way[index]));
        self.strays.retain(|commits| !commits.is_empty());
    }

    fn restart(&mut self) {
        self.group = self.restored();
        self.waiting.clear();
        for client in &mut self.clients {
            (client.join, client.sync) = (None, None);
        }
    }

    fn pass(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        loop {
            let next = match &self.group {
                Group::Classic(group) => group.next_deadline_ms(),
                Group::Consumer(group) => group.deadlines().next().map(|at| at as u64),
            };
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now_ms = self.now_ms.max(next);
            self.change(|group, cx, now, effects, rows| match group {
                Group::Classic(group) => group.tick(now, &terms(), effects),
                Group::Consumer(group) => {
                    while let Some(expired) = group.expire(cx) {
                        rows.extend(expired.rows);
                    }
                }
            });
        }
        self.now_ms = end;
    }

    /// Those of the other protocol leave; everybody else goes on until all is shared.
    fn settle(&mut self, classic_stay: bool) {
        self.pass(60_000);
        self.receive();
        assert!(self.waiting.is_empty(), "{:?} are parked for ever", self.waiting);
        for index in 0..CLIENTS {
            if (index < CLASSIC_CLIENTS) != classic_stay {
                self.leave(index);
                self.audit();
            }
        }
        for _ in 0..30 {
            for index in 0..CLIENTS {
                match index < CLASSIC_CLIENTS {
                    true if classic_stay => self.go_on(index),
                    false if !classic_stay => self.beat(index),
                    _ => {}
                }
                self.receive();
                self.audit();
            }
        }
        assert_eq!(matches!(self.group, Group::Classic(_)), classic_stay, "the group is of those who are left");
        let owners = self.owners();
        assert_eq!(owners.len(), PARTITIONS as usize, "all is read: {owners:?}");
    }
}

#[test]
fn groups_change_their_protocol_and_no_partition_has_two_owners() {
    let (mut upgrades, mut downgrades) = (0, 0);
    for seed in 0..60 {
        let life = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..250 {
                world.step();
            }
            world.settle(seed.is_multiple_of(2));
            (world.upgrades, world.downgrades)
        });
        let Ok(life) = life else { panic!("seed {seed} fails") };
        upgrades += life.0;
        downgrades += life.1;
    }
    assert!(upgrades > 40 && downgrades > 40, "{upgrades} upgrades and {downgrades} downgrades");
}

#[test]
fn partitions_that_a_topic_does_not_have_are_not_taken_along() {
    let member = StoredMember {
        member_id: "m".into(),
        instance_id: None,
        client_id: "c".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 20_000,
        protocols: vec![("range".to_owned(), subscription(&[]))],
        assignment: assignment(vec![-1, 0, PARTITIONS - 1, PARTITIONS, i32::MAX]),
    };
    let classic = StoredGroup {
        generation_id: 3,
        protocol_type: Some(PROTOCOL_TYPE.to_owned()),
        members: vec![member],
        ..StoredGroup::default()
    };
    let settings = settings();
    let cx = Context { topics: &OneTopic, settings: &settings, now_ms: 0 };
    let now = Now { monotonic_ms: 0, wall: 0 };
    let group = upgraded(&ClassicGroup::restore(now, classic), &cx).expect("a consumer alone");
    let existing = Partitions::from([partition(0), partition(PARTITIONS - 1)]);
    assert_eq!(group.state().targets["m"], existing);
    assert!(group.state().members["m"].current.assigned.keys().eq(&existing));
}
