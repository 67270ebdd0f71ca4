//! `einmal group list`.

use clap::Args;
use kafka_protocol::messages::ListGroupsRequest;

use crate::cli::output::{Cell, Listing};
use crate::cli::target::Target;
use crate::cli::{CliError, text};
use crate::client::ClientError;

/// Which ones.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Only in this state, as often as needed, such as Stable or Empty
    #[arg(long, value_name = "STATE")]
    state: Vec<String>,
    #[command(flatten)]
    target: Target,
}

/// Asks all brokers, as each knows the groups that it coordinates.
pub(super) fn run(options: &Options) -> Result<(), CliError> {
    let mut cluster = options.target.connect()?;
    let request =
        ListGroupsRequest::default().with_states_filter(options.state.iter().map(|state| text(state)).collect());
    // A filter is no use to a broker that does not know it.
    let min = if options.state.is_empty() { 0 } else { 4 };
    let mut groups = Vec::new();
    for broker in cluster.brokers() {
        let answer = cluster.broker(broker)?.call("ListGroups", &request, (min, 5))?;
        ClientError::check("ListGroups", answer.error_code, None)?;
        groups.extend(answer.groups.into_iter().map(|group| (broker, group)));
    }
    groups.sort_by(|one, other| one.1.group_id.cmp(&other.1.group_id));
    let mut listing = Listing::new(&["group", "coordinator", "state", "type", "protocol"]);
    for (coordinator, group) in groups {
        listing.row(vec![
            group.group_id.as_str().into(),
            Cell::Number(coordinator.into()),
            group.group_state.as_str().into(),
            group.group_type.as_str().into(),
            group.protocol_type.as_str().into(),
        ]);
    }
    Ok(listing.print(options.target.output)?)
}
