//! DescribeConfigs for topics, groups, this broker and its loggers, from the one table of settings.

use std::collections::{BTreeMap, HashMap, HashSet};

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use kafka_protocol::protocol::StrBytes;

use super::apis::count_error;
use super::config_resource::{ConfigResource, broker_scope, check_group, check_logger, setting_name};
use super::told::told;
use super::{Context, topic_name};
use crate::config::describe::{self, Entry, Source};
use crate::engine::command::Refused;
use crate::types::ErrorCode;
use crate::wire::{Close, RequestHeader};

/// What a request wants to know beside the values.
#[derive(Clone, Copy)]
struct Wanted {
    version: i16,
    synonyms: bool,
    documentation: bool,
}

/// Describes each resource for itself; a null or empty list of keys means all. A resource that is named again is described once,
/// with the keys of all mentions: a few bytes would else ask for all settings again.
pub async fn describe_configs(
    cx: Context,
    header: RequestHeader,
    request: DescribeConfigsRequest,
) -> Result<DescribeConfigsResponse, Close> {
    let wanted = Wanted {
        version: header.api_version,
        synonyms: request.include_synonyms,
        documentation: request.include_documentation,
    };
    let results = distinct(request.resources).into_iter().map(|resource| {
        let described = entries(&cx, &resource);
        let result = DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name);
        match described {
            Ok(entries) => {
                let keys: Option<HashSet<&str>> =
                    resource.configuration_keys.as_ref().map(|keys| keys.iter().map(StrBytes::as_str).collect());
                let wants = |entry: &Entry| keys.as_ref().is_none_or(|keys| keys.contains(&*entry.name));
                let entries = entries.into_iter().filter(wants);
                result.with_configs(entries.map(|entry| answered(entry, wanted)).collect())
            }
            Err(refused) => {
                count_error(&header, refused.error);
                result.with_error_code(refused.error.0).with_error_message(Some(told(refused.message)))
            }
        }
    });
    Ok(DescribeConfigsResponse::default().with_results(results.collect()))
}

/// Each resource once, in the order of first mention, with the keys of all its mentions; none for all keys.
fn distinct(resources: Vec<DescribeConfigsResource>) -> Vec<DescribeConfigsResource> {
    let mut places = HashMap::new();
    let mut distinct: Vec<DescribeConfigsResource> = Vec::new();
    for mut resource in resources {
        let keys = resource.configuration_keys.take().filter(|keys| !keys.is_empty());
        let place = places.entry((resource.resource_type, resource.resource_name.clone())).or_insert(distinct.len());
        let Some(first) = distinct.get_mut(*place) else {
            distinct.push(resource.with_configuration_keys(keys));
            continue;
        };
        match (&mut first.configuration_keys, keys) {
            (Some(first), Some(more)) => first.extend(more),
            (all, _) => *all = None,
        }
    }
    distinct
}

fn entries(cx: &Context, resource: &DescribeConfigsResource) -> Result<Vec<Entry>, Refused> {
    let config = cx.broker.config.load();
    match ConfigResource::from_wire(resource.resource_type) {
        Some(ConfigResource::Topic) => {
            topic_name::check(&resource.resource_name)
                .map_err(|message| Refused::new(ErrorCode::INVALID_TOPIC_EXCEPTION, message))?;
            let topic = cx.broker.catalog.topic(&resource.resource_name).ok_or_else(|| {
                let message = format!("The topic '{}' does not exist.", resource.resource_name.as_str());
                Refused::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message)
            })?;
            Ok(describe::topic(&config, &topic.name, &topic.overrides))
        }
        Some(ConfigResource::Broker) => Ok(describe::broker(&config, broker_scope(&config, &resource.resource_name)?)),
        Some(ConfigResource::BrokerLogger) => {
            check_logger(&config, &resource.resource_name)?;
            Ok(describe::loggers(&cx.broker.loggers.levels()))
        }
        Some(ConfigResource::Group) => {
            if resource.resource_name.is_empty() {
                let message = "Group name must not be empty".to_owned();
                return Err(Refused::new(ErrorCode::INVALID_REQUEST, message));
            }
            check_group(&resource.resource_name)?;
            Ok(describe::group(&config, &cx.broker.coordinator.configs(&resource.resource_name)))
        }
        Some(ConfigResource::ClientMetrics) => {
            if resource.resource_name.is_empty() {
                let message = "Client metrics subscription name must not be empty".to_owned();
                return Err(Refused::new(ErrorCode::INVALID_REQUEST, message));
            }
            let none = BTreeMap::new();
            let own = config.overrides.client_metrics.get(resource.resource_name.as_str()).unwrap_or(&none);
            Ok(describe::client_metrics(&config, own))
        }
        None => {
            let message = format!("Unsupported resource type: {}", resource.resource_type);
            Err(Refused::new(ErrorCode::INVALID_REQUEST, message))
        }
    }
}

fn answered(entry: Entry, wanted: Wanted) -> DescribeConfigsResourceResult {
    let mut result = DescribeConfigsResourceResult::default()
        .with_name(setting_name(entry.name))
        .with_value(entry.value.map(StrBytes::from_string))
        .with_read_only(entry.read_only)
        .with_config_source(entry.source.code())
        .with_is_sensitive(entry.sensitive);
    if wanted.synonyms {
        let synonyms = entry.synonyms.into_iter().map(|synonym| {
            DescribeConfigsSynonym::default()
                .with_name(setting_name(synonym.name))
                .with_value(synonym.value.map(StrBytes::from_string))
                .with_source(synonym.source.code())
        });
        result.synonyms = synonyms.collect();
    }
    // Of loggers Kafka tells neither type nor documentation, which is an empty text then, whether it was asked for or not.
    if entry.source != Source::BrokerLogger && wanted.version >= 3 {
        result.config_type = entry.kind.code();
        result.documentation = wanted.documentation.then(|| StrBytes::from_static_str(entry.documentation));
    }
    result
}

#[cfg(test)]
#[path = "describe_configs_tests.rs"]
mod tests;
