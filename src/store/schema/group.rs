//! Groups.

use std::sync::Arc;

use bytes::Bytes;

use super::value::{FieldReader, Fields, RowValue};
use super::{RowError, prefix};
use crate::group::classic::{StoredGroup, StoredMember};

/// The first field: which protocol the group's members speak. Others may come.
const CLASSIC: bool = false;

/// Smallest member and smallest protocol, bytes.
const MEMBER_BYTES_MIN: usize = 33;
const PROTOCOL_BYTES_MIN: usize = 8;

impl RowValue for StoredGroup {
    const NAME: &'static str = "group";
    /// 2 added whether the group waits for its assignments.
    const VERSION: u8 = 2;

    fn write(&self, fields: &mut Fields) {
        fields.flag(CLASSIC);
        fields.i32(self.generation_id);
        fields.optional_text(self.protocol_type.as_deref());
        fields.optional_text(self.protocol_name.as_deref());
        fields.optional_text(self.leader.as_deref());
        fields.flag(self.is_completing);
        fields.i64(self.since);
        fields.count(self.members.len());
        for member in &self.members {
            fields.text(&member.member_id);
            fields.optional_text(member.instance_id.as_deref());
            fields.text(&member.client_id);
            fields.text(&member.client_host);
            fields.u32(member.session_timeout_ms);
            fields.u32(member.rebalance_timeout_ms);
            fields.count(member.protocols.len());
            for (name, metadata) in &member.protocols {
                fields.text(name);
                fields.blob(metadata);
            }
            fields.blob(&member.assignment);
        }
    }

    fn read(version: u8, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        if fields.flag()? != CLASSIC {
            return Err(fields.corrupt("unknown type of group"));
        }
        let group = Self {
            generation_id: fields.i32()?,
            protocol_type: fields.optional_text()?,
            protocol_name: fields.optional_text()?,
            leader: fields.optional_text()?.map(Arc::from),
            is_completing: version >= 2 && fields.flag()?,
            since: fields.i64()?,
            members: Vec::new(),
        };
        let count = fields.count(MEMBER_BYTES_MIN)?;
        let members: Vec<StoredMember> = (0..count).map(|_| read_member(fields)).collect::<Result<_, _>>()?;
        // In order and each once, as they are written.
        if members.is_sorted_by(|one, next| one.member_id < next.member_id) {
            Ok(Self { members, ..group })
        } else {
            Err(fields.corrupt("members out of order"))
        }
    }
}

fn read_member(fields: &mut FieldReader<'_>) -> Result<StoredMember, RowError> {
    let member_id = Arc::from(fields.text()?);
    let instance_id = fields.optional_text()?;
    let (client_id, client_host) = (fields.text()?, fields.text()?);
    let (session_timeout_ms, rebalance_timeout_ms) = (fields.u32()?, fields.u32()?);
    let count = fields.count(PROTOCOL_BYTES_MIN)?;
    let protocols = (0..count).map(|_| Ok((fields.text()?, fields.blob()?))).collect::<Result<_, RowError>>()?;
    let assignment: Bytes = fields.blob()?;
    Ok(StoredMember {
        member_id,
        instance_id,
        client_id,
        client_host,
        session_timeout_ms,
        rebalance_timeout_ms,
        protocols,
        assignment,
    })
}

/// Prefix of all groups.
pub fn groups_prefix() -> Vec<u8> {
    vec![prefix::GROUP]
}

/// Key of a group.
pub fn group_key(group: &str) -> Vec<u8> {
    let mut key = groups_prefix();
    key.extend_from_slice(group.as_bytes());
    key
}

/// The group that a key of [`group_key`] names.
///
/// # Errors
/// [`RowError::Corrupt`] for any other key.
pub fn group_of_key(key: &[u8]) -> Result<String, RowError> {
    let mut reader = FieldReader::of_key("group", prefix::GROUP, key)?;
    reader.text_of(key.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_the_first_layout_wait_for_nothing() {
        let group = StoredGroup { generation_id: 3, is_completing: true, since: 5, ..StoredGroup::default() };
        let mut row = group.encode();
        assert_eq!(StoredGroup::decode(&row), Ok(group.clone()));
        // Without the flag before the time and the number of members.
        row.remove(row.len() - 13);
        row[0] = 1;
        assert_eq!(StoredGroup::decode(&row), Ok(StoredGroup { is_completing: false, ..group }));
    }
}
