//! A client of any Kafka, for what is asked once and waited for: blocking, one request at a time.
//!
//! [`Connection`] is one broker, [`Cluster`] all of them, found from any one. What is measured under load has a client of its own in
//! [`crate::bench`]. [`admin`] is the other port of an einmal, for what Kafka's protocol has no words for.

pub mod admin;
mod bootstrap;
mod cluster;
mod connection;
mod deadline;
mod error;
mod printable;
mod retry;
mod waiting;

pub use bootstrap::{BadAddress, addresses, bootstrap, open_any};
pub use cluster::{Cluster, NodeId, PartitionLeader, host_and_port};
pub use connection::{Connection, put_request};
pub use deadline::Until;
pub use error::{ClientError, Peer};
pub use printable::Printable;
pub use retry::{COORDINATOR_MOVES, until_ready};
pub use waiting::tell_after;
