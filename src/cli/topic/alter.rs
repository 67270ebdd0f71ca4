//! `einmal topic alter`.

use clap::Args;
use kafka_protocol::messages::CreatePartitionsRequest;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;

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

/// Settings first: they can be taken back, partitions cannot.
pub(super) fn run(options: &Options) -> Result<(), CliError> {
    let mut cluster = options.target.connect()?;
    let changes: Vec<_> = setting::changes(&options.set, setting::SET).chain(setting::unset(&options.unset)).collect();
    if !changes.is_empty() {
        let topics: Vec<&str> = options.topics.iter().map(String::as_str).collect();
        setting::alter(cluster.controller()?, (TOPIC_RESOURCE, &topics), &changes, options.dry_run)?;
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
