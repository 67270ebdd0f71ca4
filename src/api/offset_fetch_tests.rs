use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};

use super::*;
use crate::api::testing::{TestBroker, text, topic_name};
use crate::engine::command::OffsetToCommit;
use crate::types::LeaderEpoch;

/// A broker with topics `a` and `b` of three partitions; group `g` has committed 7 for a-1 and 9 for b-0.
async fn broker() -> TestBroker {
    let broker = TestBroker::start();
    let (a, b) = (broker.create_topic("a", 3).await, broker.create_topic("b", 3).await);
    let offset = |partition, offset| OffsetToCommit {
        partition,
        committed: CommittedOffset {
            offset,
            leader_epoch: LeaderEpoch(4),
            metadata: format!("at {offset}"),
            commit_timestamp: 0,
            expire_timestamp: -1,
        },
    };
    let offsets = vec![offset(a.partitions[1].id, 7), offset(b.partitions[0].id, 9)];
    broker.cx.broker.engine.commit_offsets("g".to_owned(), offsets).await.expect("the engine runs");
    broker
}

type Asked<'a> = Option<&'a [(&'a str, &'a [i32])]>;

fn of_one_group(group: &str, asked: Asked<'_>) -> OffsetFetchRequest {
    let topic = |(name, indexes): &(&str, &[i32])| {
        OffsetFetchRequestTopic::default().with_name(topic_name(name)).with_partition_indexes(indexes.to_vec())
    };
    OffsetFetchRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_topics(asked.map(|asked| asked.iter().map(topic).collect()))
}

fn of_many_groups(asked: &[(&str, Asked<'_>)]) -> OffsetFetchRequest {
    let topic = |(name, indexes): &(&str, &[i32])| {
        OffsetFetchRequestTopics::default().with_name(topic_name(name)).with_partition_indexes(indexes.to_vec())
    };
    let group = |(group, asked): &(&str, Asked<'_>)| {
        OffsetFetchRequestGroup::default()
            .with_group_id(GroupId(text(group)))
            .with_topics(asked.map(|asked| asked.iter().map(topic).collect()))
    };
    OffsetFetchRequest::default().with_groups(asked.iter().map(group).collect())
}

/// `topic-partition=offset/epoch/text`, all in one line.
fn show_one(answer: &OffsetFetchResponse) -> String {
    assert_eq!(answer.error_code, 0);
    let topics = answer.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |of| (&topic.name, of)));
    let shown = topics.map(|(name, of)| {
        assert_eq!(of.error_code, 0);
        let text = of.metadata.as_ref().expect("never null");
        let (index, offset, epoch) = (of.partition_index, of.committed_offset, of.committed_leader_epoch);
        format!("{}-{index}={offset}/{epoch}/{}", name.as_str(), text.as_str())
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// As [`show_one`], with the group before each.
fn show_many(answer: &OffsetFetchResponse) -> Vec<String> {
    let shown = answer.groups.iter().map(|group| {
        assert_eq!(group.error_code, 0);
        let topics = group.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |of| (&topic.name, of)));
        let partitions = topics.map(|(name, of)| {
            let text = of.metadata.as_ref().expect("never null");
            format!("{}-{}={}/{}", name.as_str(), of.partition_index, of.committed_offset, text.as_str())
        });
        format!("{}: {}", group.group_id.as_str(), partitions.collect::<Vec<_>>().join(", "))
    });
    shown.collect()
}

#[tokio::test]
async fn what_nobody_committed_is_minus_one_and_no_error() {
    let broker = broker().await;
    let asked: Asked<'_> = Some(&[("a", &[0, 1, 9, -1]), ("unknown", &[0])]);
    for version in 1..=7 {
        // Older versions have no leader epoch.
        let epoch = if version >= 5 { 4 } else { -1 };
        let answer = broker.call(version, &of_one_group("g", asked)).await;
        let expected = format!("a-0=-1/-1/, a-1=7/{epoch}/at 7, a-9=-1/-1/, a--1=-1/-1/, unknown-0=-1/-1/");
        assert_eq!(show_one(&answer), expected, "version {version}");
        let answer = broker.call(version, &of_one_group("nobody", Some(&[("a", &[1])]))).await;
        assert_eq!(show_one(&answer), "a-1=-1/-1/", "version {version}");
    }
}

#[tokio::test]
async fn null_topics_are_all_and_empty_topics_none() {
    let broker = broker().await;
    for version in 2..=7 {
        let all = broker.call(version, &of_one_group("g", None)).await;
        let epoch = if version >= 5 { 4 } else { -1 };
        assert_eq!(show_one(&all), format!("a-1=7/{epoch}/at 7, b-0=9/{epoch}/at 9"), "version {version}");
        assert_eq!(show_one(&broker.call(version, &of_one_group("g", Some(&[]))).await), "");
        assert_eq!(show_one(&broker.call(version, &of_one_group("nobody", None)).await), "");
    }
}

#[tokio::test]
async fn many_groups_are_answered_side_by_side() {
    let broker = broker().await;
    let request = of_many_groups(&[("g", None), ("nobody", None), ("", Some(&[("b", &[0])]))]);
    for version in 8..=9 {
        let answer = broker.call(version, &request).await;
        assert_eq!(show_many(&answer), ["g: a-1=7/at 7, b-0=9/at 9", "nobody: ", ": b-0=-1/"], "version {version}");
    }
}

#[tokio::test]
async fn what_is_named_again_is_answered_once() {
    let broker = broker().await;
    let twice: Asked<'_> = Some(&[("a", &[1, 1, 0]), ("a", &[1, 2])]);
    assert_eq!(show_one(&broker.call(5, &of_one_group("g", twice)).await), "a-1=7/4/at 7, a-0=-1/-1/, a-2=-1/-1/");
    let answer = broker.call(8, &of_many_groups(&[("g", None), ("g", None)])).await;
    assert_eq!(show_many(&answer), ["g: a-1=7/at 7, b-0=9/at 9", "g: "]);
}

#[tokio::test]
async fn each_entry_of_a_group_is_answered() {
    let broker = broker().await;
    let (a, b): (Asked<'_>, Asked<'_>) = (Some(&[("a", &[1])]), Some(&[("b", &[0])]));
    for version in 8..=9 {
        let answer = broker.call(version, &of_many_groups(&[("g", a), ("g", b), ("h", a)])).await;
        assert_eq!(show_many(&answer), ["g: a-1=7/at 7", "g: b-0=9/at 9", "h: a-1=-1/"], "version {version}");
        let answer = broker.call(version, &of_many_groups(&[("g", a), ("g", None), ("g", b)])).await;
        assert_eq!(show_many(&answer), ["g: a-1=7/at 7", "g: b-0=9/at 9", "g: "], "version {version}");
    }
}

#[tokio::test]
async fn offsets_of_a_deleted_topic_are_gone_also_when_it_comes_back() {
    let broker = broker().await;
    let named = vec![crate::engine::command::TopicRef::Name("a".to_owned())];
    broker.cx.broker.engine.delete_topics(named).await.expect("the engine runs").remove(0).expect("deleted");
    broker.create_topic("a", 3).await;
    assert_eq!(show_one(&broker.call(7, &of_one_group("g", None)).await), "b-0=9/4/at 9");
    assert_eq!(show_one(&broker.call(7, &of_one_group("g", Some(&[("a", &[1])]))).await), "a-1=-1/-1/");
}
