use bytes::Bytes;

use super::harness::*;
use crate::group::classic::*;
use crate::group::rebalance_reason::RebalanceReason;

/// Lets time pass in which these members send heartbeats.
fn pass_alive(group: &mut TestGroup, ms: u64, members: &[&str]) {
    for _ in 0..ms / 5_000 {
        group.pass(5_000);
        for id in members {
            group.heartbeat(id, 2);
        }
    }
}

#[test]
fn each_rebalance_is_told_by_what_began_it() {
    type Case = (RebalanceReason, fn(&mut TestGroup), &'static [&'static str]);
    let cases: &[Case] = &[
        (RebalanceReason::Join, |group| join(group, join_of("", "c")), &["a", "b"]),
        (RebalanceReason::Leave, |group| assert_eq!(group.leave("b"), ErrorCode::NONE), &["a"]),
        (RebalanceReason::SessionTimeout, |group| pass_alive(group, 10_000, &["a"]), &["a"]),
        // The leader.
        (RebalanceReason::Metadata, |group| rejoin(group, &["a"]), &["b"]),
        (
            RebalanceReason::Metadata,
            |group| {
                let protocols = vec![("range".to_owned(), Bytes::from_static(b"other topics"))];
                join(group, JoinRequest { protocols, ..join_of("b", "") });
            },
            &["a"],
        ),
        (
            RebalanceReason::Assignor,
            |group| {
                let protocols = ["sticky", "range"].map(|name| (name.to_owned(), Bytes::from_static(b"r")));
                join(group, JoinRequest { protocols: protocols.to_vec(), ..join_of("b", "") });
            },
            &["a"],
        ),
        // The first of two.
        (
            RebalanceReason::Leave,
            |group| {
                group.join(join_of("", "c"));
                rejoin(group, &["a", "b"]);
                group.reasons.clear();
                group.leave("c");
                group.join(join_of("", "d"));
            },
            &["a", "b"],
        ),
    ];
    for (reason, cause, others) in cases {
        let mut group = TestGroup::stable();
        assert_eq!(group.reasons, [RebalanceReason::Join; 2], "the first two members");
        group.reasons.clear();
        cause(&mut group);
        rejoin(&mut group, others);
        assert_eq!(group.reasons, [*reason], "with {others:?} left");
    }
}

fn join(group: &mut TestGroup, request: JoinRequest) {
    group.join(request);
}

fn rejoin(group: &mut TestGroup, ids: &[&str]) {
    for id in ids {
        group.join(join_of(id, ""));
    }
}

#[test]
fn who_does_not_ask_for_its_assignment_is_late_though_it_is_alive() {
    let mut group = TestGroup::completing();
    group.sync("a", 2, &[("a", "all")]);
    group.reasons.clear();
    pass_alive(&mut group, REBALANCE_MS as u64, &["a", "b"]);
    group.join(join_of("a", ""));
    assert_eq!(group.reasons, [RebalanceReason::RebalanceTimeout]);
    assert_eq!(group.group.member_count(), 1);
}
