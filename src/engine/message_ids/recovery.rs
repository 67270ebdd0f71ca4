//! Brings message ids back from their rows.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::stored_blocks::{StoredBlock, StoredBlocks, first_from};
use super::{MessageIds, numbers, versions};
use crate::dedup::{Index, KeptBlock, Secret};
use crate::producer::ProducerState;
use crate::store::schema::{MessageIdSecret, MessageIdTime, RowValue, id_blocks_prefix, next_prefix, producer_key};
use crate::store::{Rows, Store, StoreError};
use crate::types::{Offset, PartitionId, ProducerId, TopicNo};

/// The secret behind fingerprints: made with the first start, the same at every other.
pub(in crate::engine) fn recover_secret(
    store: &dyn Store,
    random: impl FnOnce() -> [u8; 16],
    rows: &mut Rows,
) -> Result<Secret, StoreError> {
    let stored = store.get(&MessageIdSecret::KEY)?.map(|value| MessageIdSecret::decode(&value)).transpose()?;
    let secret = stored.unwrap_or_else(|| {
        let new = MessageIdSecret(random());
        rows.put(MessageIdSecret::KEY.to_vec(), new.encode());
        new
    });
    Ok(Secret::new(secret.0))
}

impl MessageIds {
    fn restore(&mut self, store: &dyn Store, topic: TopicNo) -> Result<(), StoreError> {
        let mut index = Index::new(self.extractor.secret);
        let mut open = HashMap::new();
        // What was forgotten before the stop is forgotten in this order after it, too.
        let mut blocks = StoredBlocks::of(store, topic)?;
        while let Some(StoredBlock { partition, base_offset, is_repeat, block }) = blocks.next()? {
            self.clock.at_least(block.time);
            let mut transaction = None;
            if let Some(producer_id) = block.transaction {
                let first = match open.entry((partition, producer_id)) {
                    Entry::Occupied(known) => *known.get(),
                    Entry::Vacant(new) => *new.insert(open_transaction(store, partition, producer_id)?),
                };
                transaction = first.filter(|first| base_offset >= *first).and(Some(producer_id));
            }
            let at = KeptBlock { partition: partition.index, base_offset, time: block.time, is_repeat };
            index.restore(at, &block.kept, transaction);
        }
        // A stop came before they left.
        if let Some(until) = self.sealing.sealed_until(topic)
            && index.oldest().is_some_and(|oldest| oldest.time <= until)
        {
            self.sealing.leaving.insert(topic, until);
        }
        self.bytes += index.bytes();
        self.by_topic.insert(topic, index);
        Ok(())
    }
}

/// Brings the ids of all topics back, one topic after the other; answers the topics that are gone and have left some behind.
pub(in crate::engine) fn recover(
    message_ids: &mut MessageIds,
    store: &dyn Store,
    rows: &mut Rows,
    name_of: impl Fn(TopicNo) -> Option<Arc<str>>,
) -> Result<Vec<TopicNo>, StoreError> {
    let exists = |topic| name_of(topic).is_some();
    if let Some(time) = store.get(&MessageIdTime::KEY)? {
        message_ids.clock.at_least(MessageIdTime::decode(&time)?.0);
    }
    message_ids.sealing.recover(store, rows, &name_of)?;
    if let Some(until) = message_ids.sealing.newest_until() {
        // What comes now is later than what is sealed.
        message_ids.clock.at_least(until.saturating_add(1));
    }
    let mut gone = numbers::recover(message_ids, store, exists)?;
    let with_versions = versions::gone(store, |topic| exists(topic) || gone.contains(&topic))?;
    gone.extend(with_versions);
    let end = next_prefix(&id_blocks_prefix(None)).expect("the prefix of ids is not 0xff");
    let mut from = id_blocks_prefix(None);
    while let Some(PartitionId { topic, .. }) = first_from(store, &from, &end)? {
        if exists(topic) {
            message_ids.restore(store, topic)?;
        } else {
            if !gone.contains(&topic) {
                gone.push(topic);
            }
        }
        from = next_prefix(&id_blocks_prefix(Some(topic))).expect("the prefix of ids is not 0xff");
    }
    Ok(gone)
}

/// Where the open transaction of a producer begins in a partition.
fn open_transaction(
    store: &dyn Store,
    partition: PartitionId,
    producer_id: ProducerId,
) -> Result<Option<Offset>, StoreError> {
    let row = store.get(&producer_key(partition, producer_id))?;
    let producer = row.map(|row| ProducerState::decode(&row)).transpose()?;
    Ok(producer.and_then(|producer| producer.open_transaction))
}
