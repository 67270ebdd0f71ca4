//! A clean history of a group has no anomaly; one planted fault of each kind is found, and nothing else with it.

use super::{GroupCounts, check_group};
use crate::event::Event;

/// One history a member, as text: `ID assigned p @t`, `ID revoked p @t`, `ID processed p:o payload @t`, `ID committing p:o @t`,
/// `ID committed p:o @t`; `look p:o @t` of the observer, `drain p:o payload`.
fn histories(text: &str) -> Vec<Vec<Event>> {
    let mut by_observer: std::collections::BTreeMap<&str, Vec<Event>> = std::collections::BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        by_observer.entry(words[0]).or_default().push(event(&words));
    }
    by_observer.into_values().collect()
}

fn event(words: &[&str]) -> Event {
    let at = words.last().and_then(|word| word.strip_prefix('@')).map_or(0, |at| at.parse().expect("a time"));
    let place = |word: &str| {
        let (partition, offset) = word.split_once(':').unwrap_or((word, "0"));
        (partition.parse().expect("a partition"), offset.parse().expect("an offset"))
    };
    let member = words[0].to_owned();
    match words[..] {
        ["drain", at, payload] => {
            let (partition, offset) = place(at);
            Event::Drain { partition, offset, payload: payload.to_owned() }
        }
        ["look", what, _] => {
            let (partition, offset) = place(what);
            Event::Offset { partition, offset, asked: at }
        }
        [_, "assigned", partition, _] => Event::Assigned { member, partition: place(partition).0, at },
        [_, "revoked", partition, _] => Event::Revoked { member, partition: place(partition).0 },
        [_, "processed", what, payload, _] => {
            let (partition, offset) = place(what);
            Event::Processed { member, partition, offset, payload: payload.to_owned() }
        }
        [_, "committing", what, _] => {
            let (partition, offset) = place(what);
            Event::Committing { partition, offset }
        }
        [_, "committed", what, _] => {
            let (partition, offset) = place(what);
            Event::Committed { partition, offset, at }
        }
        _ => panic!("{words:?}?"),
    }
}

/// b takes over what a had not committed.
const CLEAN: &str = "
    a assigned 0 @1
    a processed 0:0 v0 @2
    a processed 0:1 v1 @3
    a committing 0:2 @4
    a committed 0:2 @5
    a processed 0:2 v2 @6
    a committing 0:3 @7
    a revoked 0 @8
    look 0:0 @1
    look 0:2 @6
    look 0:2 @7
    look 0:3 @9
    b assigned 0 @10
    b processed 0:2 v2 @11
    b processed 0:3 v3 @12
    b committing 0:4 @13
    b committed 0:4 @14
    look 0:4 @15
    b revoked 0 @16
    drain 0:0 v0
    drain 0:1 v1
    drain 0:2 v2
    drain 0:3 v3";

/// Names of the anomalies in `CLEAN` with lines replaced.
fn found(faults: &[(&str, &str)]) -> Vec<String> {
    let text = faults.iter().fold(CLEAN.to_owned(), |text, (line, fault)| {
        assert!(text.contains(line), "{line} is not in the clean history");
        text.replacen(line, fault, 1)
    });
    let (_, anomalies) = check_group(&histories(&text));
    anomalies.iter().map(|anomaly| format!("{anomaly:?}").split(' ').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_clean_history_of_a_group_has_no_anomaly() {
    let (counts, anomalies) = check_group(&histories(CLEAN));
    assert_eq!(anomalies, []);
    let expected = GroupCounts { members: 2, assignments: 2, processed: 5, again: 1, commits: 2, looks: 5 };
    assert_eq!(counts, expected);
}

#[test]
fn each_planted_fault_of_a_group_is_found_and_named() {
    let table: &[(&str, &[(&str, &str)])] = &[
        ("NeverProcessed", &[("drain 0:3 v3", "drain 0:3 v3\n drain 0:4 v4")]),
        ("NeverProcessed", &[("drain 0:3 v3", "drain 0:3 v3\n drain 1:0 v5")]),
        ("WrongRecord", &[("b processed 0:3 v3", "b processed 0:3 v1")]),
        ("WrongRecord", &[("b processed 0:3 v3", "b processed 0:3 v3 @12\n b processed 0:4 v4")]),
        ("NotAssigned", &[("b revoked 0 @16", "b revoked 0 @16\n b processed 0:3 v3 @17")]),
        ("NotAssigned", &[("b revoked 0 @16", "a processed 0:3 v3 @17")]),
        ("OutOfOrder", &[("b processed 0:3 v3 @12", "b processed 0:3 v3 @12\n b processed 0:3 v3 @12")]),
        (
            "OutOfOrder",
            &[("a processed 0:1 v1 @3", "a processed 0:1 v1 @3\n a processed 0:0 v0 @3\n a processed 0:1 v1 @3")],
        ),
        ("HandedOutAgain", &[("b processed 0:2 v2 @11", "b processed 0:1 v1 @11\n b processed 0:2 v2 @11")]),
        ("HandedOutAgain", &[("b revoked 0 @16", "b assigned 0 @16\n b processed 0:3 v3 @17")]),
        ("CommitBackwards", &[("look 0:2 @7", "look 0:3 @7\n look 0:2 @7")]),
        ("CommitLost", &[("look 0:2 @6\n    look 0:2 @7", "look 0:0 @6")]),
        ("CommitLost", &[("look 0:4 @15", "look 0:3 @15")]),
        ("CommittedByNobody", &[("look 0:4 @15", "look 0:5 @15")]),
    ];
    for (expected, faults) in table {
        let mut names = found(faults);
        names.dedup();
        assert_eq!(names, [*expected], "{faults:?}");
    }
}

#[test]
fn what_was_not_committed_in_time_may_be_handed_out_again() {
    // Acknowledged after b had the partition: b may have asked before.
    assert_eq!(found(&[("a revoked 0 @8", "a committed 0:3 @11\n a revoked 0 @8")]), [] as [&str; 0]);
    // Acknowledged before.
    assert_eq!(found(&[("a revoked 0 @8", "a committed 0:3 @8\n a revoked 0 @8")]), ["HandedOutAgain"]);
}

#[test]
fn lines_of_the_members_are_understood() {
    let line = r#"{"op":"processed","member":"m","partition":1,"at":7,"offset":9,"payload":"x"}"#;
    assert!(matches!(serde_json::from_str(line), Ok(Event::Processed { offset: 9, .. })));
    let line = r#"{"op":"offset","partition":1,"offset":9,"asked":7}"#;
    assert!(matches!(serde_json::from_str(line), Ok(Event::Offset { offset: 9, asked: 7, .. })));
}
