//! Why a command did not do what it was asked to.

use std::io;

use super::advice;
use crate::client::{ClientError, Printable};

/// Each says what happened in one sentence, which may hold names and words of others: shown as [`Printable`].
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The cluster could not be asked, or said no; what to do, where that is known.
    #[error("{0}{advice}", advice = advice::after(.0))]
    Client(#[from] ClientError),
    /// What is asked about is not there.
    #[error("{}", Printable(.0))]
    NotFound(String),
    /// It is there, and not as it has to be for this.
    #[error("{}", Printable(.0))]
    Unfit(String),
    /// The admin port cannot be asked, or cannot tell.
    #[error("{}", Printable(.0))]
    Admin(String),
    /// Nobody takes the result.
    #[error("cannot write the result: {0}")]
    Output(#[from] io::Error),
}

impl CliError {
    /// That some of what was asked for is not there: their names, quoted, follow `why`. None if there are none.
    pub(super) fn missing(why: &str, names: &[String]) -> Option<Self> {
        let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
        (!names.is_empty()).then(|| Self::NotFound(format!("{why} {}", quoted.join(", "))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_moves_no_cursor() {
        const EVIL: &str = "\u{1b}[2J\u{9b}1A";
        for error in [CliError::NotFound, CliError::Unfit, CliError::Admin].map(|error| error(EVIL.to_owned())) {
            assert_eq!(error.to_string(), "\u{fffd}[2J\u{fffd}1A");
        }
    }
}
