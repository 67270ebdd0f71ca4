//! `einmal health`: asks a broker for its API versions and its metadata, as a client would, within a second.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::client;
use crate::client::admin::{self, Silence};

/// Time for a connection, and for each exchange.
const PATIENCE: Duration = Duration::from_secs(1);

/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// ApiVersions version 0 without client id: api key, version, correlation id, null.
const API_VERSIONS: &[u8] = &[0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];

/// Metadata version 1 of no topics.
const METADATA: &[u8] = &[0, 3, 0, 1, 0, 0, 0, 2, 0xff, 0xff, 0, 0, 0, 0];

/// Who is asked, and so what to do where no answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A listener for clients, of einmal or any Kafka.
    Broker,
    /// The admin port of an einmal.
    AdminPort,
}

impl Asked {
    /// What to do where no connection can be had.
    fn when_unreachable(self) -> &'static str {
        match self {
            Self::Broker => "start the broker, or name the right host and port (--bootstrap-server, EINMAL_BOOTSTRAP)",
            Self::AdminPort => admin::WHEN_UNREACHABLE,
        }
    }

    /// What to do where something else seems to listen, or a broker that cannot serve.
    fn when_strange(self) -> &'static str {
        match self {
            Self::Broker => "einmal doctor says what listens there, the broker's log what ails it",
            Self::AdminPort => admin::WHEN_STRANGE,
        }
    }
}

/// Why a broker is not healthy.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    /// What was given is no address.
    #[error(transparent)]
    Address(#[from] client::BadAddress),
    /// No connection.
    #[error("cannot connect to {bootstrap}: {error}; {}", .asked.when_unreachable())]
    Unreachable {
        /// Who.
        asked: Asked,
        /// As given.
        bootstrap: String,
        /// From the system.
        error: io::Error,
    },
    /// A connection, but no answer.
    #[error("{bootstrap} does not answer {api}: {error}; {}", .asked.when_strange())]
    Silent {
        /// Who.
        asked: Asked,
        /// As given.
        bootstrap: String,
        /// What was asked.
        api: &'static str,
        /// From the system.
        error: io::Error,
    },
    /// It says so itself.
    #[error("{admin} is not ready: {reasons}", reasons = client::Printable(.reasons))]
    NotReady {
        /// As given.
        admin: String,
        /// What it says.
        reasons: String,
    },
    /// The address is none by which it may be asked.
    #[error("{}", client::Printable(.0))]
    Misdirected(String),
    /// It is ready for some of what clients ask, and all of it was demanded.
    #[error("{admin} is ready in part: {notices}")]
    Degraded {
        /// As given.
        admin: String,
        /// What it says.
        notices: String,
    },
    /// An answer that is none of a healthy broker.
    #[error("{bootstrap} gives {api} an answer that is none of a healthy broker; {}", .asked.when_strange())]
    Strange {
        /// Who.
        asked: Asked,
        /// As given.
        bootstrap: String,
        /// What was asked.
        api: &'static str,
    },
}

/// Asks the brokers at `bootstrap` (host:port, several with commas) in turn until one is healthy. If none is, the last one's trouble is told.
pub fn probe(bootstrap: &str) -> Result<(), Unhealthy> {
    // There is at least one.
    let mut verdict = Ok(());
    for address in client::addresses(bootstrap)? {
        verdict = probe_one(&address);
        if verdict.is_ok() {
            break;
        }
    }
    verdict
}

fn probe_one(bootstrap: &str) -> Result<(), Unhealthy> {
    let asked = Asked::Broker;
    let unreachable = |error| Unhealthy::Unreachable { asked, bootstrap: bootstrap.to_owned(), error };
    let stream = admin::connect(bootstrap, PATIENCE).map_err(unreachable)?;
    let ask = |api: &'static str, request: &[u8]| {
        exchange(&stream, request).map_err(|error| Unhealthy::Silent {
            asked,
            bootstrap: bootstrap.to_owned(),
            api,
            error,
        })
    };
    let versions = ask("ApiVersions", API_VERSIONS)?;
    let metadata = ask("Metadata", METADATA)?;
    let strange = |api| Unhealthy::Strange { asked, bootstrap: bootstrap.to_owned(), api };
    // Correlation id, then the error code.
    if versions.get(..6) != Some(&[0, 0, 0, 1, 0, 0][..]) {
        return Err(strange("ApiVersions"));
    }
    // Correlation id, then the number of brokers.
    match metadata.split_first_chunk::<4>() {
        Some(([0, 0, 0, 2], rest)) if rest.first_chunk().is_some_and(|count| i32::from_be_bytes(*count) > 0) => Ok(()),
        _ => Err(strange("Metadata")),
    }
}

/// Asks the admin port at `admin` (host:port) whether the broker is ready, and for what keeps it from that. Answers what it cannot do
/// although it is ready, such as take records while the disk is nearly full; mostly nothing.
pub fn ready(admin: &str) -> Result<Vec<String>, Unhealthy> {
    let body = ask_admin(admin, "GET", "/readyz", "")?;
    Ok(body.lines().skip(1).map(str::to_owned).collect())
}

/// The first of `count` 64-bit ids in a row, from the admin port at `admin` (host:port).
pub fn issue_ids(admin: &str, count: u32) -> Result<i64, Unhealthy> {
    const API: &str = "/api/v1/ids";
    let body = ask_admin(admin, "POST", API, &format!("?count={count}"))?;
    let ids = serde_json::from_str::<serde_json::Value>(&body).ok();
    let first = ids.as_ref().and_then(|ids| ids["first"].as_str()?.parse().ok());
    first.ok_or(Unhealthy::Strange { asked: Asked::AdminPort, bootstrap: admin.to_owned(), api: API })
}

/// The body of what is answered with status 200. With 503, or 421 for a name that is not the broker's, the body says
/// why not.
fn ask_admin(admin: &str, method: &str, api: &'static str, query: &str) -> Result<String, Unhealthy> {
    let (asked, bootstrap) = (Asked::AdminPort, admin.to_owned());
    let answer = match admin::ask(admin, method, &format!("{api}{query}"), PATIENCE) {
        Ok(answer) => answer,
        Err(Silence::Unreachable(error)) => return Err(Unhealthy::Unreachable { asked, bootstrap, error }),
        Err(Silence::Broken(error)) => return Err(Unhealthy::Silent { asked, bootstrap, api, error }),
    };
    match answer.status {
        200 => Ok(answer.body),
        421 => Err(Unhealthy::Misdirected(answer.body.trim().to_owned())),
        503 => Err(Unhealthy::NotReady { admin: bootstrap, reasons: answer.body.trim().replace('\n', "; ") }),
        _ => Err(Unhealthy::Strange { asked, bootstrap, api }),
    }
}

fn exchange(stream: &TcpStream, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut frame = (request.len() as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(request);
    let mut stream = client::Until::after(PATIENCE, stream);
    stream.write_all(&frame)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > ANSWER_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// The verdict over a peer that answers with these frames' contents.
    fn verdict(answers: [&'static [u8]; 2]) -> Result<(), Unhealthy> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let peer = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("the probe connects");
            for answer in answers {
                let mut length = [0; 4];
                if stream.read_exact(&mut length).is_err() {
                    return;
                }
                let mut request = vec![0; u32::from_be_bytes(length) as usize];
                stream.read_exact(&mut request).expect("a whole request");
                let mut frame = (answer.len() as u32).to_be_bytes().to_vec();
                frame.extend_from_slice(answer);
                stream.write_all(&frame).expect("the probe reads");
            }
        });
        let verdict = probe(&address.to_string());
        peer.join().expect("the peer does not panic");
        verdict
    }

    #[test]
    fn only_a_broker_that_knows_itself_is_healthy() {
        const VERSIONS: &[u8] = &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        assert!(verdict([VERSIONS, &[0, 0, 0, 2, 0, 0, 0, 1, 9]]).is_ok());
        assert!(matches!(
            verdict([VERSIONS, &[0, 0, 0, 2, 0, 0, 0, 0]]),
            Err(Unhealthy::Strange { api: "Metadata", .. })
        ));
        assert!(matches!(verdict([&[0, 0, 0, 1, 0, 35], &[]]), Err(Unhealthy::Strange { api: "ApiVersions", .. })));
        assert!(matches!(probe("127.0.0.1:1"), Err(Unhealthy::Unreachable { .. })));
    }

    #[test]
    fn an_admin_port_that_has_no_ids_now_says_so_itself() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let first = |answer: &'static str| {
            let asked = std::thread::scope(|scope| {
                let peer = scope.spawn(|| {
                    let (mut stream, _) = listener.accept().expect("the probe connects");
                    let mut request = Vec::new();
                    while !request.ends_with(b"\r\n\r\n") {
                        let mut byte = [0];
                        stream.read_exact(&mut byte).expect("a whole request");
                        request.extend(byte);
                    }
                    stream.write_all(answer.as_bytes()).expect("the probe reads");
                    String::from_utf8(request).expect("text")
                });
                let first = issue_ids(&address, 3);
                (first, peer.join().expect("the peer does not panic"))
            });
            assert!(asked.1.starts_with("POST /api/v1/ids?count=3 HTTP/1.1\r\n"), "{}", asked.1);
            asked.0
        };
        let refused = first("HTTP/1.1 503 Service Unavailable\r\n\r\nno ids can be had now\n");
        let Err(Unhealthy::NotReady { reasons, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(reasons, "no ids can be had now");
        let refused = first("HTTP/1.1 421 Misdirected Request\r\n\r\nno name of this broker\n");
        assert_eq!(refused.expect_err("it is asked by another name").to_string(), "no name of this broker");
        assert!(matches!(first("HTTP/1.1 200 OK\r\n\r\n{\"first\": \"7\"}\n"), Ok(7)));
        assert!(matches!(first("HTTP/1.1 200 OK\r\n\r\n{}"), Err(Unhealthy::Strange { api: "/api/v1/ids", .. })));
        assert!(matches!(first("HTTP/1.1 404 Not Found\r\n\r\n"), Err(Unhealthy::Strange { .. })));
    }
}
