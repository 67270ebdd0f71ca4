//! `einmal topic describe`.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{BrokerId, DescribeConfigsRequest, MetadataRequest};

use super::size;
use crate::cli::held;
use crate::cli::offsets::{self, EARLIEST, LATEST};
use crate::cli::output::{Cell, Listing};
use crate::cli::target::Target;
use crate::cli::{CliError, TOPIC_RESOURCE, source, text};
use crate::client::{ClientError, Cluster};
use crate::types::ErrorCode;

/// Which ones.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Names; none for all topics
    #[arg(value_name = "TOPIC")]
    topics: Vec<String>,
    /// Show what is set on the topics instead, and with --all what is not
    #[arg(long)]
    settings: bool,
    /// With --settings: also what is the broker's or the default
    #[arg(long, requires = "settings")]
    all: bool,
    #[command(flatten)]
    target: Target,
}

/// `DescribeConfigsResponse.ConfigSource`: set on the topic itself.
const SET_ON_TOPIC: i8 = 1;

pub(super) fn run(options: &Options) -> Result<(), CliError> {
    let mut cluster = options.target.connect()?;
    let topics = find(&mut cluster, &options.topics)?;
    let listing = if options.settings {
        settings(&mut cluster, &topics, options.all)?
    } else {
        partitions(&mut cluster, &topics, options.target.timeout())?
    };
    Ok(listing.print(options.target.output)?)
}

/// All topics if none is named. Sorted.
fn find(cluster: &mut Cluster, names: &[String]) -> Result<Vec<MetadataResponseTopic>, CliError> {
    let named = names.iter().map(|name| MetadataRequestTopic::default().with_name(Some(text(name).into())));
    let request = MetadataRequest::default()
        .with_topics((!names.is_empty()).then(|| named.collect()))
        .with_allow_auto_topic_creation(false);
    let mut topics = cluster.controller()?.call("Metadata", &request, (4, 9))?.topics;
    for topic in &topics {
        match ErrorCode(topic.error_code) {
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => {
                let name = topic.name.as_ref().map(|name| name.to_string()).unwrap_or_default();
                return Err(ClientError::NoTopic(name).into());
            }
            error => ClientError::check("Metadata", error.0, None)?,
        }
    }
    topics.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(topics)
}

fn partitions(cluster: &mut Cluster, topics: &[MetadataResponseTopic], timeout: Duration) -> Result<Listing, CliError> {
    let names: Vec<String> =
        topics.iter().filter_map(|topic| topic.name.as_ref()).map(|name| name.to_string()).collect();
    let led = if names.is_empty() { Vec::new() } else { cluster.partitions(&names)? };
    let starts = offsets::list(cluster, &led, EARLIEST)?;
    let ends = offsets::list(cluster, &led, LATEST)?;
    let stable = offsets::list_stable(cluster, &led)?;
    let sizes = size::list(cluster, &led)?;
    let mut listing = Listing::new(&[
        "topic",
        "partition",
        "leader",
        "replicas",
        "in_sync",
        "log_start_offset",
        "end_offset",
        "size_bytes",
        "last_stable_offset",
    ]);
    for topic in topics {
        let name = topic.name.as_ref().map_or("", |name| name.as_str());
        let mut partitions: Vec<_> = topic.partitions.iter().collect();
        partitions.sort_by_key(|partition| partition.partition_index);
        for partition in partitions {
            let at = |offsets: &BTreeMap<(String, i32), i64>| {
                let offset = offsets.get(&(name.to_owned(), partition.partition_index));
                offset.map_or(Cell::Absent, |offset| Cell::or_absent(*offset))
            };
            listing.row(vec![
                name.into(),
                Cell::Number(partition.partition_index.into()),
                Cell::or_absent(partition.leader_id.0.into()),
                nodes(&partition.replica_nodes),
                nodes(&partition.isr_nodes),
                at(&starts),
                at(&ends),
                at(&sizes),
                at(&stable),
            ]);
        }
    }
    held::tell(cluster, &held::between(&led, &stable, &ends), timeout);
    Ok(listing)
}

fn nodes(ids: &[BrokerId]) -> Cell {
    Cell::Numbers(ids.iter().map(|id| id.0).collect())
}

fn settings(cluster: &mut Cluster, topics: &[MetadataResponseTopic], all: bool) -> Result<Listing, CliError> {
    let resources = topics.iter().filter_map(|topic| topic.name.as_ref()).map(|name| {
        DescribeConfigsResource::default()
            .with_resource_type(TOPIC_RESOURCE)
            .with_resource_name(name.0.clone())
            .with_configuration_keys(None)
    });
    let request = DescribeConfigsRequest::default().with_resources(resources.collect());
    let answer = cluster.controller()?.call("DescribeConfigs", &request, (1, 4))?;
    let mut listing = Listing::new(&["topic", "setting", "value", "source"]);
    for mut result in answer.results {
        ClientError::check("DescribeConfigs", result.error_code, result.error_message.as_deref())?;
        result.configs.sort_by(|one, other| one.name.cmp(&other.name));
        for entry in result.configs.iter().filter(|entry| all || entry.config_source == SET_ON_TOPIC) {
            listing.row(vec![
                result.resource_name.as_str().into(),
                entry.name.as_str().into(),
                Cell::Setting(entry.value.as_ref().map(|value| value.to_string())),
                source(entry.config_source).into(),
            ]);
        }
    }
    Ok(listing)
}
