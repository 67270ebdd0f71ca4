//! `einmal bench`: measures any broker that speaks Kafka's protocol, with one thread and one event loop.
//!
//! Requests are sent when they are due, whether or not the broker keeps up, and their latency counts from then
//! ([`schedule`]). Batches are encoded once ([`payload`]); what a request costs the client is little more than sending it, and
//! that is printed with every result, because the client shares the machine with what it measures. [`limits`] measures that
//! machine itself.
//!
//! It uses what lies at the bottom of the library, [`crate::record`] and [`crate::types`], [`crate::client`] for what is asked once,
//! and nothing of the broker.

mod admin;
mod arguments;
mod checksum;
mod clock;
mod connection;
mod connections;
mod consumer;
mod cursor;
mod drive;
mod error;
mod fetch_codec;
mod group_member;
mod groups;
pub mod limits;
mod measure;
mod null_server;
mod payload;
mod produce_codec;
mod producer;
mod progress;
mod random;
mod reactor;
mod report;
mod request;
mod runs;
mod schedule;
mod transactional_producer;
mod transactions;
mod verify;

pub use arguments::Command;
pub use error::BenchError;
pub use schedule::Arrival;

use crate::record::codec::Codec;

/// Runs what the command line asks for, to its end. Answers whether all went well: no errors, and everything verified that was
/// to be verified.
pub fn run(command: &Command) -> Result<bool, BenchError> {
    let (report, file) = match command {
        Command::Produce(produce) => (runs::produce(produce)?, &produce.target.json),
        Command::Consume(consume) => (runs::consume(consume)?, &consume.target.json),
        Command::Limits(options) => {
            let found = limits::run(options).map_err(BenchError::system("what measures the machine"))?;
            return report::print(&found).map(|()| true);
        }
        Command::E2e(end_to_end) => (runs::end_to_end(end_to_end)?, &end_to_end.target.json),
        Command::Connections(connections) => (connections::hold(connections)?, &connections.json),
        Command::Groups(arguments) => {
            let found = groups::run(arguments)?;
            report::publish(&found.table(), &found.json(), arguments.json.as_deref())?;
            return Ok(found.is_clean());
        }
        Command::Transactions(arguments) => {
            let found = transactions::run(arguments)?;
            report::publish(&found.table(), &found.json(), arguments.json.as_deref())?;
            return Ok(found.is_clean());
        }
        Command::NullServer(arguments) => return null_server::serve(arguments).map(|never| match never {}),
    };
    report::publish(&report.table(), &report.json(), file.as_deref())?;
    Ok(report.is_clean())
}
