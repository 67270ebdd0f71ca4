//! Random schedules of clients over one group with restarts: whatever they do, what a member may rely on holds.

use std::collections::{BTreeMap, BTreeSet};

use super::harness::*;
use crate::group::classic::*;

/// Multiplicative generator: the same seed, the same schedule.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// A client: what it knows of itself, and the request that it waits for.
#[derive(Default)]
struct Client {
    member_id: String,
    generation_id: i32,
    join: Option<Ticket>,
    sync: Option<Ticket>,
    /// Partition numbers that it may work on, with the generation in which it got them.
    owned: Option<(i32, BTreeSet<u8>)>,
    is_paused: bool,
}

const PARTITIONS: u8 = 6;

struct World {
    group: TestGroup,
    clients: Vec<Client>,
    random: Random,
    next_id: u64,
    /// Per generation that was assigned: who owns what.
    owners: BTreeMap<i32, BTreeMap<u8, String>>,
    /// The newest generation of which a member was given its assignment.
    generation_seen: i32,
}

impl World {
    fn new(seed: u64) -> Self {
        let delay = if seed.is_multiple_of(3) { 500 } else { 0 };
        let terms = Terms { initial_rebalance_delay_ms: delay, members_max: 4, ..TestGroup::new().terms };
        Self {
            group: TestGroup::with_terms(terms),
            clients: (0..5).map(|_| Client::default()).collect(),
            random: Random(seed),
            next_id: 0,
            owners: BTreeMap::new(),
            generation_seen: 0,
        }
    }

    fn step(&mut self) {
        let index = self.random.below(self.clients.len() as u64) as usize;
        match self.random.below(20) {
            0 => self.clients[index] = Client::default(),
            1 => self.clients[index].is_paused ^= true,
            2 => self.leave(index),
            3 => self.restart(),
            4 | 5 => {
                let ms = self.random.below(SESSION_MS as u64);
                self.group.pass(ms);
            }
            6 => {
                let ms = self.random.below(200);
                self.group.pass(ms);
            }
            7 => self.join(index),
            _ if self.clients[index].is_paused => {}
            _ => self.go_on(index),
        }
        self.receive();
        self.check();
    }

    /// What a client does next of its own.
    fn go_on(&mut self, index: usize) {
        let client = &self.clients[index];
        if client.join.is_some() || client.sync.is_some() {
            return;
        }
        if client.owned.is_none() {
            return self.join(index);
        }
        let (id, generation) = (client.member_id.clone(), client.generation_id);
        let error = if self.random.below(2) == 0 {
            self.group.heartbeat(&id, generation)
        } else {
            self.group.commit(&id, generation)
        };
        if error == ErrorCode::NONE {
            assert_eq!(self.group.group.generation_id(), generation, "a zombie is served");
        } else {
            self.clients[index].owned = None;
            if error == ErrorCode::UNKNOWN_MEMBER_ID {
                self.clients[index].member_id.clear();
            }
        }
    }

    fn join(&mut self, index: usize) {
        self.next_id += 1;
        let new_id = format!("m{}", self.next_id);
        let known = self.random.below(2) == 0;
        let request = join_of(&self.clients[index].member_id, &new_id);
        let request = if index == 0 {
            JoinRequest { instance_id: Some("static".to_owned()), ..request }
        } else {
            JoinRequest { requires_known_member_id: known, ..request }
        };
        self.clients[index].owned = None;
        self.clients[index].sync = None;
        self.clients[index].join = Some(self.group.join(request));
    }

    fn leave(&mut self, index: usize) {
        let id = std::mem::take(&mut self.clients[index]).member_id;
        if !id.is_empty() {
            self.group.leave(&id);
        }
    }

    /// What was not stored is lost, and nobody who waited is answered.
    fn restart(&mut self) {
        let stored = self.group.stored.clone();
        let now = self.group.now();
        self.group.group = stored.map(|stored| ClassicGroup::restore(now, stored)).unwrap_or_default();
        for client in &mut self.clients {
            (client.join, client.sync) = (None, None);
        }
    }

    fn receive(&mut self) {
        for index in 0..self.clients.len() {
            let join = self.clients[index].join.and_then(|ticket| self.group.joined.remove(&ticket));
            if let Some(answer) = join {
                self.joined(index, answer);
            }
            let sync = self.clients[index].sync.and_then(|ticket| self.group.synced.remove(&ticket));
            if let Some(answer) = sync {
                self.synced(index, answer);
            }
        }
    }

    fn joined(&mut self, index: usize, answer: JoinAnswer) {
        let client = &mut self.clients[index];
        client.join = None;
        match answer.error {
            ErrorCode::NONE | ErrorCode::MEMBER_ID_REQUIRED => client.member_id = answer.member_id.clone(),
            ErrorCode::REBALANCE_IN_PROGRESS => {}
            _ => client.member_id.clear(),
        }
        if answer.error != ErrorCode::NONE || client.is_paused {
            return;
        }
        client.generation_id = answer.generation_id;
        let mut parts: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for (number, partition) in (0..PARTITIONS).enumerate().filter(|_| !answer.members.is_empty()) {
            let member = &answer.members[number % answer.members.len()];
            parts.entry(member.member_id.to_string()).or_default().push(partition);
        }
        let assignments = parts.into_iter().map(|(id, part)| (id, bytes::Bytes::from(part))).collect();
        self.group.tickets += 1;
        let request = SyncRequest {
            ticket: self.group.tickets,
            member_id: answer.member_id,
            instance_id: None,
            generation_id: answer.generation_id,
            protocol_type: None,
            protocol_name: answer.protocol_name,
            assignments,
        };
        self.clients[index].sync = Some(request.ticket);
        self.group.call(|group, now, _, effects| group.sync(now, request, effects));
    }

    fn synced(&mut self, index: usize, answer: SyncAnswer) {
        let client = &mut self.clients[index];
        client.sync = None;
        if answer.error != ErrorCode::NONE {
            if answer.error == ErrorCode::UNKNOWN_MEMBER_ID {
                client.member_id.clear();
            }
            return;
        }
        let part: BTreeSet<u8> = answer.assignment.iter().copied().collect();
        let owners = self.owners.entry(client.generation_id).or_default();
        for partition in &part {
            let owner = owners.entry(*partition).or_insert_with(|| client.member_id.clone());
            let is_heir = index == 0 && self.group.group.static_members.contains_key("static");
            assert!(*owner == client.member_id || is_heir, "{partition} has two owners in {}", client.generation_id);
        }
        assert!(client.generation_id >= self.generation_seen, "generations go back");
        self.generation_seen = client.generation_id;
        client.owned = Some((client.generation_id, part));
    }

    fn check(&self) {
        let group = &self.group.group;
        let waiting = group.members.values().filter(|member| member.join.is_some()).count();
        assert_eq!(waiting, group.awaiting_join);
        assert!(group.next_deadline_ms().is_none_or(|deadline| deadline >= self.group.now_ms), "a deadline has passed");
        match group.state() {
            State::Empty => assert!(group.members.is_empty()),
            State::PreparingRebalance => assert!(group.timers.is_set(&Timer::Join), "nobody ends the wait"),
            State::CompletingRebalance => {
                assert!(group.timers.is_set(&Timer::Sync), "nobody ends the wait");
                assert_eq!(waiting, 0);
            }
            State::Stable => {
                assert_eq!(waiting, 0);
                assert!(group.members.values().all(|member| member.sync.is_none()));
                let all: Vec<u8> =
                    group.members.values().flat_map(|member| member.stored.assignment.to_vec()).collect();
                let distinct: BTreeSet<u8> = all.iter().copied().collect();
                assert_eq!(all.len(), distinct.len(), "a partition has two owners");
                let stored = self.group.stored.as_ref().expect("a stable group is stored");
                assert_eq!(&group.to_stored(), stored, "a restart would find another group");
            }
        }
        let is_known = |id: &MemberId| group.members.contains_key(id);
        assert!(group.pending_sync.iter().all(is_known) && group.static_members.values().all(is_known));
        assert!(group.leader.as_ref().is_none_or(is_known));
        let bytes: usize = group.members.keys().map(|id| group.member_bytes(id)).sum();
        assert!(group.pending.is_empty() == (bytes == group.bytes()) && bytes <= group.bytes());
        let voters: BTreeMap<&str, usize> = group.supported.iter().map(|(name, count)| (&**name, *count)).collect();
        assert_eq!(voters.get("range").copied().unwrap_or(0), group.member_count());
    }
}

fn run(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..400 {
        world.step();
    }
    // Whoever still waits when all is quiet is answered once time is up.
    world.group.pass(10 * 60_000);
    world.receive();
    assert!(world.clients.iter().all(|client| client.join.is_none()), "a join is parked for ever");
}

#[test]
fn random_schedules_keep_what_members_rely_on() {
    for seed in 0..300 {
        if std::panic::catch_unwind(|| run(seed)).is_err() {
            panic!("seed {seed} fails");
        }
    }
}
