//! `einmal topic alter`.

use std::collections::BTreeSet;

use clap::Args;
use kafka_protocol::messages::CreatePartitionsRequest;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;

use crate::cli::outcome::{Outcome, Outcomes};
use crate::cli::setting::{self, Setting};
use crate::cli::target::Target;
use crate::cli::{CliError, TOPIC_RESOURCE, text};
use crate::client::{ClientError, Cluster};

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

/// Settings first: they can be taken back, partitions cannot. A topic whose settings are refused gets no partitions either.
pub(super) fn run(options: &Options) -> Result<(), CliError> {
    let mut cluster = options.target.connect()?;
    let mut outcomes = Outcomes::new(super::STEPS);
    let altered = alter(&mut cluster, options, &mut outcomes);
    outcomes.print_before(altered.err(), options.target.output)
}

fn alter(cluster: &mut Cluster, options: &Options, outcomes: &mut Outcomes) -> Result<(), CliError> {
    let mut topics: Vec<&str> = options.topics.iter().map(String::as_str).collect();
    topics.sort_unstable();
    let changes: Vec<_> = setting::changes(&options.set, setting::SET).chain(setting::unset(&options.unset)).collect();
    let mut refused = BTreeSet::new();
    if !changes.is_empty() {
        for (topic, said) in
            setting::alter(cluster.controller()?, (TOPIC_RESOURCE, &topics), &changes, options.dry_run)?
        {
            if said.is_err() {
                refused.insert(topic.clone());
            }
            outcomes.add(vec![topic.as_str().into(), "settings".into()], Outcome::of(said, options.dry_run));
        }
    }
    let Some(count) = options.partitions else { return Ok(()) };
    let (left_out, grown): (Vec<&str>, Vec<&str>) = topics.iter().partition(|topic| refused.contains(**topic));
    for topic in left_out {
        outcomes.add(vec![topic.into(), "partitions".into()], Outcome::Skipped("its settings were refused"));
    }
    if grown.is_empty() {
        return Ok(());
    }
    let grown = grown.iter().map(|topic| {
        CreatePartitionsTopic::default().with_name(text(topic).into()).with_count(count).with_assignments(None)
    });
    let request = CreatePartitionsRequest::default()
        .with_topics(grown.collect())
        .with_timeout_ms(options.target.timeout_ms())
        .with_validate_only(options.dry_run);
    let mut answer = cluster.controller()?.call("CreatePartitions", &request, (0, 3))?;
    answer.results.sort_by(|one, other| one.name.cmp(&other.name));
    for grown in answer.results {
        let said = ClientError::check("CreatePartitions", grown.error_code, grown.error_message.as_deref());
        outcomes.add(vec![grown.name.as_str().into(), "partitions".into()], Outcome::of(said, options.dry_run));
    }
    Ok(())
}
