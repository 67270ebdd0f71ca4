//! Versions of keys (`message.version.check`): looked up in their rows, and written with the records that move them.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::command::AppendBatch;
use super::super::group::Group;
use super::{MessageIds, Outcome, count};
use crate::config::DedupConfig;
use crate::dedup::Fingerprint;
use crate::log::catalog::Topic;
use crate::store::schema::{KeyVersion, RowValue, next_prefix, topic_of_version_key, version_key, versions_prefix};
use crate::store::{Store, StoreError};
use crate::types::{ErrorCode, Offset, PartitionId, TopicNo};

/// What a group has moved and has not written yet; none: the key is removed.
pub(in crate::engine) type Moved = HashMap<(PartitionId, Fingerprint), Option<Offset>>;

impl MessageIds {
    /// Judges a batch by the versions that its records expect, and if they are met stages those that it makes: it has to be appended at
    /// `base_offset`.
    pub(super) fn judge_versions(
        &self,
        store: &dyn Store,
        group: &mut Group,
        topic: &Topic,
        config: &Arc<DedupConfig>,
        batch: &mut AppendBatch,
        base_offset: Offset,
    ) -> Outcome {
        if batch.header.is_transactional() {
            // Whether a version counts would not be known before the transaction ends.
            let message = "topics with message.version.check take no batches of transactions";
            return Outcome::Refused(ErrorCode::INVALID_RECORD, message.to_owned());
        }
        let ids = match self.ids_of(config, batch) {
            Ok(ids) => ids,
            Err(outcome) => return outcome,
        };
        let partition = batch.partition;
        let mut moved: HashMap<Fingerprint, Option<Offset>> = HashMap::new();
        for record in &ids.versions {
            if let Some(expected) = record.expected {
                let earlier = moved.get(&record.key).or_else(|| group.versions.get(&(partition, record.key)));
                let version = match earlier {
                    Some(version) => *version,
                    None => match stored(store, partition, &record.key) {
                        Ok(version) => version,
                        Err(error) => {
                            let error = topic.naming(&error);
                            tracing::error!(
                                topic = &*topic.name,
                                partition = partition.index,
                                error,
                                "version of a key cannot be read"
                            );
                            let message = "the version of a key cannot be read".to_owned();
                            return Outcome::Refused(ErrorCode::KAFKA_STORAGE_ERROR, message);
                        }
                    },
                };
                if version != expected {
                    let shown =
                        |version: Option<Offset>| version.map_or("none".to_owned(), |offset| offset.to_string());
                    let message = format!(
                        "record {} expects version {} of its key, which has {}",
                        record.offset_delta,
                        shown(expected),
                        shown(version)
                    );
                    count(&topic.traffic.dedup_rejected, 1);
                    return Outcome::refused_for(record.offset_delta, message);
                }
            }
            let offset = base_offset + Offset::from(record.offset_delta);
            moved.insert(record.key, (!record.removes).then_some(offset));
        }
        for (key, version) in moved {
            let row = version_key(partition, &key);
            match version {
                Some(offset) => group.rows.put(row, KeyVersion(offset).encode()),
                None => group.rows.delete(row),
            }
            group.versions.insert((partition, key), version);
        }
        Outcome::Append { last_present_delta: batch.header.last_offset_delta }
    }
}

fn stored(store: &dyn Store, partition: PartitionId, key: &Fingerprint) -> Result<Option<Offset>, StoreError> {
    let row = store.get(&version_key(partition, key))?;
    Ok(row.map(|row| KeyVersion::decode(&row)).transpose()?.map(|version| version.0))
}

/// The topics that are gone and have left versions behind.
pub(super) fn gone(store: &dyn Store, exists: impl Fn(TopicNo) -> bool) -> Result<Vec<TopicNo>, StoreError> {
    let mut gone = Vec::new();
    let mut from = versions_prefix(None);
    let end = next_prefix(&from).expect("the prefix of versions is not 0xff");
    loop {
        let mut first = None;
        store.scan_range(&from, &end, &mut |key, _| {
            first = Some(topic_of_version_key(key));
            false
        })?;
        let Some(topic) = first.transpose()? else { return Ok(gone) };
        if !exists(topic) {
            gone.push(topic);
        }
        from = next_prefix(&versions_prefix(Some(topic))).expect("the prefix of versions is not 0xff");
    }
}
