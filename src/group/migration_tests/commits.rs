//! What members read, and how far they commit.

use super::*;

impl World {
    /// Reads some, and has the commit of it sent; mostly it arrives at once, with all before it.
    pub(super) fn read_on(&mut self, index: usize) -> ErrorCode {
        let records = self.random.below(5);
        let client = &mut self.clients[index];
        let reads = client.reads.get_or_insert_default();
        reads.values_mut().for_each(|offset| *offset += records);
        let offsets = reads.clone();
        self.under_way[index].push_back(Commit { member_id: client.member_id.clone(), epoch: client.epoch, offsets });
        if self.random.below(3) > 0 { self.all_arrive(index) } else { ErrorCode::NONE }
    }

    pub(super) fn all_arrive(&mut self, index: usize) -> ErrorCode {
        let mut last = ErrorCode::NONE;
        while let Some(commit) = self.under_way[index].pop_front() {
            last = self.commit(&commit);
        }
        last
    }

    pub(super) fn offset(&self, at: i32) -> u64 {
        self.committed.get(&at).map_or(0, |(offset, _)| *offset)
    }

    pub(super) fn arrive(&mut self, index: usize) {
        let count = self.strays.len();
        let queue = if count > 0 { self.strays.get_mut(index % count) } else { self.under_way.get_mut(index) };
        if let Some(commit) = queue.and_then(VecDeque::pop_front) {
            self.commit(&commit);
        }
    }

    pub(super) fn commit(&mut self, commit: &Commit) -> ErrorCode {
        let Commit { member_id, epoch, offsets } = commit;
        let covered = self.change(|group, _, now, _, _| match group {
            Group::Classic(group) => {
                let committer = Committer { member_id, instance_id: None, generation_id: *epoch };
                group.check_commit(now, committer).map(|()| offsets.clone())
            }
            Group::Consumer(group) => {
                let committer = offsets::Committer {
                    member_id,
                    instance_id: None,
                    member_epoch: *epoch,
                    is_transactional: false,
                    api_version: 9,
                };
                let scope = check_commit(group.state(), &committer).map_err(|refused| refused.error())?;
                let covered = offsets.iter().filter(|(at, _)| scope.covers(&partition(**at)));
                Ok(covered.map(|(at, offset)| (*at, *offset)).collect())
            }
        });
        match covered {
            Ok(covered) => {
                for (at, offset) in covered {
                    let (before, by) = self.committed.insert(at, (offset, member_id.clone())).unwrap_or_default();
                    // What one's own older connection still brings along may be behind (KIP-1251), but never another's.
                    let is_own = by == *member_id;
                    assert!(
                        before <= offset || is_own,
                        "{at} goes back from {before} by {by} to {offset} by {member_id}"
                    );
                }
                ErrorCode::NONE
            }
            Err(error) => error,
        }
    }
}
