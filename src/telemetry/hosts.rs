//! By which names the admin port may be asked for what browsers could misuse. Pure.
//!
//! A page of another site can let its own name resolve to an address of ours ("DNS rebinding"): to the browser that page and our answers
//! are then of one origin, and its scripts read them. But the name stands in the request's `Host`. Addresses do not resolve to anything
//! else, and our own names are not in the hands of others.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

/// Names that are ours.
#[derive(Debug, Clone, Default)]
pub struct Hosts(BTreeSet<String>);

impl Hosts {
    /// These names: those that listeners advertise, and `einmal.admin.hosts`.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self(names.into_iter().map(|name| plain(&name)).collect())
    }

    /// Whether a request with this `Host`, a host with or without a port, may be answered.
    pub fn are_meant_by(&self, host: &str) -> bool {
        if let Some((address, _)) = host.strip_prefix('[').and_then(|host| host.split_once(']')) {
            return address.parse::<Ipv6Addr>().is_ok();
        }
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let name = plain(name);
        name.parse::<IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost") || self.0.contains(&name)
    }
}

/// As names are compared.
fn plain(name: &str) -> String {
    name.trim().trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_names_of_ours_are_answered() {
        let hosts = Hosts::new(["einmal".to_owned(), " Kafka.Example.COM".to_owned()]);
        for ours in [
            "127.0.0.1:9644",
            "10.0.0.7",
            "[::1]:9644",
            "[fe80::1]",
            "localhost:9644",
            "LOCALHOST",
            "tools.localhost:80",
            "einmal:9644",
            "kafka.example.com.:9644",
            "kafka.example.com",
        ] {
            assert!(hosts.are_meant_by(ours), "{ours}");
        }
        for other in [
            "",
            "evil.example:9644",
            "evil.einmal:9644",
            "einmal.evil.example",
            "127.0.0.1.evil.example:9644",
            "localhost.evil.example",
            "[evil.example]:9644",
            "evil.example:127.0.0.1",
            "notlocalhost",
        ] {
            assert!(!hosts.are_meant_by(other), "{other}");
        }
    }
}
