//! Why something could not be asked, or was refused. What brokers say in their own words is shown as [`Printable`].

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::{BadAddress, Printable};
use crate::types::ErrorCode;

/// Each says what happened in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// What was given is no address of a broker.
    #[error(transparent)]
    Address(#[from] BadAddress),
    /// Several addresses were given, and none of them answers; why not.
    #[error("none of the {} brokers answers: {}", .0.len(), told(.0))]
    NoneAnswers(Vec<(String, ClientError)>),
    /// No connection.
    #[error("cannot connect to {address}: {error}", address = Printable(.address))]
    Connect {
        /// Host and port.
        address: String,
        /// From the system.
        error: io::Error,
    },
    /// There was no answer in time.
    #[error("{address} did not answer {api} within {patience:?}")]
    Silent {
        /// Host and port.
        address: SocketAddr,
        /// What was asked.
        api: &'static str,
        /// How long was waited.
        patience: Duration,
    },
    /// A connection broke.
    #[error("no answer to {api}: {error}")]
    Broken {
        /// What was asked.
        api: &'static str,
        /// From the system.
        error: io::Error,
    },
    /// Something else than Kafka's protocol is spoken there.
    #[error("{address} speaks {peer}, not Kafka's protocol in plaintext")]
    NotKafka {
        /// Host and port.
        address: SocketAddr,
        /// What answered.
        peer: Peer,
    },
    /// Bytes that are no answer to what was asked, or a request that its version has no room for.
    #[error("{api} does not encode or decode: {detail}", detail = Printable(.detail))]
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
    #[error(
        "{api} was refused: {error}{gap}{message}",
        gap = if .message.is_empty() { "" } else { " " },
        message = Printable(.message)
    )]
    Refused {
        /// What was asked.
        api: &'static str,
        /// The answer.
        error: ErrorCode,
        /// What the broker says to it; may be empty.
        message: String,
    },
    /// A broker is not where the cluster tells its clients that it is.
    #[error(
        "{error}; {told_by} told this address of broker {id} (advertised.listeners): `einmal doctor --bootstrap {told_by}` shows which \
         setting to change"
    )]
    Told {
        /// Who told the address.
        told_by: SocketAddr,
        /// The broker's id.
        id: i32,
        /// What became of the connection.
        error: Box<ClientError>,
    },
    /// A broker that others name and that is not among those of the cluster.
    #[error("there is no broker {0} in the cluster")]
    NoBroker(i32),
    /// A topic that is not there.
    #[error("there is no topic {}", Printable(.0))]
    NoTopic(String),
}

/// Each with its address, which most name themselves.
fn told(errors: &[(String, ClientError)]) -> String {
    let told = errors.iter().map(|(address, error)| {
        let error = error.to_string();
        if error.contains(address.as_str()) { error } else { format!("{address}: {error}") }
    });
    told.collect::<Vec<_>>().join("; ")
}

/// Who answers in place of a broker, by the first four bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A TLS record: an alert, mostly, about bytes that are no handshake.
    Tls,
    /// A web server.
    Http,
    /// Anything else.
    Unknown,
}

impl Peer {
    /// By what stands where a frame has its length; none if it may be one, of at most `frame_bytes_max`.
    pub fn of_length(bytes: [u8; 4], frame_bytes_max: usize) -> Option<Self> {
        match bytes {
            // Content types change_cipher_spec to heartbeat, then a major version that has been 3 since SSL 3.0.
            [20..=24, 3, 0..=4, _] => Some(Self::Tls),
            [b'H', b'T', b'T', b'P'] => Some(Self::Http),
            length if u32::from_be_bytes(length) as usize > frame_bytes_max => Some(Self::Unknown),
            _ => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls => "TLS",
            Self::Http => "HTTP",
            Self::Unknown => "something else",
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_brokers_say_moves_no_cursor() {
        const EVIL: &str = "\u{1b}]0;title\u{7}\r\u{9b}2J";
        let (api, text) = ("Metadata", EVIL.to_owned());
        for error in [
            ClientError::Connect { address: text.clone(), error: io::Error::other("refused") },
            ClientError::Decode { api, detail: text.clone() },
            ClientError::check(api, 3, Some(EVIL)).expect_err("it is none"),
            ClientError::NoTopic(text),
        ] {
            let said = error.to_string();
            assert!(!said.contains(char::is_control) && said.contains("]0;title"), "{said:?}");
        }
    }

    #[test]
    fn peers_are_told_apart_by_their_first_bytes() {
        for (bytes, peer) in [
            ([0x15, 3, 3, 0], Some(Peer::Tls)),
            (*b"HTTP", Some(Peer::Http)),
            (*b"220 ", Some(Peer::Unknown)),
            ([0, 0, 1, 0], None),
            // A frame of 352 MB would begin as an alert does; none is that large.
            ([0, 0x15, 3, 3], None),
        ] {
            assert_eq!(Peer::of_length(bytes, 128 << 20), peer, "{bytes:?}");
        }
    }
}
