//! `einmal topic create`.

use clap::Args;
use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};

use crate::cli::outcome::{Outcome, Outcomes};
use crate::cli::output::Cell;
use crate::cli::setting::{self, Setting};
use crate::cli::target::Target;
use crate::cli::{CliError, text};
use crate::client::ClientError;
use crate::types::{ErrorCode, base64_uuid};

/// Which ones.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Names
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// How many partitions each has; else what the broker's num.partitions says
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// How many brokers hold each partition; else what the broker says
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(i16).range(1..))]
    replication_factor: Option<i16>,
    /// A setting of the topics, as often as needed
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = setting::parse)]
    config: Vec<Setting>,
    /// Leave topics alone that are there, instead of failing
    #[arg(long)]
    if_not_exists: bool,
    /// Only tell whether they could be created
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    target: Target,
}

/// Shows what became of each, and fails if one was refused.
pub(super) fn run(options: &Options) -> Result<(), CliError> {
    let configs = options.config.iter().map(|setting| {
        CreatableTopicConfig::default().with_name(text(&setting.name)).with_value(Some(text(&setting.value)))
    });
    let configs: Vec<_> = configs.collect();
    let topics = options.topics.iter().map(|topic| {
        CreatableTopic::default()
            .with_name(text(topic).into())
            .with_num_partitions(options.partitions.unwrap_or(-1))
            .with_replication_factor(options.replication_factor.unwrap_or(-1))
            .with_configs(configs.clone())
    });
    let request = CreateTopicsRequest::default()
        .with_topics(topics.collect())
        .with_timeout_ms(options.target.timeout_ms())
        .with_validate_only(options.dry_run);
    // What is left to the broker is -1 from version 4 on.
    let min = if options.partitions.is_some() && options.replication_factor.is_some() { 2 } else { 4 };
    let mut cluster = options.target.connect()?;
    let mut answer = cluster.controller()?.call("CreateTopics", &request, (min, 7))?;
    answer.topics.sort_by(|one, other| one.name.cmp(&other.name));
    let mut outcomes = Outcomes::new(&["topic", "topic_id", "partitions", "replication_factor", "outcome", "reason"]);
    for created in answer.topics {
        let outcome = match ErrorCode(created.error_code) {
            ErrorCode::TOPIC_ALREADY_EXISTS if options.if_not_exists => Outcome::Unchanged,
            error => {
                let said = ClientError::check("CreateTopics", error.0, created.error_message.as_deref());
                Outcome::of(said, options.dry_run)
            }
        };
        let cells = vec![
            created.name.as_str().into(),
            if created.topic_id.is_nil() { Cell::Absent } else { Cell::Text(base64_uuid(created.topic_id)) },
            Cell::or_absent(created.num_partitions.into()),
            Cell::or_absent(created.replication_factor.into()),
        ];
        outcomes.add(cells, outcome);
    }
    outcomes.print(options.target.output)
}
