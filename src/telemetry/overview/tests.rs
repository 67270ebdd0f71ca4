use std::collections::BTreeSet;

use super::*;
use crate::log::catalog::Catalog;
use crate::log::partition::{Partition, Recovered};
use crate::store::memory::MemoryStore;
use crate::telemetry::collector::tests::{observing, topic};
use crate::telemetry::name::SHOWN_BYTES_MAX;
use crate::types::{LeaderEpoch, ProducerId};

/// A topic in whose partitions 1, 2, 3 … records are held back.
fn held_back(partitions: u32) -> Topic {
    let mut topic = topic(1, "t", 0);
    for index in 0..partitions {
        let last_stable_offset = 1_000 - i64::from(index) - 1;
        let recovered = Recovered { log_end: 1_000, last_stable_offset, ..Recovered::default() };
        let id = PartitionId { topic: TopicNo(1), index };
        topic.partitions.push(Arc::new(Partition::new(id, LeaderEpoch(0), &recovered)));
    }
    topic
}

#[test]
fn long_ids_of_many_transactions_in_many_partitions_make_a_small_answer() {
    const PARTITIONS: u32 = 400;
    let (catalog, mut topics) = (Arc::new(Catalog::default()), Topics::default());
    topics.insert(Arc::new(held_back(PARTITIONS)));
    catalog.publish(Arc::new(topics));
    let collector = observing(catalog, Arc::default(), Arc::new(MemoryStore::new()), 100);
    let everywhere: BTreeSet<PartitionId> =
        (0..PARTITIONS).map(|index| PartitionId { topic: TopicNo(1), index }).collect();
    let long = "x".repeat(32_000);
    let open = |no: i64| {
        let mut metadata = TransactionMetadata::new(ProducerId(no), 0);
        metadata.partitions = everywhere.clone();
        metadata.groups = (0..50).map(|group| format!("{long}{group}").into()).collect();
        (format!("{long}{no}"), metadata)
    };
    let mut overview = Overview::default();
    overview.look(&collector, (0..ROWS_MAX as i64).map(open).collect(), 0);

    assert_eq!((overview.partitions, overview.transactions.len()), (PARTITIONS as usize, ROWS_MAX));
    let figures: Vec<_> = overview.held_back.iter().map(|row| (row.partition, row.records)).collect();
    let worst: Vec<_> = (0..PARTITIONS).rev().map(|index| (index, i64::from(index) + 1)).take(ROWS_MAX).collect();
    assert_eq!(figures, worst);
    let ids: Vec<&Arc<str>> = overview.transactions.iter().map(|row| &row.transactional_id).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ROWS_MAX, "cut, they are still told apart");
    for row in &overview.held_back {
        assert_eq!(row.by.len(), NAMED_MAX);
        assert!(row.by.iter().zip(&ids).all(|(by, id)| Arc::ptr_eq(by, id)), "each is there once");
    }
    let json = overview.transactions_json().to_string();
    let names_max = 2 * ROWS_MAX * (1 + 2 * NAMED_MAX);
    assert!(json.len() < names_max * (SHOWN_BYTES_MAX + 50), "{} bytes", json.len());
}
