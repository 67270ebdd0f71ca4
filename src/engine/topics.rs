//! Creates, grows, reconfigures and deletes topics. Each command's topics are judged one by one: what is wrong with one does not
//! touch the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::command::{Created, NewTopic, Refused, TopicRef};
use super::commit_offsets;
use super::dead::Dead;
use super::disk_watch;
use super::environment::Environment;
use super::group::{Effect, Group};
use super::message_ids;
use super::state::{PartitionLog, State};
use super::transactions;
use crate::config::TopicConfig;
use crate::config::dedup::AUDIT_TOPIC;
use crate::log::catalog::Topic;
use crate::log::partition::{Partition, Recovered};
use crate::store::schema::{NextTopicNo, PartitionRow, RowValue, TopicRow, partition_key, topic_key};
use crate::types::{ErrorCode, PartitionId, TopicNo, Uuid};

/// Creates one topic.
pub(super) fn create(
    state: &mut State,
    group: &mut Group,
    new: &NewTopic,
    validate_only: bool,
    environment: &mut dyn Environment,
) -> Result<Created, Refused> {
    if state.topics.by_name.contains_key(new.name.as_str()) {
        return Err(Refused::new(ErrorCode::TOPIC_ALREADY_EXISTS, format!("Topic '{}' already exists.", new.name)));
    }
    if let Some(other) = collision(state, &new.name) {
        let message = format!("Topic '{}' collides with existing topic: {other}", new.name);
        return Err(Refused::new(ErrorCode::INVALID_TOPIC_EXCEPTION, message));
    }
    check_partitions_max(state, new.partitions as usize)?;
    let config = resolve(state, &new.name, &new.overrides)?;
    check_audit(state, &new.name, &new.overrides, &config)?;
    if lets_versions_outlive_records(&new.overrides, &config) {
        return Err(versions_outlive_records());
    }
    check_disk(state)?;
    let no = state.next_topic_no;
    let topic = Topic {
        no,
        name: Arc::from(new.name.as_str()),
        id: environment.random_uuid(),
        partitions: (0..new.partitions).map(|index| new_view(state, PartitionId { topic: no, index })).collect(),
        overrides: new.overrides.clone(),
        config,
        traffic: Arc::default(),
    };
    let topic = Arc::new(topic);
    if validate_only {
        return Ok(topic);
    }
    warn_of_lost_changes(&topic);
    state.next_topic_no = TopicNo(no.0.checked_add(1).expect("2^32 topics have not been created"));
    group.rows.put(NextTopicNo::KEY.to_vec(), NextTopicNo(state.next_topic_no).encode());
    group.rows.put(topic_key(no), row_of(&topic).encode());
    admit(state, &topic, |_| PartitionRow::default());
    group.topics_changed = true;
    Ok(topic)
}

/// Deletes one topic: gone at once for everybody, its rows in slices later.
pub(super) fn delete(state: &mut State, group: &mut Group, which: &TopicRef) -> Result<Created, Refused> {
    let found = match which {
        TopicRef::Name(name) => state.topics.by_name.get(name.as_str()),
        TopicRef::Id(id) => state.topics.by_id.get(id),
    };
    let Some(topic) = found.cloned() else {
        return Err(match which {
            TopicRef::Name(_) => Refused::unknown_partition(),
            TopicRef::Id(_) => Refused::new(ErrorCode::UNKNOWN_TOPIC_ID, "This server does not host this topic ID."),
        });
    };
    state.topics.remove(&topic);
    state.metric_names.remove(&metric_name(&topic.name));
    state.partition_count -= topic.partitions.len();
    for partition in &topic.partitions {
        let Some(log) = state.logs.remove(&partition.id) else { continue };
        state.producer_state_count -= log.producers.map_or(0, |producers| producers.len());
        // Appended to by the same group: a restart finds by this row what is left.
        if group.partitions.remove(&partition.id) {
            group.rows.put(partition_key(partition.id), log.row.encode());
        }
    }
    group.dead.push(Dead::TopicLog(topic.no));
    group.dead.extend(topic.partitions.iter().map(|partition| Dead::Partition(partition.id)));
    group.rows.delete(topic_key(topic.no));
    state.message_ids.remove_topic(group, &topic);
    commit_offsets::forget(group, state.offset_index.remove_topic(topic.no));
    transactions::offsets::forget_topic(state, group, topic.no);
    group.topics_changed = true;
    group.when_synced.effects.push(Effect::Deleted { partitions: topic.partitions.clone() });
    Ok(topic)
}

/// Raises the number of partitions.
pub(super) fn create_partitions(
    state: &mut State,
    group: &mut Group,
    no: TopicNo,
    total: u32,
    validate_only: bool,
) -> Result<(), Refused> {
    let topic = state.topics.by_no.get(&no).cloned().ok_or_else(Refused::unknown_partition)?;
    let count = topic.partitions.len();
    if total as usize <= count {
        let message = if total as usize == count {
            format!("Topic already has {count} partition(s).")
        } else {
            format!("The topic {} currently has {count} partition(s); {total} would not be an increase.", topic.name)
        };
        return Err(Refused::new(ErrorCode::INVALID_PARTITIONS, message));
    }
    check_partitions_max(state, total as usize - count)?;
    check_disk(state)?;
    if validate_only {
        return Ok(());
    }
    let mut partitions = topic.partitions.clone();
    let first = u32::try_from(count).expect("the limit of partitions is below 2^32");
    partitions.extend((first..total).map(|index| new_view(state, PartitionId { topic: topic.no, index })));
    replace(state, group, changed(&topic, partitions, topic.overrides.clone(), topic.config.clone()));
    Ok(())
}

/// Replaces the settings of one topic: of the very one of which they were read, not of one that has its name by now.
pub(super) fn set_overrides(
    state: &mut State,
    group: &mut Group,
    no: TopicNo,
    overrides: BTreeMap<String, String>,
) -> Result<(), Refused> {
    let topic = state.topics.by_no.get(&no).cloned().ok_or_else(Refused::unknown_partition)?;
    let config = resolve(state, &topic.name, &overrides)?;
    check_audit(state, &topic.name, &overrides, &config)?;
    // A topic from before this was refused stays as it is.
    if lets_versions_outlive_records(&overrides, &config)
        && !lets_versions_outlive_records(&topic.overrides, &topic.config)
    {
        return Err(versions_outlive_records());
    }
    if checks_versions(&topic.config) && !checks_versions(&config) {
        // Records that come meanwhile would leave versions behind that are not those of their keys.
        let message = "message.version.check cannot be switched off".to_owned();
        return Err(Refused::new(ErrorCode::INVALID_CONFIG, message));
    }
    let next = changed(&topic, topic.partitions.clone(), overrides, config);
    warn_of_lost_changes(&next);
    replace(state, group, next);
    Ok(())
}

fn checks_versions(config: &TopicConfig) -> bool {
    config.dedup.as_ref().is_some_and(|dedup| dedup.checks_versions)
}

/// Whether records of a topic that checks versions can go while their keys have no newer one: their versions would stay for ever, and
/// nobody could read what they are. The broker's default of the policy may change: it is no answer.
fn lets_versions_outlive_records(overrides: &BTreeMap<String, String>, config: &TopicConfig) -> bool {
    let is_compacted = overrides.contains_key("cleanup.policy") && config.compact && !config.delete;
    checks_versions(config) && !is_compacted
}

fn versions_outlive_records() -> Refused {
    let message = "message.version.check=true goes with cleanup.policy=compact alone, as a setting of the topic itself: records that go \
                   otherwise would leave their versions behind";
    Refused::new(ErrorCode::INVALID_CONFIG, message)
}

fn warn_of_lost_changes(topic: &Topic) {
    if topic.config.dedup.as_ref().is_some_and(|dedup| dedup.loses_changes(topic.config.compact)) {
        tracing::warn!(
            topic = &*topic.name,
            "message.dedup.id.source=key with message.dedup.on.duplicate=drop stores the first value of each key only, in a topic with \
             cleanup.policy=compact: changes of a key within message.dedup.window.ms are lost"
        );
    }
}

/// Resolves the settings of all topics anew where the broker's defaults of topics have changed: most changes of the broker's settings
/// change none of these, and while all topics are gone through nobody appends.
pub(super) fn set_defaults(state: &mut State, group: &mut Group, defaults: TopicConfig) {
    if defaults == state.settings.topic_defaults {
        return;
    }
    state.settings.topic_defaults = defaults;
    let topics: Vec<_> = state.topics.by_no.values().cloned().collect();
    for topic in topics {
        let config = config_of_stored(&state.settings.topic_defaults, &topic.name, &topic.overrides);
        if config != topic.config {
            let next = changed(&topic, topic.partitions.clone(), topic.overrides.clone(), config);
            warn_of_lost_changes(&next);
            state.topics.insert(Arc::new(next));
            group.topics_changed = true;
        }
    }
}

/// The configuration of a topic that is there. A setting that this version does not take any more is no reason not to start, and none to
/// ignore the others: without its `retention.ms=-1` a topic would lose its records.
pub(super) fn config_of_stored(
    defaults: &TopicConfig,
    topic: &str,
    overrides: &BTreeMap<String, String>,
) -> TopicConfig {
    if let Ok(config) = TopicConfig::resolve(defaults, topic, overrides) {
        return config;
    }
    let (mut config, mut kept) = (defaults.clone(), BTreeMap::new());
    for (name, text) in overrides {
        kept.insert(name.clone(), text.clone());
        match TopicConfig::resolve(defaults, topic, &kept) {
            Ok(resolved) => config = resolved,
            Err(error) => {
                tracing::warn!(topic, setting = name, %error, "a setting of the topic is ignored");
                kept.remove(name);
            }
        }
    }
    config
}

/// Takes a topic into the writer's state, as it is created and as it is found at the start.
pub(super) fn admit(state: &mut State, topic: &Arc<Topic>, mut row: impl FnMut(PartitionId) -> PartitionRow) {
    for partition in &topic.partitions {
        admit_partition(state, partition, row(partition.id));
    }
    state.metric_names.insert(metric_name(&topic.name), Arc::clone(&topic.name));
    state.topics.insert(Arc::clone(topic));
}

fn admit_partition(state: &mut State, view: &Arc<Partition>, row: PartitionRow) {
    if state.logs.insert(view.id, PartitionLog::new(Arc::clone(view), row)).is_none() {
        state.partition_count += 1;
    }
}

fn replace(state: &mut State, group: &mut Group, topic: Topic) {
    let topic = Arc::new(topic);
    group.rows.put(topic_key(topic.no), row_of(&topic).encode());
    for partition in &topic.partitions {
        if !state.logs.contains_key(&partition.id) {
            admit_partition(state, partition, PartitionRow::default());
        }
    }
    state.topics.insert(topic);
    group.topics_changed = true;
}

fn changed(
    topic: &Topic,
    partitions: Vec<Arc<Partition>>,
    overrides: BTreeMap<String, String>,
    config: TopicConfig,
) -> Topic {
    Topic {
        no: topic.no,
        name: Arc::clone(&topic.name),
        id: topic.id,
        partitions,
        overrides,
        config,
        traffic: Arc::clone(&topic.traffic),
    }
}

fn new_view(state: &State, id: PartitionId) -> Arc<Partition> {
    Arc::new(Partition::new(id, state.leader_epoch, &Recovered::default()))
}

fn row_of(topic: &Topic) -> TopicRow {
    TopicRow {
        no: topic.no,
        name: topic.name.to_string(),
        id: Uuid::from_bytes(*topic.id.as_bytes()),
        partitions: u32::try_from(topic.partitions.len()).expect("the limit of partitions is below 2^32"),
        overrides: topic.overrides.clone(),
    }
}

fn resolve(state: &State, name: &str, overrides: &BTreeMap<String, String>) -> Result<TopicConfig, Refused> {
    TopicConfig::resolve(&state.settings.topic_defaults, name, overrides)
        .map_err(|error| Refused::new(ErrorCode::INVALID_CONFIG, error.to_string()))
}

/// Of two topics of which one is told of the other's repeated records, the other looks for some and the one does not.
fn check_audit(
    state: &State,
    name: &str,
    overrides: &BTreeMap<String, String>,
    config: &TopicConfig,
) -> Result<(), Refused> {
    let Some(dedup) = &config.dedup else { return Ok(()) };
    // What stands behind the topic's own settings is no reason to refuse the topic.
    if let Some(audit) = dedup.audit_topic.as_deref().filter(|_| overrides.contains_key(AUDIT_TOPIC)) {
        let unfit = message_ids::unfit_for_audit(&state.topics, audit);
        if let Some(why) = if audit == name { Some("is the topic itself") } else { unfit } {
            return Err(Refused::new(ErrorCode::INVALID_CONFIG, format!("{AUDIT_TOPIC}: topic {audit} {why}")));
        }
    }
    let names_it = |other: &&Arc<Topic>| {
        let other_dedup = other.config.dedup.as_ref();
        other_dedup.is_some_and(|other| other.audit_topic.as_deref() == Some(name)) && *other.name != *name
    };
    if let Some(other) = state.topics.by_no.values().find(names_it) {
        let message = format!(
            "topic {name} is told of repeated records of topic {} ({AUDIT_TOPIC}): it cannot look for some",
            other.name
        );
        return Err(Refused::new(ErrorCode::INVALID_CONFIG, message));
    }
    Ok(())
}

fn check_partitions_max(state: &State, more: usize) -> Result<(), Refused> {
    let partitions_max = state.settings.partitions_max;
    if state.partition_count.saturating_add(more) > partitions_max {
        let message = format!(
            "{more} more partitions would exceed einmal.partitions.max={partitions_max}; there are {}",
            state.partition_count
        );
        return Err(Refused::new(ErrorCode::POLICY_VIOLATION, message));
    }
    Ok(())
}

fn check_disk(state: &State) -> Result<(), Refused> {
    if state.disk.is_low() {
        return Err(Refused::new(ErrorCode::KAFKA_STORAGE_ERROR, disk_watch::REFUSAL));
    }
    Ok(())
}

/// The existing topic whose name differs from `name` in nothing but '.' and '_' (`Topic.hasCollision` in Kafka).
fn collision<'a>(state: &'a State, name: &str) -> Option<&'a str> {
    state.metric_names.get(&metric_name(name)).map(AsRef::as_ref)
}

fn metric_name(name: &str) -> String {
    name.replace('.', "_")
}
