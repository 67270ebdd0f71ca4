use kafka_protocol::messages::GroupId;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};

use super::*;
use crate::api::testing::{TestBroker, text, topic_name};

fn partition(index: i32, offset: i64, metadata: Option<&str>) -> OffsetCommitRequestPartition {
    OffsetCommitRequestPartition::default()
        .with_partition_index(index)
        .with_committed_offset(offset)
        .with_committed_metadata(metadata.map(text))
}

fn commit(group: &str, topic: &str, partitions: Vec<OffsetCommitRequestPartition>) -> OffsetCommitRequest {
    let topic = OffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(partitions);
    OffsetCommitRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_generation_id_or_member_epoch(-1)
        .with_retention_time_ms(-1)
        .with_topics(vec![topic])
}

fn errors(answer: &OffsetCommitResponse) -> Vec<i16> {
    answer.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code).collect()
}

#[tokio::test]
async fn who_may_commit_depends_on_generation_and_group() {
    // version, group is known, generation, member id, error
    let table = "
        2  no   -1  .  0
        9  no   -1  .  0
        9  yes  -1  .  0
        9  yes  -1  m  0
        9  no   -5  m  0
        2  no    0  .  22
        8  no    3  m  22
        9  no    0  .  69
        9  no    3  m  69
        2  yes   0  .  25
        9  yes   3  m  25
    ";
    let broker = TestBroker::start();
    broker.create_topic("t", 1).await;
    assert_eq!(errors(&broker.call(8, &commit("known", "t", vec![partition(0, 1, None)])).await), [0]);
    for (number, line) in table.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate() {
        let [version, known, generation, member, expected] =
            line.split_whitespace().collect::<Vec<_>>().try_into().expect("five columns");
        let group = if known == "yes" { "known".to_owned() } else { format!("unknown-{number}") };
        let request = commit(&group, "t", vec![partition(0, 1, None)])
            .with_generation_id_or_member_epoch(generation.parse().unwrap())
            .with_member_id(text(member.trim_matches('.')));
        let answer = broker.call(version.parse().unwrap(), &request).await;
        assert_eq!(errors(&answer), [expected.parse::<i16>().unwrap()], "{line}");
    }
}

#[tokio::test]
async fn each_partition_is_judged_for_itself() {
    let broker = TestBroker::with_settings(&[("offset.metadata.max.bytes", "4")]);
    broker.create_topic("t", 2).await;
    let request = commit(
        "g",
        "t",
        vec![
            partition(0, 1, None),
            partition(2, 1, None),
            partition(-1, 1, None),
            partition(1, 1, Some("12345")),
            partition(1, 1, Some("äöü€")),
            partition(1, -7, Some("")),
        ],
    );
    for version in 2..=9 {
        assert_eq!(errors(&broker.call(version, &request).await), [0, 3, 3, 12, 0, 0], "version {version}");
        assert_eq!(errors(&broker.call(version, &commit("g", "unknown", vec![partition(0, 1, None)])).await), [3]);
        assert!(errors(&broker.call(version, &commit("g", "t", vec![])).await).is_empty());
    }
}

#[tokio::test]
async fn unknown_partitions_are_named_before_the_group_is_refused() {
    let broker = TestBroker::start();
    broker.create_topic("t", 1).await;
    let request = commit("g", "t", vec![partition(0, 1, None), partition(1, 1, None)]);
    let request = request.with_generation_id_or_member_epoch(1);
    assert_eq!(errors(&broker.call(8, &request).await), [22, 3]);
    assert_eq!(broker.cx.broker.offsets.all("g"), None);
}

#[tokio::test]
async fn what_is_committed_is_kept_as_given() {
    let broker = TestBroker::start();
    let id = broker.create_topic("t", 1).await.partitions[0].id;
    assert_eq!(errors(&broker.call(4, &commit("", "t", vec![partition(0, 42, Some("own text"))])).await), [0]);
    let kept = broker.cx.broker.offsets.get("", id).expect("committed");
    assert_eq!((kept.offset, kept.metadata.as_str(), kept.leader_epoch.0), (42, "own text", -1));
    assert_eq!(kept.expire_timestamp, -1);

    let last = partition(0, 43, None).with_committed_leader_epoch(5);
    let request = commit("", "t", vec![partition(0, 42, Some("first")), last]);
    assert_eq!(errors(&broker.call(6, &request).await), [0, 0]);
    let kept = broker.cx.broker.offsets.get("", id).expect("committed");
    assert_eq!((kept.offset, kept.metadata.as_str(), kept.leader_epoch.0), (43, "", 5));

    let request = commit("", "t", vec![partition(0, 44, None)]).with_retention_time_ms(1000);
    assert_eq!(errors(&broker.call(4, &request).await), [0]);
    let kept = broker.cx.broker.offsets.get("", id).expect("committed");
    assert_eq!(kept.expire_timestamp, kept.commit_timestamp + 1000);
}

#[tokio::test]
async fn group_id_longer_than_a_protocol_string_is_refused() {
    let broker = TestBroker::start();
    broker.create_topic("t", 1).await;
    let longest = "g".repeat(32_767);
    assert_eq!(errors(&broker.call(9, &commit(&longest, "t", vec![partition(0, 1, None)])).await), [0]);
    let too_long = "g".repeat(32_768);
    assert_eq!(errors(&broker.call(9, &commit(&too_long, "t", vec![partition(0, 1, None)])).await), [24]);
    assert_eq!(errors(&broker.call(9, &commit("g", "t", vec![partition(0, 1, None)])).await), [0]);
}

#[tokio::test]
async fn offsets_beyond_the_memory_for_them_are_refused_one_by_one() {
    let broker = TestBroker::with_settings(&[("einmal.group.offsets.bytes.max", "300")]);
    broker.create_topic("t", 2).await;
    let both = vec![partition(0, 1, None), partition(1, 1, None)];
    let first = errors(&broker.call(9, &commit("g", "t", both)).await);
    assert_eq!(first, [0, ErrorCode::INVALID_COMMIT_OFFSET_SIZE.0]);
    assert_eq!(errors(&broker.call(9, &commit("g", "t", vec![partition(0, 2, None)])).await), [0]);
}
