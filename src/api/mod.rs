//! One handler per API, one file per family, and the one table [`APIS`].

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use crate::config::Config;
use crate::log::catalog::Catalog;
use crate::wire::{Close, Segments};

/// What handlers share.
pub struct Broker {
    /// Settings in force.
    pub config: Arc<Config>,
    /// Topics and their partitions.
    pub catalog: Arc<Catalog>,
    /// The single writer.
    pub engine: crate::engine::Engine,
    /// Committed offsets of groups.
    pub offsets: Arc<crate::log::offsets::CommittedOffsets>,
}

/// One request's surroundings.
#[derive(Clone)]
pub struct Context {
    /// The broker.
    pub broker: Arc<Broker>,
    /// Version of the request.
    pub version: i16,
    /// Name of the listener it came through; Metadata answers with that listener's address.
    pub listener: Arc<str>,
    /// The client's own name for itself.
    pub client_id: Arc<str>,
    /// Where it comes from.
    pub peer: SocketAddr,
}

/// An answer that will be there later: a frame, nothing (acks=0), or the end of the connection.
pub type Pending = Pin<Box<dyn Future<Output = Result<Option<Segments>, Close>> + Send>>;

/// How a request is answered, and whether the connection may go on meanwhile.
pub enum Answer {
    /// Queued in order already (Produce): the next request may be read while this one is under way.
    Pipelined(Pending),
    /// The next request waits until this one is answered, and this one until all before it are.
    Serial(Pending),
}
