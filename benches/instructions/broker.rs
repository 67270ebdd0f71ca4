//! A broker without sockets and disk, and one connection to it that takes the real one's steps.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread::Thread;

use arc_swap::ArcSwap;
use bytes::Bytes;
use einmal::api::apis::find;
use einmal::api::fetch_memory::FetchMemory;
use einmal::api::fetch_session::FetchSessions;
use einmal::api::produce::RecompressMemory;
use einmal::api::turns::Turns;
use einmal::api::{Answer, Broker, Context, Endpoint, Pending};
use einmal::config::load::{Sources, load};
use einmal::config::loggers::{Levels, Loggers};
use einmal::coordinator::Coordinator;
use einmal::engine::Engine;
use einmal::engine::command::NewTopic;
use einmal::engine::environment::Environment;
use einmal::engine::settings::Settings;
use einmal::log::catalog::Topic;
use einmal::types::{Arrival, Timestamp};
use einmal::wire::frame::FrameCutter;
use einmal::wire::header::{self, HeaderVersion};
use einmal::wire::{Close, Segments};
use tokio::sync::watch;

use crate::store::{Gate, NullStore};

/// What a connection receives at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// A clock that stands still, and no chance.
struct Still(u64);

impl Environment for Still {
    fn now(&mut self) -> Timestamp {
        1_700_000_000_000
    }

    fn monotonic_ms(&mut self) -> u64 {
        0
    }

    fn random(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

/// The broker; its runtime has the timers that requests set.
pub struct BenchBroker {
    cx: Context,
    gate: Arc<Gate>,
    runtime: tokio::runtime::Runtime,
    _stop: watch::Sender<bool>,
}

impl BenchBroker {
    pub fn start() -> Self {
        let is_counting = std::env::var_os("WITHOUT_METRICS").is_none();
        einmal::telemetry::recorder::install(is_counting).expect("the only recorder");
        let sources = Sources { host_name: "localhost".into(), ..Sources::default() };
        let config = load(&sources).expect("defaults are good").config;
        let gate = Arc::new(Gate::default());
        // The engine's own first sync.
        gate.permit();
        let store = Arc::new(NullStore::new(Arc::clone(&gate)));
        let fatal = Box::new(|error| panic!("a store that does nothing failed: {error}"));
        // The writer is counted by itself.
        let settings = Settings { takes_loans: false, ..Settings::from(&config) };
        let started = Engine::start(store, settings, Box::new(Still(0)), fatal).expect("starts");
        let (stop, stopping) = watch::channel(false);
        let groups = einmal::coordinator::Settings::from(&config);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let coordinator = {
            let _in_runtime = runtime.enter();
            Coordinator::start(
                started.engine.clone(),
                started.catalog.clone(),
                started.offsets.clone(),
                started.groups,
                groups,
            )
        };
        let broker = Broker {
            coordinator,
            cluster_id: started.cluster_id,
            directory_id: started.directory_id,
            leader_epoch: started.leader_epoch,
            catalog: started.catalog,
            engine: started.engine,
            reader: started.reader,
            extractor: started.extractor,
            id_scan_duration: metrics::histogram!(einmal::metrics::DEDUP_SCAN_SECONDS),
            sealed_ids: started.sealed_ids,
            senders: Arc::default(),
            offsets: started.offsets,
            fetch_sessions: FetchSessions::new(config.fetch_session_slots, config.fetch_session_partitions_max),
            fetch_memory: FetchMemory::new(config.fetch_memory_bytes),
            turns: Turns::default(),
            recompress_memory: RecompressMemory::new(config.queued_max_request_bytes),
            clients: Arc::default(),
            config_changes: tokio::sync::Mutex::default(),
            loggers: Arc::new(Loggers::new(Levels::of(&config.log_level), |_| ())),
            endpoints: vec![Endpoint { listener: "PLAINTEXT".into(), host: "localhost".into(), port: 9092 }],
            config: ArcSwap::from_pointee(config),
        };
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000));
        let arrival = Arrival::default();
        let cx = Context { broker: Arc::new(broker), listener: "PLAINTEXT".into(), peer, arrival, stopping };
        Self { cx, gate, runtime, _stop: stop }
    }

    pub fn connect(&self) -> Connection<'_> {
        let frame_bytes_max = self.cx.broker.config.load().socket_request_max_bytes;
        Connection {
            broker: self,
            cutter: FrameCutter::new(frame_bytes_max),
            wake: Arc::new(Unpark { thread: std::thread::current(), woken: AtomicBool::new(false) }),
            session_id: 0,
        }
    }
}

/// Wakes the one thread that polls.
struct Unpark {
    thread: Thread,
    woken: AtomicBool,
}

impl Unpark {
    /// Returns once it was woken since the last call; the thread itself may leave its park without that.
    fn wait(&self) {
        while !self.woken.swap(false, Ordering::Acquire) {
            std::thread::park();
        }
    }
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// One connection.
pub struct Connection<'a> {
    broker: &'a BenchBroker,
    cutter: FrameCutter,
    wake: Arc<Unpark>,
    /// The fetch session of its last answer.
    pub session_id: i32,
}

impl Connection<'_> {
    pub fn create_topic(&mut self, name: &str, partitions: u32) -> Arc<Topic> {
        self.create_topic_with(name, partitions, &[])
    }

    pub fn create_topic_with(&mut self, name: &str, partitions: u32, overrides: &[(&str, &str)]) -> Arc<Topic> {
        let overrides = overrides.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let topic = NewTopic { name: name.to_owned(), partitions, overrides };
        self.broker.gate.permit();
        let created = self.broker.cx.broker.engine.create_topics(vec![topic], false);
        let mut created = self.broker.runtime.block_on(created).expect("the engine runs");
        created.remove(0).expect("created")
    }

    /// From the bytes of a Produce to those of its answer. The sync is let go once the connection waits for it, so that it always
    /// waits, and is always woken once.
    pub fn produce(&mut self, frame: Bytes) {
        let _in_runtime = self.broker.runtime.enter();
        let mut pending = self.measured_begin(frame);
        assert!(self.measured_poll(&mut pending).is_pending(), "a produce was answered before its sync");
        self.broker.gate.permit();
        self.wake.wait();
        let Poll::Ready(answer) = self.measured_poll(&mut pending) else { panic!("woken before the answer") };
        black_box(answer.expect("the connection stays open").expect("acks=all is answered"));
    }

    /// From the bytes of a Fetch to those of its answer, which is there at once.
    pub fn fetch(&mut self, frame: Bytes) -> Segments {
        let _in_runtime = self.broker.runtime.enter();
        let mut pending = self.measured_begin(frame);
        let Poll::Ready(answer) = self.measured_poll(&mut pending) else { panic!("a fetch of what is there waits") };
        answer.expect("the connection stays open").expect("a fetch is answered")
    }

    /// Cuts the frame out of what is received, parses its header and hands it to its API.
    #[inline(never)]
    fn measured_begin(&mut self, frame: Bytes) -> Pending {
        let mut whole = None;
        for mut chunk in frame.chunks(CHUNK_BYTES) {
            whole = self.cutter.push(&mut chunk, |_, _, _| Ok(())).expect("a good frame");
        }
        let request = header::parse(whole.expect("a whole frame"), HeaderVersion::V2).expect("a good header");
        let api = find(request.header.api_key).expect("an API of the table");
        match (api.handler)(self.broker.cx.clone(), request) {
            Answer::Pipelined(pending)
            | Answer::Serial(pending)
            | Answer::Turned(pending, _)
            | Answer::Cancellable(pending)
            | Answer::LongPoll(pending) => pending,
            Answer::Close(close) => panic!("a good request was refused: {close}"),
        }
    }

    #[inline(never)]
    fn measured_poll(&self, pending: &mut Pending) -> Poll<Result<Option<Segments>, Close>> {
        let waker = Waker::from(Arc::clone(&self.wake));
        Pin::as_mut(pending).poll(&mut TaskContext::from_waker(&waker))
    }
}
