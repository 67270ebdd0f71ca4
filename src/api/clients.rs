//! Who is connected: by which software, and who has come no further than to ask where the broker is.
//!
//! A client that was told an address which it cannot reach keeps its first connection, on which it asks for metadata again and again,
//! and is never heard of otherwise. So a connection counts as one that only bootstraps if for a while it has asked for nothing but
//! metadata, and its client has no other connection that has asked for more. A client is an address with a client id here: those
//! behind one address are told apart as far as their ids are. Tools that look and leave do not count, as they are not there for so long.
//!
//! Connections tell of themselves when they do something for the first time: three times at most, never by request.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::types::ConnectionId;

/// How long a client may take from its first metadata to its first work.
pub const BOOTSTRAP_MAX: Duration = Duration::from_secs(30);

/// Names and versions of software that are longer are not shown: they are no names.
const WORD_BYTES_MAX: usize = 64;

/// Stands for software that was not told, that has no short name, and for all beyond those that are shown.
pub const OTHER: &str = "other";

/// Name and version of a client's software, as ApiVersions tells them (KIP-511).
pub type Software = (Arc<str>, Arc<str>);

/// All connections.
#[derive(Debug, Default)]
pub struct Clients {
    state: Mutex<State>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct State {
    open: HashMap<ConnectionId, Client>,
    /// Connections of each client that have asked for more than metadata.
    working: HashMap<ClientKey, usize>,
}

/// Stands for an address and a client id, which may be long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ClientKey(u64);

#[derive(Debug, Default)]
struct Client {
    software: Option<Software>,
    doing: Doing,
}

#[derive(Debug, Default)]
enum Doing {
    /// Nothing that tells where it is going.
    #[default]
    Nothing,
    Bootstraps {
        listener: Arc<str>,
        client: ClientKey,
        since: Instant,
    },
    Works {
        client: ClientKey,
    },
    /// It bootstrapped for long, and was judged.
    Judged,
}

impl Clients {
    /// A connection whose client's software is not known yet.
    pub fn opened(&self, connection: ConnectionId) {
        self.lock().open.insert(connection, Client::default());
    }

    /// A connection that is no more.
    pub fn closed(&self, connection: ConnectionId) {
        let mut state = self.lock();
        if let Some(Client { doing: Doing::Works { client }, .. }) = state.open.remove(&connection)
            && let Some(count) = state.working.get_mut(&client)
        {
            *count -= 1;
            if *count == 0 {
                state.working.remove(&client);
            }
        }
    }

    /// What its client runs. The words are checked for their letters by the caller.
    pub fn runs(&self, connection: ConnectionId, name: &str, version: &str) {
        let is_short = name.len() <= WORD_BYTES_MAX && version.len() <= WORD_BYTES_MAX;
        let (name, version) = if is_short { (name, version) } else { (OTHER, OTHER) };
        if let Some(client) = self.lock().open.get_mut(&connection) {
            client.software = Some((name.into(), version.into()));
        }
    }

    /// It has asked for metadata, and for nothing else so far.
    pub fn bootstraps(
        &self,
        connection: ConnectionId,
        listener: &Arc<str>,
        address: IpAddr,
        client_id: Option<&str>,
        now: Instant,
    ) {
        let client = self.key(address, client_id);
        if let Some(Client { doing: doing @ Doing::Nothing, .. }) = self.lock().open.get_mut(&connection) {
            *doing = Doing::Bootstraps { listener: Arc::clone(listener), client, since: now };
        }
    }

    /// It has asked for more than metadata.
    pub fn works(&self, connection: ConnectionId, address: IpAddr, client_id: Option<&str>) {
        let client = self.key(address, client_id);
        let mut state = self.lock();
        if let Some(Client { doing, .. }) = state.open.get_mut(&connection)
            && !matches!(doing, Doing::Works { .. })
        {
            *doing = Doing::Works { client };
            *state.working.entry(client).or_default() += 1;
        }
    }

    /// Judges those that have bootstrapped for [`BOOTSTRAP_MAX`], each once. Answers the listener of each whose client does nothing else.
    pub fn judge(&self, now: Instant) -> Vec<Arc<str>> {
        let mut state = self.lock();
        let State { open, working } = &mut *state;
        let mut only_bootstrap = Vec::new();
        for Client { doing, .. } in open.values_mut() {
            if let Doing::Bootstraps { listener, client, since } = doing
                && now.duration_since(*since) >= BOOTSTRAP_MAX
            {
                if !working.contains_key(client) {
                    only_bootstrap.push(Arc::clone(listener));
                }
                *doing = Doing::Judged;
            }
        }
        only_bootstrap
    }

    /// Connections by software: the `most` that have most, by falling count, and the rest of them under [`OTHER`].
    pub fn software(&self, most: usize) -> Vec<(Software, usize)> {
        let mut counts: HashMap<Software, usize> = HashMap::new();
        let mut other = 0;
        let known: Vec<Option<Software>> = self.lock().open.values().map(|client| client.software.clone()).collect();
        for software in known {
            match software {
                Some(software) if *software.0 != *OTHER => *counts.entry(software).or_default() += 1,
                _ => other += 1,
            }
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by(|(one, of_one), (two, of_two)| of_two.cmp(of_one).then_with(|| one.cmp(two)));
        other += counts.iter().skip(most).map(|(_, count)| count).sum::<usize>();
        counts.truncate(most);
        counts.push(((OTHER.into(), OTHER.into()), other));
        counts
    }

    fn key(&self, address: IpAddr, client_id: Option<&str>) -> ClientKey {
        ClientKey(self.hasher.hash_one((address, client_id)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change under it is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

    fn connected(ids: impl IntoIterator<Item = u64>) -> Clients {
        let clients = Clients::default();
        ids.into_iter().for_each(|id| clients.opened(ConnectionId(id)));
        clients
    }

    #[test]
    fn who_asks_for_nothing_but_metadata_is_told_once_and_not_before_its_time() {
        let clients = connected(1..=1);
        let (listener, now) = (Arc::from("EXTERNAL"), Instant::now());
        clients.bootstraps(ConnectionId(1), &listener, ADDRESS, Some("app"), now);
        // Asking again does not begin the time anew.
        clients.bootstraps(ConnectionId(1), &listener, ADDRESS, Some("app"), now + BOOTSTRAP_MAX / 2);
        assert!(clients.judge(now + BOOTSTRAP_MAX - Duration::from_millis(1)).is_empty());
        assert_eq!(clients.judge(now + BOOTSTRAP_MAX), [Arc::clone(&listener)]);
        assert!(clients.judge(now + 3 * BOOTSTRAP_MAX).is_empty());
    }

    #[test]
    fn who_works_or_leaves_or_works_through_another_connection_is_not_told() {
        let clients = connected(1..=6);
        let (listener, now) = (Arc::from("L"), Instant::now());
        let bootstraps = |id, client_id| clients.bootstraps(ConnectionId(id), &listener, ADDRESS, client_id, now);
        bootstraps(1, Some("works"));
        clients.works(ConnectionId(1), ADDRESS, Some("works"));
        bootstraps(2, Some("leaves"));
        clients.closed(ConnectionId(2));
        bootstraps(3, Some("works elsewhere"));
        clients.works(ConnectionId(4), ADDRESS, Some("works elsewhere"));
        // The other connection of the same name is another's.
        bootstraps(5, Some("app"));
        clients.works(ConnectionId(6), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), Some("app"));
        assert_eq!(clients.judge(now + BOOTSTRAP_MAX).len(), 1);
    }

    #[test]
    fn a_connection_that_is_closed_works_no_more() {
        let clients = connected(1..=3);
        clients.works(ConnectionId(1), ADDRESS, None);
        clients.works(ConnectionId(1), ADDRESS, None);
        clients.works(ConnectionId(2), ADDRESS, None);
        let now = Instant::now();
        clients.closed(ConnectionId(1));
        clients.bootstraps(ConnectionId(3), &Arc::from("L"), ADDRESS, None, now);
        assert!(clients.judge(now + BOOTSTRAP_MAX).is_empty(), "the second one works");
        clients.closed(ConnectionId(2));
        clients.closed(ConnectionId(3));
        assert!(clients.lock().working.is_empty() && clients.lock().open.is_empty());
    }

    #[test]
    fn software_beyond_the_most_used_and_what_has_no_name_is_other() {
        let clients = connected(0..10);
        let run = |ids: std::ops::Range<u64>, name: &str| ids.for_each(|id| clients.runs(ConnectionId(id), name, "1"));
        run(0..3, "librdkafka");
        run(3..5, "apache-kafka-java");
        run(5..6, "rare");
        run(6..7, &"x".repeat(WORD_BYTES_MAX + 1));
        // A connection that is not there any more, and three that told nothing.
        run(77..78, "gone");
        let counts: Vec<_> =
            clients.software(2).into_iter().map(|((name, _), count)| (name.to_string(), count)).collect();
        let expected = [("librdkafka", 3), ("apache-kafka-java", 2), (OTHER, 5)];
        assert_eq!(counts, expected.map(|(name, count)| (name.to_owned(), count)));
        clients.closed(ConnectionId(0));
        assert_eq!(clients.software(2)[0].1, 2);
    }
}
