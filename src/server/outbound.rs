//! The sending half of a connection: answers as vectored writes, without a copy.

use std::io::{self, IoSlice};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::net::TcpStream;

/// Pieces of one write; more go into the next.
const SLICES_MAX: usize = 64;

/// Writes all `segments` in order. A peer that takes nothing for `stall_max` is an error.
pub(crate) async fn write(stream: &TcpStream, mut segments: Vec<Bytes>, stall_max: Duration) -> io::Result<()> {
    let mut next = 0;
    while next < segments.len() {
        match write_once(stream, &segments[next..]) {
            Ok(0) if segments[next..].iter().any(|segment| !segment.is_empty()) => {
                return Err(io::ErrorKind::WriteZero.into());
            }
            Ok(written) => next += advance(&mut segments[next..], written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::timeout(stall_max, stream.writable()).await.map_err(|_| io::ErrorKind::TimedOut)??;
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
