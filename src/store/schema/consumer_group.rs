//! Consumer groups of KIP-848, a row for each thing that changes by itself, and the settings of single groups.

use std::collections::BTreeMap;

use super::value::{FieldReader, Fields, RowValue};
use super::{RowError, prefix};
use crate::group::consumer::change::Change;
use crate::group::consumer::codec::{Row, RowInvalid};

const ROW: &str = "consumer group";

/// Prefix of the rows of all consumer groups.
pub fn consumer_groups_prefix() -> Vec<u8> {
    vec![prefix::CONSUMER_GROUP]
}

/// Key of `row` of `group`. The length before the name keeps `a` from being a prefix of `ab`.
///
/// # Panics
/// If `group` is longer than the protocol's strings, 32,767 bytes.
pub fn consumer_group_key(group: &str, row: &Row) -> Vec<u8> {
    let length = i16::try_from(group.len()).expect("group ids are protocol strings");
    let mut key = Vec::with_capacity(3 + group.len() + row.key.len());
    key.push(prefix::CONSUMER_GROUP);
    key.extend_from_slice(&length.to_be_bytes());
    key.extend_from_slice(group.as_bytes());
    key.extend_from_slice(&row.key);
    key
}

/// Group and change that a stored row keeps.
///
/// # Errors
/// [`RowError`] for bytes that [`consumer_group_key`] and [`Change::row`] do not make.
pub fn consumer_group_row(key: &[u8], value: &[u8]) -> Result<(String, Change), RowError> {
    let mut reader = FieldReader::of_key(ROW, prefix::CONSUMER_GROUP, key)?;
    let length = usize::from(reader.u16()?);
    let group = reader.text_of(length)?;
    let own = key.get(3 + length..).unwrap_or_default();
    Ok((group, Change::of_row(own, value)?))
}

impl From<RowInvalid> for RowError {
    fn from(invalid: RowInvalid) -> Self {
        match invalid {
            RowInvalid::Corrupt { detail } => Self::Corrupt { row: ROW, detail },
            RowInvalid::Newer { found } => {
                Self::Newer { row: ROW, found, supported: crate::group::consumer::codec::VERSION }
            }
        }
    }
}

/// Settings of one group, as given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupConfigs(pub BTreeMap<String, String>);

impl RowValue for GroupConfigs {
    const NAME: &'static str = "group settings";

    fn write(&self, fields: &mut Fields) {
        fields.texts(&self.0);
    }

    fn read(_: u8, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        Ok(Self(fields.texts()?))
    }
}

/// Prefix of the settings of all groups.
pub fn group_configs_prefix() -> Vec<u8> {
    vec![prefix::GROUP_CONFIGS]
}

/// Key of a group's settings.
pub fn group_configs_key(group: &str) -> Vec<u8> {
    let mut key = group_configs_prefix();
    key.extend_from_slice(group.as_bytes());
    key
}

/// The group that a key of [`group_configs_key`] names.
///
/// # Errors
/// [`RowError::Corrupt`] for any other key.
pub fn group_of_configs_key(key: &[u8]) -> Result<String, RowError> {
    let mut reader = FieldReader::of_key("group settings", prefix::GROUP_CONFIGS, key)?;
    reader.text_of(key.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_groups_are_read_as_written() {
        let change = Change::Regex("a.*".into(), Some(["ab".to_owned()].into()));
        for group in ["", "g", "gg"] {
            let row = change.row();
            let key = consumer_group_key(group, &row);
            let value = row.value.expect("a value");
            assert_eq!(consumer_group_row(&key, &value), Ok((group.to_owned(), change.clone())));
            for cut in 0..key.len() - row.key.len() + 1 {
                assert!(consumer_group_row(&key[..cut], &value).is_err(), "{group} cut to {cut}");
            }
        }
        assert_eq!(group_of_configs_key(&group_configs_key("g")), Ok("g".to_owned()));
    }
}
