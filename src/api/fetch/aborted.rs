//! What a reader of committed records is told about the batches that it gets: which transactions in them were aborted. The consumer
//! leaves their records out (`CompletedFetch` in Kafka's client).

use std::sync::Arc;

use bytes::Bytes;

use crate::log::partition::Partition;
use crate::log::reader::LogReader;
use crate::record::BatchHeader;
use crate::store::StoreError;
use crate::types::Offset;
use crate::wire::fetch_response::AbortedTransaction;

/// Batches that are answered, and the transactions aborted in them.
type Left = (Vec<Bytes>, Option<Vec<AbortedTransaction>>);

/// The aborted transactions that overlap `batches`, the whole batches read from `from` on when the indexes were `seen`. Where there
/// are too many for an answer, less of the batches is left, but always the first. Nothing is left if the index has lost rows since,
/// by a move of the log start or by compaction: it would not tell of what was aborted in the batches.
pub(super) async fn leave(
    reader: &LogReader,
    partition: &Arc<Partition>,
    from: Offset,
    seen: Option<u64>,
    batches: Vec<Bytes>,
) -> Result<Left, StoreError> {
    let left = look_up(reader, partition, from, batches).await?;
    let is_same = seen.is_some() && partition.indexes() == seen && partition.offsets().log_start <= from;
    Ok(if is_same { left } else { (Vec::new(), Some(Vec::new())) })
}

async fn look_up(
    reader: &LogReader,
    partition: &Arc<Partition>,
    from: Offset,
    mut batches: Vec<Bytes>,
) -> Result<Left, StoreError> {
    // The offset is looked up after the last stable one, up to which was read: an end that can be seen is known here.
    if from >= partition.aborted_end() {
        return Ok((batches, Some(Vec::new())));
    }
    let (Some(first), Some(last)) = (batches.first(), batches.last()) else {
        return Ok((batches, Some(Vec::new())));
    };
    let (to_min, to) = (end_offset(partition, first)?, end_offset(partition, last)?);
    let found = reader.aborted(partition, from, to, to_min).await?;
    while found.to < to
        && let Some(last) = batches.last()
        && end_offset(partition, last)? > found.to
        && batches.len() > 1
    {
        batches.pop();
    }
    let transactions = found
        .transactions
        .into_iter()
        .map(|aborted| AbortedTransaction { producer_id: aborted.producer_id, first_offset: aborted.first_offset });
    Ok((batches, Some(transactions.collect())))
}

/// The offset after the last record of a batch.
fn end_offset(partition: &Partition, batch: &Bytes) -> Result<Offset, StoreError> {
    let header = BatchHeader::parse(batch).map_err(|error| StoreError::Corrupt {
        place: format!("partition {}", partition.id),
        detail: error.to_string(),
    })?;
    Ok(header.last_offset().saturating_add(1))
}
