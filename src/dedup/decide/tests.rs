use std::sync::Arc;

use super::*;
use crate::config::dedup::{IdSource, Identity};
use crate::dedup::{BatchId, Fingerprint, KeptBlock, SealedFindings, Secret, Sender};

fn config(on_duplicate: OnDuplicate) -> DedupConfig {
    DedupConfig {
        identity: Identity { source: IdSource::Key, namespace: None, is_per_partition: false },
        window_ms: 100,
        window_ids_max: 1000,
        throttles: false,
        needs_id: false,
        on_duplicate,
        bypass_principals: Vec::new(),
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
        numbers: Vec::new(),
        versions: Vec::new(),
        sealed: SealedFindings::default(),
    }
}

/// Topic whose log holds `stored` at offset 100, and what it says of `offered` at 200.
fn verdict(stored: &str, offered: &str, on_duplicate: OnDuplicate) -> (Verdict, Index) {
    let mut index = Index::new(Secret::new([1; 16]));
    let judge = |index: &mut Index, word: &str, base_offset| {
        let ids = ids(word);
        let record_count = i32::try_from(word.len()).expect("short");
        let batch = Judged { ids: &ids, record_count, partition: 3, base_offset, transaction: None, now: 60 };
        decide(index, &batch, &config(on_duplicate))
    };
    assert_eq!(judge(&mut index, stored, 100), Verdict::Store);
    index.keep(KeptBlock { partition: 3, base_offset: 100, time: 50 }, None);
    (judge(&mut index, offered, 200), index)
}

fn at(offset: Offset) -> Original {
    Original { partition: 3, offset }
}

#[test]
fn batches_are_judged_record_by_record() {
    use OnDuplicate::{Drop, Mark, Reject};
    let in_batch = at(200);
    for (stored, offered, on_duplicate, expected) in [
        ("abc", "def", Drop, Verdict::Store),
        ("abc", "...", Drop, Verdict::Store),
        ("abc", "c", Drop, Verdict::Known(at(102))),
        ("abc", "abc", Drop, Verdict::Known(at(100))),
        ("abc", "cba", Drop, Verdict::Known(at(102))),
        ("abc", "abcd", Drop, Verdict::StoreWithout(vec![0, 1, 2])),
        ("abc", "dabc", Drop, Verdict::StoreWithout(vec![1, 2, 3])),
        ("abc", "b.b", Drop, Verdict::StoreWithout(vec![0, 2])),
        ("abc", "dd", Drop, Verdict::StoreWithout(vec![1])),
        ("abc", "dd", Reject, Verdict::Reject(1, in_batch)),
        ("abc", "def", Reject, Verdict::Store),
        ("abc", "dbe", Reject, Verdict::Reject(1, at(101))),
        ("abc", "abc", Mark, Verdict::Mark(vec![(0, at(100)), (1, at(101)), (2, at(102))])),
        ("abc", "dcd", Mark, Verdict::Mark(vec![(1, at(102)), (2, in_batch)])),
    ] {
        let (found, index) = verdict(stored, offered, on_duplicate);
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
    let (_, mut index) = verdict("abc", "def", OnDuplicate::Drop);
    index.drop_new();
    let ids = ids("ab");
    let batch = |now| Judged { ids: &ids, record_count: 2, partition: 3, base_offset: 200, transaction: None, now };
    assert_eq!(decide(&mut index, &batch(149), &config(OnDuplicate::Drop)), Verdict::Known(at(100)));
    assert_eq!(decide(&mut index, &batch(150), &config(OnDuplicate::Drop)), Verdict::Store);
}

#[test]
fn ids_of_an_open_transaction_are_its_own_producers_and_undecided_for_others() {
    let mut index = Index::new(Secret::new([1; 16]));
    let (one, other) = (Some(ProducerId(1)), Some(ProducerId(2)));
    let mut judge = |word: &str, transaction, keep: bool| {
        let ids = ids(word);
        let record_count = i32::try_from(word.len()).expect("short");
        let batch = Judged { ids: &ids, record_count, partition: 3, base_offset: 100, transaction, now: i64::MAX };
        let verdict = decide(&mut index, &batch, &config(OnDuplicate::Drop));
        if keep {
            index.keep(KeptBlock { partition: 3, base_offset: 100, time: 50 }, transaction);
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
    assert_eq!(judge("xy", one, false), Verdict::Known(at(100)), "even if its time were over");
    assert_eq!(judge("zx", None, false), Verdict::Undecided);
    assert_eq!(judge("x", other, false), Verdict::Undecided);
    judge("abort", None, false);
    assert_eq!(judge("zxy", other, true), Verdict::Store);
    judge("commit", None, false);
    assert_eq!(judge("x", None, false), Verdict::Undecided, "another transaction's");
}
