//! One connection, one task: frames in, answers out in the order of their requests.
//!
//! While a [`Answer::Serial`] request is under way at most one further request is received. From then on, or when the connection is
//! to end, its peer is watched: a peer that goes away cancels what it waits for, if that is an [`Answer::Cancellable`] or an
//! [`Answer::Turned`] that can be given up where it is, and what it sent behind that is begun. While an [`Answer::LongPoll`] is under
//! way, which can be cancelled as well, none is received. Requests of [`Answer::Pipelined`] are
//! received and begun while earlier ones are under way, up to [`IN_FLIGHT_MAX`] and `einmal.connection.request.bytes.max`.
//!
//! Nothing is begun while an answer is being sent: what a peer does not take is one answer to a Fetch, or what was pipelined.
//!
//! Invariants: answers leave in the order of requests; a request begins after all serial ones before it have been answered; a
//! serial one begins after all before it have been answered; once the connection is to end, what was begun is still
//! answered.
//!
//! Kafka's `SocketServer.Processor` with a muted channel, but for the pipelined Produce.

use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use crate::api::Answer;
use crate::api::fetch_memory::FetchMemory;
use crate::config::Config;
use crate::metrics::phases::{ApiClass, Phase};
use crate::types::{Arrival, ConnectionId};
use crate::wire::{Close, Segments};

use super::budget::RequestBudget;
use super::in_flight::{Answered, Begun, Failure, InFlight, contain};
use super::inbound::{self, Broken, Frame, Inbound, Received};
use super::outbound::{self, Patience};
use super::table::{Dispatch, Stage, Table};

/// Requests under way per connection; more wait in the socket.
const IN_FLIGHT_MAX: usize = 64;

/// Keys from AddPartitionsToTxn to TxnOffsetCommit: whether their client still waits for an answer decides what they do.
const OF_TRANSACTIONS: RangeInclusive<i16> = 24..=28;

/// Who is connected, and through which listener.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) listener: Arc<str>,
    pub(crate) address: SocketAddr,
    pub(crate) connection: ConnectionId,
}

/// What connections share.
pub(crate) struct Shared<D> {
    pub(crate) dispatch: D,
    pub(crate) table: Table,
    pub(crate) budget: RequestBudget,
    /// Closes those that do not take their answers, while it is short.
    pub(crate) fetch_memory: FetchMemory,
    pub(crate) limits: Limits,
    /// Connections accepted so far, of all listeners.
    pub(crate) accepted: AtomicU64,
}

/// What a connection is held to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Time to send a first whole request.
    pub(crate) first_request: Duration,
    /// Time to finish a begun frame.
    pub(crate) frame: Duration,
    /// Time without any request; also without progress of a write.
    pub(crate) idle: Duration,
    /// Time without progress of a write, while memory for fetches is short.
    pub(crate) stall: Duration,
    /// Time without progress of a large frame, while memory for requests is short.
    pub(crate) frame_stall: Duration,
    /// Bytes of requests under way, but for a single larger one.
    pub(crate) request_bytes_max: usize,
}

impl Limits {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            first_request: config.request_frame_timeout / 3,
            frame: config.request_frame_timeout,
            idle: config.connections_max_idle,
            stall: config.fetch_memory_stall,
            frame_stall: config.request_memory_stall,
            request_bytes_max: config.connection_request_bytes_max,
        }
    }
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    #[error("closed by the peer")]
    Peer,
    #[error("the broker stops")]
    Stopping,
    #[error("idle")]
    Idle,
    #[error("no whole request in time")]
    Slow,
    #[error("no progress of a large request while others waited for its memory")]
    InTheWay,
    #[error("{0}")]
    Close(Close),
    #[error("{0}")]
    Io(io::Error),
    #[error("a request's handler panicked: {0}")]
    Panicked(String),
}

impl From<Broken> for End {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Close(close) => Self::Close(close),
            Broken::Io(error) => Self::Io(error),
            Broken::InTheWay => Self::InTheWay,
        }
    }
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Close(close) => Self::Close(close),
            Failure::Panicked(text) => Self::Panicked(text),
        }
    }
}

/// Serves `stream` to its end. Returns why it ended and the client id of its last request.
pub(crate) async fn serve<D: Dispatch>(
    stream: &TcpStream,
    peer: &Peer,
    shared: &Shared<D>,
    stopping: watch::Receiver<bool>,
) -> (End, Option<String>) {
    let mut connection = Connection {
        stream,
        peer,
        shared,
        inbound: Inbound::new(shared.table.frame_bytes_max()),
        pipeline: FuturesOrdered::new(),
        pipeline_bytes: 0,
        serial: None,
        held: None,
        held_since: None,
        stage: Stage::Connected,
        sending: Vec::new(),
        end: None,
        is_peer_gone: false,
        has_request: false,
        first_correlation_id: None,
        active_at: Instant::now(),
        client_id: None,
    };
    let end = connection.run(stopping).await;
    (end, connection.client_id)
}

struct Connection<'a, D> {
    stream: &'a TcpStream,
    peer: &'a Peer,
    shared: &'a Shared<D>,
    inbound: Inbound,
    /// Begun, answered in this order.
    pipeline: FuturesOrdered<InFlight>,
    pipeline_bytes: usize,
    /// Begins when the pipeline is empty.
    serial: Option<InFlight>,
    /// Received and not begun: a serial request is under way, or there is no room.
    held: Option<Frame>,
    /// Since when, if it could not be begun at once.
    held_since: Option<Instant>,
    stage: Stage,
    /// Of the answers that are being sent, when they came.
    sending: Vec<(ApiClass, Instant)>,
    /// Set once the connection takes no more requests.
    end: Option<End>,
    /// The peer sends no more: nobody waits for an answer that changes nothing.
    is_peer_gone: bool,
    has_request: bool,
    first_correlation_id: Option<i32>,
    active_at: Instant,
    client_id: Option<String>,
}

/// What a connection waits for.
enum Event {
    Answered(Answered),
    Received(Received),
    PeerGone,
    Stopping,
    Timer,
}

impl<D: Dispatch> Connection<'_, D> {
    async fn run(&mut self, mut stopping: watch::Receiver<bool>) -> End {
        let timer = tokio::time::sleep(self.shared.limits.first_request);
        tokio::pin!(timer);
        loop {
            if self.serial.is_none()
                && self.has_room()
                && let Some(frame) = self.held.take()
            {
                self.begin(frame);
            }
            if self.pipeline.is_empty()
                && self.serial.is_none()
                && let Some(end) = self.end.take()
            {
                return end;
            }
            match self.event(&mut stopping, timer.as_mut()).await {
                Ok(Event::Answered(answered)) => {
                    if let Err(end) = self.send(answered).await {
                        return end;
                    }
                }
                Ok(Event::Received(Received::Frame(frame))) => {
                    self.held = Some(frame);
                    self.held_since = (self.serial.is_some() || !self.has_room()).then(Instant::now);
                }
                // The frame's deadline is the next to come.
                Ok(Event::Received(Received::Begun)) => {}
                Ok(Event::Received(Received::End)) => {
                    self.cancel_serial();
                    self.stop(End::Peer);
                }
                Ok(Event::PeerGone) => self.cancel_serial(),
                Ok(Event::Stopping) => self.stop(End::Stopping),
                Ok(Event::Timer) => {
                    if let Some(end) = self.overdue() {
                        return end;
                    }
                }
                Err(broken) => {
                    if matches!(broken, Broken::Io(_)) {
                        self.cancel_serial();
                    }
                    self.stop(broken.into());
                }
            }
        }
    }

    /// Waits for what comes next. Answers come first, so that what is received does not delay them.
    async fn event(
        &mut self,
        stopping: &mut watch::Receiver<bool>,
        mut timer: Pin<&mut Sleep>,
    ) -> Result<Event, Broken> {
        let is_parked = self.serial.as_ref().is_some_and(InFlight::is_long_poll);
        let is_reading = self.end.is_none() && self.held.is_none() && self.has_room() && !is_parked;
        let is_watching = self.serial.is_some() && !is_reading && !self.is_peer_gone;
        if !is_reading {
            self.inbound.pause();
        }
        let deadline = self.deadline();
        if let Some((deadline, _)) = deadline
            && is_to_be_set(timer.deadline(), timer.is_elapsed(), deadline)
        {
            timer.as_mut().reset(deadline);
        }
        let (stream, shared) = (self.stream, self.shared);
        let is_pipeline_empty = self.pipeline.is_empty();
        tokio::select! {
            biased;
            Some(answered) = self.pipeline.next(), if !is_pipeline_empty => Ok(Event::Answered(answered)),
            Some(answered) = answer(&mut self.serial), if is_pipeline_empty => Ok(Event::Answered(answered)),
            () = stopped(stopping), if self.end.is_none() => Ok(Event::Stopping),
            received = self.inbound.next(stream, shared), if is_reading => received.map(Event::Received),
            () = inbound::finished(stream), if is_watching => Ok(Event::PeerGone),
            () = timer, if deadline.is_some() => Ok(Event::Timer),
            else => std::future::pending().await,
        }
    }

    /// Whether one more request may be under way: always the only one, however large.
    fn has_room(&self) -> bool {
        let next_bytes = self.held.as_ref().map_or(self.inbound.begun_bytes(), |frame| frame.bytes.len());
        let bytes = self.pipeline_bytes + next_bytes;
        self.pipeline.is_empty()
            || (self.pipeline.len() < IN_FLIGHT_MAX && bytes <= self.shared.limits.request_bytes_max)
    }

    /// Begins to answer a frame.
    fn begin(&mut self, frame: Frame) {
        let Frame { bytes, charge } = frame;
        self.has_request = true;
        self.active_at = Instant::now();
        let queued = self.held_since.take().map_or(Duration::ZERO, |since| self.active_at - since);
        let (line, request) = match self.shared.table.parse(bytes) {
            Ok(parsed) => parsed,
            Err((close, client_id)) => {
                self.client_id = client_id.or(self.client_id.take());
                return self.stop(End::Close(close));
            }
        };
        line.count(request.header.api_version);
        line.request_bytes.record(request.frame_bytes as f64);
        if self.client_id != request.header.client_id {
            self.client_id.clone_from(&request.header.client_id);
        }
        let stage = Stage::of(line.api.key);
        if stage > self.stage {
            self.stage = stage;
            self.shared.dispatch.reached(stage, self.peer, self.client_id.as_deref());
        }
        let frame_bytes = request.frame_bytes;
        let is_behind = !self.pipeline.is_empty();
        let begun = Begun { started: self.active_at, queued, is_behind, frame_bytes };
        let arrival = self.arrival(line.api.key, request.header.correlation_id);
        match contain(|| self.shared.dispatch.answer(line.api, self.peer, arrival, request)) {
            Ok(Answer::Pipelined(pending)) => {
                self.pipeline_bytes += frame_bytes;
                self.pipeline.push_back(InFlight::new(pending, line, begun, charge));
            }
            Ok(Answer::Serial(pending)) => {
                self.serial = Some(InFlight::new(pending, line, begun, charge));
            }
            Ok(Answer::Turned(pending, gone)) => {
                if self.is_peer_gone {
                    gone.tell();
                }
                self.serial = Some(InFlight::new(pending, line, begun, charge).until(gone));
            }
            Ok(Answer::Cancellable(_) | Answer::LongPoll(_)) if self.is_peer_gone => {}
            Ok(Answer::Cancellable(pending)) => {
                let in_flight = InFlight::new(pending, line, begun, charge);
                self.serial = Some(in_flight.into_cancellable());
            }
            Ok(Answer::LongPoll(pending)) => {
                let in_flight = InFlight::new(pending, line, begun, charge);
                self.serial = Some(in_flight.into_long_poll());
            }
            Ok(Answer::Close(close)) => self.stop(End::Close(close)),
            Err(failure) => self.stop(failure.into()),
        }
    }

    /// How the request that is to be begun came. The state of the socket is looked at where it matters only.
    fn arrival(&mut self, api_key: i16, correlation_id: i32) -> Arrival {
        Arrival {
            connection: self.peer.connection,
            first_correlation_id: *self.first_correlation_id.get_or_insert(correlation_id),
            correlation_id,
            is_abandoned: OF_TRANSACTIONS.contains(&api_key)
                && (self.is_peer_gone || inbound::is_finished(self.stream)),
        }
    }

    /// Sends an answer, and in the same write those behind it that are there.
    async fn send(&mut self, answered: Answered) -> Result<(), End> {
        let mut segments = Segments::new();
        let mut failure = self.collect(answered, &mut segments).err();
        while failure.is_none()
            && let Some(Some(answered)) = self.pipeline.next().now_or_never()
        {
            failure = self.collect(answered, &mut segments).err();
        }
        if !segments.is_empty() {
            let (limits, memory) = (&self.shared.limits, &self.shared.fetch_memory);
            let patience = Patience { idle: limits.idle, stall: limits.stall, memory };
            outbound::write(self.stream, segments, patience).await.map_err(End::Io)?;
        }
        self.active_at = Instant::now();
        for (class, answered_at) in self.sending.drain(..) {
            self.shared.table.phases.record(class, Phase::Send, self.active_at - answered_at);
        }
        match failure {
            Some(failure) => Err(failure.into()),
            None => Ok(()),
        }
    }

    /// Adds an answer to what is to be sent. Only pipelined requests count in `pipeline_bytes`, and the serial one is
    /// answered when none is left.
    fn collect(&mut self, answered: Answered, segments: &mut Vec<Bytes>) -> Result<(), Failure> {
        self.pipeline_bytes = self.pipeline_bytes.saturating_sub(answered.frame_bytes);
        let answer = answered.result?;
        if answer.is_some() {
            self.sending.push((answered.class, answered.answered_at));
        }
        match answer {
            Some(answer) if segments.is_empty() => *segments = answer,
            Some(answer) => segments.extend(answer),
            None => {}
        }
        Ok(())
    }

    /// Takes no more requests; what is under way is still answered. The first cause stays.
    fn stop(&mut self, end: End) {
        self.end.get_or_insert(end);
        self.held = None;
    }

    /// The peer waits for nothing any more. What it asked for before it went is still done if it changes something.
    fn cancel_serial(&mut self) {
        self.is_peer_gone = true;
        match &self.serial {
            Some(serial) if serial.is_cancellable() => self.serial = None,
            Some(serial) => serial.tell_gone(),
            None => {}
        }
    }

    /// When the connection ends if nothing happens, and why.
    fn deadline(&self) -> Option<(Instant, End)> {
        let limits = &self.shared.limits;
        if self.end.is_some() || self.inbound.is_paying() {
            None
        } else if !self.has_request {
            Some((self.active_at + limits.first_request, End::Slow))
        } else if let Some(begun_at) = self.inbound.begun_at() {
            Some((begun_at + limits.frame, End::Slow))
        } else if self.pipeline.is_empty() && self.serial.is_none() {
            Some((self.active_at + limits.idle, End::Idle))
        } else {
            None
        }
    }

    /// Why the connection ends by now. The timer may have been early.
    fn overdue(&self) -> Option<End> {
        self.deadline().filter(|(deadline, _)| *deadline <= Instant::now()).map(|(_, end)| end)
    }
}

/// Whether the timer must be set anew to fire at `deadline` or before. One that will fire too early is left alone, which spares
/// the timer wheel a change per request; one that has fired would fire again at once, for ever.
fn is_to_be_set(timer: Instant, is_elapsed: bool, deadline: Instant) -> bool {
    is_elapsed || deadline < timer
}

/// The answer of the serial request, if there is one.
async fn answer(serial: &mut Option<InFlight>) -> Option<Answered> {
    let answered = serial.as_mut()?.await;
    *serial = None;
    Some(answered)
}

/// Resolves when the broker stops, or is gone.
pub(crate) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|is_stopping| *is_stopping).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timer_that_has_fired_is_set_anew_and_an_early_one_is_left_alone() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        for (timer, is_elapsed, deadline, expected) in [
            (now, true, later, true),
            (now, true, now, true),
            (now, false, later, false),
            (later, false, now, true),
            (later, false, later, false),
        ] {
            assert_eq!(is_to_be_set(timer, is_elapsed, deadline), expected, "{timer:?} {is_elapsed} {deadline:?}");
        }
    }
}
