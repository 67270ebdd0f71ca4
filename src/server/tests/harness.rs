//! A server whose requests wait for the test, and a client of raw frames.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::api::fetch_memory::FetchMemory;
use crate::api::turns::Gone;
use crate::api::{Answer, Api, Context, Endpoint, Pending};
use crate::metrics::phases::RequestPhases;
use crate::server::bind::Bound;
use crate::server::budget::RequestBudget;
use crate::server::connection::{Limits, Peer, Shared};
use crate::server::creation_rate::CreationRates;
use crate::server::listen;
use crate::server::slots::{ConnectionLimits, ConnectionSlots};
use crate::server::table::{Dispatch, Table};
use crate::types::Arrival;
use crate::wire::{Close, Request, Segments};

/// Pipelined.
pub(super) const PRODUCE: i16 = 0;
/// Serial, a long poll.
pub(super) const FETCH: i16 = 1;
/// Serial, changes nothing.
pub(super) const LIST_OFFSETS: i16 = 2;
/// Serial, given up when its client has gone.
pub(super) const METADATA: i16 = 3;
/// Serial, answers every version.
pub(super) const API_VERSIONS: i16 = 18;
/// Its handler panics.
pub(super) const PANIC: i16 = 30;
/// What its handler returns panics.
pub(super) const PANIC_LATER: i16 = 31;

static APIS: &[Api] = &[
    api(PRODUCE, "Produce", None),
    api(FETCH, "Fetch", Some(100_000)),
    api(LIST_OFFSETS, "ListOffsets", Some(1000)),
    api(METADATA, "Metadata", Some(1000)),
    api(API_VERSIONS, "ApiVersions", Some(1000)),
    api(PANIC, "Panic", Some(1000)),
    api(PANIC_LATER, "PanicLater", Some(1000)),
];

const fn api(key: i16, name: &'static str, frame_bytes_max: Option<usize>) -> Api {
    Api { key, name, versions: (1, 3), flexible_from: 3, frame_bytes_max, handler: unused }
}

fn unused(_: Context, _: Request) -> Answer {
    unreachable!("the test's dispatch answers")
}

/// A request that has begun and waits for the test.
pub(super) struct Begun {
    pub(super) correlation_id: i32,
    pub(super) request: Request,
    pub(super) answer: oneshot::Sender<Result<Option<Segments>, Close>>,
}

impl Begun {
    /// Answers with the correlation id and `body`.
    pub(super) fn answer(self, body: &[u8]) {
        self.answer_with(vec![Bytes::copy_from_slice(body)]);
    }

    pub(super) fn answer_with(self, body: Segments) {
        let length = 4 + body.iter().map(Bytes::len).sum::<usize>() as u32;
        let mut segments = vec![Bytes::from([length.to_be_bytes(), self.correlation_id.to_be_bytes()].concat())];
        segments.extend(body);
        self.end(Ok(Some(segments)));
    }

    pub(super) fn end(self, result: Result<Option<Segments>, Close>) {
        let _ = self.answer.send(result);
    }
}

pub(super) struct Manual {
    begun: mpsc::UnboundedSender<Begun>,
}

impl Dispatch for Manual {
    fn apis(&self) -> &'static [Api] {
        APIS
    }

    fn answer(&self, api: &'static Api, _: &Peer, _: Arrival, request: Request) -> Answer {
        let (answer, answered) = oneshot::channel();
        let begun = Begun { correlation_id: request.header.correlation_id, request, answer };
        let queue = self.begun.clone();
        let wait = async move { answered.await.expect("the test answers what it takes") };
        match api.key {
            PRODUCE => {
                queue.send(begun).expect("the test is there");
                Answer::Pipelined(Box::pin(wait))
            }
            PANIC => panic!("as asked"),
            METADATA => {
                let gone = Gone::default();
                let told = gone.clone();
                let pending = async move {
                    queue.send(begun).expect("the test is there");
                    tokio::select! {
                        answered = wait => answered,
                        () = told.told() => Ok(None),
                    }
                };
                Answer::Turned(Box::pin(pending), gone)
            }
            PANIC_LATER => Answer::Serial(Box::pin(async { panic!("as asked") })),
            _ => {
                let pending: Pending = Box::pin(async move {
                    queue.send(begun).expect("the test is there");
                    wait.await
                });
                match api.key {
                    FETCH => Answer::LongPoll(pending),
                    LIST_OFFSETS => Answer::Cancellable(pending),
                    _ => Answer::Serial(pending),
                }
            }
        }
    }
}

pub(super) struct Options {
    pub(super) limits: Limits,
    pub(super) budget_bytes: usize,
    pub(super) fetch_memory: FetchMemory,
    pub(super) connections_max: usize,
    /// Connections in a second, and how many have just come.
    pub(super) creation_rate: (u32, usize),
}

/// Long enough never to be reached.
pub(super) const LONG: Duration = Duration::from_secs(3600);

impl Default for Options {
    fn default() -> Self {
        let limits = Limits {
            first_request: LONG,
            frame: LONG,
            idle: LONG,
            stall: LONG,
            frame_stall: LONG,
            request_bytes_max: 1 << 20,
        };
        let fetch_memory = FetchMemory::new(1 << 20);
        Self { limits, budget_bytes: 1 << 24, fetch_memory, connections_max: 100, creation_rate: (u32::MAX, 0) }
    }
}

pub(super) struct Server {
    address: SocketAddr,
    begun: mpsc::UnboundedReceiver<Begun>,
    pub(super) budget: RequestBudget,
    pub(super) stopping: watch::Sender<bool>,
    pub(super) handle: JoinHandle<()>,
}

impl Server {
    pub(super) async fn start(options: Options) -> Self {
        let (begun_sender, begun) = mpsc::unbounded_channel();
        let (stopping, stopping_receiver) = watch::channel(false);
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let endpoint = Endpoint { listener: "TEST".into(), host: "127.0.0.1".to_owned(), port: address.port() };
        let budget = RequestBudget::new(options.budget_bytes);
        let phases = Arc::<RequestPhases>::default();
        let shared = Shared {
            dispatch: Manual { begun: begun_sender },
            table: Table::new(APIS, 8 << 20, &phases),
            budget: budget.clone(),
            fetch_memory: options.fetch_memory,
            limits: options.limits,
            accepted: AtomicU64::new(0),
        };
        let slots = ConnectionSlots::new(move || ConnectionLimits { all: options.connections_max, per_ip: 100 });
        let (per_second, come) = options.creation_rate;
        let rates = CreationRates::new(move || per_second, std::iter::empty(), |_| None);
        for _ in 0..come {
            let _ = rates.of("TEST")[0].count(Instant::now());
        }
        let bound = Bound { endpoint, address, socket };
        let handle = listen(vec![bound], Arc::new(shared), slots, rates, stopping_receiver);
        Self { address, begun, budget, stopping, handle }
    }

    pub(super) async fn connect(&self) -> Client {
        Client { stream: TcpStream::connect(self.address).await.unwrap() }
    }

    /// The next request that begins.
    pub(super) async fn next_begun(&mut self) -> Begun {
        within(self.begun.recv()).await.expect("the server is there")
    }

    /// The next request that begins; it must be this one.
    pub(super) async fn begun(&mut self, correlation_id: i32) -> Begun {
        let begun = self.next_begun().await;
        assert_eq!(begun.correlation_id, correlation_id, "another request began first");
        begun
    }

    /// Lets the server do all that it can with what it has, and sees that no request begins.
    pub(super) async fn begins_nothing(&mut self) {
        settle().await;
        assert!(self.begun.try_recv().is_err(), "a request began");
    }
}

pub(super) struct Client {
    pub(super) stream: TcpStream,
}

impl Client {
    pub(super) async fn write(&mut self, bytes: &[u8]) {
        within(self.stream.write_all(bytes)).await.unwrap();
    }

    pub(super) async fn send(&mut self, key: i16, correlation_id: i32, body: &[u8]) {
        self.write(&request(key, 1, correlation_id, body)).await;
    }

    /// The next answer's body; it must be to this request.
    pub(super) async fn answer(&mut self, correlation_id: i32) -> Vec<u8> {
        let length = within(self.stream.read_u32()).await.unwrap() as usize;
        let mut answer = vec![0; length];
        within(self.stream.read_exact(&mut answer)).await.unwrap();
        assert_eq!(answer[..4], correlation_id.to_be_bytes(), "answer to another request");
        answer.split_off(4)
    }

    /// Sees the server close without sending anything more.
    pub(super) async fn is_closed(&mut self) {
        let mut rest = Vec::new();
        match within(self.stream.read_to_end(&mut rest)).await {
            Ok(_) => assert_eq!(rest, b"", "bytes instead of a close"),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
    }
}

/// A frame with header version 1, no client id.
pub(super) fn request(key: i16, version: i16, correlation_id: i32, body: &[u8]) -> Vec<u8> {
    let mut frame = (10 + body.len() as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(&key.to_be_bytes());
    frame.extend_from_slice(&version.to_be_bytes());
    frame.extend_from_slice(&correlation_id.to_be_bytes());
    frame.extend_from_slice(&[0xff, 0xff]);
    frame.extend_from_slice(body);
    frame
}

/// Turns a hang into a failure.
pub(super) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("nothing happened for a minute")
}

/// Runs the other tasks of this single-threaded runtime until they wait.
pub(super) async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}
