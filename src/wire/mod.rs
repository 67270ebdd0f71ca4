//! Frames, headers, version ranges; what closes a connection and why. Pure.
//!
//! [`frame`] cuts the byte stream into frames, [`header`] parses what precedes a request's body, [`message`] decodes bodies
//! and encodes answers with the crate's codecs. What carries records has codecs of its own: [`produce_request`] splits batches
//! out of the frame, [`fetch_response`] encodes Fetch around refcounted slices of the log.

pub mod fetch_response;
pub mod frame;
pub mod header;
pub mod message;
mod primitive;
pub mod produce_request;

use bytes::{Bytes, BytesMut};

use crate::types::ErrorCode;

/// One request as it arrived: header parsed, body not.
#[derive(Debug)]
pub struct Request {
    /// Parsed header.
    pub header: RequestHeader,
    /// The bytes after the header; the frame's own allocation, shared with no other frame.
    pub body: BytesMut,
    /// Bytes of the whole frame, for budgets and metrics.
    pub frame_bytes: usize,
}

/// Header of a request, versions 0 to 2.
#[derive(Debug, Clone)]
pub struct RequestHeader {
    /// Which API.
    pub api_key: i16,
    /// Which version of it.
    pub api_version: i16,
    /// Echoed bit for bit.
    pub correlation_id: i32,
    /// Invalid UTF-8 is replaced.
    pub client_id: Option<String>,
}

/// A whole response frame, length and header included, in pieces that are written with vectored writes.
pub type Segments = Vec<Bytes>;

/// A protocol that is not Kafka's, told by its first four bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// An HTTP request line.
    Http,
    /// A TLS ClientHello.
    Tls,
}

/// Why the broker closes a connection. [`Close::reason`] is the label of the metric; the text is one debug line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Close {
    /// The frame's length is negative or too short for a header.
    #[error("frame length {length} is not one of a request")]
    BadLength {
        /// As declared.
        length: i32,
    },
    /// The frame is longer than this connection may send in its state, or this API takes.
    #[error("frame of {length} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// As declared.
        length: usize,
        /// The limit it broke, in bytes.
        limit: usize,
    },
    /// The peer speaks another protocol.
    #[error("bytes of another protocol: {0:?}")]
    Foreign(Foreign),
    /// An API that is not in `api::APIS`.
    #[error("unsupported api key {api_key}")]
    UnsupportedApi {
        /// As received.
        api_key: i16,
    },
    /// A version outside the advertised range.
    #[error("unsupported version {api_version} of api key {api_key}")]
    UnsupportedVersion {
        /// As received.
        api_key: i16,
        /// As received.
        api_version: i16,
    },
    /// Header or body does not decode.
    #[error("request of api key {api_key} version {api_version} does not decode: {detail}")]
    Decode {
        /// As received.
        api_key: i16,
        /// As received.
        api_version: i16,
        /// What did not fit.
        detail: String,
    },
    /// An answer does not encode at the request's version: a defect of ours, seen by the all-versions tests first.
    #[error("answer to api key {api_key} version {api_version} does not encode: {detail}")]
    Encode {
        /// As received.
        api_key: i16,
        /// As received.
        api_version: i16,
        /// What did not fit.
        detail: String,
    },
    /// A produce with acks=0 failed; closing is the only way to tell.
    #[error("produce with acks=0 failed: {error}")]
    UnacknowledgedProduceFailed {
        /// What a client that waits would have been told.
        error: ErrorCode,
    },
    /// A late request of a transactional producer that has gone on to a younger connection; see
    /// [`TransactionRefused::Superseded`](crate::transaction::TransactionRefused::Superseded).
    #[error("the transactional producer has gone on to a younger connection")]
    Superseded,
    /// The engine has ended; the process follows.
    #[error("the broker is ending")]
    Ending,
}

impl Close {
    /// Label of `einmal_protocol_errors_total`, or none if this is no protocol error.
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            Self::BadLength { .. } => Some("bad_length"),
            Self::TooLarge { .. } => Some("too_large"),
            Self::Foreign(Foreign::Http) => Some("http_on_kafka_port"),
            Self::Foreign(Foreign::Tls) => Some("tls_on_plaintext"),
            Self::UnsupportedApi { .. } => Some("unsupported_api"),
            Self::UnsupportedVersion { .. } => Some("unsupported_version"),
            Self::Decode { .. } => Some("decode"),
            Self::Encode { .. } | Self::UnacknowledgedProduceFailed { .. } | Self::Superseded | Self::Ending => None,
        }
    }
}
