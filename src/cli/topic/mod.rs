//! `einmal topic`: topics as administrators see and change them.
//!
//! What Kafka's `kafka-topics` and, for settings of topics, `kafka-configs` do, with the same requests.

mod alter;
mod create;
mod delete;
mod describe;
mod list;
mod size;
mod trim;

use clap::Subcommand;

use super::CliError;

/// What became of each step of each topic.
const STEPS: &[&str] = &["topic", "step", "outcome", "reason"];

/// Topics: create, list, describe, alter, trim, delete
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Create topics
    Create(create::Options),
    /// List topics
    List(list::Options),
    /// Show the partitions of topics, or with --settings what is set on them
    Describe(describe::Options),
    /// Add partitions, set and unset settings
    Alter(alter::Options),
    /// Delete the oldest records of topics
    #[command(after_help = trim::EXAMPLES)]
    Trim(trim::Options),
    /// Delete topics with all their records
    Delete(delete::Options),
}

/// Does it.
///
/// # Errors
/// [`CliError`].
pub fn run(command: &Command) -> Result<(), CliError> {
    match command {
        Command::Create(options) => create::run(options),
        Command::List(options) => list::run(options),
        Command::Describe(options) => describe::run(options),
        Command::Alter(options) => alter::run(options),
        Command::Trim(options) => trim::run(options),
        Command::Delete(options) => delete::run(options),
    }
}
