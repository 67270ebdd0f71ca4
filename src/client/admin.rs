//! The admin port of an einmal: one request over HTTP, without a library for it.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::Until;
use super::deadline::in_words;
use super::waiting::wait_for;

/// Longest answer that is read, bytes.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// What to do where no connection can be had.
pub const WHEN_UNREACHABLE: &str = "start the broker, or name its admin port (--admin, EINMAL_ADMIN)";
/// What to do where something else seems to listen.
pub const WHEN_STRANGE: &str = "name the admin port of an einmal (--admin, EINMAL_ADMIN)";

/// Where the admin port is, `host:port`: as given, else as the environment says, else on this machine. It may be given as a browser has it,
/// and as the start prints it: `http://localhost:9644/`.
pub fn address(given: Option<&str>) -> String {
    let given = given.map(str::to_owned).or_else(|| std::env::var("EINMAL_ADMIN").ok());
    let given = given.unwrap_or_else(|| "localhost:9644".to_owned());
    given.strip_prefix("http://").unwrap_or(&given).trim_end_matches('/').to_owned()
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Of HTTP; 0 for what is no HTTP.
    pub status: u16,
    /// As text.
    pub body: String,
}

/// Why nothing was answered.
#[derive(Debug)]
pub enum Silence {
    /// No connection.
    Unreachable(io::Error),
    /// A connection, but no answer in time.
    Broken(io::Error),
}

/// Sends a request without a body for `path`, with its query, to the admin port at `admin` (host:port), and waits for `patience` for the
/// connection, and then for the whole answer.
///
/// # Errors
/// [`Silence`].
pub fn ask(admin: &str, method: &str, path: &str, patience: Duration) -> Result<Answer, Silence> {
    let _waiting = wait_for(|| format!("{admin} to answer {path}"));
    let stream = connect(admin, patience).map_err(Silence::Unreachable)?;
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: {admin}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let mut answer = Vec::new();
    let mut stream = Until::after(patience, &stream);
    stream
        .write_all(request.as_bytes())
        .and_then(|()| stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer))
        .map_err(Silence::Broken)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).filter(|_| head.starts_with("HTTP/")).and_then(|status| status.parse().ok());
    Ok(Answer { status: status.unwrap_or(0), body: body.to_owned() })
}

/// Connects to the first address of `host` (host:port) that answers.
///
/// # Errors
/// The system's, of the last address.
pub fn connect(host: &str, patience: Duration) -> io::Result<TcpStream> {
    let mut refused = io::Error::from(io::ErrorKind::NotFound);
    for address in host.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => return Ok(stream),
            Err(error) => refused = in_words(error, patience),
        }
    }
    Err(refused)
}

/// `bytes` as a value in a query: what is no letter, digit or `-`, `.`, `_`, `~` as `%` and two digits.
pub fn quoted(bytes: &[u8]) -> String {
    let mut quoted = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => quoted.push(char::from(*byte)),
            _ => quoted.push_str(&format!("%{byte:02X}")),
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::deadline::tests::dripped_on;

    #[test]
    fn an_admin_port_that_drips_its_answer_is_given_up() {
        let told = dripped_on(b"HTTP/1.1 200 OK\r\n\r\n", |address| {
            ask(&address.to_string(), "GET", "/readyz", Duration::from_millis(100))
        });
        let Err(Silence::Broken(error)) = told else { panic!("{told:?}") };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn what_a_query_would_take_apart_is_quoted() {
        assert_eq!(quoted(b"order-17_a.b~"), "order-17_a.b~");
        assert_eq!(quoted(b"a&b=c d+%"), "a%26b%3Dc%20d%2B%25");
        assert_eq!(quoted(&[0, 255, b'\n']), "%00%FF%0A");
    }
}
