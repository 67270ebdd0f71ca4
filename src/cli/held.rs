//! Records that an open transaction keeps from readers of committed ones: how many, by whom, and which command helps.
//!
//! The log has them, and a consumer or a lag that stands still looks like a fault: so whoever meets the last stable offset is told.

use std::time::Duration;

use super::offsets::Offsets;
use super::{now, shell_word, span, txn};
use crate::client::{Cluster, PartitionLeader, Printable};
use crate::types::Offset;

/// So many partitions are told of, with a question or three to the cluster for each.
const TOLD_MAX: usize = 5;

/// A partition in which readers of committed records do not come to the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    /// Where.
    pub(super) partition: PartitionLeader,
    /// Up to here they read.
    pub(super) last_stable_offset: Offset,
    /// Up to here all others do; more than that.
    pub(super) high_watermark: Offset,
}

/// Those of `partitions` whose last stable offset is not their end.
pub(super) fn between(partitions: &[PartitionLeader], stable: &Offsets, ends: &Offsets) -> Vec<Held> {
    let held = partitions.iter().filter_map(|partition| {
        let place = (partition.topic.clone(), partition.partition);
        let (last_stable_offset, high_watermark) = (*stable.get(&place)?, *ends.get(&place)?);
        let partition = partition.clone();
        (last_stable_offset < high_watermark).then_some(Held { partition, last_stable_offset, high_watermark })
    });
    held.collect()
}

/// Says on stderr of each who holds it back, a line each. What a broker does not tell is left out.
pub(super) fn tell(cluster: &mut Cluster, held: &[Held], timeout: Duration) {
    for held in held.iter().take(TOLD_MAX) {
        // An older broker, or one that does not tell everybody: that there is something is worth saying all the same.
        let holder = txn::holder_of(cluster, &held.partition, timeout).unwrap_or_default();
        eprintln!("einmal: {}", Printable(&sentence(held, holder.as_ref(), now())));
    }
    if let Some(more) = held.len().checked_sub(TOLD_MAX).filter(|more| *more > 0) {
        eprintln!("einmal: {more} more partitions have such records: `einmal txn list --state Ongoing` tells whose");
    }
}

fn sentence(held: &Held, holder: Option<&txn::Holder>, now: i64) -> String {
    let Held { partition: PartitionLeader { topic, partition, .. }, last_stable_offset, high_watermark } = held;
    let count = high_watermark - last_stable_offset;
    let (records, are) = if count == 1 { ("record", "is") } else { ("records", "are") };
    let them = if count == 1 { "it" } else { "them" };
    let topic_word = shell_word(topic);
    let why = match holder {
        None => format!(
            "an open transaction holds {them} back; `einmal txn producers {topic_word} --partition {partition}` tells whose"
        ),
        Some(txn::Holder { producer_id, start_offset, coordinated: None }) => format!(
            "a transaction of producer {producer_id} that no coordinator will end holds {them} back; once nobody writes there any more, \
             `einmal txn abort --topic {topic_word} --partition {partition} --start-offset {start_offset}` ends it"
        ),
        Some(txn::Holder { producer_id, coordinated: Some(transaction), .. }) => {
            let id = transaction.transactional_id.as_str();
            let state = transaction.transaction_state.as_str();
            let age = now.saturating_sub(transaction.transaction_start_time_ms);
            match state {
                "Ongoing" => format!(
                    "transaction {id:?} of producer {producer_id}, open for {}, holds {them} back; `einmal txn describe {word}` shows \
                     it, `einmal txn abort {word}` ends it",
                    span::show(age),
                    word = shell_word(id),
                ),
                _ => format!(
                    "transaction {id:?} of producer {producer_id} holds {them} back while it ends (its state is {state})"
                ),
            }
        }
    };
    format!("{count} {records} of {topic}-{partition} {are} beyond the last stable offset {last_stable_offset}: {why}")
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::describe_transactions_response::TransactionState;

    use super::*;
    use crate::cli::text;

    fn partition(index: i32) -> PartitionLeader {
        PartitionLeader { topic: "t".to_owned(), partition: index, leader: Some(1) }
    }

    #[test]
    fn only_partitions_that_readers_do_not_reach_the_end_of_are_held() {
        let offsets = |all: &[(i32, Offset)]| {
            all.iter().map(|(index, offset)| (("t".to_owned(), *index), *offset)).collect::<Offsets>()
        };
        let held = between(
            &[partition(0), partition(1), partition(2)],
            &offsets(&[(0, 5), (1, 5), (2, 5)]),
            &offsets(&[(0, 5), (1, 7)]),
        );
        assert_eq!(held, [Held { partition: partition(1), last_stable_offset: 5, high_watermark: 7 }]);
    }

    #[test]
    fn whoever_is_held_back_is_told_by_whom_and_what_ends_it() {
        let held = |high_watermark| Held { partition: partition(3), last_stable_offset: 7, high_watermark };
        let holder = |coordinated| txn::Holder { producer_id: 9, start_offset: 7, coordinated };
        let transaction = |id: &str, state: &str| {
            let transaction = TransactionState::default().with_transactional_id(text(id).into());
            holder(Some(transaction.with_transaction_state(text(state)).with_transaction_start_time_ms(1_000)))
        };
        for (holder, parts) in [
            (None, &["`einmal txn producers t --partition 3`"][..]),
            (Some(holder(None)), &["no coordinator", "`einmal txn abort --topic t --partition 3 --start-offset 7`"]),
            (
                Some(transaction("pay", "Ongoing")),
                &["transaction \"pay\" of producer 9, open for 1m 1s,", "`einmal txn abort pay` ends it"],
            ),
            (Some(transaction("my pay", "Ongoing")), &["`einmal txn abort 'my pay'` ends it"]),
            (Some(transaction("pay", "PrepareCommit")), &["while it ends (its state is PrepareCommit)"]),
        ] {
            let said = sentence(&held(9), holder.as_ref(), 62_000);
            assert!(said.starts_with("2 records of t-3 are beyond the last stable offset 7: "), "{said}");
            assert!(parts.iter().all(|part| said.contains(part)), "{parts:?}: {said}");
        }
        assert!(sentence(&held(8), None, 0).starts_with("1 record of t-3 is beyond the last stable offset 7"));
    }
}
