//! Brings the writer's state back from rows and starts its threads. No protocol is replayed: every row says what is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use arc_swap::ArcSwap;

use super::asker::{Asker, Queued};
use super::cleaner::{Cleaner, Grain};
use super::dead::{Dead, Space};
use super::disk_watch::DiskWatch;
use super::environment::Environment;
use super::expiry_clock::ExpiryClock;
use super::figures::Busy;
use super::issued_ids::IssuedIds;
use super::message_ids::{self, MessageIds};
use super::mutant::Mutant;
use super::offset_index::OffsetIndex;
use super::producer_ids;
use super::reclaimer::{self, Reclaimer};
use super::retention::Retention;
use super::sealing::{self, SealLimits, SealedIds};
use super::seat::Seat;
use super::settings::Settings;
use super::state::{Counters, ProducerIds, State};
use super::syncer::Syncer;
use super::topics;
use super::transactions::{OpenTransactions, Transactions};
use super::writer::Writer;
use super::{Engine, Handle, SyncUnderWay};
use crate::dedup::Extractor;
use crate::group::classic::StoredGroup;
use crate::group::consumer::GroupState;
use crate::group::consumer::change::Change;
use crate::log::catalog::{Catalog, Topic, Topics};
use crate::log::offsets::{CommittedOffset, CommittedOffsets};
use crate::log::partition::{Partition, Recovered};
use crate::log::reader::LogReader;
use crate::log::tail_cache::TailCache;
use crate::store::schema::{
    BrokerEpoch, BrokerOverrides, ExpiryClockRow, GroupConfigs, Identity, IssuedIdBlock, NextTopicNo, OffsetRow,
    PartitionRow, ProducerIdBlock, RowError, RowValue, TopicRow, consumer_group_row, consumer_groups_prefix,
    group_configs_prefix, group_of_configs_key, group_of_key, groups_prefix, offset_key, offset_of_key, offsets_prefix,
    partition_of_key, partitions_prefix, pending_offset_key, pending_offset_of_key, pending_offsets_prefix,
    topics_prefix, transaction_of_key, transactions_prefix,
};
use crate::store::{Rows, Store, StoreError};
use crate::transaction::{TransactionMetadata, TransactionState};
use crate::types::{LeaderEpoch, PartitionId, TopicNo, Uuid, base64_uuid};

/// A running engine and what readers see of it.
pub struct Started {
    /// The handle.
    pub engine: Engine,
    /// Topics and partitions.
    pub catalog: Arc<Catalog>,
    /// Committed offsets.
    pub offsets: Arc<CommittedOffsets>,
    /// Groups as they were stored.
    pub groups: StoredGroups,
    /// Reads the log.
    pub reader: LogReader,
    /// Id of the cluster, as clients see it.
    pub cluster_id: Arc<str>,
    /// Id of the data directory.
    pub directory_id: Uuid,
    /// Epoch in which all partitions are led.
    pub leader_epoch: LeaderEpoch,
    /// Set while appends and new topics are refused for want of disk space.
    pub disk_low: Arc<AtomicBool>,
    /// Age and timeout of open transactions.
    pub open_transactions: Arc<OpenTransactions>,
    /// Time that the writer has worked.
    pub busy: Arc<Busy>,
    /// The sync that everybody waits for.
    pub sync_under_way: Arc<SyncUnderWay>,
    /// Reads message ids of batches before they are appended.
    pub extractor: Extractor,
    /// Looks them up in slices.
    pub sealed_ids: SealedIds,
}

/// Groups as they were stored, by id.
#[derive(Debug, Default)]
pub struct StoredGroups {
    /// Of the classic protocol.
    pub classic: Vec<(String, StoredGroup)>,
    /// Of KIP-848.
    pub consumer: Vec<(String, GroupState)>,
    /// Settings of single groups.
    pub configs: Vec<(String, BTreeMap<String, String>)>,
}

/// Why the engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store failed or holds what cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The data directory belongs to another cluster than the configuration says.
    #[error(
        "the data directory belongs to cluster {found}, cluster.id says {configured}: correct the setting or the directory"
    )]
    OtherCluster {
        /// As stored.
        found: String,
        /// As configured.
        configured: String,
    },
    /// The system has no thread to give.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

impl From<RowError> for StartError {
    fn from(error: RowError) -> Self {
        Self::Store(error.into())
    }
}

/// Called once when a write or sync has failed. The process must end: what is on disk is a prefix of what was decided.
pub type Fatal = Box<dyn FnOnce(StoreError) + Send>;

impl Engine {
    /// The broker's dynamic settings as stored, to be laid over the configuration before [`Engine::start`].
    ///
    /// # Errors
    /// What the store says.
    pub fn stored_broker_overrides(store: &dyn Store) -> Result<BTreeMap<String, String>, StoreError> {
        Ok(read_row::<BrokerOverrides>(store, &BrokerOverrides::KEY)?.unwrap_or_default().0)
    }

    /// Recovers from `store` and starts the threads. `fatal` is told of a failed write or sync, after which nothing more is
    /// answered.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(
        store: Arc<dyn Store>,
        settings: Settings,
        mut environment: Box<dyn Environment>,
        fatal: Fatal,
    ) -> Result<Started, StartError> {
        let mut rows = Rows::default();
        let identity = recover_identity(store.as_ref(), &settings, environment.as_mut(), &mut rows)?;
        let leader_epoch = recover_epoch(store.as_ref(), &mut rows)?;
        let issued_ids = IssuedIds::recovered(read_row::<IssuedIdBlock>(store.as_ref(), &IssuedIdBlock::KEY)?);
        let producer_ids = recover_producer_ids(store.as_ref(), environment.as_mut(), &mut rows)?;
        let random = || {
            let (high, low) = (environment.random(), environment.random());
            (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
        };
        let extractor = Extractor {
            secret: message_ids::recover_secret(store.as_ref(), random, &mut rows)?,
            id_bytes_max: settings.dedup_id_bytes_max,
            batch_bytes_max: settings.dedup_batch_bytes_max,
        };
        let reader = LogReader::start(&store, settings.reader_threads)?;
        let mut state = State {
            store: Arc::clone(&store),
            leader_epoch,
            topics: Topics::default(),
            metric_names: HashMap::new(),
            next_topic_no: read_row::<NextTopicNo>(store.as_ref(), &NextTopicNo::KEY)?
                .map_or(TopicNo(1), |next| next.0),
            partition_count: 0,
            logs: HashMap::new(),
            tail_cache: TailCache::new(settings.tail_cache_bytes),
            producer_ids,
            issued_ids,
            message_ids: MessageIds::new(extractor, seal_limits(&settings), environment.monotonic_ms()),
            producer_state_count: 0,
            offsets: Arc::default(),
            offset_index: OffsetIndex::default(),
            retentions: HashMap::new(),
            transactions: Transactions::new(settings.transaction_limits),
            commit_number: 0,
            counters: Counters::new(),
            busy: Arc::default(),
            broker_overrides: Self::stored_broker_overrides(store.as_ref())?,
            dead: Default::default(),
            disk: DiskWatch::new(settings.disk_reserve_bytes),
            expiry_clock: ExpiryClock::start(
                read_row::<ExpiryClockRow>(store.as_ref(), &ExpiryClockRow::KEY)?.as_ref(),
                environment.now(),
                environment.monotonic_ms(),
            ),
            settings: settings.clone(),
        };
        recover_topics(&mut state)?;
        recover_message_ids(&mut state, &mut rows)?;
        recover_offsets(&mut state, &mut rows)?;
        recover_transactions(&mut state, &mut rows, environment.as_mut())?;
        let groups = recover_groups(&mut state)?;
        // From the first moment on, so that a jump before the first look is one, too.
        rows.put(ExpiryClockRow::KEY.to_vec(), state.expiry_clock.row().encode());
        // Synced before the listeners open: an unclean stop after this raises the epoch again.
        store.write(&rows, 0)?;
        store.sync()?;
        // Before the first client comes.
        state.disk.look(store.as_ref(), environment.now());
        let disk_low = state.disk.flag();
        let open_transactions = state.transactions.open();
        let busy = Arc::clone(&state.busy);
        let catalog = Arc::new(Catalog::default());
        catalog.publish(Arc::new(state.topics.clone()));
        let offsets = Arc::clone(&state.offsets);
        let syncer = Syncer::start(&store, &catalog, &offsets, fatal)?;
        let sync_under_way = syncer.under_way();
        let queued = Queued::new();
        let taken = queued.clone();
        let disk_reserve_bytes = settings.disk_reserve_bytes;
        let reclaimer = Reclaimer::start(reclaimer::Work {
            store: Arc::clone(&store),
            catalog: Arc::clone(&catalog),
            memtable_bytes: settings.reclaim_bytes,
            reserve_bytes: disk_reserve_bytes,
            disk_low: Arc::clone(&disk_low),
        })?;
        let sealed_ids = state.message_ids.sealing.shared();
        let seal_jobs = state.message_ids.sealing.take_queue();
        let seat = Seat::start(|queue| Writer::new(state, queue, taken, environment, syncer, &catalog, reclaimer))?;
        if let Some(jobs) = seal_jobs {
            sealing::start(Arc::clone(&store), extractor.secret, jobs, Arc::downgrade(&seat), queued.clone())?;
        }
        let asker = Asker { seat, queued };
        let retention = Retention {
            store: Arc::clone(&store),
            catalog: Arc::clone(&catalog),
            asker: asker.clone(),
            disk_low: Arc::clone(&disk_low),
            reclaim_bytes: settings.reclaim_bytes,
        };
        let reclaim_bytes = settings.reclaim_bytes;
        let mut background = vec![retention.start(settings.retention_check_interval)?];
        let cleaner = settings.cleaner.map(ArcSwap::from_pointee).map(Arc::new);
        if let Some(settings) = cleaner.clone() {
            let (store, catalog) = (Arc::clone(&store), Arc::clone(&catalog));
            let cleaner = Cleaner {
                store,
                catalog,
                asker: asker.clone(),
                settings,
                reclaim_bytes,
                grain: Grain::USUAL,
                reserve_bytes: disk_reserve_bytes,
                disk_low: Arc::clone(&disk_low),
            };
            background.push(cleaner.start()?);
        }
        Ok(Started {
            engine: Engine(Arc::new(Handle { asker, cleaner, background: Mutex::new(background) })),
            catalog,
            offsets,
            groups,
            reader,
            cluster_id: Arc::from(identity.cluster_id),
            directory_id: identity.directory_id,
            leader_epoch,
            disk_low,
            open_transactions,
            busy,
            sync_under_way,
            extractor,
            sealed_ids,
        })
    }
}

fn seal_limits(settings: &Settings) -> SealLimits {
    SealLimits {
        open_ids_max: settings.dedup_open_ids_max,
        slices_per_window: settings.dedup_slices_per_window.max(1),
        bytes_max: settings.dedup_memory_bytes,
    }
}

fn recover_identity(
    store: &dyn Store,
    settings: &Settings,
    environment: &mut dyn Environment,
    rows: &mut Rows,
) -> Result<Identity, StartError> {
    match (read_row::<Identity>(store, &Identity::KEY)?, &settings.cluster_id) {
        (Some(found), Some(configured)) if found.cluster_id != *configured => {
            Err(StartError::OtherCluster { found: found.cluster_id, configured: configured.clone() })
        }
        (Some(found), _) => Ok(found),
        (None, configured) => {
            let cluster_id = configured.clone().unwrap_or_else(|| base64_uuid(environment.random_uuid()));
            let identity = Identity { cluster_id, directory_id: environment.random_uuid() };
            rows.put(Identity::KEY.to_vec(), identity.encode());
            Ok(identity)
        }
    }
}

/// The leader epoch of this run: the last one's after a clean stop, the next after any other, so that a client can tell which
/// records an unclean stop may have taken.
fn recover_epoch(store: &dyn Store, rows: &mut Rows) -> Result<LeaderEpoch, StartError> {
    let leader_epoch = match read_row::<BrokerEpoch>(store, &BrokerEpoch::KEY)? {
        None => LeaderEpoch(0),
        Some(last) if last.clean_stop => last.leader_epoch,
        Some(last) => LeaderEpoch(last.leader_epoch.0.saturating_add(1)),
    };
    rows.put(BrokerEpoch::KEY.to_vec(), BrokerEpoch { leader_epoch, clean_stop: false }.encode());
    Ok(leader_epoch)
}

fn recover_producer_ids(
    store: &dyn Store,
    environment: &mut dyn Environment,
    rows: &mut Rows,
) -> Result<ProducerIds, StartError> {
    let next = match read_row::<ProducerIdBlock>(store, &ProducerIdBlock::KEY)? {
        Some(block) => block.next_block_start,
        None => {
            let next_block_start = producer_ids::first_base(environment);
            rows.put(ProducerIdBlock::KEY.to_vec(), ProducerIdBlock { next_block_start }.encode());
            next_block_start
        }
    };
    Ok(ProducerIds { next, block_end: next })
}

fn recover_topics(state: &mut State) -> Result<(), StartError> {
    let mut rows =
        scan_rows::<PartitionId, PartitionRow>(state.store.as_ref(), &partitions_prefix(), partition_of_key)?;
    let topic_rows = scan_rows::<(), TopicRow>(state.store.as_ref(), &topics_prefix(), |_| Ok(()))?;
    let mut rows: HashMap<_, _> = rows.drain(..).collect();
    for ((), row) in topic_rows {
        let id_of = |index| PartitionId { topic: row.no, index };
        let view = |id: PartitionId| {
            let recovered = rows.get(&id).map_or_else(Recovered::default, recovered);
            Arc::new(Partition::new(id, state.leader_epoch, &recovered))
        };
        let topic = Topic {
            no: row.no,
            name: Arc::from(row.name.as_str()),
            id: row.id,
            partitions: (0..row.partitions).map(id_of).map(view).collect(),
            config: topics::config_of_stored(&state.settings.topic_defaults, &row.name, &row.overrides),
            overrides: row.overrides,
            traffic: Arc::default(),
        };
        topics::admit(state, &Arc::new(topic), |id| rows.remove(&id).unwrap_or_default());
    }
    // Those deleted just before the stop may still take space.
    let begun = state.logs.iter().filter(|(_, log)| log.row.log_start > 0);
    // How many bytes they are nobody knows.
    let space = Space::InTime { bytes: 0 };
    let records = begun.map(|(id, log)| Dead::Records { partition: *id, log_start: log.row.log_start, space });
    records.for_each(|dead| state.dead.push(0, dead));
    // What is left belongs to topics that were deleted before their rows were removed.
    let left: BTreeSet<_> = rows.into_keys().collect();
    let topics: BTreeSet<_> = left.iter().map(|partition| partition.topic).collect();
    topics.into_iter().for_each(|topic| state.dead.push(0, Dead::TopicLog(topic)));
    left.into_iter().for_each(|partition| state.dead.push(0, Dead::Partition(partition)));
    Ok(())
}

fn recover_message_ids(state: &mut State, rows: &mut Rows) -> Result<(), StartError> {
    if state.settings.has(Mutant::ForgetIdsAtStart) {
        return Ok(());
    }
    let topics = &state.topics;
    let name_of = |topic| topics.by_no.get(&topic).map(|topic: &Arc<Topic>| Arc::clone(&topic.name));
    let began = Instant::now();
    let gone = message_ids::recover(&mut state.message_ids, state.store.as_ref(), rows, name_of)?;
    metrics::gauge!(crate::metrics::DEDUP_RECOVERY_SECONDS).set(began.elapsed().as_secs_f64());
    state.message_ids.show_all(topics);
    gone.into_iter().for_each(|topic| state.dead.push(0, Dead::MessageIds(topic)));
    Ok(())
}

fn recovered(row: &PartitionRow) -> Recovered {
    Recovered {
        log_start: row.log_start,
        last_stable_offset: row.last_stable_offset,
        log_end: row.log_end,
        appended_bytes: row.size_bytes,
        start_bytes: row.start_bytes,
        epochs: row.epochs.clone(),
    }
}

fn recover_offsets(state: &mut State, rows: &mut Rows) -> Result<(), StartError> {
    for ((group, partition), row) in scan_rows::<_, OffsetRow>(state.store.as_ref(), &offsets_prefix(), offset_of_key)?
    {
        if state.topic_of(partition).is_none() {
            rows.delete(offset_key(&group, partition));
            continue;
        }
        let (number, committed) = (row.commit_number, committed_of(row));
        // A limit that was lowered takes nothing away.
        state.offset_index.insert(&group, partition, &committed, number, usize::MAX);
        state.commit_number = state.commit_number.max(number);
        state.offsets.publish(&group, [(partition, committed)]);
    }
    Ok(())
}

/// Open transactions stay open until they are ended or time out, with their offsets pending.
fn recover_transactions(
    state: &mut State,
    rows: &mut Rows,
    environment: &mut dyn Environment,
) -> Result<(), StartError> {
    let store = Arc::clone(&state.store);
    state.transactions.set_now(environment.monotonic_ms());
    for (id, metadata) in
        scan_rows::<_, TransactionMetadata>(store.as_ref(), &transactions_prefix(), transaction_of_key)?
    {
        if state.settings.has(Mutant::ForgetTransactionsAtStart) && metadata.state == TransactionState::Ongoing {
            continue;
        }
        state.transactions.recover(id, metadata, environment.now());
    }
    for ((producer_id, group, partition), row) in
        scan_rows::<_, OffsetRow>(store.as_ref(), &pending_offsets_prefix(), pending_offset_of_key)?
    {
        let is_forgotten = state.settings.has(Mutant::ForgetStagedOffsetsAtStart);
        if state.topic_of(partition).is_none() || is_forgotten {
            rows.delete(pending_offset_key(producer_id, &group, partition));
            continue;
        }
        state.commit_number = state.commit_number.max(row.commit_number);
        let (number, committed) = (row.commit_number, committed_of(row));
        state.transactions.pending.insert(producer_id, &Arc::from(group.as_str()), partition, committed, number);
        state.offsets.publish_pending(&group, &[partition]);
    }
    Ok(())
}

fn committed_of(row: OffsetRow) -> CommittedOffset {
    CommittedOffset {
        offset: row.offset,
        leader_epoch: row.leader_epoch,
        metadata: row.metadata,
        commit_timestamp: row.commit_timestamp,
        expire_timestamp: row.expire_timestamp,
    }
}

fn recover_groups(state: &mut State) -> Result<StoredGroups, StartError> {
    let store = state.store.as_ref();
    let classic = scan_rows::<String, StoredGroup>(store, &groups_prefix(), group_of_key)?;
    let mut changes: BTreeMap<String, Vec<Change>> = BTreeMap::new();
    let mut damage = None;
    store.scan(&consumer_groups_prefix(), &mut |key, value| match consumer_group_row(key, value) {
        Ok((group, change)) => changes.entry(group).or_default().push(change),
        Err(error) => damage = damage.take().or(Some(error)),
    })?;
    if let Some(error) = damage {
        return Err(error.into());
    }
    let restored = |(id, changes)| Ok((id, GroupState::restore(changes).map_err(RowError::from)?));
    let consumer = changes.into_iter().map(restored).collect::<Result<Vec<_>, RowError>>()?;
    let configs = scan_rows::<String, GroupConfigs>(store, &group_configs_prefix(), group_of_configs_key)?;
    let configs = configs.into_iter().map(|(id, configs)| (id, configs.0)).collect();
    state.retentions = classic.iter().map(|(id, stored)| (id.clone(), stored.retention())).collect();
    state.retentions.extend(consumer.iter().map(|(id, group)| (id.clone(), group.retention())));
    Ok(StoredGroups { classic, consumer, configs })
}

/// A row, if it is there.
pub(super) fn read_row<V: RowValue>(store: &dyn Store, key: &[u8]) -> Result<Option<V>, StoreError> {
    Ok(store.get(key)?.map(|value| V::decode(&value)).transpose()?)
}

/// All rows with `prefix`, by their keys.
pub(super) fn scan_rows<K, V: RowValue>(
    store: &dyn Store,
    prefix: &[u8],
    key_of: impl Fn(&[u8]) -> Result<K, RowError>,
) -> Result<Vec<(K, V)>, StoreError> {
    let mut rows = Vec::new();
    let mut damage = None;
    store.scan(prefix, &mut |key, value| match key_of(key).and_then(|key| Ok((key, V::decode(value)?))) {
        Ok(row) => rows.push(row),
        Err(error) => damage = damage.take().or(Some(error)),
    })?;
    damage.map_or(Ok(rows), |error| Err(error.into()))
}
