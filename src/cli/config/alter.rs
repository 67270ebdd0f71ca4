//! `einmal config alter`.

use clap::Args;

use super::resource::Resources;
use crate::cli::CliError;
use crate::cli::outcome::{Outcome, Outcomes};
use crate::cli::setting::{self, Setting};
use crate::cli::target::Target;
use crate::client::Cluster;

/// Which ones, and how.
#[derive(Debug, Clone, Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub struct Options {
    #[command(flatten)]
    resources: Resources,
    /// Set it, as often as needed
    #[arg(long, value_name = "SETTING=VALUE", group = "change", value_parser = setting::parse)]
    set: Vec<Setting>,
    /// Back to what holds where nobody sets it, as often as needed
    #[arg(long, visible_alias = "delete", value_name = "SETTING", group = "change")]
    unset: Vec<String>,
    /// Add values to a list, separated by commas, as often as needed
    #[arg(long, value_name = "SETTING=VALUE", group = "change", value_parser = setting::parse)]
    append: Vec<Setting>,
    /// Take values out of a list, separated by commas, as often as needed
    #[arg(long, value_name = "SETTING=VALUE", group = "change", value_parser = setting::parse)]
    subtract: Vec<Setting>,
    /// Only tell whether that could be done
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    target: Target,
}

/// One name after the other: what is refused for one is tried for the next.
pub(super) fn run(options: &Options) -> Result<(), CliError> {
    let mut cluster = options.target.connect()?;
    let mut outcomes = Outcomes::new(&["name", "outcome", "reason"]);
    let altered = alter(&mut cluster, options, &mut outcomes);
    outcomes.print_before(altered.err(), options.target.output)
}

fn alter(cluster: &mut Cluster, options: &Options, outcomes: &mut Outcomes) -> Result<(), CliError> {
    let changes: Vec<_> = setting::changes(&options.set, setting::SET)
        .chain(setting::unset(&options.unset))
        .chain(setting::changes(&options.append, setting::APPEND))
        .chain(setting::changes(&options.subtract, setting::SUBTRACT))
        .collect();
    let kind = options.resources.kind.code();
    for name in options.resources.names() {
        let asked = match options.resources.asked(cluster, name) {
            Err(error @ CliError::NotFound(_)) => {
                outcomes.add(vec![name.into()], Outcome::Refused(error));
                continue;
            }
            asked => asked?,
        };
        for (name, said) in setting::alter(asked, (kind, &[name]), &changes, options.dry_run)? {
            outcomes.add(vec![name.as_str().into()], Outcome::of(said, options.dry_run));
        }
    }
    Ok(())
}
