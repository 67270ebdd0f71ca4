//! `einmal config alter`.

use clap::Args;

use super::resource::Resources;
use crate::cli::CliError;
use crate::cli::setting::{self, Setting};
use crate::cli::target::Target;

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

/// One name after the other; the first that is refused ends it.
pub(super) fn run(options: &Options) -> Result<(), CliError> {
    let mut cluster = options.target.connect()?;
    let changes: Vec<_> = setting::changes(&options.set, setting::SET)
        .chain(setting::unset(&options.unset))
        .chain(setting::changes(&options.append, setting::APPEND))
        .chain(setting::changes(&options.subtract, setting::SUBTRACT))
        .collect();
    let kind = options.resources.kind.code();
    for name in options.resources.names() {
        let asked = options.resources.asked(&mut cluster, name)?;
        setting::alter(asked, (kind, &[name]), &changes, options.dry_run)?;
    }
    Ok(())
}
