//! `einmal config describe`.

use clap::Args;
use kafka_protocol::messages::DescribeConfigsRequest;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResult;

use super::resource::{Kind, Resources};
use crate::cli::output::{Cell, Listing};
use crate::cli::target::Target;
use crate::cli::{CliError, source, text};
use crate::client::ClientError;

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
    for name in options.resources.names() {
        let keys = options.setting.iter().map(|setting| text(setting));
        let resource = DescribeConfigsResource::default()
            .with_resource_type(kind.code())
            .with_resource_name(text(name))
            .with_configuration_keys((!options.setting.is_empty()).then(|| keys.collect()));
        let request = DescribeConfigsRequest::default().with_resources(vec![resource]).with_include_synonyms(true);
        let answer = options.resources.asked(&mut cluster, name)?.call("DescribeConfigs", &request, (1, 4))?;
        for result in answer.results {
            ClientError::check("DescribeConfigs", result.error_code, result.error_message.as_deref())?;
            let all = options.all || !options.setting.is_empty() || kind == Kind::BrokerLogger;
            list(&mut listing, result, all);
        }
    }
    Ok(listing.print(options.target.output)?)
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
            entry.value.as_ref().map_or(Cell::Absent, |value| value.as_str().into()),
            source(entry.config_source).into(),
            if entry.read_only { "yes" } else { "no" }.into(),
            Cell::Text(synonyms.collect::<Vec<_>>().join(" ")),
        ]);
    }
}
