//! One broker from start to stop: ports, store, engine, connections, in this order, and back.
//!
//! Ports are bound first: a port in use is found out before a data directory is touched, and clients that come early wait in
//! the backlog instead of being refused. Stopping goes the other way: readiness turns false, no new connections, parked
//! requests are answered, what is queued is committed, the store is closed.
//!
//! Invariant: `ready` is printed after the last thing that can fail a start.

mod descriptors;
mod failure;
mod huge_pages;
mod notify;
pub mod probe;

use std::future::Future;
use std::io::Write as _;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

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
use crate::engine::command::{EngineGone, NewTopic};
use crate::engine::environment::SystemEnvironment;
use crate::engine::settings::Settings;
use crate::engine::{Engine, StartError, Started};
use crate::metrics::phases::RequestPhases;
use crate::server::reach::{Place, Reach, reach};
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
use crate::types::{ErrorCode, LeaderEpoch};

pub use failure::Failure;
use notify::Notifier;

/// Time from the first signal to the end: `docker stop` allows 10 s, of which closing the store needs its part.
const STOP_BUDGET: Duration = Duration::from_secs(8);

/// Of [`STOP_BUDGET`], what connections may take.
const DRAIN_BUDGET: Duration = Duration::from_secs(5);

/// Signals this close to the first are its echo: `timeout`, for one, signals the process and then its group.
const ECHO: Duration = Duration::from_millis(500);

/// Reads all settings anew. The disk may keep it waiting.
pub type Reload = Arc<dyn Fn() -> Result<Loaded, LoadError> + Send + Sync>;

/// How a broker is started and told things.
pub struct Manner {
    /// Says what test modules wait for in the output of Kafka's images.
    pub speaks_as_kafka: bool,
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
    let ended = runtime.block_on(async {
        tokio::spawn(output::tell_left_out(repetition.clone()));
        tokio::spawn(reload_on_hangup(loggers.clone(), manner.reload).map_err(Failure::Runtime)?);
        broker(config, loggers, observed, manner.speaks_as_kafka).await
    });
    output::say_left_out(&repetition);
    // What still runs is a parked read at most; nobody waits for its answer.
    runtime.shutdown_background();
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

/// Takes the log level over anew at each SIGHUP, which would else end the process. Other settings are those of the start.
fn reload_on_hangup(loggers: Arc<Loggers>, reload: Reload) -> std::io::Result<impl Future<Output = ()>> {
    let mut hangups = signal(SignalKind::hangup())?;
    Ok(async move {
        while hangups.recv().await.is_some() {
            let reload = Arc::clone(&reload);
            // Not on a thread that serves connections.
            let read = tokio::task::spawn_blocking(move || reload());
            let Ok(read) = read.await else { continue };
            let replaced = read.map_err(|error| error.to_string()).and_then(|Loaded { config, .. }| {
                output::replace(&loggers, &config.log_level).map_err(|error| error.to_string())?;
                Ok(config.log_level)
            });
            match replaced {
                Ok(level) => {
                    tracing::info!(level, "settings read again: the log level is in force, others need a start")
                }
                Err(error) => tracing::warn!(error, "settings cannot be read again, those in force stay"),
            }
        }
    })
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

async fn wind_down(
    engine: Engine,
    mut serving: JoinHandle<()>,
    stop: watch::Sender<bool>,
    began: Instant,
) -> Result<(), Failure> {
    // Fails only if nobody listens any more, and then all connections are closed.
    let _ = stop.send(true);
    if tokio::time::timeout(DRAIN_BUDGET, &mut serving).await.is_err() {
        tracing::warn!("connections did not finish in time and are closed");
        serving.abort();
    }
    closed_within(STOP_BUDGET.saturating_sub(began.elapsed()), engine.stop()).await
}

/// How `stop` ends, unless a write or sync fails before: then nothing more is to be waited for, and that is what there is to tell.
async fn unless_failed(
    failed: oneshot::Receiver<StoreError>,
    stop: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    tokio::select! {
        // First: who has failed has told so before its end is seen.
        biased;
        Ok(error) = failed => Err(Failure::Commit(error)),
        stopped = stop => stopped,
    }
}

/// Whether the engine has marked the stop as clean before its time was over.
async fn closed_within(left: Duration, stop: impl Future<Output = Result<(), EngineGone>>) -> Result<(), Failure> {
    match tokio::time::timeout(left, stop).await {
        Ok(stopped) => stopped.map_err(Failure::Unclean),
        Err(_) => Err(Failure::Overdue),
    }
}

/// Tells people what they may connect to, and at which durability.
fn introduce(broker: &Broker, reach: &Reach, leader_epoch: LeaderEpoch, fsync_disabled: bool) {
    for endpoint in &broker.endpoints {
        tracing::info!(listener = %endpoint.listener, host = endpoint.host, port = endpoint.port, "clients are told to connect here");
    }
    tracing::info!("{}", reach.directions);
    for warning in &reach.warnings {
        tracing::warn!("{warning}");
    }
    if fsync_disabled {
        tracing::warn!("acks=all is answered from the page cache: a power cut may take acknowledged records back");
    }
    let config = broker.config.load();
    tracing::info!(cluster_id = %broker.cluster_id, node_id = config.node_id, leader_epoch = leader_epoch.0, version = env!("CARGO_PKG_VERSION"), "started");
    let durability = if fsync_disabled { "os" } else { "fsync" };
    metrics::gauge!(crate::metrics::CONFIG_INFO, "durability" => durability, "mode" => "broker").set(1.0);
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

fn addresses(bound: &[Bound]) -> Vec<String> {
    let line = |bound: &Bound| format!("listening {}://{}", bound.endpoint.listener, bound.address);
    bound.iter().map(line).collect()
}

/// Phrases by which modules for tests recognise that Kafka has started; each waits for one of them.
fn kafkas_words(node_id: i32) -> [String; 3] {
    [
        "Transitioning from RECOVERY to RUNNING".to_owned(),
        "Kafka Server started".to_owned(),
        format!("[KafkaServer id={node_id}] started"),
    ]
}

/// Tells scripts where to connect and that they may.
fn announce(mut lines: Vec<String>) {
    lines.push("ready\n".to_owned());
    let mut stdout = std::io::stdout().lock();
    // Nobody may be reading.
    let _ = stdout.write_all(lines.join("\n").as_bytes()).and_then(|()| stdout.flush());
}

/// SIGTERM and SIGINT, alike.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Returns at the next of them.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Returns at the next of them that comes after `instant`.
    async fn next_after(&mut self, instant: Instant) {
        self.next().await;
        while Instant::now() < instant {
            self.next().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_disk_that_fails_while_the_broker_stops_is_what_ended_it() {
        let error = || StoreError::Failed("Input/output error".to_owned());
        let gone = || std::future::ready(Err(Failure::Unclean(EngineGone)));
        let (fail, failed) = oneshot::channel();
        fail.send(error()).expect("it is listened to");
        let ended = unless_failed(failed, gone()).await.expect_err("the disk has failed");
        assert_eq!(ended.exit_code(), 7);
        assert!(ended.to_string().contains("Input/output error"), "{ended}");

        let (fail, failed) = oneshot::channel();
        let waits = tokio::spawn(unless_failed(failed, std::future::pending()));
        fail.send(error()).expect("it is listened to");
        assert!(matches!(waits.await, Ok(Err(Failure::Commit(_)))), "nobody waits for the rest of the stop");

        // An engine that has ended in order fails no more.
        let (fail, failed) = oneshot::channel::<StoreError>();
        drop(fail);
        assert!(unless_failed(failed, std::future::ready(Ok(()))).await.is_ok());
    }

    #[tokio::test]
    async fn stop_that_is_not_known_to_be_clean_is_no_success() {
        let left = Duration::from_secs(60);
        assert!(closed_within(left, std::future::ready(Ok(()))).await.is_ok());
        let gone = closed_within(left, std::future::ready(Err(EngineGone))).await;
        assert!(matches!(gone, Err(Failure::Unclean(_))), "{gone:?}");
        let overdue = closed_within(Duration::ZERO, std::future::pending()).await.expect_err("not closed");
        assert_ne!(overdue.exit_code(), 0);
        assert!(overdue.to_string().contains("did not close in time"), "{overdue}");
    }
}
