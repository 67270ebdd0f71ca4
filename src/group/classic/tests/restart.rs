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
fn sessions_begin_anew_and_end_for_those_who_do_not_come_back() {
    let mut group = TestGroup::stable();
    let stored = group.stored.clone().expect("stored");
    group.group = ClassicGroup::restore(group.now(), stored);
    group.pass(SESSION_MS as u64 - 1);
    assert_eq!(group.group.member_count(), 2);
    group.pass(1);
    assert_eq!(group.group.state(), State::Empty);
}
