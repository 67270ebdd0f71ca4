//! ListConfigResources: what can be described with DescribeConfigs (KIP-1142).
//!
//! Mirrors `KafkaApis.handleListConfigResources`.

use kafka_protocol::messages::list_config_resources_response::ConfigResource as Listed;
use kafka_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};
use kafka_protocol::protocol::StrBytes;

use super::Context;
use super::apis::count_error;
use super::config_resource::ConfigResource;
use crate::types::ErrorCode;
use crate::wire::{Close, RequestHeader};

/// Lists the kinds asked for, all for an empty list. Version 0, which was ListClientMetricsResources, knows one kind only.
pub async fn list_config_resources(
    cx: Context,
    header: RequestHeader,
    request: ListConfigResourcesRequest,
) -> Result<ListConfigResourcesResponse, Close> {
    let wanted: Option<Vec<ConfigResource>> = match (header.api_version, request.resource_types.as_slice()) {
        (0, _) => Some(vec![ConfigResource::ClientMetrics]),
        (_, []) => Some(ConfigResource::ALL.to_vec()),
        (_, codes) => codes.iter().map(|code| ConfigResource::from_wire(*code)).collect(),
    };
    let Some(wanted) = wanted else {
        count_error(&header, ErrorCode::UNSUPPORTED_VERSION);
        return Ok(ListConfigResourcesResponse::default().with_error_code(ErrorCode::UNSUPPORTED_VERSION.0));
    };
    // Each kind once, however often it is asked for.
    let kinds = ConfigResource::ALL.into_iter().filter(|kind| wanted.contains(kind));
    let listed = kinds.flat_map(|kind| {
        let names = names(&cx, kind).into_iter();
        names.map(move |name| {
            let listed = Listed::default().with_resource_name(StrBytes::from_string(name));
            // Version 0 has no place for the kind, nor another one than this.
            listed.with_resource_type(kind.to_wire())
        })
    });
    Ok(ListConfigResourcesResponse::default().with_config_resources(listed.collect()))
}

fn names(cx: &Context, kind: ConfigResource) -> Vec<String> {
    match kind {
        ConfigResource::Topic => cx.broker.catalog.topics().by_name.keys().map(ToString::to_string).collect(),
        ConfigResource::Broker | ConfigResource::BrokerLogger => vec![cx.broker.config.load().node_id.to_string()],
        ConfigResource::Group => cx.broker.coordinator.configured_groups(),
        ConfigResource::ClientMetrics => cx.broker.config.load().overrides.client_metrics.keys().cloned().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::TestBroker;

    async fn listed(broker: &TestBroker, version: i16, kinds: &[i8]) -> Result<Vec<String>, i16> {
        let request = ListConfigResourcesRequest::default().with_resource_types(kinds.to_vec());
        let answer = broker.call(version, &request).await;
        let listed = answer.config_resources.iter();
        let listed = listed.map(|of| format!("{} {}", of.resource_type, of.resource_name.as_str())).collect();
        if answer.error_code == 0 { Ok(listed) } else { Err(answer.error_code) }
    }

    #[tokio::test]
    async fn resources_are_listed_by_kind() {
        let broker = TestBroker::start();
        broker.create_topic("b", 1).await;
        broker.create_topic("a", 1).await;
        let session = ("consumer.session.timeout.ms".to_owned(), "50000".to_owned());
        broker.cx.broker.coordinator.configure("g", [session].into()).await.expect("runs");
        let cases: [(&[i8], &[&str]); 6] = [
            (&[], &["2 a", "2 b", "4 1", "8 1", "32 g"]),
            (&[2], &["2 a", "2 b"]),
            (&[4, 4], &["4 1"]),
            (&[8], &["8 1"]),
            (&[32], &["32 g"]),
            (&[16], &[]),
        ];
        for (kinds, expected) in cases {
            assert_eq!(listed(&broker, 1, kinds).await.expect("listed"), expected, "{kinds:?}");
        }
        for unknown in [0, 1, 64, 99] {
            assert_eq!(listed(&broker, 1, &[2, unknown]).await, Err(35), "{unknown}");
        }
        assert_eq!(listed(&broker, 0, &[]).await, Ok(vec![]));
    }
}
