//! Frames, headers, version ranges; what closes a connection and why. Pure.

use bytes::{Bytes, BytesMut};

/// One request as it arrived: header parsed, body not.
#[derive(Debug)]
pub struct Request {
    /// Parsed header.
    pub header: RequestHeader,
    /// The bytes after the header; the connection's own buffer, not shared.
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

/// Why a connection is closed; the label of the metric, and one debug line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Close {
    /// Placeholder, the variants are defined with the frame reader.
    #[error("{0}")]
    Protocol(String),
}
