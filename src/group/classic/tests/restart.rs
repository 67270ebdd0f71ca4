use proptest::prelude::*;

use super::harness::*;
use crate::group::classic::*;

#[test]
fn stable_group_comes_back_with_members_generation_and_assignments() {
    let mut group = TestGroup::stable();
    let stored = group.stored.clone().expect("stored");
    group.now_ms = 5;
    group.group = ClassicGroup::restore(group.now(), stored.clone());
    assert_eq!(group.group.to_stored(), stored);
    assert_eq!((group.heartbeat("a", 2), group.heartbeat("b", 2)), (ErrorCode::NONE, ErrorCode::NONE));
    assert_eq!(group.commit("b", 2), ErrorCode::NONE);
    // Who joins again as it was is told what it had.
    let ticket = group.join(join_of("b", ""));
    assert_eq!(group.joined[&ticket].generation_id, 2);
    let ticket = group.sync("b", 2, &[]);
    assert_eq!(group.synced[&ticket].assignment, bytes::Bytes::from_static(b"part b"));
    assert_eq!(group.group.state(), State::Stable);
}

#[test]
fn members_that_were_told_of_a_generation_go_on_with_it() {
    let mut group = TestGroup::completing();
    let stored = group.stored.clone().expect("stored");
    group.group = ClassicGroup::restore(group.now(), stored);
    assert_eq!((group.group.state(), group.group.generation_id()), (State::CompletingRebalance, 2));
    assert_eq!((group.heartbeat("a", 2), group.commit("b", 2)), (ErrorCode::NONE, ErrorCode::REBALANCE_IN_PROGRESS));
    // Who comes with its SyncGroup waits for the leader, which only joins again: it is told whom to give what.
    let follower = group.sync("b", 2, &[]);
    let ticket = group.join(join_of("a", ""));
    assert_eq!((group.joined[&ticket].generation_id, group.joined[&ticket].members.len()), (2, 2));
    group.sync("a", 2, &[("a", "part a"), ("b", "part b")]);
    assert_eq!(group.synced[&follower].assignment, bytes::Bytes::from_static(b"part b"));
    assert_eq!((group.group.state(), group.generations), (State::Stable, 2));
}

#[test]
fn nobody_waits_for_ever_for_a_leader_that_does_not_come_back() {
    let mut group = TestGroup::completing();
    let stored = group.stored.clone().expect("stored");
    group.group = ClassicGroup::restore(group.now(), stored);
    let follower = group.sync("b", 2, &[]);
    group.pass(SESSION_MS as u64);
    assert_eq!(group.sync_error(follower), Some(ErrorCode::REBALANCE_IN_PROGRESS));
    let ticket = group.join(join_of("b", ""));
    assert_eq!((group.joined[&ticket].generation_id, &*group.joined[&ticket].leader), (3, "b"));
}

#[test]
fn sessions_begin_anew_and_end_for_those_who_do_not_come_back() {
    let mut group = TestGroup::stable();
    let stored = group.stored.clone().expect("stored");
    group.group = ClassicGroup::restore(group.now(), stored);
    group.pass(SESSION_MS as u64 - 1);
    assert_eq!(group.group.member_count(), 2);
    group.pass(1);
    assert_eq!(group.group.state(), State::Empty);
}

/// Groups that decode, but that no decision has written: leaders and instances that are not there, nobody who speaks a protocol.
fn odd_group() -> impl Strategy<Value = StoredGroup> {
    let name = || prop_oneof![Just("a"), Just("b"), Just("c"), Just("")];
    let member = (name(), prop::option::of(name()), 0u32..20_000, prop::collection::vec(name(), 0..3)).prop_map(
        |(id, instance, timeout_ms, protocols)| StoredMember {
            member_id: id.into(),
            instance_id: instance.map(str::to_owned),
            client_id: String::new(),
            client_host: String::new(),
            session_timeout_ms: timeout_ms,
            rebalance_timeout_ms: timeout_ms,
            protocols: protocols.into_iter().map(|name| (name.to_owned(), bytes::Bytes::new())).collect(),
            assignment: bytes::Bytes::new(),
        },
    );
    let some = || prop::option::of(name()).prop_map(|name| name.map(str::to_owned));
    (any::<i32>(), any::<bool>(), some(), some(), some(), prop::collection::vec(member, 0..4)).prop_map(
        |(generation_id, is_completing, protocol_type, protocol_name, leader, mut members)| {
            members.sort_by(|one, other| one.member_id.cmp(&other.member_id));
            members.dedup_by(|one, other| one.member_id == other.member_id);
            let leader = leader.map(Into::into);
            StoredGroup { generation_id, protocol_type, protocol_name, leader, is_completing, since: 0, members }
        },
    )
}

proptest! {
    /// Whatever it makes of them, it answers everybody.
    #[test]
    fn odd_groups_do_no_harm(stored in odd_group(), calls in prop::collection::vec((0..5u8, 0..3usize), 0..20)) {
        let mut group = TestGroup::new();
        let generation = stored.generation_id;
        group.group = ClassicGroup::restore(group.now(), stored);
        let mut tickets = Vec::new();
        for (call, who) in calls {
            let id = ["a", "b", "c"][who];
            match call {
                0 => tickets.push(group.join(join_of(id, ""))),
                1 => tickets.push(group.join(join_of("", &format!("new-{}", tickets.len())))),
                2 => drop(group.leave(id)),
                3 => drop((group.heartbeat(id, generation), group.commit(id, generation))),
                _ => group.pass(5_000),
            }
        }
        group.pass(60 * 60_000);
        prop_assert!(tickets.iter().all(|ticket| group.joined.contains_key(ticket)), "parked for ever");
        prop_assert_eq!(group.group.state(), State::Empty);
    }
}
