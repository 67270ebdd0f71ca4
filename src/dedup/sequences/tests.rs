use super::*;

fn numbers(of: &[(&str, u64)]) -> Vec<BatchNumber> {
    let number = |((name, number), offset_delta): (&(&str, u64), u32)| BatchNumber {
        name: Arc::from(*name),
        number: *number,
        offset_delta,
    };
    of.iter().zip(0..).map(number).collect()
}

fn judge(
    sequences: &mut Sequences,
    of: &[(&str, u64)],
    base_offset: Offset,
    transaction: Option<ProducerId>,
    on_duplicate: OnDuplicate,
) -> Verdict {
    let numbers = numbers(of);
    let record_count = i32::try_from(of.len()).expect("few");
    let batch = JudgedNumbers {
        numbers: &numbers,
        record_count,
        partition: 0,
        base_offset,
        transaction,
        on_duplicate,
        is_checked: true,
    };
    let (verdict, moved) = sequences.judge(&batch);
    if matches!(verdict, Verdict::Store | Verdict::StoreWithout(_) | Verdict::Mark(_)) {
        sequences.keep(0, &moved, transaction, base_offset);
    }
    verdict
}

fn known(offset: Offset) -> Verdict {
    Verdict::Known(vec![(0, Original { partition: 0, offset })])
}

#[test]
fn offset_of_a_repeated_number_is_told_where_numbers_and_offsets_rose_together() {
    let mut sequences = Sequences::default();
    let mut offer = |of: &[(&str, u64)], base_offset| judge(&mut sequences, of, base_offset, None, OnDuplicate::Drop);
    assert_eq!(offer(&[("a", 3), ("a", 4), ("a", 5)], 10), Verdict::Store);
    assert_eq!(offer(&[("a", 4)], 13), known(11));
    assert_eq!(offer(&[("a", 2)], 13), known(-1), "never seen, and below");
    assert_eq!(offer(&[("a", 6)], 13), Verdict::Store);
    assert_eq!(offer(&[("a", 3)], 14), known(10));
    assert_eq!(offer(&[("a", 9), ("b", 1), ("a", 10)], 14), Verdict::Store);
    assert_eq!(offer(&[("a", 10)], 17), known(16));
    assert_eq!(offer(&[("a", 9)], 17), known(-1), "another's record came between");
    assert_eq!(
        offer(&[("b", 1), ("a", 11)], 17),
        Verdict::StoreWithout(vec![(0, Original { partition: 0, offset: 14 + 1 })])
    );
    assert_eq!(offer(&[("a", u64::MAX), ("b", 2)], 19), Verdict::Store);
    assert_eq!(offer(&[("a", u64::MAX)], 21), known(19));
}

#[test]
fn repeated_number_spoils_its_batch_or_is_marked_where_the_topic_says_so() {
    let mut sequences = Sequences::default();
    let original = Original { partition: 0, offset: 10 };
    judge(&mut sequences, &[("a", 1)], 10, None, OnDuplicate::Drop);
    let verdict = judge(&mut sequences, &[("a", 2), ("a", 1)], 11, None, OnDuplicate::Reject);
    assert!(matches!(verdict, Verdict::Reject(1, _)), "{verdict:?}");
    assert_eq!(
        judge(&mut sequences, &[("a", 1), ("a", 2)], 11, None, OnDuplicate::Mark),
        Verdict::Mark(vec![(0, original)])
    );
}

#[test]
fn memory_is_that_of_the_names() {
    let mut sequences = Sequences::default();
    for base_offset in 0..2 {
        judge(&mut sequences, &[("a", 1 + base_offset as u64), ("bb", 1)], base_offset * 2, None, OnDuplicate::Drop);
        assert_eq!(sequences.bytes(), Sequences::bytes_of("a") + Sequences::bytes_of("bb"));
    }
    judge(&mut sequences, &[("ccc", 1)], 9, Some(ProducerId(1)), OnDuplicate::Drop);
    assert_eq!(sequences.end(0, ProducerId(1), false), [("ccc".into(), None)]);
    sequences.forget(0, "bb");
    assert_eq!((sequences.bytes(), sequences.iter().count()), (Sequences::bytes_of("a"), 1));
}

#[test]
fn idle_names_are_found_in_slices() {
    let mut sequences = Sequences::default();
    for (partition, name, time) in [(0, "a", 1), (0, "b", 9), (0, "c", 2), (2, "a", 3), (2, "d", 9)] {
        let settled = Some(Reached { number: 1, offset: 1, run: 1 });
        sequences.restore(partition, &name.into(), Sequence { settled, pending: None, time });
    }
    let mut found = Vec::new();
    let mut after = None;
    for round in 0.. {
        let (idle, next) = sequences.idle(after.as_ref(), 5, 2);
        assert!(idle.len() <= 2);
        found.extend(idle.into_iter().map(|(partition, name)| format!("{partition}{name}")));
        after = next;
        if after.is_none() {
            assert_eq!(round, 2);
            break;
        }
    }
    assert_eq!(found, ["0a", "0c", "2a"]);
}
