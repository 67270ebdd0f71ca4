//! A connection that never blocks: frames out of one buffer, frames into another.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

/// Largest answer that is taken; `fetch.max.bytes` and what one batch may exceed it by lie far below.
const FRAME_BYTES_MAX: usize = 256 << 20;

/// What is read at a time at first; the buffer grows to the largest answer.
const BUFFER_BYTES: usize = 8 << 10;

/// What reading found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// All that came is read.
    Drained,
    /// The peer has closed.
    Closed,
}

/// One connection of the event loop.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// Frames to be sent; callers append whole ones, then [`Connection::flush`].
    pub(super) out: Vec<u8>,
    out_from: usize,
    inbound: Vec<u8>,
    in_from: usize,
    in_to: usize,
}

impl Connection {
    /// Begins to connect; the first writable event tells the outcome.
    pub(super) fn open(address: SocketAddr, source: Option<IpAddr>) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if let Some(source) = source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
            _ => Ok(Self::new(TcpStream::from_std(socket.into()))),
        }
    }

    /// Takes over a socket that does not block.
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, out: Vec::new(), out_from: 0, inbound: Vec::new(), in_from: 0, in_to: 0 }
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.stream, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Whether everything appended to [`Connection::out`] is in the socket.
    pub(super) fn is_flushed(&self) -> bool {
        self.out.is_empty()
    }

    /// The error of a connection attempt that failed.
    pub(super) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.stream.take_error()
    }

    /// Writes until everything is sent or the socket is full; a writable event follows then.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while let Some(rest) = self.out.get(self.out_from..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => self.out_from += written,
                // Before the connection stands, writing says NotConnected.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.out_from = 0;
        Ok(())
    }

    /// Reads all that came and calls `each` with every whole frame, without its length.
    pub(super) fn receive<E: From<io::Error>>(
        &mut self,
        mut each: impl FnMut(&[u8], &mut Vec<u8>) -> Result<(), E>,
    ) -> Result<Reading, E> {
        loop {
            self.make_room()?;
            let room = &mut self.inbound[self.in_to..];
            let room_bytes = room.len();
            match self.stream.read(room) {
                Ok(0) => return Ok(Reading::Closed),
                Ok(read) => {
                    self.in_to += read;
                    self.take_frames(&mut each)?;
                    // A short read has emptied the socket; what comes later raises an event of its own.
                    if read < room_bytes {
                        return Ok(Reading::Drained);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Reading::Drained),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn take_frames<E: From<io::Error>>(
        &mut self,
        each: &mut impl FnMut(&[u8], &mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(bytes) = self.next_frame_bytes()? {
            let Some(frame) = self.inbound.get(self.in_from..self.in_to).and_then(|read| read.get(4..4 + bytes)) else {
                return Ok(());
            };
            self.in_from += 4 + bytes;
            each(frame, &mut self.out)?;
        }
        Ok(())
    }

    /// Length of the frame that comes next, once it is read.
    fn next_frame_bytes(&self) -> io::Result<Option<usize>> {
        let read = &self.inbound[self.in_from..self.in_to];
        let Some(length) = read.first_chunk().map(|length| i32::from_be_bytes(*length)) else { return Ok(None) };
        match usize::try_from(length) {
            Ok(bytes) if bytes <= FRAME_BYTES_MAX => Ok(Some(bytes)),
            _ => Err(io::Error::new(ErrorKind::InvalidData, format!("a frame of {length} bytes"))),
        }
    }

    /// Makes room behind what is read, for the rest of the frame at least.
    fn make_room(&mut self) -> io::Result<()> {
        if self.in_from == self.in_to {
            (self.in_from, self.in_to) = (0, 0);
        }
        let wanted = self.next_frame_bytes()?.map_or(BUFFER_BYTES, |bytes| (4 + bytes).max(BUFFER_BYTES));
        if self.inbound.len() - self.in_from < wanted {
            self.inbound.copy_within(self.in_from..self.in_to, 0);
            self.in_to -= self.in_from;
            self.in_from = 0;
            if self.inbound.len() < wanted {
                self.inbound.resize(wanted, 0);
            }
        }
        Ok(())
    }
}
