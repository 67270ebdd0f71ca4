//! Why a run cannot go on. What a broker answers to a request under load is a measurement, not an error.

use std::io;

use crate::client::ClientError;

/// Each says what happened in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The command line asks for something that does not fit together.
    #[error("{0}")]
    Usage(String),
    /// Something could not be asked, or was refused, or its answer does not decode.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A connection broke.
    #[error("the connection broke while {doing}: {error}")]
    Broken {
        /// What was being done.
        doing: &'static str,
        /// From the system.
        error: io::Error,
    },
    /// The broker closed a connection.
    #[error("the broker closed a connection with {unanswered} requests unanswered")]
    Closed {
        /// Requests that were sent on it and not answered.
        unanswered: usize,
    },
    /// The system refused what a run needs.
    #[error("the system refused {what}: {error}")]
    System {
        /// What was asked of it.
        what: &'static str,
        /// Its answer.
        error: io::Error,
    },
}

impl BenchError {
    pub(super) fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::System { what, error }
    }
}
