//! What holds after each step.

use super::*;

impl World {
    /// Who could commit for a partition at this moment.
    pub(super) fn owners(&self) -> BTreeMap<i32, Vec<usize>> {
        let mut owners: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
        for (index, client) in self.clients.iter().enumerate() {
            let owns = |at: i32| match &self.group {
                Group::Classic(group) => {
                    group.member_bytes(&client.member_id) > 0
                        && index < CLASSIC_CLIENTS
                        && client.epoch == group.generation_id()
                }
                Group::Consumer(group) => group.state().owner(&partition(at)) == Some(client.member_id.as_str()),
            };
            for at in client.reads.iter().flatten().map(|(at, _)| *at).filter(|at| owns(*at)) {
                owners.entry(at).or_default().push(index);
            }
        }
        owners
    }

    pub(super) fn audit(&self) {
        for (at, owners) in self.owners() {
            assert_eq!(owners.len(), 1, "{at} is read by {owners:?}");
        }
        if let Group::Consumer(group) = &self.group {
            // Whoever is a member and reads is the one who may.
            for client in self.clients.iter().filter(|client| group.state().members.contains_key(&*client.member_id)) {
                for at in client.reads.iter().flatten().map(|(at, _)| *at) {
                    let owner = group.state().owner(&partition(at));
                    let is_told = group.state().members[&*client.member_id].current.epoch > client.epoch;
                    assert!(owner == Some(&*client.member_id) || is_told, "{} reads {at}", client.member_id);
                }
            }
        }
        match (&self.group, self.restored()) {
            (Group::Consumer(group), Group::Consumer(restored)) => {
                assert_eq!(group.state(), restored.state(), "a restart would find another group");
            }
            (Group::Classic(group), Group::Classic(restored)) => {
                if matches!(group.state(), State::CompletingRebalance | State::Stable) {
                    assert_eq!(group.to_stored(), restored.to_stored(), "a restart would find another group");
                }
                assert!(restored.generation_id() <= group.generation_id(), "a restart would go forth");
            }
            _ => panic!("a restart would find a group of the other protocol"),
        }
    }
}
