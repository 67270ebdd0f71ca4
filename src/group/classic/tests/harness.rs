use std::collections::HashMap;

use bytes::Bytes;

use crate::group::classic::*;
use crate::group::rebalance_reason::RebalanceReason;

pub const SESSION_MS: i32 = 10_000;
pub const REBALANCE_MS: i32 = 60_000;

/// A group with its clock, and every answer that came so far.
pub struct TestGroup {
    pub group: ClassicGroup,
    pub terms: Terms,
    pub now_ms: u64,
    pub tickets: Ticket,
    pub joined: HashMap<Ticket, JoinAnswer>,
    pub synced: HashMap<Ticket, SyncAnswer>,
    pub stored: Option<StoredGroup>,
    pub generations: u64,
    pub reasons: Vec<RebalanceReason>,
}

pub fn join_of(member_id: &str, new_member_id: &str) -> JoinRequest {
    JoinRequest {
        ticket: 0,
        member_id: member_id.to_owned(),
        new_member_id: new_member_id.to_owned(),
        instance_id: None,
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout_ms: SESSION_MS,
        rebalance_timeout_ms: REBALANCE_MS,
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), Bytes::from_static(b"r"))],
        requires_known_member_id: false,
        supports_skip_assignment: false,
    }
}

pub fn static_join(instance_id: &str, new_member_id: &str) -> JoinRequest {
    JoinRequest { instance_id: Some(instance_id.to_owned()), ..join_of("", new_member_id) }
}

impl TestGroup {
    pub fn new() -> Self {
        Self::with_terms(Terms {
            initial_rebalance_delay_ms: 0,
            session_timeout_ms_min: 6000,
            session_timeout_ms_max: 1_800_000,
            members_max: 1000,
        })
    }

    pub fn with_terms(terms: Terms) -> Self {
        Self {
            group: ClassicGroup::default(),
            terms,
            now_ms: 1000,
            tickets: 0,
            joined: HashMap::new(),
            synced: HashMap::new(),
            stored: None,
            generations: 0,
            reasons: Vec::new(),
        }
    }

    pub fn now(&self) -> Now {
        Now { monotonic_ms: self.now_ms, wall: 1_700_000_000_000 + self.now_ms as i64 }
    }

    pub fn call<T>(&mut self, call: impl FnOnce(&mut ClassicGroup, Now, &Terms, &mut Effects) -> T) -> T {
        let mut effects = Effects::default();
        let now = self.now();
        let answer = call(&mut self.group, now, &self.terms, &mut effects);
        for (ticket, answer) in effects.joined {
            assert!(ticket <= self.tickets && self.joined.insert(ticket, answer).is_none(), "answered twice");
        }
        for (ticket, answer) in effects.synced {
            assert!(ticket <= self.tickets && self.synced.insert(ticket, answer).is_none(), "answered twice");
        }
        if effects.store {
            self.stored = Some(self.group.to_stored());
        }
        self.generations += effects.generations.len() as u64;
        self.reasons.extend(effects.generations);
        answer
    }

    /// Answers the ticket.
    pub fn join(&mut self, request: JoinRequest) -> Ticket {
        self.tickets += 1;
        let request = JoinRequest { ticket: self.tickets, ..request };
        self.call(|group, now, terms, effects| group.join(now, terms, &request, effects));
        request.ticket
    }

    pub fn sync(&mut self, member_id: &str, generation_id: i32, assignments: &[(&str, &'static str)]) -> Ticket {
        self.tickets += 1;
        let request = SyncRequest {
            ticket: self.tickets,
            member_id: member_id.to_owned(),
            instance_id: None,
            generation_id,
            protocol_type: None,
            protocol_name: None,
            assignments: assignments
                .iter()
                .map(|(id, part)| (id.to_string(), Bytes::from_static(part.as_bytes())))
                .collect(),
        };
        let ticket = request.ticket;
        self.call(|group, now, _, effects| group.sync(now, request, effects));
        ticket
    }

    pub fn heartbeat(&mut self, member_id: &str, generation_id: i32) -> ErrorCode {
        self.call(|group, now, _, _| group.heartbeat(now, member_id, None, generation_id))
    }

    pub fn leave(&mut self, member_id: &str) -> ErrorCode {
        let leaving = [Leaving { member_id: member_id.to_owned(), instance_id: None }];
        self.call(|group, now, terms, effects| group.leave(now, terms, &leaving, effects))[0]
    }

    pub fn commit(&mut self, member_id: &str, generation_id: i32) -> ErrorCode {
        let committer = Committer { member_id, instance_id: None, generation_id };
        self.call(|group, now, _, _| group.check_commit(now, committer)).err().unwrap_or(ErrorCode::NONE)
    }

    /// Lets time pass, doing what becomes due on the way.
    pub fn pass(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while let Some(deadline) = self.group.next_deadline_ms().filter(|deadline| *deadline <= end) {
            self.now_ms = self.now_ms.max(deadline);
            self.call(|group, now, terms, effects| group.tick(now, terms, effects));
        }
        self.now_ms = end;
    }

    pub fn join_error(&self, ticket: Ticket) -> Option<ErrorCode> {
        self.joined.get(&ticket).map(|answer| answer.error)
    }

    pub fn sync_error(&self, ticket: Ticket) -> Option<ErrorCode> {
        self.synced.get(&ticket).map(|answer| answer.error)
    }

    /// A stable group of `a`, its leader, and `b`, in generation 2.
    pub fn stable() -> Self {
        let mut group = Self::completing();
        group.sync("a", 2, &[("a", "part a"), ("b", "part b")]);
        group.sync("b", 2, &[]);
        assert_eq!(group.group.state(), State::Stable);
        group
    }

    /// The same before the leader has assigned.
    pub fn completing() -> Self {
        let mut group = Self::preparing();
        group.join(join_of("a", ""));
        assert_eq!((group.group.state(), group.group.generation_id()), (State::CompletingRebalance, 2));
        group
    }

    /// The same while `b` waits for `a` to join again, in generation 1.
    pub fn preparing() -> Self {
        let mut group = Self::new();
        group.join(join_of("", "a"));
        group.join(join_of("", "b"));
        assert_eq!((group.group.state(), group.group.generation_id()), (State::PreparingRebalance, 1));
        group
    }

    /// After both have left: generation 3.
    pub fn empty() -> Self {
        let mut group = Self::stable();
        group.leave("a");
        group.leave("b");
        // The first to leave had the other waited for.
        assert_eq!(group.group.state(), State::Empty);
        group
    }

    pub fn in_state(state: &str) -> Self {
        match state {
            "Empty" => Self::empty(),
            "Preparing" => Self::preparing(),
            "Completing" => Self::completing(),
            "Stable" => Self::stable(),
            other => panic!("no state {other}"),
        }
    }
}
