//! The power goes after each of the writes that an end takes: what a start finds then is the transaction as it was, or goes on to
//! what it would have come to.

use super::harness::{TestEngine, plain, settings, to};
use crate::engine::command::{Acks, AppendBatch, InitTransactions, OffsetToCommit, TransactionProducer};
use crate::engine::settings::Settings;
use crate::log::offsets::CommittedOffset;
use crate::transaction::{TransactionMetadata, TransactionState, TransactionVersion};
use crate::types::{Arrival, LeaderEpoch, Offset, PartitionId, ProducerEpoch, ProducerId, TransactionResult};

const ID: &str = "payments";
const GROUP: &str = "group";
const TOPICS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Everything that anybody can see of the transaction.
#[derive(Debug, PartialEq)]
struct Seen {
    transaction: Option<TransactionMetadata>,
    partitions: Vec<SeenPartition>,
}

#[derive(Debug, PartialEq)]
struct SeenPartition {
    last_stable_offset: Offset,
    high_watermark: Offset,
    committed_batches: Vec<Offset>,
    committed_offset: Option<i64>,
    is_pending: bool,
    producers: Vec<(ProducerId, ProducerEpoch, Option<Offset>)>,
}

async fn look(broker: &TestEngine) -> Seen {
    let described = broker.engine().describe_transactions(vec![ID.to_owned()]).await;
    let transaction = described.expect("engine runs").remove(0);
    let mut partitions = Vec::new();
    for topic in TOPICS {
        let id = broker.partition(topic).id;
        let offsets = broker.offsets(topic);
        let progress = broker.started.offsets.progress(GROUP, id);
        let described = broker.engine().describe_producers(id).await.expect("engine runs").expect("described");
        let producers = described.iter();
        partitions.push(SeenPartition {
            last_stable_offset: offsets.last_stable_offset,
            high_watermark: offsets.high_watermark,
            committed_batches: broker.read_committed(topic, 0).await,
            committed_offset: progress.committed.map(|committed| committed.offset),
            is_pending: progress.is_pending,
            producers: producers.map(|one| (one.producer_id, one.state.epoch, one.state.open_transaction)).collect(),
        });
    }
    Seen { transaction, partitions }
}

/// Records in all partitions but the last, which is only added in V1, and offsets of three.
async fn open_transaction(version: TransactionVersion) -> (TestEngine, TransactionProducer) {
    let broker = TestEngine::start_with(Settings { transaction_slice: 2, ..settings() });
    for topic in TOPICS {
        broker.create(topic, &[]).await;
    }
    let arrival = Arrival::default();
    let init = InitTransactions { transactional_id: ID.into(), timeout_ms: 60_000, given: None, arrival };
    let begun = broker.engine().init_transactions(init).await.expect("engine runs");
    let (producer_id, producer_epoch) = begun.expect("nothing is open");
    let producer = TransactionProducer { transactional_id: ID.into(), producer_id, producer_epoch, version, arrival };
    let partitions: Vec<PartitionId> = TOPICS.iter().map(|topic| broker.partition(topic).id).collect();
    if version == TransactionVersion::V1 {
        let added = broker.engine().add_partitions_to_txn(producer.clone(), partitions.clone()).await;
        added.expect("engine runs").expect("added");
        let added = broker.engine().add_offsets_to_txn(producer.clone(), GROUP.to_owned()).await;
        added.expect("engine runs").expect("added");
    }
    for partition in &partitions[..4] {
        let batch = plain(&["value"]).producer(producer_id, producer_epoch, 0).transactional();
        let batch = AppendBatch { transaction: Some(producer.clone().into()), ..to(*partition, &batch) };
        let appended = broker.engine().append(Acks::All, vec![batch]).await.expect("answered");
        assert!(appended[0].error.is_none(), "{appended:?}");
    }
    let offset = |partition: &PartitionId| OffsetToCommit {
        partition: *partition,
        committed: CommittedOffset {
            offset: 5,
            leader_epoch: LeaderEpoch(-1),
            metadata: String::new(),
            commit_timestamp: 0,
            expire_timestamp: -1,
        },
    };
    let offsets = partitions[..3].iter().map(offset).collect();
    let staged = broker.engine().txn_offset_commit(producer.clone(), GROUP.to_owned(), offsets).await;
    assert!(staged.expect("engine runs").expect("staged").is_empty());
    (broker, producer)
}

/// Asks for the end, and has it written as far as it goes while nothing is synced.
async fn end_unsynced(broker: &TestEngine, producer: &TransactionProducer, result: TransactionResult) -> usize {
    broker.store.syncs.hold();
    let (engine, producer) = (broker.engine().clone(), producer.clone());
    let ending = tokio::spawn(async move { engine.end_txn(producer, result).await });
    tokio::task::yield_now().await;
    // Each of these is a round, and more than there are slices.
    for _ in 0..10 {
        broker.written().await;
        broker.idle_round();
    }
    assert!(!ending.is_finished(), "answered before it is synced");
    ending.abort();
    broker.store.memory.unsynced_writes()
}

#[tokio::test]
async fn a_power_cut_after_each_write_of_an_end_leaves_all_of_it_or_nothing() {
    for version in [TransactionVersion::V1, TransactionVersion::V2] {
        for result in [TransactionResult::Commit, TransactionResult::Abort] {
            let (broker, producer) = open_transaction(version).await;
            let before = look(&broker).await;
            let answer = broker.engine().end_txn(producer.clone(), result).await.expect("engine runs");
            let ended = look(&broker).await;
            assert_ne!(before, ended);
            let broker = broker.crash(0);
            assert_eq!(look(&broker).await, ended, "{version:?} {result:?}: what is answered is kept");

            let (broker, producer) = open_transaction(version).await;
            let writes = end_unsynced(&broker, &producer, result).await;
            assert!(writes >= 4, "{version:?}: {writes} slices");
            for keep in 0..=writes {
                let (broker, producer) = open_transaction(version).await;
                assert_eq!(end_unsynced(&broker, &producer, result).await, writes);
                let broker = broker.crash(keep);
                if keep == 0 {
                    assert_eq!(look(&broker).await, before, "{version:?} {result:?}: nothing of it");
                } else {
                    // Decided: whoever asks again is told to come later, or that it is done.
                    for _ in 0..writes {
                        broker.idle_round();
                    }
                    assert_eq!(look(&broker).await, ended, "{version:?} {result:?} after {keep} of {writes} writes");
                }
                let retried = broker.engine().end_txn(producer, result).await.expect("engine runs");
                assert_eq!(retried, answer, "{version:?} {result:?} after {keep} of {writes} writes");
                assert_eq!(look(&broker).await, ended, "{version:?} {result:?} after {keep} writes and the retry");
                let state = ended.transaction.as_ref().expect("known").state;
                assert!(matches!(state, TransactionState::CompleteCommit | TransactionState::CompleteAbort));
            }
        }
    }
}
