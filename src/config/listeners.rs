//! Listeners from their texts: names, protocols, addresses to bind and addresses to tell.
//!
//! Mirrors `SocketServerConfigs.listenerListToEndPoints` and the checks of `KafkaConfig`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::table::list;
use super::{Listener, SecurityProtocol};

/// Values of the settings that describe listeners.
#[derive(Debug, Clone, Copy)]
pub struct Texts<'a> {
    /// `listeners`.
    pub listeners: &'a str,
    /// `advertised.listeners`, if given.
    pub advertised: Option<&'a str>,
    /// `einmal.advertised.host`, if given.
    pub advertised_host: Option<&'a str>,
    /// `listener.security.protocol.map`.
    pub protocols: &'a str,
    /// `controller.listener.names`.
    pub controllers: &'a str,
}

/// Listeners to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listeners {
    /// In the order given; never empty.
    pub served: Vec<Listener>,
    /// Names of those left out because their protocol is not served.
    pub skipped: Vec<String>,
}

/// Why listeners cannot be served as described; each says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum ListenerError {
    #[error("{setting} has {text:?}: write it as NAME://host:port, e.g. PLAINTEXT://localhost:9092")]
    Malformed { setting: &'static str, text: String },
    #[error("{setting} has {text:?}: there is no port {port}, the last one is 65535")]
    NoPort { setting: &'static str, text: String, port: String },
    #[error(
        "{setting} names {name} twice: give each listener a name of its own and map it in listener.security.protocol.map"
    )]
    DuplicateName { setting: &'static str, name: String },
    #[error("listeners {first} and {second} have the same address {host}:{port}: give each a port of its own")]
    DuplicateAddress { first: String, second: String, host: String, port: u16 },
    #[error("listener.security.protocol.map has {text:?}: write it as NAME:PROTOCOL, e.g. INTERNAL:PLAINTEXT")]
    MalformedProtocol { text: String },
    #[error("listener {name} has no protocol: add {name}:PLAINTEXT to listener.security.protocol.map")]
    NoProtocol { name: String },
    #[error("listener {name} has the unknown protocol {protocol}: use PLAINTEXT in listener.security.protocol.map")]
    UnknownProtocol { name: String, protocol: String },
    #[error(
        "listener {name} asks for {protocol}, which is not served yet: make it PLAINTEXT or remove it from listeners \
         (--allow-unknown-config leaves it out)"
    )]
    NotServed { name: String, protocol: String },
    #[error("listeners leaves nothing to serve: add one, e.g. PLAINTEXT://localhost:9092")]
    None,
    #[error("advertised.listeners names {name}, which is not in listeners: add it there or remove it here")]
    NotBound { name: String },
    #[error(
        "{setting} tells clients of {name} to connect to {host}, which is no address: name a host that clients can reach"
    )]
    Wildcard { setting: &'static str, name: String, host: String },
}

/// Protocols that Kafka knows and einmal does not serve.
const PROTOCOLS_NOT_SERVED: &[&str] = &["SSL", "SASL_PLAINTEXT", "SASL_SSL"];

/// The listeners that `texts` describe. `host_name` stands for `auto` and for an empty advertised host. With
/// `skip_unserved` listeners whose protocol is not served are left out, else they are refused.
pub fn resolve(texts: &Texts<'_>, host_name: &str, skip_unserved: bool) -> Result<Listeners, ListenerError> {
    let protocols = protocols(texts)?;
    let controllers: Vec<String> = list(texts.controllers).map(str::to_uppercase).collect();
    let bound = addresses("listeners", texts.listeners)?;
    let advertised = addresses("advertised.listeners", texts.advertised.unwrap_or_default())?;
    for address in &advertised {
        if !controllers.contains(&address.name) && !bound.iter().any(|bound| bound.name == address.name) {
            return Err(ListenerError::NotBound { name: address.name.clone() });
        }
    }

    let mut served: Vec<Listener> = Vec::new();
    let mut skipped = Vec::new();
    for address in bound.into_iter().filter(|address| !controllers.contains(&address.name)) {
        let Some(protocol) = protocols.get(&address.name) else {
            return Err(ListenerError::NoProtocol { name: address.name });
        };
        if protocol != "PLAINTEXT" {
            if !PROTOCOLS_NOT_SERVED.contains(&protocol.as_str()) {
                return Err(ListenerError::UnknownProtocol { name: address.name, protocol: protocol.clone() });
            }
            if !skip_unserved {
                return Err(ListenerError::NotServed { name: address.name, protocol: protocol.clone() });
            }
            skipped.push(address.name);
            continue;
        }
        if let Some(other) = served.iter().find(|other| {
            address.port != 0
                && other.port == address.port
                && (other.host == address.host || is_wildcard(&address.host))
        }) {
            return Err(ListenerError::DuplicateAddress {
                first: other.name.to_string(),
                second: address.name,
                host: address.host,
                port: address.port,
            });
        }
        let told = advertised.iter().find(|advertised| advertised.name == address.name);
        served.push(Listener {
            advertised: advertise(&address, told, texts.advertised_host, host_name)?,
            name: Arc::from(address.name.as_str()),
            protocol: SecurityProtocol::Plaintext,
            host: address.host,
            port: address.port,
        });
    }
    if served.is_empty() {
        return Err(ListenerError::None);
    }
    Ok(Listeners { served, skipped })
}

/// What clients of `bound` are told. None: what turns out to be bound.
fn advertise(
    bound: &Address,
    told: Option<&Address>,
    advertised_host: Option<&str>,
    host_name: &str,
) -> Result<Option<(String, u16)>, ListenerError> {
    let (setting, host, port) = match (told, advertised_host) {
        (Some(told), _) => ("advertised.listeners", told.host.as_str(), told.port),
        (None, Some(host)) => ("einmal.advertised.host", host, bound.port),
        (None, None) => return Ok(None),
    };
    match host {
        "" | "auto" => Ok(Some((host_name.to_owned(), port))),
        host if is_wildcard(host) => {
            Err(ListenerError::Wildcard { setting, name: bound.name.clone(), host: host.to_owned() })
        }
        host => Ok(Some((host.to_owned(), port))),
    }
}

/// Whether `host` means all interfaces: good to bind, nothing to connect to.
pub fn is_wildcard(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.is_empty() || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_unspecified())
}

/// Name of this machine, `localhost` where the system does not tell.
pub fn machine_name() -> String {
    let name =
        std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::fs::read_to_string("/etc/hostname"));
    match name.as_deref().map(str::trim) {
        Ok(name) if !name.is_empty() && name != "(none)" => name.to_owned(),
        _ => "localhost".to_owned(),
    }
}

struct Address {
    name: String,
    host: String,
    port: u16,
}

fn addresses(setting: &'static str, text: &str) -> Result<Vec<Address>, ListenerError> {
    let mut addresses: Vec<Address> = Vec::new();
    for element in list(text) {
        let address = address(element).ok_or_else(|| not_an_address(setting, element))?;
        if addresses.iter().any(|other| other.name == address.name) {
            return Err(ListenerError::DuplicateName { setting, name: address.name });
        }
        addresses.push(address);
    }
    Ok(addresses)
}

/// What is wrong with `text`, of which [`address`] makes nothing.
fn not_an_address(setting: &'static str, text: &str) -> ListenerError {
    let text = text.to_owned();
    match text.rsplit_once(':').map(|(_, port)| port) {
        Some(port)
            if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_err() =>
        {
            ListenerError::NoPort { setting, port: port.to_owned(), text }
        }
        _ => ListenerError::Malformed { setting, text },
    }
}

/// `NAME://host:port`; the host may be empty or an IPv6 address in brackets, which are dropped.
fn address(text: &str) -> Option<Address> {
    let (name, rest) = text.split_once("://")?;
    let (host, port) = rest.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.strip_suffix(']')?,
        None if host.contains([':', '/', ' ']) => return None,
        None => host,
    };
    let is_named = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    is_named.then_some(Address { name: name.to_uppercase(), host: host.to_owned(), port: port.parse().ok()? })
}

fn protocols(texts: &Texts<'_>) -> Result<BTreeMap<String, String>, ListenerError> {
    let mut protocols = BTreeMap::new();
    for element in list(texts.protocols) {
        let (name, protocol) =
            element.split_once(':').ok_or_else(|| ListenerError::MalformedProtocol { text: element.to_owned() })?;
        protocols.insert(name.trim().to_uppercase(), protocol.trim().to_uppercase());
    }
    // Kafka drops its default map once one is given. Names that are protocols can mean only themselves.
    for protocol in PROTOCOLS_NOT_SERVED.iter().chain(&["PLAINTEXT"]) {
        protocols.entry((*protocol).to_owned()).or_insert_with(|| (*protocol).to_owned());
    }
    Ok(protocols)
}

#[cfg(test)]
mod tests;
