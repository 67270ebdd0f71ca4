//! Transactions as the writer keeps them: what survives, what times out, what one write carries.

use std::pin::Pin;
use std::sync::Arc;

use super::harness::{TestEngine, at, marker, plain, rows, settings, to};
use crate::engine::command::{
    Acks, AppendBatch, GroupChange, InitTransactions, Marker, OffsetToCommit, TopicRef, TransactionProducer,
};
use crate::engine::settings::Settings;
use crate::engine::transactions::Limits;
use crate::engine::transactions::end::SLICE;
use crate::log::offsets::CommittedOffset;
use crate::store::Store;
use crate::store::schema::{RowValue, pending_offsets_prefix, transaction_key, transactions_prefix};
use crate::transaction::{TransactionMetadata, TransactionRefused, TransactionState, TransactionVersion};
use crate::types::{
    Arrival, ErrorCode, LeaderEpoch, PartitionId, ProducerEpoch, ProducerId, Timestamp, TopicNo, TransactionResult,
};

const TIMEOUT_MS: u32 = 60_000;
const COMMIT: TransactionResult = TransactionResult::Commit;
const ABORT: TransactionResult = TransactionResult::Abort;

type Begun = Result<(ProducerId, ProducerEpoch), TransactionRefused>;

impl TestEngine {
    async fn init(&self, id: &str) -> Begun {
        let init = InitTransactions {
            transactional_id: id.into(),
            timeout_ms: TIMEOUT_MS,
            given: None,
            arrival: Arrival::default(),
        };
        self.engine().init_transactions(init).await.expect("engine runs")
    }

    async fn producer(&self, id: &str) -> TransactionProducer {
        let (producer_id, producer_epoch) = self.init(id).await.expect("nothing is open");
        TransactionProducer {
            transactional_id: id.into(),
            producer_id,
            producer_epoch,
            version: TransactionVersion::V2,
            arrival: Arrival::default(),
        }
    }

    async fn add(&self, producer: &TransactionProducer, partitions: &[PartitionId]) -> Result<(), TransactionRefused> {
        let added = self.engine().add_partitions_to_txn(producer.clone(), partitions.to_vec()).await;
        added.expect("engine runs")
    }

    async fn add_group(&self, producer: &TransactionProducer, group: &str) -> Result<(), TransactionRefused> {
        self.engine().add_offsets_to_txn(producer.clone(), group.to_owned()).await.expect("engine runs")
    }

    async fn stage(&self, producer: &TransactionProducer, group: &str, partitions: &[PartitionId], offset: i64) {
        let committed = CommittedOffset {
            offset,
            leader_epoch: LeaderEpoch(-1),
            metadata: String::new(),
            commit_timestamp: self.time.now(),
            expire_timestamp: -1,
        };
        let of = |partition: &PartitionId| OffsetToCommit { partition: *partition, committed: committed.clone() };
        let offsets = partitions.iter().map(of).collect();
        let staged = self.engine().txn_offset_commit(producer.clone(), group.to_owned(), offsets).await;
        assert_eq!(staged.expect("engine runs"), Ok(std::collections::BTreeMap::new()));
    }

    async fn end_txn(&self, producer: &TransactionProducer, result: TransactionResult) -> Begun {
        self.engine().end_txn(producer.clone(), result).await.expect("engine runs")
    }

    async fn transaction(&self, id: &str) -> Option<TransactionMetadata> {
        self.engine().describe_transactions(vec![id.to_owned()]).await.expect("engine runs").remove(0)
    }

    async fn state(&self, id: &str) -> TransactionState {
        self.transaction(id).await.expect("known").state
    }

    /// Offset and whether one is pending.
    fn progress(&self, group: &str, partition: PartitionId) -> (Option<i64>, bool) {
        let progress = self.started.offsets.progress(group, partition);
        (progress.committed.map(|committed| committed.offset), progress.is_pending)
    }

    /// Returns once the transactions that were due have been aborted.
    async fn checked_for_timeouts(&self) {
        self.written().await;
        self.transaction("").await;
    }
}

/// Begins a call, or goes on with it, as far as it gets.
async fn is_pending<T>(call: Pin<&mut impl Future<Output = T>>) -> bool {
    tokio::select! {
        biased;
        _ = call => false,
        () = std::future::ready(()) => true,
    }
}

fn next(producer: &TransactionProducer, ended: Begun) -> TransactionProducer {
    let (producer_id, producer_epoch) = ended.expect("ended");
    TransactionProducer { producer_id, producer_epoch, ..producer.clone() }
}

#[tokio::test]
async fn an_open_transaction_survives_a_kill_with_its_offsets_pending() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    let at = broker.partition("t").id;
    let producer = broker.producer("payments").await;
    broker.add(&producer, &[at]).await.expect("added");
    broker.stage(&producer, "group", &[at], 5).await;
    let before = broker.transaction("payments").await;
    let broker = broker.crash(0);
    assert_eq!(broker.transaction("payments").await, before);
    assert_eq!(broker.progress("group", at), (None, true));
    let next = next(&producer, broker.end_txn(&producer, COMMIT).await);
    assert_eq!(next.producer_epoch, ProducerEpoch(producer.producer_epoch.0 + 1));
    assert_eq!(broker.progress("group", at), (Some(5), false));
    assert_eq!(rows(&broker, &pending_offsets_prefix()), 0);
    let broker = broker.crash(0);
    assert_eq!(broker.progress("group", at), (Some(5), false));
    assert_eq!(broker.state("payments").await, TransactionState::CompleteCommit);
    // The answer was lost with the connection: the retry finds the outcome of before the kill.
    let retried = broker.end_txn(&producer, COMMIT).await;
    assert_eq!(retried, Ok((next.producer_id, next.producer_epoch)));
}

#[tokio::test]
async fn nothing_of_an_end_is_answered_before_its_sync_and_a_cut_before_it_leaves_nothing_of_it() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    let at = broker.partition("t").id;
    let producer = broker.producer("payments").await;
    broker.stage(&producer, "group", &[at], 5).await;
    broker.store.syncs.hold();
    let mut ending = Box::pin(broker.end_txn(&producer, COMMIT));
    assert!(is_pending(ending.as_mut()).await);
    broker.store.syncs.wait_until_reached();
    assert!(is_pending(ending.as_mut()).await);
    assert_eq!(broker.progress("group", at), (None, true), "seen before it is durable");
    drop(ending);
    let broker = broker.crash(0);
    assert_eq!(
        (broker.state("payments").await, broker.progress("group", at)),
        (TransactionState::Ongoing, (None, true))
    );
    assert!(broker.end_txn(&producer, ABORT).await.is_ok());
    assert_eq!(broker.progress("group", at), (None, false));
}

#[tokio::test]
async fn a_transaction_is_aborted_when_its_time_is_up_and_its_producer_fenced() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    let at = broker.partition("t").id;
    let producer = broker.producer("payments").await;
    let slow = broker.producer("refunds").await;
    broker.stage(&producer, "group", &[at], 5).await;
    broker.time.advance(Timestamp::from(TIMEOUT_MS) - 1);
    broker.add(&slow, &[at]).await.expect("added");
    broker.checked_for_timeouts().await;
    assert_eq!(broker.state("payments").await, TransactionState::Ongoing);
    broker.time.advance(10_001);
    broker.checked_for_timeouts().await;
    assert_eq!(broker.state("payments").await, TransactionState::CompleteAbort);
    assert_eq!(broker.state("refunds").await, TransactionState::Ongoing, "it began later");
    assert_eq!(broker.progress("group", at), (None, false));
    let v1 = TransactionProducer { version: TransactionVersion::V1, ..producer.clone() };
    assert_eq!(broker.end_txn(&v1, COMMIT).await, Err(TransactionRefused::ProducerFenced));
    assert_eq!(broker.end_txn(&producer, COMMIT).await, Err(TransactionRefused::InvalidState));
    assert_eq!(broker.add(&producer, &[at]).await, Err(TransactionRefused::ProducerFenced));
    let next = next(&producer, broker.end_txn(&producer, ABORT).await);
    broker.add(&next, &[at]).await.expect("it may go on");
}

#[tokio::test]
async fn an_idle_time_counts_over_a_restart_and_is_never_longer_than_the_timeout() {
    for (away_ms, due_ms) in [(0, 60_000), (20_000, 40_000), (1_000_000, 0), (-1_000_000, 60_000)] {
        let broker = TestEngine::start();
        broker.create("t", &[]).await;
        let at = broker.partition("t").id;
        let producer = broker.producer("payments").await;
        broker.add(&producer, &[at]).await.expect("added");
        broker.time.jump(away_ms);
        let broker = broker.crash(0);
        // The look comes every ten seconds.
        for _ in 0..due_ms / 10_000 {
            broker.checked_for_timeouts().await;
            assert_eq!(broker.state("payments").await, TransactionState::Ongoing, "away for {away_ms}");
            broker.time.advance(10_000);
        }
        broker.time.advance(10_000);
        broker.checked_for_timeouts().await;
        assert_eq!(broker.state("payments").await, TransactionState::CompleteAbort, "away for {away_ms}");
    }
}

#[tokio::test]
async fn a_newer_producer_aborts_the_older_ones_transaction_with_one_epoch() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    let at = broker.partition("t").id;
    let producer = broker.producer("payments").await;
    broker.add(&producer, &[at]).await.expect("added");
    assert_eq!(broker.init("payments").await, Err(TransactionRefused::Concurrent));
    let transaction = broker.transaction("payments").await.expect("known");
    assert_eq!((transaction.state, transaction.producer_epoch.0), (TransactionState::CompleteAbort, 1));
    let newer = broker.producer("payments").await;
    assert_eq!((newer.producer_id, newer.producer_epoch.0), (producer.producer_id, 2));
    assert_eq!(broker.end_txn(&producer, COMMIT).await, Err(TransactionRefused::ProducerFenced));
}

#[tokio::test]
async fn transactional_ids_that_nobody_uses_are_forgotten_unless_a_transaction_is_open() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    let at = broker.partition("t").id;
    let idle = broker.producer("idle").await;
    let day = 86_400_000;
    broker.time.advance(7 * day - 3_600_000);
    broker.written().await;
    let used = broker.producer("used").await;
    assert_eq!(rows(&broker, &transactions_prefix()), 2);
    broker.time.advance(3_600_000);
    broker.written().await;
    assert!(broker.transaction("idle").await.is_none());
    assert_eq!(broker.add(&idle, &[at]).await, Err(TransactionRefused::UnknownTransactionalId));
    let broker = broker.crash(0);
    assert_eq!(rows(&broker, &transactions_prefix()), 1);
    broker.add(&used, &[at]).await.expect("added");
    let again = broker.producer("idle").await;
    assert!(again.producer_id > idle.producer_id, "a new id for a new start");
}

#[tokio::test]
async fn the_last_epoch_of_a_producer_id_is_followed_by_a_new_id() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    let at = broker.partition("t").id;
    let mut producer = broker.producer("payments").await;
    let mut row = broker.transaction("payments").await.expect("known");
    row.producer_epoch = ProducerEpoch(32_764);
    let mut patch = crate::store::Rows::default();
    patch.put(transaction_key("payments"), row.encode());
    broker.store.memory.write(&patch, 0).expect("written");
    broker.store.memory.sync().expect("synced");
    let broker = broker.crash(0);
    producer.producer_epoch = row.producer_epoch;
    for epoch in [32_765, 32_766] {
        broker.add(&producer, &[at]).await.expect("added");
        producer = next(&producer, broker.end_txn(&producer, COMMIT).await);
        assert_eq!((producer.producer_id, producer.producer_epoch.0), (row.producer_id, epoch));
    }
    broker.add(&producer, &[at]).await.expect("added");
    let old = producer.clone();
    producer = next(&old, broker.end_txn(&old, COMMIT).await);
    assert!(producer.producer_id > row.producer_id && producer.producer_epoch.0 == 0, "{producer:?}");
    let broker = broker.crash(0);
    assert_eq!(next(&old, broker.end_txn(&old, COMMIT).await), producer, "the retry, after a kill");
    assert_eq!(broker.end_txn(&old, ABORT).await, Err(TransactionRefused::InvalidState));
    broker.add(&producer, &[at]).await.expect("added");
    assert_eq!(broker.end_txn(&old, COMMIT).await, Err(TransactionRefused::ProducerFenced));
    assert!(broker.end_txn(&producer, ABORT).await.is_ok());
}

#[tokio::test]
async fn a_transaction_too_large_for_one_write_is_ended_in_slices_that_a_kill_does_not_stop() {
    let count = SLICE as u32 * 2 + 100;
    let start = || async {
        let broker = TestEngine::start_with(Settings { partitions_max: count as usize, ..settings() });
        let topic = super::harness::new_topic("t", count, &[]);
        broker.engine().create_topics(vec![topic], false).await.expect("engine runs").remove(0).expect("created");
        let partitions: Vec<PartitionId> =
            broker.started.catalog.topic("t").expect("exists").partitions.iter().map(|one| one.id).collect();
        let producer = broker.producer("payments").await;
        broker.add(&producer, &partitions).await.expect("added");
        broker.stage(&producer, "group", &partitions[..200], 5).await;
        (broker, producer, partitions)
    };
    let (broker, producer, partitions) = start().await;
    assert!(broker.end_txn(&producer, COMMIT).await.is_ok());
    assert_eq!(broker.state("payments").await, TransactionState::CompleteCommit);
    assert_eq!(broker.progress("group", partitions[199]), (Some(5), false));
    // Cut off after the first slice: the outcome is decided, and the next start carries on.
    let (broker, producer, partitions) = start().await;
    broker.store.syncs.hold();
    let mut ending = Box::pin(broker.end_txn(&producer, COMMIT));
    assert!(is_pending(ending.as_mut()).await);
    broker.store.syncs.wait_until_reached();
    drop(ending);
    let broker = broker.crash(1);
    assert_eq!(broker.progress("group", partitions[0]), (None, true), "not before it is complete");
    broker.idle_round();
    broker.idle_round();
    broker.transaction("").await;
    assert_eq!(broker.state("payments").await, TransactionState::CompleteCommit);
    assert_eq!(broker.progress("group", partitions[0]), (Some(5), false));
    assert!(broker.end_txn(&producer, COMMIT).await.is_ok(), "the retry");
}

#[tokio::test]
async fn a_deleted_topic_takes_its_pending_offsets_and_its_part_of_the_transaction_with_it() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    broker.create("u", &[]).await;
    let (t, u) = (broker.partition("t").id, broker.partition("u").id);
    let producer = broker.producer("payments").await;
    broker.add(&producer, &[t, u]).await.expect("added");
    broker.stage(&producer, "group", &[t, u], 5).await;
    let deleted = broker.engine().delete_topics(vec![TopicRef::Name("t".to_owned())]).await;
    deleted.expect("engine runs").remove(0).expect("deleted");
    assert_eq!((broker.progress("group", t), broker.progress("group", u)), ((None, false), (None, true)));
    let broker = broker.crash(0);
    assert_eq!(rows(&broker, &pending_offsets_prefix()), 1);
    assert!(broker.end_txn(&producer, COMMIT).await.is_ok());
    assert_eq!((broker.progress("group", t), broker.progress("group", u)), ((None, false), (Some(5), false)));
}

#[tokio::test]
async fn deleted_offsets_and_groups_take_what_is_staged_for_them() {
    let broker = TestEngine::start();
    broker.create("t", &[]).await;
    broker.create("u", &[]).await;
    let (t, u) = (broker.partition("t").id, broker.partition("u").id);
    let producer = broker.producer("payments").await;
    broker.stage(&producer, "group", &[t, u], 5).await;
    broker.stage(&producer, "other", &[t], 5).await;
    let engine = broker.engine();
    engine.change_group("group".to_owned(), GroupChange::DeleteOffsets(vec![t])).await.expect("engine runs");
    engine.change_group("other".to_owned(), GroupChange::Delete(Vec::new())).await.expect("engine runs");
    assert_eq!((broker.progress("group", t), broker.progress("group", u)), ((None, false), (None, true)));
    assert_eq!(broker.progress("other", t), (None, false));
    let broker = broker.crash(0);
    assert_eq!(rows(&broker, &pending_offsets_prefix()), 1);
    assert!(broker.end_txn(&producer, COMMIT).await.is_ok());
    assert_eq!((broker.progress("group", t), broker.progress("group", u)), ((None, false), (Some(5), false)));
    assert_eq!(broker.progress("other", t), (None, false));
}

#[tokio::test]
async fn expiry_skips_staged_offsets() {
    let broker = TestEngine::start_with(Settings { offsets_retention_ms: 1_000, ..settings() });
    broker.create("t", &[]).await;
    let at = broker.partition("t").id;
    let commit = |broker: &TestEngine, offset| {
        let committed = CommittedOffset {
            offset,
            leader_epoch: LeaderEpoch(-1),
            metadata: String::new(),
            commit_timestamp: broker.time.now(),
            expire_timestamp: -1,
        };
        broker.engine().commit_offsets("group".to_owned(), vec![OffsetToCommit { partition: at, committed }])
    };
    commit(&broker, 3).await.expect("engine runs");
    let init = InitTransactions {
        transactional_id: "payments".into(),
        timeout_ms: 900_000,
        given: None,
        arrival: Arrival::default(),
    };
    let (producer_id, producer_epoch) =
        broker.engine().init_transactions(init).await.expect("engine runs").expect("begun");
    let version = TransactionVersion::V2;
    let transactional_id = "payments".into();
    let arrival = Arrival::default();
    let producer = TransactionProducer { transactional_id, producer_id, producer_epoch, version, arrival };
    broker.stage(&producer, "group", &[at], 5).await;
    broker.time.advance(600_000);
    broker.written().await;
    broker.transaction("").await;
    assert_eq!(broker.progress("group", at), (Some(3), true));
    assert!(broker.end_txn(&producer, ABORT).await.is_ok());
    broker.time.advance(600_000);
    broker.written().await;
    broker.transaction("").await;
    assert_eq!(broker.progress("group", at), (None, false));
}

#[tokio::test]
async fn participants_beyond_the_limit_are_refused_and_an_end_makes_room() {
    let limits = Limits { bytes_max: 512 + 8 + 96, bytes_per_id_max: usize::MAX };
    let broker = TestEngine::start_with(Settings { transaction_limits: limits, ..settings() });
    let producer = broker.producer("payments").await;
    let at = |index| PartitionId { topic: TopicNo(1), index };
    assert_eq!(broker.init("refunds").await, Err(TransactionRefused::NoRoom));
    broker.add(&producer, &[at(0)]).await.expect("added");
    assert_eq!(broker.add(&producer, &[at(1), at(2)]).await, Err(TransactionRefused::NoRoom));
    broker.add(&producer, &[at(1)]).await.expect("added");
    broker.add(&producer, &[at(0), at(1)]).await.expect("nothing new");
    let producer = next(&producer, broker.end_txn(&producer, ABORT).await);
    broker.add(&producer, &[at(2)]).await.expect("added");
    let held: Arc<str> = "payments".into();
    assert_eq!(broker.transaction(&held).await.expect("known").partitions.len(), 1);
}

#[tokio::test]
async fn one_transaction_takes_no_more_than_its_part_whatever_takes_part_in_it() {
    let limits = Limits { bytes_max: usize::MAX, bytes_per_id_max: 512 + 8 + 48 + 96 + 5 };
    let broker = TestEngine::start_with(Settings { transaction_limits: limits, ..settings() });
    broker.create("t", &[]).await;
    let producer = broker.producer("payments").await;
    let at = |index| PartitionId { topic: TopicNo(9), index };
    broker.add(&producer, &[at(0)]).await.expect("added");
    broker.add_group(&producer, "group").await.expect("added");
    assert_eq!(broker.add(&producer, &[at(1)]).await, Err(TransactionRefused::NoRoom));
    assert_eq!(broker.add_group(&producer, "g").await, Err(TransactionRefused::NoRoom));
    let batch = super::harness::plain(&["a"]).producer(producer.producer_id, producer.producer_epoch, 0);
    let batch = AppendBatch {
        transaction: Some(Arc::new(producer.clone())),
        ..to(broker.partition("t").id, &batch.transactional())
    };
    let refused = broker.engine().append(Acks::All, vec![batch]).await.expect("engine runs");
    let errors: Vec<ErrorCode> = refused.iter().map(|answer| answer.error).collect();
    assert_eq!(errors, [ErrorCode::POLICY_VIOLATION]);
    assert!(broker.producer("refunds").await.producer_id != producer.producer_id, "others have their own part");
    let producer = next(&producer, broker.end_txn(&producer, ABORT).await);
    broker.add(&producer, &[at(1)]).await.expect("the end made room");
}

#[tokio::test]
async fn a_topic_that_relaxes_its_syncs_shows_a_commit_after_its_sync_all_the_same() {
    let broker = TestEngine::start();
    broker.create("t", &[("flush.messages", "1000000")]).await;
    let producer = broker.producer("payments").await;
    let batch = super::harness::plain(&["a", "b"]).producer(producer.producer_id, producer.producer_epoch, 0);
    let batch = AppendBatch {
        transaction: Some(Arc::new(producer.clone())),
        ..to(broker.partition("t").id, &batch.transactional())
    };
    let appended = broker.engine().append(Acks::Leader, vec![batch]).await.expect("engine runs");
    assert_eq!(appended, [at(0)]);
    let ends = |broker: &TestEngine| {
        let offsets = broker.offsets("t");
        (offsets.last_stable_offset, offsets.high_watermark)
    };
    assert_eq!(ends(&broker), (0, 2));
    broker.store.syncs.hold();
    let mut ending = Box::pin(broker.end_txn(&producer, COMMIT));
    assert!(is_pending(ending.as_mut()).await);
    broker.store.syncs.wait_until_reached();
    assert_eq!(ends(&broker), (0, 3), "a reader may see the records, and not that they are committed");
    broker.send("t", Acks::Leader, super::harness::plain(&["c"])).await.expect("engine runs");
    assert_eq!(ends(&broker), (0, 4), "nor behind them");
    broker.store.syncs.open();
    assert!(ending.await.is_ok());
    broker.transaction("").await;
    assert_eq!(ends(&broker), (4, 4));
    broker.send("t", Acks::Leader, super::harness::plain(&["d"])).await.expect("engine runs");
    assert_eq!(ends(&broker), (5, 5), "without a sync again");
}

/// Epochs that no producer and no coordinator has, left in a partition by whatever means: an end that is answered has its marker
/// there, and what comes after it goes on.
#[tokio::test]
async fn an_end_has_its_marker_whatever_epochs_its_partition_remembers() {
    for version in [TransactionVersion::V1, TransactionVersion::V2] {
        for (left_epoch, left_coordinator_epoch, admits) in [(0, i32::MAX, true), (i16::MAX, 0, false)] {
            // Of version 2, what is refused has not made the partition part of the transaction.
            if version == TransactionVersion::V2 && !admits {
                continue;
            }
            let broker = TestEngine::start();
            broker.create("t", &[]).await;
            let id = broker.partition("t").id;
            let mut producer = TransactionProducer { version, ..broker.producer("payments").await };
            let left = marker(producer.producer_id.0, left_epoch, COMMIT, TransactionVersion::V1);
            let left = Marker { coordinator_epoch: left_coordinator_epoch, ..left };
            assert!(broker.engine().write_markers(left, vec![id]).await.expect("engine runs").is_empty());
            for (round, result, is_admitted) in [(0, ABORT, admits), (1, COMMIT, true), (2, COMMIT, true)] {
                if version == TransactionVersion::V1 {
                    broker.add(&producer, &[id]).await.expect("added");
                }
                let sequence = if version == TransactionVersion::V1 && admits { round } else { (round - 1).max(0) };
                let sequence = if version == TransactionVersion::V2 { 0 } else { sequence };
                let batch = plain(&["value"]).producer(producer.producer_id, producer.producer_epoch, sequence);
                let batch = to(id, &batch.transactional());
                let batch = AppendBatch { transaction: Some(producer.clone().into()), ..batch };
                let sent = broker.engine().append(Acks::All, vec![batch]).await.expect("answered").remove(0);
                let case = format!("{version:?}, {left_epoch} and {left_coordinator_epoch} left, round {round}");
                assert_eq!(sent.error.is_none(), is_admitted, "{case}: {sent:?}");
                let markers = broker.offsets("t").log_end;
                producer = next(&producer, broker.end_txn(&producer, result).await);
                assert_eq!(broker.offsets("t").log_end, markers + 1, "{case}");
                assert_eq!(broker.offsets("t").last_stable_offset, markers + 1, "{case}");
            }
            assert_eq!(broker.read_committed("t", 0).await.len(), 2, "{version:?}");
        }
    }
}
