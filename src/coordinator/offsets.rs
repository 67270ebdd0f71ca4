//! Offsets of groups: who may commit and delete them.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use super::{Coordinator, EngineGone};
use crate::engine::command::{GroupChange, OffsetToCommit, Staged, TransactionProducer};
use crate::group::classic::{ClassicGroup, Committer};
use crate::types::{ErrorCode, PartitionId};

/// Offsets that were not stored, and why.
type NotStored = BTreeMap<PartitionId, ErrorCode>;

/// A topic of which offsets are to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicOffsets {
    /// Its name.
    pub name: String,
    /// Partitions that exist.
    pub partitions: Vec<PartitionId>,
}

impl Coordinator {
    /// Queues a commit if `committer` may do it. A group that nobody knows is one without members, but for those who say that they
    /// are members.
    ///
    /// # Errors
    /// The code for all partitions.
    pub fn commit(
        &self,
        group_id: &str,
        api_version: i16,
        committer: Committer<'_>,
        offsets: Vec<OffsetToCommit>,
    ) -> Result<oneshot::Receiver<NotStored>, ErrorCode> {
        // The lock is held until the commit is queued.
        let slot = self.slot(group_id);
        let committed = slot.and_then(|slot| {
            self.change(group_id, &slot, |state, now, _| {
                state.group.check_commit(now, committer)?;
                Ok(self.engine.commit_offsets(group_id.to_owned(), offsets.clone()))
            })
        });
        if let Some((committed, _)) = committed {
            return committed;
        }
        if committer.generation_id >= 0 && !self.offsets.is_known(group_id) {
            let is_told = api_version >= 9;
            return Err(if is_told { ErrorCode::GROUP_ID_NOT_FOUND } else { ErrorCode::ILLEGAL_GENERATION });
        }
        ClassicGroup::default().check_commit(self.clock.now(), committer)?;
        Ok(self.engine.commit_offsets(group_id.to_owned(), offsets))
    }

    /// Queues offsets that a transaction will commit, if `committer` may do it.
    ///
    /// # Errors
    /// The code for all partitions.
    pub fn commit_transactional(
        &self,
        group_id: &str,
        committer: Committer<'_>,
        producer: TransactionProducer,
        offsets: Vec<OffsetToCommit>,
    ) -> Result<oneshot::Receiver<Staged>, ErrorCode> {
        let queue = || self.engine.txn_offset_commit(producer.clone(), group_id.to_owned(), offsets.clone());
        let slot = self.slot(group_id);
        // The lock is held until the commit is queued.
        let queued = slot.and_then(|slot| {
            self.change(group_id, &slot, |state, _, _| {
                state.group.check_transactional_commit(committer)?;
                Ok(queue())
            })
        });
        if let Some((queued, _)) = queued {
            return queued;
        }
        if committer.generation_id >= 0 && !self.offsets.is_known(group_id) {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        ClassicGroup::default().check_transactional_commit(committer)?;
        Ok(queue())
    }

    /// Deletes a group without members, and its offsets.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub async fn delete(&self, group_id: &str) -> Result<ErrorCode, EngineGone> {
        if !self.groups.contains_key(group_id) && !self.offsets.is_known(group_id) {
            return Ok(ErrorCode::GROUP_ID_NOT_FOUND);
        }
        let slot = self.slot_or_new(group_id);
        let deleted = self.change(group_id, &slot, |state, _, _| {
            state.group.check_delete()?;
            let deleted = self.engine.change_group(group_id.to_owned(), GroupChange::Delete);
            self.remove(group_id, state);
            Ok(deleted)
        });
        match deleted {
            None => Ok(ErrorCode::GROUP_ID_NOT_FOUND),
            Some((Err(error), _)) => Ok(error),
            Some((Ok(deleted), _)) => deleted.await.map(|()| ErrorCode::NONE).map_err(|_| EngineGone),
        }
    }

    /// Deletes offsets of topics that no member subscribes to. Answers a code for each topic, or one for the whole request.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub async fn delete_offsets(
        &self,
        group_id: &str,
        topics: &[TopicOffsets],
    ) -> Result<Result<Vec<ErrorCode>, ErrorCode>, EngineGone> {
        if !self.groups.contains_key(group_id) && !self.offsets.is_known(group_id) {
            return Ok(Err(ErrorCode::GROUP_ID_NOT_FOUND));
        }
        let slot = self.slot_or_new(group_id);
        let deleted = self.change(group_id, &slot, |state, _, _| {
            state.group.check_offset_delete()?;
            let is_subscribed: Vec<bool> = topics.iter().map(|topic| state.group.is_subscribed(&topic.name)).collect();
            let free = topics.iter().zip(&is_subscribed).filter(|(_, is_subscribed)| !**is_subscribed);
            let partitions = free.flat_map(|(topic, _)| topic.partitions.clone()).collect();
            let change = GroupChange::DeleteOffsets(partitions);
            Ok((is_subscribed, self.engine.change_group(group_id.to_owned(), change)))
        });
        let (is_subscribed, deleted) = match deleted {
            None => return Ok(Err(ErrorCode::GROUP_ID_NOT_FOUND)),
            Some((Err(error), _)) => return Ok(Err(error)),
            Some((Ok(deleted), _)) => deleted,
        };
        deleted.await.map_err(|_| EngineGone)?;
        let code = |is_subscribed| if is_subscribed { ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC } else { ErrorCode::NONE };
        Ok(Ok(is_subscribed.into_iter().map(code).collect()))
    }
}
