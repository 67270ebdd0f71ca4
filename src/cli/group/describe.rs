//! `einmal group describe`.

use clap::Args;

use super::members::{self, Member};
use super::{CliError, ask};
use crate::cli::output::{Cell, Listing};
use crate::cli::target::Target;

/// Which ones.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Groups; none for all of them
    #[arg(value_name = "GROUP")]
    groups: Vec<String>,
    #[command(flatten)]
    target: Target,
}

/// Shows those that are there, and fails if one is not.
pub(super) fn run(options: &Options) -> Result<(), CliError> {
    let mut cluster = options.target.connect()?;
    let mut listing = Listing::new(&["group", "state", "member_id", "instance_id", "client_id", "host", "partitions"]);
    let mut missing = Vec::new();
    for group in &ask::named_or_all(&mut cluster, &options.groups)? {
        match members::describe(&mut cluster, group, options.target.timeout())? {
            Some(described) => {
                let state = &described.state;
                if described.members.is_empty() {
                    listing.row(empty(group, state));
                }
                described.members.into_iter().for_each(|member| listing.row(row(group, state, member)));
            }
            None if options.groups.is_empty() => {}
            None => missing.push(group.clone()),
        }
    }
    listing.print_before(CliError::missing("there is no group", &missing), options.target.output)
}

fn row(group: &str, state: &str, member: Member) -> Vec<Cell> {
    vec![
        group.into(),
        state.into(),
        Cell::Text(member.member_id),
        member.instance_id.map_or(Cell::Absent, Cell::Text),
        Cell::Text(member.client_id),
        Cell::Text(member.host),
        Cell::Partitions(member.partitions.into_iter().collect()),
    ]
}

fn empty(group: &str, state: &str) -> Vec<Cell> {
    let absent = || Cell::Absent;
    vec![group.into(), state.into(), absent(), absent(), absent(), absent(), Cell::Partitions(Vec::new())]
}
