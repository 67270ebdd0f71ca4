//! `einmal config`: settings of topics, brokers and groups as administrators see and change them.
//!
//! What Kafka's `kafka-configs` does, with the same requests.

mod alter;
mod describe;
mod resource;

use clap::Subcommand;

use super::CliError;

/// Settings of topics, brokers and groups: describe, alter
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Show what is set, and with --all what is not
    Describe(describe::Options),
    /// Set, unset, append to and subtract from settings
    Alter(alter::Options),
}

/// Does it.
///
/// # Errors
/// [`CliError`].
pub fn run(command: &Command) -> Result<(), CliError> {
    match command {
        Command::Describe(options) => describe::run(options),
        Command::Alter(options) => alter::run(options),
    }
}
