//! Why something could not be asked, or was refused.

use std::io;

use crate::types::ErrorCode;

/// Each says what happened in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection.
    #[error("cannot connect to {address}: {error}")]
    Connect {
        /// Host and port.
        address: String,
        /// From the system.
        error: io::Error,
    },
    /// A connection broke, or there was no answer in time.
    #[error("no answer to {api}: {error}")]
    Broken {
        /// What was asked.
        api: &'static str,
        /// From the system.
        error: io::Error,
    },
    /// Bytes that are no answer to what was asked, or a request that its version has no room for.
    #[error("{api} does not encode or decode: {detail}")]
    Decode {
        /// What was asked.
        api: &'static str,
        /// What did not fit.
        detail: String,
    },
    /// The broker lacks what is needed.
    #[error("the broker does not serve {api} in versions {min} to {max}")]
    Unsupported {
        /// API.
        api: &'static str,
        /// Lowest version that would do.
        min: i16,
        /// Highest version that would do.
        max: i16,
    },
    /// The broker said no.
    #[error("{api} was refused: {error} {message}")]
    Refused {
        /// What was asked.
        api: &'static str,
        /// The answer.
        error: ErrorCode,
        /// What the broker says to it; may be empty.
        message: String,
    },
    /// A broker that others name and that is not among those of the cluster.
    #[error("there is no broker {0} in the cluster")]
    NoBroker(i32),
    /// A topic that is not there.
    #[error("there is no topic {0}")]
    NoTopic(String),
}

impl ClientError {
    /// Takes the code of an answer to `api` for an error unless it is NONE.
    ///
    /// # Errors
    /// [`ClientError::Refused`].
    pub fn check(api: &'static str, error_code: i16, message: Option<&str>) -> Result<(), Self> {
        match ErrorCode(error_code) {
            ErrorCode::NONE => Ok(()),
            error => Err(Self::Refused { api, error, message: message.unwrap_or_default().to_owned() }),
        }
    }
}
