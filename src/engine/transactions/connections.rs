//! Through which connections the producer of a transactional id acts.
//!
//! Requests of V1 carry the same producer epoch in all transactions of a producer. One that its client has given up for lost, and has
//! sent again through a new connection, may still come: from a proxy, or out of a socket that was slow to be read. By Kafka's
//! rules it then counts for the transaction that is open by now, and ends it in its midst, or begins one that nobody ends.
//!
//! That a request comes through an older connection than one before it does not make it late: clients that keep a pool of connections
//! (kafka-go) send through any of them. A late one is told only by what no request of a live client can have:
//!
//! - Its correlation id is older than the first one of the younger connection. Java's clients draw the ids of all their connections
//!   from one counter, librdkafka's those of all connections to a broker in turn: such a request was sent before the younger
//!   connection was used at all, and what its client has been answered since was asked for later. Where each connection counts for
//!   itself, all begin alike, and no request is older than a first one.
//! - Its client has closed the older connection: nobody waits for its answer.
//!
//! Such a request is not answered, its connection is closed. What is wrong about it anyway is told as ever, so that a producer that is
//! fenced learns it. In V2 the epoch tells all this (KIP-890).
//!
//! What remains, as in Kafka: a request of a client whose connections count for themselves (franz-go, kafka-go, most of Python's) that
//! a proxy has held back, and delivers before the end of its connection.
//!
//! Not stored: no connection outlives the broker.

use super::Transactions;
use crate::engine::command::TransactionProducer;
use crate::transaction::{TransactionRefused, TransactionVersion};
use crate::types::{Arrival, ConnectionId};

/// The youngest connections of one producer, by what came through them: clients send to the coordinator of transactions and to that
/// of groups through connections of their own, also where both are the same broker.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Connections {
    to_transactions: Youngest,
    to_groups: Youngest,
}

/// The youngest connection to one coordinator.
#[derive(Debug, Clone, Copy, Default)]
struct Youngest {
    connection: ConnectionId,
    first_correlation_id: i32,
}

impl Youngest {
    fn of(arrival: Arrival) -> Self {
        Self { connection: arrival.connection, first_correlation_id: arrival.first_correlation_id }
    }

    /// Whether a request was sent, and given up, before this connection was used. Counters go on below zero after the largest id.
    fn supersedes(self, arrival: Arrival) -> bool {
        let is_of_before = arrival.correlation_id.wrapping_sub(self.first_correlation_id) < 0;
        arrival.connection < self.connection && (is_of_before || arrival.is_abandoned)
    }
}

/// Whom a request asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coordinator {
    /// AddPartitionsToTxn, AddOffsetsToTxn, EndTxn. Not InitProducerId: another process may send it through an older connection.
    Transactions,
    /// TxnOffsetCommit.
    Groups,
}

impl Connections {
    /// Of a producer that has just begun. It may be another client, whose connection may be older.
    pub fn of_new_producer(arrival: Arrival) -> Self {
        Self { to_transactions: Youngest::of(arrival), to_groups: Youngest::default() }
    }

    /// Takes note of a request's connection.
    ///
    /// # Errors
    /// [`TransactionRefused::Superseded`].
    pub fn admit(
        &mut self,
        whom: Coordinator,
        version: TransactionVersion,
        arrival: Arrival,
    ) -> Result<(), TransactionRefused> {
        let youngest = match whom {
            Coordinator::Transactions => &mut self.to_transactions,
            Coordinator::Groups => &mut self.to_groups,
        };
        if version == TransactionVersion::V1 && youngest.supersedes(arrival) {
            return Err(TransactionRefused::Superseded);
        }
        if arrival.connection > youngest.connection {
            *youngest = Youngest::of(arrival);
        }
        Ok(())
    }
}

impl Transactions {
    /// A producer has begun, with an epoch that fences the one before.
    pub(super) fn set_connection(&mut self, transactional_id: &str, arrival: Arrival) {
        if let Some(entry) = self.by_id.get_mut(transactional_id) {
            entry.connections = Connections::of_new_producer(arrival);
        }
    }

    /// [`Connections::admit`] for a request that is in order else: its producer id and epoch are those of the producer.
    pub(super) fn admit_connection(
        &mut self,
        whom: Coordinator,
        producer: &TransactionProducer,
    ) -> Result<(), TransactionRefused> {
        let entry = self.by_id.get_mut(&producer.transactional_id).ok_or(TransactionRefused::UnknownTransactionalId)?;
        let admitted = entry.connections.admit(whom, producer.version, producer.arrival);
        if admitted.is_err() {
            metrics::counter!(crate::metrics::TXN_LATE_REQUESTS_TOTAL).increment(1);
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Coordinator::{Groups, Transactions};
    use TransactionVersion::{V1, V2};

    fn arrival(connection: u64, first_correlation_id: i32, correlation_id: i32) -> Arrival {
        let connection = ConnectionId(connection);
        Arrival { connection, first_correlation_id, correlation_id, is_abandoned: false }
    }

    #[test]
    fn requests_of_v1_from_before_the_youngest_connection_to_their_coordinator_are_late() {
        let mut connections = Connections::of_new_producer(arrival(3, 30, 31));
        for (whom, version, connection, first, id, is_admitted) in [
            (Transactions, V1, 3, 30, 32, true),
            // Older, but the first to this coordinator.
            (Groups, V1, 2, 20, 33, true),
            (Transactions, V1, 2, 20, 29, false),
            (Transactions, V1, 5, 50, 51, true),
            (Transactions, V1, 3, 30, 49, false),
            // Sent through an older connection after the youngest was used.
            (Transactions, V1, 3, 30, 52, true),
            (Transactions, V1, 4, 40, 45, false),
            (Groups, V1, 2, 20, 34, true),
            // The epoch tells.
            (Transactions, V2, 3, 30, 34, true),
            (Transactions, V2, 7, 70, 71, true),
            (Transactions, V1, 6, 60, 61, false),
            (Groups, V1, 8, 80, 81, true),
            (Groups, V1, 2, 20, 35, false),
            (Transactions, V1, 7, 70, 72, true),
            // The counter has gone round.
            (Transactions, V1, 9, i32::MAX, i32::MIN, true),
            (Transactions, V1, 7, 70, i32::MIN + 1, true),
            (Transactions, V1, 7, 70, i32::MAX - 1, false),
        ] {
            let admitted = connections.admit(whom, version, arrival(connection, first, id));
            assert_eq!(admitted.is_ok(), is_admitted, "{whom:?} {version:?} {connection} {id}: {connections:?}");
        }
        let mut new = Connections::of_new_producer(arrival(4, 40, 41));
        assert!(new.admit(Transactions, V1, arrival(4, 40, 42)).is_ok(), "another client, connected for longer");
    }

    #[test]
    fn requests_through_any_connection_are_in_time_if_each_counts_for_itself() {
        let mut connections = Connections::of_new_producer(arrival(3, 1, 2));
        for (connection, id) in [(1, 2), (2, 1), (3, 3), (1, 3), (5, 2), (4, 1), (1, 4)] {
            assert!(connections.admit(Transactions, V1, arrival(connection, 1, id)).is_ok(), "{connection} {id}");
        }
    }

    #[test]
    fn requests_that_nobody_waits_for_are_late_unless_their_connection_is_the_youngest() {
        let mut connections = Connections::of_new_producer(arrival(3, 1, 2));
        let abandoned = |connection| Arrival { is_abandoned: true, ..arrival(connection, 1, 9) };
        assert!(connections.admit(Transactions, V1, abandoned(3)).is_ok());
        assert!(connections.admit(Transactions, V1, abandoned(2)).is_err());
        assert!(connections.admit(Transactions, V2, abandoned(2)).is_ok());
        assert!(connections.admit(Transactions, V1, abandoned(4)).is_ok());
        assert!(connections.admit(Transactions, V1, abandoned(3)).is_err());
    }
}
