//! Through which connections the producer of a transactional id acts.
//!
//! Requests of V1 carry the same producer epoch in all transactions of a producer. One that its client has given up for lost, and has
//! sent again through a new connection, may still come: from a proxy, or out of a socket that was slow to be read. By Kafka's
//! rules it then counts for the transaction that is open by now, and ends it in its midst, or begins one that nobody ends.
//! einmal has all connections of all clients, and tells a late request by its connection: no client goes back to an older one
//! once it uses a younger one.
//!
//! Such a request is not answered, its connection is closed. What is wrong about it anyway is told as ever, so that a producer that is
//! fenced learns it. In V2 the epoch tells all this (KIP-890).
//!
//! Not stored: no connection outlives the broker.

use super::Transactions;
use crate::engine::command::TransactionProducer;
use crate::transaction::{TransactionRefused, TransactionVersion};
use crate::types::ConnectionId;

/// The youngest connections of one producer, by what came through them: clients send to the coordinator of transactions and to that
/// of groups through connections of their own, also where both are the same broker.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Connections {
    to_transactions: ConnectionId,
    to_groups: ConnectionId,
}

/// Whom a request asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coordinator {
    /// InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, EndTxn.
    Transactions,
    /// TxnOffsetCommit.
    Groups,
}

impl Connections {
    /// Of a producer that has just begun. It may be another client, whose connection may be older.
    pub fn of_new_producer(connection: ConnectionId) -> Self {
        Self { to_transactions: connection, to_groups: ConnectionId::default() }
    }

    /// Takes note of a request's connection.
    ///
    /// # Errors
    /// [`TransactionRefused::Superseded`].
    pub fn admit(
        &mut self,
        whom: Coordinator,
        version: TransactionVersion,
        connection: ConnectionId,
    ) -> Result<(), TransactionRefused> {
        let youngest = match whom {
            Coordinator::Transactions => &mut self.to_transactions,
            Coordinator::Groups => &mut self.to_groups,
        };
        if version == TransactionVersion::V1 && connection < *youngest {
            return Err(TransactionRefused::Superseded);
        }
        *youngest = connection.max(*youngest);
        Ok(())
    }
}

impl Transactions {
    /// A producer has begun, with an epoch that fences the one before.
    pub(super) fn set_connection(&mut self, transactional_id: &str, connection: ConnectionId) {
        if let Some(entry) = self.by_id.get_mut(transactional_id) {
            entry.connections = Connections::of_new_producer(connection);
        }
    }

    /// [`Connections::admit`] for a request that is in order else: its producer id and epoch are those of the producer.
    pub(super) fn admit_connection(
        &mut self,
        whom: Coordinator,
        producer: &TransactionProducer,
    ) -> Result<(), TransactionRefused> {
        let entry = self.by_id.get_mut(&producer.transactional_id).ok_or(TransactionRefused::UnknownTransactionalId)?;
        let admitted = entry.connections.admit(whom, producer.version, producer.connection);
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

    #[test]
    fn requests_of_v1_come_through_the_youngest_connection_to_each_coordinator_or_are_late() {
        let mut connections = Connections::of_new_producer(ConnectionId(3));
        for (whom, version, connection, is_admitted) in [
            (Transactions, V1, 3, true),
            // Older, but the first to this coordinator.
            (Groups, V1, 2, true),
            (Transactions, V1, 2, false),
            (Transactions, V1, 5, true),
            (Transactions, V1, 3, false),
            (Groups, V1, 2, true),
            // The epoch tells.
            (Transactions, V2, 3, true),
            (Transactions, V1, 4, false),
            (Transactions, V2, 7, true),
            (Transactions, V1, 6, false),
            (Groups, V1, 8, true),
            (Groups, V1, 2, false),
            (Transactions, V1, 7, true),
        ] {
            let admitted = connections.admit(whom, version, ConnectionId(connection));
            assert_eq!(admitted.is_ok(), is_admitted, "{whom:?} {version:?} {connection}: {connections:?}");
        }
        let mut new = Connections::of_new_producer(ConnectionId(4));
        assert!(new.admit(Transactions, V1, ConnectionId(4)).is_ok(), "another client, connected for longer");
    }
}
