//! `einmal config describe`.

use std::collections::BTreeSet;

use clap::Args;
use kafka_protocol::messages::DescribeConfigsRequest;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResult;

use super::resource::{Kind, Resources};
use crate::cli::output::{Cell, Listing};
use crate::cli::target::Target;
use crate::cli::{CliError, source, text};
use crate::client::{ClientError, Cluster};
use crate::spelling::{hint, nearest};

/// Which ones.
#[derive(Debug, Clone, Args)]
pub struct Options {
    #[command(flatten)]
    resources: Resources,
    /// Only this setting, as often as needed, set or not
    #[arg(short, long, value_name = "SETTING")]
    setting: Vec<String>,
    /// Also what is in the brokers' files or the default
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    target: Target,
}

/// `DescribeConfigsResponse.ConfigSource`: from the broker's file, and where nobody says anything.
const NOT_SET: [i8; 2] = [4, 5];

pub(super) fn run(options: &Options) -> Result<(), CliError> {
    let mut cluster = options.target.connect()?;
    let kind = options.resources.kind;
    let mut listing = Listing::new(&["name", "setting", "value", "source", "read_only", "synonyms"]);
    let mut unknown = None;
    for name in options.resources.names() {
        let all = options.all || !options.setting.is_empty() || kind == Kind::BrokerLogger;
        let results = ask(&mut cluster, options, name, (!options.setting.is_empty()).then_some(&options.setting))?;
        let told: BTreeSet<&str> =
            results.iter().flat_map(|result| &result.configs).map(|config| config.name.as_str()).collect();
        let untold: Vec<&str> =
            options.setting.iter().map(String::as_str).filter(|name| !told.contains(name)).collect();
        if unknown.is_none() && !untold.is_empty() {
            unknown = refuse(&mut cluster, options, name, &untold)?;
        }
        for result in results {
            list(&mut listing, result, all);
        }
    }
    listing.print_before(unknown, options.target.output)
}

/// The settings of `name`: these, or all of them.
fn ask(
    cluster: &mut Cluster,
    options: &Options,
    name: &str,
    settings: Option<&Vec<String>>,
) -> Result<Vec<DescribeConfigsResult>, CliError> {
    let keys = settings.map(|settings| settings.iter().map(|setting| text(setting)).collect());
    let resource = DescribeConfigsResource::default()
        .with_resource_type(options.resources.kind.code())
        .with_resource_name(text(name))
        .with_configuration_keys(keys);
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]).with_include_synonyms(true);
    let answer = options.resources.asked(cluster, name)?.call("DescribeConfigs", &request, (1, 4))?;
    for result in &answer.results {
        ClientError::check("DescribeConfigs", result.error_code, result.error_message.as_deref())?;
    }
    Ok(answer.results)
}

/// The first of `untold` that `name` cannot have. A broker leaves names that it does not know out of its answer without a word, and
/// of what holds for all brokers also what nobody has set: then what one broker knows is known.
fn refuse(cluster: &mut Cluster, options: &Options, name: &str, untold: &[&str]) -> Result<Option<CliError>, CliError> {
    let first = cluster.brokers().first().map(ToString::to_string).unwrap_or_default();
    let known = ask(cluster, options, if name.is_empty() { &first } else { name }, None)?;
    let known = || known.iter().flat_map(|result| &result.configs).map(|config| config.name.as_str());
    let unknown = untold.iter().find(|setting| !known().any(|known| known == **setting));
    Ok(unknown.map(|setting| {
        let of = if name.is_empty() { "brokers" } else { name };
        CliError::NotFound(format!("there is no setting {setting} of {of}{}", hint(nearest(setting, known()))))
    }))
}

fn list(listing: &mut Listing, mut result: DescribeConfigsResult, all: bool) {
    result.configs.sort_by(|one, other| one.name.cmp(&other.name));
    for entry in result.configs.iter().filter(|entry| all || !NOT_SET.contains(&entry.config_source)) {
        let synonyms = entry.synonyms.iter().map(|synonym| {
            let value = synonym.value.as_ref().map_or("-", |value| value.as_str());
            format!("{}:{}={value}", source(synonym.source), synonym.name.as_str())
        });
        listing.row(vec![
            result.resource_name.as_str().into(),
            entry.name.as_str().into(),
            // A broker tells no secrets.
            Cell::Setting(entry.value.as_ref().map(|value| value.to_string())),
            source(entry.config_source).into(),
            if entry.read_only { "yes" } else { "no" }.into(),
            Cell::Text(synonyms.collect::<Vec<_>>().join(" ")),
        ]);
    }
}
