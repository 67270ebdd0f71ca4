use std::collections::BTreeSet;

use super::*;
use crate::log::catalog::Catalog;
use crate::log::offsets::CommittedOffsets;
use crate::log::partition::{Partition, Recovered};
use crate::store::memory::MemoryStore;
use crate::telemetry::collector::tests::{commit, observing, topic};
use crate::telemetry::name::SHOWN_BYTES_MAX;
use crate::types::{LeaderEpoch, ProducerId, TopicNo};

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
    assert_eq!(overview.transactions_json()["held_back_left_out"], PARTITIONS as usize - ROWS_MAX);
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

#[test]
fn what_is_not_among_the_worst_is_counted() {
    let (catalog, mut topics) = (Arc::new(Catalog::default()), Topics::default());
    topics.insert(Arc::new(held_back(1)));
    for no in 1..ROWS_MAX as u32 + 20 {
        topics.insert(Arc::new(topic(no + 1, &format!("t{no}"), 0)));
    }
    catalog.publish(Arc::new(topics));
    let offsets = Arc::<CommittedOffsets>::default();
    (0..ROWS_MAX + 10).for_each(|group| commit(&offsets, &format!("g{group}"), 1, 0, 4));
    let collector = observing(catalog, offsets, Arc::new(MemoryStore::new()), 100);
    let mut overview = Overview::default();
    overview.look(&collector, Vec::new(), 0);
    let json = overview.topics_json();
    assert_eq!((json["topics"].as_array().map(Vec::len), &json["topics_left_out"]), (Some(ROWS_MAX), &20.into()));
    let json = overview.groups_json();
    assert_eq!((json["groups"].as_array().map(Vec::len), &json["groups_left_out"]), (Some(ROWS_MAX), &10.into()));

    let asked = Asked { topics: Selection::After("t".to_owned()), ..Asked::default() };
    let mut overview = Overview { asked, ..Overview::default() };
    overview.look(&collector, Vec::new(), 0);
    let json = overview.topics_json();
    assert_eq!((&json["topics"][0]["topic"], &json["topics_left_out"]), (&"t1".into(), &19.into()));
    assert_eq!((&json["next"], json["next"].is_string()), (&json["topics"][ROWS_MAX - 1]["topic"], true));
    assert!(overview.groups_json()["next"].is_null(), "the worst have no next page");

    let left_out = LeftOut { groups: 1, transactions: 2, held_back: 3, topics: 4 };
    let overview = Overview { left_out, ..Overview::default() };
    let transactions = overview.transactions_json();
    assert_eq!((&transactions["open_left_out"], &transactions["held_back_left_out"]), (&2.into(), &3.into()));
}
