//! A transaction that more takes part in than one write carries, all that can be seen of it, and those who may end it.

use tokio::task::JoinHandle;

use super::harness::{TestEngine, plain, settings, to};
use crate::engine::command::{Acks, AppendBatch, InitTransactions, OffsetToCommit, TransactionProducer};
use crate::engine::settings::Settings;
use crate::engine::transactions::end::Ended;
use crate::log::offsets::CommittedOffset;
use crate::store::Store;
use crate::transaction::{TransactionMetadata, TransactionVersion};
use crate::types::{
    Arrival, LeaderEpoch, Offset, PartitionId, ProducerEpoch, ProducerId, Timestamp, TransactionResult,
};

const ID: &str = "payments";
const GROUP: &str = "group";
const TOPICS: [&str; 5] = ["a", "b", "c", "d", "e"];
const TIMEOUT_MS: u32 = 60_000;
/// Of the writer, more than an end has slices.
const ROUNDS: usize = 10;

/// Of a broker that carries two participants in one write.
pub fn settings_of_slices() -> Settings {
    Settings { transaction_slice: 2, ..settings() }
}

/// Who ends the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    Commit,
    Abort,
    /// The broker, for its time is up.
    Timeout,
    /// The broker, for a newer instance of the producer has come.
    Fencing,
}

impl EndedBy {
    pub const ALL: [Self; 4] = [Self::Commit, Self::Abort, Self::Timeout, Self::Fencing];

    /// Until the broker looks for it.
    pub fn after_ms(self) -> Timestamp {
        let look_ms = Timestamp::try_from(settings().transaction_timeout_check_interval_ms).expect("seconds");
        if self == Self::Timeout { Timestamp::from(TIMEOUT_MS) + look_ms } else { 0 }
    }

    /// Has it ended as far as the store goes along. Answers what whoever asked for it waits for.
    pub async fn begin<S: Store>(
        self,
        broker: &TestEngine<S>,
        producer: &TransactionProducer,
    ) -> JoinHandle<Option<Ended>> {
        broker.time.advance(self.after_ms());
        let (engine, producer) = (broker.engine().clone(), producer.clone());
        let asked = tokio::spawn(async move {
            match self {
                Self::Commit => Some(engine.end_txn(producer, TransactionResult::Commit).await.ok()?),
                Self::Abort => Some(engine.end_txn(producer, TransactionResult::Abort).await.ok()?),
                Self::Timeout => None,
                Self::Fencing => Some(engine.init_transactions(init()).await.ok()?),
            }
        });
        tokio::task::yield_now().await;
        rounds(broker).await;
        asked
    }
}

/// Has the writer do what is left to it.
pub async fn rounds<S: Store>(broker: &TestEngine<S>) {
    for _ in 0..ROUNDS {
        broker.written().await;
        broker.idle_round();
    }
}

fn init() -> InitTransactions {
    let arrival = Arrival::default();
    InitTransactions { transactional_id: ID.into(), timeout_ms: TIMEOUT_MS, given: None, arrival }
}

/// Everything that anybody can see of the transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub transaction: Option<TransactionMetadata>,
    partitions: Vec<SeenPartition>,
}

impl Seen {
    /// The same but for the time at which the transaction moved last.
    pub fn timeless(mut self) -> Self {
        self.transaction.iter_mut().for_each(|transaction| transaction.last_update = 0);
        self
    }
}

#[derive(Debug, Clone, PartialEq)]
struct SeenPartition {
    last_stable_offset: Offset,
    high_watermark: Offset,
    committed_batches: Vec<Offset>,
    committed_offset: Option<i64>,
    is_pending: bool,
    producers: Vec<(ProducerId, ProducerEpoch, Option<Offset>)>,
}

pub async fn look<S: Store>(broker: &TestEngine<S>) -> Seen {
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
pub async fn open_transaction<S: Store>(broker: &TestEngine<S>, version: TransactionVersion) -> TransactionProducer {
    for topic in TOPICS {
        broker.create(topic, &[]).await;
    }
    let arrival = Arrival::default();
    let begun = broker.engine().init_transactions(init()).await.expect("engine runs");
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
    producer
}
