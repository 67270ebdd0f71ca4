//! Takes in, at the start, the slices that belong to the log.
//!
//! A slice has a row from before its ids leave memory until before its file is removed. A file without a row is therefore none that
//! anything rests on: either the stop came before its ids left memory, or the log is older than it, for it has lost its end or was restored.
//! In both cases its ids are rows in the log as far as their records are there, and what else is in it are ids of records that are lost:
//! they would keep those from being stored when they are sent again. Such files are removed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Sealing;
use crate::dedup::slice::SliceHead;
use crate::engine::start::scan_rows;
use crate::store::schema::{SliceRow, prefix, slice_key, slice_of_key};
use crate::store::slices::Slice;
use crate::store::{Rows, Store, StoreError};
use crate::types::TopicNo;

impl Sealing {
    /// Opens what is there; removes what was begun, what the log does not know of, and what deleted topics have left. Tells of what is
    /// missing.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] for a file that is not what its row says, with what to do.
    pub fn recover(
        &mut self,
        store: &dyn Store,
        rows: &mut Rows,
        name_of: impl Fn(TopicNo) -> Option<Arc<str>>,
    ) -> Result<(), StoreError> {
        let files = store.slices();
        files.remove_unfinished()?;
        let mut heads = heads(store)?;
        let newest = heads.keys().next_back().copied().unwrap_or(0);
        self.next_number = self.next_number.max(newest.saturating_add(1));
        for number in files.numbers()? {
            self.next_number = self.next_number.max(number.saturating_add(1));
            let Some(head) = heads.remove(&number) else {
                tracing::info!(slice = number, "a file of message ids that the log does not know of is removed");
                files.remove(number)?;
                continue;
            };
            if let Some(topic) = name_of(head.topic) {
                let slice = Slice::open(files.as_ref(), number).and_then(|slice| slice.known_as(&head));
                self.push(Arc::new(slice.map_err(|error| with_advice(error, &head, &topic))?));
            } else {
                files.remove(number)?;
                rows.delete(slice_key(number));
            }
        }
        for (number, head) in heads {
            if let Some(topic) = name_of(head.topic) {
                tracing::error!(
                    slice = number,
                    topic = &*topic,
                    ids = head.ids,
                    "a file of message ids is gone: the ids in it are forgotten, and messages with them are stored again"
                );
            }
            rows.delete(slice_key(number));
        }
        self.publish();
        Ok(())
    }
}

/// What the log knows of slices, by their numbers.
fn heads(store: &dyn Store) -> Result<BTreeMap<u64, SliceHead>, StoreError> {
    let rows = scan_rows::<u64, SliceRow>(store, &[prefix::SLICE], slice_of_key)?;
    Ok(rows.into_iter().map(|(number, SliceRow(head))| (number, head)).collect())
}

/// A start that is refused has to say how to go on.
fn with_advice(error: StoreError, head: &SliceHead, topic: &str) -> StoreError {
    match error {
        StoreError::Corrupt { place, detail } => {
            let ids = head.ids;
            let advice = format!(
                "put the file back from a copy, or remove it: then {ids} message ids of topic {topic} are forgotten, and messages with \
                 them are stored again if they are sent again"
            );
            StoreError::Corrupt { place, detail: format!("{detail}; {advice}") }
        }
        other => other,
    }
}
