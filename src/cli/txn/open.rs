//! Transactions that are open in a partition, and what their coordinators know of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kafka_protocol::messages::ListTransactionsRequest;
use kafka_protocol::messages::describe_producers_response::ProducerState;
use kafka_protocol::messages::describe_transactions_response::TransactionState;

use super::ask;
use crate::client::{ClientError, Cluster, PartitionLeader};
use crate::types::{ErrorCode, PartitionIndex};

/// A transaction that is open in a partition.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Open {
    pub(super) topic: String,
    pub(super) partition: PartitionIndex,
    pub(super) producer: ProducerState,
}

/// The transaction that holds readers of a partition back: the open one that begins first.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) struct Holder {
    /// Whose it is.
    pub(in crate::cli) producer_id: i64,
    /// Where it begins in this partition.
    pub(in crate::cli) start_offset: i64,
    /// As its coordinator has it; none where it hangs: no coordinator will end it.
    pub(in crate::cli) coordinated: Option<TransactionState>,
}

/// Looks for the transaction that holds readers of `partition` back; none if none is open there.
///
/// # Errors
/// [`ClientError`], also of brokers that are too old to be asked.
pub(in crate::cli) fn holder_of(
    cluster: &mut Cluster,
    partition: &PartitionLeader,
    timeout: Duration,
) -> Result<Option<Holder>, ClientError> {
    let producers = ask::producers(cluster, std::slice::from_ref(partition))?.into_iter();
    let open = producers.filter(|(.., producer)| producer.current_txn_start_offset >= 0);
    let Some((topic, partition, producer)) = open.min_by_key(|(.., producer)| producer.current_txn_start_offset) else {
        return Ok(None);
    };
    let open = Open { topic, partition, producer };
    let mut known = transactions_of(cluster, std::slice::from_ref(&open), timeout)?;
    let hangs = is_hanging(&open, &known);
    Ok(Some(Holder {
        producer_id: open.producer.producer_id.0,
        start_offset: open.producer.current_txn_start_offset,
        coordinated: known.remove(&open.producer.producer_id.0).filter(|_| !hangs),
    }))
}

/// What coordinators know of the producers' transactions, by producer id; those without a transactional id are left out.
pub(super) fn transactions_of(
    cluster: &mut Cluster,
    open: &[Open],
    timeout: Duration,
) -> Result<BTreeMap<i64, TransactionState>, ClientError> {
    let ids: BTreeSet<i64> = open.iter().map(|open| open.producer.producer_id.0).collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let filter = ids.iter().map(|id| (*id).into()).collect();
    let request = ListTransactionsRequest::default().with_producer_id_filters(filter).with_duration_filter(-1);
    let mut known = BTreeMap::new();
    for (_, listed) in ask::list(cluster, &request, timeout)? {
        let (_, described) = ask::describe(cluster, &listed.transactional_id, timeout)?;
        if described.error_code != ErrorCode::TRANSACTIONAL_ID_NOT_FOUND.0 {
            ClientError::check("DescribeTransactions", described.error_code, None)?;
            known.insert(listed.producer_id.0, described);
        }
    }
    Ok(known)
}

/// Whether no coordinator will end it: none knows the producer, or its transaction is over, or does not write here.
pub(super) fn is_hanging(open: &Open, known: &BTreeMap<i64, TransactionState>) -> bool {
    let transaction = known.get(&open.producer.producer_id.0);
    !transaction.is_some_and(|transaction| {
        let mut topics = transaction.topics.iter().filter(|topic| topic.topic.as_str() == open.topic);
        topics.any(|topic| topic.partitions.contains(&open.partition))
    })
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::describe_transactions_response::TopicData;

    use super::*;
    use crate::cli::text;

    #[test]
    fn a_transaction_hangs_that_its_coordinator_does_not_have_in_this_partition() {
        let open =
            Open { topic: "t".to_owned(), partition: 1, producer: ProducerState::default().with_producer_id(7.into()) };
        let transaction = |topics: &[(&str, &[i32])]| {
            let topic = |(name, partitions): &(&str, &[i32])| {
                TopicData::default().with_topic(text(name).into()).with_partitions(partitions.to_vec())
            };
            TransactionState::default().with_topics(topics.iter().map(topic).collect())
        };
        for (producer_id, topics, expected) in [
            (7, &[("t", &[0, 1][..])][..], false),
            (7, &[("u", &[1][..]), ("t", &[1][..])][..], false),
            (7, &[("t", &[0][..])][..], true),
            (7, &[("u", &[1][..])][..], true),
            (7, &[][..], true),
            (8, &[("t", &[0, 1][..])][..], true),
        ] {
            let known = BTreeMap::from([(producer_id, transaction(topics))]);
            assert_eq!(is_hanging(&open, &known), expected, "{producer_id} {topics:?}");
        }
        assert!(is_hanging(&open, &BTreeMap::new()));
    }
}
