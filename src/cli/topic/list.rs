//! `einmal topic list`.

use clap::Args;
use kafka_protocol::messages::MetadataRequest;

use crate::cli::CliError;
use crate::cli::output::{Cell, Listing};
use crate::cli::target::Target;

/// Which ones.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Leave out topics of the broker's own, such as __consumer_offsets
    #[arg(long)]
    exclude_internal: bool,
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(options: &Options) -> Result<(), CliError> {
    let mut cluster = options.target.connect()?;
    let request = MetadataRequest::default().with_topics(None).with_allow_auto_topic_creation(false);
    let mut answer = cluster.controller()?.call("Metadata", &request, (4, 9))?;
    answer.topics.sort_by(|one, other| one.name.cmp(&other.name));
    let mut listing = Listing::new(&["topic", "partitions", "replication_factor", "kind"]);
    for topic in answer.topics.into_iter().filter(|topic| !(options.exclude_internal && topic.is_internal)) {
        let count = |count: usize| Cell::Number(i64::try_from(count).unwrap_or(i64::MAX));
        listing.row(vec![
            topic.name.as_ref().map_or("", |name| name.as_str()).into(),
            count(topic.partitions.len()),
            topic.partitions.first().map_or(Cell::Absent, |first| count(first.replica_nodes.len())),
            if topic.is_internal { "internal" } else { "client" }.into(),
        ]);
    }
    Ok(listing.print(options.target.output)?)
}
