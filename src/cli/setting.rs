//! `NAME=VALUE` on the command line, and how a broker is asked to change settings.

use kafka_protocol::messages::IncrementalAlterConfigsRequest;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};

use super::text;
use crate::client::{ClientError, Connection};

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Setting {
    pub(in crate::cli) name: String,
    pub(in crate::cli) value: String,
}

/// Takes the text apart at its first `=`.
pub(in crate::cli) fn parse(text: &str) -> Result<Setting, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok(Setting { name: name.trim().to_owned(), value: value.to_owned() })
        }
        _ => Err("write it as NAME=VALUE, e.g. retention.ms=3600000".to_owned()),
    }
}

/// `AlterConfigOp.OpType` in Kafka.
pub(in crate::cli) const SET: i8 = 0;
const DELETE: i8 = 1;
pub(in crate::cli) const APPEND: i8 = 2;
pub(in crate::cli) const SUBTRACT: i8 = 3;

/// What does `operation`, which is not the one that has no value, to each of `settings`.
pub(in crate::cli) fn changes(settings: &[Setting], operation: i8) -> impl Iterator<Item = AlterableConfig> {
    settings.iter().map(move |setting| change(&setting.name, operation, Some(&setting.value)))
}

/// What takes away what was set under each of `names`.
pub(in crate::cli) fn unset(names: &[String]) -> impl Iterator<Item = AlterableConfig> {
    names.iter().map(|name| change(name, DELETE, None))
}

fn change(name: &str, operation: i8, value: Option<&str>) -> AlterableConfig {
    AlterableConfig::default().with_name(text(name)).with_config_operation(operation).with_value(value.map(text))
}

/// What was said to each name.
pub(in crate::cli) type Answers = Vec<(String, Result<(), ClientError>)>;

/// Asks `broker` for these changes of each of `names`, which are of the type `kind` (`ConfigResource.Type` in Kafka). What it says to
/// each, by name: the changes of one name are made all or none.
///
/// # Errors
/// What [`Connection::call`] has.
pub(in crate::cli) fn alter(
    broker: &mut Connection,
    (kind, names): (i8, &[&str]),
    changes: &[AlterableConfig],
    is_dry_run: bool,
) -> Result<Answers, ClientError> {
    let resources = names.iter().map(|name| {
        AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text(name))
            .with_configs(changes.to_vec())
    });
    let request =
        IncrementalAlterConfigsRequest::default().with_resources(resources.collect()).with_validate_only(is_dry_run);
    let answer = broker.call("IncrementalAlterConfigs", &request, (0, 1))?;
    let mut answers: Answers = answer
        .responses
        .into_iter()
        .map(|altered| {
            let said =
                ClientError::check("IncrementalAlterConfigs", altered.error_code, altered.error_message.as_deref());
            (altered.resource_name.to_string(), said)
        })
        .collect();
    answers.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_equals_sign_parts_name_and_value() {
        let setting = |name: &str, value: &str| Ok(Setting { name: name.to_owned(), value: value.to_owned() });
        assert_eq!(parse("retention.ms=1"), setting("retention.ms", "1"));
        assert_eq!(parse(" a = b=c"), setting("a", " b=c"));
        assert_eq!(parse("a="), setting("a", ""));
        assert!(parse("a").is_err() && parse("=b").is_err());
    }
}
