//! `einmal txn`: transactions as administrators see them, and what they do about those that hang.
//!
//! What Kafka's `kafka-transactions` does, with the same requests: coordinators are asked for transactional ids, leaders of partitions
//! for producers.

mod abort;
mod ask;
mod describe;
mod find_hanging;
mod list;
mod open;
mod producers;

use clap::Subcommand;
pub(super) use open::{Holder, holder_of};

use super::CliError;

/// Transactions: who has one open, since when, and what keeps consumers waiting
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// List transactional ids, with the state of their transactions
    List(list::Options),
    /// Show transactional ids in full: epoch, timeout, when a transaction began, and what it writes to
    Describe(describe::Options),
    /// Show the producers that a partition knows of, and where their transactions begin
    Producers(producers::Options),
    /// Abort an open transaction: of a transactional id, which fences its producer, or one that hangs in a partition
    #[command(after_help = abort::EXAMPLES)]
    Abort(abort::Options),
    /// Find transactions that nobody will end: open in a partition, and unknown to their coordinator
    #[command(after_help = find_hanging::EXAMPLES)]
    FindHanging(find_hanging::Options),
}

/// Does it.
///
/// # Errors
/// [`CliError`].
pub fn run(command: &Command) -> Result<(), CliError> {
    match command {
        Command::List(options) => list::run(options),
        Command::Describe(options) => describe::run(options),
        Command::Producers(options) => producers::run(options),
        Command::Abort(options) => abort::run(options),
        Command::FindHanging(options) => find_hanging::run(options),
    }
}
