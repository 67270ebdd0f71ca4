//! `einmal group delete`.

use clap::Args;
use kafka_protocol::messages::DeleteGroupsRequest;

use super::ask;
use crate::cli::target::Target;
use crate::cli::{CliError, text};
use crate::client::ClientError;
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
    for group in &options.groups {
        let request = DeleteGroupsRequest::default().with_groups_names(vec![text(group).into()]);
        let asked = ("DeleteGroups", &request, (0, 2));
        let answer = ask::coordinator(&mut cluster, group, asked, options.target.timeout(), |answer| {
            Some(answer.results.first()?.error_code)
        })?;
        for deleted in answer.results {
            match ErrorCode(deleted.error_code) {
                ErrorCode::GROUP_ID_NOT_FOUND => {
                    return Err(CliError::NotFound(format!("there is no group {group:?}")));
                }
                ErrorCode::NON_EMPTY_GROUP => {
                    return Err(CliError::Unfit(format!("the group {group:?} has members")));
                }
                error => ClientError::check("DeleteGroups", error.0, Some(group))?,
            }
        }
    }
    Ok(())
}
