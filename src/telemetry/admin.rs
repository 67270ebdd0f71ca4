//! The admin port: `/metrics`, `/livez`, `/readyz`, a page for people at `/` and the same as JSON under `/api/v1/`, over HTTP.
//!
//! `/livez` answers while the runtime turns and never looks at storage: a probe that restarts a broker because its disk is slow
//! makes things worse. `/readyz` answers 503 with the reasons in its body while clients should not come; where the store does not tell
//! of itself in time, it judges by what was told last. What takes time and memory waits for its turn ([`turns`](super::turns)), which
//! neither of the two does.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRef, RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::collector::{self, Collector, RuntimeFigures};
use super::dedup::{self, NoAnswer};
use super::gzip;
use super::health::{Health, notices};
use super::hosts::Hosts;
use super::overview::{Asked, Overview, Selection};
use super::page;
use super::questions::{ANSWER_PATIENCE, Questions, SILENCE};
use super::turns::{NoTurn, Turns};
use crate::dedup::Extractor;
use crate::engine::sealing::SealedIds;
use crate::engine::{Engine, ISSUED_IDS_MAX};
use crate::record::codec::{Codec, Compression, compress_as};

/// Connections beyond `einmal.admin.connections.max` that are told whether the broker lives and is ready, and nothing else: whoever
/// holds all others must not have the broker restarted.
const PROBES_MAX: usize = 16;
/// How long each of them may take. Probes are given one or a few seconds.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long `/readyz` waits for figures of the store that are new.
const LOOK_PATIENCE: Duration = Duration::from_millis(300);
/// Pause after a failed accept, such as for want of descriptors.
const ACCEPT_BACK_OFF: Duration = Duration::from_secs(1);

/// What the admin port shows.
pub struct Observed {
    /// Families with closed labels.
    pub recorder: PrometheusHandle,
    /// Version of the program.
    pub version: &'static str,
    /// When the process began.
    pub began: Instant,
    /// State of the process.
    pub health: Health,
    /// Everything else, from when the data directory is open.
    pub collector: OnceLock<Collector>,
    /// Those who are asked, from when they run.
    pub running: OnceLock<Running>,
}

/// Who answers what no counter tells: the writer, and the files.
pub struct Running {
    /// Tells open transactions, and which ids are in memory.
    pub engine: Engine,
    /// Knows what ids are remembered by.
    pub extractor: Extractor,
    /// Knows which ids are in files.
    pub sealed_ids: SealedIds,
}

/// The admin port cannot be had.
#[derive(Debug, thiserror::Error)]
#[error(
    "einmal.admin.listener: cannot bind {address} ({source}); stop the other process, give another port, or set it to off"
)]
pub struct AdminBindError {
    address: SocketAddr,
    source: std::io::Error,
}

impl AdminBindError {
    /// Whether the port is taken.
    pub fn is_in_use(&self) -> bool {
        self.source.kind() == std::io::ErrorKind::AddrInUse
    }
}

/// Takes the port.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, AdminBindError> {
    TcpListener::bind(address).await.map_err(|source| AdminBindError { address, source })
}

/// What those who connect may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// `einmal.admin.connections.max`.
    pub connections_max: usize,
    /// `einmal.admin.request.timeout.ms`: for a connection, which serves one request.
    pub request_timeout: Duration,
}

/// What requests share.
#[derive(Clone)]
struct Shared {
    observed: Arc<Observed>,
    turns: Turns,
    /// Beside them, for who looks for one message: the writer may keep him waiting, and nobody who scrapes.
    finds: Turns,
    /// For who looks at the store for `/readyz`: one, so that a store that hangs holds one thread.
    looks: Arc<Semaphore>,
    questions: Questions,
}

impl Shared {
    fn of(observed: Arc<Observed>) -> Self {
        let (turns, finds) = (Turns::new(), Turns::new());
        Self { observed, turns, finds, looks: Arc::new(Semaphore::new(1)), questions: Questions::new() }
    }
}

impl FromRef<Shared> for Arc<Observed> {
    fn from_ref(shared: &Shared) -> Self {
        Arc::clone(&shared.observed)
    }
}

/// Answers until the process ends.
pub async fn serve(socket: TcpListener, observed: Arc<Observed>, hosts: Hosts, limits: Limits) {
    let shared = Shared::of(observed);
    let probes = Router::new().route("/livez", get(|| async { "alive\n" })).route("/readyz", get(readiness));
    let routes = for_browsers(hosts).merge(probes.clone()).route("/metrics", get(metrics)).with_state(shared.clone());
    let probes = probes.fallback(busy).with_state(shared);
    let all = Arc::new(Semaphore::new(limits.connections_max.min(Semaphore::MAX_PERMITS)));
    let probes_only = Arc::new(Semaphore::new(PROBES_MAX));
    loop {
        match socket.accept().await {
            Ok((stream, _)) => {
                // One that has neither waits here, the others in the system's backlog.
                let (slot, routes, timeout) = tokio::select! {
                    biased;
                    slot = all.clone().acquire_owned() => (slot, &routes, limits.request_timeout),
                    slot = probes_only.clone().acquire_owned() => (slot, &probes, PROBE_TIMEOUT.min(limits.request_timeout)),
                };
                let Ok(slot) = slot else { return };
                let service = TowerToHyperService::new(routes.clone());
                tokio::spawn(async move {
                    let connection =
                        http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service);
                    // How a request ends badly is the client's concern.
                    let _ = tokio::time::timeout(timeout, connection).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections to the admin port, trying again");
                tokio::time::sleep(ACCEPT_BACK_OFF).await;
            }
        }
    }
}

/// What is for people and their scripts, by names of ours only.
fn for_browsers(hosts: Hosts) -> Router<Shared> {
    Router::new()
        .route("/", get(people))
        .route("/style.css", get(|| async { ([(header::CONTENT_TYPE, "text/css")], page::STYLE) }))
        .route("/api/v1/overview", get(|shared| json(shared, Asked::default(), Overview::summary_json)))
        .route("/api/v1/groups", get(groups))
        .route("/api/v1/transactions", get(|shared| json(shared, Asked::default(), Overview::transactions_json)))
        .route("/api/v1/topics", get(topics))
        .route("/api/v1/ids", post(issue_ids).fallback(ask_by_post))
        .route("/api/v1/dedup", get(dedup_status))
        .route("/api/v1/dedup/find", get(dedup_find))
        .route_layer(from_fn_with_state(Arc::new(hosts), by_names_of_ours))
}

/// Refuses what was asked by another's name. Who sends none is no browser.
async fn by_names_of_ours(State(hosts): State<Arc<Hosts>>, request: Request, next: Next) -> Response {
    let is_ours = |host: &str| hosts.are_meant_by(host);
    if request.headers().get(header::HOST).is_none_or(|host| host.to_str().is_ok_and(is_ours)) {
        return next.run(request).await;
    }
    let why = "the host that this was asked by is no name of this broker: ask by its address, by localhost or by a name that a listener, this \
               one included, advertises or is bound by, or add the name to einmal.admin.hosts\n";
    (StatusCode::MISDIRECTED_REQUEST, why).into_response()
}

async fn busy() -> Response {
    let message = "all of einmal.admin.connections.max are taken; only /livez and /readyz answer\n";
    (StatusCode::SERVICE_UNAVAILABLE, message).into_response()
}

async fn metrics(State(shared): State<Shared>, headers: HeaderMap) -> Result<Response, NoTurn> {
    let Shared { observed, turns, .. } = shared;
    let runtime = RuntimeFigures::of_current(observed.began);
    let is_gzip = gzip::is_taken(&headers);
    let text = turns.text(async move {
        // The store's statistics come from C++ and may wait for its lock, and compressing takes its time: not on a thread that serves
        // connections.
        tokio::task::spawn_blocking(move || {
            let text = collector::page(observed.recorder.render(), observed.collector.get(), &runtime);
            // What repeats in metrics are whole names, which the quickest level finds, too.
            if is_gzip { compress_as(Compression::quick(Codec::Gzip), text.as_bytes()) } else { text.into_bytes() }
        })
        .await
        .map_err(|_| NoTurn::Failed)
    });
    let mut answer = Body::from(text.await?).into_response();
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if is_gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(answer)
}

/// The page may load its style from here and nothing from anywhere, and nobody may frame it.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

async fn people(State(shared): State<Shared>, RawQuery(query): RawQuery) -> Result<Response, NoAnswer> {
    let Shared { observed, turns, questions, .. } = shared;
    let gathered = Overview::gather(observed, questions, Asked::read(query.as_deref()).map_err(NoAnswer::Unfit)?);
    let html = turns.text(async { Ok::<_, NoAnswer>(page::html(&gathered.await)) }).await?;
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Body::from(html)).into_response())
}

async fn groups(shared: State<Shared>, RawQuery(query): RawQuery) -> Result<Response, NoAnswer> {
    let groups = Selection::read(query.as_deref(), "group").map_err(NoAnswer::Unfit)?;
    json(shared, Asked { groups, ..Asked::default() }, Overview::groups_json).await
}

async fn topics(shared: State<Shared>, RawQuery(query): RawQuery) -> Result<Response, NoAnswer> {
    let topics = Selection::read(query.as_deref(), "topic").map_err(NoAnswer::Unfit)?;
    json(shared, Asked { topics, ..Asked::default() }, Overview::topics_json).await
}

async fn json(
    State(shared): State<Shared>,
    asked: Asked,
    part: fn(&Overview) -> serde_json::Value,
) -> Result<Response, NoAnswer> {
    let Shared { observed, turns, questions, .. } = shared;
    let gathered = Overview::gather(observed, questions, asked);
    Ok(in_json(turns.text(async move { Ok::<_, NoAnswer>(line(&part(&gathered.await))) }).await?))
}

fn line(json: &serde_json::Value) -> String {
    json.to_string() + "\n"
}

fn in_json(text: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], Body::from(text)).into_response()
}

async fn dedup_status(
    State(Shared { observed, turns, .. }): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Response, NoAnswer> {
    let status = async move { dedup::status(&observed, query.as_deref()).map(|status| line(&status)) };
    turns.text(status).await.map(in_json)
}

async fn dedup_find(State(shared): State<Shared>, RawQuery(query): RawQuery) -> Result<Response, NoAnswer> {
    let Shared { observed, finds, questions, .. } = shared;
    let found = async move { dedup::find::find(observed, questions, query).await.map(|found| line(&found)) };
    finds.text(found).await.map(in_json)
}

/// Hands out `?count=` ids in a row, one unless told otherwise. A POST, for what is asked twice is given twice.
async fn issue_ids(State(observed): State<Arc<Observed>>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    if is_of_another_site(&headers) {
        return (StatusCode::FORBIDDEN, "pages of other sites are given no ids\n").into_response();
    }
    let count = match query.as_deref() {
        None => Some(1),
        Some(query) => query.strip_prefix("count=").and_then(|count| count.parse().ok()),
    };
    let Some(count) = count.filter(|count| (1..=ISSUED_IDS_MAX).contains(count)) else {
        return (StatusCode::BAD_REQUEST, format!("ask for ?count=1 to {ISSUED_IDS_MAX}\n")).into_response();
    };
    let first = match observed.running.get() {
        Some(running) => tokio::time::timeout(ANSWER_PATIENCE, running.engine.issue_ids(count)).await.ok(),
        None => Some(Ok(None)),
    };
    let why = if first.is_none() { SILENCE } else { "no ids can be had now" };
    let Some(Ok(Some(first))) = first else {
        return (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response();
    };
    // Text, too: many readers of JSON keep 53 bits of a number.
    let last = first + i64::from(count) - 1;
    let ids = serde_json::json!({ "first": first.to_string(), "last": last.to_string(), "count": count });
    in_json(line(&ids).into())
}

/// To those who ask for ids by GET, as a browser does.
async fn ask_by_post() -> Response {
    let how = "each id is handed out once, so they are asked for by POST: curl -X POST '…/api/v1/ids?count=1000'\n";
    (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "POST")], how).into_response()
}

/// Whether a browser sent it for a page that did not come from here. Others than browsers name no origin.
fn is_of_another_site(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value| value.as_bytes());
    let Some(origin) = text(header::ORIGIN) else { return false };
    let authority = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    authority.is_none() || authority != text(header::HOST)
}

async fn readiness(State(Shared { observed, looks, .. }): State<Shared>) -> Response {
    let looking = Arc::clone(&observed);
    let look = async move {
        let Ok(turn) = looks.acquire_owned().await else { return };
        let look = tokio::task::spawn_blocking(move || {
            if let Some(collector) = looking.collector.get() {
                collector.store_stats();
            }
            drop(turn);
        });
        // What cannot be looked at is judged by the last look.
        let _ = look.await;
    };
    let _ = tokio::time::timeout(LOOK_PATIENCE, look).await;
    let storage = observed.collector.get().map(Collector::last_fitness).unwrap_or_default();
    let (reasons, notices) = (observed.health.reasons(&storage), notices(&storage));
    if reasons.is_empty() {
        return ([&["ready"], &notices[..]].concat().join("\n") + "\n").into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n").into_response()
}

#[cfg(test)]
mod tests;
