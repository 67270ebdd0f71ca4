//! Removes the rows of message ids that a deleted topic leaves behind.

use super::super::group::Group;
use crate::store::schema::{RowError, id_block_key, id_block_of_key, id_blocks_prefix, next_prefix};
use crate::store::{Store, StoreError};
use crate::types::{Offset, PartitionId, TopicNo};

/// Rows that one round removes.
const ROWS_PER_ROUND: usize = 4096;

/// Stages the removal of rows that a deleted topic left behind, from one place on; answers where the rest begins.
pub(in crate::engine) fn remove_rows(
    store: &dyn Store,
    group: &mut Group,
    topic: TopicNo,
    from: Option<(PartitionId, Offset)>,
) -> Result<Option<(PartitionId, Offset)>, StoreError> {
    let prefix = id_blocks_prefix(Some(topic));
    let end = next_prefix(&prefix).expect("the prefix of ids is not 0xff");
    let from = from.map_or(prefix, |(partition, offset)| id_block_key(partition, offset));
    let mut rest: Option<Result<_, RowError>> = None;
    let mut removed = 0;
    store.scan_range(&from, &end, &mut |key, _| {
        if removed == ROWS_PER_ROUND {
            rest = Some(id_block_of_key(key));
            return false;
        }
        removed += 1;
        group.rows.delete(key.to_vec());
        true
    })?;
    Ok(rest.transpose()?)
}
