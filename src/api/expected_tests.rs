use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::{
    DescribeProducersRequest, DescribeTransactionsRequest, GroupId, JoinGroupRequest, ListTransactionsRequest,
    OffsetCommitRequest,
};
use kafka_protocol::protocol::Request as TypedRequest;

use super::*;
use crate::api::testing::{TestBroker, text, topic_name};

/// As long as the id of a group may be, nearly.
const ID_BYTES: usize = 32_000;
const GROUPS: usize = 20;
const PARTITIONS: u32 = 2_000;

fn long_id(prefix: &str, index: usize) -> String {
    format!("{prefix}-{index:04}-{}", "i".repeat(ID_BYTES))
}

/// A broker with much of all that there is.
async fn full() -> TestBroker {
    let broker = TestBroker::start();
    broker.create_topic("t", PARTITIONS).await;
    for index in 0..GROUPS {
        broker.create_topic(&format!("{index}-{}", "n".repeat(200)), 1).await;
        commit(&broker, &long_id("simple", index), 1, 0).await;
        let setting = ("consumer.session.timeout.ms".to_owned(), "50000".to_owned());
        broker.cx.broker.coordinator.configure(&long_id("configured", index), [setting].into()).await.expect("runs");
        broker.init_transactions(&long_id("transactional", index)).await;
        join(&broker, &format!("typed-{index}"), &"p".repeat(ID_BYTES), 10).await;
    }
    commit(&broker, "much", PARTITIONS, 4_000).await;
    join(&broker, "members", "consumer", 500_000).await;
    broker
}

async fn commit(broker: &TestBroker, group: &str, partitions: u32, text_bytes: usize) {
    let of = |index: u32| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(index as i32)
            .with_committed_offset(1)
            .with_committed_metadata(Some(text(&"m".repeat(text_bytes))))
    };
    let topic = OffsetCommitRequestTopic::default()
        .with_name(topic_name("t"))
        .with_partitions((0..partitions).map(of).collect());
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_generation_id_or_member_epoch(-1)
        .with_retention_time_ms(-1)
        .with_topics(vec![topic]);
    let answer = broker.call(8, &request).await;
    assert!(answer.topics[0].partitions.iter().all(|partition| partition.error_code == 0), "{group:.10}");
}

/// Of version 3, in which nobody has to come again. It is under way for as long as members may come.
async fn join(broker: &TestBroker, group: &str, protocol_type: &str, metadata_bytes: usize) {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from(vec![7; metadata_bytes]));
    let request = JoinGroupRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_session_timeout_ms(30_000)
        .with_rebalance_timeout_ms(30_000)
        .with_protocol_type(text(protocol_type))
        .with_protocols(vec![protocol]);
    let mut joining = broker.send(3, &request);
    assert!(futures_util::FutureExt::now_or_never(joining.as_mut()).is_none());
}

/// What is expected of an answer, bytes, beside what its request's length says; and what it takes on the wire.
async fn both<Req: TypedRequest>(
    broker: &TestBroker,
    version: i16,
    expected: fn(&Context, &RequestHeader, &Req) -> usize,
    request: Req,
) -> (i16, usize, usize) {
    let header = RequestHeader { api_key: Req::KEY, api_version: version, correlation_id: 1, client_id: None };
    let expected_bytes = expected(&broker.cx, &header, &request);
    let mut body = BytesMut::new();
    request.encode(&mut body, version).expect("encodes");
    let answer = broker.send_body(Req::KEY, version, body).await.expect("answered").expect("an answer");
    (Req::KEY, expected_bytes, answer.iter().map(Bytes::len).sum())
}

#[tokio::test]
async fn answers_are_no_larger_than_what_is_expected_of_them() {
    let broker = full().await;
    let settings = (0..GROUPS).map(|index| {
        let name = text(&format!("{index}-{}", "n".repeat(200)));
        DescribeConfigsResource::default().with_resource_type(2).with_resource_name(name).with_configuration_keys(None)
    });
    let settings = DescribeConfigsRequest::default()
        .with_resources(settings.collect())
        .with_include_synonyms(true)
        .with_include_documentation(true);
    let created = (0..100).map(|index| {
        let name = topic_name(&format!("created-{index}"));
        CreatableTopic::default().with_name(name).with_num_partitions(1).with_replication_factor(1)
    });
    let offsets = OffsetFetchRequestGroup::default().with_group_id(GroupId(text("much"))).with_topics(None);
    let ids = (0..GROUPS).map(|index| text(&long_id("transactional", index)).into());
    let all = [
        both(&broker, 9, metadata, MetadataRequest::default().with_topics(None)).await,
        both(
            &broker,
            0,
            describe_topic_partitions,
            DescribeTopicPartitionsRequest::default().with_response_partition_limit(2_000),
        )
        .await,
        both(&broker, 4, describe_log_dirs, DescribeLogDirsRequest::default().with_topics(None)).await,
        both(&broker, 2, elect_leaders, ElectLeadersRequest::default().with_topic_partitions(None)).await,
        both(&broker, 1, list_config_resources, ListConfigResourcesRequest::default()).await,
        both(&broker, 4, describe_configs, settings).await,
        both(
            &broker,
            5,
            create_topics,
            CreateTopicsRequest::default().with_topics(created.collect()).with_timeout_ms(30_000),
        )
        .await,
        both(&broker, 5, list_groups, ListGroupsRequest::default()).await,
        both(&broker, 5, describe_groups, DescribeGroupsRequest::default().with_groups(vec![GroupId(text("members"))]))
            .await,
        both(&broker, 8, offset_fetch, OffsetFetchRequest::default().with_groups(vec![offsets])).await,
        both(&broker, 0, unknown, DescribeProducersRequest::default()).await,
        both(&broker, 0, unknown, DescribeTransactionsRequest::default().with_transactional_ids(ids.collect())).await,
        both(&broker, 0, unknown, ListTransactionsRequest::default()).await,
    ];
    for (key, expected_bytes, bytes) in all {
        let name = crate::api::apis::api_name(key);
        // Nothing is counted beyond what makes a long turn.
        assert!(expected_bytes >= bytes || expected_bytes > SHORT_BYTES_MAX, "{name}: {expected_bytes} for {bytes}");
    }
}

#[tokio::test]
async fn every_text_of_a_list_of_groups_is_counted() {
    let broker = TestBroker::start();
    let expected_bytes = |broker: &TestBroker| {
        list_groups(
            &broker.cx,
            &RequestHeader { api_key: 16, api_version: 5, correlation_id: 1, client_id: None },
            &ListGroupsRequest::default(),
        )
    };
    join(&broker, "typed", &"p".repeat(ID_BYTES), 0).await;
    let typed_bytes = expected_bytes(&broker);
    assert!(typed_bytes >= ID_BYTES, "{typed_bytes}");
    join(&broker, &long_id("joined", 0), "consumer", 0).await;
    let joined_bytes = expected_bytes(&broker) - typed_bytes;
    assert!(joined_bytes >= ID_BYTES, "{joined_bytes}");
}
