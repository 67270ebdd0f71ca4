//! `einmal dedup`: what an einmal remembers of the messages of its topics, asked of its admin port.
//!
//! Kafka's protocol has no words for it, and other brokers nothing of the kind.

mod ask;
mod find;
mod senders;
mod status;

use clap::Subcommand;

use super::CliError;

/// Message ids that a broker remembers: how many, for how long, where one lies, and who sends them again
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Show of each topic what it remembers, and how much of what was sent it knew
    Status(status::Options),
    /// Look whether a message is remembered, and where it lies
    #[command(after_help = find::EXAMPLES)]
    Find(find::Options),
    /// Show who sent most of what was there already
    Senders(senders::Options),
}

/// Does it.
///
/// # Errors
/// [`CliError`].
pub fn run(command: &Command) -> Result<(), CliError> {
    match command {
        Command::Status(options) => status::run(options),
        Command::Find(options) => find::run(options),
        Command::Senders(options) => senders::run(options),
    }
}
