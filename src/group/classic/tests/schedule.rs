//! Random schedules of clients over one group with restarts: whatever they do, what a member may rely on holds.
//!
//! Clients join, read, commit, go silent past their session and come back as zombies, crash, and have commits under way that
//! arrive late, also after the crash. The broker restarts at any step from what was stored.
//!
//! After each step: no partition has two owners in one generation, no commit takes a partition's offset back, what is stored tells the
//! group as it is, and somebody ends every wait. At the end every request that waited was answered, and none of them twice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::harness::*;
use crate::group::classic::*;
use crate::group::random::Random;

/// A client: what it knows of itself, and the request that it waits for.
#[derive(Default)]
struct Client {
    member_id: String,
    generation_id: i32,
    join: Option<Ticket>,
    sync: Option<Ticket>,
    /// Partition numbers that it may work on, with the generation in which it got them.
    owned: Option<(i32, BTreeSet<u8>)>,
    /// How far it has read what it owns.
    read: BTreeMap<u8, u64>,
    is_paused: bool,
}

/// A commit on its way.
struct Commit {
    member_id: String,
    instance_id: Option<&'static str>,
    generation_id: i32,
    offsets: BTreeMap<u8, u64>,
}

const PARTITIONS: u8 = 6;

struct World {
    group: TestGroup,
    clients: Vec<Client>,
    random: Random,
    next_id: u64,
    /// Per generation that was assigned: who owns what.
    owners: BTreeMap<i32, BTreeMap<u8, String>>,
    /// The newest generation that a member was told of.
    generation_seen: i32,
    /// By client, in the order in which they were sent: what comes behind on the same connection is not read before.
    under_way: Vec<VecDeque<Commit>>,
    /// The same of connections that have been given up.
    strays: Vec<VecDeque<Commit>>,
    committed: BTreeMap<u8, u64>,
    /// Requests that wait, since the last restart.
    waiting: BTreeSet<Ticket>,
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
            under_way: (0..5).map(|_| VecDeque::new()).collect(),
            strays: Vec::new(),
            committed: BTreeMap::new(),
            waiting: BTreeSet::new(),
        }
    }

    fn step(&mut self) {
        let index = self.random.below(self.clients.len() as u64) as usize;
        match self.random.below(20) {
            0 => {
                self.crash(index);
            }
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
            8 => self.arrive(index),
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
        let instance_id = self.instance_id(index);
        let error = if self.random.below(2) == 0 {
            self.group.call(|group, now, _, _| group.heartbeat(now, &id, instance_id, generation))
        } else {
            self.read_on(index);
            if self.random.below(3) == 0 {
                return;
            }
            self.all_arrive(index)
        };
        if error == ErrorCode::NONE {
            assert_eq!(self.group.group.generation_id(), generation, "a zombie is served");
        } else {
            self.clients[index].owned = None;
            if error == ErrorCode::UNKNOWN_MEMBER_ID || error == ErrorCode::FENCED_INSTANCE_ID {
                self.clients[index].member_id.clear();
            }
        }
    }

    /// The first client is a static member.
    fn instance_id(&self, index: usize) -> Option<&'static str> {
        (index == 0).then_some("static")
    }

    /// Reads some of all that it owns, and sends how far it has come.
    fn read_on(&mut self, index: usize) {
        let records = self.random.below(5);
        let instance_id = self.instance_id(index);
        let client = &mut self.clients[index];
        client.read.values_mut().for_each(|offset| *offset += records);
        let commit = Commit {
            member_id: client.member_id.clone(),
            instance_id,
            generation_id: client.generation_id,
            offsets: client.read.clone(),
        };
        self.under_way[index].push_back(commit);
    }

    fn crash(&mut self, index: usize) -> Client {
        self.strays.push(std::mem::take(&mut self.under_way[index]));
        self.strays.retain(|commits| !commits.is_empty());
        std::mem::take(&mut self.clients[index])
    }

    fn all_arrive(&mut self, index: usize) -> ErrorCode {
        let mut last = ErrorCode::NONE;
        while let Some(commit) = self.under_way[index].pop_front() {
            last = self.commit(&commit);
        }
        last
    }

    /// What somebody sent arrives, perhaps long after it has gone.
    fn arrive(&mut self, index: usize) {
        let count = self.strays.len();
        let queue = if count > 0 { self.strays.get_mut(index % count) } else { self.under_way.get_mut(index) };
        if let Some(commit) = queue.and_then(VecDeque::pop_front) {
            self.commit(&commit);
        }
    }

    fn commit(&mut self, commit: &Commit) -> ErrorCode {
        let Commit { member_id, instance_id, generation_id, offsets } = commit;
        let committer = Committer { member_id, instance_id: *instance_id, generation_id: *generation_id };
        if let Err(error) = self.group.call(|group, now, _, _| group.check_commit(now, committer)) {
            return error;
        }
        for (partition, offset) in offsets {
            let before = self.committed.insert(*partition, *offset).unwrap_or(0);
            assert!(before <= *offset, "{partition} goes back from {before} to {offset}");
        }
        ErrorCode::NONE
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
        let ticket = self.group.join(request);
        self.waiting.insert(ticket);
        self.clients[index].join = Some(ticket);
    }

    fn leave(&mut self, index: usize) {
        let id = self.crash(index).member_id;
        if !id.is_empty() {
            self.group.leave(&id);
        }
    }

    /// What was not stored is lost, and nobody who waited is answered.
    fn restart(&mut self) {
        let stored = self.group.stored.clone();
        let now = self.group.now();
        self.group.group = stored.map(|stored| ClassicGroup::restore(now, stored)).unwrap_or_default();
        self.waiting.clear();
        for client in &mut self.clients {
            (client.join, client.sync) = (None, None);
        }
    }

    fn receive(&mut self) {
        let group = &self.group;
        self.waiting.retain(|ticket| !group.joined.contains_key(ticket) && !group.synced.contains_key(ticket));
        for index in 0..self.clients.len() {
            let join = self.clients[index].join.and_then(|ticket| self.group.joined.remove(&ticket));
            if let Some(answer) = join {
                self.joined(index, answer);
            }
            let group = &mut self.group;
            let sync = self.clients[index].sync.and_then(|ticket| group.synced.remove(&ticket));
            self.waiting.retain(|ticket| sync.is_none() || self.clients[index].sync != Some(*ticket));
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
        assert!(answer.generation_id >= self.generation_seen, "a generation is given twice");
        self.generation_seen = answer.generation_id;
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
            instance_id: self.instance_id(index).map(str::to_owned),
            generation_id: answer.generation_id,
            protocol_type: None,
            protocol_name: answer.protocol_name,
            assignments,
        };
        self.waiting.insert(request.ticket);
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
        assert!(client.generation_id <= self.generation_seen, "an assignment of a generation that nobody was told of");
        self.all_arrive(index);
        let client = &mut self.clients[index];
        client.read = part.iter().map(|at| (*at, self.committed.get(at).copied().unwrap_or(0))).collect();
        client.owned = Some((client.generation_id, part));
    }

    fn check(&self) {
        let group = &self.group.group;
        let waiting = group.members.values().filter(|member| member.join.is_some()).count();
        assert_eq!(waiting, group.awaiting_join);
        assert!(group.next_deadline_ms().is_none_or(|deadline| deadline >= self.group.now_ms), "a deadline has passed");
        match group.state() {
            State::Empty => {
                assert!(group.members.is_empty());
                let stored = self.group.stored.clone().unwrap_or_default();
                assert_eq!(group.to_stored().generation_id, stored.generation_id, "a restart would find another group");
            }
            State::PreparingRebalance => assert!(group.timers.is_set(&Timer::Join), "nobody ends the wait"),
            State::CompletingRebalance => {
                assert!(group.timers.is_set(&Timer::Sync), "nobody ends the wait");
                assert_eq!(waiting, 0);
                self.check_stored();
            }
            State::Stable => {
                assert_eq!(waiting, 0);
                assert!(group.members.values().all(|member| member.sync.is_none()));
                let all: Vec<u8> =
                    group.members.values().flat_map(|member| member.stored.assignment.to_vec()).collect();
                let distinct: BTreeSet<u8> = all.iter().copied().collect();
                assert_eq!(all.len(), distinct.len(), "a partition has two owners");
                self.check_stored();
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

impl World {
    /// A restart finds the group as its members know it.
    fn check_stored(&self) {
        let group = &self.group.group;
        let stored = self.group.stored.as_ref().expect("what members were told is stored");
        assert_eq!(&group.to_stored(), stored, "a restart would find another group");
        let restored = ClassicGroup::restore(self.group.now(), stored.clone());
        assert_eq!((restored.state(), &restored.to_stored()), (group.state(), stored));
    }
}

fn run(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..400 {
        world.step();
    }
    // Whoever still waits when all is quiet is answered once time is up, and so is what that makes clients ask.
    for _ in 0..4 {
        world.group.pass(10 * 60_000);
        world.receive();
    }
    assert!(world.waiting.is_empty(), "{:?} are parked for ever", world.waiting);
}

#[test]
fn random_schedules_keep_what_members_rely_on() {
    for seed in 0..300 {
        if std::panic::catch_unwind(|| run(seed)).is_err() {
            panic!("seed {seed} fails");
        }
    }
}
