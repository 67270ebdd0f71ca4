//! Groups of the built binary: members share partitions, and a broker that is killed and comes back disturbs nobody.

mod support;

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    ListGroupsRequest, OffsetFetchRequest,
};
use support::groups::{
    MEMBER_ID_REQUIRED, NON_EMPTY_GROUP, REBALANCE_IN_PROGRESS, UNKNOWN_MEMBER_ID, ask_until, commit, group, heartbeat,
    sync, text,
};
use support::requests::create_topic;
use support::{TestClient, TestServer};

fn join_request(member_id: &str) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff"));
    JoinGroupRequest::default()
        .with_group_id(group())
        .with_member_id(text(member_id))
        .with_session_timeout_ms(45_000)
        .with_rebalance_timeout_ms(60_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

/// The id that a new member is given.
fn new_member_id(client: &mut TestClient) -> String {
    let asked = client.call(&join_request(""), 7);
    assert_eq!(asked.error_code, MEMBER_ID_REQUIRED);
    asked.member_id.to_string()
}

fn committed(client: &mut TestClient) -> i64 {
    let request = OffsetFetchRequest::default().with_group_id(group()).with_topics(None);
    client.call(&request, 7).topics[0].partitions[0].committed_offset
}

fn state(client: &mut TestClient) -> (String, usize) {
    let described = client.call(&DescribeGroupsRequest::default().with_groups(vec![group()]), 5);
    (described.groups[0].group_state.to_string(), described.groups[0].members.len())
}

/// Two members that have been told of generation 2, and wait for nothing but their assignments.
fn two_joined(one: &mut TestClient, other: &mut TestClient) -> (JoinGroupResponse, JoinGroupResponse) {
    let one_id = new_member_id(one);
    let first = one.call(&join_request(&one_id), 7);
    assert_eq!((first.error_code, first.leader.as_str()), (0, one_id.as_str()));
    assert_eq!(sync(one, &first, &[(&one_id, "all".into())]), (0, Bytes::from_static(b"all")));
    let other_id = new_member_id(other);
    let parked = other.send(&join_request(&other_id), 7);
    // On a connection of its own, it may be read later than what follows on another.
    ask_until(|| (heartbeat(one, &one_id, 1) == REBALANCE_IN_PROGRESS).then_some(()));
    let leader = one.call(&join_request(&one_id), 7);
    let follower = other.receive::<JoinGroupRequest>(parked, 7);
    assert_eq!((leader.generation_id, follower.generation_id), (2, 2));
    assert_eq!((leader.members.len(), follower.members.len()), (2, 0));
    (leader, follower)
}

/// The leader assigns, and both ask for their parts.
fn sync_both(one: &mut TestClient, leader: &JoinGroupResponse, other: &mut TestClient, follower: &JoinGroupResponse) {
    let parts = [(leader.member_id.as_str(), "first".into()), (follower.member_id.as_str(), "second".into())];
    assert_eq!(sync(one, leader, &parts), (0, Bytes::from_static(b"first")));
    assert_eq!(sync(other, follower, &[]), (0, Bytes::from_static(b"second")));
}

/// Two members in one stable group.
fn two_members(one: &mut TestClient, other: &mut TestClient) -> (JoinGroupResponse, JoinGroupResponse) {
    let (leader, follower) = two_joined(one, other);
    sync_both(one, &leader, other, &follower);
    (leader, follower)
}

#[test]
fn members_and_offsets_survive_sigkill_without_a_rebalance() {
    let mut server = TestServer::start();
    create_topic(&mut TestClient::connect(&server), "t", 1);
    let (leader, follower) = two_members(&mut TestClient::connect(&server), &mut TestClient::connect(&server));
    assert_eq!(commit(&mut TestClient::connect(&server), 7, &leader.member_id, 2, 7), 0);
    server.kill9();
    let server = server.restart();
    let client = &mut TestClient::connect(&server);
    assert_eq!(state(client), ("Stable".to_owned(), 2));
    for member in [&leader, &follower] {
        assert_eq!(heartbeat(client, &member.member_id, 2), 0);
    }
    assert_eq!(committed(client), 7);
    assert_eq!(commit(client, 7, &leader.member_id, 2, 8), 0);
    assert_eq!(sync(client, &follower, &[]), (0, Bytes::from_static(b"second")));
    assert_eq!(server.metric_sum("einmal_group_rebalances_total"), 0.0);
    assert_eq!(server.metric("einmal_group_members", &[]), Some(2.0));
}

#[test]
fn members_that_were_told_of_a_generation_get_their_assignments_after_sigkill() {
    let mut server = TestServer::start();
    create_topic(&mut TestClient::connect(&server), "t", 1);
    let (leader, follower) = two_joined(&mut TestClient::connect(&server), &mut TestClient::connect(&server));
    server.kill9();
    let server = server.restart();
    let (one, other) = (&mut TestClient::connect(&server), &mut TestClient::connect(&server));
    assert_eq!(state(one), ("CompletingRebalance".to_owned(), 2));
    sync_both(one, &leader, other, &follower);
    assert_eq!(state(one), ("Stable".to_owned(), 2));
    for member in [&leader, &follower] {
        assert_eq!(heartbeat(one, &member.member_id, 2), 0);
    }
    assert_eq!(server.metric_sum("einmal_group_rebalances_total"), 0.0);
}

#[test]
fn group_is_listed_and_deleted_once_its_members_have_left() {
    let server = TestServer::start();
    let client = &mut TestClient::connect(&server);
    create_topic(client, "t", 1);
    let (leader, follower) = two_members(client, &mut TestClient::connect(&server));
    assert_eq!(commit(client, 7, &leader.member_id, 2, 7), 0);
    let delete = DeleteGroupsRequest::default().with_groups_names(vec![group()]);
    assert_eq!(client.call(&delete, 1).results[0].error_code, NON_EMPTY_GROUP);
    for member in [&leader, &follower] {
        let leave = LeaveGroupRequest::default().with_group_id(group()).with_member_id(member.member_id.clone());
        assert_eq!(client.call(&leave, 1).error_code, 0);
    }
    assert_eq!(heartbeat(client, &leader.member_id, 2), UNKNOWN_MEMBER_ID);
    assert_eq!(state(client), ("Empty".to_owned(), 0));
    let listed = |client: &mut TestClient, state: &str, kind: &str| {
        let request = ListGroupsRequest::default().with_states_filter(vec![text(state)]);
        client.call(&request.with_types_filter(vec![text(kind)]), 5).groups.len()
    };
    assert_eq!((listed(client, "EMPTY", "Classic"), listed(client, "Stable", "classic")), (1, 0));
    assert_eq!(listed(client, "empty", "consumer"), 0);
    assert_eq!(client.call(&delete, 1).results[0].error_code, 0);
    assert_eq!((state(client).0.as_str(), listed(client, "empty", "classic")), ("Dead", 0));
}

#[test]
fn client_that_goes_while_it_joins_does_not_hold_up_the_others() {
    let mut server = TestServer::start_with(&["group.min.session.timeout.ms=100"]);
    let client = &mut TestClient::connect(&server);
    let id = new_member_id(client);
    let first = client.call(&join_request(&id), 7);
    sync(client, &first, &[]);
    let brief = join_request("").with_session_timeout_ms(100).with_rebalance_timeout_ms(100);
    let mut gone = TestClient::connect(&server);
    let gone_id = gone.call(&brief, 7).member_id;
    gone.send(&brief.with_member_id(gone_id), 7);
    ask_until(|| (heartbeat(client, &id, 1) == REBALANCE_IN_PROGRESS).then_some(()));
    drop(gone);
    let again = client.call(&join_request(&id), 7);
    assert_eq!((again.error_code, again.generation_id), (0, 2));
    assert_eq!(sync(client, &again, &[]).0, 0);
    // Its session ends, and the group is its first member's again.
    ask_until(|| (heartbeat(client, &id, 2) == REBALANCE_IN_PROGRESS).then_some(()));
    let alone = client.call(&join_request(&id), 7);
    assert_eq!((alone.generation_id, alone.members.len()), (3, 1));
    assert_eq!(server.terminate().to_string(), "exit status: 0");
}
