//! Listening sockets, and what clients are told of them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket};

use crate::api::Endpoint;
use crate::config::listeners::machine_name;
use crate::config::{Config, Listener};

/// Connections that the system keeps until they are accepted.
const BACKLOG: u32 = 1024;

/// A listener that accepts, and its address for clients.
#[derive(Debug)]
pub struct Bound {
    /// What clients are told.
    pub endpoint: Endpoint,
    /// Where it is bound, port resolved.
    pub address: SocketAddr,
    /// The socket.
    pub socket: TcpListener,
}

/// Why a listener cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The port is taken.
    #[error("listener {listener}: {address} is in use; stop the other process or give the listener another port")]
    InUse {
        /// Name of the listener.
        listener: Arc<str>,
        /// What it was to be bound to.
        address: SocketAddr,
    },
    /// The host has no address.
    #[error("listener {listener}: host {host} has no address: {source}")]
    Resolve {
        /// Name of the listener.
        listener: Arc<str>,
        /// As configured.
        host: String,
        /// From the resolver.
        source: io::Error,
    },
    /// Anything else: a privileged port, an address of another machine.
    #[error("listener {listener}: cannot bind {address} ({source}): {}", bind_advice(source))]
    Bind {
        /// Name of the listener.
        listener: Arc<str>,
        /// What it was to be bound to.
        address: SocketAddr,
        /// From the system.
        source: io::Error,
    },
}

fn bind_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrNotAvailable => {
            "give an address of this machine, or none for all of them; what clients are told goes into advertised.listeners"
        }
        io::ErrorKind::PermissionDenied => "give a port above 1023, or this user the right to bind lower ones",
        _ => "give the listener another address",
    }
}

/// Binds all listeners of the configuration, in its order. Must be called within a tokio runtime.
pub fn bind(config: &Config) -> Result<Vec<Bound>, BindError> {
    config.listeners.iter().map(bind_one).collect()
}

fn bind_one(listener: &Listener) -> Result<Bound, BindError> {
    let mut refused = None;
    for address in addresses(listener)? {
        match listen(address) {
            Ok((socket, address)) => {
                let (host, port) = advertised(listener, address);
                return Ok(Bound {
                    endpoint: Endpoint { listener: listener.name.clone(), host, port },
                    address,
                    socket,
                });
            }
            // A machine without IPv6 has the next address; a port that is in use stays so.
            Err(error) => {
                let is_in_use = error.kind() == io::ErrorKind::AddrInUse;
                refused = Some((address, error));
                if is_in_use {
                    break;
                }
            }
        }
    }
    let name = listener.name.clone();
    Err(match refused {
        Some((address, error)) if error.kind() == io::ErrorKind::AddrInUse => {
            BindError::InUse { listener: name, address }
        }
        Some((address, source)) => BindError::Bind { listener: name, address, source },
        None => {
            BindError::Resolve { listener: name, host: listener.host.clone(), source: io::ErrorKind::NotFound.into() }
        }
    })
}

/// Addresses to try in order. An empty host is every address, IPv4 through IPv6 where the machine has it.
fn addresses(listener: &Listener) -> Result<Vec<SocketAddr>, BindError> {
    if listener.host.is_empty() {
        let any = [IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
        return Ok(any.map(|ip| SocketAddr::new(ip, listener.port)).into());
    }
    let host = listener.host.trim_start_matches('[').trim_end_matches(']');
    let addresses = (host, listener.port).to_socket_addrs().map_err(|source| BindError::Resolve {
        listener: listener.name.clone(),
        host: listener.host.clone(),
        source,
    })?;
    Ok(ipv4_first(addresses.collect()))
}

/// As Java orders them, where Kafka's users expect `localhost`: Debian names `::1` first.
fn ipv4_first(mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    addresses.sort_by_key(SocketAddr::is_ipv6);
    addresses
}

fn listen(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() }?;
    // A broker that restarts must not wait for the connections of its predecessor to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Host and port for clients: as configured, else what was bound, else this machine's name.
fn advertised(listener: &Listener, bound: SocketAddr) -> (String, u16) {
    if let Some((host, port)) = &listener.advertised {
        return (host.clone(), if *port == 0 { bound.port() } else { *port });
    }
    let host = if bound.ip().is_unspecified() { machine_name() } else { listener.host.clone() };
    (host, bound.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SecurityProtocol;

    fn listener(host: &str, port: u16, advertised: Option<(&str, u16)>) -> Listener {
        Listener {
            name: "PLAINTEXT".into(),
            protocol: SecurityProtocol::Plaintext,
            host: host.to_owned(),
            port,
            advertised: advertised.map(|(host, port)| (host.to_owned(), port)),
        }
    }

    #[tokio::test]
    async fn clients_are_told_a_real_host_and_port() {
        let bound = bind_one(&listener("127.0.0.1", 0, None)).unwrap();
        assert_ne!(bound.address.port(), 0);
        assert_eq!((bound.endpoint.host.as_str(), bound.endpoint.port), ("127.0.0.1", bound.address.port()));

        for host in ["", "0.0.0.0"] {
            let bound = bind_one(&listener(host, 0, None)).unwrap();
            assert!(bound.address.ip().is_unspecified());
            assert!(bound.endpoint.host.parse::<IpAddr>().is_err(), "a wildcard is never advertised");
            assert!(!bound.endpoint.host.is_empty());
        }

        let bound = bind_one(&listener("127.0.0.1", 0, Some(("kafka.example", 9000)))).unwrap();
        assert_eq!((bound.endpoint.host.as_str(), bound.endpoint.port), ("kafka.example", 9000));
        let bound = bind_one(&listener("127.0.0.1", 0, Some(("kafka.example", 0)))).unwrap();
        assert_eq!(bound.endpoint.port, bound.address.port());
    }

    #[test]
    fn localhost_is_served_where_most_clients_look_for_it() {
        let debian = vec![SocketAddr::from((Ipv6Addr::LOCALHOST, 9092)), SocketAddr::from((Ipv4Addr::LOCALHOST, 9092))];
        assert_eq!(ipv4_first(debian.clone()), [debian[1], debian[0]]);
    }

    #[tokio::test]
    async fn errors_name_the_listener_and_the_cause() {
        let taken = bind_one(&listener("127.0.0.1", 0, None)).unwrap();
        let error = bind_one(&listener("127.0.0.1", taken.address.port(), None)).unwrap_err();
        assert!(matches!(&error, BindError::InUse { address, .. } if *address == taken.address), "{error}");
        // An address of documentation, never of this machine.
        let error = bind_one(&listener("192.0.2.1", 0, None)).unwrap_err();
        assert!(matches!(&error, BindError::Bind { listener, .. } if &**listener == "PLAINTEXT"), "{error}");
        assert!(error.to_string().contains("advertised.listeners"), "{error}");
    }
}
