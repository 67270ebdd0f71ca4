//! Offsets of groups: who may commit and delete them.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use super::kind::Group;
use super::{Coordinator, EngineGone};
use crate::engine::command::{GroupChange, OffsetToCommit, Staged, TransactionProducer};
use crate::group::classic::{ClassicGroup, Committer};
use crate::group::consumer::assignment::TopicIdPartition;
use crate::group::consumer::offsets::{check_commit, check_fetch};
use crate::group::consumer::{self, ConsumerGroup};
use crate::types::{ErrorCode, PartitionId, PartitionIndex};

/// Offsets that were not stored, and why.
type NotStored = BTreeMap<PartitionId, ErrorCode>;

/// Offsets on their way to the store.
#[derive(Debug)]
pub struct QueuedCommit {
    stored: oneshot::Receiver<NotStored>,
    refused: NotStored,
}

impl QueuedCommit {
    /// Answers those that are not stored, once the others are.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub async fn stored(self) -> Result<NotStored, EngineGone> {
        let mut not_stored = self.stored.await.map_err(|_| EngineGone)?;
        not_stored.extend(self.refused);
        Ok(not_stored)
    }
}

/// Offsets on their way into a transaction.
#[derive(Debug)]
pub struct QueuedStaging {
    staged: oneshot::Receiver<Staged>,
    refused: NotStored,
}

impl QueuedStaging {
    /// Answers those that are not staged, once the others are.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub async fn staged(self) -> Result<Staged, EngineGone> {
        let staged = self.staged.await.map_err(|_| EngineGone)?;
        Ok(staged.map(|not_staged| not_staged.into_iter().chain(self.refused).collect()))
    }
}

/// A committer as a consumer group sees it.
fn as_member(committer: Committer<'_>, api_version: i16) -> consumer::offsets::Committer<'_> {
    consumer::offsets::Committer {
        member_id: committer.member_id,
        instance_id: committer.instance_id,
        member_epoch: committer.generation_id,
        is_transactional: false,
        api_version,
    }
}

/// TxnOffsetCommit is older than epochs of members: its clients know the generation (`validateTransactionalOffsetCommit`).
fn as_of_transaction(error: ErrorCode) -> ErrorCode {
    if error == ErrorCode::STALE_MEMBER_EPOCH { ErrorCode::ILLEGAL_GENERATION } else { error }
}

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
    ) -> Result<QueuedCommit, ErrorCode> {
        // Taken by the group that is there; if it has gone meanwhile, they are left.
        let mut offsets = Some(offsets);
        // The lock is held until the commit is queued.
        let slot = self.slot(group_id);
        let committed = slot.and_then(|slot| {
            self.change(group_id, &slot, |state, now, _| match &mut state.group {
                Group::Classic(group) => {
                    group.check_commit(now, committer)?;
                    Ok(self.queue_commit(group_id, offsets.take().unwrap_or_default(), NotStored::new()))
                }
                Group::Consumer(group) => {
                    let offsets = offsets.take().unwrap_or_default();
                    let (offsets, stale) = self.covered(group, &as_member(committer, api_version), offsets)?;
                    Ok(self.queue_commit(group_id, offsets, stale))
                }
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
        Ok(self.queue_commit(group_id, offsets.unwrap_or_default(), NotStored::new()))
    }

    /// Counts offsets that were not committed for a group that exists: what clients call groups must not grow the metrics.
    pub fn count_refused(&self, group_id: &str, offsets: usize) {
        let refused = offsets as u64;
        match self.slot(group_id) {
            Some(slot) => drop(slot.look(|state| state.refused_commits += refused)),
            None => self.offsets.count_refused(group_id, refused),
        }
    }

    fn queue_commit(&self, group_id: &str, offsets: Vec<OffsetToCommit>, refused: NotStored) -> QueuedCommit {
        QueuedCommit { stored: self.engine.commit_offsets(group_id.to_owned(), offsets), refused }
    }

    /// The offsets that `committer` may commit in a consumer group, and the others.
    fn covered(
        &self,
        group: &ConsumerGroup,
        committer: &consumer::offsets::Committer<'_>,
        offsets: Vec<OffsetToCommit>,
    ) -> Result<(Vec<OffsetToCommit>, NotStored), ErrorCode> {
        let scope = check_commit(group.state(), committer).map_err(|refused| refused.error())?;
        let topics = self.catalog.topics();
        let is_covered = |offset: &OffsetToCommit| {
            let PartitionId { topic, index } = offset.partition;
            let topic_id = topics.by_no.get(&topic).map(|topic| topic.id);
            let partition = topic_id.zip(PartitionIndex::try_from(index).ok());
            partition.is_some_and(|(topic_id, partition)| scope.covers(&TopicIdPartition { topic_id, partition }))
        };
        let (covered, stale): (Vec<_>, Vec<_>) = offsets.into_iter().partition(is_covered);
        let stale = stale.into_iter().map(|offset| (offset.partition, scope.refusal()));
        Ok((covered, stale.collect()))
    }

    /// Whether a fetch of offsets that names a member of a consumer group is answered (OffsetFetch 9).
    ///
    /// # Errors
    /// [`EngineGone`].
    pub async fn check_fetch(
        &self,
        group_id: &str,
        member_id: Option<&str>,
        member_epoch: i32,
    ) -> Result<ErrorCode, EngineGone> {
        let Some(slot) = self.slot(group_id).filter(|_| member_id.is_some() || member_epoch >= 0) else {
            return Ok(ErrorCode::NONE);
        };
        let checked = self.change(group_id, &slot, |state, _, _| match &state.group {
            Group::Classic(_) => ErrorCode::NONE,
            Group::Consumer(group) => check_fetch(group.state(), member_id, member_epoch)
                .map_or_else(|refused| refused.error(), |()| ErrorCode::NONE),
        });
        let Some((error, barrier)) = checked else { return Ok(ErrorCode::NONE) };
        barrier.passed().await?;
        Ok(error)
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
    ) -> Result<QueuedStaging, ErrorCode> {
        let queue = |offsets, refused| {
            let staged = self.engine.txn_offset_commit(producer.clone(), group_id.to_owned(), offsets);
            QueuedStaging { staged, refused }
        };
        let mut offsets = Some(offsets);
        let slot = self.slot(group_id);
        // The lock is held until the commit is queued.
        let queued = slot.and_then(|slot| {
            self.change(group_id, &slot, |state, _, _| match &state.group {
                Group::Classic(group) => {
                    group.check_transactional_commit(committer)?;
                    Ok(queue(offsets.take().unwrap_or_default(), NotStored::new()))
                }
                Group::Consumer(group) => {
                    let committer = consumer::offsets::Committer { is_transactional: true, ..as_member(committer, 0) };
                    let covered = self.covered(group, &committer, offsets.take().unwrap_or_default());
                    let (offsets, mut stale) = covered.map_err(as_of_transaction)?;
                    stale.values_mut().for_each(|error| *error = as_of_transaction(*error));
                    Ok(queue(offsets, stale))
                }
            })
        });
        if let Some((queued, _)) = queued {
            return queued;
        }
        if committer.generation_id >= 0 && !self.offsets.is_known(group_id) {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        ClassicGroup::default().check_transactional_commit(committer)?;
        Ok(queue(offsets.unwrap_or_default(), NotStored::new()))
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
            match &state.group {
                Group::Classic(group) => group.check_delete()?,
                Group::Consumer(_) if state.group.is_empty() => {}
                Group::Consumer(_) => return Err(ErrorCode::NON_EMPTY_GROUP),
            }
            let change = GroupChange::Delete(state.group.deletions());
            let deleted = self.engine.change_group(group_id.to_owned(), change);
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
            if let Group::Classic(group) = &state.group {
                group.check_offset_delete()?;
            }
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
