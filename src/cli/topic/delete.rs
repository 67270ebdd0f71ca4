//! `einmal topic delete`.

use clap::Args;
use kafka_protocol::messages::DeleteTopicsRequest;

use crate::cli::outcome::{Outcome, Outcomes};
use crate::cli::target::Target;
use crate::cli::{CliError, text};
use crate::client::ClientError;
use crate::types::ErrorCode;

/// Which ones.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Names
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Let topics be that are not there, instead of failing
    #[arg(long)]
    if_exists: bool,
    #[command(flatten)]
    target: Target,
}

/// Deletes those that are there, and fails if one is not.
pub(super) fn run(options: &Options) -> Result<(), CliError> {
    let names = options.topics.iter().map(|topic| text(topic).into());
    let request =
        DeleteTopicsRequest::default().with_topic_names(names.collect()).with_timeout_ms(options.target.timeout_ms());
    let mut cluster = options.target.connect()?;
    // Up to version 5 topics are named by names alone.
    let mut answer = cluster.controller()?.call("DeleteTopics", &request, (1, 5))?;
    answer.responses.sort_by(|one, other| one.name.cmp(&other.name));
    let mut outcomes = Outcomes::new(super::STEPS);
    for deleted in answer.responses {
        let name = deleted.name.as_ref().map(|name| name.to_string()).unwrap_or_default();
        let outcome = match ErrorCode(deleted.error_code) {
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION if options.if_exists => Outcome::Unchanged,
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => Outcome::Refused(ClientError::NoTopic(name.clone()).into()),
            error => {
                let message = deleted.error_message.as_deref().or(Some(&name));
                Outcome::of(ClientError::check("DeleteTopics", error.0, message), false)
            }
        };
        outcomes.add(vec![name.as_str().into(), "delete".into()], outcome);
    }
    outcomes.print(options.target.output)
}
