//! Files of message ids that have left memory: each is read whole, and what it says is held against the log.

use std::collections::HashMap;

use super::finding::Report;
use super::shelf::Shelf;
use crate::store::StoreError;
use crate::store::schema::{PartitionRow, RowValue, partition_of_key, partitions_prefix};
use crate::store::slices::{Slice, SliceFiles};
use crate::types::{Offset, PartitionId};

/// Reads all files.
pub fn check(files: &dyn SliceFiles, shelf: &dyn Shelf, report: &mut Report) {
    let numbers = match files.numbers() {
        Ok(numbers) => numbers,
        Err(error) => return report.damage("files of message ids", None, error.to_string()),
    };
    if numbers.is_empty() {
        return;
    }
    let ends = log_ends(shelf);
    for number in numbers {
        report.slices += 1;
        match read(files, number, &ends) {
            Ok(0) => {}
            Ok(ahead) => report.damage(
                format!("file {number} of message ids"),
                None,
                format!("{ahead} of its ids are those of records behind the end of their log"),
            ),
            Err(StoreError::Corrupt { place, detail }) => report.damage(place, None, detail),
            Err(error) => report.damage(format!("file {number} of message ids"), None, error.to_string()),
        }
    }
}

/// Answers how many ids of a file belong to no record that was ever in the log.
fn read(files: &dyn SliceFiles, number: u64, ends: &HashMap<PartitionId, Offset>) -> Result<u64, StoreError> {
    let slice = Slice::open(files, number)?;
    let mut ahead = 0;
    slice.scan(&mut |id| {
        let partition = PartitionId { topic: slice.head.topic, index: id.partition };
        // Files of a deleted topic go with the next start.
        ahead += u64::from(ends.get(&partition).is_some_and(|end| id.offset >= *end));
    })?;
    Ok(ahead)
}

/// What cannot be read is told elsewhere.
fn log_ends(shelf: &dyn Shelf) -> HashMap<PartitionId, Offset> {
    let mut ends = HashMap::new();
    let _ = shelf.scan(&partitions_prefix(), &mut |key, value| {
        if let (Ok(partition), Ok(row)) = (partition_of_key(key), PartitionRow::decode(value)) {
            ends.insert(partition, row.log_end);
        }
    });
    ends
}
