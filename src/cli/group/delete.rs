//! `einmal group delete`.

use clap::Args;
use kafka_protocol::messages::DeleteGroupsRequest;

use super::ask;
use crate::cli::outcome::{Outcome, Outcomes};
use crate::cli::target::Target;
use crate::cli::{CliError, text};
use crate::client::{ClientError, Cluster};
use crate::types::ErrorCode;

/// Which ones.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Groups
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(options: &Options) -> Result<(), CliError> {
    let mut cluster = options.target.connect()?;
    let mut outcomes = Outcomes::new(&["group", "step", "outcome", "reason"]);
    let deleted = options.groups.iter().try_for_each(|group| delete(&mut cluster, options, group, &mut outcomes));
    outcomes.print_before(deleted.err(), options.target.output)
}

fn delete(cluster: &mut Cluster, options: &Options, group: &str, outcomes: &mut Outcomes) -> Result<(), CliError> {
    let request = DeleteGroupsRequest::default().with_groups_names(vec![text(group).into()]);
    let asked = ("DeleteGroups", &request, (0, 2));
    let answer = ask::coordinator(cluster, group, asked, options.target.timeout(), |answer| {
        Some(answer.results.first()?.error_code)
    })?;
    for deleted in answer.results {
        let said = match ErrorCode(deleted.error_code) {
            ErrorCode::GROUP_ID_NOT_FOUND => Err(CliError::NotFound(format!("there is no group {group:?}"))),
            ErrorCode::NON_EMPTY_GROUP => Err(CliError::Unfit(format!("the group {group:?} has members"))),
            error => ClientError::check("DeleteGroups", error.0, Some(group)).map_err(CliError::from),
        };
        outcomes.add(vec![group.into(), "delete".into()], Outcome::of(said, false));
    }
    Ok(())
}
