//! A clean history has no anomaly; one planted fault of each kind is found, and nothing else with it.

use super::{HANGING_NS_MAX, TransactionCounts, check_transactions};
use crate::event::{Event, crc32};

/// `p:1` is value 1 of p; in the output with the transaction that wrote it, `p:1/t1`.
fn payload(value: &str) -> String {
    let (value, fill) = value.split_once('/').unwrap_or((value, "fill"));
    let body = format!("{}/{fill}", value.replace(':', "/"));
    format!("{body}/{:08x}", crc32(body.as_bytes()))
}

fn parts(value: &str) -> (String, u64) {
    let (producer, seq) = value.split_once(':').expect("producer:seq");
    (producer.into(), seq.parse().expect("a number"))
}

/// Lines of one observer each: their first word names it.
fn histories(text: &str) -> Vec<Vec<Event>> {
    let mut by_observer: std::collections::BTreeMap<&str, Vec<Event>> = std::collections::BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        by_observer.entry(words[0]).or_default().push(event(&words));
    }
    by_observer.into_values().collect()
}

fn event(words: &[&str]) -> Event {
    let time = |word: &str| word.strip_prefix('@').and_then(|at| at.parse().ok()).expect("@time");
    let place = |word: &str| -> (i32, i64) {
        let (partition, offset) = word.split_once(':').expect("partition:offset");
        (partition.parse().expect("a partition"), offset.parse().expect("an offset"))
    };
    let number = |word: &str| word.parse::<u64>().expect("a number");
    match words[..] {
        ["in", at, value] => {
            let (partition, offset) = place(at);
            Event::Drain { partition, offset, payload: payload(value) }
        }
        [id, "init", instance, at] => Event::Initialized { id: id.into(), instance: number(instance), at: time(at) },
        [id, "begin", txn, instance, at] => {
            Event::Begin { id: id.into(), instance: number(instance), txn: txn.into(), at: time(at) }
        }
        [_, "consumed", txn, at, value] => {
            let (partition, offset) = place(at);
            Event::Consumed { txn: txn.into(), partition, offset, payload: payload(value) }
        }
        [_, "send", txn, value, partition] => {
            let (producer, seq) = parts(value);
            Event::Send { txn: txn.into(), producer, seq, partition: partition.parse().expect("a partition") }
        }
        [_, "sent", txn, value, at] => {
            let ((producer, seq), (partition, offset)) = (parts(value), place(at));
            Event::Sent { txn: txn.into(), producer, seq, partition, offset }
        }
        [_, "staged", txn, at] => {
            let (partition, offset) = place(at);
            Event::Staged { txn: txn.into(), partition, offset }
        }
        [_, "ending", txn, how, at] => Event::Ending { txn: txn.into(), commit: how == "commit", at: time(at) },
        [_, "ended", txn, how, at] => Event::Ended { txn: txn.into(), commit: how == "commit", at: time(at) },
        [reader, how @ ("committed" | "all"), poll, at, value, when] => {
            let (partition, offset) = place(at);
            let (committed, poll, at) = (how == "committed", number(poll), time(when));
            Event::Polled { reader: reader.into(), committed, poll, partition, offset, payload: payload(value), at }
        }
        [reader, "seek", partition] => {
            Event::Positioned { reader: reader.into(), partition: partition.parse().expect("a partition") }
        }
        [reader, "ends", partition, start, stable, high, at] => {
            let [start, stable, high] = [start, stable, high].map(|offset| offset.parse().expect("an offset"));
            let partition = partition.parse().expect("a partition");
            Event::Ends { reader: reader.into(), partition, start, stable, high, at: time(at) }
        }
        ["look", at, when] => {
            let (partition, offset) = place(at);
            Event::Offset { partition, offset, asked: time(when) }
        }
        ["final", how, at, "garbage"] => {
            let (partition, offset) = place(at);
            Event::Final { committed: how == "committed", partition, offset, payload: "p/1/t1/00000000".into() }
        }
        ["final", how, at, value] => {
            let (partition, offset) = place(at);
            Event::Final { committed: how == "committed", partition, offset, payload: payload(value) }
        }
        _ => panic!("{words:?}?"),
    }
}

/// t1 commits p:1 and p:2, t2 aborts p:3 and p:4, t3 commits these; t4 of the next instance has no answer and did not commit.
const CLEAN: &str = "
    in 0:0 p:1
    in 1:0 p:2
    in 0:1 p:3
    in 1:1 p:4
    a init 1 @1
    a begin t1 1 @2
    a consumed t1 0:0 p:1
    a send t1 p:1 0
    a consumed t1 1:0 p:2
    a send t1 p:2 1
    a sent t1 p:1 0:0
    a sent t1 p:2 1:0
    a staged t1 0:1
    a staged t1 1:1
    a ending t1 commit @10
    a ended t1 commit @20
    a begin t2 1 @21
    a consumed t2 0:1 p:3
    a send t2 p:3 0
    a send t2 p:4 1
    a sent t2 p:3 0:2
    a sent t2 p:4 1:2
    a staged t2 0:2
    a ending t2 abort @30
    a ended t2 abort @31
    a begin t3 1 @32
    a consumed t3 0:1 p:3
    a send t3 p:3 0
    a consumed t3 1:1 p:4
    a send t3 p:4 1
    a sent t3 p:3 0:4
    a sent t3 p:4 1:4
    a staged t3 0:2
    a staged t3 1:2
    a ending t3 commit @40
    a ended t3 commit @50
    a init 2 @60
    a begin t4 2 @61
    a send t4 p:9 0
    r committed 1 0:0 p:1/t1 @12
    r ends 0 0 2 2 @13
    r committed 2 1:0 p:2/t1 @14
    r committed 3 0:4 p:3/t3 @45
    r ends 0 0 6 6 @46
    r committed 4 1:4 p:4/t3 @51
    u all 1 0:0 p:1/t1 @3
    u all 1 1:0 p:2/t1 @3
    u all 2 0:2 p:3/t2 @22
    u all 2 0:4 p:3/t3 @33
    look 0:0 @1
    look 0:1 @15
    look 1:1 @21
    look 0:2 @51
    look 1:2 @51
    final committed 0:0 p:1/t1
    final committed 1:0 p:2/t1
    final committed 0:4 p:3/t3
    final committed 1:4 p:4/t3
    final all 0:0 p:1/t1
    final all 1:0 p:2/t1
    final all 0:2 p:3/t2
    final all 1:2 p:4/t2
    final all 0:4 p:3/t3
    final all 1:4 p:4/t3";

/// Names of the anomalies in `CLEAN` with lines replaced.
fn found(faults: &[(&str, &str)]) -> Vec<String> {
    let text = faults.iter().fold(CLEAN.to_owned(), |text, (line, fault)| {
        assert!(text.contains(line), "{line} is not in the clean history");
        text.replacen(line, fault, 1)
    });
    let (_, anomalies) = check_transactions(&histories(&text));
    anomalies.iter().map(|anomaly| format!("{anomaly:?}").split(' ').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_clean_history_of_transactions_has_no_anomaly() {
    let (counts, anomalies) = check_transactions(&histories(CLEAN));
    assert_eq!(anomalies, []);
    let expected = TransactionCounts {
        begun: 4,
        committed: 2,
        aborted: 1,
        unknown: 1,
        unknown_committed: 0,
        values: 4,
        polled: 8,
        looks: 5,
    };
    assert_eq!(counts, expected);
}

#[test]
fn each_planted_fault_of_a_transaction_is_found_and_named() {
    let held = HANGING_NS_MAX + 50;
    let hanging = format!("r ends 0 0 2 3 @14\n r ends 0 0 2 4 @{held}\n r ends 0 0 6 6 @{held}");
    let freed = "r ends 0 0 2 3 @14\n r ends 0 0 2 4 @15\n r ends 0 0 6 6 @16";
    let table: &[(&str, &[(&str, &str)])] = &[
        ("AbortedRead", &[("r committed 3", "r committed 3 0:2 p:3/t2 @44\n r committed 3")]),
        ("AbortedRead", &[("a send t4 p:9 0", "a consumed t4 0:2 p:3/t2\n a send t4 p:9 0")]),
        ("PreCommittedRead", &[("a staged t1 0:1", "a consumed t1 0:0 p:1/t1\n a staged t1 0:1")]),
        ("DirtyRead", &[("r committed 1 0:0 p:1/t1 @12", "r committed 1 0:0 p:1/t1 @9")]),
        ("DurabilityLoss", &[("final all 1:2 p:4/t2", "")]),
        ("DurabilityLoss", &[("u all 2 0:2", "u all 2 0:1 p:9/t4 @21\n u all 2 0:2")]),
        ("TwoValuesAtOneOffset", &[("u all 2 0:2 p:3/t2", "u all 2 0:2 p:9/t4")]),
        ("Corrupt", &[("final all 1:4 p:4/t3", "final all 1:4 p:4/t3\n final all 1:6 garbage")]),
        ("NeverSent", &[("final all 1:4 p:4/t3", "final all 1:4 p:4/t3\n final all 1:5 p:9/t9")]),
        ("NeverSent", &[("final all 1:4 p:4/t3", "final all 1:4 p:4/t3\n final all 1:5 q:9/t3")]),
        ("DoubleEffect", &[("final all 0:4", "final all 0:5 p:9/t4\n final all 0:6 p:9/t4\n final all 0:4")]),
        ("Duplicate", &[("final all 0:4", "final all 0:5 p:3/t2\n final all 0:4")]),
        (
            "Duplicate",
            &[
                ("a send t4 p:9 0", "a send t4 p:1 0\n a ending t4 commit @70"),
                ("final all 0:4", "final all 0:6 p:1/t4\n final committed 0:6 p:1/t4\n final all 0:4"),
            ],
        ),
        ("WrongOffset", &[("a sent t2 p:4 1:2", "a sent t2 p:4 1:3")]),
        ("SpuriousZero", &[("a sent t2 p:4 1:2", "a sent t2 p:4 1:0")]),
        ("SpuriousZero", &[("look 0:2 @51", "look 0:2 @51\n look 0:0 @52\n look 0:2 @53")]),
        ("SpuriousZero", &[("r ends 0 0 6 6 @46", "r ends 0 0 0 0 @45\n r ends 0 0 6 6 @46")]),
        ("ZombieWrite", &[("a init 2 @60", "a init 2 @39")]),
        ("WatermarkRegression", &[("r ends 0 0 6 6 @46", "r ends 0 0 6 6 @46\n r ends 0 0 6 5 @47")]),
        ("WatermarkRegression", &[("r ends 0 0 6 6 @46", "r ends 0 0 6 6 @46\n r ends 0 0 5 6 @47")]),
        ("WatermarkRegression", &[("r ends 0 0 6 6 @46", "r ends 0 0 7 6 @46")]),
        ("WatermarkRegression", &[("r ends 0 0 2 2 @13", "r ends 0 1 2 2 @13")]),
        ("Gap", &[("final all 1:4 p:4/t3", "final all 1:4 p:4/t3\n final all 1:8 p:9/t4")]),
        ("Hanging", &[("r ends 0 0 6 6 @46", &hanging)]),
        ("StaleOffset", &[("look 1:2 @51", "look 1:1 @51\n look 1:2 @52")]),
        ("OffsetBackwards", &[("look 1:2 @51", "look 1:2 @41\n look 1:1 @42\n look 1:2 @51")]),
        ("OffsetOfNoCommit", &[("look 1:2 @51", "look 1:2 @51\n look 0:9 @52")]),
        ("NonMonotonicPoll", &[("r committed 3", "r committed 3 0:0 p:1/t1 @44\n r committed 3")]),
        ("PollSkip", &[("u all 2 0:2 p:3/t2 @22\n", "")]),
        (
            "IntermediateRead",
            &[
                ("a sent t1 p:1 0:0", "a send t1 q:0 0\n a sent t1 q:0 0:1\n a sent t1 p:1 0:0"),
                ("final committed 0:0", "final committed 0:1 q:0/t1\n final committed 0:0"),
                ("final all 0:0 p:1/t1", "final all 0:0 p:1/t1\n final all 0:1 q:0/t1"),
                ("u all 2 0:2 p:3/t2 @22", "u seek 0\n u all 2 0:2 p:3/t2 @22"),
            ],
        ),
        (
            "NonMonotonicSend",
            &[
                ("a send t3 p:3 0", "a send t3 p:0 0"),
                ("a sent t3 p:3 0:4", "a sent t3 p:0 0:4"),
                ("in 0:1 p:3", "in 0:1 p:0"),
                ("r committed 3 0:4 p:3/t3", "r committed 3 0:4 p:0/t3"),
                ("u all 2 0:4 p:3/t3", "u all 2 0:4 p:0/t3"),
                ("final committed 0:4 p:3/t3", "final committed 0:4 p:0/t3"),
                ("final all 0:4 p:3/t3", "final all 0:4 p:0/t3"),
            ],
        ),
        ("ConsumeTransformProduce", &[("in 1:1 p:4", "in 1:1 p:4\n in 1:2 p:4")]),
        ("ConsumeTransformProduce", &[("in 1:1 p:4", "in 1:1 p:5")]),
        (
            "Cycle",
            &[
                ("a staged t1 0:1", "a consumed t1 0:4 p:3/t3\n a staged t1 0:1"),
                ("a staged t3 0:2", "a consumed t3 0:0 p:1/t1\n a staged t3 0:2"),
            ],
        ),
        ("Cycle", &[("a staged t1 0:1", "a consumed t1 0:4 p:3/t3\n a staged t1 0:1")]),
    ];
    let mut failures = Vec::new();
    for (expected, faults) in table {
        let mut names = found(faults);
        names.dedup();
        if names != [*expected] {
            failures.push(format!("{expected}: {names:?} of {faults:?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(found(&[("r ends 0 0 6 6 @46", freed)]), [] as [&str; 0], "held back for a while only");
}

/// What is lost with a whole transaction, in part, or from the end; the offsets go with it, so that these faults show twice.
#[test]
fn lost_and_torn_transactions_are_told_apart() {
    let gone = |lines: &[&str]| {
        let faults: Vec<(String, String)> = lines.iter().map(|line| ((*line).to_owned(), String::new())).collect();
        let faults: Vec<(&str, &str)> = faults.iter().map(|(line, fault)| (line.as_str(), fault.as_str())).collect();
        found(&faults).into_iter().filter(|name| name != "ConsumeTransformProduce").collect::<Vec<_>>()
    };
    assert_eq!(gone(&["final committed 0:0 p:1/t1", "final committed 1:0 p:2/t1"]), ["LostWrite", "LostWrite"]);
    assert_eq!(gone(&["final committed 0:4 p:3/t3", "final committed 1:4 p:4/t3"]), ["Unseen", "Unseen"]);
    assert_eq!(gone(&["final committed 1:4 p:4/t3"]), ["Torn"]);
    let aborted = found(&[("final all 0:0", "final committed 0:2 p:3/t2\n final all 0:0")]);
    assert!(aborted.contains(&"AbortedRead".to_owned()), "{aborted:?}");
}
