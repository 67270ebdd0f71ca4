//! Settings of single groups, which a group may have before it exists and after it has gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Coordinator, EngineGone, GROUP_BYTES};
use crate::config::groups::{HEARTBEAT_INTERVAL_MS, SESSION_TIMEOUT_MS, own};
use crate::engine::command::GroupChange;
use crate::group::consumer;

/// What a setting takes in memory beside its texts, bytes.
const CONFIG_BYTES: usize = 96;

impl Coordinator {
    /// The settings that `group_id` has of its own.
    pub fn configs(&self, group_id: &str) -> BTreeMap<String, String> {
        self.configs.get(group_id).map(|own| BTreeMap::clone(&own)).unwrap_or_default()
    }

    /// Groups that have settings of their own, sorted.
    pub fn configured_groups(&self) -> Vec<String> {
        let mut groups: Vec<String> = self.configs.iter().map(|configs| configs.key().clone()).collect();
        groups.sort_unstable();
        groups
    }

    /// What `of` makes of the lengths of their ids; it need not look at all of them.
    pub fn of_configured_ids<T>(&self, of: impl FnOnce(&mut dyn Iterator<Item = usize>) -> T) -> T {
        of(&mut self.configs.iter().map(|configs| configs.key().len()))
    }

    /// Replaces them; `configs` have been validated. Answers false if there is no room for them in `einmal.group.members.bytes.max`.
    /// Callers come one after the other.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub async fn configure(&self, group_id: &str, configs: BTreeMap<String, String>) -> Result<bool, EngineGone> {
        let (before, after) = (bytes_of(group_id, &self.configs(group_id)), bytes_of(group_id, &configs));
        let bytes = self.bytes.load(Ordering::Relaxed);
        if after > before && bytes.saturating_add(after) > self.settings.members_bytes_max {
            return Ok(false);
        }
        let change = GroupChange::Configure(configs.clone());
        self.engine.change_group(group_id.to_owned(), change).await.map_err(|_| EngineGone)?;
        self.keep_configs(group_id, configs);
        Ok(true)
    }

    /// Takes settings over that are stored.
    pub(super) fn keep_configs(&self, group_id: &str, configs: BTreeMap<String, String>) {
        self.bytes.fetch_add(bytes_of(group_id, &configs), Ordering::Relaxed);
        let before = if configs.is_empty() {
            self.configs.remove(group_id).map(|(_, before)| before)
        } else {
            self.configs.insert(group_id.to_owned(), Arc::new(configs))
        };
        self.bytes.fetch_sub(before.map_or(0, |before| bytes_of(group_id, &before)), Ordering::Relaxed);
    }

    /// The settings in force for a consumer group.
    pub(super) fn settings_of(&self, group_id: &str) -> consumer::Settings {
        let config = &self.settings.consumer_groups;
        let own_configs = self.configs.get(group_id);
        let own = |name: &str| own_configs.as_ref().and_then(|configs| own(configs, name));
        consumer::Settings {
            session_timeout_ms: config.session_timeout_ms.in_force(own(SESSION_TIMEOUT_MS)),
            heartbeat_interval_ms: config.heartbeat_interval_ms.in_force(own(HEARTBEAT_INTERVAL_MS)),
            max_size: config.size_max,
            assignors: self.settings.assignors.clone(),
        }
    }
}

fn bytes_of(group_id: &str, configs: &BTreeMap<String, String>) -> usize {
    if configs.is_empty() {
        return 0;
    }
    let texts = configs.iter().map(|(name, text)| CONFIG_BYTES + name.len() + text.len());
    GROUP_BYTES + group_id.len() + texts.sum::<usize>()
}
