//! The admin port: `/metrics`, `/livez`, `/readyz`, a page for people at `/` and the same as JSON under `/api/v1/`, over HTTP.
//!
//! `/livez` answers while the runtime turns and never looks at storage: a probe that restarts a broker because its disk is slow
//! makes things worse. `/readyz` answers 503 with the reasons in its body while clients should not come.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::collector::{self, Collector, RuntimeFigures};
use super::dedup::{self, LookUp};
use super::health::{Health, notices};
use super::overview::Overview;
use super::page;
use crate::engine::{Engine, ISSUED_IDS_MAX};

/// Connections beyond `einmal.admin.connections.max` that are told whether the broker lives and is ready, and nothing else: whoever
/// holds all others must not have the broker restarted.
const PROBES_MAX: usize = 16;
/// How long each of them may take. Probes are given one or a few seconds.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
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
    /// Phase of the process.
    pub health: Health,
    /// Everything else, from when the data directory is open.
    pub collector: OnceLock<Collector>,
    /// Tells open transactions, from when it runs.
    pub engine: OnceLock<Engine>,
    /// Finds single message ids, from then on.
    pub look_up: OnceLock<LookUp>,
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

/// Answers until the process ends.
pub async fn serve(socket: TcpListener, observed: Arc<Observed>, limits: Limits) {
    let probes = Router::new().route("/livez", get(|| async { "alive\n" })).route("/readyz", get(readiness));
    let routes = probes
        .clone()
        .route("/metrics", get(metrics))
        .route("/", get(people))
        .route("/style.css", get(|| async { ([(header::CONTENT_TYPE, "text/css")], page::STYLE) }))
        .route("/api/v1/overview", get(|observed| json(observed, Overview::summary_json)))
        .route("/api/v1/groups", get(|observed| json(observed, Overview::groups_json)))
        .route("/api/v1/transactions", get(|observed| json(observed, Overview::transactions_json)))
        .route("/api/v1/topics", get(|observed| json(observed, Overview::topics_json)))
        .route("/api/v1/ids", post(issue_ids))
        .route("/api/v1/dedup", get(dedup::status))
        .route("/api/v1/dedup/find", get(dedup::find))
        .with_state(Arc::clone(&observed));
    let probes = probes.fallback(busy).with_state(observed);
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

async fn busy() -> Response {
    let message = "all of einmal.admin.connections.max are taken; only /livez and /readyz answer\n";
    (StatusCode::SERVICE_UNAVAILABLE, message).into_response()
}

async fn metrics(State(observed): State<Arc<Observed>>) -> Response {
    // The store's statistics come from C++ and may wait for its lock: not on a thread that serves connections.
    let runtime = RuntimeFigures::of_current(observed.began);
    let text = tokio::task::spawn_blocking(move || {
        collector::page(observed.recorder.render(), observed.collector.get(), &runtime)
    });
    match text.await {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The page may load its style from here and nothing from anywhere, and nobody may frame it.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

async fn people(State(observed): State<Arc<Observed>>) -> Response {
    let html = page::html(&Overview::gather(observed).await);
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, html).into_response()
}

async fn json(State(observed): State<Arc<Observed>>, part: fn(&Overview) -> serde_json::Value) -> Response {
    let text = part(&Overview::gather(observed).await).to_string();
    ([(header::CONTENT_TYPE, "application/json")], text + "\n").into_response()
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
    let first = match observed.engine.get() {
        Some(engine) => engine.issue_ids(count).await.ok().flatten(),
        None => None,
    };
    let Some(first) = first else {
        return (StatusCode::SERVICE_UNAVAILABLE, "no ids can be had now\n").into_response();
    };
    // Text, too: many readers of JSON keep 53 bits of a number.
    let last = first + i64::from(count) - 1;
    let ids = serde_json::json!({ "first": first.to_string(), "last": last.to_string(), "count": count });
    ([(header::CONTENT_TYPE, "application/json")], ids.to_string() + "\n").into_response()
}

/// Whether a browser sent it for a page that did not come from here. Others than browsers name no origin.
fn is_of_another_site(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value| value.as_bytes());
    let Some(origin) = text(header::ORIGIN) else { return false };
    let authority = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    authority.is_none() || authority != text(header::HOST)
}

async fn readiness(State(observed): State<Arc<Observed>>) -> Response {
    let judged = tokio::task::spawn_blocking(move || {
        let storage = observed.collector.get().map(Collector::fitness).unwrap_or_default();
        (observed.health.reasons(&storage), notices(&storage))
    });
    match judged.await {
        Ok((reasons, notices)) if reasons.is_empty() => {
            ([&["ready"], &notices[..]].concat().join("\n") + "\n").into_response()
        }
        Ok((reasons, _)) => (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n").into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
