use kafka_protocol::messages::delete_records_request::DeleteRecordsTopic;

use super::*;
use crate::api::testing::{TestBroker, batch, topic_name};

fn topic(name: &str, partitions: &[(i32, i64)]) -> DeleteRecordsTopic {
    let partitions = partitions
        .iter()
        .map(|(index, offset)| DeleteRecordsPartition::default().with_partition_index(*index).with_offset(*offset));
    DeleteRecordsTopic::default().with_name(topic_name(name)).with_partitions(partitions.collect())
}

/// `topic-partition error low watermark`.
fn show(answer: &DeleteRecordsResponse) -> Vec<String> {
    let shown = answer.topics.iter().flat_map(|topic| {
        topic
            .partitions
            .iter()
            .map(|of| format!("{}-{} {} {}", topic.name.as_str(), of.partition_index, of.error_code, of.low_watermark))
    });
    shown.collect()
}

#[tokio::test]
async fn the_log_start_moves_up_to_the_high_watermark_and_never_back() {
    let broker = TestBroker::start();
    for version in 0..=2 {
        let name = format!("t{version}");
        let created = broker.create_topic(&name, 1).await;
        broker.append(&created, 0, batch(1, &["a", "b", "c", "d"])).await;
        for (before, error, low_watermark) in
            [(0, 0, 0), (2, 0, 2), (1, 0, 2), (2, 0, 2), (5, 1, -1), (-2, 1, -1), (-1, 0, 4), (3, 0, 4)]
        {
            let request = DeleteRecordsRequest::default().with_topics(vec![topic(&name, &[(0, before)])]);
            let expected = format!("{name}-0 {error} {low_watermark}");
            assert_eq!(show(&broker.call(version, &request).await), [expected], "before {before}");
        }
        assert_eq!(created.partitions[0].offsets().log_start, 4);
    }
}

#[tokio::test]
async fn each_partition_is_judged_for_itself_in_the_order_asked() {
    let broker = TestBroker::start();
    broker.create_topic("t", 100).await;
    broker.create_topic_with("compacted", 1, &[("cleanup.policy", "compact")]).await;
    broker.create_topic_with("both", 1, &[("cleanup.policy", "compact,delete")]).await;
    let all: Vec<_> = (0..100).map(|index| (index, -1)).collect();
    broker.create_topic_with("__consumer_offsets", 1, &[("cleanup.policy", "compact")]).await;
    let internal = vec![topic("__consumer_offsets", &[(0, 0), (1, 0)])];
    let shown = show(&broker.call(2, &DeleteRecordsRequest::default().with_topics(internal)).await);
    assert_eq!(shown, ["__consumer_offsets-0 17 -1", "__consumer_offsets-1 3 -1"]);
    let topics = vec![
        topic("unknown", &[(0, 0)]),
        topic("compacted", &[(0, 0), (1, 0)]),
        topic("both", &[(0, 0)]),
        topic("t", &all),
        topic("t", &[(100, 0), (-1, 0)]),
    ];
    let shown = show(&broker.call(2, &DeleteRecordsRequest::default().with_topics(topics)).await);
    assert_eq!(shown[..4], ["unknown-0 3 -1", "compacted-0 44 -1", "compacted-1 3 -1", "both-0 0 0"]);
    let expected: Vec<_> = (0..100).map(|index| format!("t-{index} 0 0")).collect();
    assert_eq!(shown[4..104], expected);
    assert_eq!(shown[104..], ["t-100 3 -1", "t--1 3 -1"]);
}
