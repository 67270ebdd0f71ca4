//! Who can reach the broker by which address, in sentences: bootstrap is only half of connecting, as the broker then tells clients
//! where to go, and what it tells is right from some places and wrong from others.
//!
//! Pure but for [`Place::of_this_process`]. What cannot work at all is refused with the settings (`config::listeners`).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use super::Bound;
use crate::api::Endpoint;

/// Where the process runs, as far as that decides who finds it by which address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// No container, or none that shows itself.
    Machine,
    /// A container of Docker or Podman.
    Container,
    /// A pod of Kubernetes.
    Pod,
}

impl Place {
    /// By the signs that container engines leave.
    pub fn of_this_process() -> Self {
        if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
            Self::Pod
        } else if Path::new("/.dockerenv").exists() || Path::new("/run/.containerenv").exists() {
            Self::Container
        } else {
            Self::Machine
        }
    }
}

/// What is to be said of the listeners at a start.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Reach {
    /// From where to use which address: one sentence.
    pub directions: String,
    /// What will keep clients from connecting, each with the setting to change: whole sentences.
    pub warnings: Vec<String>,
}

/// What [`Bound`]s tell of one listener.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reached {
    listener: Arc<str>,
    host: String,
    port: u16,
    /// Whether only this machine, or this container, can connect to the sockets.
    is_bound_to_loopback: bool,
    bound_port: u16,
}

impl Reached {
    fn is_told_loopback(&self) -> bool {
        is_loopback(&self.host)
    }

    /// Whether others than this machine may connect, and are told a host that is not themselves.
    fn is_for_others(&self) -> bool {
        !self.is_bound_to_loopback && !self.is_told_loopback()
    }

    /// A name without a dot: known where containers, pods or the machines of one network are, seldom farther.
    fn is_bare_name(&self) -> bool {
        !self.host.contains(['.', ':'])
    }

    fn address(&self) -> String {
        Endpoint { listener: self.listener.clone(), host: self.host.clone(), port: self.port }.address()
    }
}

/// What is to be said of `bound` in this place.
pub fn reach(bound: &[Bound], place: Place) -> Reach {
    let mut listeners: BTreeMap<Arc<str>, Reached> = BTreeMap::new();
    let mut order = Vec::new();
    for Bound { endpoint, address, .. } in bound {
        let found = listeners.entry(endpoint.listener.clone()).or_insert_with(|| {
            order.push(endpoint.listener.clone());
            reached(endpoint, address)
        });
        found.is_bound_to_loopback &= address.ip().is_loopback();
    }
    let listeners: Vec<Reached> = order.iter().filter_map(|listener| listeners.remove(listener)).collect();
    Reach { directions: directions(&listeners, place), warnings: warnings(&listeners, place) }
}

fn reached(endpoint: &Endpoint, address: &SocketAddr) -> Reached {
    Reached {
        listener: endpoint.listener.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
        is_bound_to_loopback: address.ip().is_loopback(),
        bound_port: address.port(),
    }
}

/// The host by which a machine means itself, so that each client takes it for its own.
fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    let is_address = host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    is_address || host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost")
}

fn directions(listeners: &[Reached], place: Place) -> String {
    let told = |found: Option<&Reached>, otherwise: &str| match found {
        Some(listener) => format!("use {}", listener.address()),
        None => otherwise.to_owned(),
    };
    const NOT_CONFIGURED: &str = "not configured, set advertised.listeners";
    let open_loopback = listeners.iter().find(|listener| listener.is_told_loopback() && !listener.is_bound_to_loopback);
    let bare = listeners.iter().find(|listener| listener.is_for_others() && listener.is_bare_name());
    let far = listeners.iter().find(|listener| listener.is_for_others() && !listener.is_bare_name());
    let here = listeners.iter().find(|listener| listener.is_told_loopback()).or(listeners.first());
    match place {
        Place::Machine => {
            let is_local = listeners.iter().all(|listener| listener.is_bound_to_loopback);
            let otherwise = if is_local { "not configured, listeners serves this host alone" } else { NOT_CONFIGURED };
            format!(
                "from this host: {}; from another host: {}",
                told(here, NOT_CONFIGURED),
                told(far.or(bare), otherwise)
            )
        }
        Place::Container => format!(
            "from inside this container: {}; from its host: {}; from another container: {}; from another host: {}",
            told(here, NOT_CONFIGURED),
            match open_loopback.or(far) {
                Some(listener) => format!("use {}, with port {} published", listener.address(), listener.bound_port),
                None => NOT_CONFIGURED.to_owned(),
            },
            told(bare.or(far), NOT_CONFIGURED),
            told(far, NOT_CONFIGURED)
        ),
        Place::Pod => {
            let outside = "not configured: give them a listener of their own, and name it in advertised.listeners";
            let several = listeners.iter().filter(|listener| listener.is_for_others()).nth(1);
            format!(
                "from other pods: {}; from outside the cluster: {}",
                told(far.or(bare), NOT_CONFIGURED),
                told(several, outside)
            )
        }
    }
}

fn warnings(listeners: &[Reached], place: Place) -> Vec<String> {
    let mut warnings = Vec::new();
    let others_have_one = listeners.iter().any(Reached::is_for_others);
    for listener in listeners {
        let (name, address) = (&listener.listener, listener.address());
        if listener.is_bound_to_loopback {
            if place != Place::Machine {
                warnings.push(format!(
                    "listener {name} serves the inside of this container alone, and a published port does not reach it: leave the \
                     host out of listeners ({name}://:{})",
                    listener.bound_port
                ));
            } else if !listener.is_told_loopback() && listener.port == listener.bound_port {
                warnings.push(format!(
                    "clients of listener {name} are told {address}, but it serves this host alone: leave the host out of listeners \
                     ({name}://:{}), or advertise localhost",
                    listener.bound_port
                ));
            }
        } else if listener.is_told_loopback() && !others_have_one {
            warnings.push(match place {
                Place::Machine => format!(
                    "listener {name} serves other hosts, but tells them {address}, which each takes for itself: name in \
                     advertised.listeners the host by which they know this one"
                ),
                Place::Container | Place::Pod => format!(
                    "clients of listener {name} are told {address}, which in another container means that container: give those a \
                     listener of their own, and name it in advertised.listeners"
                ),
            });
        }
        if place == Place::Pod && listener.is_for_others() && listener.is_bare_name() {
            warnings.push(format!(
                "clients of listener {name} are told {address}, and the bare name of a pod is known to no other: advertise its name \
                 under a headless service, such as einmal-0.einmal.default.svc"
            ));
        }
    }
    for (index, listener) in listeners.iter().enumerate() {
        let same = |other: &&Reached| (&other.host, other.port) == (&listener.host, listener.port);
        if let Some(other) = listeners[..index].iter().find(same) {
            warnings.push(format!(
                "listeners {} and {} tell their clients the same address, {}: one of them is never reached; see advertised.listeners",
                other.listener,
                listener.listener,
                listener.address()
            ));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `NAME bound-address => advertised:port`, several with `, `.
    fn listeners(text: &str) -> Vec<Reached> {
        let one = |text: &str| {
            let (name, rest) = text.split_once(' ').expect("a name");
            let (bound, told) = rest.split_once(" => ").expect("an arrow");
            let (host, port) = told.rsplit_once(':').expect("a port");
            let endpoint =
                Endpoint { listener: name.into(), host: host.to_owned(), port: port.parse().expect("a port") };
            reached(&endpoint, &bound.parse().expect("an address"))
        };
        text.split(", ").map(one).collect()
    }

    #[test]
    fn each_situation_has_its_directions() {
        use Place::{Container, Machine, Pod};
        for (place, situation, expected) in [
            (
                Machine,
                "A 127.0.0.1:9092 => localhost:9092",
                "from this host: use localhost:9092; from another host: not configured, listeners serves this host alone",
            ),
            (Machine, "A [::]:9092 => desk:9092", "from this host: use desk:9092; from another host: use desk:9092"),
            (
                Machine,
                "A [::]:9092 => localhost:9092",
                "from this host: use localhost:9092; from another host: not configured, set advertised.listeners",
            ),
            (
                Machine,
                "A 127.0.0.1:9092 => localhost:9092, B 0.0.0.0:9093 => kafka.example.com:9093",
                "from this host: use localhost:9092; from another host: use kafka.example.com:9093",
            ),
            (
                Machine,
                "A [::]:9092 => fd00::7:9092",
                "from this host: use [fd00::7]:9092; from another host: use [fd00::7]:9092",
            ),
            (
                Container,
                "HOST [::]:9092 => localhost:9092, DOCKER [::]:19092 => einmal:19092",
                "from inside this container: use localhost:9092; from its host: use localhost:9092, with port 9092 published; from another container: use \
                 einmal:19092; from another host: not configured, set advertised.listeners",
            ),
            (
                Container,
                "A [::]:9092 => 3f2a90b1c7de:9092",
                "from inside this container: use 3f2a90b1c7de:9092; from its host: not configured, set advertised.listeners; from another container: use \
                 3f2a90b1c7de:9092; from another host: not configured, set advertised.listeners",
            ),
            (
                Container,
                "A [::]:9092 => kafka.example.com:32000",
                "from inside this container: use kafka.example.com:32000; from its host: use kafka.example.com:32000, with port 9092 published; from another container: use \
                 kafka.example.com:32000; from another host: use kafka.example.com:32000",
            ),
            (
                Container,
                "A 127.0.0.1:9092 => localhost:9092",
                "from inside this container: use localhost:9092; from its host: not configured, set advertised.listeners; from another container: not configured, \
                 set advertised.listeners; from another host: not configured, set advertised.listeners",
            ),
            (
                Pod,
                "A [::]:9092 => einmal-0.einmal.default.svc:9092",
                "from other pods: use einmal-0.einmal.default.svc:9092; from outside the cluster: not configured: give them a listener \
                 of their own, and name it in advertised.listeners",
            ),
            (
                Pod,
                "A [::]:9092 => einmal-0.einmal:9092, B [::]:9093 => kafka.example.com:31000",
                "from other pods: use einmal-0.einmal:9092; from outside the cluster: use kafka.example.com:31000",
            ),
        ] {
            assert_eq!(directions(&listeners(situation), place), expected, "{place:?}: {situation}");
        }
    }

    #[test]
    fn what_keeps_clients_away_is_told_with_what_to_do() {
        use Place::{Container, Machine, Pod};
        // None: nothing to warn of.
        for (place, situation, expected) in [
            (Machine, "A 127.0.0.1:9092 => localhost:9092", None),
            (Machine, "A [::]:9092 => desk:9092", None),
            // Clients come through something that listens elsewhere.
            (Machine, "A 127.0.0.1:9092 => kafka.example.com:443", None),
            (Machine, "A 127.0.0.1:9092 => kafka.example.com:9092", Some("serves this host alone")),
            (Machine, "A 0.0.0.0:9092 => localhost:9092", Some("which each takes for itself")),
            (Machine, "A 0.0.0.0:9092 => 127.0.0.1:9092", Some("which each takes for itself")),
            (Machine, "A 0.0.0.0:9092 => localhost:9092, B 0.0.0.0:9093 => desk:9093", None),
            (Container, "HOST [::]:9092 => localhost:9092, DOCKER [::]:19092 => einmal:19092", None),
            (Container, "A [::]:9092 => localhost:9092", Some("in another container means that container")),
            (Container, "A 127.0.0.1:9092 => localhost:9092", Some("leave the host out of listeners (A://:9092)")),
            (Container, "A [::1]:9092 => einmal:9092", Some("a published port does not reach it")),
            (Pod, "A [::]:9092 => einmal-0.einmal.default.svc:9092", None),
            (Pod, "A [::]:9092 => einmal-0:9092", Some("under a headless service")),
            (Pod, "A [::]:9092 => localhost:9092", Some("means that container")),
            (
                Machine,
                "A [::]:9092 => desk:9092, B [::]:9093 => desk:9092",
                Some("listeners A and B tell their clients the same"),
            ),
        ] {
            let told = warnings(&listeners(situation), place);
            match expected {
                None => assert!(told.is_empty(), "{place:?}: {situation}: {told:?}"),
                Some(words) => {
                    assert!(told.len() == 1 && told[0].contains(words), "{place:?}: {situation}: {told:?}");
                }
            }
        }
    }

    #[test]
    fn a_host_that_each_client_takes_for_itself_is_recognised() {
        for host in ["localhost", "LocalHost", "localhost.", "a.localhost", "127.0.0.1", "127.3.2.1", "::1", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example.com", "10.0.0.1", "einmal", "::2"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
