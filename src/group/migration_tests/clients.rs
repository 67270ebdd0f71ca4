//! What clients of either protocol ask, and what they make of the answers.

use super::*;

impl World {
    pub(super) fn leave(&mut self, index: usize) {
        let member_id = std::mem::take(&mut self.clients[index].member_id);
        self.crash(index);
        if member_id.is_empty() {
            return;
        }
        self.change(|group, cx, now, effects, rows| match group {
            Group::Consumer(group) if index >= CLASSIC_CLIENTS => {
                let request = HeartbeatRequest {
                    group_id: "g".into(),
                    member_id,
                    member_epoch: -1,
                    rebalance_timeout_ms: -1,
                    ..Default::default()
                };
                if let Ok(outcome) = heartbeat(group, &request, 1, "", cx) {
                    rows.extend(outcome.rows);
                }
            }
            Group::Consumer(group) => {
                let leaving = [Leaving { member_id, instance_id: None }];
                rows.extend(group.leave(&leaving, cx).1);
            }
            Group::Classic(group) => {
                let leaving = [Leaving { member_id, instance_id: None }];
                group.leave(now, &terms(), &leaving, effects);
            }
        });
    }

    /// A client of the classic protocol stops reading and joins.
    pub(super) fn join(&mut self, index: usize) {
        let ticket = self.ticket();
        let requires_known_member_id = self.random.below(2) == 0;
        let client = &mut self.clients[index];
        client.reads = None;
        (client.join, client.sync) = (Some(ticket), None);
        let request = JoinRequest {
            ticket,
            member_id: client.member_id.clone(),
            new_member_id: format!("classic-{index}-{ticket}"),
            instance_id: None,
            client_id: "c".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            session_timeout_ms: SESSION_MS as i32,
            rebalance_timeout_ms: 20_000,
            protocol_type: PROTOCOL_TYPE.to_owned(),
            protocols: vec![("range".to_owned(), subscription(&[]))],
            requires_known_member_id,
            supports_skip_assignment: false,
        };
        if matches!(&self.group, Group::Consumer(own) if own.state().members.is_empty()) {
            self.group = Group::Classic(ClassicGroup::default());
            self.stored = Stored::Classic(StoredGroup::default());
        }
        self.change(|group, cx, now, effects, rows| match group {
            Group::Classic(group) => group.join(now, &terms(), &request, effects),
            Group::Consumer(group) => {
                let (answer, changed) = group.join(&request, cx);
                rows.extend(changed);
                effects.joined.push((ticket, answer));
            }
        });
    }

    /// What a client of the classic protocol does next of its own.
    pub(super) fn go_on(&mut self, index: usize) {
        let client = &self.clients[index];
        if client.join.is_some() || client.sync.is_some() {
            return;
        }
        if client.reads.is_none() {
            return self.join(index);
        }
        let (member_id, epoch) = (client.member_id.clone(), client.epoch);
        let error = if self.random.below(2) == 0 {
            self.read_on(index)
        } else {
            self.change(|group, cx, now, _, _| match group {
                Group::Classic(group) => group.heartbeat(now, &member_id, None, epoch),
                Group::Consumer(group) => group.classic_heartbeat(&member_id, None, epoch, cx),
            })
        };
        let client = &mut self.clients[index];
        match error {
            ErrorCode::NONE => {}
            ErrorCode::UNKNOWN_MEMBER_ID => {
                client.member_id.clear();
                client.reads = None;
            }
            _ => client.reads = None,
        }
    }

    /// A client of the new protocol heartbeats; it gives up first what it should not have.
    pub(super) fn beat(&mut self, index: usize) {
        let delay = self.random.below(3);
        let full = self.random.below(2) == 0;
        if self.clients[index].reads.is_some() {
            self.read_on(index);
        }
        let client = &mut self.clients[index];
        if client.member_id.is_empty() {
            client.member_id = format!("consumer-{index}-{}", client.life);
            (client.epoch, client.reads, client.told) = (0, Some(BTreeMap::new()), BTreeSet::new());
        }
        let told = client.told.clone();
        let reads = client.reads.get_or_insert_default();
        if delay > 0 {
            reads.retain(|at, _| told.contains(at));
        }
        let owned: Partitions = reads.keys().map(|at| partition(*at)).collect();
        let request = HeartbeatRequest {
            group_id: "g".into(),
            member_id: client.member_id.clone(),
            member_epoch: client.epoch,
            rebalance_timeout_ms: if full || client.epoch == 0 { 20_000 } else { -1 },
            subscribed_topic_names: Some(vec!["t".to_owned()]),
            topic_partitions: Some(owned),
            ..Default::default()
        };
        let decided = self.change(|group, cx, _, effects, rows| {
            let outcome = match group {
                Group::Consumer(group) => {
                    let outcome = heartbeat(group, &request, 1, "", cx)?;
                    rows.extend(outcome.rows);
                    return Ok(outcome.answer);
                }
                Group::Classic(_) if request.member_epoch != 0 => {
                    return Err(HeartbeatRejected::NotAConsumerGroup("g".into()));
                }
                Group::Classic(classic) => {
                    let mut own = match classic.state() {
                        State::Empty => ConsumerGroup::default(),
                        _ => upgraded(classic, cx).expect("consumers alone"),
                    };
                    let outcome = heartbeat(&mut own, &request, 1, "", cx)?;
                    classic.refuse_all_waiting(effects);
                    *rows = own.state().changes().iter().map(Change::row).collect();
                    *group = Group::Consumer(own);
                    outcome
                }
            };
            Ok(outcome.answer)
        });
        self.all_arrive(index);
        let offsets: Vec<u64> = (0..PARTITIONS).map(|at| self.offset(at)).collect();
        let client = &mut self.clients[index];
        match decided {
            Ok(answer) => {
                client.epoch = answer.member_epoch;
                if let Some(told) = answer.assignment {
                    client.told = told.iter().map(|own| own.partition).collect();
                }
                let told = client.told.clone();
                let reads = client.reads.get_or_insert_default();
                if reads.keys().all(|at| told.contains(at)) {
                    for at in told {
                        reads.entry(at).or_insert_with(|| offsets[at as usize]);
                    }
                }
            }
            Err(_) => {
                let life = client.life + 1;
                *client = Client { life, ..Client::default() };
            }
        }
    }

    pub(super) fn receive(&mut self) {
        for index in 0..CLASSIC_CLIENTS {
            let join = self.clients[index].join.and_then(|ticket| self.joined.remove(&ticket));
            if let Some(answer) = join {
                self.told_to_sync(index, &answer);
            }
            let sync = self.clients[index].sync.and_then(|ticket| self.synced.remove(&ticket));
            if let Some(answer) = sync {
                self.assigned(index, &answer);
            }
        }
    }

    fn told_to_sync(&mut self, index: usize, answer: &JoinAnswer) {
        let client = &mut self.clients[index];
        client.join = None;
        match answer.error {
            ErrorCode::NONE | ErrorCode::MEMBER_ID_REQUIRED | ErrorCode::REBALANCE_IN_PROGRESS => {
                client.member_id.clone_from(&answer.member_id);
            }
            _ => client.member_id.clear(),
        }
        if answer.error != ErrorCode::NONE {
            return;
        }
        client.epoch = answer.generation_id;
        let mut parts: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        for at in (0..PARTITIONS).filter(|_| !answer.members.is_empty()) {
            let member = &answer.members[at as usize % answer.members.len()];
            parts.entry(member.member_id.to_string()).or_default().push(at);
        }
        let ticket = self.ticket();
        self.clients[index].sync = Some(ticket);
        let request = SyncRequest {
            ticket,
            member_id: answer.member_id.clone(),
            instance_id: None,
            generation_id: answer.generation_id,
            protocol_type: None,
            protocol_name: None,
            assignments: parts.into_iter().map(|(id, part)| (id, assignment(part))).collect(),
        };
        self.change(|group, cx, now, effects, _| match group {
            Group::Classic(group) => group.sync(now, request, effects),
            Group::Consumer(group) => {
                let answer = group.sync(&request, cx);
                effects.synced.push((ticket, answer));
            }
        });
    }

    fn assigned(&mut self, index: usize, answer: &SyncAnswer) {
        self.all_arrive(index);
        let offsets: Vec<u64> = (0..PARTITIONS).map(|at| self.offset(at)).collect();
        let client = &mut self.clients[index];
        client.sync = None;
        match answer.error {
            ErrorCode::NONE => {
                let assigned = Assignment::read(&answer.assignment).expect("an assignment");
                let own = assigned.partitions.get("t").into_iter().flatten();
                client.reads = Some(own.map(|at| (*at, offsets[*at as usize])).collect());
            }
            ErrorCode::UNKNOWN_MEMBER_ID => client.member_id.clear(),
            _ => {}
        }
    }
}
