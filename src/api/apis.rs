//! The one table [`APIS`].
//!
//! ApiVersions, dispatch, metric labels, frame caps and the all-versions tests follow from the table. Adding an API is a handler
//! in its family's file and one line here.
//!
//! Invariant: an API is served exactly when it stands here, and exactly in the versions that stand here.

use kafka_protocol::protocol::{Encodable, Request as TypedRequest};

use super::answering::{cancellable, changing, echoed, long_poll, serial, turned};
use super::turns::Lane;
use super::{
    Answer, Api, Context, acls, add_offsets_to_txn, add_partitions_to_txn, alter_configs, alter_replica_log_dirs,
    api_versions, cluster, consumer_group, coordinator, create_partitions, create_topics, delete_groups,
    delete_records, delete_topics, describe_client_quotas, describe_configs, describe_groups, describe_producers,
    describe_quorum, describe_topic_partitions, describe_transactions, describe_user_scram_credentials, elect_leaders,
    end_txn, expected, fetch, join_group, leader_epoch, list_config_resources, list_groups, list_offsets,
    list_transactions, membership, metadata, offset_commit, offset_delete, offset_fetch, produce, producer_id,
    reassignments, sync_group, txn_offset_commit, unregister_broker, update_features, write_txn_markers,
};
use crate::types::ErrorCode;
use crate::wire::{Close, Request, RequestHeader, Segments, message};

const MIB: usize = 1 << 20;

/// Produce: records, so only `socket.request.max.bytes` bounds it.
const FRAME_RECORDS: Option<usize> = None;
/// Requests that list partitions or carry members' subscriptions: 100 000 partitions are about 3 MB.
const FRAME_LISTS: Option<usize> = Some(16 * MIB);
/// All others.
const FRAME_SMALL: Option<usize> = Some(MIB);

/// Key of ApiVersions. Its handler answers every version, as a client asks it for those it may use, and its response header is
/// never flexible: a client that cannot know the broker's versions yet reads it as v0.
pub const API_VERSIONS: i16 = 18;

/// All APIs, by key.
#[rustfmt::skip] // A table: one line each.
pub static APIS: &[Api] = &[
    api(0, "Produce", (0, 13), 9, FRAME_RECORDS, produce::produce),
    api(1, "Fetch", (4, 18), 12, FRAME_LISTS, fetch::fetch),
    api(2, "ListOffsets", (1, 11), 6, FRAME_SMALL, |cx, r| cancellable(cx, r, list_offsets::list_offsets)),
    api(3, "Metadata", (0, 13), 9, FRAME_SMALL, |cx, r| turned(cx, r, Lane::Metadata, expected::metadata, metadata::metadata)),
    api(8, "OffsetCommit", (2, 9), 8, FRAME_LISTS, |cx, r| serial(cx, r, offset_commit::offset_commit)),
    api(9, "OffsetFetch", (1, 9), 6, FRAME_LISTS, |cx, r| turned(cx, r, Lane::Groups, expected::offset_fetch, offset_fetch::offset_fetch)),
    api(10, "FindCoordinator", (0, 6), 3, FRAME_SMALL, |cx, r| turned(cx, r, Lane::Groups, expected::find_coordinator, coordinator::find_coordinator)),
    api(11, "JoinGroup", (0, 9), 6, FRAME_LISTS, |cx, r| long_poll(cx, r, join_group::join_group)),
    api(12, "Heartbeat", (0, 4), 4, FRAME_SMALL, |cx, r| serial(cx, r, membership::heartbeat)),
    api(13, "LeaveGroup", (0, 5), 4, FRAME_SMALL, |cx, r| turned(cx, r, Lane::Groups, |_, _, _| 0, membership::leave_group)),
    api(14, "SyncGroup", (0, 5), 4, FRAME_LISTS, |cx, r| long_poll(cx, r, sync_group::sync_group)),
    api(15, "DescribeGroups", (0, 6), 5, FRAME_SMALL, |cx, r| turned(cx, r, Lane::Admin, expected::describe_groups, describe_groups::describe_groups)),
    api(16, "ListGroups", (0, 5), 3, FRAME_SMALL, |cx, r| turned(cx, r, Lane::Admin, expected::list_groups, list_groups::list_groups)),
    api(API_VERSIONS, "ApiVersions", (0, 4), 3, FRAME_SMALL, api_versions::api_versions),
    api(19, "CreateTopics", (2, 7), 5, FRAME_SMALL, |cx, r| turned(cx, r, Lane::Changes, expected::create_topics, create_topics::create_topics)),
    api(20, "DeleteTopics", (1, 6), 4, FRAME_SMALL, |cx, r| changing(cx, r, delete_topics::delete_topics)),
    api(21, "DeleteRecords", (0, 2), 2, FRAME_SMALL, |cx, r| changing(cx, r, delete_records::delete_records)),
    api(22, "InitProducerId", (0, 5), 2, FRAME_SMALL, |cx, r| serial(cx, r, producer_id::init_producer_id)),
    api(23, "OffsetForLeaderEpoch", (2, 4), 4, FRAME_SMALL, |cx, r| serial(cx, r, leader_epoch::offset_for_leader_epoch)),
    api(24, "AddPartitionsToTxn", (0, 3), 3, FRAME_LISTS, |cx, r| serial(cx, r, add_partitions_to_txn::add_partitions_to_txn)),
    api(25, "AddOffsetsToTxn", (0, 4), 3, FRAME_SMALL, |cx, r| serial(cx, r, add_offsets_to_txn::add_offsets_to_txn)),
    api(26, "EndTxn", (0, 5), 3, FRAME_SMALL, |cx, r| serial(cx, r, end_txn::end_txn)),
    api(27, "WriteTxnMarkers", (1, 1), 1, FRAME_SMALL, |cx, r| serial(cx, r, write_txn_markers::write_txn_markers)),
    api(28, "TxnOffsetCommit", (0, 5), 3, FRAME_LISTS, |cx, r| serial(cx, r, txn_offset_commit::txn_offset_commit)),
    api(29, "DescribeAcls", (1, 3), 2, FRAME_SMALL, |cx, r| echoed(cx, r, acls::describe_acls)),
    api(30, "CreateAcls", (1, 3), 2, FRAME_SMALL, |cx, r| echoed(cx, r, acls::create_acls)),
    api(31, "DeleteAcls", (1, 3), 2, FRAME_SMALL, |cx, r| echoed(cx, r, acls::delete_acls)),
    api(32, "DescribeConfigs", (1, 4), 4, FRAME_SMALL, |cx, r| turned(cx, r, Lane::Admin, expected::describe_configs, describe_configs::describe_configs)),
    api(33, "AlterConfigs", (0, 2), 2, FRAME_SMALL, |cx, r| changing(cx, r, alter_configs::alter_configs)),
    api(34, "AlterReplicaLogDirs", (1, 2), 2, FRAME_SMALL, |cx, r| echoed(cx, r, alter_replica_log_dirs::alter_replica_log_dirs)),
    api(35, "DescribeLogDirs", (1, 5), 2, FRAME_SMALL, cluster::describe_log_dirs),
    api(37, "CreatePartitions", (0, 3), 2, FRAME_SMALL, |cx, r| changing(cx, r, create_partitions::create_partitions)),
    api(42, "DeleteGroups", (0, 2), 2, FRAME_SMALL, |cx, r| changing(cx, r, delete_groups::delete_groups)),
    api(43, "ElectLeaders", (0, 2), 2, FRAME_SMALL, |cx, r| turned(cx, r, Lane::Admin, expected::elect_leaders, elect_leaders::elect_leaders)),
    api(44, "IncrementalAlterConfigs", (0, 1), 1, FRAME_SMALL, |cx, r| changing(cx, r, alter_configs::incremental_alter_configs)),
    api(45, "AlterPartitionReassignments", (0, 1), 0, FRAME_SMALL, |cx, r| echoed(cx, r, reassignments::alter_partition_reassignments)),
    api(46, "ListPartitionReassignments", (0, 0), 0, FRAME_SMALL, |cx, r| echoed(cx, r, reassignments::list_partition_reassignments)),
    api(47, "OffsetDelete", (0, 0), i16::MAX, FRAME_SMALL, |cx, r| changing(cx, r, offset_delete::offset_delete)),
    api(48, "DescribeClientQuotas", (0, 1), 1, FRAME_SMALL, |cx, r| echoed(cx, r, describe_client_quotas::describe_client_quotas)),
    api(50, "DescribeUserScramCredentials", (0, 0), 0, FRAME_SMALL, |cx, r| echoed(cx, r, describe_user_scram_credentials::describe_user_scram_credentials)),
    api(55, "DescribeQuorum", (0, 2), 0, FRAME_SMALL, |cx, r| echoed(cx, r, describe_quorum::describe_quorum)),
    api(57, "UpdateFeatures", (0, 2), 0, FRAME_SMALL, |cx, r| echoed(cx, r, update_features::update_features)),
    api(60, "DescribeCluster", (0, 2), 0, FRAME_SMALL, |cx, r| echoed(cx, r, cluster::describe_cluster)),
    api(61, "DescribeProducers", (0, 0), 0, FRAME_SMALL, |cx, r| turned(cx, r, Lane::Admin, expected::unknown, describe_producers::describe_producers)),
    api(64, "UnregisterBroker", (0, 0), 0, FRAME_SMALL, |cx, r| echoed(cx, r, unregister_broker::unregister_broker)),
    api(65, "DescribeTransactions", (0, 0), 0, FRAME_SMALL, |cx, r| turned(cx, r, Lane::Admin, expected::unknown, describe_transactions::describe_transactions)),
    api(66, "ListTransactions", (0, 2), 0, FRAME_SMALL, |cx, r| turned(cx, r, Lane::Admin, expected::unknown, list_transactions::list_transactions)),
    api(68, "ConsumerGroupHeartbeat", (0, 1), 0, FRAME_SMALL, |cx, r| serial(cx, r, consumer_group::heartbeat)),
    api(69, "ConsumerGroupDescribe", (0, 1), 0, FRAME_SMALL, |cx, r| turned(cx, r, Lane::Admin, expected::describe_consumer_groups, consumer_group::describe)),
    api(74, "ListConfigResources", (0, 1), 0, FRAME_SMALL, |cx, r| turned(cx, r, Lane::Admin, expected::list_config_resources, list_config_resources::list_config_resources)),
    api(75, "DescribeTopicPartitions", (0, 0), 0, FRAME_SMALL, |cx, r| turned(cx, r, Lane::Admin, expected::describe_topic_partitions, describe_topic_partitions::describe_topic_partitions)),
];

/// The table's line of an API key.
pub fn find(key: i16) -> Option<&'static Api> {
    let at = APIS.binary_search_by_key(&key, |api| api.key).ok()?;
    APIS.get(at)
}

const fn api(
    key: i16,
    name: &'static str,
    versions: (i16, i16),
    flexible_from: i16,
    frame_bytes_max: Option<usize>,
    handler: fn(Context, Request) -> Answer,
) -> Api {
    Api { key, name, versions, flexible_from, frame_bytes_max, handler }
}

/// Decodes the body. Bytes after it are told and dropped, as Kafka does.
pub fn typed<Req: TypedRequest>(request: Request) -> Result<(RequestHeader, Req), Close> {
    let header = request.header;
    let mut body = request.body.freeze();
    let typed = message::decode(&header, &mut body)?;
    if !body.is_empty() {
        tracing::debug!(
            api = api_name(header.api_key),
            api_version = header.api_version,
            client_id = header.client_id.as_deref(),
            trailing_bytes = body.len(),
            "request has bytes after its body"
        );
    }
    Ok((header, typed))
}

/// Encodes an answer as a whole frame, with the response header that the table says.
pub fn frame<M: Encodable>(header: &RequestHeader, answer: &M) -> Result<Segments, Close> {
    message::encode(header, response_is_flexible(header), answer)
}

/// Whether the response header has a tag section.
pub fn response_is_flexible(header: &RequestHeader) -> bool {
    header.api_key != API_VERSIONS && find(header.api_key).is_some_and(|api| header.api_version >= api.flexible_from)
}

/// Kafka's name of an API key, for labels and log fields.
pub fn api_name(key: i16) -> &'static str {
    find(key).map_or("unknown", |api| api.name)
}

/// Counts an error code that is about to be answered, once per partition or item; NONE is not counted.
pub fn count_error(header: &RequestHeader, error: ErrorCode) {
    if !error.is_none() {
        metrics::counter!(
            crate::metrics::REQUEST_ERRORS_TOTAL,
            "api" => api_name(header.api_key),
            "error" => error.name()
        )
        .increment(1);
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;
    use std::pin::Pin;

    use bytes::BytesMut;
    use futures_util::FutureExt as _;
    use kafka_protocol::messages;
    use kafka_protocol::protocol::{Encodable, HeaderVersion, Message, Request as TypedRequest};

    use super::*;
    use crate::api::richest::{assert_round_trips, richest};
    use crate::api::testing::TestBroker;
    use crate::api::turns::{LONG_TURNS, Turn};
    use crate::wire::header;

    type Calling<'a> = Pin<Box<dyn Future<Output = Result<bool, Close>> + 'a>>;

    /// What the crate's codecs really handle, request and response together, and its idea of the two header versions.
    struct Codec {
        key: i16,
        versions: (i16, i16),
        header_versions: fn(i16) -> (i16, i16),
        /// Sends the default request; whether it was answered.
        call: for<'a> fn(&'a TestBroker, i16) -> Calling<'a>,
        /// The same with the richest request.
        call_richest: for<'a> fn(&'a TestBroker, i16) -> Calling<'a>,
        /// Asserts of requests and responses that the crate reads what it writes.
        assert_round_trips: fn(&str, i16),
        /// The richest response of the version as a frame, by the crate alone and by [`frame`].
        frames: fn(&RequestHeader) -> (Vec<u8>, Vec<u8>),
    }

    fn codec<Req>() -> Codec
    where
        Req: TypedRequest + Default + PartialEq + Debug + 'static,
        Req::Response: PartialEq + Debug,
    {
        let (request, response) = (Req::VERSIONS, <Req::Response as Message>::VERSIONS);
        Codec {
            key: Req::KEY,
            versions: (request.min.max(response.min), request.max.min(response.max)),
            header_versions: |version| (Req::header_version(version), Req::Response::header_version(version)),
            call: |broker, version| {
                Box::pin(async move {
                    let request = Req::default();
                    broker.try_call(version, &request).await.map(|answer| answer.is_some())
                })
            },
            call_richest: |broker, version| {
                Box::pin(async move {
                    let request: Req = richest(version);
                    broker.try_call(version, &request).await.map(|answer| answer.is_some())
                })
            },
            assert_round_trips: |name, version| {
                assert_round_trips::<Req>(name, version);
                assert_round_trips::<Req::Response>(name, version);
            },
            frames: |header| {
                let response: Req::Response = richest(header.api_version);
                let mut theirs = BytesMut::from(&[0; 4][..]);
                let id = messages::ResponseHeader::default().with_correlation_id(header.correlation_id);
                id.encode(&mut theirs, Req::Response::header_version(header.api_version)).expect("encodes");
                response.encode(&mut theirs, header.api_version).expect("encodes");
                let length = (theirs.len() - 4) as u32;
                theirs[..4].copy_from_slice(&length.to_be_bytes());
                (theirs.to_vec(), frame(header, &response).expect("encodes").concat())
            },
        }
    }

    /// One line per API of the table.
    fn codecs() -> Vec<Codec> {
        vec![
            codec::<messages::ProduceRequest>(),
            codec::<messages::FetchRequest>(),
            codec::<messages::ListOffsetsRequest>(),
            codec::<messages::MetadataRequest>(),
            codec::<messages::OffsetCommitRequest>(),
            codec::<messages::OffsetFetchRequest>(),
            codec::<messages::FindCoordinatorRequest>(),
            codec::<messages::JoinGroupRequest>(),
            codec::<messages::HeartbeatRequest>(),
            codec::<messages::LeaveGroupRequest>(),
            codec::<messages::SyncGroupRequest>(),
            codec::<messages::DescribeGroupsRequest>(),
            codec::<messages::ListGroupsRequest>(),
            codec::<messages::DeleteGroupsRequest>(),
            codec::<messages::OffsetDeleteRequest>(),
            codec::<messages::ApiVersionsRequest>(),
            codec::<messages::InitProducerIdRequest>(),
            codec::<messages::OffsetForLeaderEpochRequest>(),
            codec::<messages::CreateTopicsRequest>(),
            codec::<messages::DeleteTopicsRequest>(),
            codec::<messages::DeleteRecordsRequest>(),
            codec::<messages::AddPartitionsToTxnRequest>(),
            codec::<messages::AddOffsetsToTxnRequest>(),
            codec::<messages::EndTxnRequest>(),
            codec::<messages::WriteTxnMarkersRequest>(),
            codec::<messages::TxnOffsetCommitRequest>(),
            codec::<messages::DescribeTransactionsRequest>(),
            codec::<messages::ListTransactionsRequest>(),
            codec::<messages::DescribeConfigsRequest>(),
            codec::<messages::AlterConfigsRequest>(),
            codec::<messages::DescribeAclsRequest>(),
            codec::<messages::CreateAclsRequest>(),
            codec::<messages::DeleteAclsRequest>(),
            codec::<messages::AlterReplicaLogDirsRequest>(),
            codec::<messages::DescribeLogDirsRequest>(),
            codec::<messages::ElectLeadersRequest>(),
            codec::<messages::AlterPartitionReassignmentsRequest>(),
            codec::<messages::ListPartitionReassignmentsRequest>(),
            codec::<messages::DescribeClientQuotasRequest>(),
            codec::<messages::DescribeUserScramCredentialsRequest>(),
            codec::<messages::DescribeQuorumRequest>(),
            codec::<messages::UpdateFeaturesRequest>(),
            codec::<messages::UnregisterBrokerRequest>(),
            codec::<messages::ListConfigResourcesRequest>(),
            codec::<messages::DescribeTopicPartitionsRequest>(),
            codec::<messages::CreatePartitionsRequest>(),
            codec::<messages::IncrementalAlterConfigsRequest>(),
            codec::<messages::DescribeClusterRequest>(),
            codec::<messages::DescribeProducersRequest>(),
            codec::<messages::ConsumerGroupHeartbeatRequest>(),
            codec::<messages::ConsumerGroupDescribeRequest>(),
        ]
    }

    #[test]
    fn table_is_sorted_without_duplicates() {
        assert!(APIS.windows(2).all(|pair| pair[0].key < pair[1].key));
    }

    #[test]
    fn every_version_lies_in_the_range_of_both_codecs() {
        let codecs = codecs();
        for api in APIS {
            let codec = codecs.iter().find(|codec| codec.key == api.key).expect(api.name);
            // Produce 0-2 are advertised for librdkafka's feature test and decoded by hand.
            let low = if api.name == "Produce" { 0 } else { codec.versions.0 };
            assert!(low <= api.versions.0 && api.versions.0 <= api.versions.1, "{}", api.name);
            let high =
                message::NEWER.iter().find(|(key, ..)| *key == api.key).map_or(codec.versions.1, |newer| newer.1);
            assert!(api.versions.1 <= high, "{}", api.name);
        }
        assert_eq!(codecs.len(), APIS.len());
    }

    #[test]
    fn flexible_versions_agree_with_the_codecs_headers() {
        let codecs = codecs();
        for api in APIS {
            let codec = codecs.iter().find(|codec| codec.key == api.key).expect(api.name);
            for version in api.versions.0..=api.versions.1.min(codec.versions.1) {
                let header =
                    RequestHeader { api_key: api.key, api_version: version, correlation_id: 0, client_id: None };
                let flexible = version >= api.flexible_from;
                let expected = (if flexible { 2 } else { 1 }, i16::from(response_is_flexible(&header)));
                assert_eq!((codec.header_versions)(version), expected, "{} {version}", api.name);
            }
        }
    }

    #[tokio::test]
    async fn default_request_is_answered_in_every_version() {
        let broker = TestBroker::start();
        let codecs = codecs();
        for api in APIS {
            let codec = codecs.iter().find(|codec| codec.key == api.key).expect(api.name);
            for version in api.versions.0.max(codec.versions.0)..=api.versions.1.min(codec.versions.1) {
                // The default of acks is 0.
                let answered = (codec.call)(&broker, version).await;
                assert_eq!(answered, Ok(api.name != "Produce"), "{} {version}", api.name);
            }
        }
    }

    /// Each API at each version that the crate has.
    fn versions() -> impl Iterator<Item = (&'static Api, Codec, i16)> {
        APIS.iter().flat_map(|api| {
            let find = || codecs().into_iter().find(|codec| codec.key == api.key).expect(api.name);
            let (low, high) = find().versions;
            (api.versions.0.max(low)..=api.versions.1.min(high)).map(move |version| (api, find(), version))
        })
    }

    #[test]
    fn messages_are_read_as_they_were_written_in_every_version() {
        for (api, codec, version) in versions() {
            (codec.assert_round_trips)(api.name, version);
        }
    }

    #[test]
    fn headers_are_the_crates_in_every_version() {
        for (api, codec, version) in versions() {
            let (key, flexible) = (api.key, version >= api.flexible_from);
            let sent: messages::RequestHeader = richest(if flexible { 2 } else { 1 });
            let sent = sent.with_request_api_key(key).with_request_api_version(version);
            let mut bytes = BytesMut::new();
            sent.encode(&mut bytes, (codec.header_versions)(version).0).expect("encodes");
            bytes.extend_from_slice(b"body");
            let form = if flexible { header::HeaderVersion::V2 } else { header::HeaderVersion::V1 };
            let Request { header, body, .. } = header::parse(bytes, form).expect("a header");
            assert_eq!(
                (header.api_key, header.api_version, header.correlation_id),
                (key, version, sent.correlation_id)
            );
            assert_eq!(header.client_id.as_deref(), sent.client_id.as_deref(), "{} v{version}", api.name);
            assert_eq!(&body[..], b"body", "{} v{version}", api.name);
            let (theirs, ours) = (codec.frames)(&header);
            assert_eq!(ours, theirs, "{} v{version}", api.name);
        }
    }

    /// Of each lane the APIs that wait where all its turns are taken.
    #[tokio::test]
    async fn each_api_waits_in_its_lane_and_only_there() {
        let lanes: [(Lane, &[&str]); 4] = [
            (Lane::Metadata, &["Metadata"]),
            (Lane::Groups, &["OffsetFetch", "FindCoordinator", "LeaveGroup"]),
            (
                Lane::Changes,
                &[
                    "CreateTopics",
                    "DeleteTopics",
                    "DeleteRecords",
                    "AlterConfigs",
                    "CreatePartitions",
                    "DeleteGroups",
                    "IncrementalAlterConfigs",
                    "OffsetDelete",
                ],
            ),
            (
                Lane::Admin,
                &[
                    "DescribeGroups",
                    "ListGroups",
                    "DescribeAcls",
                    "CreateAcls",
                    "DeleteAcls",
                    "DescribeConfigs",
                    "AlterReplicaLogDirs",
                    "DescribeLogDirs",
                    "ElectLeaders",
                    "AlterPartitionReassignments",
                    "ListPartitionReassignments",
                    "DescribeClientQuotas",
                    "DescribeUserScramCredentials",
                    "DescribeQuorum",
                    "UpdateFeatures",
                    "DescribeCluster",
                    "DescribeProducers",
                    "UnregisterBroker",
                    "DescribeTransactions",
                    "ListTransactions",
                    "ConsumerGroupDescribe",
                    "ListConfigResources",
                    "DescribeTopicPartitions",
                ],
            ),
        ];
        let broker = TestBroker::start();
        for (lane, expected) in lanes {
            let turn = || broker.cx.broker.turns.turn(lane, usize::MAX).now_or_never();
            let taken: Vec<Turn> = (0..LONG_TURNS).map(|_| turn().expect("free")).collect();
            let waits = |api: &&Api| {
                // So long that it waits before anybody looks at what it asks for, which is nothing, if anything.
                let body = BytesMut::zeroed(100_000);
                let Answer::Turned(mut pending, gone) = broker.begin(api.key, api.versions.1, body) else {
                    return false;
                };
                // Whoever waits for its turn gives up, and whoever has one goes on.
                gone.tell();
                pending.as_mut().now_or_never() == Some(Ok(None))
            };
            let waiting: Vec<&str> = APIS.iter().filter(waits).map(|api| api.name).collect();
            assert_eq!(waiting, expected, "{lane:?}");
            drop(taken);
        }
    }

    #[tokio::test]
    async fn richest_request_is_answered_in_every_version() {
        let broker = TestBroker::start();
        for (api, codec, version) in versions() {
            let answered = (codec.call_richest)(&broker, version).await;
            assert_eq!(answered, Ok(true), "{} v{version}", api.name);
        }
    }
}
