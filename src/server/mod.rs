//! Listeners and connections: bytes in, requests to the table of APIs, answers out.
//!
//! [`bind`] takes the sockets, [`serve`] accepts on them until the broker stops. One task serves one connection
//! (`connection`): it receives whole frames (`inbound`) under the memory budget of all requests (`budget`), hands them to
//! their API (`table`), and writes the answers in order (`outbound`).
//!
//! Invariant: what a peer makes grow has a limit in the configuration: connections (`max.connections`,
//! `max.connections.per.ip`, `max.connection.creation.rate`), request bytes (`queued.max.request.bytes`,
//! `einmal.connection.request.bytes.max`, `socket.request.max.bytes`), answers (`einmal.fetch.memory.bytes`), answers
//! that are being made (`api::turns`), time
//! (`connections.max.idle.ms`, `einmal.request.frame.timeout.ms`, `einmal.request.memory.stall.ms`,
//! `einmal.fetch.memory.stall.ms`).
//!
//! Kafka's `SocketServer` and `KafkaRequestHandler` in one.

mod bind;
mod budget;
mod connection;
mod creation_rate;
mod in_flight;
mod inbound;
mod listener;
mod outbound;
pub mod reach;
mod slots;
mod table;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Duration, Instant, MissedTickBehavior};

use crate::api::clients::Clients;
use crate::api::{self, Answer, Api, Broker, Context};
use crate::metrics::BOOTSTRAP_ONLY_CONNECTIONS_TOTAL;
use crate::metrics::phases::RequestPhases;
use crate::types::Arrival;
use crate::wire::Request;

pub use bind::{BindError, Bound, bind, warn_of_unknown_hosts};

use budget::RequestBudget;
use connection::{Limits, Peer, Shared};
use creation_rate::CreationRates;
use slots::{ConnectionLimits, ConnectionSlots};
use table::{Dispatch, Stage, Table};

/// Between two looks for connections that only bootstrap.
const JUDGE_INTERVAL: Duration = Duration::from_secs(5);

/// Serves `bound` until `stopping` is true, or its sender gone, and all connections have drained: no new ones are accepted,
/// requests under way are answered (parked ones see [`Context::stopping`]), then connections are closed.
///
/// How long that may take is the caller's: aborting the handle ends what is left at once. Of connections there are never more than
/// `connections_fitting`, whatever `max.connections` says.
pub fn serve(
    bound: Vec<Bound>,
    broker: Arc<Broker>,
    phases: Arc<RequestPhases>,
    connections_fitting: usize,
    stopping: watch::Receiver<bool>,
) -> JoinHandle<()> {
    tokio::spawn(tell_bootstrap_only(broker.clients.clone(), stopping.clone()));
    let config = broker.config.load_full();
    let settings = broker.clone();
    let slots = ConnectionSlots::new(move || {
        let config = settings.config.load();
        ConnectionLimits { all: config.connections_max.min(connections_fitting), per_ip: config.connections_max_per_ip }
    });
    let settings = broker.clone();
    let rate = move || settings.config.load().connection_creation_rate_max;
    let settings = broker.clone();
    let rate_of =
        move |listener: &str| settings.config.load().listener_connection_creation_rates.get(listener).copied();
    let fetch_memory = broker.fetch_memory.clone();
    let dispatch = BrokerDispatch { broker, stopping: stopping.clone() };
    let shared = Shared {
        table: Table::new(dispatch.apis(), config.socket_request_max_bytes, &phases),
        dispatch,
        budget: RequestBudget::new(config.queued_max_request_bytes),
        fetch_memory,
        limits: Limits::new(&config),
        accepted: AtomicU64::new(0),
    };
    let rates = CreationRates::new(rate, bound.iter().map(|bound| &*bound.endpoint.listener), rate_of);
    listen(bound, Arc::new(shared), slots, rates, stopping)
}

fn listen<D: Dispatch>(
    bound: Vec<Bound>,
    shared: Arc<Shared<D>>,
    slots: Arc<ConnectionSlots>,
    rates: CreationRates,
    stopping: watch::Receiver<bool>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut listeners = JoinSet::new();
        for bound in bound {
            let rates = rates.of(&bound.endpoint.listener);
            listeners.spawn(listener::accept(bound, shared.clone(), slots.clone(), rates, stopping.clone()));
        }
        while listeners.join_next().await.is_some() {}
    })
}

/// Counts the connections that only bootstrap, until the broker stops.
async fn tell_bootstrap_only(clients: Arc<Clients>, mut stopping: watch::Receiver<bool>) {
    let mut interval = tokio::time::interval(JUDGE_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = connection::stopped(&mut stopping) => return,
            _ = interval.tick() => {}
        }
        for listener in clients.judge(Instant::now()) {
            metrics::counter!(BOOTSTRAP_ONLY_CONNECTIONS_TOTAL, "listener" => listener).increment(1);
        }
    }
}

/// The broker behind its table.
struct BrokerDispatch {
    broker: Arc<Broker>,
    stopping: watch::Receiver<bool>,
}

impl Dispatch for BrokerDispatch {
    fn apis(&self) -> &'static [Api] {
        api::APIS
    }

    fn answer(&self, api: &'static Api, peer: &Peer, arrival: Arrival, request: Request) -> Answer {
        let context = Context {
            broker: self.broker.clone(),
            listener: peer.listener.clone(),
            peer: peer.address,
            arrival,
            stopping: self.stopping.clone(),
        };
        (api.handler)(context, request)
    }

    fn opened(&self, peer: &Peer) {
        self.broker.clients.opened(peer.connection);
    }

    fn reached(&self, stage: Stage, peer: &Peer, client_id: Option<&str>) {
        let (clients, address) = (&self.broker.clients, peer.address.ip());
        match stage {
            Stage::Connected => {}
            Stage::Bootstraps => {
                clients.bootstraps(peer.connection, &peer.listener, address, client_id, Instant::now());
            }
            Stage::Works => clients.works(peer.connection, address, client_id),
        }
    }

    fn closed(&self, peer: &Peer) {
        self.broker.clients.closed(peer.connection);
    }
}
