use bytes::Bytes;

use super::harness::*;
use crate::group::classic::*;

#[test]
fn leader_alone_is_told_of_all_and_each_gets_its_own_part() {
    let mut group = TestGroup::new();
    group.join(join_of("", "a"));
    let second = group.join(join_of("", "b"));
    let first = group.join(join_of("a", ""));
    let (leader, follower) = (&group.joined[&first], &group.joined[&second]);
    assert_eq!((leader.leader.as_str(), follower.leader.as_str()), ("a", "a"));
    assert_eq!(leader.members.iter().map(|member| &*member.member_id).collect::<Vec<_>>(), ["a", "b"]);
    assert!(follower.members.is_empty());
    assert_eq!((leader.generation_id, follower.generation_id), (2, 2));
    let waiting = group.sync("b", 2, &[("b", "not the leader's")]);
    assert_eq!(group.sync_error(waiting), None);
    let leading = group.sync("a", 2, &[("b", "of b"), ("x", "of nobody")]);
    assert_eq!(group.synced[&waiting].assignment, Bytes::from_static(b"of b"));
    // Whom the leader forgot gets nothing.
    assert_eq!(group.synced[&leading].assignment, Bytes::new());
    assert_eq!(group.stored.as_ref().map(|stored| stored.generation_id), Some(2));
}

#[test]
fn members_vote_among_what_all_speak() {
    let speaking = |id: &str, names: &[&str]| JoinRequest {
        protocols: names.iter().map(|name| (name.to_string(), Bytes::new())).collect(),
        ..join_of("", id)
    };
    let mut group = TestGroup::with_terms(Terms { initial_rebalance_delay_ms: 100, ..TestGroup::new().terms });
    group.join(speaking("a", &["own", "range", "sticky"]));
    group.join(speaking("b", &["sticky", "range"]));
    let last = group.join(speaking("c", &["sticky", "range", "other"]));
    group.pass(REBALANCE_MS as u64);
    assert_eq!(group.joined[&last].protocol_name.as_deref(), Some("sticky"));
}

#[test]
fn first_members_are_given_time_to_come_together() {
    let mut group = TestGroup::with_terms(Terms { initial_rebalance_delay_ms: 3000, ..TestGroup::new().terms });
    let first = group.join(join_of("", "a"));
    group.pass(2999);
    let second = group.join(join_of("", "b"));
    group.pass(1);
    // The second has drawn the time out.
    assert_eq!(group.join_error(first), None);
    group.pass(3000);
    assert_eq!((group.join_error(first), group.join_error(second)), (Some(ErrorCode::NONE), Some(ErrorCode::NONE)));
    assert_eq!(group.generations, 1);
}

#[test]
fn group_is_full_at_its_size() {
    let mut group = TestGroup::with_terms(Terms { members_max: 2, ..TestGroup::new().terms });
    group.join(join_of("", "a"));
    group.join(join_of("", "b"));
    group.join(join_of("a", ""));
    let third = group.join(join_of("", "c"));
    assert_eq!(group.join_error(third), Some(ErrorCode::GROUP_MAX_SIZE_REACHED));
    assert_eq!(group.group.member_count(), 2);
    let again = group.join(join_of("b", ""));
    assert_eq!(group.join_error(again), Some(ErrorCode::NONE));
}

#[test]
fn group_of_5000_takes_no_more_and_rebalances() {
    const SIZE: usize = 5000;
    let mut group =
        TestGroup::with_terms(Terms { members_max: SIZE, initial_rebalance_delay_ms: 1, ..TestGroup::new().terms });
    let ids: Vec<String> = (0..SIZE).map(|number| format!("m{number:04}")).collect();
    let tickets: Vec<Ticket> = ids.iter().map(|id| group.join(join_of("", id))).collect();
    let one_more = group.join(join_of("", "one more"));
    assert_eq!(group.join_error(one_more), Some(ErrorCode::GROUP_MAX_SIZE_REACHED));
    group.pass(2);
    assert!(tickets.iter().all(|ticket| group.join_error(*ticket) == Some(ErrorCode::NONE)));
    let one_more = group.join(join_of("", "one more"));
    assert_eq!(group.join_error(one_more), Some(ErrorCode::GROUP_MAX_SIZE_REACHED));
    // Not even an id is given away for a place that there is not.
    let one_more = group.join(JoinRequest { requires_known_member_id: true, ..join_of("", "one more") });
    assert_eq!(group.join_error(one_more), Some(ErrorCode::GROUP_MAX_SIZE_REACHED));
    for id in &ids {
        group.sync(id, 1, &[("m0000", "all")]);
    }
    assert_eq!((group.group.state(), group.group.member_count()), (State::Stable, SIZE));
    // Who leaves makes room for one.
    assert_eq!(group.leave("m0042"), ErrorCode::NONE);
    let instead = group.join(join_of("", "instead"));
    let rejoined: Vec<Ticket> = ids.iter().filter(|id| *id != "m0042").map(|id| group.join(join_of(id, ""))).collect();
    assert!(rejoined.iter().chain([&instead]).all(|ticket| group.join_error(*ticket) == Some(ErrorCode::NONE)));
    assert_eq!((group.group.generation_id(), group.group.member_count()), (2, SIZE));
}

#[test]
fn newer_instance_of_a_static_member_fences_the_older_without_a_rebalance() {
    let mut group = TestGroup::new();
    group.join(static_join("i", "i-1"));
    group.sync("i-1", 1, &[("i-1", "part")]);
    for (version_9, leader) in [(false, "i-1"), (true, "i-3")] {
        let id = if version_9 { "i-3" } else { "i-2" };
        let again = JoinRequest { supports_skip_assignment: version_9, ..static_join("i", id) };
        group.stored = None;
        let ticket = group.join(again);
        let answer = &group.joined[&ticket];
        assert_eq!((answer.error, answer.generation_id, answer.member_id.as_str()), (ErrorCode::NONE, 1, id));
        assert_eq!((answer.skip_assignment, answer.members.len()), (version_9, usize::from(version_9)));
        // An older client that is called the leader would assign.
        if version_9 {
            assert_eq!(answer.leader, leader);
        } else {
            assert_ne!(answer.leader, answer.member_id);
        }
        assert!(group.stored.is_some(), "a restart must know the new id");
        assert_eq!(group.group.state(), State::Stable);
        let synced = group.sync(id, 1, &[]);
        assert_eq!(group.synced[&synced].assignment, Bytes::from_static(b"part"));
    }
    let fenced = group.call(|group, now, _, _| group.heartbeat(now, "i-1", Some("i"), 1));
    assert_eq!(fenced, ErrorCode::FENCED_INSTANCE_ID);
    let committer = Committer { member_id: "i-2", instance_id: Some("i"), generation_id: 1 };
    let fenced = group.call(|group, now, _, _| group.check_commit(now, committer));
    assert_eq!(fenced, Err(ErrorCode::FENCED_INSTANCE_ID));
    let unknown = group.call(|group, now, _, _| group.heartbeat(now, "i-3", Some("j"), 1));
    assert_eq!(unknown, ErrorCode::UNKNOWN_MEMBER_ID);
    // Administrators know the instance alone.
    let leaving = [Leaving { member_id: String::new(), instance_id: Some("i".to_owned()) }];
    let left = group.call(|group, now, terms, effects| group.leave(now, terms, &leaving, effects));
    assert_eq!((left, group.group.state()), (vec![ErrorCode::NONE], State::Empty));
}

#[test]
fn waiting_join_of_a_fenced_instance_is_answered() {
    let mut group = TestGroup::new();
    group.join(join_of("", "a"));
    let older = group.join(static_join("i", "i-1"));
    let newer = group.join(static_join("i", "i-2"));
    assert_eq!(group.join_error(older), Some(ErrorCode::FENCED_INSTANCE_ID));
    group.join(join_of("a", ""));
    assert_eq!(group.join_error(newer), Some(ErrorCode::NONE));
}

#[test]
fn a_second_join_of_a_member_takes_the_place_of_the_first() {
    let mut group = TestGroup::preparing();
    let again = group.join(join_of("b", ""));
    assert_eq!(group.join_error(2), Some(ErrorCode::REBALANCE_IN_PROGRESS));
    group.join(join_of("a", ""));
    assert_eq!(group.join_error(again), Some(ErrorCode::NONE));
}

#[test]
fn several_leave_with_one_rebalance_and_each_has_its_own_answer() {
    let mut group = TestGroup::stable();
    let ids = ["a", "x", "b"];
    let leaving = ids.map(|id| Leaving { member_id: id.to_owned(), instance_id: None });
    let left = group.call(|group, now, terms, effects| group.leave(now, terms, &leaving, effects));
    assert_eq!(left, [ErrorCode::NONE, ErrorCode::UNKNOWN_MEMBER_ID, ErrorCode::NONE]);
    assert_eq!((group.group.state(), group.group.generation_id()), (State::Empty, 3));
    assert_eq!(group.group.bytes(), 0);
}

#[test]
fn offsets_are_kept_for_what_members_subscribe_to() {
    let subscription = Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff");
    let mut group = TestGroup::new();
    group.join(JoinRequest { protocols: vec![("range".to_owned(), subscription)], ..join_of("", "a") });
    group.sync("a", 1, &[]);
    let stored = group.stored.clone().expect("stored");
    assert_eq!(stored.retention(), Retention::Subscribed(["t".to_owned()].into()));
    assert!(group.group.is_subscribed("t") && !group.group.is_subscribed("u"));
    let unreadable = TestGroup::stable();
    assert_eq!(unreadable.stored.clone().map(|stored| stored.retention()), Some(Retention::Kept));
    assert!(unreadable.group.is_subscribed("t"));
    let empty = TestGroup::empty();
    let since = empty.stored.as_ref().map(|stored| stored.since).expect("stored");
    assert_eq!(empty.stored.clone().map(|stored| stored.retention()), Some(Retention::Since(since)));
    let connect = JoinRequest { protocol_type: "connect".to_owned(), ..join_of("", "a") };
    let mut group = TestGroup::new();
    group.join(connect);
    group.sync("a", 1, &[]);
    assert_eq!(group.group.check_offset_delete(), Err(ErrorCode::NON_EMPTY_GROUP));
}

#[test]
fn members_are_described_with_what_they_have_until_they_are_given_something_else() {
    let parts = |group: &TestGroup| -> Vec<_> {
        group.group.described_members().into_iter().map(|member| member.assignment).collect()
    };
    let mut group = TestGroup::stable();
    assert_eq!(parts(&group), ["part a", "part b"]);
    group.join(join_of("", "c"));
    assert_eq!(group.group.state(), State::PreparingRebalance);
    assert_eq!(parts(&group), ["part a", "part b", ""]);
    // What a member says of itself is told of a stable group alone: before, there is no protocol to tell it of.
    assert!(group.group.described_members().iter().all(|member| member.metadata.is_empty()));
}
