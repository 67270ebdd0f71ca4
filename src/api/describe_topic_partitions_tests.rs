use kafka_protocol::messages::describe_topic_partitions_request::{Cursor as From, TopicRequest};

use super::*;
use crate::api::testing::TestBroker;

/// Topics, the limit, the cursor; `name:error:partitions` per topic answered, and the cursor.
async fn page(
    broker: &TestBroker,
    topics: &[&str],
    limit: i32,
    from: Option<(&str, i32)>,
) -> (Vec<String>, Option<(String, i32)>) {
    let named = |name: &str| TopicName(StrBytes::from_string(name.to_owned()));
    let cursor =
        from.map(|(topic, partition)| From::default().with_topic_name(named(topic)).with_partition_index(partition));
    let request = DescribeTopicPartitionsRequest::default()
        .with_topics(topics.iter().map(|topic| TopicRequest::default().with_name(named(topic))).collect())
        .with_response_partition_limit(limit)
        .with_cursor(cursor);
    let answer = broker.call(0, &request).await;
    let topics = answer.topics.iter().map(|topic| {
        let indexes: Vec<_> = topic.partitions.iter().map(|of| of.partition_index.to_string()).collect();
        format!("{}:{}:{}", topic.name.as_ref().expect("a name").as_str(), topic.error_code, indexes.join(","))
    });
    let next = answer.next_cursor.map(|next| (next.topic_name.to_string(), next.partition_index));
    (topics.collect(), next)
}

/// A case of [`page`], and its answer.
type Case<'a> = (&'a [&'a str], i32, Option<(&'a str, i32)>, &'a [&'a str], Option<(&'a str, i32)>);

/// What a real Kafka 4.3.1 answered.
#[tokio::test]
async fn partitions_come_in_pages_sorted_by_topic() {
    let broker = TestBroker::start();
    broker.create_topic("bb", 5).await;
    broker.create_topic("aa", 3).await;
    let named: &[&str] = &["bb", "aa"];
    let cases: [Case<'_>; 13] = [
        (&[], 2000, None, &["aa:0:0,1,2", "bb:0:0,1,2,3,4"], None),
        (
            &["bb", "aa", "no", "..", "a b", "aa"],
            2000,
            None,
            &["..:17:", "a b:17:", "aa:0:0,1,2", "bb:0:0,1,2,3,4", "no:3:"],
            None,
        ),
        (named, 2, None, &["aa:0:0,1"], Some(("aa", 2))),
        (named, 3, None, &["aa:0:0,1,2"], Some(("bb", 0))),
        (named, 0, None, &["aa:0:0"], Some(("aa", 1))),
        (named, -1, None, &["aa:0:0"], Some(("aa", 1))),
        (named, 2, Some(("aa", 2)), &["aa:0:2", "bb:0:0"], Some(("bb", 1))),
        (named, 2, Some(("aa", 3)), &["aa:0:", "bb:0:0,1"], Some(("bb", 2))),
        (named, 2, Some(("bb", 1)), &["bb:0:1,2"], Some(("bb", 3))),
        (named, 2, Some(("cc", 1)), &["bb:42:", "aa:42:"], None),
        (named, 2, Some(("aa", -1)), &["bb:42:", "aa:42:"], None),
        (&[], 2, Some(("ab", 1)), &["bb:0:0,1"], Some(("bb", 2))),
        (&["no", "bb"], 4, Some(("no", 1)), &["no:3:"], None),
    ];
    for (topics, limit, from, expected, next) in cases {
        let (answered, cursor) = page(&broker, topics, limit, from).await;
        assert_eq!(answered, expected, "{topics:?} {limit} {from:?}");
        assert_eq!(cursor, next.map(|(name, index)| (name.to_owned(), index)), "{topics:?} {limit} {from:?}");
    }
}

#[tokio::test]
async fn the_broker_may_allow_fewer_partitions_than_are_asked_for() {
    let broker = TestBroker::with_settings(&[("max.request.partition.size.limit", "2")]);
    broker.create_topic("a", 3).await;
    assert_eq!(page(&broker, &[], 2000, None).await, (vec!["a:0:0,1".to_owned()], Some(("a".to_owned(), 2))));
}
