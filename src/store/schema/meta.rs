//! Rows that exist once. Each type's `KEY` is its whole key.

use std::collections::BTreeMap;

use super::value::{FieldReader, Fields, RowValue};
use super::{RowError, prefix};
use crate::types::{LeaderEpoch, Timestamp, TopicNo, Uuid};

/// Number that the next topic gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextTopicNo(pub TopicNo);

impl NextTopicNo {
    /// Its key.
    pub const KEY: [u8; 1] = [prefix::NEXT_TOPIC_NO];
}

impl RowValue for NextTopicNo {
    const NAME: &'static str = "next topic number";

    fn write(&self, fields: &mut Fields) {
        fields.u32(self.0.0);
    }

    fn read(_: u8, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        Ok(Self(TopicNo(fields.u32()?)))
    }
}

/// Where the next block of producer ids begins. Ids below it may have been handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerIdBlock {
    /// First id of the next block, ≥ 0.
    pub next_block_start: i64,
}

impl ProducerIdBlock {
    /// Its key.
    pub const KEY: [u8; 1] = [prefix::PRODUCER_ID_BLOCK];
}

impl RowValue for ProducerIdBlock {
    const NAME: &'static str = "producer id block";

    fn write(&self, fields: &mut Fields) {
        fields.i64(self.next_block_start);
    }

    fn read(_: u8, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        Ok(Self { next_block_start: fields.non_negative()? })
    }
}

/// Where the next run's 64-bit ids begin. Ids below it may have been handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IssuedIdBlock {
    /// ≥ 0.
    pub taken_until: i64,
}

impl IssuedIdBlock {
    /// Its key.
    pub const KEY: [u8; 1] = [prefix::ISSUED_ID_BLOCK];
}

impl RowValue for IssuedIdBlock {
    const NAME: &'static str = "issued id block";

    fn write(&self, fields: &mut Fields) {
        fields.i64(self.taken_until);
    }

    fn read(_: u8, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        Ok(Self { taken_until: fields.non_negative()? })
    }
}

/// Who this data directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's id, as clients see it.
    pub cluster_id: String,
    /// Id of the directory, random, made with it.
    pub directory_id: Uuid,
}

impl Identity {
    /// Its key.
    pub const KEY: [u8; 1] = [prefix::IDENTITY];
}

impl RowValue for Identity {
    const NAME: &'static str = "identity";

    fn write(&self, fields: &mut Fields) {
        fields.text(&self.cluster_id);
        fields.array(*self.directory_id.as_bytes());
    }

    fn read(_: u8, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        Ok(Self { cluster_id: fields.text()?, directory_id: Uuid::from_bytes(fields.array()?) })
    }
}

/// The leader epoch of the run that wrote it, and whether that run has ended cleanly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokerEpoch {
    /// Epoch that new batches get.
    pub leader_epoch: LeaderEpoch,
    /// Set by a clean stop, cleared by the first commit of the next run; if clear at start, the epoch rises.
    pub clean_stop: bool,
}

impl BrokerEpoch {
    /// Its key.
    pub const KEY: [u8; 1] = [prefix::BROKER_EPOCH];
}

impl RowValue for BrokerEpoch {
    const NAME: &'static str = "broker epoch";

    fn write(&self, fields: &mut Fields) {
        fields.i32(self.leader_epoch.0);
        fields.flag(self.clean_stop);
    }

    fn read(_: u8, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        Ok(Self { leader_epoch: LeaderEpoch(fields.i32()?), clean_stop: fields.flag()? })
    }
}

/// Dynamic settings of the broker, by Kafka's names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BrokerOverrides(pub BTreeMap<String, String>);

impl BrokerOverrides {
    /// Its key.
    pub const KEY: [u8; 1] = [prefix::BROKER_OVERRIDES];
}

impl RowValue for BrokerOverrides {
    const NAME: &'static str = "broker settings";

    fn write(&self, fields: &mut Fields) {
        fields.texts(&self.0);
    }

    fn read(_: u8, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        Ok(Self(fields.texts()?))
    }
}

/// What a run leaves to the next of the time by which offsets and producers expire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExpiryClockRow {
    /// Wall clock when it was written.
    pub wall: Timestamp,
    /// Steps of the wall clock that do not count yet, oldest first: size, and time that the broker has run since; ms.
    pub jumps: Vec<(i64, i64)>,
}

impl ExpiryClockRow {
    /// Its key.
    pub const KEY: [u8; 1] = [prefix::EXPIRY_CLOCK];
}

impl RowValue for ExpiryClockRow {
    const NAME: &'static str = "expiry clock";

    fn write(&self, fields: &mut Fields) {
        fields.i64(self.wall);
        fields.count(self.jumps.len());
        for (size_ms, age_ms) in &self.jumps {
            fields.i64(*size_ms);
            fields.i64(*age_ms);
        }
    }

    fn read(_: u8, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        let wall = fields.i64()?;
        let count = fields.count(16)?;
        let jumps = (0..count)
            .map(|_| Ok((fields.non_negative()?, fields.non_negative()?)))
            .collect::<Result<_, RowError>>()?;
        Ok(Self { wall, jumps })
    }
}
