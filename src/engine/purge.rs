//! Removes the rows of deleted records and topics: a slice of them with one write, between commands, so that nobody waits for all of
//! a topic that a million producers wrote to.

use super::dead::{Dead, Space};
use super::group::Group;
use super::reclaimer::Purged;
use super::state::State;
use crate::store::schema::{
    aborted_key, aborted_prefix, compacted_key, id_blocks_prefix, log_range, next_prefix, partition_key,
    producers_prefix, sequences_prefix, sparse_key, sparse_prefix, topic_log_range, versions_prefix,
};
use crate::store::{Store, StoreError};
use crate::types::{Offset, PartitionId};

/// Dead things that go with one write.
const DEAD_PER_SLICE: usize = 64;
/// Rows that are looked up for one write.
const ROWS_PER_SLICE: usize = 4096;

/// Keys from and to.
type Range = (Vec<u8>, Vec<u8>);

/// Removes a slice of what is dead, as far as the groups up to `published` made it so: until readers know, they still read it.
pub(super) fn purge(state: &mut State, group: &mut Group, published: u64) {
    if state.dead.first_written().is_none() {
        return;
    }
    let State { dead: all, store, disk, .. } = state;
    // With the disk low all of it is worth giving back, and at once.
    let mut slice = Slice { store: store.as_ref(), group, rows_left: ROWS_PER_SLICE, reclaim_all: disk.is_low() };
    for _ in 0..DEAD_PER_SLICE {
        let Some((_, dead, purged_to)) = all.first().filter(|(written, ..)| *written <= published) else { break };
        match slice.remove(dead, purged_to) {
            // The first of the next slice goes on.
            Ok(rest @ Some(_)) => {
                *purged_to = rest;
                break;
            }
            Ok(None) => {
                all.remove_first();
            }
            // Nobody can see what is left meanwhile.
            Err(error) => {
                tracing::warn!(?dead, %error, "deleted rows cannot be removed, trying again later");
                all.put_first_off();
            }
        }
    }
}

/// What goes with one write.
struct Slice<'a> {
    store: &'a dyn Store,
    group: &'a mut Group,
    rows_left: usize,
    /// Whether all space is given back at once.
    reclaim_all: bool,
}

impl Slice<'_> {
    /// Stages the removal of what is dead, of which the rows before `from` have gone; answers where the rest begins.
    fn remove(&mut self, dead: Dead, from: &Option<Vec<u8>>) -> Result<Option<Vec<u8>>, StoreError> {
        match dead {
            Dead::Records { partition, log_start, space } => {
                let rest = self.remove_rows(from, &index_below(partition, log_start))?;
                if rest.is_none()
                    && let Some(rows_end) = self.remove_batches(partition, log_start)?
                {
                    let space = if self.reclaim_all { Space::AtOnce } else { space };
                    self.group.purged.push(Purged::Records { partition, rows_end, space });
                }
                Ok(rest)
            }
            Dead::TopicLog(topic) => {
                let (from, to) = topic_log_range(topic);
                self.group.rows.delete_log_range(from, to);
                self.group.purged.push(Purged::Topic(topic));
                Ok(None)
            }
            Dead::MessageIds(topic) => {
                let prefixes =
                    [id_blocks_prefix(Some(topic)), sequences_prefix(Some(topic)), versions_prefix(Some(topic))];
                self.remove_rows(from, &prefixes.map(beginning_with))
            }
            Dead::Partition(partition) => {
                let prefixes =
                    [producers_prefix(Some(partition)), aborted_prefix(partition), sparse_prefix(Some(partition))];
                let rest = self.remove_rows(from, &prefixes.map(beginning_with))?;
                // Its own row goes last, so that a restart in between finds what is left.
                if rest.is_none() {
                    self.group.rows.delete(compacted_key(partition));
                    self.group.rows.delete(partition_key(partition));
                }
                Ok(rest)
            }
        }
    }

    /// Stages the removal of the rows from `from` on in `ranges`, which lie in order, as many as the slice has room for; answers where
    /// the rest begins.
    fn remove_rows(&mut self, from: &Option<Vec<u8>>, ranges: &[Range]) -> Result<Option<Vec<u8>>, StoreError> {
        let (rows, rows_left) = (&mut self.group.rows, &mut self.rows_left);
        let mut rest = None;
        for (begin, end) in ranges {
            let begin = from.as_ref().unwrap_or(begin).max(begin);
            if begin >= end {
                continue;
            }
            self.store.scan_range(begin, end, &mut |key, _| {
                if *rows_left == 0 {
                    rest = Some(key.to_vec());
                    return false;
                }
                *rows_left -= 1;
                rows.delete(key.to_vec());
                true
            })?;
            if rest.is_some() {
                break;
            }
        }
        Ok(rest)
    }

    /// Stages the removal of the batches that end below `log_start`, if there are any; answers from which offset
    /// on rows stay.
    fn remove_batches(&mut self, partition: PartitionId, log_start: Offset) -> Result<Option<Offset>, StoreError> {
        let mut found = false;
        self.store.scan_log(partition, 0, log_start, &mut |key| {
            found = key.last_offset() < log_start;
            false
        })?;
        if !found {
            return Ok(None);
        }
        // The batch that holds the log start stays whole.
        let mut rows_end = log_start;
        self.store.scan_log(partition, log_start, log_start.saturating_add(1), &mut |key| {
            rows_end = rows_end.min(key.base_offset);
            false
        })?;
        let (from, to) = log_range(partition, 0, rows_end);
        self.group.rows.delete_log_range(from, to);
        Ok(Some(rows_end))
    }
}

/// What is said of the batches below `log_start`. A transaction that ended below it has no records left, wherever it began.
fn index_below(partition: PartitionId, log_start: Offset) -> [Range; 2] {
    let aborted = (aborted_prefix(partition), aborted_key(partition, log_start));
    [aborted, (sparse_prefix(Some(partition)), sparse_key(partition, log_start))]
}

fn beginning_with(prefix: Vec<u8>) -> Range {
    let end = next_prefix(&prefix).expect("no prefix is all 0xff");
    (prefix, end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::BatchHeader;
    use crate::record::build::BatchBuilder;
    use crate::store::Rows;
    use crate::store::memory::MemoryStore;
    use crate::store::schema::{LogKey, partitions_prefix, prefix, producer_key};
    use crate::types::{ProducerId, TopicNo};

    const PARTITION: PartitionId = PartitionId { topic: TopicNo(7), index: 1 };
    const NEIGHBOUR: PartitionId = PartitionId { topic: TopicNo(7), index: 2 };
    /// Rows of each kind.
    const COUNT: i64 = 10;

    fn store() -> MemoryStore {
        let (store, mut rows) = (MemoryStore::new(), Rows::default());
        for partition in [PARTITION, NEIGHBOUR] {
            rows.put(partition_key(partition), vec![0]);
            rows.put(compacted_key(partition), vec![0]);
            for number in 0..COUNT {
                rows.put(producer_key(partition, ProducerId(number)), vec![0]);
                rows.put(aborted_key(partition, number), vec![0]);
                rows.put(sparse_key(partition, number), vec![0]);
            }
        }
        store.write(&rows, 0).expect("writes");
        store
    }

    fn keys(store: &MemoryStore, prefix: &[u8]) -> usize {
        let mut count = 0;
        store.scan(prefix, &mut |_, _| count += 1).expect("reads");
        count
    }

    fn all(store: &MemoryStore) -> usize {
        (prefix::LOG..=prefix::COMPACTED).map(|prefix| keys(store, &[prefix])).sum()
    }

    /// Removes what is dead with slices of `rows_max`; answers how many rows went with each write.
    fn remove(store: &MemoryStore, dead: Dead, rows_max: usize) -> Vec<usize> {
        let (mut from, mut went) = (None, Vec::new());
        loop {
            let (mut group, before) = (Group::default(), all(store));
            let mut slice = Slice { store, group: &mut group, rows_left: rows_max, reclaim_all: false };
            from = slice.remove(dead, &from).expect("reads");
            store.write(&group.rows, 0).expect("writes");
            went.push(before - all(store));
            if from.is_none() {
                return went;
            }
        }
    }

    #[test]
    fn rows_of_a_partition_go_slice_by_slice_its_own_last_and_no_others() {
        for rows_max in [1, 3, 7, 10, 29, 30, 31, 1000] {
            let store = store();
            let went = remove(&store, Dead::Partition(PARTITION), rows_max);
            let (last, full) = went.split_last().expect("one write at least");
            assert!(full.iter().all(|count| *count == rows_max), "{rows_max}: {went:?}");
            assert!((2..=rows_max + 2).contains(last), "{rows_max}: {went:?}");
            assert_eq!(keys(&store, &partitions_prefix()), 1);
            assert_eq!(all(&store), 3 * 10 + 2, "{rows_max}: the neighbour's");
        }
    }

    #[test]
    fn space_of_records_waits_until_it_is_worth_it_unless_it_is_or_the_disk_is_low() {
        let records = |space| Dead::Records { partition: PARTITION, log_start: 6, space };
        let purged = |space, reclaim_all| {
            let (store, mut rows, mut group) = (MemoryStore::new(), Rows::default(), Group::default());
            let batch = BatchBuilder::new().record(0, None, Some(b"v")).build().freeze();
            let header = BatchHeader::parse(&batch).expect("a batch");
            for base_offset in 0..10 {
                rows.put(LogKey { base_offset, ..LogKey::of(PARTITION, &header) }.encode(), batch.clone());
            }
            store.write(&rows, 0).expect("writes");
            let mut slice = Slice { store: &store, group: &mut group, rows_left: 100, reclaim_all };
            assert_eq!(slice.remove(records(space), &None).expect("reads"), None);
            store.write(&group.rows, 0).expect("writes");
            assert_eq!(keys(&store, &[prefix::LOG]), 4);
            group.purged
        };
        let in_time = Space::InTime { bytes: 700 };
        for (space, reclaim_all, expected) in
            [(Space::AtOnce, false, Space::AtOnce), (in_time, true, Space::AtOnce), (in_time, false, in_time)]
        {
            let expected = Purged::Records { partition: PARTITION, rows_end: 6, space: expected };
            assert_eq!(purged(space, reclaim_all), [expected]);
        }
    }

    #[test]
    fn what_is_said_of_deleted_records_goes_slice_by_slice_up_to_the_log_start() {
        let records = Dead::Records { partition: PARTITION, log_start: 6, space: Space::AtOnce };
        for rows_max in [1, 4, 6, 7, 100] {
            let store = store();
            let before = all(&store);
            let went = remove(&store, records, rows_max);
            assert!(went.iter().all(|count| *count <= rows_max), "{rows_max}: {went:?}");
            assert_eq!(before - all(&store), 12, "{rows_max}: aborted transactions and index entries below 6");
            let left = [aborted_prefix(PARTITION), sparse_prefix(Some(PARTITION))].map(|prefix| keys(&store, &prefix));
            assert_eq!(left, [4, 4], "{rows_max}");
            let neighbour = [aborted_prefix(NEIGHBOUR), sparse_prefix(Some(NEIGHBOUR))];
            assert_eq!(neighbour.map(|prefix| keys(&store, &prefix)), [10, 10], "{rows_max}");
        }
    }
}
