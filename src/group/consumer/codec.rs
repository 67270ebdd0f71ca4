//! How changes are written as rows: one byte for the kind and the name in the key, a version byte and fields in the value.
//!
//! Keys are relative to the group; who stores them puts the group's own prefix before.
//!
//! | key | value |
//! | --- | --- |
//! | 0 | [`GroupEpochs`] |
//! | 1, member id | [`MemberMetadata`] |
//! | 2, member id | target: partitions |
//! | 3, member id | [`CurrentAssignment`] |
//! | 4, pattern | names of topics |
//!
//! Invariant: decoding returns what was encoded, and an error, never a panic, for any other bytes.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::assignment::{OwnedPartitions, Partitions, TopicIdPartition, by_topic};
use super::change::{Change, GroupEpochs};
use super::member::{ClassicMember, CurrentAssignment, MemberMetadata, MemberState};
use crate::types::Uuid;

/// Version of the values' layout that is written; reading covers all up to it.
pub const VERSION: u8 = 1;

const GROUP: u8 = 0;
const MEMBER: u8 = 1;
const TARGET: u8 = 2;
const CURRENT: u8 = 3;
const REGEX: u8 = 4;

/// A row to put, or without a value to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Key, relative to the group.
    pub key: Vec<u8>,
    /// Value; none deletes the row.
    pub value: Option<Vec<u8>>,
}

impl Row {
    /// Whether it says to which topics somebody subscribes.
    pub fn is_of_subscriptions(&self) -> bool {
        matches!(self.key.first(), Some(&MEMBER | &REGEX))
    }
}

/// Bytes that are no row of a consumer group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowInvalid {
    /// The bytes are not what any version of einmal writes.
    #[error("corrupt row of a consumer group: {detail}")]
    Corrupt {
        /// What did not match.
        detail: &'static str,
    },
    /// A later version of einmal wrote the value.
    #[error("row of a consumer group has layout version {found}, this version reads up to {VERSION}")]
    Newer {
        /// Version byte found.
        found: u8,
    },
}

fn corrupt<T>(detail: &'static str) -> Result<T, RowInvalid> {
    Err(RowInvalid::Corrupt { detail })
}

impl Change {
    /// The row that keeps this change.
    pub fn row(&self) -> Row {
        let (kind, name, value) = match self {
            Self::Group(epochs) => (GROUP, "", epochs.as_ref().map(group_value)),
            Self::Member(id, metadata) => (MEMBER, id.as_str(), metadata.as_ref().map(member_value)),
            Self::Target(id, target) => (TARGET, id.as_str(), target.as_ref().map(target_value)),
            Self::Current(id, current) => (CURRENT, id.as_str(), current.as_ref().map(current_value)),
            Self::Regex(pattern, topics) => (REGEX, pattern.as_str(), topics.as_ref().map(regex_value)),
        };
        let mut key = Vec::with_capacity(1 + name.len());
        key.push(kind);
        key.extend_from_slice(name.as_bytes());
        Row { key, value }
    }

    /// The change that a stored row keeps.
    ///
    /// # Errors
    /// [`RowInvalid`].
    pub fn of_row(key: &[u8], value: &[u8]) -> Result<Self, RowInvalid> {
        let Some((kind, name)) = key.split_first() else { return corrupt("empty key") };
        let Ok(name) = std::str::from_utf8(name).map(str::to_owned) else { return corrupt("name is not UTF-8") };
        let mut reader = Reader { bytes: value };
        match reader.u8()? {
            0 => return corrupt("version 0"),
            found if found > VERSION => return Err(RowInvalid::Newer { found }),
            _ => {}
        }
        let change = match *kind {
            GROUP if name.is_empty() => Self::Group(Some(read_group(&mut reader)?)),
            MEMBER => Self::Member(name, Some(read_member(&mut reader)?)),
            TARGET => Self::Target(name, Some(reader.target()?)),
            CURRENT => Self::Current(name, Some(read_current(&mut reader)?)),
            REGEX => Self::Regex(name, Some(reader.names()?)),
            _ => return corrupt("unknown kind of row"),
        };
        if reader.bytes.is_empty() { Ok(change) } else { corrupt("bytes after the last field") }
    }
}

fn group_value(epochs: &GroupEpochs) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.i32(epochs.group_epoch);
    writer.i32(epochs.assignment_epoch);
    writer.bytes.extend_from_slice(&epochs.metadata_hash.to_be_bytes());
    writer.bytes
}

fn read_group(reader: &mut Reader<'_>) -> Result<GroupEpochs, RowInvalid> {
    Ok(GroupEpochs {
        group_epoch: reader.i32()?,
        assignment_epoch: reader.i32()?,
        metadata_hash: u64::from_be_bytes(reader.array()?),
    })
}

fn member_value(metadata: &MemberMetadata) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.optional(metadata.instance_id.as_deref());
    writer.optional(metadata.rack_id.as_deref());
    writer.text(&metadata.client_id);
    writer.text(&metadata.client_host);
    writer.i32(metadata.rebalance_timeout_ms);
    writer.optional(metadata.server_assignor.as_deref());
    writer.names(&metadata.subscribed_topic_names);
    writer.optional(metadata.subscribed_topic_regex.as_deref());
    writer.bytes.push(u8::from(metadata.classic.is_some()));
    if let Some(classic) = &metadata.classic {
        writer.bytes.extend_from_slice(&classic.session_timeout_ms.to_be_bytes());
        writer.count(classic.protocols.len());
        for (name, metadata) in &classic.protocols {
            writer.text(name);
            writer.blob(metadata);
        }
    }
    writer.bytes
}

fn read_member(reader: &mut Reader<'_>) -> Result<MemberMetadata, RowInvalid> {
    Ok(MemberMetadata {
        instance_id: reader.optional()?,
        rack_id: reader.optional()?,
        client_id: reader.text()?,
        client_host: reader.text()?,
        rebalance_timeout_ms: reader.i32()?,
        server_assignor: reader.optional()?,
        subscribed_topic_names: reader.names()?,
        subscribed_topic_regex: reader.optional()?,
        classic: reader.flag()?.then(|| read_classic(reader)).transpose()?,
    })
}

fn read_classic(reader: &mut Reader<'_>) -> Result<ClassicMember, RowInvalid> {
    let session_timeout_ms = u32::from_be_bytes(reader.array()?);
    let count = reader.count(8)?;
    let protocols = (0..count).map(|_| Ok((reader.text()?, reader.blob()?))).collect::<Result<_, RowInvalid>>()?;
    Ok(ClassicMember { session_timeout_ms, protocols })
}

fn target_value(target: &Partitions) -> Vec<u8> {
    let mut writer = Writer::new();
    let topics = by_topic(target);
    writer.count(topics.len());
    for (topic_id, partitions) in topics {
        writer.bytes.extend_from_slice(topic_id.as_bytes());
        writer.count(partitions.len());
        partitions.into_iter().for_each(|partition| writer.i32(partition));
    }
    writer.bytes
}

fn current_value(current: &CurrentAssignment) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.bytes.push(match current.state {
        MemberState::Stable => 0,
        MemberState::UnrevokedPartitions => 1,
        MemberState::UnreleasedPartitions => 2,
    });
    writer.i32(current.epoch);
    writer.i32(current.previous_epoch);
    writer.owned(&current.assigned);
    writer.owned(&current.pending_revocation);
    writer.bytes
}

fn read_current(reader: &mut Reader<'_>) -> Result<CurrentAssignment, RowInvalid> {
    Ok(CurrentAssignment {
        state: match reader.u8()? {
            0 => MemberState::Stable,
            1 => MemberState::UnrevokedPartitions,
            2 => MemberState::UnreleasedPartitions,
            _ => return corrupt("unknown member state"),
        },
        epoch: reader.i32()?,
        previous_epoch: reader.i32()?,
        assigned: reader.owned()?,
        pending_revocation: reader.owned()?,
    })
}

fn regex_value(topics: &BTreeSet<String>) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.names(topics);
    writer.bytes
}

struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn new() -> Self {
        Self { bytes: vec![VERSION] }
    }
    fn i32(&mut self, field: i32) {
        self.bytes.extend_from_slice(&field.to_be_bytes());
    }
    fn count(&mut self, count: usize) {
        let count = u32::try_from(count).expect("a row holds fewer than 2^32 items");
        self.bytes.extend_from_slice(&count.to_be_bytes());
    }
    fn text(&mut self, text: &str) {
        self.blob(text.as_bytes());
    }
    fn blob(&mut self, blob: &[u8]) {
        self.count(blob.len());
        self.bytes.extend_from_slice(blob);
    }
    fn optional(&mut self, text: Option<&str>) {
        self.bytes.push(u8::from(text.is_some()));
        if let Some(text) = text {
            self.text(text);
        }
    }
    fn names(&mut self, names: &BTreeSet<String>) {
        self.count(names.len());
        names.iter().for_each(|name| self.text(name));
    }
    fn owned(&mut self, owned: &OwnedPartitions) {
        self.count(owned.len());
        for (partition, epoch) in owned {
            self.bytes.extend_from_slice(partition.topic_id.as_bytes());
            self.i32(partition.partition);
            self.i32(*epoch);
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], RowInvalid> {
        let Some((field, rest)) = self.bytes.split_first_chunk::<N>() else { return corrupt("too short") };
        self.bytes = rest;
        Ok(*field)
    }
    fn u8(&mut self) -> Result<u8, RowInvalid> {
        Ok(u8::from_be_bytes(self.array()?))
    }
    fn i32(&mut self) -> Result<i32, RowInvalid> {
        Ok(i32::from_be_bytes(self.array()?))
    }
    /// A count of items of at least `item_bytes_min` bytes each, so that no count reserves more memory than bytes are there.
    fn count(&mut self, item_bytes_min: usize) -> Result<usize, RowInvalid> {
        let count = usize::try_from(u32::from_be_bytes(self.array()?)).unwrap_or(usize::MAX);
        if count > self.bytes.len() / item_bytes_min { corrupt("count too large") } else { Ok(count) }
    }
    fn text(&mut self) -> Result<String, RowInvalid> {
        let length = self.count(1)?;
        let (text, rest) = self.bytes.split_at(length);
        self.bytes = rest;
        std::str::from_utf8(text).map(str::to_owned).or_else(|_| corrupt("text is not UTF-8"))
    }
    fn blob(&mut self) -> Result<Bytes, RowInvalid> {
        let length = self.count(1)?;
        let (blob, rest) = self.bytes.split_at(length);
        self.bytes = rest;
        Ok(Bytes::copy_from_slice(blob))
    }
    fn flag(&mut self) -> Result<bool, RowInvalid> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => corrupt("flag is neither 0 nor 1"),
        }
    }
    fn optional(&mut self) -> Result<Option<String>, RowInvalid> {
        self.flag()?.then(|| self.text()).transpose()
    }
    fn names(&mut self) -> Result<BTreeSet<String>, RowInvalid> {
        let count = self.count(4)?;
        (0..count).map(|_| self.text()).collect()
    }
    fn target(&mut self) -> Result<Partitions, RowInvalid> {
        let mut target = Partitions::new();
        for _ in 0..self.count(20)? {
            let topic_id = Uuid::from_bytes(self.array()?);
            for _ in 0..self.count(4)? {
                target.insert(TopicIdPartition { topic_id, partition: self.i32()? });
            }
        }
        Ok(target)
    }
    fn owned(&mut self) -> Result<OwnedPartitions, RowInvalid> {
        let count = self.count(24)?;
        (0..count)
            .map(|_| {
                let topic_id = Uuid::from_bytes(self.array()?);
                Ok((TopicIdPartition { topic_id, partition: self.i32()? }, self.i32()?))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(topic: u128, partition: i32) -> TopicIdPartition {
        TopicIdPartition { topic_id: Uuid::from_u128(topic), partition }
    }

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn samples() -> Vec<Change> {
        let metadata = MemberMetadata {
            instance_id: Some("i".into()),
            rack_id: None,
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            rebalance_timeout_ms: 300_000,
            server_assignor: Some("range".into()),
            subscribed_topic_names: names(&["a", "b"]),
            subscribed_topic_regex: Some("a.*".into()),
            classic: Some(ClassicMember {
                session_timeout_ms: 10_000,
                protocols: vec![("range".into(), Bytes::from_static(b"r"))],
            }),
        };
        let current = CurrentAssignment {
            state: MemberState::UnrevokedPartitions,
            epoch: -2,
            previous_epoch: 4,
            assigned: [(partition(1, 0), 3), (partition(2, 7), 4)].into(),
            pending_revocation: [(partition(1, 1), 2)].into(),
        };
        vec![
            Change::Group(Some(GroupEpochs { group_epoch: 5, assignment_epoch: 4, metadata_hash: u64::MAX })),
            Change::Member("m".into(), Some(metadata)),
            Change::Member("n".into(), Some(MemberMetadata::default())),
            Change::Target("m".into(), Some([partition(1, 0), partition(1, 1), partition(2, 7)].into())),
            Change::Current("m".into(), Some(current)),
            Change::Regex("a.*".into(), Some(names(&["a1", "a2"]))),
        ]
    }

    #[test]
    fn rows_read_back_as_written() {
        for change in samples() {
            let row = change.row();
            assert_eq!(Change::of_row(&row.key, &row.value.expect("a value")), Ok(change));
        }
    }

    #[test]
    fn deletions_have_the_key_of_their_row_and_no_value() {
        assert_eq!(Change::Member("m".into(), None).row(), Row { key: b"\x01m".to_vec(), value: None });
    }

    #[test]
    fn cut_extended_and_newer_rows_are_errors() {
        for change in samples() {
            let Row { key, value } = change.row();
            let mut value = value.expect("a value");
            for length in 0..value.len() {
                assert!(Change::of_row(&key, &value[..length]).is_err(), "{change:?} cut to {length}");
            }
            value.push(0);
            assert_eq!(Change::of_row(&key, &value), corrupt("bytes after the last field"));
            value[0] = 2;
            assert_eq!(Change::of_row(&key, &value), Err(RowInvalid::Newer { found: 2 }));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(key in proptest::collection::vec(0u8..6, 0..4), value in proptest::collection::vec(0u8..5, 0..64)) {
            let mut versioned = vec![VERSION];
            versioned.extend_from_slice(&value);
            for value in [value, versioned] {
                if let Ok(change) = Change::of_row(&key, &value) {
                    let row = change.row();
                    assert_eq!(Change::of_row(&row.key, &row.value.expect("a value")), Ok(change));
                }
            }
        }
    }
}
