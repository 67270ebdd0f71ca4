//! What can be configured, as requests name it (`ConfigResource.Type` in Kafka).

use std::borrow::Cow;

use kafka_protocol::protocol::StrBytes;

use super::group_id::is_valid;
use crate::config::Config;
use crate::engine::command::Refused;
use crate::types::ErrorCode;

/// Kinds of resources with settings here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConfigResource {
    Topic,
    Broker,
    BrokerLogger,
    ClientMetrics,
    Group,
}

impl ConfigResource {
    /// By code.
    pub(super) const ALL: [Self; 5] = [Self::Topic, Self::Broker, Self::BrokerLogger, Self::ClientMetrics, Self::Group];

    pub(super) fn from_wire(code: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.to_wire() == code)
    }

    pub(super) fn to_wire(self) -> i8 {
        match self {
            Self::Topic => 2,
            Self::Broker => 4,
            Self::BrokerLogger => 8,
            Self::ClientMetrics => 16,
            Self::Group => 32,
        }
    }
}

/// Whether settings are described of this broker (true) or of the defaults for all brokers (false). Read as a number, as in Kafka:
/// `01` is 1.
pub(super) fn broker_scope(config: &Config, name: &str) -> Result<bool, Refused> {
    if name.is_empty() {
        return Ok(false);
    }
    match name.parse::<i32>() {
        Ok(id) if id == config.node_id => Ok(true),
        Ok(_) => Err(invalid(format!(
            "Unexpected broker id, expected {} or empty string, but received {name}",
            config.node_id
        ))),
        Err(_) => Err(invalid(format!("Broker id must be an integer, but it is: {name}"))),
    }
}

/// The same where settings are changed, for which Kafka has other words. One id has one name here, as a request may name a resource
/// once only: `01` is none.
pub(super) fn broker_scope_to_change(config: &Config, name: &str) -> Result<bool, Refused> {
    match name.parse::<i32>() {
        _ if name.is_empty() => Ok(false),
        Ok(_) if name == config.node_id.to_string() => Ok(true),
        Ok(_) => Err(invalid(format!("Unexpected broker id, expected {}, but received {name}", config.node_id))),
        Err(_) => Err(invalid(format!("Node id must be an integer, but it is: {name}"))),
    }
}

/// Checks that the loggers of `name` are those of this broker.
pub(super) fn check_logger(config: &Config, name: &str) -> Result<(), Refused> {
    match broker_scope(config, name) {
        Ok(true) => Ok(()),
        Ok(false) => Err(invalid("Broker id must not be empty".to_owned())),
        Err(_) if name.parse::<i32>().is_ok() => {
            Err(invalid(format!("Unexpected broker id, expected {} but received {name}", config.node_id)))
        }
        Err(refused) => Err(refused),
    }
}

/// Checks that levels are changed of the loggers of this broker; Kafka has other words for it here.
pub(super) fn check_logger_change(config: &Config, name: &str) -> Result<(), Refused> {
    match broker_scope_to_change(config, name) {
        Ok(true) => Ok(()),
        Err(_) if name.parse::<i32>().is_ok() => {
            Err(invalid(format!("Unexpected node id. Expected {}, but received {name}", config.node_id)))
        }
        Ok(false) | Err(_) => Err(invalid(format!("Node id must be an integer, but it is: {name}"))),
    }
}

/// Checks that settings may be given to the group `name`, which need not exist.
pub(super) fn check_group(name: &str) -> Result<(), Refused> {
    match is_valid(name) {
        true => Ok(()),
        false if name.is_empty() => Err(invalid("Default group resources are not allowed.".to_owned())),
        false => Err(invalid("The group id is too long.".to_owned())),
    }
}

/// A setting's name for an answer; most are those of the table.
pub(super) fn setting_name(name: Cow<'static, str>) -> StrBytes {
    match name {
        Cow::Borrowed(name) => StrBytes::from_static_str(name),
        Cow::Owned(name) => StrBytes::from_string(name),
    }
}

fn invalid(message: String) -> Refused {
    Refused::new(ErrorCode::INVALID_REQUEST, message)
}
