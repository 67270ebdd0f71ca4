//! Listening sockets, and what clients are told of them.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket};

use crate::api::Endpoint;
use crate::config::listeners::machine_name;
use crate::config::{Config, Listener};

/// Connections that the system keeps until they are accepted.
const BACKLOG: u32 = 1024;
/// How often the system may choose a port that is not free at all addresses of a host.
const SHARED_PORT_ATTEMPTS: u32 = 10;

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

/// Binds all listeners of the configuration, in its order, each at every address of its host. Must be called within a tokio
/// runtime.
pub fn bind(config: &Config) -> Result<Vec<Bound>, BindError> {
    let mut bound = Vec::new();
    for listener in &config.listeners {
        bound.extend(bind_listener(listener)?);
    }
    Ok(bound)
}

/// The listener at every address of its host, so that a client that takes another one of them than its neighbour is not refused.
fn bind_listener(listener: &Listener) -> Result<Vec<Bound>, BindError> {
    let addresses = addresses(listener)?;
    let mut attempts = if listener.port == 0 { SHARED_PORT_ATTEMPTS } else { 1 };
    let sockets = loop {
        attempts -= 1;
        match bind_addresses(listener, &addresses) {
            // The port that the system chose at the first address is taken at another one: it may choose better.
            Err(BindError::InUse { .. }) if attempts > 0 => {}
            sockets => break sockets?,
        }
    };
    let first = sockets.first().map(|(_, address)| *address).expect("an error otherwise");
    let (host, port) = advertised(listener, first);
    let endpoint = Endpoint { listener: listener.name.clone(), host, port };
    let bound = |(socket, address)| Bound { endpoint: endpoint.clone(), address, socket };
    Ok(sockets.into_iter().map(bound).collect())
}

/// Sockets at as many of the addresses as this machine has, at least one, all at the same port.
fn bind_addresses(listener: &Listener, addresses: &[SocketAddr]) -> Result<Vec<(TcpListener, SocketAddr)>, BindError> {
    let name = || listener.name.clone();
    let (mut sockets, mut refused) = (Vec::new(), Vec::new());
    for mut address in addresses.iter().copied() {
        if let Some((_, first)) = sockets.first() {
            // The whole machine is one address, over IPv6 where there is that, else over IPv4.
            if listener.host.is_empty() {
                break;
            }
            address.set_port(SocketAddr::port(first));
        }
        match listen(address) {
            Ok(socket) => sockets.push(socket),
            // Whoever has it would get some of the clients.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(BindError::InUse { listener: name(), address });
            }
            // A machine without IPv6 has the other one; a name may also stand for other machines.
            Err(error) => refused.push((address, error)),
        }
    }
    if sockets.is_empty() {
        return Err(match refused.pop() {
            Some((address, source)) => BindError::Bind { listener: name(), address, source },
            None => {
                let source = io::ErrorKind::NotFound.into();
                BindError::Resolve { listener: name(), host: listener.host.clone(), source }
            }
        });
    }
    for (address, error) in refused.iter().filter(|_| !listener.host.is_empty()) {
        tracing::warn!(listener = %listener.name, %address, %error, "one of the addresses of the listener's host is not served");
    }
    Ok(sockets)
}

/// Says of which endpoints this machine does not know the host: clients may know it, but more often it is a slip.
pub async fn warn_of_unknown_hosts(endpoints: Vec<Endpoint>) {
    for Endpoint { listener, host, port } in endpoints {
        let found = tokio::net::lookup_host((host.as_str(), port)).await;
        if let Err(error) =
            found.map(|mut addresses| addresses.next()).and_then(|found| found.ok_or(io::ErrorKind::NotFound.into()))
        {
            tracing::warn!(%listener, host, %error, "clients are told a host that this machine does not know; see advertised.listeners");
        }
    }
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

/// Each once, those of IPv4 first: the first is the one that is told of, as Java orders them.
fn ipv4_first(mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    addresses.sort_by_key(SocketAddr::is_ipv6);
    let mut seen = HashSet::new();
    addresses.retain(|address| seen.insert(*address));
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

    /// The first of the sockets.
    fn bind_one(listener: &Listener) -> Result<Bound, BindError> {
        bind_listener(listener).map(|mut bound| bound.remove(0))
    }

    #[test]
    fn each_address_of_a_host_is_tried_once_ipv4_first() {
        let debian = [SocketAddr::from((Ipv6Addr::LOCALHOST, 9092)), SocketAddr::from((Ipv4Addr::LOCALHOST, 9092))];
        assert_eq!(ipv4_first([debian, debian].concat()), [debian[1], debian[0]]);
    }

    #[tokio::test]
    async fn all_addresses_of_a_host_are_served_at_one_port() {
        let loopback = |last| SocketAddr::from(([127, 0, 0, last], 0));
        let local = listener("a.host", 0, None);
        let sockets = bind_addresses(&local, &[loopback(1), loopback(2), loopback(3)]).unwrap();
        let bound: Vec<_> = sockets.iter().map(|(_, address)| *address).collect();
        assert_eq!(bound.len(), 3);
        assert!(bound.iter().all(|address| address.port() == bound[0].port() && address.port() != 0), "{bound:?}");
        for address in &bound {
            tokio::net::TcpStream::connect(address).await.unwrap();
        }
        // One that is taken is not left out: its holder would get some of the clients.
        let (_taken, holder) = listen(loopback(2)).unwrap();
        let fixed = Listener { port: holder.port(), ..local.clone() };
        let port = |mut address: SocketAddr| {
            address.set_port(holder.port());
            address
        };
        let error = bind_addresses(&fixed, &[port(loopback(4)), port(loopback(2))]).unwrap_err();
        assert!(matches!(error, BindError::InUse { address, .. } if address == holder), "{error}");
        // One that this machine does not have is.
        let elsewhere = SocketAddr::from(([192, 0, 2, 1], 0));
        let sockets = bind_addresses(&local, &[elsewhere, loopback(1)]).unwrap();
        assert_eq!(sockets.len(), 1);
    }

    #[tokio::test]
    async fn localhost_is_served_wherever_it_is() {
        let bound = bind_listener(&listener("localhost", 0, None)).unwrap();
        assert!(bound.iter().all(|bound| bound.endpoint == bound_endpoint(&bound.endpoint, bound.address.port())));
        for bound in &bound {
            tokio::net::TcpStream::connect(bound.address).await.unwrap();
        }
    }

    fn bound_endpoint(endpoint: &Endpoint, port: u16) -> Endpoint {
        Endpoint { listener: endpoint.listener.clone(), host: "localhost".to_owned(), port }
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
