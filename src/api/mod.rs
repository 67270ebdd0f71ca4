//! One handler per API, one file per family, and the one table [`APIS`].

pub mod acls;
pub mod add_offsets_to_txn;
pub mod add_partitions_to_txn;
pub mod alter_configs;
pub mod alter_replica_log_dirs;
pub mod answering;
pub mod api_versions;
pub mod apis;
mod authorized_operations;
#[cfg(test)]
mod classic_groups_tests;
pub mod clients;
pub mod cluster;
mod config_resource;
pub mod consumer_group;
pub mod coordinator;
pub mod create_partitions;
pub mod create_topics;
#[cfg(test)]
mod damage_tests;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_client_quotas;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_producers;
pub mod describe_quorum;
pub mod describe_topic_partitions;
pub mod describe_transactions;
pub mod describe_user_scram_credentials;
pub mod elect_leaders;
pub mod end_txn;
mod expected;
pub mod fetch;
pub mod fetch_memory;
pub mod fetch_session;
mod group_id;
mod internal_topics;
pub mod join_group;
pub mod leader_epoch;
pub mod list_config_resources;
pub mod list_groups;
pub mod list_offsets;
pub mod list_transactions;
pub mod membership;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod produce;
pub mod producer_id;
pub mod reassignments;
#[cfg(test)]
mod richest;
pub mod senders;
pub mod sync_group;
#[cfg(test)]
pub(crate) mod testing;
mod told;
pub mod topic_name;
pub mod turns;
pub mod txn_offset_commit;
mod txn_producer;
pub mod unregister_broker;
pub mod update_features;
pub mod waiters;
pub mod write_txn_markers;

pub use apis::APIS;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::api::clients::Clients;
use crate::api::fetch_memory::FetchMemory;
use crate::api::fetch_session::FetchSessions;
use crate::api::produce::RecompressMemory;
use crate::api::senders::Senders;
use crate::api::turns::{Gone, Turns};
use crate::config::Config;
use crate::config::loggers::Loggers;
use crate::coordinator::Coordinator;
use crate::dedup::Extractor;
use crate::engine::Engine;
use crate::engine::environment::{Environment, SystemEnvironment};
use crate::engine::sealing::SealedIds;
use crate::log::catalog::{Catalog, Topic};
use crate::log::offsets::CommittedOffsets;
use crate::log::partition::Partition;
use crate::log::reader::LogReader;
use crate::store::StoreError;
use crate::types::{Arrival, ErrorCode, LeaderEpoch, PartitionId, PartitionIndex, Timestamp, Uuid};
use crate::wire::{Close, Request, Segments};

/// A listener as clients are told of it; one per bound listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Name of the listener.
    pub listener: Arc<str>,
    /// Advertised host, never a wildcard.
    pub host: String,
    /// Advertised port, never 0.
    pub port: u16,
}

impl Endpoint {
    /// As clients write it: `host:port`.
    pub fn address(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

/// What handlers share.
pub struct Broker {
    /// Settings in force; replaced by AlterConfigs.
    pub config: ArcSwap<Config>,
    /// Id of the cluster, as clients see it.
    pub cluster_id: Arc<str>,
    /// Identity of this data directory (DescribeLogDirs, logs).
    pub directory_id: Uuid,
    /// Epoch of this run, which new batches carry; partitions that were written earlier know of those before.
    pub leader_epoch: LeaderEpoch,
    /// Topics and their partitions.
    pub catalog: Arc<Catalog>,
    /// The single writer.
    pub engine: Engine,
    /// Reads the log.
    pub reader: LogReader,
    /// Reads message ids of batches.
    pub extractor: Extractor,
    /// How long that takes (`einmal_dedup_scan_seconds`).
    pub id_scan_duration: metrics::Histogram,
    /// Looks them up in slices.
    pub sealed_ids: SealedIds,
    /// Who sent records that were there.
    pub senders: Arc<Senders>,
    /// Committed offsets of groups.
    pub offsets: Arc<CommittedOffsets>,
    /// Groups and their members.
    pub coordinator: Arc<Coordinator>,
    /// Cached fetch sessions, `FetchSessions::new(config.fetch_session_slots, config.fetch_session_partitions_max)`.
    pub fetch_sessions: FetchSessions,
    /// Memory of large answers, `FetchMemory::new(config.fetch_memory_bytes)`.
    pub fetch_memory: FetchMemory,
    /// Turns of requests for large answers.
    pub turns: Turns,
    /// Memory of batches that are compressed anew, `RecompressMemory::new(config.queued_max_request_bytes)`.
    pub recompress_memory: RecompressMemory,
    /// Who is connected.
    pub clients: Arc<Clients>,
    /// Held while settings are judged and changed.
    pub config_changes: tokio::sync::Mutex<()>,
    /// Levels of what the program writes of itself.
    pub loggers: Arc<Loggers>,
    /// Addresses by listener.
    pub endpoints: Vec<Endpoint>,
}

/// One request's surroundings.
#[derive(Clone)]
pub struct Context {
    /// The broker.
    pub broker: Arc<Broker>,
    /// Name of the listener it came through; Metadata answers with that listener's address.
    pub listener: Arc<str>,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// How it came.
    pub arrival: Arrival,
    /// Ends the parked requests when the broker stops: true from then on.
    pub stopping: tokio::sync::watch::Receiver<bool>,
}

impl Context {
    /// What the client is told of the broker's address: that of the listener it came through.
    pub fn endpoint(&self) -> &Endpoint {
        let own = self.broker.endpoints.iter().find(|endpoint| endpoint.listener == self.listener);
        own.or(self.broker.endpoints.first()).expect("a connection came through a listener")
    }
}

/// An answer that will be there later: a frame, nothing (acks=0, or nobody there to take it), or the end of the connection.
pub type Pending = Pin<Box<dyn Future<Output = Result<Option<Segments>, Close>> + Send>>;

/// How a request is answered, and whether the connection may go on meanwhile.
pub enum Answer {
    /// Queued in order already (Produce): the next request may be read while this one is under way.
    Pipelined(Pending),
    /// The next request waits until this one is answered, and this one until all before it are. It is done to its end, also
    /// when the client has gone: what it changes must not stay half done.
    Serial(Pending),
    /// As [`Answer::Serial`], but where it waits for its turn, or with its answer made for memory, it may be given up, and gives itself up
    /// once it is told that the client has gone: it is answered with nothing then, and what was sent behind it is begun.
    Turned(Pending, Gone),
    /// As [`Answer::Serial`], but changes nothing and may take long (ListOffsets): dropped when the client has gone.
    Cancellable(Pending),
    /// May wait for long, and changes nothing after it has begun to (Fetch, JoinGroup): dropped when the client has gone. By the
    /// time it waits it holds nothing of its request, and the next one is not even received: what waits must not take memory
    /// that others need to be served at all.
    LongPoll(Pending),
    /// None, and nothing that came behind the request is begun: what came before it is still answered, then the connection ends.
    Close(Close),
}

/// One API: everything that is to be said about it stands in its line of [`APIS`].
pub struct Api {
    /// Key on the wire.
    pub key: i16,
    /// Kafka's name, also the metric label.
    pub name: &'static str,
    /// Lowest and highest version, advertised and implemented.
    pub versions: (i16, i16),
    /// First flexible version; `i16::MAX` for never.
    pub flexible_from: i16,
    /// Largest frame, bytes, or none for `socket.request.max.bytes`. A decoded request may
    /// take many times the bytes of its frame.
    pub frame_bytes_max: Option<usize>,
    /// Answers it.
    pub handler: fn(Context, Request) -> Answer,
}

/// Wall clock, ms since 1970: record times and commits carry it.
fn now() -> Timestamp {
    SystemEnvironment.now()
}

/// What a parked request waits for, unless the broker stops: then its connection ends, and its client comes again.
async fn ending<T>(cx: &Context, answer: tokio::sync::oneshot::Receiver<T>) -> Result<T, Close> {
    let mut stopping = cx.stopping.clone();
    tokio::select! {
        biased;
        answer = answer => answer.map_err(|_| Close::Ending),
        _ = stopping.wait_for(|is_stopping| *is_stopping) => Err(Close::Ending),
    }
}

/// Runs long work where it is, so that its connection's order is kept, while other connections go on on another thread.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    match tokio::runtime::Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(tokio::runtime::RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// Reads of one request that are under way at the same time.
const READS_MAX: usize = 8;

/// Commands of one request that wait for the engine at the same time, to be committed with one sync.
const COMMANDS_MAX: usize = 64;

/// The partition of this index, as the wire names it.
fn partition_of(topic: &Topic, index: PartitionIndex) -> Option<&Arc<Partition>> {
    topic.partitions.get(usize::try_from(index).ok()?)
}

/// A read that failed: told once here, and to the client as KAFKA_STORAGE_ERROR.
fn storage_error(cx: &Context, what: &'static str, partition: PartitionId, error: &StoreError) -> ErrorCode {
    match cx.broker.catalog.topics().by_no.get(&partition.topic) {
        Some(topic) => {
            let error = topic.naming(error);
            tracing::error!(topic = &*topic.name, partition = partition.index, error, "{what}: reading the log failed");
        }
        // It has been deleted since.
        None => tracing::error!(%partition, %error, "{what}: reading the log failed"),
    }
    ErrorCode::KAFKA_STORAGE_ERROR
}
