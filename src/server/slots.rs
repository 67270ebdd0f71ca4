//! How many connections there may be, in all (`max.connections`) and from one address (`max.connections.per.ip`).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many connections there may be, as settings say now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionLimits {
    /// `max.connections`.
    pub(crate) all: usize,
    /// `max.connections.per.ip`.
    pub(crate) per_ip: usize,
}

/// Counts the open connections of all listeners. Limits are asked for with each connection, so that a change holds from the next one
/// on; those that are open stay, as in Kafka.
pub(crate) struct ConnectionSlots {
    limits: Box<dyn Fn() -> ConnectionLimits + Send + Sync>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    count: usize,
    by_ip: HashMap<IpAddr, usize>,
}

/// One open connection; dropping it makes room for another.
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
    pub(crate) fn new(limits: impl Fn() -> ConnectionLimits + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { limits: Box::new(limits), open: Mutex::default() })
    }

    /// A slot for a connection from `ip`; a mapped IPv4 address counts as what it maps.
    pub(crate) fn take(self: &Arc<Self>, ip: IpAddr) -> Result<Slot, Refused> {
        let ip = ip.to_canonical();
        let limits = (self.limits)();
        let mut open = self.open();
        if open.count >= limits.all {
            return Err(Refused::Max);
        }
        let from_ip = open.by_ip.get(&ip).copied().unwrap_or(0);
        if from_ip >= limits.per_ip {
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

    /// Which limit refuses a connection from `ip`; one that is not refused is closed at once.
    fn refusal(slots: &Arc<ConnectionSlots>, ip: IpAddr) -> Option<Refused> {
        slots.take(ip).err()
    }

    #[test]
    fn both_limits_hold_and_slots_come_back() {
        let ip = |last| IpAddr::from([10, 0, 0, last]);
        let slots = ConnectionSlots::new(|| ConnectionLimits { all: 3, per_ip: 2 });
        let first = slots.take(ip(1)).ok();
        let mapped = IpAddr::V6(std::net::Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped());
        let second = slots.take(mapped).ok();
        assert_eq!(refusal(&slots, ip(1)), Some(Refused::MaxPerIp));
        let third = slots.take(ip(2)).ok();
        assert_eq!(refusal(&slots, ip(3)), Some(Refused::Max));
        drop(first);
        assert!(second.is_some() && third.is_some());
        let fourth = slots.take(ip(1)).ok();
        assert!(fourth.is_some());
        drop((second, third, fourth));
        assert!(slots.open().by_ip.is_empty(), "addresses are forgotten");
        assert_eq!(slots.open().count, 0);
    }
}
