//! Files of message ids that have left memory: each is read whole, and what it says is held against the log.

use std::collections::{BTreeMap, HashMap};

use super::finding::Report;
use super::shelf::Shelf;
use super::walk::each;
use crate::dedup::slice::SliceHead;
use crate::store::StoreError;
use crate::store::schema::{
    PartitionRow, RowValue, SliceRow, TopicRow, partition_of_key, partitions_prefix, prefix, slice_of_key,
    topics_prefix,
};
use crate::store::slices::{Slice, SliceFiles};
use crate::types::{Offset, PartitionId, TopicNo};

/// Reads all files that the log knows of. Of others the next start makes nothing but room.
pub fn check(files: &dyn SliceFiles, shelf: &dyn Shelf, report: &mut Report) {
    let numbers = match files.numbers() {
        Ok(numbers) => numbers,
        Err(error) => return report.damage("files of message ids", None, error.to_string()),
    };
    let topics = topics(shelf);
    let mut heads = BTreeMap::new();
    let head = |number: u64, SliceRow(head): SliceRow, _: &mut Report| {
        heads.insert(number, head);
    };
    each(shelf, &[prefix::SLICE], slice_of_key, SliceRow::NAME, report, head);
    // What a deleted topic has left goes with the next start.
    heads.retain(|_, head| topics.contains_key(&head.topic));
    let ends = if heads.is_empty() { HashMap::new() } else { log_ends(shelf) };
    for number in numbers {
        let Some(head) = heads.remove(&number) else { continue };
        report.slices += 1;
        let place = || format!("file {number} of message ids");
        match read(files, &head, &ends) {
            Ok(0) => {}
            Ok(ahead) => {
                let what = format!("{ahead} of its ids are those of records behind the end of their log");
                report.damage(place(), None, what);
            }
            Err(StoreError::Corrupt { place, detail }) => report.damage(place, None, detail),
            Err(error) => report.damage(place(), None, error.to_string()),
        }
    }
    for (number, head) in heads {
        let topic = topics.get(&head.topic).map_or("", String::as_str);
        let what = format!("it is gone, and {} ids of topic {topic} with it", head.ids);
        report.damage(format!("file {number} of message ids"), None, what);
    }
}

/// Answers how many ids of a file belong to no record that was ever in the log.
fn read(files: &dyn SliceFiles, head: &SliceHead, ends: &HashMap<PartitionId, Offset>) -> Result<u64, StoreError> {
    let slice = Slice::open(files, head.number)?.known_as(head)?;
    let mut ahead = 0;
    slice.scan(&mut |id| {
        let partition = PartitionId { topic: slice.head.topic, index: id.partition };
        ahead += u64::from(ends.get(&partition).is_some_and(|end| id.offset >= *end));
    })?;
    Ok(ahead)
}

/// Names of topics. What cannot be read is told elsewhere.
fn topics(shelf: &dyn Shelf) -> HashMap<TopicNo, String> {
    let mut topics = HashMap::new();
    let _ = shelf.scan(&topics_prefix(), &mut |_, value| {
        if let Ok(row) = TopicRow::decode(value) {
            topics.insert(row.no, row.name);
        }
    });
    topics
}

/// The same of the ends of logs.
fn log_ends(shelf: &dyn Shelf) -> HashMap<PartitionId, Offset> {
    let mut ends = HashMap::new();
    let _ = shelf.scan(&partitions_prefix(), &mut |key, value| {
        if let (Ok(partition), Ok(row)) = (partition_of_key(key), PartitionRow::decode(value)) {
            ends.insert(partition, row.log_end);
        }
    });
    ends
}
