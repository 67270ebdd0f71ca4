//! A clean history has no anomaly; one planted fault of each kind is found, and nothing else with it.

use super::check;
use crate::event::{Event, crc32};

fn payload(producer: &str, seq: u64) -> String {
    let body = format!("{producer}/{seq}/fill");
    format!("{body}/{:08x}", crc32(body.as_bytes()))
}

/// A history as text: `invoke p 1`, `ok p 1 @0:5`, `fail p 1`, `drain p 1 @0:5`, `read r p 1 @0:5`, `high r 0 7`,
/// `garbage @0:5`; one a line.
fn history(text: &str) -> Vec<Event> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(event).collect()
}

fn event(line: &str) -> Event {
    let words: Vec<&str> = line.split_whitespace().collect();
    let place = || {
        let (partition, offset) = words.last().and_then(|word| word.strip_prefix('@')?.split_once(':')).expect("@p:o");
        (partition.parse().expect("a partition"), offset.parse().expect("an offset"))
    };
    let number = |index: usize| words[index].parse::<u64>().expect("a number");
    match words[0] {
        "invoke" => Event::Invoke { producer: words[1].into(), seq: number(2) },
        "ok" => {
            let (partition, offset) = place();
            Event::Ok { producer: words[1].into(), seq: number(2), partition, offset }
        }
        "fail" => Event::Fail { producer: words[1].into(), seq: number(2) },
        "unknown" => Event::Unknown,
        "drain" => {
            let (partition, offset) = place();
            Event::Drain { partition, offset, payload: payload(words[1], number(2)) }
        }
        "read" => {
            let (partition, offset) = place();
            Event::Read { reader: words[1].into(), partition, offset, payload: payload(words[2], number(3)) }
        }
        "high" => Event::Watermark { reader: words[1].into(), partition: number(2) as i32, high: number(3) as i64 },
        "garbage" => {
            let (partition, offset) = place();
            Event::Drain { partition, offset, payload: "p/1/fill/00000000".into() }
        }
        other => panic!("{other}?"),
    }
}

const CLEAN: &str = "
    invoke p 1
    invoke p 2
    invoke q 1
    ok p 1 @0:0
    high r 0 1
    read r p 1 @0:0
    ok q 1 @0:1
    ok p 2 @0:2
    high r 0 3
    read r q 1 @0:1
    invoke p 3
    unknown p 3
    invoke q 2
    invoke q 3
    fail q 3
    drain p 1 @0:0
    drain q 1 @0:1
    drain p 2 @0:2
    drain q 2 @0:3";

/// Names of the anomalies in `CLEAN` with lines replaced.
fn found(faults: &[(&str, &str)]) -> Vec<String> {
    let text = faults.iter().fold(CLEAN.to_owned(), |text, (line, fault)| {
        assert!(text.contains(line), "{line} is not in the clean history");
        text.replacen(line, fault, 1)
    });
    let (_, anomalies) = check(&[history(&text)]);
    anomalies.iter().map(|anomaly| format!("{anomaly:?}").split(' ').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_clean_history_has_no_anomaly() {
    let (counts, anomalies) = check(&[history(CLEAN)]);
    assert_eq!(anomalies, []);
    assert_eq!((counts.invoked, counts.acknowledged, counts.drained, counts.read), (6, 3, 4, 2));
    assert_eq!((counts.unknown, counts.unknown_stored), (2, 1), "p 3 is nowhere, q 2 is stored");
}

#[test]
fn each_planted_fault_is_found_and_named() {
    let table: &[(&str, &[(&str, &str)])] = &[
        ("Lost", &[("drain p 2 @0:2\n    drain q 2 @0:3", "drain q 2 @0:2")]),
        ("Duplicate", &[("drain q 2 @0:3", "drain q 2 @0:3\n drain p 1 @0:4")]),
        ("Duplicate", &[("drain q 2 @0:3", "drain q 2 @0:3\n drain p 3 @0:4\n drain p 3 @0:5")]),
        (
            "Reordered",
            &[
                ("drain q 2 @0:3", "drain p 3 @0:3"),
                ("invoke p 2", "invoke p 4"),
                ("ok p 2", "ok p 4"),
                ("drain p 2", "drain p 4"),
            ],
        ),
        ("WrongOffset", &[("ok q 1 @0:1", "ok q 1 @0:2")]),
        ("WrongOffset", &[("ok q 1 @0:1", "ok q 1 @1:1")]),
        ("TwoValuesAtOneOffset", &[("read r q 1 @0:1", "read r p 2 @0:1")]),
        ("TwoValuesAtOneOffset", &[("drain q 2 @0:3", "drain q 2 @0:3\n drain p 3 @0:3")]),
        ("Corrupt", &[("drain q 2 @0:3", "garbage @0:3")]),
        ("NeverSent", &[("drain q 2 @0:3", "drain q 9 @0:3")]),
        ("RefusedButStored", &[("drain q 2 @0:3", "drain q 2 @0:3\n drain q 3 @0:4")]),
        (
            "Retracted",
            &[("read r q 1 @0:1", "read r q 1 @0:2\n read s p 3 @0:9"), ("read r q 1 @0:2", "read r q 1 @0:1")],
        ),
        ("ReadBackwards", &[("read r q 1 @0:1", "read r q 1 @0:1\n read r p 1 @0:0")]),
        ("ReadBackwards", &[("read r q 1 @0:1", "read r q 1 @0:1\n read r q 1 @0:1")]),
        ("WatermarkRegression", &[("high r 0 3", "high r 0 3\n high r 0 2")]),
        ("WatermarkRegression", &[("high r 0 1\n    read r p 1 @0:0", "read r p 1 @0:0\n high r 0 0")]),
        ("Gap", &[("drain q 2 @0:3", "drain q 2 @0:4")]),
    ];
    for (expected, faults) in table {
        assert_eq!(found(faults), [*expected], "{faults:?}");
    }
}

#[test]
fn the_checksum_is_that_of_zlib() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
}

#[test]
fn lines_of_the_writers_are_understood() {
    let unknown = r#"{"op":"unknown","producer":"p","seq":7,"partition":1}"#;
    assert!(matches!(serde_json::from_str(unknown), Ok(Event::Unknown)));
    let line = r#"{"op":"ok","producer":"p","seq":7,"partition":1,"offset":9}"#;
    assert!(matches!(serde_json::from_str(line), Ok(Event::Ok { seq: 7, offset: 9, .. })));
}
