//! What clients of protocol type `consumer` write to each other inside JoinGroup and SyncGroup: the broker must read it to take
//! their group over, and write it for those that stay behind.
//!
//! Mirrors `ConsumerProtocolSubscription` and `ConsumerProtocolAssignment`. Later versions only add fields at the end, so what is
//! newer than known is read as far as it is known.
//!
//! Invariant: no bytes panic, and none reserve more memory than they are long.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::types::PartitionIndex;

/// Type of protocol whose members write so.
pub const PROTOCOL_TYPE: &str = "consumer";

/// Partitions by the name of their topic.
pub type NamedPartitions = BTreeMap<String, Vec<PartitionIndex>>;

/// What a member says with its JoinGroup.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subscription {
    /// Version of its form.
    pub version: i16,
    /// Topics that it subscribes to.
    pub topics: Vec<String>,
    /// What it owns; version 0 cannot say it, which means nothing.
    pub owned: NamedPartitions,
    /// `client.rack`, from version 3 on.
    pub rack_id: Option<String>,
}

/// What a member is told with its SyncGroup.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assignment {
    /// What it may read.
    pub partitions: NamedPartitions,
    /// Whether there is something from one assignor to the next: that only clients understand.
    pub has_user_data: bool,
}

/// Bytes that are none of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the embedded consumer protocol is malformed")]
pub struct Malformed;

impl Subscription {
    /// Reads a subscription.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(bytes);
        let version = reader.version()?;
        let count = reader.count(2)?;
        let topics = (0..count).map(|_| reader.text()).collect::<Result<_, _>>()?;
        reader.blob()?;
        let owned = if version >= 1 { reader.partitions()? } else { NamedPartitions::new() };
        if version >= 2 {
            reader.i32()?;
        }
        let rack_id = if version >= 3 { reader.optional_text()? } else { None };
        Ok(Self { version, topics, owned, rack_id })
    }
}

impl Assignment {
    /// Reads an assignment; no bytes are an empty one.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let mut reader = Reader(bytes);
        reader.version()?;
        let partitions = reader.partitions()?;
        Ok(Self { partitions, has_user_data: reader.blob()?.is_some_and(|data| !data.is_empty()) })
    }

    /// Writes it in the form that a member understands whose subscription has this version: all have the same fields.
    pub fn write(&self, version: i16) -> Bytes {
        let mut bytes = version.to_be_bytes().to_vec();
        let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX).to_be_bytes();
        bytes.extend_from_slice(&count(self.partitions.len()));
        for (topic, partitions) in &self.partitions {
            // Names of topics have at most 249 bytes.
            bytes.extend_from_slice(&i16::try_from(topic.len()).unwrap_or(i16::MAX).to_be_bytes());
            bytes.extend_from_slice(topic.as_bytes());
            bytes.extend_from_slice(&count(partitions.len()));
            partitions.iter().for_each(|partition| bytes.extend_from_slice(&partition.to_be_bytes()));
        }
        // No user data.
        bytes.extend_from_slice(&(-1i32).to_be_bytes());
        bytes.into()
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (field, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*field)
    }
    fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }
    fn version(&mut self) -> Result<i16, Malformed> {
        self.array().map(i16::from_be_bytes).ok().filter(|version| *version >= 0).ok_or(Malformed)
    }
    fn count(&mut self, item_bytes_min: usize) -> Result<usize, Malformed> {
        let count = usize::try_from(self.i32()?).map_err(|_| Malformed)?;
        if count > self.0.len() / item_bytes_min { Err(Malformed) } else { Ok(count) }
    }
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }
    fn optional_text(&mut self) -> Result<Option<String>, Malformed> {
        let length = self.array().map(i16::from_be_bytes)?;
        if length == -1 {
            return Ok(None);
        }
        let text = self.take(usize::try_from(length).map_err(|_| Malformed)?)?;
        std::str::from_utf8(text).map(|text| Some(text.to_owned())).map_err(|_| Malformed)
    }
    fn text(&mut self) -> Result<String, Malformed> {
        self.optional_text()?.ok_or(Malformed)
    }
    fn blob(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        let length = self.i32()?;
        if length == -1 {
            return Ok(None);
        }
        self.take(usize::try_from(length).map_err(|_| Malformed)?).map(Some)
    }
    fn partitions(&mut self) -> Result<NamedPartitions, Malformed> {
        let mut partitions = NamedPartitions::new();
        for _ in 0..self.count(6)? {
            let topic = self.text()?;
            let count = self.count(4)?;
            let indexes: Vec<_> = (0..count).map(|_| self.i32()).collect::<Result<_, _>>()?;
            partitions.entry(topic).or_default().extend(indexes);
        }
        Ok(partitions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBSCRIPTION: &[u8] =
        b"\0\x03\0\0\0\x02\0\x01a\0\x02bc\0\0\0\x01u\0\0\0\x01\0\x01a\0\0\0\x02\0\0\0\0\0\0\0\x05\0\0\0\x07\0\x01r";

    #[test]
    fn subscriptions_are_read_in_all_their_versions() {
        let full = Subscription::read(SUBSCRIPTION).expect("well-formed");
        assert_eq!(full.topics, ["a", "bc"]);
        assert_eq!(full.owned, NamedPartitions::from([("a".to_owned(), vec![0, 5])]));
        assert_eq!((full.version, full.rack_id.as_deref()), (3, Some("r")));
        let oldest = Subscription::read(b"\0\0\0\0\0\x01\0\x01a\xff\xff\xff\xff").expect("well-formed");
        assert_eq!(oldest, Subscription { topics: vec!["a".into()], ..Subscription::default() });
    }

    #[test]
    fn assignments_are_read_as_written() {
        let partitions = NamedPartitions::from([("a".to_owned(), vec![0, 5]), ("b".to_owned(), vec![1])]);
        let assignment = Assignment { partitions, has_user_data: false };
        assert_eq!(Assignment::read(&assignment.write(1)), Ok(assignment));
        assert_eq!(Assignment::read(b""), Ok(Assignment::default()));
        let with_data = Assignment::read(b"\0\x01\0\0\0\0\0\0\0\x01u").expect("well-formed");
        assert!(with_data.has_user_data);
    }

    #[test]
    fn anything_else_is_malformed() {
        for cut in 0..SUBSCRIPTION.len() {
            assert_eq!(Subscription::read(&SUBSCRIPTION[..cut]), Err(Malformed), "{cut}");
        }
        assert_eq!(Subscription::read(b"\xff\xff\0\0\0\0\xff\xff\xff\xff"), Err(Malformed));
        assert_eq!(Assignment::read(b"\0\0\x7f\xff\xff\xff"), Err(Malformed));
        assert_eq!(Assignment::read(b"\0\0\0\0\0\x01\0\x01a\x7f\xff\xff\xff"), Err(Malformed));
    }
}
