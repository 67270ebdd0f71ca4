use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn id(number: u32, offset_delta: u32) -> BatchId {
    // As UUIDs of version 7 are: equal at the beginning.
    BatchId { fingerprint: Fingerprint((0x0190_163d_u128 << 96 | u128::from(number)).to_be_bytes()), offset_delta }
}

const EVER: Reach = Reach { expired_until: Timestamp::MIN, near: None };

fn kept(ids: &[BatchId]) -> KeptIds {
    KeptIds { ids: ids.to_vec(), ..KeptIds::default() }
}

fn at(base_offset: Offset, time: Timestamp) -> KeptBlock {
    KeptBlock { partition: 0, base_offset, time, is_repeat: false }
}

/// Takes a block in, all of whose ids are new.
fn add(index: &mut Index, numbers: std::ops::Range<u32>, time: Timestamp) {
    for (number, offset_delta) in numbers.clone().zip(0..) {
        assert!(matches!(index.offer(&id(number, offset_delta), EVER, None), Offered::New));
    }
    index.keep(at(numbers.start.into(), time), None);
}

fn finds(index: &mut Index, number: u32) -> Option<Offset> {
    match index.offer(&id(number, 0), EVER, None) {
        Offered::Known(known) => Some(known.original.offset),
        Offered::New => {
            index.drop_new();
            None
        }
        _ => panic!("neither known nor new"),
    }
}

#[test]
fn many_ids_are_found_and_forgotten_by_blocks_and_give_their_memory_back() {
    let mut index = Index::new(Secret::new([1; 16]));
    let empty = index.bytes();
    for block in 0..200 {
        add(&mut index, block * 100..(block + 1) * 100, block.into());
    }
    assert_eq!(index.len(), 20_000);
    let full = index.bytes();
    assert!((20..45).contains(&(full / 20_000)), "{full} bytes");
    assert_eq!(finds(&mut index, 12_345), Some(12_345));
    for forgotten in 0..150 {
        assert_eq!(index.oldest(), Some(at(forgotten * 100, forgotten)));
        assert_eq!(index.forget_oldest(), 100);
    }
    assert_eq!((finds(&mut index, 14_999), finds(&mut index, 15_000)), (None, Some(15_000)));
    assert!(index.bytes() < full / 2);
    while index.forget_oldest() > 0 {}
    assert_eq!((index.blocks(), index.len()), (0, 0));
    assert!(index.bytes() < empty + 60_000, "{} after {empty}", index.bytes());
}

#[test]
fn restored_index_says_what_the_first_one_said() {
    let mut index = Index::new(Secret::new([1; 16]));
    index.restore(at(0, 10), &kept(&[id(1, 0), id(2, 1)]), None);
    // 2 expired and came again.
    index.restore(at(7, 20), &kept(&[id(2, 0), id(3, 4)]), Some(ProducerId(9)));
    assert_eq!((index.len(), finds(&mut index, 1)), (3, Some(0)));
    assert!(matches!(index.offer(&id(3, 0), EVER, None), Offered::Undecided));
    index.commit(0, ProducerId(9));
    assert_eq!((finds(&mut index, 2), finds(&mut index, 3)), (Some(7), Some(11)));
    // The older block takes what is its own.
    assert_eq!(index.forget_oldest(), 1);
    assert_eq!((finds(&mut index, 1), finds(&mut index, 2)), (None, Some(7)));
}

#[test]
fn block_of_an_open_transaction_is_not_the_oldest_and_an_aborted_one_is_none() {
    let mut index = Index::new(Secret::new([1; 16]));
    index.restore(at(0, 10), &kept(&[id(1, 0)]), Some(ProducerId(9)));
    index.restore(at(1, 11), &kept(&[id(2, 0)]), None);
    assert_eq!(index.oldest(), None);
    assert_eq!(index.abort(0, ProducerId(9)), [0]);
    assert!(index.abort(0, ProducerId(9)).is_empty());
    assert_eq!((index.len(), finds(&mut index, 1)), (1, None));
    assert_eq!(index.oldest(), Some(at(1, 11)));
}

#[test]
fn numbers_wrap() {
    let mut index = Index::new(Secret::new([1; 16]));
    let start = (1_u64 << 32) - 2 * ids::CHUNK_IDS as u64;
    (index.ids, index.unkept) = (Ids::from(start), start);
    for block in 0..40 {
        add(&mut index, block * 100..(block + 1) * 100, block.into());
        if block >= 10 {
            assert_eq!(index.forget_oldest(), 100);
        }
    }
    assert!(index.ids.next() > 1 << 32);
    assert_eq!((finds(&mut index, 2_999), finds(&mut index, 3_000)), (None, Some(3_000)));
    assert_eq!(finds(&mut index, 3_999), Some(3_999));
}

#[derive(Debug, Clone)]
enum Step {
    /// A batch with these ids, in a transaction of this producer or in none; stored or not.
    Offer {
        ids: Vec<u32>,
        transaction: Option<i64>,
        is_stored: bool,
    },
    Forget,
    End {
        producer: i64,
        commits: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let transaction = prop_oneof![2 => Just(None), 1 => (0..2_i64).prop_map(Some)];
    let offer = (prop::collection::vec(0..40_u32, 0..8), transaction, prop::bool::weighted(0.8));
    let step = prop_oneof![
        8 => offer.prop_map(|(ids, transaction, is_stored)| Step::Offer { ids, transaction, is_stored }),
        2 => Just(Step::Forget),
        2 => (0..2_i64, any::<bool>()).prop_map(|(producer, commits)| Step::End { producer, commits }),
    ];
    prop::collection::vec(step, 1..80)
}

/// What a model remembers of an id: offset, block, owner.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Known {
    offset: Offset,
    block: i64,
    owner: Option<i64>,
}

proptest! {
    #[test]
    fn index_agrees_with_a_map(steps in steps()) {
        let mut index = Index::new(Secret::new([1; 16]));
        let mut known: HashMap<u32, Known> = HashMap::new();
        // Blocks by age with their owner.
        let mut blocks: Vec<(i64, Option<i64>)> = Vec::new();
        for (time, step) in (0..).zip(steps) {
            match step {
                Step::Offer { ids, transaction, is_stored } => {
                    let base_offset = time * 100;
                    let mut new = HashMap::new();
                    for (number, offset_delta) in ids.iter().zip(0..) {
                        let offered = index.offer(&id(*number, offset_delta), EVER, transaction.map(ProducerId));
                        match (offered, known.get(number), new.get(number)) {
                            (Offered::Known(found), Some(known), _) if known.owner.is_none() || known.owner == transaction => {
                                prop_assert_eq!(found.by() == KnownBy::Pending, known.owner.is_some());
                                prop_assert_eq!(found.original.offset, known.offset);
                            }
                            (Offered::Undecided, Some(known), _) => {
                                prop_assert!(known.owner.is_some() && known.owner != transaction);
                            }
                            (Offered::InBatch(first), None, Some(delta)) => prop_assert_eq!(first, *delta),
                            (Offered::New, None, None) => drop(new.insert(*number, offset_delta)),
                            (_, known, _) => prop_assert!(false, "{:?} of {}", known, number),
                        }
                    }
                    prop_assert_eq!(index.new_ids().len(), new.len());
                    if !is_stored {
                        index.drop_new();
                    } else if !new.is_empty() {
                        index.keep(at(base_offset, time), transaction.map(ProducerId));
                        blocks.push((time, transaction));
                        known.extend(new.into_iter().map(|(number, delta)| {
                            (number, Known { offset: base_offset + Offset::from(delta), block: time, owner: transaction })
                        }));
                    }
                }
                Step::Forget => {
                    let oldest = blocks.first().copied().filter(|(_, owner)| owner.is_none());
                    prop_assert_eq!(index.oldest().map(|block| block.time), oldest.map(|(block, _)| block));
                    if let Some((block, _)) = oldest {
                        let before = known.len();
                        known.retain(|_, known| known.block != block);
                        prop_assert_eq!(index.forget_oldest(), before - known.len());
                        blocks.remove(0);
                    }
                }
                Step::End { producer, commits } => {
                    let owned = |owner: &Option<i64>| *owner == Some(producer);
                    if commits {
                        index.commit(0, ProducerId(producer));
                        blocks.iter_mut().filter(|(_, owner)| owned(owner)).for_each(|block| block.1 = None);
                        known.values_mut().filter(|known| owned(&known.owner)).for_each(|known| known.owner = None);
                    } else {
                        let expected: Vec<_> =
                            blocks.iter().filter(|(_, owner)| owned(owner)).map(|(block, _)| block * 100).collect();
                        prop_assert_eq!(index.abort(0, ProducerId(producer)), expected);
                        blocks.retain(|(_, owner)| !owned(owner));
                        known.retain(|_, known| !owned(&known.owner));
                    }
                }
            }
            prop_assert_eq!(index.len(), known.len());
        }
    }
}

#[test]
fn memory_grows_and_shrinks_in_small_steps() {
    const IDS: u32 = 150_000;
    // Of its tables each grows by a quarter, and all of them about at the same time.
    const STEP_BYTES: usize = 64 << 10;
    for is_ledger in [false, true] {
        let mut index = Index::new(Secret::new([1; 16]));
        let mut before = index.bytes();
        let mut step = |index: &Index| {
            let (bytes, was) = (index.bytes(), before);
            before = bytes;
            assert!(bytes.abs_diff(was) <= STEP_BYTES, "from {was} to {bytes} with {} ids", index.len());
        };
        for number in 0..IDS {
            assert!(matches!(index.offer(&id(number, 0), EVER, None), Offered::New));
            if is_ledger {
                index.note_claim(Claim { owner: 1, expires: number.into() });
            }
            index.keep(at(number.into(), number.into()), None);
            step(&index);
        }
        for _ in 0..IDS {
            assert_eq!(index.forget_oldest(), 1);
            step(&index);
        }
        assert!(index.bytes() < 100_000, "{} bytes for nothing", index.bytes());
    }
}

#[test]
fn claims_are_those_of_their_numbers_whatever_was_forgotten() {
    let mut index = Index::new(Secret::new([1; 16]));
    let claim = |number: u32| Claim { owner: number.into(), expires: Timestamp::MAX };
    let mut oldest = 0;
    for number in 0..10_000 {
        assert!(matches!(index.offer(&id(number, 0), EVER, None), Offered::New));
        index.note_claim(claim(number));
        if number % 3 == 0 {
            index.drop_new();
            continue;
        }
        index.keep(at(number.into(), number.into()), None);
        if number % 7 > 2 && index.blocks() > 1 {
            oldest = index.oldest().map_or(oldest, |block| block.base_offset as u32);
            index.forget_oldest();
        }
    }
    for number in 0..10_000 {
        let known = index.claim_of(&id(number, 0), EVER);
        assert_eq!(known, (number > oldest && number % 3 > 0).then(|| claim(number)), "{number}");
    }
    while index.forget_oldest() > 0 {}
    assert!(!index.has_claims());
}

#[test]
fn what_a_batch_takes_is_told_before_it_is_kept() {
    for (ids, is_ledger, has_times) in [(1, false, false), (1, true, true), (7, false, true), (300, true, false)] {
        let mut index = Index::new(Secret::new([1; 16]));
        for batch in 0..2000 / ids {
            for number in 0..ids {
                let near = has_times.then_some((i64::from(number) * 10, 1));
                let reach = Reach { near, ..EVER };
                assert!(matches!(index.offer(&id(batch * ids + number, number), reach, None), Offered::New));
                if is_ledger {
                    index.note_claim(Claim { owner: 1, expires: 1 });
                }
            }
            let (before, told) = (index.bytes(), index.bytes_to_keep());
            let transaction = (batch % 5 == 0).then_some(ProducerId(batch.into()));
            index.keep(at((batch * ids).into(), batch.into()), transaction);
            let grown = index.bytes() - before;
            assert!((grown..=grown + 64).contains(&told), "{told} told and {grown} taken by batch {batch} of {ids}");
        }
    }
}

#[test]
fn what_a_batch_takes_alone_is_told_about() {
    for ids in [1, 10, 100, 1000, 10_000, 100_000] {
        let mut index = Index::new(Secret::new([1; 16]));
        for number in 0..ids {
            index.offer(&id(number, number), EVER, None);
        }
        let told = index.bytes_alone();
        index.keep(at(0, 0), None);
        let ratio = index.bytes() as f64 / told as f64;
        // Not so much more that half of the memory would not suffice for it.
        assert!((0.6..1.8).contains(&ratio), "{told} told, {} taken by {ids}", index.bytes());
    }
}

#[test]
fn what_an_open_transaction_holds_is_all_that_came_after_it() {
    let mut index = Index::new(Secret::new([1; 16]));
    let producer = ProducerId(1);
    let hold = |index: &mut Index, number: u32| {
        index.offer(&id(number, 0), EVER, Some(producer));
        index.keep(at(number.into(), number.into()), Some(producer));
    };
    add(&mut index, 0..300, 0);
    assert_eq!((index.held_bytes(false), index.has_open()), (0, false));
    hold(&mut index, 300);
    assert!(index.has_open() && index.held_bytes(false) < index.bytes() / 100);
    add(&mut index, 301..600, 601);
    hold(&mut index, 600);
    let about = |index: &Index, part: f64| {
        let held = index.held_bytes(false) as f64 / index.bytes() as f64;
        assert!((part - 0.01..part + 0.01).contains(&held), "{held} of it, not {part}");
    };
    about(&index, 0.5);
    index.forget_oldest();
    about(&index, 1.0);
    assert_eq!(index.abort(0, producer).len(), 2);
    assert_eq!((index.held_bytes(false), index.has_open()), (0, false));
    // A batch that is judged is among it, if that is asked for.
    index.offer(&id(700, 0), EVER, Some(producer));
    assert_eq!(index.held_bytes(false), 0);
    assert!((1..index.bytes() / 100).contains(&index.held_bytes(true)));
    index.drop_new();
    add(&mut index, 800..801, 801);
    index.forget_oldest();
    while index.oldest().is_some() {
        index.forget_oldest();
    }
    hold(&mut index, 900);
    about(&index, 1.0);
}

#[test]
fn batch_that_is_not_stored_leaves_no_memory_taken() {
    for (kept, dropped) in [(0, 5000), (300, 1), (300, 5000), (20_000, 100)] {
        let mut index = Index::new(Secret::new([1; 16]));
        for number in 0..kept {
            index.offer(&id(number, number), EVER, None);
            index.note_claim(Claim { owner: 1, expires: 1 });
        }
        index.keep(at(0, 0), None);
        index.drop_new();
        let before = index.bytes();
        for number in 0..dropped {
            index.take_in(&id(kept / 2 + number, number), EVER);
            index.note_claim(Claim { owner: 2, expires: 1 });
        }
        index.drop_new();
        let after = index.bytes();
        // The chunks of ids and claims into which it came may have grown to their whole size.
        assert!(after <= before + ids::CHUNK_IDS * 64, "{before} before and {after} after {dropped} beside {kept}");
        assert_eq!(index.len(), kept as usize);
        assert!(kept == 0 || finds(&mut index, kept - 1).is_some());
    }
}
