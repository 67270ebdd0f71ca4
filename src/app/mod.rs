//! One broker from start to stop: ports, store, engine, connections, in this order, and back.
//!
//! Ports are bound first: a port in use is found out before a data directory is touched, and clients that come early wait in
//! the backlog instead of being refused. Stopping goes the other way: readiness turns false, no new connections, parked
//! requests are answered, what is queued is committed, the store is closed.
//!
//! Invariant: `ready` is printed after the last thing that can fail a start.

mod announce;
mod descriptors;
mod failure;
mod huge_pages;
mod notify;
pub mod probe;
mod signals;
mod stop;
mod temporary;

use std::io::Write as _;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio::sync::{oneshot, watch};

use crate::api::clients::Clients;
use crate::api::fetch_memory::FetchMemory;
use crate::api::fetch_session::FetchSessions;
use crate::api::produce::RecompressMemory;
use crate::api::senders::Senders;
use crate::api::turns::Turns;
use crate::api::{Broker, Endpoint, topic_name};
use crate::config::first_topics::FirstTopic;
use crate::config::load::{LoadError, Loaded};
use crate::config::loggers::Loggers;
use crate::config::{BrokerOverrides, Config};
use crate::coordinator::{self, Coordinator};
use crate::engine::command::NewTopic;
use crate::engine::environment::SystemEnvironment;
use crate::engine::settings::Settings;
use crate::engine::{Engine, StartError, Started};
use crate::metrics::phases::RequestPhases;
use crate::server::reach::{Place, reach};
use crate::server::{self, Bound};
use crate::store::rocks::{Opened, RocksStore, StoreOptions};
use crate::store::{Store, StoreError};
use crate::telemetry::admin::{self, Observed, Running};
use crate::telemetry::collector::{self, Collector, Level, Sources};
use crate::telemetry::health::{BrokerState, Health};
use crate::telemetry::hosts::Hosts;
use crate::telemetry::output;
use crate::telemetry::poll_delay;
use crate::telemetry::recorder;
use crate::telemetry::stability::LOOK_INTERVAL;
use crate::types::ErrorCode;

use announce::{addresses, announce, introduce, kafkas_words};
pub use failure::Failure;
use notify::Notifier;
use signals::{ECHO, Signals, reload_on_hangup};
use stop::{unless_failed, wind_down};
use temporary::Temporary;

/// Reads all settings anew. The disk may keep it waiting.
pub type Reload = Arc<dyn Fn() -> Result<Loaded, LoadError> + Send + Sync>;

/// How a broker is started and told things.
pub struct Manner {
    /// Says what test modules wait for in the output of Kafka's images.
    pub speaks_as_kafka: bool,
    /// The data directory is made for this start, and removed with what it holds after a clean stop.
    pub is_ephemeral: bool,
    /// Reads all settings again, for SIGHUP.
    pub reload: Reload,
}

/// Runs a broker until it is told to stop.
pub fn run(loaded: Loaded, build: Build, manner: Manner) -> Result<(), Failure> {
    let (loggers, repetition) = output::install(&loaded.config.log_level)?;
    huge_pages::refuse();
    let recorder = recorder::install(Level::of(&loaded.config) > Level::Off)?;
    let Build { version, revision, rustc } = build;
    metrics::gauge!(crate::metrics::BUILD_INFO, "version" => version, "revision" => revision, "rustc" => rustc)
        .set(1.0);
    for notice in &loaded.notices {
        tracing::warn!("{notice}");
    }
    let config = loaded.config;
    // Before the store opens its files. How many connections fit is told once what was set while it ran is known.
    descriptors::raise();
    let began = Instant::now();
    let observed = Arc::new(Observed {
        recorder,
        version,
        began,
        health: Health::default(),
        collector: OnceLock::new(),
        running: OnceLock::new(),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::Runtime)?;
    poll_delay::measure(runtime.handle().clone()).map_err(Failure::Runtime)?;
    let temporary = manner.is_ephemeral.then(|| Temporary::make(&config.data_dir)).transpose()?;
    if temporary.is_some() {
        let data_dir = config.data_dir.display();
        tracing::warn!(%data_dir, "the data directory is temporary: a stop removes it, and all records with it");
    }
    let ended = runtime.block_on(async {
        tokio::spawn(output::tell_left_out(repetition.clone()));
        tokio::spawn(reload_on_hangup(loggers.clone(), manner.reload).map_err(Failure::Runtime)?);
        broker(config, loggers, observed, manner.speaks_as_kafka).await
    });
    output::say_left_out(&repetition);
    // What still runs is a parked read at most; nobody waits for its answer.
    runtime.shutdown_background();
    if let Some(temporary) = temporary {
        temporary.remove_after(&ended);
    }
    ended
}

/// Ends the process. A thread may still hold the store, closed or failed, and RocksDB aborts when C++ takes its globals down under
/// such a thread: so they are left standing.
pub fn end(code: u8) -> ! {
    // Nobody may be reading.
    let _ = std::io::stdout().flush();
    // SAFETY: the call takes a number and does not return.
    unsafe { libc::_exit(i32::from(code)) }
}

async fn broker(
    config: Config,
    loggers: Arc<Loggers>,
    observed: Arc<Observed>,
    speaks_as_kafka: bool,
) -> Result<(), Failure> {
    let mut signals = Signals::new().map_err(Failure::Runtime)?;
    let bound = server::bind(&config)?;
    let endpoints = endpoints(&bound);
    let names: Vec<&str> = endpoints.iter().map(|endpoint| &*endpoint.listener).collect();
    recorder::begin(&names);
    tokio::spawn(recorder::keep_up(observed.recorder.clone()));
    let mut lines = addresses(&bound);
    if let Some(address) = config.admin_listener {
        let socket = admin::bind(address).await?;
        let address = socket.local_addr().map_err(Failure::Runtime)?;
        lines.push(format!("listening admin http://{address}"));
        let limits = admin::Limits {
            connections_max: config.admin_connections_max,
            request_timeout: config.admin_request_timeout,
        };
        let advertised = endpoints.iter().map(|endpoint| endpoint.host.clone());
        let hosts = Hosts::new(advertised.chain(config.admin_hosts.iter().cloned()));
        tokio::spawn(admin::serve(socket, observed.clone(), hosts, limits));
    }

    if speaks_as_kafka {
        lines.extend(kafkas_words(config.node_id));
    }

    let opening = tokio::task::spawn_blocking(move || open(&config));
    let started = tokio::select! {
        started = opening => started.map_err(Failure::Panicked)??,
        // Nothing is promised to anybody yet, and the store recovers from any point.
        () = signals.next() => return Ok(()),
    };
    serve(bound, started, loggers, lines, &observed, &mut signals).await
}

/// Opens the data directory and starts the engine on it.
fn open(config: &Config) -> Result<Opening, Failure> {
    let options = StoreOptions {
        memtable_bytes: config.storage_memtable_bytes,
        block_cache_bytes: config.storage_block_cache_bytes,
        accept_loss: config.storage_accept_loss,
    };
    let Opened { store, recovery } = RocksStore::open(&config.data_dir, &options)?;
    tracing::info!(
        data_dir = %config.data_dir.display(),
        clean = recovery.clean,
        replayed_bytes = recovery.replayed_bytes,
        duration_ms = recovery.duration.as_millis() as u64,
        "data directory opened"
    );
    if let Some(cut) = &recovery.cut {
        tracing::warn!(?cut, "the end of the write-ahead log was torn and has been cut off");
    }
    let store: Arc<dyn Store> = Arc::new(store);
    let stored = Engine::stored_broker_overrides(store.as_ref()).map_err(StartError::Store)?;
    let config = config.with_overrides(BrokerOverrides::from_stored(&stored))?;
    let (fail, failed) = oneshot::channel();
    let fatal = Box::new(|error| {
        // Whoever would listen has ended, and the process with it.
        let _ = fail.send(error);
    });
    let started = Engine::start(store.clone(), Settings::from(&config), Box::new(SystemEnvironment), fatal)?;
    Ok(Opening { started, store, config, failed })
}

/// What stands once the data directory is open and the engine runs.
struct Opening {
    started: Started,
    store: Arc<dyn Store>,
    /// The configuration under the dynamic settings that the data directory holds.
    config: Config,
    /// Resolves when a write or sync has failed; the process must end then.
    failed: oneshot::Receiver<StoreError>,
}

async fn serve(
    bound: Vec<Bound>,
    opening: Opening,
    loggers: Arc<Loggers>,
    lines: Vec<String>,
    observed: &Arc<Observed>,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let Opening { started, store, config, mut failed } = opening;
    let Started {
        engine,
        catalog,
        offsets,
        groups,
        reader,
        cluster_id,
        directory_id,
        leader_epoch,
        disk_low,
        open_transactions,
        busy,
        sync_under_way,
        extractor,
        sealed_ids,
    } = started;
    create_first_topics(&engine, &config).await?;
    let connections_fitting = descriptors::connections_fitting(config.connections_max);
    let fsync_disabled = config.topic_defaults.is_relaxed();
    let coordinator = Coordinator::start(
        engine.clone(),
        catalog.clone(),
        offsets.clone(),
        groups,
        coordinator::Settings::from(&config),
    );
    let clients = Arc::<Clients>::default();
    let is_counting = Level::of(&config) > Level::Off;
    let phases = Arc::new(if is_counting { RequestPhases::default() } else { RequestPhases::off() });
    let endpoints = endpoints(&bound);
    let advertised = endpoints.first().map(Endpoint::address);
    let senders = Arc::<Senders>::default();
    let sources = Sources {
        catalog: catalog.clone(),
        offsets: offsets.clone(),
        coordinator: Some(coordinator.clone()),
        store,
        disk_low,
        open_transactions,
        busy,
        sync_under_way,
        clients: clients.clone(),
        phases: phases.clone(),
        senders: senders.clone(),
    };
    let settings =
        collector::Settings { advertised: advertised.unwrap_or_default(), ..collector::Settings::from(&config) };
    // Set once, here.
    let _ = observed.collector.set(Collector::new(sources, settings));
    tokio::spawn(look_at_stability(observed.clone()));
    // The same.
    let _ = observed.running.set(Running { engine: engine.clone(), extractor, sealed_ids: sealed_ids.clone() });
    let broker = Arc::new(Broker {
        extractor,
        id_scan_duration: metrics::histogram!(crate::metrics::DEDUP_SCAN_SECONDS),
        sealed_ids,
        senders,
        cluster_id,
        directory_id,
        leader_epoch,
        catalog,
        engine: engine.clone(),
        reader,
        offsets,
        coordinator,
        fetch_sessions: FetchSessions::new(config.fetch_session_slots, config.fetch_session_partitions_max),
        fetch_memory: FetchMemory::new(config.fetch_memory_bytes),
        turns: Turns::default(),
        recompress_memory: RecompressMemory::new(config.queued_max_request_bytes),
        clients: clients.clone(),
        config_changes: tokio::sync::Mutex::default(),
        loggers,
        endpoints,
        config: ArcSwap::from_pointee(config),
    });
    let (stop, stopping) = watch::channel(false);
    // Not waited for: a resolver may take its time.
    tokio::spawn(server::warn_of_unknown_hosts(broker.endpoints.clone()));
    introduce(&broker, &reach(&bound, Place::of_this_process()), leader_epoch, fsync_disabled);
    let serving = server::serve(bound, broker, phases, connections_fitting, stopping);
    observed.health.enter(BrokerState::Running);
    announce(lines);
    let notifier = Notifier::from_environment();
    notifier.ready();

    tokio::select! {
        () = signals.next() => {}
        () = notifier.keep_alive() => {}
        Ok(error) = &mut failed => return Err(Failure::Commit(error)),
    }
    let began = Instant::now();
    tracing::info!("stopping");
    observed.health.enter(BrokerState::ShuttingDown);
    notifier.stopping();
    let stopped = tokio::select! {
        stopped = unless_failed(failed, wind_down(engine, serving, stop, began)) => stopped,
        // What was answered is durable: the store recovers as after a crash.
        () = signals.next_after(began + ECHO) => return Err(Failure::Interrupted),
    };
    let is_clean = stopped.is_ok();
    tracing::info!(duration_ms = began.elapsed().as_millis() as u64, is_clean, "stopped");
    stopped
}

/// Creates the topics of `einmal.create.topics` that are not there. Those that are stay as they are.
async fn create_first_topics(engine: &Engine, config: &Config) -> Result<(), Failure> {
    let failed = |topic: &FirstTopic, reason: String| Failure::FirstTopic { name: topic.name.clone(), reason };
    for topic in &config.create_topics {
        topic_name::check(&topic.name).map_err(|reason| failed(topic, reason))?;
        let partitions = topic.partitions.unwrap_or(config.num_partitions);
        let new = NewTopic { name: topic.name.clone(), partitions, overrides: topic.overrides.clone() };
        let created = engine.create_topics(vec![new], false).await.map_err(Failure::Unclean)?;
        for outcome in created {
            match outcome {
                Ok(_) => tracing::info!(topic = topic.name, partitions, "created, as einmal.create.topics asks"),
                Err(refused) if refused.error == ErrorCode::TOPIC_ALREADY_EXISTS => {}
                Err(refused) => return Err(failed(topic, refused.message)),
            }
        }
    }
    Ok(())
}

/// Has the collector look at partitions whether anybody scrapes or not, for ever.
async fn look_at_stability(observed: Arc<Observed>) {
    let mut interval = tokio::time::interval(LOOK_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if let Some(collector) = observed.collector.get() {
            collector.look_at_stability();
        }
    }
}

/// What the program is. Filled in by the program's main file alone, so that a new revision does not compile the library again.
#[derive(Debug, Clone, Copy)]
pub struct Build {
    /// Of the release.
    pub version: &'static str,
    /// Of the sources, or `unknown`.
    pub revision: &'static str,
    /// Version of the compiler, or `unknown`.
    pub rustc: &'static str,
}

/// One of each listener, however many addresses it has.
fn endpoints(bound: &[Bound]) -> Vec<Endpoint> {
    let mut endpoints: Vec<Endpoint> = bound.iter().map(|bound| bound.endpoint.clone()).collect();
    endpoints.dedup();
    endpoints
}
