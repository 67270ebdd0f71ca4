//! Reads partitions of one Fetch within its byte budget.
//!
//! Mirrors the accounting of `ReplicaManager.readFromLog` in Kafka: partitions take from the budget in order, limits are soft for
//! the first batch of the answer and hard, at batch boundaries, for all others.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;

use crate::api::READS_MAX;
use crate::store::StoredBatch;

/// Reads each of `wanted` in order, `bytes_of` it at most and `bytes_max` of all; what no byte is left for stays empty. Reads
/// overlap as long as the budget covers all of them in full, so that what is read but not answered stays bounded as well.
pub(super) async fn read_within<W, E, Fut>(
    wanted: &[W],
    bytes_max: usize,
    bytes_of: impl Fn(&W) -> usize,
    read: impl Fn(&W, usize) -> Fut,
) -> Vec<Result<Vec<Bytes>, E>>
where
    Fut: Future<Output = Result<Vec<StoredBatch>, E>>,
{
    let mut answered = Vec::with_capacity(wanted.len());
    let mut reads = FuturesOrdered::new();
    let mut reserved = VecDeque::new();
    let mut waiting = wanted.iter();
    let mut next = waiting.next();
    let mut free = bytes_max;
    let mut is_first = true;
    loop {
        while let Some(wanted) = next {
            let bytes = bytes_of(wanted).min(free);
            let covered = bytes == bytes_of(wanted);
            // The first batch comes even if nothing is allowed, so an empty budget ends the reading only after it.
            if reads.len() >= READS_MAX || !(covered || reads.is_empty()) || (free == 0 && !is_first) {
                break;
            }
            reads.push_back(read(wanted, bytes));
            reserved.push_back(bytes);
            free -= bytes;
            next = waiting.next();
        }
        let (Some(result), Some(bytes)) = (reads.next().await, reserved.pop_front()) else { break };
        let kept = result.map(|batches| keep(batches, bytes, is_first));
        let used = kept.as_ref().map_or(0, |batches| batches.iter().map(Bytes::len).sum());
        is_first &= used == 0;
        free = (free + bytes).saturating_sub(used);
        answered.push(kept);
    }
    answered.resize_with(wanted.len(), || Ok(Vec::new()));
    answered
}

/// The leading batches that fit; the first of all batches fits always.
fn keep(batches: Vec<StoredBatch>, bytes_max: usize, is_first: bool) -> Vec<Bytes> {
    let mut left = bytes_max;
    let mut kept = Vec::with_capacity(batches.len());
    for batch in batches {
        if batch.bytes.len() > left && !(is_first && kept.is_empty()) {
            break;
        }
        left = left.saturating_sub(batch.bytes.len());
        kept.push(batch.bytes);
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A partition: its limit and the sizes of its batches.
    type Case<'a> = (usize, &'a [usize]);

    /// As the log answers: whole batches within the limit, the first always.
    fn stored(sizes: &[usize], bytes_max: usize) -> Vec<StoredBatch> {
        let mut total = 0;
        let fitting = sizes.iter().enumerate().take_while(|(index, size)| {
            total += **size;
            *index == 0 || total <= bytes_max
        });
        fitting
            .map(|(_, size)| StoredBatch { base_offset: 0, last_offset: 0, bytes: Bytes::from(vec![0; *size]) })
            .collect()
    }

    async fn sizes(partitions: &[Case<'_>], bytes_max: usize) -> Vec<Vec<usize>> {
        let read = |case: &Case<'_>, bytes_max: usize| {
            let batches = stored(case.1, bytes_max);
            async move {
                // Reads that overlap finish in an order of their own.
                tokio::task::yield_now().await;
                Ok::<_, ()>(batches)
            }
        };
        let answered = read_within(partitions, bytes_max, |case| case.0, read).await;
        answered.into_iter().map(|batches| batches.unwrap().iter().map(Bytes::len).collect()).collect()
    }

    #[tokio::test]
    async fn budget_is_taken_in_order_and_the_first_batch_always_comes() {
        for (partitions, bytes_max, expected) in [
            (&[(100, &[10, 20][..])][..], 100, vec![vec![10, 20]]),
            (&[(25, &[10, 20])], 100, vec![vec![10]]),
            (&[(5, &[10, 20])], 100, vec![vec![10]]),
            (&[(100, &[10, 20])], 5, vec![vec![10]]),
            (&[(0, &[10, 20])], 0, vec![vec![10]]),
            // Only the first non-empty partition may exceed its limit or the budget.
            (&[(5, &[10]), (5, &[10])], 100, vec![vec![10], vec![]]),
            (&[(5, &[]), (5, &[10]), (5, &[10])], 100, vec![vec![], vec![10], vec![]]),
            (&[(100, &[10]), (100, &[10, 10])], 25, vec![vec![10], vec![10]]),
            (&[(100, &[30]), (100, &[10])], 20, vec![vec![30], vec![]]),
            (&[(100, &[30]), (100, &[10])], 30, vec![vec![30], vec![]]),
            // What one partition leaves, the next may use.
            (&[(20, &[]), (20, &[15]), (20, &[5])], 20, vec![vec![], vec![15], vec![5]]),
            (&[], 20, vec![]),
        ] {
            assert_eq!(sizes(partitions, bytes_max).await, expected, "{partitions:?} within {bytes_max}");
        }
    }

    #[tokio::test]
    async fn reads_under_way_are_bounded_in_number_and_bytes() {
        let (now, most) = (Cell::new((0, 0)), Cell::new((0, 0)));
        let read = |bytes: &usize, limit: usize| {
            assert_eq!(*bytes, limit);
            let (now, most) = (&now, &most);
            async move {
                now.set((now.get().0 + 1, now.get().1 + limit));
                most.set((most.get().0.max(now.get().0), most.get().1.max(now.get().1)));
                tokio::task::yield_now().await;
                now.set((now.get().0 - 1, now.get().1 - limit));
                Ok::<_, ()>(Vec::new())
            }
        };
        read_within(&[10; 50], 1000, |bytes| *bytes, read).await;
        assert_eq!(most.replace((0, 0)), (READS_MAX, 10 * READS_MAX));
        read_within(&[10; 50], 35, |bytes| *bytes, read).await;
        assert_eq!(most.get(), (3, 30));
    }
}
