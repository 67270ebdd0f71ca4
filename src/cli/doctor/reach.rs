//! From the name of a broker to every address that the cluster tells its clients.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use kafka_protocol::messages::{MetadataRequest, MetadataResponse};

use super::CLIENT_ID;
use super::finding::{Done, Trouble, Walk};
use crate::client::{ClientError, Cluster, Connection, host_and_port};

/// What clients cannot do without: API, key, versions that the walk asks in.
const NEEDED: &[(&str, i16, (i16, i16))] = &[
    ("Produce", 0, (3, 9)),
    ("Fetch", 1, (4, 11)),
    ("ListOffsets", 2, (1, 6)),
    ("Metadata", 3, (4, 9)),
    ("OffsetCommit", 8, (2, 7)),
    ("OffsetFetch", 9, (2, 7)),
    ("FindCoordinator", 10, (1, 3)),
    ("InitProducerId", 22, (0, 4)),
];

/// Goes to the cluster. None if a client would not get there.
pub(super) fn reach(walk: &mut Walk, bootstrap: &str, patience: Duration) -> Option<Cluster> {
    let resolved = walk.step("resolve", || resolve(bootstrap))?;
    let mut connection = walk.step("connect", || {
        let connection = Connection::open(bootstrap, CLIENT_ID, patience)?;
        let at = connection.address();
        Ok(Done::new(connection, format!("{at} answers in Kafka's protocol")))
    })?;
    walk.step("api versions", || {
        let lacking = NEEDED.iter().find_map(|(api, key, versions)| connection.version(api, *key, *versions).err());
        match lacking {
            None => Ok(Done::new((), "what clients need is served")),
            Some(error) => Err(Trouble::new(
                error.to_string(),
                "a controller's listener serves no clients: name that of a broker; and brokers before Kafka 2.4 are too old for \
                 einmal's commands",
            )),
        }
    })?;
    let metadata = walk.step("metadata", || metadata(&mut connection))?;
    // Each of them, although one has failed: an operator corrects all at once.
    let mut are_all_reached = true;
    for broker in &metadata.brokers {
        let (id, host, port) = (broker.node_id.0, broker.host.as_str(), broker.port);
        let told = Told { id, host, port, cluster_id: metadata.cluster_id.as_deref() };
        are_all_reached &= walk.step("advertised", || advertised(&told, &resolved, patience)).is_some();
    }
    if !are_all_reached {
        return None;
    }
    walk.step("cluster", || {
        let cluster = Cluster::connect(bootstrap, CLIENT_ID, patience)?;
        let brokers = cluster.brokers().len();
        Ok(Done::new(cluster, format!("{brokers} of {brokers} brokers reached")))
    })
}

fn resolve(bootstrap: &str) -> Result<Done<Vec<SocketAddr>>, Trouble> {
    let unresolved = |error: io::Error| match error.kind() {
        io::ErrorKind::InvalidInput => {
            Trouble::new(format!("{bootstrap:?} is no address"), "write HOST:PORT, e.g. localhost:9092")
        }
        _ => Trouble::new(
            format!("the name in {bootstrap} does not resolve: {error}"),
            "check its spelling; names of containers resolve only within their network: from the host use localhost and a \
             published port, in compose run this in a service of the same network",
        ),
    };
    let addresses: Vec<SocketAddr> = bootstrap.to_socket_addrs().map_err(unresolved)?.collect();
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    Ok(Done::new(addresses, format!("{bootstrap} is {}", texts.join(", "))))
}

fn metadata(connection: &mut Connection) -> Result<Done<MetadataResponse>, Trouble> {
    let request = MetadataRequest::default().with_topics(Some(Vec::new())).with_allow_auto_topic_creation(false);
    let answer = connection.call("Metadata", &request, (4, 9))?;
    if answer.brokers.is_empty() {
        return Err(Trouble::new(
            "the broker knows of no broker, not even itself",
            "it may still be starting: see its log",
        ));
    }
    let told: Vec<String> =
        answer.brokers.iter().map(|broker| format!("{}:{}", broker.host.as_str(), broker.port)).collect();
    let cluster_id = answer.cluster_id.as_deref().unwrap_or("without id").to_owned();
    Ok(Done::new(answer, format!("cluster {cluster_id}; clients are told to connect to {}", told.join(", "))))
}

/// A broker as Metadata names it.
struct Told<'a> {
    id: i32,
    host: &'a str,
    port: i32,
    cluster_id: Option<&'a str>,
}

/// Connects to an address that clients are told: the failure of most first hours lies here.
fn advertised(told: &Told<'_>, bootstrap: &[SocketAddr], patience: Duration) -> Result<Done<()>, Trouble> {
    let Told { id, host, port, .. } = told;
    let address = host_and_port(host, *port);
    let set = |to: &str| {
        format!("set advertised.listeners of broker {id} to {to} (einmal: --advertise, EINMAL_ADVERTISED_HOST)")
    };
    if host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified()) || host.is_empty() {
        let what = format!("broker {id} tells clients to connect to {address}, which is no address");
        return Err(Trouble::new(what, set("a host that clients can reach")));
    }
    let is_local = is_loopback(host);
    let is_remote = bootstrap.iter().any(|address| !address.ip().is_loopback());
    let mut connection = Connection::open(&address, CLIENT_ID, patience).map_err(|error| {
        let what = format!("broker {id} tells clients to connect to {address}, which they cannot from here: {error}");
        let advice = match (&error, is_local && is_remote) {
            (_, true) => {
                format!("{address} means the client's own machine: {}", set("the name under which this one is known"))
            }
            (ClientError::Connect { error, .. }, _) if error.kind() == io::ErrorKind::ConnectionRefused => format!(
                "nothing listens at {address}: {}, with the port that is published where it runs in a container",
                set("where it can be reached")
            ),
            _ => set("a name and port that resolve and can be reached from here"),
        };
        Trouble::new(what, advice)
    })?;
    let there = metadata(&mut connection)?.value;
    if there.cluster_id.as_deref() != told.cluster_id {
        let what = format!("broker {id} tells clients to connect to {address}, where another cluster answers");
        let advice = format!("two brokers use one port, or the name leads elsewhere: {}", set("an address of its own"));
        return Err(Trouble::new(what, advice));
    }
    let warning = (is_local && is_remote).then(|| {
        format!(
            "{address} is this machine for every client: others are led to themselves; {}",
            set("this machine's name")
        )
    });
    let only_here = if is_local { ", from this machine only" } else { "" };
    Ok(Done::new((), format!("broker {id} is reached at {address}{only_here}")).warn(warning))
}

/// Whether `host` means, everywhere, the machine that asks.
fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
