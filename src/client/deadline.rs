//! One moment by which an exchange has to be over, however many steps it takes.
//!
//! A socket's own timeout begins anew with every byte: who is sent one now and then would wait for ever.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A socket until a moment.
#[derive(Debug)]
pub struct Until<'a> {
    stream: &'a TcpStream,
    deadline: Instant,
    patience: Duration,
}

impl<'a> Until<'a> {
    /// For `patience` from now on.
    pub fn after(patience: Duration, stream: &'a TcpStream) -> Self {
        let now = Instant::now();
        // Who waits for centuries waits for one of them.
        let deadline = now.checked_add(patience).unwrap_or(now + Duration::from_secs(100 * 365 * 24 * 3600));
        Self { stream, deadline, patience }
    }

    /// What is left.
    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(overdue(self.patience)) } else { Ok(left) }
    }
}

/// In the words that are told: the system says "resource temporarily unavailable".
fn overdue(patience: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("it took longer than {patience:?}"))
}

/// `error` of a socket that had `patience`.
pub(super) fn in_words(error: io::Error, patience: Duration) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => overdue(patience),
        _ => error,
    }
}

impl Read for Until<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buffer).map_err(|error| in_words(error, self.patience))
    }
}

impl Write for Until<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(bytes).map_err(|error| in_words(error, self.patience))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::{SocketAddr, TcpListener};

    use super::*;

    /// What `ask` is told of a peer that sends `begins` and then bytes without an end, one at a time.
    pub(crate) fn dripped_on<T>(begins: &'static [u8], ask: impl FnOnce(SocketAddr) -> T) -> T {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let peer = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("somebody asks");
            stream.set_nodelay(true).expect("it is open");
            // Until who asked has left.
            let sent = stream.write_all(begins);
            while sent.is_ok() && stream.write_all(&[0]).is_ok() {}
        });
        let told = ask(address);
        peer.join().expect("the peer does not panic");
        told
    }

    #[test]
    fn who_is_sent_a_byte_now_and_then_does_not_wait_for_ever() {
        let told = dripped_on(b"", |address| {
            let stream = TcpStream::connect(address).expect("it listens");
            let mut answer = vec![0; 1 << 30];
            Until::after(Duration::from_millis(100), &stream).read_exact(&mut answer)
        });
        assert_eq!(told.expect_err("not all of it").kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn who_is_sent_nothing_is_told_so_in_words() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let stream = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
        let told = Until::after(Duration::from_millis(1), &stream).read(&mut [0]).expect_err("nothing comes");
        assert_eq!(told.to_string(), "it took longer than 1ms");
    }

    #[test]
    fn a_long_patience_is_no_overflow() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let stream = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
        assert!(Until::after(Duration::MAX, &stream).left().is_ok());
    }
}
