//! `einmal topic alter`.

use clap::Args;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{CreatePartitionsRequest, IncrementalAlterConfigsRequest};

use crate::cli::setting::{self, Setting};
use crate::cli::target::Target;
use crate::cli::{CliError, TOPIC_RESOURCE, text};
use crate::client::ClientError;

/// Which ones, and how.
#[derive(Debug, Clone, Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub struct Options {
    /// Names
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// How many partitions each is to have; never fewer than it has
    #[arg(short, long, value_name = "COUNT", group = "change", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// Set it, as often as needed
    #[arg(long, value_name = "NAME=VALUE", group = "change", value_parser = setting::parse)]
    set: Vec<Setting>,
    /// Back to what the broker says, as often as needed
    #[arg(long, value_name = "NAME", group = "change")]
    unset: Vec<String>,
    /// Only tell whether that could be done
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    target: Target,
}

/// `AlterConfigOp.OpType` in Kafka.
const SET: i8 = 0;
const DELETE: i8 = 1;

/// Settings first: they can be taken back, partitions cannot.
pub(super) fn run(options: &Options) -> Result<(), CliError> {
    let mut cluster = options.target.connect()?;
    let config = |name: &str, operation, value: Option<&str>| {
        AlterableConfig::default().with_name(text(name)).with_config_operation(operation).with_value(value.map(text))
    };
    let set = options.set.iter().map(|setting| config(&setting.name, SET, Some(&setting.value)));
    let configs: Vec<_> = set.chain(options.unset.iter().map(|name| config(name, DELETE, None))).collect();
    if !configs.is_empty() {
        let resources = options.topics.iter().map(|topic| {
            AlterConfigsResource::default()
                .with_resource_type(TOPIC_RESOURCE)
                .with_resource_name(text(topic))
                .with_configs(configs.clone())
        });
        let request = IncrementalAlterConfigsRequest::default()
            .with_resources(resources.collect())
            .with_validate_only(options.dry_run);
        let answer = cluster.controller()?.call("IncrementalAlterConfigs", &request, (0, 1))?;
        for altered in answer.responses {
            ClientError::check("IncrementalAlterConfigs", altered.error_code, altered.error_message.as_deref())?;
        }
    }
    if let Some(count) = options.partitions {
        let topics = options.topics.iter().map(|topic| {
            CreatePartitionsTopic::default().with_name(text(topic).into()).with_count(count).with_assignments(None)
        });
        let request = CreatePartitionsRequest::default()
            .with_topics(topics.collect())
            .with_timeout_ms(options.target.timeout_ms())
            .with_validate_only(options.dry_run);
        let answer = cluster.controller()?.call("CreatePartitions", &request, (0, 3))?;
        for grown in answer.results {
            ClientError::check("CreatePartitions", grown.error_code, grown.error_message.as_deref())?;
        }
    }
    Ok(())
}
