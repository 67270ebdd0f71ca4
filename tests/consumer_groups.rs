//! Consumer groups of KIP-848 of the built binary: the broker assigns, moves partitions without two owners, comes back from a kill
//! as if nothing had happened, and takes groups over from the classic protocol and back.

mod support;

use bytes::Bytes;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
    CreatePartitionsRequest, DeleteGroupsRequest, DescribeConfigsRequest, DescribeGroupsRequest, GroupId,
    IncrementalAlterConfigsRequest, InitProducerIdRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    ListGroupsRequest, OffsetFetchRequest, TransactionalId, TxnOffsetCommitRequest,
};
use support::groups::{
    MEMBER_ID_REQUIRED, NON_EMPTY_GROUP, REBALANCE_IN_PROGRESS, UNKNOWN_MEMBER_ID, ask_until, commit, group, heartbeat,
    sync, text,
};
use support::requests::{create_topic, topic_name};
use support::{TestClient, TestServer};
use uuid::Uuid;

const ILLEGAL_GENERATION: i16 = 22;
const UNSUPPORTED_VERSION: i16 = 35;
const INVALID_CONFIG: i16 = 40;
const INVALID_REQUEST: i16 = 42;
const GROUP_ID_NOT_FOUND: i16 = 69;
const GROUP_MAX_SIZE_REACHED: i16 = 81;
const FENCED_INSTANCE_ID: i16 = 82;
const FENCED_MEMBER_EPOCH: i16 = 110;
const UNRELEASED_INSTANCE_ID: i16 = 111;
const STALE_MEMBER_EPOCH: i16 = 113;
const INVALID_REGULAR_EXPRESSION: i16 = 128;

const GROUP_RESOURCE: i8 = 32;

/// A heartbeat that changes nothing.
fn beating(member_id: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group())
        .with_member_id(text(member_id))
        .with_member_epoch(epoch)
        .with_rebalance_timeout_ms(-1)
}

/// A join of a member that reads `t`.
fn joining(member_id: &str) -> ConsumerGroupHeartbeatRequest {
    beating(member_id, 0)
        .with_rebalance_timeout_ms(60_000)
        .with_subscribed_topic_names(Some(vec![topic_name("t")]))
        .with_topic_partitions(Some(vec![]))
}

fn owning(request: ConsumerGroupHeartbeatRequest, topic_id: Uuid, partitions: &[i32]) -> ConsumerGroupHeartbeatRequest {
    let owned = TopicPartitions::default().with_topic_id(topic_id).with_partitions(partitions.to_vec());
    request.with_topic_partitions(Some(vec![owned]))
}

fn send(client: &mut TestClient, request: &ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
    client.call(request, 1)
}

/// Error, epoch and assigned partitions, over all topics.
fn beat(client: &mut TestClient, request: &ConsumerGroupHeartbeatRequest) -> (i16, i32, Option<Vec<i32>>) {
    let answer = send(client, request);
    let assigned = answer.assignment.map(|assignment| {
        let topics = assignment.topic_partitions.iter();
        topics.flat_map(|topic| topic.partitions.clone()).collect()
    });
    (answer.error_code, answer.member_epoch, assigned)
}

fn error(client: &mut TestClient, request: &ConsumerGroupHeartbeatRequest) -> i16 {
    send(client, request).error_code
}

/// State of the group, and its members with their epochs.
fn described(client: &mut TestClient) -> (String, Vec<(String, i32, i8)>) {
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group()]);
    let group = client.call(&request, 1).groups.remove(0);
    let members = group.members.iter();
    let members = members.map(|member| (member.member_id.to_string(), member.member_epoch, member.member_type));
    (group.group_state.to_string(), members.collect())
}

/// Error and first offset that a member is answered.
fn fetch_offset(client: &mut TestClient, member_id: &str, epoch: i32) -> (i16, Option<i64>) {
    let asked = OffsetFetchRequestGroup::default()
        .with_group_id(group())
        .with_member_id(Some(text(member_id)))
        .with_member_epoch(epoch)
        .with_topics(None);
    let answer = client.call(&OffsetFetchRequest::default().with_groups(vec![asked]), 9).groups.remove(0);
    (answer.error_code, answer.topics.first().map(|topic| topic.partitions[0].committed_offset))
}

/// Errors of a request that names the group once for each of these members.
fn fetch_errors(client: &mut TestClient, members: &[(&str, i32)]) -> Vec<i16> {
    let of_member = |(member_id, epoch): &(&str, i32)| {
        let asked = OffsetFetchRequestGroup::default().with_group_id(group()).with_topics(None);
        asked.with_member_id(Some(text(member_id))).with_member_epoch(*epoch)
    };
    let asked = members.iter().map(of_member).collect();
    let answer = client.call(&OffsetFetchRequest::default().with_groups(asked), 9);
    answer.groups.iter().map(|group| group.error_code).collect()
}

/// Members a and b in epoch 2 with two of four partitions each. Answers the topic's id.
fn two_members(client: &mut TestClient) -> Uuid {
    create_topic(client, "t", 4);
    let first = send(client, &joining("a"));
    assert_eq!((first.error_code, first.member_epoch, first.heartbeat_interval_ms), (0, 1, 5000));
    let assigned = &first.assignment.as_ref().expect("an assignment").topic_partitions[0];
    assert_eq!(assigned.partitions, [0, 1, 2, 3]);
    let topic_id = assigned.topic_id;
    // Nothing is free before a has given it up.
    assert_eq!(beat(client, &joining("b")), (0, 2, Some(vec![])));
    assert_eq!(beat(client, &beating("a", 1)), (0, 1, Some(vec![0, 1])));
    assert_eq!(beat(client, &beating("b", 2)), (0, 2, None));
    assert_eq!(beat(client, &owning(beating("a", 1), topic_id, &[0, 1, 2, 3])), (0, 1, None));
    assert_eq!(beat(client, &owning(beating("a", 1), topic_id, &[0, 1])), (0, 2, None));
    assert_eq!(beat(client, &beating("b", 2)), (0, 2, Some(vec![2, 3])));
    topic_id
}

#[test]
fn each_entry_of_a_fetch_is_judged_for_its_member() {
    let server = TestServer::start();
    let client = &mut TestClient::connect(&server);
    two_members(client);
    let errors = fetch_errors(client, &[("a", 2), ("a", 1), ("nobody", 2), ("b", 2)]);
    assert_eq!(errors, [0, STALE_MEMBER_EPOCH, UNKNOWN_MEMBER_ID, 0]);
}

#[test]
fn partitions_are_given_up_before_another_member_has_them() {
    let server = TestServer::start();
    let client = &mut TestClient::connect(&server);
    let topic_id = two_members(client);
    assert_eq!(described(client), ("Stable".into(), vec![("a".into(), 2, 1), ("b".into(), 2, 1)]));
    // A new partition raises the epoch by itself.
    let grown = kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic::default()
        .with_name(topic_name("t"))
        .with_count(5)
        .with_assignments(None);
    let grown = client.call(&CreatePartitionsRequest::default().with_topics(vec![grown]).with_timeout_ms(1000), 3);
    assert_eq!(grown.results[0].error_code, 0);
    let a = beat(client, &owning(beating("a", 2), topic_id, &[0, 1]));
    let b = beat(client, &owning(beating("b", 2), topic_id, &[2, 3]));
    assert_eq!((a.1, b.1), (3, 3));
    let owned: usize = [a, b].iter().map(|(_, _, assigned)| assigned.as_ref().map_or(2, Vec::len)).sum();
    assert_eq!(owned, 5);
    // Who leaves gives back at once.
    assert_eq!(beat(client, &beating("b", -1)), (0, -1, None));
    assert_eq!(beat(client, &beating("a", 3)), (0, 4, Some(vec![0, 1, 2, 3, 4])));
    assert_eq!(server.metric("einmal_group_members", &[]), Some(1.0));
    let rebalances = |reason| server.metric("einmal_group_rebalances_total", &[&format!("reason=\"{reason}\"")]);
    assert_eq!(["join", "metadata", "leave"].map(rebalances), [Some(2.0), Some(1.0), Some(1.0)]);
    assert_eq!(server.metric_sum("einmal_group_rebalances_total"), 4.0);
    assert_eq!(server.metric("einmal_groups", &["protocol=\"consumer\"", "state=\"Stable\""]), Some(1.0));
}

#[test]
fn members_epochs_and_assignments_survive_sigkill() {
    let mut server = TestServer::start();
    let topic_id = two_members(&mut TestClient::connect(&server));
    assert_eq!(commit(&mut TestClient::connect(&server), 9, "a", 2, 7), 0);
    let before = described(&mut TestClient::connect(&server));
    server.kill9();
    let mut server = server.restart();
    let client = &mut TestClient::connect(&server);
    assert_eq!(described(client), before);
    assert_eq!(server.metric_sum("einmal_group_rebalances_total"), 0.0);
    // No epoch is raised, and nobody is told anything new.
    assert_eq!(beat(client, &beating("a", 2)), (0, 2, None));
    assert_eq!(beat(client, &beating("b", 2)), (0, 2, None));
    assert_eq!(fetch_offset(client, "a", 2), (0, Some(7)));
    assert_eq!(server.metric_sum("einmal_group_rebalances_total"), 0.0);
    // In the midst of a rebalance, too: c waits, a has not given up yet.
    assert_eq!(beat(client, &joining("c")), (0, 3, Some(vec![])));
    assert_eq!(beat(client, &beating("a", 2)).0, 0);
    let before = described(client);
    assert_eq!(before.0, "Reconciling");
    server.kill9();
    let server = server.restart();
    let client = &mut TestClient::connect(&server);
    assert_eq!(described(client), before);
    for (member, own) in [("a", [0, 1]), ("b", [2, 3])] {
        let request = owning(beating(member, 2), topic_id, &own);
        let mut owned = beat(client, &request).2.unwrap_or(own.to_vec());
        owned.sort_unstable();
        assert!(owned.len() <= 2);
        beat(client, &owning(beating(member, 2), topic_id, &owned));
    }
    assert_eq!(beat(client, &beating("c", 3)).2.map(|assigned| assigned.len()), Some(1));
}

#[test]
fn fenced_stale_and_unknown_members_are_told_so() {
    let server = TestServer::start_with(&["group.consumer.max.size=3"]);
    let client = &mut TestClient::connect(&server);
    two_members(client);
    assert_eq!(error(client, &beating("a", 1)), FENCED_MEMBER_EPOCH);
    assert_eq!(error(client, &beating("a", 9)), FENCED_MEMBER_EPOCH);
    assert_eq!(error(client, &beating("nobody", 2)), UNKNOWN_MEMBER_ID);
    assert_eq!(error(client, &beating("a", -3)), INVALID_REQUEST);
    assert_eq!(error(client, &joining("")), INVALID_REQUEST);
    assert_eq!(client.call(&joining("").with_group_id(GroupId(text("v0"))), 0).error_code, 0);
    let elsewhere = beating("a", 2).with_group_id(GroupId(text("none")));
    assert_eq!(error(client, &elsewhere), GROUP_ID_NOT_FOUND);
    let regex = joining("d").with_subscribed_topic_regex(Some(text("(")));
    assert_eq!(error(client, &regex), INVALID_REGULAR_EXPRESSION);
    // Epochs guard offsets. An older one may still commit what it has held since (KIP-1251).
    assert_eq!(commit(client, 9, "a", 2, 7), 0);
    assert_eq!(commit(client, 9, "a", 1, 7), 0);
    assert_eq!(commit(client, 9, "b", 1, 7), STALE_MEMBER_EPOCH);
    assert_eq!(commit(client, 9, "a", 3, 7), STALE_MEMBER_EPOCH);
    assert_eq!(commit(client, 9, "nobody", 2, 7), UNKNOWN_MEMBER_ID);
    assert_eq!(commit(client, 9, "", -1, 7), UNKNOWN_MEMBER_ID);
    assert_eq!(commit(client, 8, "a", 2, 7), UNSUPPORTED_VERSION);
    assert_eq!(fetch_offset(client, "a", 2), (0, Some(7)));
    assert_eq!(fetch_offset(client, "a", 1), (STALE_MEMBER_EPOCH, None));
    assert_eq!(fetch_offset(client, "nobody", 2), (UNKNOWN_MEMBER_ID, None));
    // So do they with a transaction, whose clients know generations.
    let init = InitProducerIdRequest::default()
        .with_transactional_id(Some(TransactionalId(text("tx"))))
        .with_transaction_timeout_ms(60_000);
    let producer = client.call(&init, 4);
    let txn_commit = |client: &mut TestClient, member_id: &str, epoch: i32| {
        let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(8);
        let topic = TxnOffsetCommitRequestTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(TransactionalId(text("tx")))
            .with_group_id(group())
            .with_producer_id(producer.producer_id)
            .with_producer_epoch(producer.producer_epoch)
            .with_member_id(text(member_id))
            .with_generation_id(epoch)
            .with_topics(vec![topic]);
        client.call(&request, 5).topics[0].partitions[0].error_code
    };
    assert_eq!((txn_commit(client, "a", 2), txn_commit(client, "", -1)), (0, 0));
    assert_eq!((txn_commit(client, "b", 1), txn_commit(client, "a", 3)), (ILLEGAL_GENERATION, ILLEGAL_GENERATION));
    assert_eq!(txn_commit(client, "nobody", 2), UNKNOWN_MEMBER_ID);
    // Static members.
    let fixed = |id: &str, epoch| beating(id, epoch).with_instance_id(Some(text("i")));
    let joins = |id: &str| joining(id).with_instance_id(Some(text("i")));
    let (_, epoch, _) = beat(client, &joins("s1"));
    assert_eq!(error(client, &joining("d")), GROUP_MAX_SIZE_REACHED);
    assert_eq!(error(client, &joins("s2")), GROUP_MAX_SIZE_REACHED);
    assert_eq!(error(client, &beating("b", -1)), 0);
    assert_eq!(error(client, &joins("s2")), UNRELEASED_INSTANCE_ID);
    assert_eq!(error(client, &fixed("s1", -2)), 0);
    assert_eq!(error(client, &joins("s2")), 0);
    assert_eq!(error(client, &fixed("s1", epoch)), FENCED_INSTANCE_ID);
    assert_eq!(
        client.call(&DeleteGroupsRequest::default().with_groups_names(vec![group()]), 2).results[0].error_code,
        NON_EMPTY_GROUP
    );
}

#[test]
fn pattern_finds_topics_that_come_later() {
    let server = TestServer::start();
    let client = &mut TestClient::connect(&server);
    create_topic(client, "t-1", 1);
    let request = joining("a").with_subscribed_topic_names(None).with_subscribed_topic_regex(Some(text("t-[0-9]+")));
    assert_eq!(beat(client, &request), (0, 1, Some(vec![0])));
    create_topic(client, "t-2", 2);
    create_topic(client, "other", 1);
    // Patterns are matched again after a second at most.
    let assigned = ask_until(|| match beat(client, &beating("a", 1)) {
        (0, 2, assigned) => Some(assigned),
        _ => None,
    });
    assert_eq!(assigned.map(|assigned| assigned.len()), Some(3));
}

#[test]
fn group_is_listed_by_type_and_has_settings_of_its_own() {
    let mut server = TestServer::start();
    let client = &mut TestClient::connect(&server);
    two_members(client);
    let listed = |client: &mut TestClient, state: &str, kind: &str| {
        let request = ListGroupsRequest::default().with_states_filter(vec![text(state)]);
        client.call(&request.with_types_filter(vec![text(kind)]), 5).groups.len()
    };
    assert_eq!((listed(client, "stable", "Consumer"), listed(client, "stable", "classic")), (1, 0));
    let classic = client.call(&DescribeGroupsRequest::default().with_groups(vec![group()]), 6).groups.remove(0);
    assert_eq!((classic.error_code, classic.group_state.as_str()), (GROUP_ID_NOT_FOUND, "Dead"));
    let alter = |client: &mut TestClient, value: &str| {
        let config =
            AlterableConfig::default().with_name(text("consumer.heartbeat.interval.ms")).with_value(Some(text(value)));
        let resource = AlterConfigsResource::default()
            .with_resource_type(GROUP_RESOURCE)
            .with_resource_name(text("g"))
            .with_configs(vec![config]);
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        client.call(&request, 1).responses[0].error_code
    };
    assert_eq!(alter(client, "4999"), INVALID_CONFIG);
    assert_eq!(alter(client, "6000"), 0);
    assert_eq!(send(client, &beating("a", 2)).heartbeat_interval_ms, 6000);
    server.kill9();
    let server = server.restart();
    let client = &mut TestClient::connect(&server);
    assert_eq!(send(client, &beating("a", 2)).heartbeat_interval_ms, 6000);
    let resource = kafka_protocol::messages::describe_configs_request::DescribeConfigsResource::default()
        .with_resource_type(GROUP_RESOURCE)
        .with_resource_name(text("g"))
        .with_configuration_keys(Some(vec![text("consumer.heartbeat.interval.ms")]));
    let described = client.call(&DescribeConfigsRequest::default().with_resources(vec![resource]), 4);
    let config = &described.results[0].configs[0];
    assert_eq!((config.value.as_deref(), config.config_source), (Some("6000"), 8));
}

#[test]
fn what_members_bring_along_has_a_limit() {
    let server = TestServer::start_with(&["einmal.group.members.bytes.max=1048576"]);
    let client = &mut TestClient::connect(&server);
    let names: Vec<_> = (0..1000).map(|index| topic_name(&format!("{index:0100}"))).collect();
    let join = |id: &str| joining(id).with_subscribed_topic_names(Some(names.clone()));
    let refused = (0..20).map(|index| error(client, &join(&format!("m{index}")))).find(|error| *error != 0);
    assert_eq!(refused, Some(GROUP_MAX_SIZE_REACHED));
    assert!(server.metric("einmal_group_members_bytes", &[]).expect("a value") < 1_048_576.0);
}

#[test]
fn a_member_goes_on_when_memory_is_full_and_its_topic_grows() {
    let server = TestServer::start_with(&["einmal.group.members.bytes.max=1048576"]);
    let client = &mut TestClient::connect(&server);
    let subscribed = |id: &str| joining(id).with_subscribed_topic_names(Some(vec![topic_name("wide")]));
    assert_eq!(error(client, &subscribed("m")), 0);
    let names: Vec<_> = (0..500).map(|index| topic_name(&format!("{index:0100}"))).collect();
    let filling = |index| {
        let group = GroupId(text("other"));
        joining(&format!("m{index}")).with_group_id(group).with_subscribed_topic_names(Some(names.clone()))
    };
    let refused = (0..100).map(|index| error(client, &filling(index))).find(|error| *error != 0);
    assert_eq!(refused, Some(GROUP_MAX_SIZE_REACHED));
    create_topic(client, "wide", 5000);
    // As clients do that have lost their connection: all is told again.
    assert_eq!(error(client, &subscribed("m")), 0);
    assert_eq!(error(client, &subscribed("new")), GROUP_MAX_SIZE_REACHED);
}

#[test]
fn one_group_cannot_take_the_memory_of_the_others() {
    let settings = ["einmal.group.members.bytes.max=1048576", "einmal.group.members.bytes.per.group.max=262144"];
    let server = TestServer::start_with(&settings);
    let client = &mut TestClient::connect(&server);
    let names: Vec<_> = (0..500).map(|index| topic_name(&format!("{index:0100}"))).collect();
    let join = |id: &str| joining(id).with_subscribed_topic_names(Some(names.clone()));
    let refused = (0..20).map(|index| error(client, &join(&format!("m{index}")))).find(|error| *error != 0);
    assert_eq!(refused, Some(GROUP_MAX_SIZE_REACHED));
    let other = join("m").with_group_id(GroupId(text("another")));
    assert_eq!(error(client, &other), 0);
    let classic = |group: &str| {
        let protocol =
            JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(Bytes::from(vec![0; 200_000]));
        JoinGroupRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_session_timeout_ms(45_000)
            .with_rebalance_timeout_ms(60_000)
            .with_protocol_type(text("connect"))
            .with_protocols(vec![protocol])
    };
    let first = client.call(&classic("classic"), 3);
    assert_eq!(first.error_code, 0);
    assert_eq!(client.call(&classic("classic"), 3).error_code, GROUP_MAX_SIZE_REACHED);
    assert_eq!(client.call(&classic("classic too"), 3).error_code, 0);
}

// ---- Migration.

/// A subscription to `t` in version 3, owning `owned`.
fn subscription(owned: &[i32]) -> Bytes {
    let mut bytes = b"\0\x03\0\0\0\x01\0\x01t\xff\xff\xff\xff".to_vec();
    bytes.extend_from_slice(&1i32.to_be_bytes());
    bytes.extend_from_slice(b"\0\x01t");
    bytes.extend_from_slice(&i32::try_from(owned.len()).expect("few").to_be_bytes());
    owned.iter().for_each(|partition| bytes.extend_from_slice(&partition.to_be_bytes()));
    // No generation, no rack.
    bytes.extend_from_slice(b"\xff\xff\xff\xff\xff\xff");
    bytes.into()
}

/// An assignment of partitions of `t` in version 3.
fn assignment(partitions: &[i32]) -> Bytes {
    let mut bytes = b"\0\x03\0\0\0\x01\0\x01t".to_vec();
    bytes.extend_from_slice(&i32::try_from(partitions.len()).expect("few").to_be_bytes());
    partitions.iter().for_each(|partition| bytes.extend_from_slice(&partition.to_be_bytes()));
    bytes.extend_from_slice(b"\xff\xff\xff\xff");
    bytes.into()
}

fn classic_join(client: &mut TestClient, member_id: &str, owned: &[i32]) -> JoinGroupResponse {
    let protocol =
        JoinGroupRequestProtocol::default().with_name(text("cooperative-sticky")).with_metadata(subscription(owned));
    let request = JoinGroupRequest::default()
        .with_group_id(group())
        .with_member_id(text(member_id))
        .with_session_timeout_ms(45_000)
        .with_rebalance_timeout_ms(60_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol]);
    client.call(&request, 7)
}

/// A classic group of one member that reads all four partitions of `t`, in generation 1.
fn classic_member(client: &mut TestClient) -> String {
    create_topic(client, "t", 4);
    let asked = classic_join(client, "", &[]);
    assert_eq!(asked.error_code, MEMBER_ID_REQUIRED);
    let id = asked.member_id.to_string();
    let joined = classic_join(client, &id, &[]);
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
    let all = assignment(&[0, 1, 2, 3]);
    assert_eq!(sync(client, &joined, &[(&id, all.clone())]), (0, all));
    id
}

#[test]
fn classic_group_is_taken_over_and_given_back_while_its_members_read() {
    let mut server = TestServer::start();
    let client = &mut TestClient::connect(&server);
    let old = classic_member(client);
    assert_eq!(commit(client, 7, &old, 1, 7), 0);
    // The first member of the new protocol: what the old one reads it keeps until it gives it up.
    let new = send(client, &joining("new"));
    assert_eq!((new.error_code, new.member_epoch), (0, 2));
    assert_eq!(new.assignment.map(|assignment| assignment.topic_partitions.len()), Some(0));
    let (state, members) = described(client);
    assert_eq!((state.as_str(), members.len()), ("Reconciling", 2));
    assert!(members.contains(&(old.clone(), 1, 0)) && members.contains(&("new".into(), 2, 1)));
    assert_eq!(fetch_offset(client, "new", 2), (0, Some(7)));
    assert_eq!(heartbeat(client, &old, 1), REBALANCE_IN_PROGRESS);
    // It is the same after a kill.
    server.kill9();
    let mut server = server.restart();
    let client = &mut TestClient::connect(&server);
    assert_eq!(heartbeat(client, &old, 1), REBALANCE_IN_PROGRESS);
    let joined = classic_join(client, &old, &[0, 1, 2, 3]);
    assert_eq!((joined.error_code, joined.generation_id, joined.leader.as_str()), (0, 1, ""));
    assert_eq!(joined.protocol_name.as_deref(), Some("cooperative-sticky"));
    assert_eq!(sync(client, &joined, &[]), (0, assignment(&[0, 1])));
    // It gives up the rest, and says so with its next join.
    assert_eq!(heartbeat(client, &old, 1), REBALANCE_IN_PROGRESS);
    assert_eq!(beat(client, &beating("new", 2)), (0, 2, None));
    let joined = classic_join(client, &old, &[0, 1]);
    assert_eq!((joined.error_code, joined.generation_id), (0, 2));
    assert_eq!(sync(client, &joined, &[]), (0, assignment(&[0, 1])));
    assert_eq!(heartbeat(client, &old, 2), 0);
    assert_eq!(beat(client, &beating("new", 2)), (0, 2, Some(vec![2, 3])));
    assert_eq!(described(client).0, "Stable");
    assert_eq!(commit(client, 7, &old, 2, 7), 0);
    // What it has held since an older one it may still commit with that, nothing with a later one.
    assert_eq!((commit(client, 7, &old, 1, 7), commit(client, 7, &old, 3, 7)), (0, ILLEGAL_GENERATION));
    // The last member of the new protocol goes: the group is a classic one again, and shares anew.
    assert_eq!(error(client, &beating("new", -1)), 0);
    let classic = client.call(&DescribeGroupsRequest::default().with_groups(vec![group()]), 6).groups.remove(0);
    assert_eq!((classic.error_code, classic.group_state.as_str()), (0, "PreparingRebalance"));
    assert_eq!(heartbeat(client, &old, 2), REBALANCE_IN_PROGRESS);
    server.kill9();
    let server = server.restart();
    let client = &mut TestClient::connect(&server);
    // As it was stored: the rebalance that had begun begins with the leader's join.
    assert_eq!(heartbeat(client, &old, 2), 0);
    let joined = classic_join(client, &old, &[0, 1]);
    assert_eq!((joined.error_code, joined.generation_id, joined.leader.as_str()), (0, 3, old.as_str()));
    let all = assignment(&[0, 1, 2, 3]);
    assert_eq!(sync(client, &joined, &[(&old, all.clone())]), (0, all));
    assert_eq!(fetch_offset(client, "", -1), (0, Some(7)));
    let leave = LeaveGroupRequest::default().with_group_id(group()).with_member_id(text(&old));
    assert_eq!(client.call(&leave, 1).error_code, 0);
    // An empty group is of whichever protocol comes.
    assert_eq!(beat(client, &joining("new")).0, 0);
    assert_eq!(described(client).0, "Stable");
    assert_eq!(error(client, &beating("new", -1)), 0);
    assert_eq!(classic_join(client, "", &[]).error_code, MEMBER_ID_REQUIRED);
}

#[test]
fn protocol_can_be_switched_off() {
    let server = TestServer::start_with(&["group.coordinator.rebalance.protocols=classic"]);
    assert_eq!(error(&mut TestClient::connect(&server), &joining("a")), UNSUPPORTED_VERSION);
}

#[test]
fn migration_goes_only_the_ways_that_are_open() {
    let server = TestServer::start_with(&["group.consumer.migration.policy=disabled"]);
    let client = &mut TestClient::connect(&server);
    let old = classic_member(client);
    assert_eq!(error(client, &joining("new")), GROUP_ID_NOT_FOUND);
    assert_eq!(heartbeat(client, &old, 1), 0);
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group()]);
    let refused = client.call(&request, 1).groups.remove(0);
    assert_eq!(refused.error_code, GROUP_ID_NOT_FOUND);
    assert_eq!(refused.error_message.as_deref(), Some("Group g is not a consumer group."));
}

#[test]
fn classic_bytes_of_any_kind_do_not_harm_a_consumer_group() {
    let server = TestServer::start();
    let client = &mut TestClient::connect(&server);
    two_members(client);
    let whole = subscription(&[]);
    for (kind, metadata) in [("consumer", &b"\0\x03\x7f\xff\xff\xff"[..]), ("consumer", b""), ("connect", &whole)] {
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(Bytes::copy_from_slice(metadata));
        let request = JoinGroupRequest::default()
            .with_group_id(group())
            .with_session_timeout_ms(45_000)
            .with_rebalance_timeout_ms(60_000)
            .with_protocol_type(text(kind))
            .with_protocols(vec![protocol]);
        let refused = client.call(&request.with_member_id(text("c")), 7);
        assert_eq!(refused.error_code, 23, "inconsistent group protocol");
    }
    // A member of the new protocol is none of the old one.
    assert_eq!(heartbeat(client, "a", 2), UNKNOWN_MEMBER_ID);
    assert_eq!(described(client).1.len(), 2);
}
