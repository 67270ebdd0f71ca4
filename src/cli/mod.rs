//! What people do with a cluster from the command line: `einmal topic …`, `einmal group …`, `einmal txn …`,
//! `einmal doctor`, against einmal or any other Kafka.
//!
//! Each subcommand has a folder, and each thing it does a file. All of them take the same [`target`] and show what they found in the
//! same two forms ([`output`]): a table for people, JSON with the same members for scripts. Data goes to stdout, all else to
//! stderr; nothing is asked back.

mod advice;
mod append;
pub mod doctor;
mod error;
pub mod group;
mod offsets;
mod output;
mod read;
mod span;
mod target;
pub mod topic;
pub mod txn;

pub use error::CliError;

use kafka_protocol::protocol::StrBytes;

/// `ConfigResource.Type.TOPIC` in Kafka.
const TOPIC_RESOURCE: i8 = 2;

/// As requests carry it.
fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
