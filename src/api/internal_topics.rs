//! The topics in which Kafka keeps groups and transactions.
//!
//! einmal keeps that state in rows of its own, so nothing is ever written to these topics. They exist because clients and tools
//! look for them: lag monitors count their partitions, `kafka-topics` lists them, and a client that lists topics after it has
//! joined a group expects one more. They come into being as in Kafka (`AutoTopicCreationManager`): when a coordinator is first asked
//! for. Administrators who end a transaction in a partition of `__consumer_offsets` end it for the groups whose offsets Kafka would keep
//! there. A consumer of `__consumer_offsets` waits for records that never come; what it wants is OffsetFetch. Deleting one loses
//! nothing.

use std::collections::BTreeMap;

use super::Context;
use super::topic_name::{CONSUMER_OFFSETS, TRANSACTION_STATE};
use crate::config::Config;
use crate::engine::command::NewTopic;
use crate::log::catalog::Topics;
use crate::wire::Close;

/// How many partitions `__consumer_offsets` has, or would be created with.
pub fn offsets_partitions(topics: &Topics, config: &Config) -> u32 {
    let there = topics.by_name.get(CONSUMER_OFFSETS).and_then(|topic| u32::try_from(topic.partitions.len()).ok());
    there.unwrap_or(config.offsets_topic_partitions)
}

/// What `name` would be created as, if it is internal: the settings of Kafka's `GroupCoordinatorService.groupMetadataTopicConfigs`
/// and `TransactionStateManager.transactionStateTopicConfigs`.
pub fn new_topic(name: &str, config: &Config) -> Option<NewTopic> {
    let (partitions, own) = match name {
        CONSUMER_OFFSETS => (
            config.offsets_topic_partitions,
            [("cleanup.policy", "compact"), ("compression.type", "producer"), ("segment.bytes", "104857600")]
                .as_slice(),
        ),
        TRANSACTION_STATE => (
            config.transaction_topic_partitions,
            [
                ("cleanup.policy", "compact"),
                ("compression.type", "uncompressed"),
                ("min.insync.replicas", "1"),
                ("segment.bytes", "104857600"),
                ("unclean.leader.election.enable", "false"),
            ]
            .as_slice(),
        ),
        _ => return None,
    };
    let overrides: BTreeMap<_, _> = own.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Some(NewTopic { name: name.to_owned(), partitions, overrides })
}

/// Creates the internal topic `name` unless it is there. A refusal (no room, the limit of partitions) keeps nobody from their
/// coordinator, which does not need the topic.
///
/// # Errors
/// [`Close::Ending`]: the broker ends.
pub async fn ensure(cx: &Context, name: &str) -> Result<(), Close> {
    if cx.broker.catalog.topics().by_name.contains_key(name) {
        return Ok(());
    }
    let Some(topic) = new_topic(name, &cx.broker.config.load()) else { return Ok(()) };
    let created = cx.broker.engine.create_topics(vec![topic], false).await.map_err(|_| Close::Ending)?;
    for refused in created.iter().filter_map(|created| created.as_ref().err()) {
        tracing::debug!(topic = name, error = %refused, "internal topic is not created");
    }
    Ok(())
}
