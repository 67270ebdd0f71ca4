//! What a connection asks of the API table: limits, header versions, metrics. No I/O.

use std::sync::{Arc, OnceLock};

use bytes::BytesMut;
use metrics::{Counter, Gauge, Histogram};

use crate::api::apis::API_VERSIONS;
use crate::api::{Answer, Api};
use crate::metrics as catalogue;
use crate::metrics::phases::{ApiClass, RequestPhases};
use crate::types::Arrival;
use crate::wire::header::{self, HeaderVersion};
use crate::wire::{Close, Request};

use super::connection::Peer;

const METADATA: i16 = 3;
const FIND_COORDINATOR: i16 = 10;
const DESCRIBE_CLUSTER: i16 = 60;

/// Largest frame of a key that nobody serves: enough to read the client id and to close with a clear line.
const UNKNOWN_FRAME_BYTES_MAX: usize = 64 * 1024;

/// Frames up to here cost about their size once decoded.
const DECODE_BYTES_PLAIN: usize = 64 * 1024;

/// What each byte above that may become: elements are larger in memory than on the wire, 19 times in the worst case
/// measured.
const DECODE_MULTIPLE: usize = 16;

/// Answers requests by the table. The broker does; tests bring their own.
pub(crate) trait Dispatch: Send + Sync + 'static {
    /// The table.
    fn apis(&self) -> &'static [Api];

    /// Begins to answer a request of `api`.
    fn answer(&self, api: &'static Api, peer: &Peer, arrival: Arrival, request: Request) -> Answer;

    /// A connection has been opened.
    fn opened(&self, _peer: &Peer) {}

    /// A connection has come further than before.
    fn reached(&self, _stage: Stage, _peer: &Peer, _client_id: Option<&str>) {}

    /// A connection has ended.
    fn closed(&self, _peer: &Peer) {}
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// It has asked for nothing, or for what can be asked.
    Connected,
    /// It has asked where the broker is, and for nothing else.
    Bootstraps,
    /// It has asked for more.
    Works,
}

impl Stage {
    /// How far a request of this API brings a connection. Some clients ask for a coordinator where they ask for metadata.
    pub(crate) fn of(api_key: i16) -> Self {
        match api_key {
            API_VERSIONS => Self::Connected,
            METADATA | FIND_COORDINATOR | DESCRIBE_CLUSTER => Self::Bootstraps,
            _ => Self::Works,
        }
    }
}

/// The table with each line's metrics.
pub(crate) struct Table {
    lines: Vec<Arc<Line>>,
    socket_request_max_bytes: usize,
    pub(crate) phases: Arc<RequestPhases>,
}

/// One API and its metrics.
pub(crate) struct Line {
    pub(crate) api: &'static Api,
    /// By version, made when first seen so that versions nobody sends have no series.
    requests: Vec<OnceLock<Counter>>,
    pub(crate) duration: Histogram,
    pub(crate) request_bytes: Histogram,
    pub(crate) response_bytes: Histogram,
    pub(crate) in_flight: Gauge,
    /// Where its requests' time goes.
    pub(crate) phases: Arc<RequestPhases>,
    pub(crate) class: ApiClass,
}

impl Line {
    fn new(api: &'static Api, phases: &Arc<RequestPhases>) -> Self {
        let version_count = usize::try_from(api.versions.1 - api.versions.0 + 1).unwrap_or(0);
        Self {
            api,
            requests: (0..version_count).map(|_| OnceLock::new()).collect(),
            duration: metrics::histogram!(catalogue::REQUEST_DURATION_SECONDS, "api" => api.name),
            request_bytes: metrics::histogram!(catalogue::REQUEST_SIZE_BYTES, "api" => api.name),
            response_bytes: metrics::histogram!(catalogue::RESPONSE_SIZE_BYTES, "api" => api.name),
            in_flight: metrics::gauge!(catalogue::REQUESTS_IN_FLIGHT, "api" => api.name),
            phases: Arc::clone(phases),
            class: ApiClass::of(api.name),
        }
    }

    /// Counts a request. Versions outside the range, which only ApiVersions gets, share one label.
    pub(crate) fn count(&self, version: i16) {
        let index = usize::try_from(i32::from(version) - i32::from(self.api.versions.0)).ok();
        match index.and_then(|index| self.requests.get(index)) {
            Some(counter) => counter.get_or_init(|| self.requests_counter(version.to_string())).increment(1),
            None => self.requests_counter("unknown".to_owned()).increment(1),
        }
    }

    fn requests_counter(&self, version: String) -> Counter {
        metrics::counter!(catalogue::REQUESTS_TOTAL, "api" => self.api.name, "version" => version)
    }

    fn supports(&self, version: i16) -> bool {
        (self.api.versions.0..=self.api.versions.1).contains(&version)
    }
}

impl Table {
    pub(crate) fn new(apis: &'static [Api], socket_request_max_bytes: usize, phases: &Arc<RequestPhases>) -> Self {
        let lines = apis.iter().map(|api| Arc::new(Line::new(api, phases))).collect();
        Self { lines, socket_request_max_bytes, phases: Arc::clone(phases) }
    }

    /// Largest frame of any kind.
    pub(crate) fn frame_bytes_max(&self) -> usize {
        self.socket_request_max_bytes
    }

    fn find(&self, key: i16) -> Option<&Arc<Line>> {
        self.lines.iter().find(|line| line.api.key == key)
    }

    /// Whether a frame of this length may be received, told by its first bytes.
    pub(crate) fn admit(&self, key: i16, length: usize) -> Result<(), Close> {
        let limit = match self.find(key) {
            Some(line) => line.api.frame_bytes_max.unwrap_or(self.socket_request_max_bytes),
            None => UNKNOWN_FRAME_BYTES_MAX,
        };
        if length > limit { Err(Close::TooLarge { length, limit }) } else { Ok(()) }
    }

    /// Memory that a whole frame takes until it is answered: more than itself if it is large and decoded into structures.
    /// The API without a limit of its own, Produce, keeps its records where they are.
    pub(crate) fn charged_bytes(&self, frame: &[u8]) -> usize {
        let is_decoded = header::peek(frame)
            .and_then(|(key, _)| self.find(key))
            .is_none_or(|line| line.api.frame_bytes_max.is_some());
        let above = frame.len().saturating_sub(DECODE_BYTES_PLAIN);
        if is_decoded { frame.len() + above * (DECODE_MULTIPLE - 1) } else { frame.len() }
    }

    /// Parses a frame's header. The client id is told of refused requests too, where it can be read.
    pub(crate) fn parse(&self, frame: BytesMut) -> Result<(Arc<Line>, Request), (Close, Option<String>)> {
        let (api_key, api_version) = header::peek(&frame).unwrap_or((-1, -1));
        let refuse = |close: Close, frame| {
            let client_id = header::parse_unknown(frame).ok().and_then(|request| request.header.client_id);
            Err((close, client_id))
        };
        let Some(line) = self.find(api_key) else { return refuse(Close::UnsupportedApi { api_key }, frame) };
        let parsed = if line.supports(api_version) {
            let is_flexible = api_version >= line.api.flexible_from;
            header::parse(frame, if is_flexible { HeaderVersion::V2 } else { HeaderVersion::V1 })
        } else if api_key == API_VERSIONS {
            header::parse_unknown(frame)
        } else {
            return refuse(Close::UnsupportedVersion { api_key, api_version }, frame);
        };
        parsed.map(|request| (line.clone(), request)).map_err(|close| (close, None))
    }
}
