use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::dedup::Secret;

fn make(files: &dyn SliceFiles, number: u64, ids: u32) -> Result<Slice, StoreError> {
    let secret = Secret::new([3; 16]);
    let mut placed: Vec<_> = (0..ids)
        .map(|id| {
            let fingerprint = Fingerprint(u128::from(id).to_be_bytes());
            (secret.sealed_place(&fingerprint), SealedId { fingerprint, partition: 0, offset: id.into(), time: 7 })
        })
        .collect();
    placed.sort_unstable_by_key(|(place, _)| *place);
    let mut maker = SliceMaker::begin(files, TopicNo(1), number, 7, ids)?;
    for (place, id) in &placed {
        maker.push(*place, id)?;
    }
    maker.finish(files)
}

fn holds_all(slice: &Slice, ids: u32) -> bool {
    let secret = Secret::new([3; 16]);
    (0..ids).all(|id| {
        let fingerprint = Fingerprint(u128::from(id).to_be_bytes());
        let place = secret.sealed_place(&fingerprint);
        let found = slice.find(place, &fingerprint).expect("sound");
        slice.may_hold(place) && found.is_some_and(|found| found.offset == i64::from(id))
    })
}

#[test]
fn slice_in_a_folder_is_there_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let folder = SliceFolder::of(dir.path());
    assert_eq!(folder.numbers().unwrap(), Vec::<u64>::new());
    assert!(holds_all(&make(&folder, 12, 5000).unwrap(), 5000));
    let begun = SliceMaker::begin(&folder, TopicNo(1), 13, 7, 10).unwrap();
    std::mem::forget(begun);
    fs::write(dir.path().join(FOLDER).join("note.txt"), "of somebody else").unwrap();
    assert_eq!(folder.numbers().unwrap(), [12]);
    folder.remove_unfinished().unwrap();
    assert_eq!(fs::read_dir(dir.path().join(FOLDER)).unwrap().count(), 2);
    drop(SliceMaker::begin(&folder, TopicNo(1), 14, 7, 10).unwrap());
    assert_eq!(fs::read_dir(dir.path().join(FOLDER)).unwrap().count(), 2, "given up");
    let again = Slice::open(&folder, 12).unwrap();
    assert!(holds_all(&again, 5000));
    let mut seen = 0;
    again.scan(&mut |_| seen += 1).unwrap();
    assert_eq!(seen, 5000);
    folder.remove(12).unwrap();
    folder.remove(12).unwrap();
    assert_eq!(folder.numbers().unwrap(), Vec::<u64>::new());
}

#[test]
fn damage_is_told_with_file_and_range() {
    let dir = tempfile::tempdir().unwrap();
    let damaged = Arc::<AtomicU64>::default();
    let folder = SliceFolder::counting(dir.path(), Arc::clone(&damaged));
    make(&folder, 3, 500).unwrap();
    let path = dir.path().join(FOLDER).join("00000000000000000003.slice");
    let sound = fs::read(&path).unwrap();
    let told = |at: usize| {
        let mut bytes = sound.clone();
        bytes[at] ^= 4;
        fs::write(&path, bytes).unwrap();
        let all = Slice::open(&folder, 3).and_then(|slice| slice.scan(&mut |_| {}));
        assert_eq!(damaged.swap(0, Ordering::Relaxed), 1, "it is counted");
        all.expect_err("damaged").to_string()
    };
    let place = "corrupt data at dedup/00000000000000000003.slice: bytes ";
    assert!(told(20).starts_with(&format!("{place}0 to 72: ")), "{}", told(20));
    assert!(told(SliceHead::BYTES + 5).starts_with(&format!("{place}72 to ")));
    let index_at = 72 + 500 * 36 + 7 * 4;
    assert!(told(sound.len() - 1).starts_with(&format!("{place}{index_at} to {}: ", sound.len())));
    fs::write(&path, &sound[..9]).unwrap();
    assert!(matches!(Slice::open(&folder, 3), Err(StoreError::Corrupt { .. })));
    fs::write(&path, &sound).unwrap();
    fs::rename(&path, dir.path().join(FOLDER).join("00000000000000000004.slice")).unwrap();
    assert!(matches!(Slice::open(&folder, 4), Err(StoreError::Corrupt { .. })), "of another number");
}

#[test]
fn slice_that_is_answered_outlives_a_power_cut_at_whatever_step_one_that_is_not_came() {
    for steps in 0..20 {
        for luck in 0..2 {
            let slices = MemorySlices::default();
            slices.fail_after(steps);
            let made = make(&slices, 0, 100);
            for is_power_cut in [false, true] {
                let after = slices.crash(is_power_cut, luck);
                after.remove_unfinished().unwrap();
                let numbers = after.numbers().unwrap();
                assert!(made.is_err() || numbers == [0], "{steps}");
                for number in numbers {
                    assert!(holds_all(&Slice::open(&after, number).unwrap(), 100), "{steps}");
                }
            }
            if made.is_ok() {
                assert!((5..10).contains(&steps), "{steps} steps");
                return;
            }
        }
    }
    panic!("no end");
}
