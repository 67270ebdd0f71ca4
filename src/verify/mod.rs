//! `einmal verify`: walks a data directory that no broker uses, and reports damage with place and range.
//!
//! Nothing is written. Each batch is read and compared with its key and its checksum, offsets must follow each other, and every other
//! row must decode and agree with the log that it is about. So must files of message ids. What a running broker would refuse at its start, and what it would find
//! only when somebody reads there, are both damage.

mod batch;
mod finding;
mod groups;
mod partition;
mod producers;
mod progress;
mod shelf;
mod slices;
mod transactions;
mod walk;

use std::path::PathBuf;

use clap::Args;

use finding::Report;
use walk::walk;

use crate::cli::output::Format;
use crate::store::rocks::{OpenError, ReadOnlyStore};
use crate::store::slices::SliceFolder;

/// What to look at.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Data directory of a broker that is not running
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// A table for people, or JSON for scripts
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Why nothing could be said.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The directory.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Nobody takes the result.
    #[error("cannot write the result: {0}")]
    Output(#[from] std::io::Error),
}

impl VerifyError {
    /// As that of a start that cannot open the directory.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Open(error) => error.exit_code(),
            Self::Output(_) => 1,
        }
    }
}

/// Walks, prints what is damaged to stdout and what was read to stderr, and tells whether all is sound.
///
/// # Errors
/// [`VerifyError`].
pub fn run(options: &Options) -> Result<bool, VerifyError> {
    let (store, inspected) = ReadOnlyStore::open(&options.data_dir)?;
    let mut report = Report::default();
    if let Some(damage) = &inspected.damage {
        report.damage("write-ahead log", None, format!("{} ({})", damage.what, damage.place));
    }
    walk(&store, &mut report);
    slices::check(&SliceFolder::of(&options.data_dir), &store, &mut report);
    report.progress.end();
    report.print(options.output)?;
    if inspected.is_torn {
        eprintln!(
            "einmal: the end of the write-ahead log is torn, as a crash leaves it; the next start cuts it off, and nothing \
             acknowledged as durable is lost"
        );
    }
    eprintln!("einmal: {}", report.sum());
    Ok(report.is_sound())
}

#[cfg(test)]
pub(crate) mod tests;
