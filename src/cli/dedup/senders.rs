//! `einmal dedup senders`.

use clap::Args;

use super::ask::{AdminTarget, number, rows, text};
use crate::cli::CliError;
use crate::cli::output::Listing;

/// Who.
#[derive(Debug, Clone, Args)]
pub struct Options {
    #[command(flatten)]
    target: AdminTarget,
}

pub(super) fn run(options: &Options) -> Result<(), CliError> {
    let answer = options.target.ask("/api/v1/dedup")?;
    let mut listing = Listing::new(&["client_id", "topic", "known_messages", "retried_records", "missed_max"]);
    for row in rows(&answer, "senders") {
        listing.row(vec![
            text(&row, "client_id"),
            text(&row, "topic"),
            number(&row, "known_messages"),
            number(&row, "retried_records"),
            number(&row, "missed_max"),
        ]);
    }
    Ok(listing.print(options.target.output)?)
}
