//! How many connections there may be, in all (`max.connections`) and from one address (`max.connections.per.ip`).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts the open connections of all listeners.
#[derive(Debug)]
pub(crate) struct ConnectionSlots {
    connections_max: usize,
    connections_max_per_ip: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    count: usize,
    by_ip: HashMap<IpAddr, usize>,
}

/// One open connection; dropping it makes room for another.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<ConnectionSlots>,
    ip: IpAddr,
}

/// Which limit refused a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// `max.connections`.
    Max,
    /// `max.connections.per.ip`.
    MaxPerIp,
}

impl Refused {
    /// Label of the metric.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Max => "max",
            Self::MaxPerIp => "max_per_ip",
        }
    }
}

impl ConnectionSlots {
    pub(crate) fn new(connections_max: usize, connections_max_per_ip: usize) -> Arc<Self> {
        Arc::new(Self { connections_max, connections_max_per_ip, open: Mutex::default() })
    }

    /// A slot for a connection from `ip`; a mapped IPv4 address counts as what it maps.
    pub(crate) fn take(self: &Arc<Self>, ip: IpAddr) -> Result<Slot, Refused> {
        let ip = ip.to_canonical();
        let mut open = self.open();
        if open.count >= self.connections_max {
            return Err(Refused::Max);
        }
        let from_ip = open.by_ip.get(&ip).copied().unwrap_or(0);
        if from_ip >= self.connections_max_per_ip {
            return Err(Refused::MaxPerIp);
        }
        open.by_ip.insert(ip, from_ip + 1);
        open.count += 1;
        Ok(Slot { slots: self.clone(), ip })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.slots.open();
        open.count -= 1;
        if let Some(from_ip) = open.by_ip.get_mut(&self.ip) {
            *from_ip -= 1;
            if *from_ip == 0 {
                open.by_ip.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_limits_hold_and_slots_come_back() {
        let ip = |last| IpAddr::from([10, 0, 0, last]);
        let slots = ConnectionSlots::new(3, 2);
        let first = slots.take(ip(1)).unwrap();
        let mapped = IpAddr::V6(std::net::Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped());
        let second = slots.take(mapped).unwrap();
        assert_eq!(slots.take(ip(1)).unwrap_err(), Refused::MaxPerIp);
        let third = slots.take(ip(2)).unwrap();
        assert_eq!(slots.take(ip(3)).unwrap_err(), Refused::Max);
        drop(first);
        let fourth = slots.take(ip(1)).unwrap();
        drop((second, third, fourth));
        assert!(slots.open().by_ip.is_empty(), "addresses are forgotten");
        assert_eq!(slots.open().count, 0);
    }
}
