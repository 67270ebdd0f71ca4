//! `einmal doctor`: walks the way of a client, from the name of the broker to a transaction, and says in words which setting to change.
//!
//! Works against any Kafka, with nothing but its protocol. What it makes on the way (a topic, a group) it deletes; a transactional id
//! cannot be deleted and is forgotten by the broker as any other (`transactional.id.expiration.ms`).

mod exchange;
mod finding;
mod reach;

use std::time::Duration;

use clap::Args;

use super::output::Format;
use super::target::tell_of_waiting;
use super::{CliError, now, span};
use crate::client::bootstrap;
use finding::Walk;

/// What is asked, and how patiently.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// A broker of the cluster, or several with commas; else EINMAL_BOOTSTRAP, else localhost:9092
    #[arg(long, visible_alias = "bootstrap", value_name = "HOST:PORT,...")]
    bootstrap_server: Option<String>,
    /// A table for people, or JSON for scripts
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    /// How long to wait in each step, such as 500ms, 5s
    #[arg(long, value_name = "SPAN", default_value = "5s", value_parser = span::parse)]
    timeout: Duration,
    /// Only look: no topic is created, nothing is written
    #[arg(long)]
    read_only: bool,
}

pub(super) const CLIENT_ID: &str = "einmal-doctor";

/// Walks, prints what was found, and tells whether nothing failed.
///
/// # Errors
/// [`CliError::Output`]; what is wrong with a broker is a finding.
pub fn run(options: &Options) -> Result<bool, CliError> {
    let bootstrap = bootstrap(options.bootstrap_server.as_deref());
    let patience = options.timeout.max(Duration::from_millis(1));
    tell_of_waiting(patience);
    let mut walk = Walk::default();
    if let Some(reached) = reach::reach(&mut walk, &bootstrap, patience)
        && !options.read_only
    {
        exchange::exchange(&mut walk, reached, &fresh_name(), patience);
    }
    walk.print(&bootstrap, options.output)?;
    Ok(walk.is_well())
}

/// A name for what is made, which nothing else has.
fn fresh_name() -> String {
    format!("einmal-doctor-{}-{}", now(), std::process::id())
}
