//! Who may commit and fetch.

use super::super::offsets::{CommitScope, Committer, check_commit, check_fetch};
use super::script::{check, partitions};

/// What `committer` hears for t0 and t2: a code, or for each whether it is stored.
fn commit(lines: &str, committer: Committer<'_>) -> String {
    let world = check(lines);
    match check_commit(world.group.state(), &committer) {
        Ok(scope) => {
            let covers = |name| partitions(name).iter().all(|partition| scope.covers(partition));
            let kind = if matches!(scope, CommitScope::All) { "all" } else { "some" };
            format!("{kind} {} {}", covers("t0"), covers("t2"))
        }
        Err(refused) => refused.error().name().to_owned(),
    }
}

#[test]
fn commits_are_judged_by_member_and_epoch() {
    let alone = "m 0 -> 1 = t0,t1,t2,t3";
    // m is at epoch 2 and has t0, t1 from epoch 1, t2, t3 given to n at epoch 2.
    let shared = "m 0 -> 1 = t0,t1,t2,t3
        n 0 -> 2 =
        m 1 own=t0,t1,t2,t3 -> 1 = t0,t1
        m 1 own=t0,t1 -> 2
        n 2 own= -> 2 = t2,t3";
    // m gave t2 and t3 not up yet.
    let revoking = "m 0 -> 1 = t0,t1,t2,t3
        n 0 -> 2 =
        m 1 own=t0,t1,t2,t3 -> 1 = t0,t1";
    let table: &[(&str, &str, i32, bool, i16, &str)] = &[
        ("", "", -1, false, 8, "all true true"),
        ("m 0 -> 1 = t0,t1,t2,t3\nm -1 -> -1", "", -1, false, 8, "all true true"),
        ("", "m", 1, false, 9, "UNKNOWN_MEMBER_ID"),
        (alone, "", -1, false, 9, "UNKNOWN_MEMBER_ID"),
        (alone, "", -1, true, 3, "all true true"),
        (alone, "", -2, true, 3, "UNKNOWN_MEMBER_ID"),
        (alone, "m", 1, false, 9, "all true true"),
        (alone, "m", 1, false, 8, "UNSUPPORTED_VERSION"),
        (alone, "m", 1, true, 3, "all true true"),
        (alone, "m", 2, false, 9, "STALE_MEMBER_EPOCH"),
        (alone, "m", 2, true, 3, "STALE_MEMBER_EPOCH"),
        (alone, "m", 0, false, 9, "some false false"),
        (alone, "n", 1, false, 9, "UNKNOWN_MEMBER_ID"),
        (shared, "m", 2, false, 9, "all true true"),
        (shared, "m", 1, false, 9, "some true false"),
        (shared, "n", 2, false, 9, "all true true"),
        (shared, "n", 1, false, 9, "some false false"),
        (revoking, "m", 1, false, 9, "all true true"),
        (revoking, "m", 0, false, 9, "some false false"),
        (
            "m 0 -> 1 = t0,t1,t2,t3\nm 1 names=t,u own=t0,t1,t2,t3 -> 2 = t0,t1,t2,t3,u0,u1",
            "m",
            1,
            false,
            9,
            "some true true",
        ),
    ];
    for (lines, member_id, member_epoch, is_transactional, api_version, expected) in table {
        let committer = Committer {
            member_id,
            instance_id: None,
            member_epoch: *member_epoch,
            is_transactional: *is_transactional,
            api_version: *api_version,
        };
        assert_eq!(commit(lines, committer), *expected, "{committer:?} after {lines}");
    }
}

#[test]
fn fetches_are_judged_by_member_and_epoch() {
    let world = check("m 0 -> 1 = t0,t1,t2,t3");
    for (member_id, epoch, expected) in [
        (None, -1, "NONE"),
        (Some("m"), 1, "NONE"),
        (Some("m"), 0, "STALE_MEMBER_EPOCH"),
        (Some("m"), 2, "STALE_MEMBER_EPOCH"),
        (Some("n"), 1, "UNKNOWN_MEMBER_ID"),
        (Some(""), -1, "UNKNOWN_MEMBER_ID"),
        (None, 1, "UNKNOWN_MEMBER_ID"),
    ] {
        let answer = check_fetch(world.group.state(), member_id, epoch);
        let code = answer.map_or_else(|refused| refused.error().name(), |()| "NONE");
        assert_eq!(code, expected, "{member_id:?} with epoch {epoch}");
    }
}
