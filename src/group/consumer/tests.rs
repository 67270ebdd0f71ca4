//! States × heartbeats, in the language of [`script`].

mod offsets;
pub(super) mod script;
mod simulation;

use script::*;

use super::change::Change;
use super::group::{REGEX_REFRESH_INTERVAL_MS, REGEXES_PER_GROUP_BYTES_MAX, REGEXES_PER_GROUP_MAX};
use super::topics::Matching;
use super::{Assignor, Context, HeartbeatRequest, heartbeat, regex, request};

#[test]
fn a_member_that_joins_has_everything_at_once() {
    let world = check("m 0 -> 1 = t0,t1,t2,t3\n m 1 -> 1");
    assert_eq!(world.group.state().phase().name(), "Stable");
}

#[test]
fn a_heartbeat_that_changes_nothing_writes_nothing() {
    let mut world = check("m 0 -> 1 = t0,t1,t2,t3");
    let cx = Context { topics: &world.topics, settings: &world.settings, now_ms: 1 };
    let request = request(&["m", "1", "own=t0,t1,t2,t3"]);
    let outcome = heartbeat(&mut world.group, &request, 1, "", &cx).expect("accepted");
    assert_eq!((outcome.rows, outcome.answer.assignment), (vec![], None));
}

#[test]
fn partitions_are_given_up_before_they_are_given_away() {
    let world = check(
        "m 0 -> 1 = t0,t1,t2,t3
         n 0 -> 2 =
         n 2 -> 2
         m 1 own=t0,t1,t2,t3 -> 1 = t0,t1
         n 2 -> 2
         m 1 own=t0,t1,t2,t3 -> 1
         m 1 -> 1
         m 1 own=t0,t1 -> 2
         n 2 own= -> 2 = t2,t3",
    );
    assert_eq!(world.group.state().phase().name(), "Stable");
}

#[test]
fn invalid_requests() {
    for (line, version) in [
        ("m 0 no=own", 1),
        ("m 0 own=t0", 1),
        ("m 0 timeout=-1", 1),
        ("m 0 no=names", 1),
        ("m 0 group=", 1),
        ("m 0 instance=", 1),
        ("m 0 rack=", 1),
        ("m -3", 1),
        ("m -2", 1),
    ] {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(World::new().heartbeat(&request(&words), version), "INVALID_REQUEST", "{line}");
    }
    for (epoch, version, expected) in [
        (0, 0, "1 = t0,t1,t2,t3"),
        (0, 1, "INVALID_REQUEST"),
        (1, 0, "INVALID_REQUEST"),
        (1, 1, "INVALID_REQUEST"),
        (-1, 0, "INVALID_REQUEST"),
    ] {
        let request = HeartbeatRequest { member_id: String::new(), ..request(&["m", &epoch.to_string()]) };
        assert_eq!(World::new().heartbeat(&request, version), expected, "no member id, epoch {epoch} v{version}");
    }
    let huge = HeartbeatRequest { subscribed_topic_names: Some(vec!["x".repeat(1 << 20)]), ..request(&["m", "0"]) };
    assert_eq!(World::new().heartbeat(&huge, 1), "INVALID_REQUEST");
}

/// Each state with what members hear in it.
#[test]
fn states_and_heartbeats() {
    let states: &[(&str, &[(&str, &str)])] = &[
        (
            "",
            &[
                ("m 1", "GROUP_ID_NOT_FOUND"),
                ("m -1", "GROUP_ID_NOT_FOUND"),
                ("m -2 instance=i", "GROUP_ID_NOT_FOUND"),
                ("m 0 names=nothing", "1 ="),
                ("m 0 names=", "1 ="),
                ("m 0 assignor=other", "UNSUPPORTED_ASSIGNOR"),
                ("m 0 assignor=range", "1 = t0,t1,t2,t3"),
                ("m 0 regex=u.* no=names", "1 = u0,u1"),
                ("m 0 regex=u.*", "1 = t0,t1,t2,t3,u0,u1"),
                ("m 0 regex=( no=names", "INVALID_REGULAR_EXPRESSION"),
                ("m 0 instance=i", "1 = t0,t1,t2,t3"),
            ],
        ),
        // Stable, epoch 1.
        (
            "m 0",
            &[
                ("m 1", "1"),
                ("m 1 own=t0", "1"),
                ("m 1 own=t0 names=t timeout=10000", "1 = t0,t1,t2,t3"),
                ("m 2", "FENCED_MEMBER_EPOCH"),
                ("m 0", "1 = t0,t1,t2,t3"),
                ("n 1", "UNKNOWN_MEMBER_ID"),
                ("n -1", "UNKNOWN_MEMBER_ID"),
                ("m 1 instance=i", "UNKNOWN_MEMBER_ID"),
                ("m -1 instance=i", "UNKNOWN_MEMBER_ID"),
                ("m -2 instance=i", "UNKNOWN_MEMBER_ID"),
                ("m -1", "-1"),
                ("m 1 names=t,u own=t0,t1,t2,t3", "2 = t0,t1,t2,t3,u0,u1"),
                ("m 1 names=u own=t0,t1,t2,t3", "1 ="),
                ("m 1 names=u own=", "2 = u0,u1"),
                ("m 1 names= regex=[u] own=", "2 = u0,u1"),
                ("m 1 regex=( own=", "INVALID_REGULAR_EXPRESSION"),
                ("m 1 assignor=range", "1"),
                ("m 1 assignor=other", "UNSUPPORTED_ASSIGNOR"),
            ],
        ),
        // Epoch 2 after epoch 1: the answer with 2 may have been lost.
        (
            "m 0\nm 1 names=t,u own=t0,t1,t2,t3",
            &[
                ("m 2", "2"),
                ("m 1", "FENCED_MEMBER_EPOCH"),
                ("m 1 own=t0,t1", "2"),
                ("m 1 own=x0", "FENCED_MEMBER_EPOCH"),
                ("m 1 own=t0,t1 names=t,u timeout=10000", "2 = t0,t1,t2,t3,u0,u1"),
                ("m 3", "FENCED_MEMBER_EPOCH"),
            ],
        ),
        // m has to give t2 and t3 up.
        (
            "m 0\nn 0\nm 1 own=t0,t1,t2,t3",
            &[
                ("m 1", "1"),
                ("m 1 own=t0,t1,t2,t3", "1"),
                ("m 1 own=t0,t1,t2", "1"),
                ("m 1 own=t0,t1", "2"),
                ("m 1 own=", "2"),
                ("m 2", "FENCED_MEMBER_EPOCH"),
                ("m 0", "2 = t0,t1"),
                ("m 1 names=u own=t0,t1,t2,t3", "1 ="),
                ("m 1 names=u own=", "3 = u0,u1"),
                ("m -1", "-1"),
                ("n 2 own=", "2"),
                ("n 2 own= names=u", "3 = u0,u1"),
            ],
        ),
        // A static member.
        (
            "m 0 instance=i",
            &[
                ("m 1", "1"),
                ("m 1 instance=i", "1"),
                ("m 2 instance=i", "FENCED_MEMBER_EPOCH"),
                ("n 1 instance=i", "FENCED_INSTANCE_ID"),
                ("n 0 instance=i", "UNRELEASED_INSTANCE_ID"),
                ("m 0 instance=i", "UNRELEASED_INSTANCE_ID"),
                ("n -1 instance=i", "FENCED_INSTANCE_ID"),
                ("n -2 instance=i", "FENCED_INSTANCE_ID"),
                ("m -2 instance=i", "-2"),
                ("m -1 instance=i", "-1"),
                ("m -1", "-1"),
                ("m 1 instance=j", "UNKNOWN_MEMBER_ID"),
            ],
        ),
        // It left for a while.
        (
            "m 0 instance=i\nm -2 instance=i",
            &[
                ("n 0 instance=i", "1 = t0,t1,t2,t3"),
                ("m 0 instance=i", "1 = t0,t1,t2,t3"),
                ("n 0 instance=i names=u", "2 = u0,u1"),
                ("m 1 instance=i", "FENCED_MEMBER_EPOCH"),
                ("n 1 instance=i", "FENCED_INSTANCE_ID"),
                ("n 0", "2 ="),
                ("m -1 instance=i", "-1"),
            ],
        ),
        // A full group, one of it static and away.
        (
            "m 0 instance=i\nn 0\no 0\nm -2 instance=i",
            &[
                ("p 0", "GROUP_MAX_SIZE_REACHED"),
                ("p 1", "GROUP_MAX_SIZE_REACHED"),
                ("p 0 instance=j", "GROUP_MAX_SIZE_REACHED"),
                ("p -1", "UNKNOWN_MEMBER_ID"),
                ("n 0", "3 ="),
                ("p 0 instance=i", "3 = t0,t1"),
            ],
        ),
    ];
    for (state, heartbeats) in states {
        for (heartbeat, expected) in *heartbeats {
            let mut world = World::new();
            state.lines().for_each(|line| {
                world.run(line);
            });
            assert_eq!(world.run(heartbeat), *expected, "{heartbeat} after {state:?}");
        }
    }
}

#[test]
fn a_static_member_comes_back_to_what_it_had_and_nobody_notices() {
    let world = check(
        "m 0 instance=i -> 1 = t0,t1,t2,t3
         n 0 -> 2 =
         m 1 own=t0,t1,t2,t3 -> 1 = t0,t1
         m 1 own=t0,t1 -> 2
         n 2 own= -> 2 = t2,t3
         m -2 instance=i -> -2
         n 2 -> 2
         k 0 instance=i -> 2 = t0,t1
         n 2 -> 2
         m 2 instance=i -> FENCED_INSTANCE_ID",
    );
    assert_eq!(world.group.state().phase().name(), "Stable");
    assert_eq!(world.group.state().epochs.group_epoch, 2);
}

#[test]
fn a_member_that_goes_silent_is_given_up_after_its_session() {
    check(
        "m 0 -> 1 = t0,t1,t2,t3
         n 0 -> 2 =
         wait 44999
         n 2 own= -> 2
         wait 1 -> m Session
         n 2 own= -> 3 = t0,t1,t2,t3
         m 1 -> UNKNOWN_MEMBER_ID",
    );
}

#[test]
fn a_revocation_that_is_not_confirmed_in_time_removes_the_member() {
    check(
        "m 0 -> 1 = t0,t1,t2,t3
         n 0 -> 2 =
         m 1 own=t0,t1,t2,t3 -> 1 = t0,t1
         wait 9999
         m 1 own=t0,t1,t2,t3 -> 1
         m 1 own=t0,t1,t2,t3 names=t,u -> 1
         n 2 own= -> 3
         wait 1 -> m Rebalance
         n 3 own= -> 4 = t0,t1,t2,t3",
    );
}

#[test]
fn a_confirmed_revocation_stops_the_clock() {
    check(
        "m 0 -> 1 = t0,t1,t2,t3
         n 0 -> 2 =
         m 1 own=t0,t1,t2,t3 -> 1 = t0,t1
         m 1 own=t0,t1 -> 2
         wait 20000",
    );
}

#[test]
fn after_a_restart_everybody_has_the_full_time() {
    check(
        "m 0 -> 1 = t0,t1,t2,t3
         n 0 -> 2 =
         m 1 own=t0,t1,t2,t3 -> 1 = t0,t1
         wait 9000
         restart
         wait 9999
         n 2 -> 2
         wait 1 -> m Rebalance
         wait 34999
         restart
         wait 44999
         wait 1 -> n Session",
    );
}

#[test]
fn new_partitions_and_topics_are_handed_out() {
    check(
        "m 0 names=t,x -> 1 = t0,t1,t2,t3
         grow t 5
         m 1 -> 2 = t0,t1,t2,t3,t4
         grow x 1
         m 2 -> 3 = t0,t1,t2,t3,t4,x0
         grow y 1
         m 3 -> 3",
    );
}

#[test]
fn patterns_find_new_topics_but_not_more_often_than_they_may() {
    check(
        "m 0 no=names regex=[ux] -> 1 = u0,u1
         m 1 -> 1
         grow x 1
         m 1 -> 1
         wait 1000
         m 1 -> 2 = u0,u1,x0
         restart
         m 2 -> 2
         m 2 regex= own= -> 3 =",
    );
}

#[test]
fn the_assignor_is_the_one_most_members_prefer() {
    let mut world = World::new();
    let assignor = |world: &World| world.group.assignor(&world.settings);
    for (line, expected) in [
        ("m 0", Assignor::Uniform),
        ("n 0 assignor=range", Assignor::Range),
        ("o 0 assignor=uniform", Assignor::Uniform),
        ("m 0 assignor=range", Assignor::Range),
    ] {
        world.run(line);
        assert_eq!(assignor(&world), expected, "after {line}");
    }
}

#[test]
fn deleting_a_group_leaves_no_rows() {
    let mut world = World::new();
    world.run("m 0 instance=i regex=u");
    world.run("n 0");
    assert!(world.rows.len() > 5);
    let deletions: Vec<Change> = world.group.state().deletions();
    for change in &deletions {
        world.rows.remove(&change.row().key);
    }
    assert!(world.rows.is_empty(), "left: {:?}", world.rows);
}

/// Whatever it is in which a member brings more along than may be kept of it, it is refused, and the group is as it was.
#[test]
fn what_one_member_brings_along_has_a_limit() {
    let mut world = World::new();
    let large = "n".repeat(request::MEMBER_TEXT_BYTES_MAX);
    let pattern = "u".repeat(regex::REGEX_PATTERN_BYTES_MAX + 1);
    let nested = format!("{}u{}", "(".repeat(200), ")".repeat(200));
    let refused = [
        (format!("m 0 names={large}"), "INVALID_REQUEST"),
        (format!("m 0 instance={large}"), "INVALID_REQUEST"),
        (format!("m 0 rack={large}"), "INVALID_REQUEST"),
        (format!("m 0 regex={pattern}"), "INVALID_REGULAR_EXPRESSION"),
        (format!("m 0 regex={nested}"), "INVALID_REGULAR_EXPRESSION"),
        ("m 0 regex=(a{999}){999}".to_owned(), "INVALID_REGULAR_EXPRESSION"),
    ];
    for joined in ["", "m 0"] {
        if !joined.is_empty() {
            world.run(joined);
        }
        for (line, error) in &refused {
            assert_eq!(world.run(line), *error, "{}", &line[..line.len().min(40)]);
        }
    }
    assert_eq!(world.run("m 1"), "1");
}

#[test]
fn patterns_of_a_group_are_limited_in_number_and_bytes() {
    let is_refused = |world: &mut World, at: usize, pattern: &str| {
        world.run(&format!("m{at} 0 no=names regex={pattern}")) == "INVALID_REQUEST"
    };
    let mut world = World::new();
    world.settings.max_size = 100;
    for at in 0..REGEXES_PER_GROUP_MAX {
        assert!(!is_refused(&mut world, at, &format!("u{at}")), "{at}");
    }
    assert!(is_refused(&mut world, 98, "new"));
    assert!(!is_refused(&mut world, 99, "u0"), "another has it");
    assert!(is_refused(&mut world, 99, "new"), "the other keeps it");
    assert!(!is_refused(&mut world, 1, "new"), "one comes for one");
    assert_eq!(world.group.state().regexes.len(), REGEXES_PER_GROUP_MAX);
    let mut world = World::new();
    world.settings.max_size = 100;
    let fit = REGEXES_PER_GROUP_BYTES_MAX / regex::REGEX_PATTERN_BYTES_MAX;
    for at in 0..fit {
        let long = format!("{at}{}", "u".repeat(regex::REGEX_PATTERN_BYTES_MAX - 1));
        assert!(!is_refused(&mut world, at, &long), "{at}");
    }
    assert!(is_refused(&mut world, fit, "u"));
}

#[test]
fn patterns_are_matched_by_others_and_waited_for() {
    let mut world = World::new();
    let matched = |world: &World| [("[uv]".to_owned(), Matching::of("[uv]", &world.topics).expect("a pattern"))].into();
    world.topics.matched = Some(Default::default());
    assert_eq!(world.run("n 1 regex=[uv]"), "GROUP_ID_NOT_FOUND", "what is refused anyway is not matched");
    let join = "m 0 no=names regex=[uv]";
    assert_eq!(world.run(join), "COORDINATOR_LOAD_IN_PROGRESS");
    // A topic comes before what was found out is used.
    let early = matched(&world);
    world.run("grow v 1");
    world.topics.matched = Some(early);
    assert_eq!(world.run(join), "1 = u0,u1");
    let stale = |world: &World| {
        let cx = Context { topics: &world.topics, settings: &world.settings, now_ms: world.now_ms };
        world.group.stale_regexes(&cx)
    };
    assert!(stale(&world).is_empty(), "it is too soon");
    world.now_ms += REGEX_REFRESH_INTERVAL_MS;
    assert_eq!(stale(&world), ["[uv]"]);
    world.topics.matched = Some(Default::default());
    assert_eq!(world.run("m 1 own=u0,u1"), "1", "it goes on with what there is");
    assert_eq!(stale(&world), ["[uv]"]);
    world.topics.matched = Some(matched(&world));
    assert_eq!(world.run("m 1 own=u0,u1"), "2 = u0,u1,v0");
    assert!(stale(&world).is_empty());
    // Another pattern was matched before the topics that the others have seen.
    let early = Matching::of("w", &world.topics).expect("a pattern");
    world.run("grow w 1");
    world.now_ms += REGEX_REFRESH_INTERVAL_MS;
    world.topics.matched = Some(matched(&world));
    assert_eq!(world.run("m 2 own=u0,u1,v0"), "2");
    world.now_ms += REGEX_REFRESH_INTERVAL_MS;
    assert!(stale(&world).is_empty());
    world.topics.matched = Some([("w".to_owned(), early)].into());
    assert_eq!(world.run("n 0 no=names regex=w"), "3 =");
    assert_eq!(stale(&world), ["[uv]", "w"]);
}

/// Each targets that are computed are told by what made the former ones old, first.
#[test]
fn each_rebalance_is_told_by_what_began_it() {
    use crate::group::rebalance_reason::RebalanceReason::*;
    let mut world = World::new();
    for (lines, expected) in [
        (&["m 0"][..], &[Join][..]),
        (&["m 1"], &[]),
        (&["n 0"], &[Join]),
        (&["grow t 5", "m 1 own=t0,t1"], &[Metadata]),
        (&["n 2 names=t,u own="], &[Metadata]),
        // An assignor that somebody prefers alone makes no targets old.
        (&["n 2 assignor=range"], &[]),
        (&["n -1"], &[]),
        (&["o 0"], &[Leave]),
    ] {
        lines.iter().for_each(|line| drop(world.run(line)));
        assert_eq!(world.group.take_rebalances(), expected, "{lines:?}");
    }
    let mut world = World::new();
    for (lines, expected) in [
        (&["m 0", "o 0"][..], &[Join, Join][..]),
        // It is to give something up, and does not.
        (&["m 1 own=t0,t1,t2,t3", "wait 10000", "o 0"], &[RebalanceTimeout]),
        (&["p 0"], &[Join]),
        (&["wait 40000", "o 0", "wait 6000", "o 0"], &[SessionTimeout]),
    ] {
        lines.iter().for_each(|line| drop(world.run(line)));
        assert_eq!(world.group.take_rebalances(), expected, "{lines:?}");
    }
}
