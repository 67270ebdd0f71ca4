//! Accepts connections of one listener, and says why they ended.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use metrics::Gauge;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use crate::metrics as catalogue;
use crate::types::ConnectionId;
use crate::wire::{Close, Foreign};

use super::bind::Bound;
use super::connection::{self, End, Peer, Shared, stopped};
use super::creation_rate::CreationRate;
use super::slots::{ConnectionSlots, Slot};
use super::table::Dispatch;

/// Pause after a failed accept, such as for want of descriptors; doubles up to [`BACK_OFF_MAX`].
const BACK_OFF_MIN: Duration = Duration::from_millis(10);
/// See [`BACK_OFF_MIN`].
const BACK_OFF_MAX: Duration = Duration::from_secs(1);

/// Accepts until the broker stops, then waits for the connections to end. Dropping it ends them at once.
pub(crate) async fn accept<D: Dispatch>(
    bound: Bound,
    shared: Arc<Shared<D>>,
    slots: Arc<ConnectionSlots>,
    rates: Vec<Arc<CreationRate>>,
    mut stopping: watch::Receiver<bool>,
) {
    let Bound { endpoint, socket, .. } = bound;
    let listener = endpoint.listener;
    let mut connections = JoinSet::new();
    let mut back_off = BACK_OFF_MIN;
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopped(&mut stopping) => break,
            Some(ended) = connections.join_next() => {
                report_panic(ended, &listener);
                continue;
            }
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                back_off = BACK_OFF_MIN;
                let connection = ConnectionId(shared.accepted.fetch_add(1, Ordering::Relaxed) + 1);
                let now = Instant::now();
                let wait = rates.iter().map(|rate| rate.count(now)).max().unwrap_or_default();
                if !wait.is_zero() {
                    tokio::select! {
                        () = stopped(&mut stopping) => break,
                        () = tokio::time::sleep(wait) => {}
                    }
                }
                let peer = Peer { listener: listener.clone(), address, connection };
                if let Some(open) = open(&peer, &slots) {
                    connections.spawn(serve(stream, peer, open, shared.clone(), stopping.clone()));
                }
            }
            // The peer gave up before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%listener, %error, "cannot accept connections, trying again");
                tokio::select! {
                    () = stopped(&mut stopping) => break,
                    () = tokio::time::sleep(back_off) => back_off = (back_off * 2).min(BACK_OFF_MAX),
                }
            }
        }
    }
    drop(socket);
    while let Some(ended) = connections.join_next().await {
        report_panic(ended, &listener);
    }
}

/// A connection that counts as open until it is dropped.
struct Open {
    _slot: Slot,
    connections: Gauge,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.connections.decrement(1);
    }
}

/// Takes a slot for the connection; none: refused and counted.
fn open(peer: &Peer, slots: &Arc<ConnectionSlots>) -> Option<Open> {
    let listener = peer.listener.clone();
    match slots.take(peer.address.ip()) {
        Ok(slot) => {
            metrics::counter!(catalogue::CONNECTIONS_OPENED_TOTAL, "listener" => listener.clone()).increment(1);
            let connections = metrics::gauge!(catalogue::CONNECTIONS, "listener" => listener);
            connections.increment(1);
            Some(Open { _slot: slot, connections })
        }
        Err(refused) => {
            let reason = refused.reason();
            tracing::debug!(%listener, peer = %peer.address, reason, "connection refused");
            metrics::counter!(catalogue::CONNECTIONS_REJECTED_TOTAL, "listener" => listener, "reason" => reason)
                .increment(1);
            None
        }
    }
}

async fn serve<D: Dispatch>(
    stream: TcpStream,
    peer: Peer,
    _open: Open,
    shared: Arc<Shared<D>>,
    stopping: watch::Receiver<bool>,
) {
    // Answers are written whole: waiting for more would only delay them. A socket that refuses works all the same.
    let _ = stream.set_nodelay(true);
    let _connected = Connected::new(&shared.dispatch, &peer);
    let (end, client_id) = connection::serve(&stream, &peer, &shared, stopping).await;
    report(&end, &peer, client_id.as_deref());
}

/// Tells of a connection until it is dropped: a panic ends a connection, too.
struct Connected<'a, D: Dispatch> {
    dispatch: &'a D,
    peer: &'a Peer,
}

impl<'a, D: Dispatch> Connected<'a, D> {
    fn new(dispatch: &'a D, peer: &'a Peer) -> Self {
        dispatch.opened(peer);
        Self { dispatch, peer }
    }
}

impl<D: Dispatch> Drop for Connected<'_, D> {
    fn drop(&mut self) {
        self.dispatch.closed(self.peer);
    }
}

/// Counts and logs the end of a connection, once.
fn report(end: &End, peer: &Peer, client_id: Option<&str>) {
    let Peer { listener, address, .. } = peer;
    let cause = match end {
        End::Peer => "client",
        End::Io(error) if is_reset(error) => "client",
        End::Idle | End::Slow | End::InTheWay => "idle",
        End::Io(error) if error.kind() == io::ErrorKind::TimedOut => "idle",
        End::Stopping => "shutdown",
        End::Close(Close::TooLarge { .. }) => "limit",
        End::Close(_) | End::Io(_) | End::Panicked(_) => "error",
    };
    metrics::counter!(catalogue::CONNECTIONS_CLOSED_TOTAL, "listener" => listener.clone(), "cause" => cause)
        .increment(1);
    match end {
        End::Close(close) => report_close(close, listener, address, client_id),
        End::Panicked(error) => {
            metrics::counter!(catalogue::PANICS_TOTAL).increment(1);
            tracing::error!(%listener, peer = %address, client_id, error, "request handler panicked, connection closed");
        }
        end => tracing::debug!(%listener, peer = %address, client_id, "connection closed: {end}"),
    }
}

fn report_close(close: &Close, listener: &str, peer: &SocketAddr, client_id: Option<&str>) {
    if let Some(reason) = close.reason() {
        metrics::counter!(catalogue::PROTOCOL_ERRORS_TOTAL, "reason" => reason).increment(1);
    }
    match close {
        Close::Foreign(Foreign::Http) => {
            tracing::warn!(listener, %peer, "an HTTP client is on the Kafka port; metrics and health are on the admin listener");
        }
        Close::Foreign(Foreign::Tls) => {
            tracing::warn!(listener, %peer, "a TLS client is on a plaintext listener; set its security.protocol to PLAINTEXT");
        }
        close => tracing::debug!(listener, %peer, client_id, error = %close, "connection closed"),
    }
}

fn is_reset(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted
    )
}

/// A panic outside of a handler is the connection's own defect; it dies alone all the same.
fn report_panic(ended: Result<(), JoinError>, listener: &str) {
    if let Err(error) = ended
        && error.is_panic()
    {
        metrics::counter!(catalogue::PANICS_TOTAL).increment(1);
        tracing::error!(listener, %error, "connection panicked");
    }
}
