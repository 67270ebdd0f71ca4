use bytes::Bytes;

use super::finding::{Damage, Report};
use super::shelf::Shelf;
use super::walk;
use crate::dedup::Fingerprint;
use crate::group::classic::StoredGroup;
use crate::group::consumer::change::{Change, GroupEpochs};
use crate::producer::ProducerState;
use crate::record::BatchHeader;
use crate::record::amend;
use crate::record::build::BatchBuilder;
use crate::record::codec::DecompressionLimits;
use crate::store::memory::MemoryStore;
use crate::store::schema::{
    LogKey, OffsetRow, PartitionRow, RowValue, TopicRow, compacted_key, consumer_group_key, group_key, id_block_key,
    partition_key, pending_offset_key, prefix, producer_key, sequence_key, topic_key, topic_log_range, version_key,
};
use crate::store::{Rows, Store, StoreError};
use crate::types::{LeaderEpoch, Offset, PartitionId, ProducerEpoch, ProducerId, TopicNo, Uuid};

impl Shelf for MemoryStore {
    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        Store::scan(self, prefix, visit)
    }

    fn facts(&self, partition: PartitionId, from: Offset, visit: &mut dyn FnMut(LogKey)) -> Result<(), StoreError> {
        // It is locked while it is walked.
        let mut keys = Vec::new();
        self.scan_log(partition, from, Offset::MAX, &mut |key| {
            keys.push(key);
            true
        })?;
        keys.into_iter().for_each(visit);
        Ok(())
    }

    fn topic_with_batches(&self, from: TopicNo) -> Result<Option<TopicNo>, StoreError> {
        let mut found = None;
        let (from, _) = topic_log_range(from);
        self.scan_range(&from, &[prefix::LOG + 1], &mut |key, _| {
            found = LogKey::decode(key).ok().map(|key| key.partition.topic);
            false
        })?;
        Ok(found)
    }

    fn batch(&self, key: &LogKey) -> Result<Option<Bytes>, StoreError> {
        let batches = self.read_log(key.partition, key.base_offset, key.base_offset + 1, 0)?;
        Ok(batches.into_iter().next().map(|batch| batch.bytes))
    }
}

const PARTITION: PartitionId = PartitionId { topic: TopicNo(1), index: 0 };
const PRODUCER: ProducerId = ProducerId(7);

/// A batch of `records` records that `PRODUCER` sent.
fn batch(base_offset: Offset, records: i32) -> (LogKey, Vec<u8>) {
    let mut builder =
        BatchBuilder::new().base_offset(base_offset).producer(PRODUCER, ProducerEpoch(0), base_offset as i32);
    for _ in 0..records {
        builder = builder.record(1, None, Some(b"value"));
    }
    let bytes = builder.build();
    (LogKey::of(PARTITION, &BatchHeader::parse(&bytes).unwrap()), bytes.to_vec())
}

fn partition(log_start: Offset, log_end: Offset, last_stable_offset: Offset) -> PartitionRow {
    PartitionRow { log_start, log_end, last_stable_offset, ..PartitionRow::default() }
}

/// `t` with one partition, whose row says 0 to 6, and three batches of two records.
fn sound() -> Rows {
    let mut rows = Rows::default();
    let topic = TopicRow { no: TopicNo(1), name: "t".to_owned(), id: Uuid::nil(), partitions: 1, overrides: [].into() };
    rows.put(topic_key(TopicNo(1)), topic.encode());
    rows.put(partition_key(PARTITION), partition(0, 6, 6).encode());
    let mut state: Option<ProducerState> = None;
    for base_offset in [0, 2, 4] {
        let (key, bytes) = batch(base_offset, 2);
        let header = BatchHeader::parse(&bytes).unwrap();
        match &mut state {
            None => state = Some(ProducerState::first(&header, base_offset, 0)),
            Some(state) => state.append(&header, base_offset, 0),
        }
        rows.put(key.encode(), bytes);
    }
    rows.put(producer_key(PARTITION, PRODUCER), state.unwrap().encode());
    rows
}

/// What is found in a store, files of message ids included.
pub(crate) fn damage_of(store: &MemoryStore) -> Vec<Damage> {
    let mut report = Report::default();
    walk(store, &mut report);
    super::slices::check(store.slices().as_ref(), store, &mut report);
    report.found().to_vec()
}

/// What is found after `plant` was laid over the sound rows.
fn found(plant: impl FnOnce(&mut Rows)) -> Vec<Damage> {
    let store = MemoryStore::default();
    let mut rows = sound();
    plant(&mut rows);
    store.write(&rows, 0).unwrap();
    damage_of(&store)
}

fn check(plant: impl FnOnce(&mut Rows), place: &str, range: Option<(Offset, Offset)>, words: &str) {
    let found = found(plant);
    let is_it = |damage: &Damage| damage.place == place && damage.range == range && damage.what.contains(words);
    assert!(found.iter().any(is_it), "{place} {range:?} {words}: {found:?}");
}

#[test]
fn sound_rows_are_no_damage() {
    assert_eq!(found(|_| ()), []);
    // The log begins within a batch.
    assert_eq!(found(|rows| rows.put(partition_key(PARTITION), partition(3, 6, 6).encode())), []);
    // What is left of a deleted topic.
    assert_eq!(found(|rows| rows.delete(topic_key(TopicNo(1)))), []);
}

#[test]
fn batches_are_held_against_their_keys_and_checksums() {
    let (key, bytes) = batch(2, 2);
    for (at, words) in [(bytes.len() - 1, "checksum"), (0, "base offset"), (12, ""), (43, "checksum")] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        let is_read = at != 12;
        let found = found(|rows| rows.put(key.encode(), damaged));
        // The leader's epoch is not covered by anything.
        assert_eq!(!found.is_empty(), is_read, "byte {at}: {found:?}");
        if is_read {
            assert_eq!((found[0].place.as_str(), found[0].range), ("t-0", Some((2, 3))), "byte {at}");
            assert!(found[0].what.contains(words), "byte {at}: {found:?}");
        }
    }
    check(|rows| rows.put(key.encode(), bytes[..bytes.len() - 1].to_vec()), "t-0", Some((2, 3)), "bytes");
}

#[test]
fn offsets_follow_each_other() {
    check(|rows| rows.delete(batch(2, 2).0.encode()), "t-0", Some((2, 3)), "no batch holds");
    check(|rows| rows.delete(batch(4, 2).0.encode()), "t-0", Some((4, 5)), "the last ones");
    let beyond = |rows: &mut Rows| {
        let (key, bytes) = batch(6, 3);
        rows.put(key.encode(), bytes);
    };
    check(beyond, "t-0", Some((6, 8)), "beyond the log end");
    let twice = |rows: &mut Rows| {
        let (key, bytes) = batch(3, 1);
        rows.put(key.encode(), bytes);
    };
    check(twice, "t-0", Some((3, 3)), "two batches");
    // Where compaction has been, whole batches may be missing.
    let compacted = |rows: &mut Rows| {
        rows.put(compacted_key(PARTITION), crate::store::schema::CompactedRow { first_dirty: 4 }.encode());
        rows.delete(batch(2, 2).0.encode());
    };
    assert_eq!(found(compacted), []);
}

/// A batch at offset 2 of whose two records the last one was left out.
fn with_hole_at_its_end() -> (LogKey, Vec<u8>) {
    let (_, bytes) = batch(2, 2);
    let header = BatchHeader::parse(&bytes).unwrap();
    let amended = amend::without(&bytes, &header, DecompressionLimits::default(), |delta| delta == 1).unwrap();
    assert_eq!((amended.header.last_offset_delta, amended.last_present_delta), (1, 0));
    let key = LogKey { last_offset_delta: 0, ..LogKey::of(PARTITION, &amended.header) };
    (key, amended.bytes.to_vec())
}

#[test]
fn batch_that_was_stored_without_its_last_records_is_no_damage() {
    let (key, bytes) = with_hole_at_its_end();
    for follows in [true, false] {
        let holed = |rows: &mut Rows| {
            rows.delete(batch(2, 2).0.encode());
            rows.put(key.encode(), bytes.clone());
            if !follows {
                rows.delete(batch(4, 2).0.encode());
                rows.put(partition_key(PARTITION), partition(0, 4, 4).encode());
                let mut state = ProducerState::first(&BatchHeader::parse(&batch(0, 2).1).unwrap(), 0, 0);
                state.append(&BatchHeader::parse(&bytes).unwrap(), 2, 0);
                rows.put(producer_key(PARTITION, PRODUCER), state.encode());
            }
        };
        assert_eq!(found(holed), []);
    }
    // A key that ends before a record that is there, or behind all offsets of its batch.
    for (last_offset_delta, stored) in [(0, batch(2, 2).1), (2, batch(2, 2).1), (2, bytes)] {
        let key = LogKey { last_offset_delta, size_bytes: stored.len() as u32, ..key };
        let other = |rows: &mut Rows| {
            rows.delete(batch(2, 2).0.encode());
            rows.put(key.encode(), stored);
        };
        check(other, "t-0", Some((2, 2 + Offset::from(last_offset_delta))), "not what its key says");
    }
}

#[test]
fn producers_know_of_their_batches_and_partitions_of_open_transactions() {
    let bytes = batch(0, 2).1;
    let old = ProducerState::first(&BatchHeader::parse(&bytes).unwrap(), 0, 0);
    let place = "t-0 producer 7";
    check(|rows| rows.put(producer_key(PARTITION, PRODUCER), old.encode()), place, Some((2, 5)), "stored twice");
    let ahead = ProducerState::first(&BatchHeader::parse(&bytes).unwrap(), 5, 0);
    check(|rows| rows.put(producer_key(PARTITION, PRODUCER), ahead.encode()), place, Some((6, 6)), "the log ends at 6");
    check(
        |rows| rows.put(producer_key(PARTITION, PRODUCER), vec![1, 2]),
        "producer row 1200000001000000000000000000000007",
        None,
        "corrupt",
    );
    check(|rows| rows.put(partition_key(PARTITION), partition(0, 6, 4).encode()), "t-0", Some((4, 5)), "it is 6");
    let open = ProducerState { open_transaction: Some(4), ..old };
    let place = "t-0";
    check(|rows| rows.put(producer_key(PARTITION, ProducerId(8)), open.encode()), place, Some((4, 5)), "it is 4");
}

#[test]
fn producer_whose_batch_was_there_already_is_no_damage() {
    let again = BatchHeader::parse(&batch(6, 3).1).unwrap();
    let known_at = |base_offset: Offset, rows: &mut Rows| {
        let overrides = [("message.dedup.mode".to_owned(), "window".to_owned())].into();
        let topic = TopicRow { no: TopicNo(1), name: "t".to_owned(), id: Uuid::nil(), partitions: 1, overrides };
        rows.put(topic_key(TopicNo(1)), topic.encode());
        let state = ProducerState::first_passed_over(&again, base_offset, 0);
        rows.put(producer_key(PARTITION, ProducerId(8)), state.encode());
    };
    // Its first record is the last of the log, the other two are elsewhere.
    assert_eq!(found(|rows| known_at(5, rows)), []);
    check(|rows| known_at(6, rows), "t-0 producer 8", Some((6, 6)), "the log ends at 6");
}

#[test]
fn batches_of_no_topic_are_told_unless_the_next_start_removes_them() {
    let stray = |partition: PartitionId, rows: &mut Rows| {
        let (key, bytes) = batch(0, 2);
        rows.put(LogKey { partition, ..key }.encode(), bytes);
    };
    let [other, left] = [7, 9].map(|no| PartitionId { topic: TopicNo(no), index: 3 });
    let found = found(|rows| {
        stray(other, rows);
        stray(left, rows);
        // Deleted, and not yet removed.
        rows.put(partition_key(left), partition(0, 2, 2).encode());
    });
    let [Damage { place, range: None, what }] = &found[..] else { panic!("{found:?}") };
    assert!(place == "topic number 7" && what.contains("nothing removes them"), "{found:?}");
}

#[test]
fn what_deduplication_remembers_is_read() {
    for (key, place) in [
        (id_block_key(PARTITION, 0, None), "message ids row 1500000001000000000000000000000000"),
        (sequence_key(PARTITION, "n"), "sequence row 1700000001000000006e"),
        (version_key(PARTITION, &Fingerprint([7; 16])), "version of a key row 180000000100000000070707070707070707"),
    ] {
        let found = found(|rows| rows.put(key, vec![1, 2]));
        let [Damage { place: at, range: None, what }] = &found[..] else { panic!("{place}: {found:?}") };
        assert!(at.starts_with(place) && what.contains("corrupt"), "{place}: {found:?}");
    }
}

#[test]
fn groups_and_pending_offsets_are_read() {
    check(|rows| rows.put(group_key("g"), vec![1, 0]), "group row 3067", None, "corrupt");
    let offset = OffsetRow {
        offset: 1,
        leader_epoch: LeaderEpoch(0),
        metadata: String::new(),
        commit_timestamp: 0,
        expire_timestamp: -1,
        commit_number: 1,
    };
    let pending = |rows: &mut Rows| rows.put(pending_offset_key(PRODUCER, "g", PARTITION), offset.encode());
    check(pending, "pending offset of group g in partition #1-0", None, "no open transaction");
    let epochs = Change::Group(Some(GroupEpochs { group_epoch: 1, assignment_epoch: 1, metadata_hash: 1 })).row();
    let both = |rows: &mut Rows| {
        rows.put(group_key("both"), StoredGroup::default().encode());
        rows.put(consumer_group_key("both", &epochs), epochs.value.clone().expect("a value"));
    };
    check(both, "group both", None, "both group protocols");
}
