//! The receiving half of a connection: whole frames, charged to the budget as they arrive.
//!
//! Invariant: every method may be cancelled at any await without losing bytes.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::FutureExt;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use crate::wire::Close;
use crate::wire::frame::FrameCutter;

use super::budget::{Charge, RequestBudget};
use super::connection::Shared;
use super::table::Table;

/// Bytes received at once when no large frame is under way.
const CHUNK_BYTES: usize = 16 * 1024;

/// What a peer must have sent of a large frame to count as one that gets on with it.
const PROGRESS_BYTES: usize = 64 << 10;

/// See the module.
pub(crate) struct Inbound {
    cutter: FrameCutter,
    /// Received and not yet cut, at most one chunk.
    carry: BytesMut,
    /// Cut and not yet paid for.
    whole: Option<BytesMut>,
    charge: Charge,
    /// The broker has no memory for what has arrived.
    is_paying: bool,
    /// Since when the peer has owed the rest of a begun frame; none while the broker itself does not read.
    begun_at: Option<Instant>,
    /// When the peer last got on with it by [`PROGRESS_BYTES`], and how much of it was there then.
    progress: Option<(Instant, usize)>,
}

/// What came from the peer.
#[derive(Debug)]
pub(crate) enum Received {
    /// A part of a frame; told once per frame.
    Begun,
    /// A frame without its length.
    Frame(Frame),
    /// The peer sends no more.
    End,
}

/// A whole frame and what it was charged.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) bytes: BytesMut,
    pub(crate) charge: Charge,
}

/// Why nothing more can be received.
#[derive(Debug)]
pub(crate) enum Broken {
    Close(Close),
    Io(io::Error),
    /// The peer does not get on with a large frame, and others wait for the memory of it.
    InTheWay,
}

impl From<Close> for Broken {
    fn from(close: Close) -> Self {
        Self::Close(close)
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Inbound {
    pub(crate) fn new(frame_bytes_max: usize) -> Self {
        Self {
            cutter: FrameCutter::new(frame_bytes_max),
            carry: BytesMut::new(),
            whole: None,
            charge: Charge::default(),
            is_paying: false,
            begun_at: None,
            progress: None,
        }
    }

    /// Since when the peer has owed the rest of a frame.
    pub(crate) fn begun_at(&self) -> Option<Instant> {
        self.begun_at
    }

    /// Whether the broker, not the peer, is who lets the connection wait.
    pub(crate) fn is_paying(&self) -> bool {
        self.is_paying
    }

    /// Length of the frame under way.
    pub(crate) fn begun_bytes(&self) -> usize {
        let whole = self.whole.as_ref().map(BytesMut::len);
        whole.or(self.cutter.begun_bytes()).unwrap_or(0)
    }

    /// Stops the clock of the begun frame: the broker does not read.
    pub(crate) fn pause(&mut self) {
        self.begun_at = None;
        self.progress = None;
    }

    /// The next whole frame, or that a part of it is there.
    pub(crate) async fn next<D>(&mut self, stream: &TcpStream, shared: &Shared<D>) -> Result<Received, Broken> {
        let (table, budget) = (&shared.table, &shared.budget);
        loop {
            if self.whole.is_none() {
                self.cut_carry(table)?;
            }
            self.pay(table, budget).await;
            if let Some(bytes) = self.whole.take() {
                self.pause();
                return Ok(Received::Frame(Frame { bytes, charge: std::mem::take(&mut self.charge) }));
            }
            if self.cutter.is_begun() && self.begun_at.is_none() {
                self.begun_at = Some(Instant::now());
                return Ok(Received::Begun);
            }
            self.readable(stream, budget, shared.limits.frame_stall).await?;
            match self.receive(stream, table) {
                Ok(0) => return Ok(Received::End),
                Ok(_) => {}
                Err(Broken::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(broken) => return Err(broken),
            }
        }
    }

    /// Waits for bytes, with less patience for a peer that stands in the way of others.
    async fn readable(&mut self, stream: &TcpStream, budget: &RequestBudget, stall: Duration) -> Result<(), Broken> {
        if budget.is_small(self.charge.bytes()) {
            return Ok(stream.readable().await?);
        }
        let there_bytes = self.cutter.received_bytes();
        let progress = self.progress.filter(|(_, bytes)| there_bytes.saturating_sub(*bytes) < PROGRESS_BYTES);
        let (since, _) = *self.progress.insert(progress.unwrap_or_else(|| (Instant::now(), there_bytes)));
        let is_in_the_way = async {
            sleep_until(since + stall).await;
            budget.is_short().await;
        };
        tokio::select! {
            biased;
            readable = stream.readable() => Ok(readable?),
            () = is_in_the_way => Err(Broken::InTheWay),
        }
    }

    /// Charges what the frame under way takes. The peer's time to finish its frame does not run meanwhile.
    async fn pay(&mut self, table: &Table, budget: &RequestBudget) {
        let bytes = match &self.whole {
            Some(frame) => table.charged_bytes(frame),
            None => self.cutter.held_bytes(),
        };
        if bytes > self.charge.bytes() {
            let begun_at = self.begun_at.take();
            self.is_paying = true;
            let waited = budget.grow(&mut self.charge, bytes).await;
            self.is_paying = false;
            self.begun_at = if waited { None } else { begun_at };
            if waited {
                self.progress = None;
            }
        }
    }

    fn cut_carry(&mut self, table: &Table) -> Result<(), Close> {
        if self.carry.is_empty() {
            return Ok(());
        }
        self.whole = self.cutter.push(&mut self.carry, |key, _, length| table.admit(key, length))?;
        if self.carry.is_empty() {
            // An idle connection holds no buffer.
            self.carry = BytesMut::new();
        }
        Ok(())
    }

    /// Receives once: the rest of a large frame in place, else a chunk.
    fn receive(&mut self, stream: &TcpStream, table: &Table) -> Result<usize, Broken> {
        if let Some(mut room) = self.cutter.unfilled() {
            let count = stream.try_read_buf(&mut room)?;
            self.whole = self.cutter.take_whole();
            return Ok(count);
        }
        let mut chunk = [0; CHUNK_BYTES];
        let count = stream.try_read(&mut chunk)?;
        let mut input = &chunk[..count];
        self.whole = self.cutter.push(&mut input, |key, _, length| table.admit(key, length))?;
        self.carry.extend_from_slice(input);
        Ok(count)
    }
}

/// Whether the peer is known to send no more, also while bytes of it wait to be read.
pub(crate) fn is_finished(stream: &TcpStream) -> bool {
    matches!(stream.ready(Interest::READABLE).now_or_never(), Some(Ok(ready)) if ready.is_read_closed())
}

/// Resolves when the peer is known to send no more, also while bytes of it wait to be read. Nobody asks for urgent bytes, and the end comes
/// with what is asked instead of them.
pub(crate) async fn finished(stream: &TcpStream) {
    while stream.ready(Interest::PRIORITY).await.is_ok_and(|ready| !ready.is_read_closed()) {}
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn end_of_a_peer_is_seen_behind_what_waits_to_be_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        assert!(!is_finished(&stream));
        peer.write_all(b"late").await.unwrap();
        stream.readable().await.unwrap();
        assert!(!is_finished(&stream), "bytes, and no end");
        let mut end = std::pin::pin!(finished(&stream));
        assert!(end.as_mut().now_or_never().is_none(), "bytes, and no end");
        peer.shutdown().await.unwrap();
        tokio::time::timeout(Duration::from_secs(30), end).await.expect("the end comes to be known");
        assert!(is_finished(&stream));
        assert_eq!(stream.try_read(&mut [0; 8]).unwrap(), 4);
        assert!(is_finished(&stream));
    }
}
