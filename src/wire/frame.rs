//! Cuts a byte stream into frames, each in an allocation of its own that grows as bytes arrive.
//!
//! A frame is an int32 length and that many bytes. What is kept of one frame (a stored batch is a slice of it) pins no other
//! frame, and a peer that only declares a length gets no memory for it.
//!
//! Invariants: the frames do not depend on how the stream was split; [`FrameCutter::held_bytes`] is at most twice the bytes
//! received of the frame, or [`STEP_BYTES`]; no bytes make it panic.
//!
//! It does not read by itself: small input is pushed through it, the rest of a large frame is received in place through
//! [`FrameCutter::unfilled`].

use bytes::buf::Limit;
use bytes::{Buf, BufMut, BytesMut};

use super::header::{self, HEADER_BYTES_MIN};
use super::{Close, Foreign};

#[cfg(test)]
mod tests;

/// First allocation of a frame of which hardly anything is there, at most.
const FIRST_BYTES: usize = 16 * 1024;

/// First allocation of any other frame, and second of all, at most; later ones double.
pub const STEP_BYTES: usize = 256 * 1024;

/// Rests shorter than this are not worth a read of their own.
const IN_PLACE_BYTES_MIN: usize = 4 * 1024;

/// Where between two frames the stream stands.
#[derive(Debug)]
enum State {
    /// In the length.
    Length { bytes: [u8; 4], received: usize },
    /// In a frame of `length` bytes, not yet whole.
    Frame { frame: BytesMut, length: usize, is_admitted: bool },
}

const AT_LENGTH: State = State::Length { bytes: [0; 4], received: 0 };

/// See the module.
#[derive(Debug)]
pub struct FrameCutter {
    state: State,
    /// Largest frame of any kind, bytes after the length.
    frame_bytes_max: usize,
    is_first: bool,
}

impl FrameCutter {
    /// A cutter at the start of a connection whose frames have at most `frame_bytes_max` bytes after their length.
    pub fn new(frame_bytes_max: usize) -> Self {
        Self { state: AT_LENGTH, frame_bytes_max, is_first: true }
    }

    /// Takes bytes from the front of `input` until a frame is whole; the rest stays for the next call. None: more input is
    /// needed.
    ///
    /// `admit` is asked once per frame, with key, version and length, as soon as these have arrived; its refusal ends the
    /// stream.
    pub fn push(
        &mut self,
        input: &mut impl Buf,
        admit: impl Fn(i16, i16, usize) -> Result<(), Close>,
    ) -> Result<Option<BytesMut>, Close> {
        while input.has_remaining() {
            match &mut self.state {
                State::Length { bytes, received } => {
                    let count = input.remaining().min(bytes.len() - *received);
                    input.copy_to_slice(&mut bytes[*received..*received + count]);
                    *received += count;
                    if *received == bytes.len() {
                        let declared = *bytes;
                        let length = self.frame_length(declared)?;
                        // Whoever has sent half a buffer already sends the rest: no growth, which would copy it.
                        let is_trusted = input.remaining() >= FIRST_BYTES / 2;
                        let first = if is_trusted { STEP_BYTES } else { FIRST_BYTES };
                        let frame = BytesMut::with_capacity(length.min(first));
                        self.state = State::Frame { frame, length, is_admitted: false };
                        self.is_first = false;
                    }
                }
                State::Frame { frame, length, is_admitted } => {
                    // The header comes first by itself, so that a frame that is not admitted grows no further.
                    let target = if *is_admitted { *length } else { HEADER_BYTES_MIN };
                    let count = input.remaining().min(target - frame.len());
                    grow(frame, count, *length);
                    frame.put(input.take(count));
                    if !*is_admitted && let Some((key, version)) = header::peek(frame) {
                        admit(key, version, *length)?;
                        *is_admitted = true;
                    }
                    if let Some(frame) = self.take_whole() {
                        return Ok(Some(frame));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Room for the rest of a begun frame that is large enough to be received in place; never more than that frame. After
    /// it has been written to, [`FrameCutter::take_whole`] tells whether the frame is there.
    pub fn unfilled(&mut self) -> Option<Limit<&mut BytesMut>> {
        match &mut self.state {
            State::Frame { frame, length, is_admitted: true } if *length - frame.len() >= IN_PLACE_BYTES_MIN => {
                if frame.len() == frame.capacity() {
                    grow(frame, 1, *length);
                }
                let room = frame.capacity().min(*length) - frame.len();
                Some(frame.limit(room))
            }
            _ => None,
        }
    }

    /// The begun frame, if nothing of it is missing.
    pub fn take_whole(&mut self) -> Option<BytesMut> {
        match &mut self.state {
            State::Frame { frame, length, is_admitted: true } if frame.len() == *length => {
                let frame = std::mem::take(frame);
                self.state = AT_LENGTH;
                Some(frame)
            }
            _ => None,
        }
    }

    /// Whether the stream stands inside a frame or its length.
    pub fn is_begun(&self) -> bool {
        !matches!(self.state, State::Length { received: 0, .. })
    }

    /// Length of the begun frame, once that is known.
    pub fn begun_bytes(&self) -> Option<usize> {
        match &self.state {
            State::Length { .. } => None,
            State::Frame { length, .. } => Some(*length),
        }
    }

    /// Memory of the begun frame that counts as used: twice what has arrived, but never more than is allocated.
    pub fn held_bytes(&self) -> usize {
        match &self.state {
            State::Length { .. } => 0,
            State::Frame { frame, .. } => frame.capacity().min(2 * frame.len()),
        }
    }

    /// Bytes of the begun frame that have arrived.
    pub fn received_bytes(&self) -> usize {
        match &self.state {
            State::Length { .. } => 0,
            State::Frame { frame, .. } => frame.len(),
        }
    }

    fn frame_length(&self, bytes: [u8; 4]) -> Result<usize, Close> {
        let declared = i32::from_be_bytes(bytes);
        let length = usize::try_from(declared).map_err(|_| Close::BadLength { length: declared })?;
        // Past the first frame, a length within the limit is taken for one, whatever it spells.
        if (self.is_first || length > self.frame_bytes_max)
            && let Some(foreign) = foreign(bytes)
        {
            return Err(Close::Foreign(foreign));
        }
        if length < HEADER_BYTES_MIN {
            return Err(Close::BadLength { length: declared });
        }
        if length > self.frame_bytes_max {
            return Err(Close::TooLarge { length, limit: self.frame_bytes_max });
        }
        Ok(length)
    }
}

/// Makes room for `count` more bytes of a frame of `length`.
fn grow(frame: &mut BytesMut, count: usize, length: usize) {
    let wanted = frame.len() + count;
    if wanted > frame.capacity() {
        let capacity = wanted.max(2 * frame.len()).max(STEP_BYTES).min(length);
        // Not `reserve`, which rounds up: a stored batch pins all of the frame's allocation.
        let mut larger = BytesMut::with_capacity(capacity);
        larger.put_slice(frame);
        *frame = larger;
    }
}

/// The protocol whose first four bytes these are.
fn foreign(bytes: [u8; 4]) -> Option<Foreign> {
    match &bytes {
        b"GET " | b"POST" | b"PUT " | b"HEAD" | b"DELE" | b"OPTI" | b"PATC" | b"CONN" | b"TRAC" | b"PRI " => {
            Some(Foreign::Http)
        }
        [0x16, 0x03, ..] => Some(Foreign::Tls),
        _ => None,
    }
}
