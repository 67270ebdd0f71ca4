//! AlterConfigs and IncrementalAlterConfigs on topics, groups, this broker and its loggers.
//!
//! Mirrors `ConfigAdminManager` and `ConfigurationControlManager` of Kafka. A change is judged on the settings in force and then
//! stored, so changes of settings are done one after the other; one that is answered is in force for every connection.

use std::collections::{BTreeMap, HashSet};

use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse as Replaced;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as Changed;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::apis::count_error;
use super::config_resource::{ConfigResource, broker_scope_to_change, check_group, check_logger_change};
use super::told::told;
use super::{Context, topic_name};
use crate::config::alter::{self, AlterRefused, Change, Operation};
use crate::config::{BrokerOverrides, Config};
use crate::engine::command::Refused;
use crate::engine::settings::{CleanerSettings, DynamicSettings};
use crate::types::ErrorCode;
use crate::wire::{Close, RequestHeader};

/// What one resource is to become.
enum Wish {
    /// All own settings replaced by these.
    Replace(Vec<(String, Option<String>)>),
    /// Single settings changed.
    Change(Vec<Change>),
}

/// A resource that is to be altered.
struct Asked {
    resource_type: i8,
    name: StrBytes,
    wish: Result<Wish, Refused>,
}

/// What became of it.
struct Answered {
    resource_type: i8,
    name: StrBytes,
    error: ErrorCode,
    message: Option<StrBytes>,
}

/// Replaces all own settings of each resource.
pub async fn alter_configs(
    cx: Context,
    header: RequestHeader,
    request: AlterConfigsRequest,
) -> Result<AlterConfigsResponse, Close> {
    let asked = request.resources.into_iter().map(|resource| {
        let given = resource.configs.iter().map(|config| (config.name.to_string(), text(config.value.as_ref())));
        let wish = Ok(Wish::Replace(given.collect()));
        Asked { resource_type: resource.resource_type, name: resource.resource_name, wish }
    });
    let answered = alter_each(&cx, &header, asked.collect(), request.validate_only).await?;
    let responses = answered.into_iter().map(|of| {
        Replaced::default()
            .with_error_code(of.error.0)
            .with_error_message(of.message)
            .with_resource_type(of.resource_type)
            .with_resource_name(of.name)
    });
    Ok(AlterConfigsResponse::default().with_responses(responses.collect()))
}

/// Changes single settings of each resource.
pub async fn incremental_alter_configs(
    cx: Context,
    header: RequestHeader,
    request: IncrementalAlterConfigsRequest,
) -> Result<IncrementalAlterConfigsResponse, Close> {
    let asked = request.resources.into_iter().map(|resource| {
        let changes = resource.configs.iter().map(|config| {
            let operation = Operation::from_wire(config.config_operation).ok_or_else(|| {
                let message = format!("Unknown operation type {}", config.config_operation);
                Refused::new(ErrorCode::INVALID_REQUEST, message)
            })?;
            Ok(Change { name: config.name.to_string(), operation, value: text(config.value.as_ref()) })
        });
        let wish = changes.collect::<Result<Vec<_>, Refused>>().map(Wish::Change);
        Asked { resource_type: resource.resource_type, name: resource.resource_name, wish }
    });
    let answered = alter_each(&cx, &header, asked.collect(), request.validate_only).await?;
    let responses = answered.into_iter().map(|of| {
        Changed::default()
            .with_error_code(of.error.0)
            .with_error_message(of.message)
            .with_resource_type(of.resource_type)
            .with_resource_name(of.name)
    });
    Ok(IncrementalAlterConfigsResponse::default().with_responses(responses.collect()))
}

/// Alters one after the other, but none that is named more than once.
async fn alter_each(
    cx: &Context,
    header: &RequestHeader,
    asked: Vec<Asked>,
    validate_only: bool,
) -> Result<Vec<Answered>, Close> {
    let twice = twice(asked.iter().map(|asked| (asked.resource_type, asked.name.clone())));
    let mut answered = Vec::with_capacity(asked.len());
    for Asked { resource_type, name, wish } in asked {
        let outcome = match wish {
            _ if twice.contains(&(resource_type, name.clone())) => Err(named_twice()),
            Ok(wish) => alter(cx, resource_type, &name, wish, validate_only).await?,
            Err(refused) => Err(refused),
        };
        let (error, message) = match outcome {
            Ok(()) => (ErrorCode::NONE, None),
            Err(refused) => {
                count_error(header, refused.error);
                (refused.error, Some(told(refused.message)))
            }
        };
        answered.push(Answered { resource_type, name, error, message });
    }
    Ok(answered)
}

/// Resources that are named more than once.
fn twice(resources: impl Iterator<Item = (i8, StrBytes)>) -> HashSet<(i8, StrBytes)> {
    let mut once = HashSet::new();
    resources.filter(|resource| !once.insert(resource.clone())).collect()
}

fn named_twice() -> Refused {
    Refused::new(ErrorCode::INVALID_REQUEST, "Each resource must appear at most once.".to_owned())
}

async fn alter(
    cx: &Context,
    resource_type: i8,
    name: &StrBytes,
    wish: Wish,
    validate_only: bool,
) -> Result<Result<(), Refused>, Close> {
    // A request may name a hundred thousand resources: others have their turn in between.
    tokio::task::yield_now().await;
    let _one_at_a_time = cx.broker.config_changes.lock().await;
    let config = cx.broker.config.load_full();
    match ConfigResource::from_wire(resource_type) {
        Some(ConfigResource::Topic) => alter_topic(cx, &config, name, wish, validate_only).await,
        Some(ConfigResource::Broker) => alter_broker(cx, &config, name, wish, validate_only).await,
        Some(ConfigResource::BrokerLogger) => Ok(alter_loggers(cx, &config, name, wish, validate_only)),
        Some(ConfigResource::Group) => alter_group(cx, &config, name, wish, validate_only).await,
        Some(ConfigResource::ClientMetrics) => alter_client_metrics(cx, &config, name, wish, validate_only).await,
        None => Ok(Err(unknown_type(resource_type))),
    }
}

async fn alter_topic(
    cx: &Context,
    config: &Config,
    name: &StrBytes,
    wish: Wish,
    validate_only: bool,
) -> Result<Result<(), Refused>, Close> {
    if name.is_empty() {
        let message = "Default topic resources are not allowed.".to_owned();
        return Ok(Err(Refused::new(ErrorCode::INVALID_REQUEST, message)));
    }
    if let Err(message) = topic_name::check(name) {
        return Ok(Err(Refused::new(ErrorCode::INVALID_TOPIC_EXCEPTION, message)));
    }
    let Some(topic) = cx.broker.catalog.topic(name) else {
        let message = format!("The topic '{}' does not exist.", name.as_str());
        return Ok(Err(Refused::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message)));
    };
    let overrides: Result<BTreeMap<String, String>, AlterRefused> = match wish {
        Wish::Replace(given) => alter::replace_topic(&given),
        Wish::Change(changes) => alter::topic(config, &topic.name, &topic.overrides, &changes),
    };
    match overrides {
        Err(error) => Ok(Err(refused_own(&error))),
        Ok(_) if validate_only => Ok(Ok(())),
        Ok(overrides) => cx.broker.engine.set_topic_overrides(topic.no, overrides).await.map_err(|_| Close::Ending),
    }
}

async fn alter_group(
    cx: &Context,
    config: &Config,
    name: &StrBytes,
    wish: Wish,
    validate_only: bool,
) -> Result<Result<(), Refused>, Close> {
    if let Err(refused) = check_group(name) {
        return Ok(Err(refused));
    }
    let coordinator = &cx.broker.coordinator;
    let configs = match wish {
        Wish::Replace(given) => alter::replace_group(config, &given),
        Wish::Change(changes) => alter::group(config, &coordinator.configs(name), &changes),
    };
    match configs {
        Err(error) => Ok(Err(refused_own(&error))),
        Ok(_) if validate_only => Ok(Ok(())),
        Ok(configs) => {
            let has_room = coordinator.configure(name, configs).await.map_err(|_| Close::Ending)?;
            let message = "groups have no more memory: see einmal.group.members.bytes.max".to_owned();
            Ok(if has_room { Ok(()) } else { Err(Refused::new(ErrorCode::POLICY_VIOLATION, message)) })
        }
    }
}

/// Of settings that a topic, a group or a logger has of its own.
fn refused_own(error: &AlterRefused) -> Refused {
    let code = match error {
        AlterRefused::Invalid(_) => ErrorCode::INVALID_CONFIG,
        AlterRefused::Request(_) => ErrorCode::INVALID_REQUEST,
    };
    Refused::new(code, error.to_string())
}

async fn alter_broker(
    cx: &Context,
    config: &Config,
    name: &StrBytes,
    wish: Wish,
    validate_only: bool,
) -> Result<Result<(), Refused>, Close> {
    let node = match broker_scope_to_change(config, name) {
        Ok(node) => node,
        Err(refused) => return Ok(Err(refused)),
    };
    let overrides: Result<BrokerOverrides, AlterRefused> = match wish {
        Wish::Replace(given) => alter::replace_broker(config, node, &given),
        Wish::Change(changes) => alter::broker(config, node, &changes),
    };
    match overrides {
        // The one code that Kafka has for broker settings.
        Err(error) => Ok(Err(Refused::new(ErrorCode::INVALID_REQUEST, error.to_string()))),
        Ok(_) if validate_only => Ok(Ok(())),
        Ok(overrides) => put_in_force(cx, config, overrides).await,
    }
}

async fn alter_client_metrics(
    cx: &Context,
    config: &Config,
    name: &StrBytes,
    wish: Wish,
    validate_only: bool,
) -> Result<Result<(), Refused>, Close> {
    if name.is_empty() {
        let message = "Subscription name can't be empty".to_owned();
        return Ok(Err(Refused::new(ErrorCode::INVALID_REQUEST, message)));
    }
    let overrides = match wish {
        Wish::Replace(given) => alter::replace_client_metrics(config, name, &given),
        Wish::Change(changes) => alter::client_metrics(config, name, &changes),
    };
    match overrides {
        Err(error) => Ok(Err(refused_own(&error))),
        Ok(_) if validate_only => Ok(Ok(())),
        Ok(overrides) => put_in_force(cx, config, overrides).await,
    }
}

/// Levels are in force until the next start; all of them at once can not be replaced.
fn alter_loggers(cx: &Context, config: &Config, name: &str, wish: Wish, validate_only: bool) -> Result<(), Refused> {
    let Wish::Change(changes) = wish else {
        return Err(unknown_type(ConfigResource::BrokerLogger.to_wire()));
    };
    check_logger_change(config, name)?;
    let loggers = &cx.broker.loggers;
    let altered = match validate_only {
        true => loggers.levels().changed(&changes).map(|_| ()),
        false => loggers.replace(|levels| levels.changed(&changes)),
    };
    altered.map_err(|error| refused_own(&error))
}

fn unknown_type(resource_type: i8) -> Refused {
    Refused::new(ErrorCode::INVALID_REQUEST, format!("Unknown resource type {resource_type}"))
}

/// Stores dynamic settings, and from then on goes by them.
async fn put_in_force(cx: &Context, config: &Config, overrides: BrokerOverrides) -> Result<Result<(), Refused>, Close> {
    if overrides == config.overrides {
        return Ok(Ok(()));
    }
    let changed = match config.with_overrides(overrides.clone()) {
        Ok(changed) => changed,
        Err(error) => return Ok(Err(Refused::new(ErrorCode::INVALID_REQUEST, error.to_string()))),
    };
    let settings = DynamicSettings::from(&changed);
    let stored =
        cx.broker.engine.set_broker_overrides(overrides.to_stored(), settings).await.map_err(|_| Close::Ending)?;
    if stored.is_ok() {
        cx.broker.engine.set_cleaner(CleanerSettings::from(&changed));
        cx.broker.config.store(std::sync::Arc::new(changed));
    }
    Ok(stored)
}

fn text(value: Option<&StrBytes>) -> Option<String> {
    value.map(|value| value.to_string())
}

#[cfg(test)]
#[path = "alter_configs_tests.rs"]
mod tests;
