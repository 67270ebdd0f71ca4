//! Every API at every advertised version: an answer that decodes or a closed connection, never a hang.

mod support;

use std::collections::BTreeMap;

use bytes::BytesMut;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Request, StrBytes};
use support::client::{decode, flexible_payload, frame, payload};
use support::requests::create_topic;
use support::{Reply, TestClient, TestServer};

const NONE: i16 = 0;
const UNSUPPORTED_VERSION: i16 = 35;
const INVALID_REQUEST: i16 = 42;
const UNSUPPORTED_FOR_MESSAGE_FORMAT: i16 = 43;

type Ranges = BTreeMap<i16, (i16, i16)>;

fn advertised(server: &TestServer) -> Ranges {
    let answer = TestClient::connect(server).call(&ApiVersionsRequest::default(), 0);
    assert_eq!(answer.error_code, NONE);
    answer.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version))).collect()
}

/// Sends `request` at each advertised version, whole and mutilated, and takes its API off the list of those to try.
fn sweep<R: Request>(server: &mut TestServer, untried: &mut Ranges, request: R) {
    let Some((min, max)) = untried.remove(&R::KEY) else { panic!("api key {} is not advertised", R::KEY) };
    for version in min.max(R::VERSIONS.min)..=max.min(R::VERSIONS.max) {
        // A whole request is answered, and the answer is one of its version.
        let mut client = TestClient::connect(server);
        client.send_bytes(&frame(&request, version, 5)).expect("open");
        match client.reply() {
            Reply::Frame(answer) => {
                decode::<R>(answer, 5, version).unwrap_or_else(|error| panic!("key {} v{version}: {error}", R::KEY));
            }
            Reply::Closed => panic!("key {} v{version}: closed instead of answered:\n{}", R::KEY, server.log()),
        }
        // A mutilated one is answered or closed.
        let mut body = BytesMut::new();
        request.encode(&mut body, version).expect("it encoded before");
        let flexible = R::header_version(version) == 2;
        for length in 0..=body.len().min(24) {
            let cut = &body[..body.len().min(24) - length];
            mutilated::<R>(server, version, flexible, cut);
        }
        mutilated::<R>(server, version, flexible, &[0xff; 64]);
        mutilated::<R>(server, version, flexible, &[0x7f; 64]);
        mutilated::<R>(server, version, flexible, &[0; 64]);
        assert!(server.is_alive(), "key {} v{version} ended the broker:\n{}", R::KEY, server.log());
    }
}

fn mutilated<R: Request>(server: &TestServer, version: i16, flexible: bool, body: &[u8]) {
    let bytes = if flexible { flexible_payload } else { payload }(R::KEY, version, 5, "x", body);
    let mut client = TestClient::connect(server);
    client.send_frame(&bytes).expect("open");
    // Bytes that happen to mean acks=0 are never answered; the end of the requests closes those connections too.
    client.finish_sending();
    client.reply();
}

#[test]
fn every_api_answers_at_every_advertised_version() {
    let mut server = TestServer::start();
    let mut untried = advertised(&server);
    let (server, untried) = (&mut server, &mut untried);
    sweep(server, untried, ProduceRequest::default().with_acks(-1));
    sweep(server, untried, FetchRequest::default());
    sweep(server, untried, ListOffsetsRequest::default());
    sweep(server, untried, MetadataRequest::default());
    sweep(server, untried, OffsetCommitRequest::default());
    sweep(server, untried, OffsetFetchRequest::default());
    sweep(server, untried, FindCoordinatorRequest::default());
    sweep(server, untried, ApiVersionsRequest::default());
    sweep(server, untried, JoinGroupRequest::default());
    sweep(server, untried, HeartbeatRequest::default());
    sweep(server, untried, LeaveGroupRequest::default());
    sweep(server, untried, SyncGroupRequest::default());
    sweep(server, untried, DescribeGroupsRequest::default());
    sweep(server, untried, ListGroupsRequest::default());
    sweep(server, untried, DeleteGroupsRequest::default());
    sweep(server, untried, OffsetDeleteRequest::default());
    sweep(server, untried, CreateTopicsRequest::default());
    sweep(server, untried, DeleteTopicsRequest::default());
    sweep(server, untried, DeleteRecordsRequest::default());
    sweep(server, untried, InitProducerIdRequest::default());
    sweep(server, untried, AddPartitionsToTxnRequest::default());
    sweep(server, untried, AddOffsetsToTxnRequest::default());
    sweep(server, untried, EndTxnRequest::default());
    sweep(server, untried, WriteTxnMarkersRequest::default());
    sweep(server, untried, TxnOffsetCommitRequest::default());
    sweep(server, untried, DescribeTransactionsRequest::default());
    sweep(server, untried, ListTransactionsRequest::default());
    sweep(server, untried, OffsetForLeaderEpochRequest::default());
    sweep(server, untried, DescribeConfigsRequest::default());
    sweep(server, untried, AlterConfigsRequest::default());
    sweep(server, untried, DescribeLogDirsRequest::default());
    sweep(server, untried, CreatePartitionsRequest::default());
    sweep(server, untried, IncrementalAlterConfigsRequest::default());
    sweep(server, untried, DescribeClusterRequest::default());
    sweep(server, untried, DescribeProducersRequest::default());
    sweep(server, untried, ConsumerGroupHeartbeatRequest::default());
    sweep(server, untried, ConsumerGroupDescribeRequest::default());
    sweep(server, untried, DescribeAclsRequest::default());
    sweep(server, untried, CreateAclsRequest::default());
    sweep(server, untried, DeleteAclsRequest::default());
    sweep(server, untried, AlterReplicaLogDirsRequest::default());
    sweep(server, untried, ElectLeadersRequest::default());
    sweep(server, untried, AlterPartitionReassignmentsRequest::default());
    sweep(server, untried, ListPartitionReassignmentsRequest::default());
    sweep(server, untried, DescribeClientQuotasRequest::default());
    sweep(server, untried, DescribeUserScramCredentialsRequest::default());
    sweep(server, untried, DescribeQuorumRequest::default());
    sweep(server, untried, UpdateFeaturesRequest::default());
    sweep(server, untried, UnregisterBrokerRequest::default());
    sweep(server, untried, ListConfigResourcesRequest::default());
    sweep(server, untried, DescribeTopicPartitionsRequest::default());
    assert!(untried.is_empty(), "advertised, but not tried here: {untried:?}");
}

/// Versions beyond the crate's, which it decodes in the form of its own newest.
#[test]
fn versions_beyond_the_crates_are_answered_in_their_own_form() {
    let server = TestServer::start();
    let ranges = advertised(&server);
    let ask = |key: i16, version: i16, body: &[u8]| {
        let mut client = TestClient::connect(&server);
        client.send_frame(&flexible_payload(key, version, 5, "x", body)).expect("open");
        match client.reply() {
            Reply::Frame(answer) => answer,
            Reply::Closed => panic!("key {key} v{version} is closed"),
        }
    };
    // ListOffsets: a consumer that asks for nothing, with a timeout.
    assert_eq!(ranges[&2].1, 11);
    let answer = ask(2, 11, &[&(-1i32).to_be_bytes()[..], &[0, 1], &9i32.to_be_bytes(), &[0]].concat());
    assert!(decode::<ListOffsetsRequest>(answer, 5, 10).is_ok_and(|answer| answer.topics.is_empty()));
    // The offset that tiered storage is to get next has a name since 11: there is none, and no error.
    create_topic(&mut TestClient::connect(&server), "t", 1);
    let pending = [
        &(-1i32).to_be_bytes()[..],
        &[0, 2, 2, b't', 2],
        &0i32.to_be_bytes(),
        &(-1i32).to_be_bytes(),
        &(-6i64).to_be_bytes(),
        &[0, 0],
        &9i32.to_be_bytes(),
        &[0],
    ];
    for (version, error) in [(10, UNSUPPORTED_VERSION), (11, NONE)] {
        let answer = decode::<ListOffsetsRequest>(ask(2, version, &pending.concat()), 5, 10).expect("its form");
        let found = &answer.topics[0].partitions[0];
        assert_eq!((found.error_code, found.offset), (error, -1), "version {version}");
    }
    // DescribeLogDirs of no topic: the directory ends with IsCordoned, false, and its tags, the answer with its own.
    assert_eq!(ranges[&35].1, 5);
    let (four, five) = (ask(35, 4, &[1, 0]), ask(35, 5, &[1, 0]));
    assert_eq!(five.len(), four.len() + 1);
    let shorter = [&five[..five.len() - 3], &[0, 0]].concat();
    assert!(five.ends_with(&[0, 0, 0]));
    assert!(decode::<DescribeLogDirsRequest>(shorter.into(), 5, 4).is_ok_and(|answer| answer.results.len() == 1));
}

#[test]
fn versions_that_clients_insist_on_are_advertised() {
    let ranges = advertised(&TestServer::start());
    // Single versions by which librdkafka switches features on, and the ceilings that modern-only clients refuse to go below.
    for (api, version) in [
        (ApiKey::Produce, 0), // without it librdkafka before 2.11.1 sends uncompressed and says nothing
        (ApiKey::Produce, 3),
        (ApiKey::Produce, 7),
        (ApiKey::Produce, 13),
        (ApiKey::Fetch, 4),
        (ApiKey::Fetch, 10),
        (ApiKey::Fetch, 17),
        (ApiKey::ListOffsets, 1),
        (ApiKey::ListOffsets, 7),
        (ApiKey::OffsetCommit, 2),
        (ApiKey::OffsetCommit, 9),
        (ApiKey::OffsetFetch, 1),
        (ApiKey::OffsetFetch, 9),
        (ApiKey::FindCoordinator, 0),
        (ApiKey::FindCoordinator, 4),
        (ApiKey::ApiVersions, 0),
        (ApiKey::InitProducerId, 0),
        (ApiKey::AddPartitionsToTxn, 0), // librdkafka sends nothing newer
        (ApiKey::AddPartitionsToTxn, 3),
        (ApiKey::AddOffsetsToTxn, 0),
        (ApiKey::EndTxn, 1),
        (ApiKey::EndTxn, 5), // of transaction.version 2
        (ApiKey::TxnOffsetCommit, 3),
        (ApiKey::TxnOffsetCommit, 5),
        (ApiKey::OffsetForLeaderEpoch, 2),
        (ApiKey::DescribeConfigs, 1),
        (ApiKey::CreateTopics, 4),
        (ApiKey::DescribeCluster, 0),
    ] {
        let range = ranges.get(&(api as i16));
        assert!(range.is_some_and(|(min, max)| (*min..=*max).contains(&version)), "{api:?} {version}: {range:?}");
    }
}

#[test]
fn an_api_versions_from_the_future_is_answered_in_version_0_with_its_own_range() {
    let server = TestServer::start();
    let own = advertised(&server)[&18];
    for version in [own.1 + 1, 99, i16::MAX] {
        let mut client = TestClient::connect(&server);
        client.send_frame(&flexible_payload(18, version, 5, "x", &[0xde, 0xad, 0xbe, 0xef])).expect("open");
        let Reply::Frame(answer) = client.reply() else { panic!("closed at version {version}") };
        let answer = decode::<ApiVersionsRequest>(answer, 5, 0).expect("the form of version 0");
        assert_eq!(answer.error_code, UNSUPPORTED_VERSION);
        let ranges: Vec<_> =
            answer.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version)).collect();
        assert_eq!(ranges, [(18, own.0, own.1)]);
        // The same connection goes on at a version of the range.
        assert_eq!(client.call(&ApiVersionsRequest::default(), own.0).error_code, NONE);
    }
}

#[test]
fn a_software_name_outside_kafkas_pattern_is_an_invalid_request() {
    let server = TestServer::start();
    let request = |name: &'static str| {
        ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str(name))
            .with_client_software_version(StrBytes::from_static_str("1.0"))
    };
    for (name, expected) in [("apache-kafka-java", NONE), ("-dash", INVALID_REQUEST), ("a b", INVALID_REQUEST)] {
        assert_eq!(TestClient::connect(&server).call(&request(name), 3).error_code, expected, "{name}");
    }
}

#[test]
fn produce_0_to_2_is_answered_in_its_own_form() {
    let server = TestServer::start();
    for version in 0..=2i16 {
        // acks=1, timeout, one topic "t", partition 3, four bytes of records.
        let body = [&[0, 1, 0, 0, 0, 9][..], &[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 4, 1, 2, 3, 4]];
        let mut client = TestClient::connect(&server);
        client.send_frame(&payload(0, version, 5, "old", &body.concat())).expect("open");
        let mut expected = [&[0, 0, 0, 5][..], &[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 3]].concat();
        expected.extend(UNSUPPORTED_FOR_MESSAGE_FORMAT.to_be_bytes());
        expected.extend((-1i64).to_be_bytes());
        if version == 2 {
            expected.extend((-1i64).to_be_bytes());
        }
        if version > 0 {
            expected.extend(0i32.to_be_bytes());
        }
        assert_eq!(client.reply(), Reply::Frame(expected.into()), "version {version}");
    }
}
