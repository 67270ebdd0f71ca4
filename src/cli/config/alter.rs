//! `einmal config alter`.

use clap::Args;
use kafka_protocol::messages::IncrementalAlterConfigsRequest;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};

use super::resource::Resources;
use crate::cli::setting::{self, Setting};
use crate::cli::target::Target;
use crate::cli::{CliError, text};
use crate::client::ClientError;

/// Which ones, and how.
#[derive(Debug, Clone, Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub struct Options {
    #[command(flatten)]
    resources: Resources,
    /// Set it, as often as needed
    #[arg(long, value_name = "SETTING=VALUE", group = "change", value_parser = setting::parse)]
    set: Vec<Setting>,
    /// Back to what holds where nobody sets it, as often as needed
    #[arg(long, visible_alias = "delete", value_name = "SETTING", group = "change")]
    unset: Vec<String>,
    /// Add values to a list, separated by commas, as often as needed
    #[arg(long, value_name = "SETTING=VALUE", group = "change", value_parser = setting::parse)]
    append: Vec<Setting>,
    /// Take values out of a list, separated by commas, as often as needed
    #[arg(long, value_name = "SETTING=VALUE", group = "change", value_parser = setting::parse)]
    subtract: Vec<Setting>,
    /// Only tell whether that could be done
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    target: Target,
}

/// `AlterConfigOp.OpType` in Kafka.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// One name after the other; the first that is refused ends it.
pub(super) fn run(options: &Options) -> Result<(), CliError> {
    let mut cluster = options.target.connect()?;
    let config = |name: &str, operation, value: Option<&str>| {
        AlterableConfig::default().with_name(text(name)).with_config_operation(operation).with_value(value.map(text))
    };
    let each = |settings: &[Setting], operation| -> Vec<AlterableConfig> {
        settings.iter().map(|setting| config(&setting.name, operation, Some(&setting.value))).collect()
    };
    let mut configs = each(&options.set, SET);
    configs.extend(options.unset.iter().map(|name| config(name, DELETE, None)));
    configs.extend(each(&options.append, APPEND));
    configs.extend(each(&options.subtract, SUBTRACT));
    for name in options.resources.names() {
        let resource = AlterConfigsResource::default()
            .with_resource_type(options.resources.kind.code())
            .with_resource_name(text(name))
            .with_configs(configs.clone());
        let request = IncrementalAlterConfigsRequest::default()
            .with_resources(vec![resource])
            .with_validate_only(options.dry_run);
        let asked = options.resources.asked(&mut cluster, name)?;
        for altered in asked.call("IncrementalAlterConfigs", &request, (0, 1))?.responses {
            ClientError::check("IncrementalAlterConfigs", altered.error_code, altered.error_message.as_deref())?;
        }
    }
    Ok(())
}
