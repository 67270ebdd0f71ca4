//! `einmal group`: consumer groups as administrators see them, and where their members go on reading.
//!
//! What Kafka's `kafka-consumer-groups` does, with the same requests, which go to the coordinator of each group.

mod ask;
mod delete;
mod describe;
mod lag;
mod list;
mod members;
mod reset;

pub(super) use ask::{commit, committed};
use clap::Subcommand;

use super::CliError;

/// Groups: who is in them, how far they are behind, where they go on
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// List groups
    List(list::Options),
    /// Show the members of groups, and what they read
    Describe(describe::Options),
    /// Show how far groups are behind, partition by partition
    Lag(lag::Options),
    /// Set where a group without members goes on
    #[command(visible_alias = "seek", after_help = reset::EXAMPLES)]
    Reset(reset::Options),
    /// Delete groups without members, with their committed offsets
    Delete(delete::Options),
}

/// Does it.
///
/// # Errors
/// [`CliError`].
pub fn run(command: &Command) -> Result<(), CliError> {
    match command {
        Command::List(options) => list::run(options),
        Command::Describe(options) => describe::run(options),
        Command::Lag(options) => lag::run(options),
        Command::Reset(options) => reset::run(options),
        Command::Delete(options) => delete::run(options),
    }
}
