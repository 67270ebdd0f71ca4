//! Which cluster, and how what is found is shown: the same flags for all subcommands.

use std::time::Duration;

use clap::Args;

use super::output::Format;
use super::{CliError, span};
use crate::client::{Cluster, bootstrap, tell_after};

/// How brokers see who asks.
const CLIENT_ID: &str = "einmal-cli";

/// How long nothing may be seen of a command: then it says what it waits for.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// Says on stderr, once, what a broker has not answered for a while. `patience` is how long it may take at the most.
pub(super) fn tell_of_waiting(patience: Duration) {
    tell_after(SILENCE_MAX, move |what| {
        let most = span::show(i64::try_from(patience.as_millis()).unwrap_or(i64::MAX));
        eprintln!("einmal: waiting for {what}, for {most} at most (--timeout)");
    });
}

/// Flags of all subcommands.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// A broker of the cluster, or several with commas, of which the first that answers is asked; else EINMAL_BOOTSTRAP, else localhost:9092
    #[arg(long, visible_alias = "bootstrap", value_name = "HOST:PORT,...", help_heading = "Cluster and output")]
    bootstrap_server: Option<String>,
    /// A table for people, or JSON for scripts
    #[arg(short, long, value_enum, default_value_t, help_heading = "Cluster and output")]
    pub(super) output: Format,
    /// How long to wait for a broker, such as 500ms, 30s, 2m
    #[arg(long, value_name = "SPAN", default_value = "30s", value_parser = span::parse, help_heading = "Cluster and output")]
    timeout: Duration,
}

impl Target {
    /// Connects.
    ///
    /// # Errors
    /// [`CliError`].
    pub(super) fn connect(&self) -> Result<Cluster, CliError> {
        tell_of_waiting(self.timeout());
        Ok(Cluster::connect(&bootstrap(self.bootstrap_server.as_deref()), CLIENT_ID, self.timeout())?)
    }

    /// The same, as requests carry it.
    pub(super) fn timeout_ms(&self) -> i32 {
        i32::try_from(self.timeout().as_millis()).unwrap_or(i32::MAX)
    }

    /// How long to wait for a broker; not zero, which a socket takes for ever.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout.max(Duration::from_millis(1))
    }
}
