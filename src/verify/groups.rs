//! Groups, their offsets and settings.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::Report;
use super::shelf::Shelf;
use super::walk::each;
use crate::group::classic::StoredGroup;
use crate::group::consumer::GroupState;
use crate::group::consumer::change::Change;
use crate::store::schema::{
    GroupConfigs, OffsetRow, RowError, consumer_group_row, consumer_groups_prefix, group_configs_prefix,
    group_of_configs_key, group_of_key, groups_prefix, offset_of_key, offsets_prefix,
};

/// Checks that all of it can be read, and that the rows of a group go together.
pub(super) fn check(shelf: &dyn Shelf, report: &mut Report) {
    let mut classic: BTreeSet<String> = BTreeSet::new();
    let group = |group, _: StoredGroup, _: &mut Report| {
        classic.insert(group);
    };
    each(shelf, &groups_prefix(), group_of_key, "group", report, group);
    each(shelf, &offsets_prefix(), offset_of_key, "committed offset", report, |_, _: OffsetRow, _| ());
    let configs = group_configs_prefix();
    each(shelf, &configs, group_of_configs_key, "group settings", report, |_, _: GroupConfigs, _| ());
    let mut changes: BTreeMap<String, Vec<Change>> = BTreeMap::new();
    let mut damage = Vec::new();
    let scanned = shelf.scan(&consumer_groups_prefix(), &mut |key, value| match consumer_group_row(key, value) {
        Ok((group, change)) => changes.entry(group).or_default().push(change),
        Err(error) => damage.push(error.to_string()),
    });
    damage.extend(scanned.err().map(|error| error.to_string()));
    damage.into_iter().for_each(|what| report.damage("consumer group", None, what));
    for (group, changes) in changes {
        report.rows += changes.len() as u64;
        // A change of the protocol writes the rows of one and removes those of the other at once.
        if classic.contains(&group) {
            report.damage(format!("group {group}"), None, "it has rows of both group protocols".to_owned());
        }
        if let Err(error) = GroupState::restore(changes).map_err(RowError::from) {
            report.damage(format!("consumer group {group}"), None, error.to_string());
        }
    }
}
