//! From the name of a broker to every address that the cluster tells its clients.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use kafka_protocol::messages::{MetadataRequest, MetadataResponse};

use super::CLIENT_ID;
use super::finding::{Done, Trouble, Walk};
use crate::client::{ClientError, Cluster, Connection, addresses, host_and_port};

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
    let Resolved { bootstrap, addresses: resolved } = walk.step("resolve", || resolve(bootstrap))?;
    let (bootstrap, mut connection) = walk.step("connect", || connect(&bootstrap, patience))?;
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
        let cluster = Cluster::connect(&bootstrap, CLIENT_ID, patience)?;
        let brokers = cluster.brokers().len();
        Ok(Done::new(cluster, format!("{brokers} of {brokers} brokers reached")))
    })
}

/// The names of brokers that resolve, and all that they resolve to.
struct Resolved {
    bootstrap: Vec<String>,
    addresses: Vec<SocketAddr>,
}

/// Each of those that were given: one that resolves is enough, and what is wrong with the others is worth a warning.
fn resolve(given: &str) -> Result<Done<Resolved>, Trouble> {
    let unresolved = |name: &str, error: &io::Error| {
        Trouble::new(
            format!("the name in {name} does not resolve: {error}"),
            "check its spelling; names of containers resolve only within their network: from the host use localhost and a \
             published port, in compose run this in a service of the same network",
        )
    };
    let mut resolved = Resolved { bootstrap: Vec::new(), addresses: Vec::new() };
    let (mut found, mut troubles) = (Vec::new(), Vec::new());
    for name in addresses(given).map_err(ClientError::from)? {
        match name.to_socket_addrs() {
            Ok(addresses) => {
                let addresses: Vec<SocketAddr> = addresses.collect();
                let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                found.push(format!("{name} is {}", texts.join(", ")));
                resolved.addresses.extend(addresses);
                resolved.bootstrap.push(name);
            }
            Err(error) => troubles.push(unresolved(&name, &error)),
        }
    }
    some_of(resolved, found, troubles)
}

/// The first that answers, as clients go through their list.
fn connect(bootstrap: &[String], patience: Duration) -> Result<Done<(String, Connection)>, Trouble> {
    let mut troubles = Vec::new();
    for name in bootstrap {
        match Connection::open(name, CLIENT_ID, patience) {
            Ok(connection) => {
                let what = format!("{} answers in Kafka's protocol", connection.address());
                return some_of((name.clone(), connection), vec![what], troubles);
            }
            Err(error) => troubles.push(error.into()),
        }
    }
    Err(troubles.swap_remove(0))
}

/// A step of which one part is enough: what was `found`, and a warning of the `troubles` beside it. Without anything found, the first of these.
fn some_of<T>(value: T, found: Vec<String>, mut troubles: Vec<Trouble>) -> Result<Done<T>, Trouble> {
    if found.is_empty() {
        return Err(troubles.swap_remove(0));
    }
    let told = troubles
        .into_iter()
        .map(|Trouble { what, advice }| advice.map_or_else(|| what.clone(), |advice| format!("{what}; {advice}")));
    let warning = told.reduce(|all, one| format!("{all}; {one}"));
    Ok(Done::new(value, found.join("; ")).warn(warning))
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
