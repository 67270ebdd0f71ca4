use std::sync::Arc;

use super::*;
use crate::config::dedup::{IdSource, Identity};
use crate::dedup::slice::SealedId;
use crate::dedup::{BatchId, Fingerprint, KeptBlock, SealedFindings, Secret, Sender};

fn config(on_duplicate: OnDuplicate) -> DedupConfig {
    DedupConfig {
        identity: Identity { source: IdSource::Key, namespace: None, is_per_partition: false },
        window_ms: 100,
        refresh_ms: None,
        compares_times: false,
        window_ids_max: 1000,
        throttles: false,
        needs_id: false,
        on_duplicate,
        bypass_principals: Vec::new(),
        audit_topic: None,
        sequence: None,
        checks_versions: false,
    }
}

/// A letter is a record with that id, a dot is one without.
fn ids(word: &str) -> BatchIds {
    let ids = word.bytes().zip(0..).filter(|(letter, _)| *letter != b'.');
    let ids = ids.map(|(letter, offset_delta)| BatchId { fingerprint: Fingerprint([letter; 16]), offset_delta });
    BatchIds {
        config: Arc::new(config(OnDuplicate::Drop)),
        sender: Arc::new(Sender::anonymous("test")),
        ids: ids.collect(),
        claims: Vec::new(),
        times: Vec::new(),
        numbers: Vec::new(),
        versions: Vec::new(),
        sealed: SealedFindings::default(),
    }
}

/// Topic whose log holds `stored` at offset 100, and what it says of `offered` at 200.
fn verdict(stored: &str, offered: &str, on_duplicate: OnDuplicate) -> (Verdict, Recognised, Index) {
    let mut index = Index::new(Secret::new([1; 16]));
    let judge = |index: &mut Index, word: &str, base_offset| {
        let ids = ids(word);
        let record_count = i32::try_from(word.len()).expect("short");
        let batch = Judged { ids: &ids, record_count, partition: 3, base_offset, transaction: None, now: 60 };
        decide(index, &batch, &config(on_duplicate))
    };
    assert_eq!(judge(&mut index, stored, 100).0, Verdict::Store);
    index.keep(KeptBlock { partition: 3, base_offset: 100, time: 50, is_repeat: false }, None);
    let (verdict, recognised) = judge(&mut index, offered, 200);
    (verdict, recognised, index)
}

fn at(offset: Offset) -> Original {
    Original { partition: 3, offset }
}

/// A batch with these ids after one at offset 100 with the same.
fn known(ids: &str) -> Verdict {
    Verdict::Known((0..ids.len()).map(|place| (place as u32, at(100 + place as Offset))).collect())
}

#[test]
fn batches_are_judged_record_by_record() {
    use OnDuplicate::{Drop, Mark, Reject};
    let in_batch = at(200);
    for (stored, offered, on_duplicate, expected) in [
        ("abc", "def", Drop, Verdict::Store),
        ("abc", "...", Drop, Verdict::Store),
        ("abc", "c", Drop, Verdict::Known(vec![(0, at(102))])),
        ("abc", "abc", Drop, Verdict::Known(vec![(0, at(100)), (1, at(101)), (2, at(102))])),
        ("abc", "cba", Drop, Verdict::Known(vec![(0, at(102)), (1, at(101)), (2, at(100))])),
        ("abc", "abcd", Drop, Verdict::StoreWithout(vec![(0, at(100)), (1, at(101)), (2, at(102))])),
        ("abc", "dabc", Drop, Verdict::StoreWithout(vec![(1, at(100)), (2, at(101)), (3, at(102))])),
        ("abc", "b.b", Drop, Verdict::StoreWithout(vec![(0, at(101)), (2, at(101))])),
        ("abc", "dd", Drop, Verdict::StoreWithout(vec![(1, in_batch)])),
        ("abc", "dd", Reject, Verdict::Reject(1, in_batch)),
        ("abc", "def", Reject, Verdict::Store),
        ("abc", "dbe", Reject, Verdict::Reject(1, at(101))),
        ("abc", "abc", Mark, Verdict::Mark(vec![(0, at(100)), (1, at(101)), (2, at(102))])),
        ("abc", "dcd", Mark, Verdict::Mark(vec![(1, at(102)), (2, in_batch)])),
    ] {
        let (found, _, index) = verdict(stored, offered, on_duplicate);
        assert_eq!(found, expected, "{offered} after {stored}");
        let is_stored = matches!(found, Verdict::Store | Verdict::StoreWithout(_) | Verdict::Mark(_));
        let mut new: Vec<_> =
            offered.bytes().filter(|id| *id != b'.' && !stored.bytes().any(|old| old == *id)).collect();
        new.sort_unstable();
        new.dedup();
        assert_eq!(index.new_ids().len(), if is_stored { new.len() } else { 0 }, "{offered} after {stored}");
        assert_eq!(index.len(), 3 + index.new_ids().len());
    }
}

#[test]
fn expired_id_is_a_new_one() {
    let (_, _, mut index) = verdict("abc", "def", OnDuplicate::Drop);
    index.drop_new();
    let ids = ids("ab");
    let batch = |now| Judged { ids: &ids, record_count: 2, partition: 3, base_offset: 200, transaction: None, now };
    assert_eq!(decide(&mut index, &batch(149), &config(OnDuplicate::Drop)).0, known("ab"));
    assert_eq!(decide(&mut index, &batch(150), &config(OnDuplicate::Drop)).0, Verdict::Store);
}

#[test]
fn ids_of_an_open_transaction_are_its_own_producers_and_undecided_for_others() {
    let mut index = Index::new(Secret::new([1; 16]));
    let (one, other) = (Some(ProducerId(1)), Some(ProducerId(2)));
    let mut by_own_transaction = 0;
    let mut judge = |word: &str, transaction, keep: bool| {
        let ids = ids(word);
        let record_count = i32::try_from(word.len()).expect("short");
        let batch = Judged { ids: &ids, record_count, partition: 3, base_offset: 100, transaction, now: i64::MAX };
        let (verdict, recognised) = decide(&mut index, &batch, &config(OnDuplicate::Drop));
        by_own_transaction += recognised.by(KnownBy::Pending);
        assert_eq!(recognised.by(KnownBy::Open), 0, "{word}");
        if keep {
            index.keep(KeptBlock { partition: 3, base_offset: 100, time: 50, is_repeat: false }, transaction);
        }
        if word == "commit" {
            index.drop_new();
            index.commit(3, ProducerId(1));
        }
        if word == "abort" {
            index.drop_new();
            assert_eq!(index.abort(3, ProducerId(1)), [100]);
        }
        verdict
    };
    assert_eq!(judge("xy", one, true), Verdict::Store);
    assert_eq!(judge("xy", one, false), known("xy"), "even if its time were over");
    assert_eq!(judge("zx", None, false), Verdict::Undecided);
    assert_eq!(judge("x", other, false), Verdict::Undecided);
    judge("abort", None, false);
    assert_eq!(judge("zxy", other, true), Verdict::Store);
    judge("commit", None, false);
    assert_eq!(judge("x", None, false), Verdict::Undecided, "another transaction's");
    assert_eq!(by_own_transaction, 2, "x and y of the second batch");
}

#[test]
fn what_recognises_records_is_told_of_those_that_the_verdict_is_about() {
    use OnDuplicate::{Drop, Reject};
    for (offered, on_duplicate, [batch, open]) in [
        ("def", Drop, [0, 0]),
        ("abd", Drop, [0, 2]),
        ("adda", Drop, [1, 2]),
        ("cba", Drop, [0, 3]),
        ("dab", Reject, [0, 1]),
        ("ddb", Reject, [1, 0]),
    ] {
        let (_, recognised, _) = verdict("abc", offered, on_duplicate);
        assert_eq!([KnownBy::Batch, KnownBy::Open].map(|by| recognised.by(by)), [batch, open], "{offered}");
        assert_eq!(recognised.total(), batch + open, "{offered}");
    }
}

#[test]
fn ids_in_files_recognise_what_memory_does_not_know() {
    let (_, _, mut index) = verdict("abc", "def", OnDuplicate::Drop);
    index.drop_new();
    let mut ids = ids("axby");
    let sealed = |letter: u8| SealedId { fingerprint: Fingerprint([letter; 16]), partition: 3, offset: 7, time: 40 };
    ids.sealed.found = vec![(0, sealed(b'a')), (1, sealed(b'x'))];
    let batch = Judged { ids: &ids, record_count: 4, partition: 3, base_offset: 200, transaction: None, now: 60 };
    let (verdict, recognised) = decide(&mut index, &batch, &config(OnDuplicate::Drop));
    let in_file = Original { partition: 3, offset: 7 };
    assert_eq!(verdict, Verdict::StoreWithout(vec![(0, at(100)), (1, in_file), (2, at(101))]));
    assert_eq!([KnownBy::Open, KnownBy::Sealed].map(|by| recognised.by(by)), [2, 1], "what is in memory is newer");
}
