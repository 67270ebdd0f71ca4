//! Why a run cannot go on. What a broker answers to a request under load is a measurement, not an error.

use std::io;

use crate::client::ClientError;
use crate::types::ErrorCode;

/// Each says what happened in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The command line asks for something that does not fit together.
    #[error("{0}")]
    Usage(String),
    /// No connection.
    #[error("cannot connect to {address}: {error}")]
    Connect {
        /// As given.
        address: String,
        /// From the system.
        error: io::Error,
    },
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
    /// Bytes that are no answer to what was asked.
    #[error("the answer to {api} does not decode: {detail}")]
    Decode {
        /// What was asked.
        api: &'static str,
        /// What did not fit.
        detail: String,
    },
    /// The broker lacks what the run needs.
    #[error("the broker does not serve {api} in versions {min} to {max}")]
    Unsupported {
        /// API.
        api: &'static str,
        /// Lowest version that would do.
        min: i16,
        /// Highest version that would do.
        max: i16,
    },
    /// The broker refused a step of the preparation.
    #[error("{api} was refused: {error} {message}")]
    Refused {
        /// What was asked.
        api: &'static str,
        /// The answer.
        error: ErrorCode,
        /// What the broker says to it; may be empty.
        message: String,
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

impl From<ClientError> for BenchError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Connect { address, error } => Self::Connect { address, error },
            ClientError::Broken { api, error } => Self::Broken { doing: api, error },
            ClientError::Decode { api, detail } => Self::Decode { api, detail },
            ClientError::Unsupported { api, min, max } => Self::Unsupported { api, min, max },
            ClientError::Refused { api, error, message } => Self::Refused { api, error, message },
            error @ (ClientError::NoBroker(_) | ClientError::NoTopic(_)) => Self::Usage(error.to_string()),
        }
    }
}

impl BenchError {
    pub(super) fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::System { what, error }
    }
}
