//! The sending half of a connection: answers as vectored writes, without a copy.

use std::io::{self, IoSlice};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use crate::api::fetch_memory::FetchMemory;

/// Pieces of one write; more go into the next.
const SLICES_MAX: usize = 64;

/// What a peer must have taken to count as one that takes its answers.
const PROGRESS_BYTES: usize = 64 << 10;

/// How long a peer may let an answer lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience<'a> {
    /// Time without a byte taken.
    pub(crate) idle: Duration,
    /// Time in which [`PROGRESS_BYTES`] are taken, while others wait for `memory`.
    pub(crate) stall: Duration,
    pub(crate) memory: &'a FetchMemory,
}

impl Patience<'_> {
    /// Waits until `stream` takes more. The peer last got on at `taken_at`.
    async fn writable(&self, stream: &TcpStream, taken_at: Instant) -> io::Result<()> {
        let is_in_the_way = async {
            sleep_until(taken_at + self.stall).await;
            self.memory.is_short().await;
        };
        tokio::select! {
            biased;
            writable = timeout(self.idle, stream.writable()) => writable.map_err(|_| io::ErrorKind::TimedOut)?,
            () = is_in_the_way => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the peer does not take its answer while others wait for memory",
            )),
        }
    }
}

/// Writes all `segments` in order. It is an error if the peer goes beyond our `patience`.
pub(crate) async fn write(stream: &TcpStream, mut segments: Vec<Bytes>, patience: Patience<'_>) -> io::Result<()> {
    let mut next = 0;
    let (mut taken_at, mut taken_bytes) = (None, 0);
    while next < segments.len() {
        match write_once(stream, &segments[next..]) {
            Ok(0) if segments[next..].iter().any(|segment| !segment.is_empty()) => {
                return Err(io::ErrorKind::WriteZero.into());
            }
            Ok(written) => {
                taken_bytes += written;
                next += advance(&mut segments[next..], written);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let since = match taken_at {
                    Some(taken_at) if taken_bytes < PROGRESS_BYTES => taken_at,
                    _ => Instant::now(),
                };
                if taken_at != Some(since) {
                    (taken_at, taken_bytes) = (Some(since), 0);
                }
                patience.writable(stream, since).await?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn write_once(stream: &TcpStream, segments: &[Bytes]) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    let count = segments.len().min(SLICES_MAX);
    for (slice, segment) in slices.iter_mut().zip(segments) {
        *slice = IoSlice::new(segment);
    }
    stream.try_write_vectored(&slices[..count])
}

/// Drops `written` bytes from the front; tells how many segments are gone.
fn advance(segments: &mut [Bytes], mut written: usize) -> usize {
    let mut gone = 0;
    for segment in segments {
        if segment.len() > written {
            segment.advance(written);
            break;
        }
        written -= segment.len();
        // Sent bytes are let go at once: a slow peer must not pin what it already has.
        *segment = Bytes::new();
        gone += 1;
    }
    gone
}
