use super::harness::*;
use crate::group::classic::*;

#[test]
fn member_without_heartbeats_is_removed_and_one_with_them_stays() {
    let mut group = TestGroup::stable();
    for _ in 0..3 {
        group.pass(SESSION_MS as u64 / 2);
        assert!(group.group.members.contains_key("a"));
        group.heartbeat("a", 2);
    }
    assert!(!group.group.members.contains_key("b"));
    assert_eq!(group.heartbeat("a", 2), ErrorCode::REBALANCE_IN_PROGRESS);
    let ticket = group.join(join_of("a", ""));
    assert_eq!(group.joined[&ticket].generation_id, 3);
}

#[test]
fn a_commit_keeps_a_member_alive() {
    let mut group = TestGroup::stable();
    for _ in 0..3 {
        group.pass(SESSION_MS as u64 - 1);
        group.commit("a", 2);
        group.commit("b", 2);
    }
    assert_eq!(group.group.member_count(), 2);
}

#[test]
fn members_that_do_not_come_back_are_left_behind() {
    let mut group = TestGroup::preparing();
    for _ in 0..REBALANCE_MS / (SESSION_MS / 2) - 1 {
        group.pass(SESSION_MS as u64 / 2);
        assert_eq!(group.heartbeat("a", 1), ErrorCode::REBALANCE_IN_PROGRESS);
    }
    assert_eq!(group.join_error(2), None);
    group.pass(SESSION_MS as u64 / 2);
    let answer = &group.joined[&2];
    assert_eq!((answer.error, answer.leader.as_str(), answer.generation_id), (ErrorCode::NONE, "b", 2));
    assert_eq!(group.heartbeat("a", 1), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn members_that_join_and_never_sync_are_removed() {
    let mut group = TestGroup::completing();
    let waiting = group.sync("b", 2, &[]);
    for _ in 0..REBALANCE_MS / (SESSION_MS / 2) {
        group.pass(SESSION_MS as u64 / 2);
        group.heartbeat("a", 2);
    }
    // The leader never assigned: who waited for it is told to join again, and does so without it.
    assert_eq!(group.sync_error(waiting), Some(ErrorCode::REBALANCE_IN_PROGRESS));
    assert!(!group.group.members.contains_key("a"));
    let ticket = group.join(join_of("b", ""));
    assert_eq!(group.joined[&ticket].leader, "b");
}

#[test]
fn an_id_that_is_given_away_and_not_used_holds_nobody_up_for_long() {
    let mut group = TestGroup::stable();
    let asked = group.join(JoinRequest { requires_known_member_id: true, ..join_of("", "c") });
    assert_eq!(group.joined[&asked].member_id, "c");
    let waiting = group.join(join_of("a", ""));
    group.join(join_of("b", ""));
    assert_eq!(group.join_error(waiting), None);
    group.pass(SESSION_MS as u64);
    assert_eq!(group.join_error(waiting), Some(ErrorCode::NONE));
    let late = group.join(join_of("c", ""));
    assert_eq!(group.join_error(late), Some(ErrorCode::UNKNOWN_MEMBER_ID));
}

#[test]
fn an_id_that_was_given_away_makes_a_member() {
    let mut group = TestGroup::new();
    group.join(JoinRequest { requires_known_member_id: true, ..join_of("", "c") });
    assert!(!group.group.is_unused());
    let joined = group.join(JoinRequest { requires_known_member_id: true, ..join_of("c", "") });
    assert_eq!(group.join_error(joined), Some(ErrorCode::NONE));
    let mut group = TestGroup::new();
    group.join(JoinRequest { requires_known_member_id: true, ..join_of("", "c") });
    group.pass(SESSION_MS as u64);
    assert!(group.group.is_unused());
    assert_eq!((group.group.bytes(), group.group.next_deadline_ms()), (0, None));
}

#[test]
fn new_member_whose_client_has_gone_is_forgotten_after_five_minutes() {
    let mut group = TestGroup::new();
    group.join(JoinRequest { rebalance_timeout_ms: i32::MAX, ..join_of("", "a") });
    let gone = group.join(join_of("", "b"));
    for _ in 0..60 {
        group.pass(5000);
        group.heartbeat("a", 1);
    }
    assert_eq!(group.join_error(gone), Some(ErrorCode::UNKNOWN_MEMBER_ID));
}

#[test]
fn static_members_are_waited_for_until_their_sessions_end() {
    let mut group = TestGroup::new();
    group.join(static_join("i", "i-1"));
    group.sync("i-1", 1, &[]);
    group.pass(SESSION_MS as u64 - 1);
    assert_eq!(group.group.state(), State::Stable);
    group.pass(1);
    assert_eq!(group.group.state(), State::Empty);
}

#[test]
fn timer_that_is_set_anew_or_cleared_does_not_fire() {
    let mut timers = timers::Timers::default();
    timers.set(Timer::Join, 10);
    timers.set(Timer::Join, 20);
    timers.set(Timer::Sync, 15);
    timers.clear(&Timer::Sync);
    assert!(!timers.is_set(&Timer::Sync));
    assert_eq!((timers.next(), timers.take_due(19)), (Some(20), None));
    assert_eq!((timers.take_due(20), timers.take_due(20)), (Some(Timer::Join), None));
}
