//! Rows of groups that are not what was written: the broker does not start with groups that it has made up.

use std::sync::Arc;

use bytes::Bytes;

use super::harness::*;
use crate::engine::Engine;
use crate::engine::start::StartError;
use crate::group::classic::{StoredGroup, StoredMember};
use crate::group::consumer::assignment::TopicIdPartition;
use crate::group::consumer::change::{Change, GroupEpochs};
use crate::group::consumer::member::{CurrentAssignment, MemberMetadata};
use crate::store::memory::MemoryStore;
use crate::store::schema::{
    GroupConfigs, RowValue, consumer_group_key, consumer_groups_prefix, group_configs_key, group_configs_prefix,
    group_key, groups_prefix,
};
use crate::store::{Rows, Store};
use crate::types::Uuid;

/// A start on `rows`: none, or why not.
fn refusal(rows: &[(Vec<u8>, Vec<u8>)]) -> Option<String> {
    let store = MemoryStore::new();
    let mut written = Rows::default();
    for (key, value) in rows {
        written.put(key.clone(), value.clone());
    }
    store.write(&written, 0).expect("writes");
    let environment = Box::new(TestEnvironment(TestTime::new(1)));
    let fatal = Box::new(|error| panic!("not started yet: {error}"));
    match Engine::start(Arc::new(store), settings(), environment, fatal) {
        Ok(_) => None,
        Err(error @ StartError::Store(_)) => Some(error.to_string()),
        Err(error) => panic!("another reason: {error}"),
    }
}

fn stored_group() -> StoredGroup {
    let member = |id: &str| StoredMember {
        member_id: id.into(),
        instance_id: Some(format!("{id}-instance")),
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocols: vec![("range".into(), Bytes::from_static(b"subscription"))],
        assignment: Bytes::from_static(b"part"),
    };
    StoredGroup {
        generation_id: 4,
        protocol_type: Some("consumer".into()),
        protocol_name: Some("range".into()),
        leader: Some("a".into()),
        is_completing: true,
        since: 7,
        members: vec![member("a"), member("b")],
    }
}

fn consumer_rows(changes: &[Change]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let rows = changes.iter().map(Change::row);
    rows.map(|row| (consumer_group_key("g", &row), row.value.expect("a value"))).collect()
}

#[test]
fn damaged_rows_of_groups_refuse_the_start_and_are_named() {
    let classic = stored_group().encode();
    let configs = GroupConfigs(texts(&[("consumer.session.timeout.ms", "50000")])).encode();
    let epochs = Change::Group(Some(GroupEpochs { group_epoch: 3, assignment_epoch: 3, metadata_hash: 1 }));
    let consumer = consumer_rows(&[epochs]).remove(0);
    assert_eq!(refusal(&[(group_key("g"), classic.clone())]), None);
    assert_eq!(refusal(&[(group_configs_key("g"), configs.clone())]), None);
    assert_eq!(refusal(std::slice::from_ref(&consumer)), None);

    let rows = [("group", group_key("g"), classic), ("group", consumer.0, consumer.1)];
    let rows = rows.into_iter().chain([("group", group_configs_key("g"), configs)]);
    for (name, key, value) in rows {
        for length in 0..value.len() {
            let refused = refusal(&[(key.clone(), value[..length].to_vec())]).expect("not made up");
            assert!(refused.contains(name), "{refused}");
        }
        let longer = [value.as_slice(), &[0]].concat();
        assert!(refusal(&[(key.clone(), longer)]).is_some(), "bytes after the last");
        let newer = [&[u8::MAX], &value[1..]].concat();
        assert!(refusal(&[(key.clone(), newer)]).is_some(), "of a later version");
    }
    // Names that are no text.
    for prefix in [groups_prefix(), consumer_groups_prefix(), group_configs_prefix()] {
        let key = [prefix.as_slice(), &[0xff, 0xff, 0xff, 0xff, 0xff]].concat();
        assert!(refusal(&[(key, stored_group().encode())]).is_some());
    }
}

#[test]
fn rows_of_groups_that_contradict_each_other_refuse_the_start() {
    let mut twice = stored_group();
    twice.members[1].member_id = "a".into();
    assert!(refusal(&[(group_key("g"), twice.encode())]).is_some(), "a member twice");

    let member = |id: &str| Change::Member(id.into(), Some(MemberMetadata::default()));
    let partition = TopicIdPartition { topic_id: Uuid::from_u128(1), partition: 0 };
    let owning = |id: &str| {
        let assigned = [(partition, 1)].into();
        Change::Current(id.into(), Some(CurrentAssignment { assigned, ..CurrentAssignment::default() }))
    };
    assert_eq!(refusal(&consumer_rows(&[member("m"), owning("m")])), None);
    assert!(refusal(&consumer_rows(&[owning("m")])).is_some(), "something of nobody");
    let both = [member("m"), owning("m"), member("n"), owning("n")];
    assert!(refusal(&consumer_rows(&both)).is_some(), "a partition with two owners");
}
