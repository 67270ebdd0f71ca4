use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestTopic;
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, ConsumerGroupHeartbeatRequest, EndTxnRequest, JoinGroupRequest,
    OffsetCommitRequest, OffsetFetchRequest,
};

use super::*;
use crate::api::testing::{TestBroker, text, topic_name};

/// Generation, member and instance as a request names them.
type Member<'a> = (i32, &'a str, Option<&'a str>);

const NOBODY: Member<'static> = (-1, "", None);

fn request(producer: (i64, i16), member: Member<'_>, offsets: &[(i32, i64)]) -> TxnOffsetCommitRequest {
    let partitions = offsets.iter().map(|(index, offset)| {
        TxnOffsetCommitRequestPartition::default().with_partition_index(*index).with_committed_offset(*offset)
    });
    let topic = TxnOffsetCommitRequestTopic::default().with_name(topic_name("t")).with_partitions(partitions.collect());
    TxnOffsetCommitRequest::default()
        .with_transactional_id(text("payments").into())
        .with_group_id(text("group").into())
        .with_producer_id(producer.0.into())
        .with_producer_epoch(producer.1)
        .with_generation_id(member.0)
        .with_member_id(text(member.1))
        .with_group_instance_id(member.2.map(text))
        .with_topics(vec![topic])
}

async fn stage(broker: &TestBroker, version: i16, request: &TxnOffsetCommitRequest) -> Vec<i16> {
    let answer = broker.call(version, request).await;
    answer.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code).collect()
}

async fn add_group(broker: &TestBroker, producer: (i64, i16)) {
    let request = AddOffsetsToTxnRequest::default()
        .with_transactional_id(text("payments").into())
        .with_producer_id(producer.0.into())
        .with_producer_epoch(producer.1)
        .with_group_id(text("group").into());
    assert_eq!(broker.call(3, &request).await.error_code, 0);
}

async fn end(broker: &TestBroker, version: i16, producer: (i64, i16), committed: bool) -> (i16, (i64, i16)) {
    let request = EndTxnRequest::default()
        .with_transactional_id(text("payments").into())
        .with_producer_id(producer.0.into())
        .with_producer_epoch(producer.1)
        .with_committed(committed);
    let answer = broker.call(version, &request).await;
    (answer.error_code, (answer.producer_id.0, answer.producer_epoch))
}

/// Offset and code of the first partition.
async fn fetch(broker: &TestBroker, require_stable: bool) -> (i64, i16) {
    let topic = OffsetFetchRequestTopics::default().with_name(topic_name("t")).with_partition_indexes(vec![0]);
    let group = OffsetFetchRequestGroup::default().with_group_id(text("group").into()).with_topics(Some(vec![topic]));
    let request = OffsetFetchRequest::default().with_groups(vec![group]).with_require_stable(require_stable);
    let answer = broker.call(9, &request).await;
    let partition = &answer.groups[0].topics[0].partitions[0];
    (partition.committed_offset, partition.error_code)
}

async fn commit_plainly(broker: &TestBroker, offset: i64) {
    let partition = OffsetCommitRequestPartition::default().with_partition_index(0).with_committed_offset(offset);
    let topic = OffsetCommitRequestTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default().with_group_id(text("group").into()).with_topics(vec![topic]);
    let answer = broker.call(9, &request).await;
    assert_eq!(answer.topics[0].partitions[0].error_code, 0);
}

async fn started() -> (TestBroker, (i64, i16)) {
    let broker = TestBroker::start();
    broker.create_topic("t", 2).await;
    let producer = broker.init_transactions("payments").await;
    (broker, producer)
}

#[tokio::test]
async fn offsets_count_with_the_commit_and_are_unstable_until_then() {
    for version in 0..=5 {
        let (broker, mut producer) = started().await;
        let end_version = if version < 5 { 3 } else { 5 };
        for (offset, committed, expected) in [(5, true, 5), (9, false, 5), (7, true, 7)] {
            if version < 5 {
                add_group(&broker, producer).await;
            }
            let before = fetch(&broker, true).await.0;
            assert_eq!(stage(&broker, version, &request(producer, NOBODY, &[(0, offset)])).await, [0]);
            assert_eq!(fetch(&broker, true).await, (-1, 88), "version {version}");
            assert_eq!(fetch(&broker, false).await, (before, 0), "version {version}");
            let (error, next) = end(&broker, end_version, producer, committed).await;
            assert_eq!(error, 0);
            if version >= 5 {
                producer = next;
            }
            assert_eq!(fetch(&broker, true).await, (expected, 0), "version {version}");
        }
    }
}

#[tokio::test]
async fn later_plain_commit_beats_staged_offset() {
    let (broker, producer) = started().await;
    commit_plainly(&broker, 1).await;
    assert_eq!(stage(&broker, 5, &request(producer, NOBODY, &[(0, 5)])).await, [0]);
    commit_plainly(&broker, 3).await;
    assert_eq!(end(&broker, 5, producer, true).await.0, 0);
    assert_eq!(fetch(&broker, true).await, (3, 0));
}

#[tokio::test]
async fn offsets_outside_a_transaction_are_refused_in_the_words_of_the_version() {
    let (broker, producer) = started().await;
    for (version, error) in [(0, 48), (2, 48), (3, 48), (4, 120)] {
        assert_eq!(stage(&broker, version, &request(producer, NOBODY, &[(0, 5)])).await, [error], "{version}");
    }
    assert_eq!(broker.describe("payments").await.transaction_state.as_str(), "Empty");
    assert_eq!(stage(&broker, 5, &request(producer, NOBODY, &[(0, 5), (2, 1)])).await, [0, 3]);
    assert_eq!(broker.describe("payments").await.transaction_state.as_str(), "Ongoing");
}

#[tokio::test]
async fn unknown_foreign_and_fenced_producers_stage_nothing() {
    let (broker, producer) = started().await;
    for version in 0..=5 {
        let foreign = request((producer.0 + 1, producer.1), NOBODY, &[(0, 5)]);
        assert_eq!(stage(&broker, version, &foreign).await, [49], "version {version}");
        let fenced = request((producer.0, producer.1 + 1), NOBODY, &[(0, 5)]);
        assert_eq!(stage(&broker, version, &fenced).await, [47], "version {version}");
        let good = request(producer, NOBODY, &[(0, 5)]);
        let unknown = good.clone().with_transactional_id(text("refunds").into());
        assert_eq!(stage(&broker, version, &unknown).await, [49], "version {version}");
        let unnamed = good.clone().with_transactional_id(text("").into());
        assert_eq!(stage(&broker, version, &unnamed).await, [42], "version {version}");
        let ungrouped = good.with_group_id(text("").into());
        assert_eq!(stage(&broker, version, &ungrouped).await, [24], "version {version}");
    }
    assert_eq!(fetch(&broker, true).await, (-1, 0));
}

#[tokio::test]
async fn long_metadata_is_refused_for_its_partition_alone() {
    let (broker, producer) = started().await;
    let mut long = request(producer, NOBODY, &[(0, 5), (1, 6)]);
    long.topics[0].partitions[1].committed_metadata = Some(text(&"x".repeat(4097)));
    assert_eq!(stage(&broker, 5, &long).await, [0, 12]);
}

#[tokio::test]
async fn an_unknown_group_takes_offsets_of_those_who_are_no_members_of_it() {
    let (broker, producer) = started().await;
    for (member, error) in [((3, "m", None), 22), ((3, "", None), 22), (NOBODY, 0)] {
        assert_eq!(stage(&broker, 5, &request(producer, member, &[(0, 5)])).await, [error], "{member:?}");
    }
}

#[tokio::test]
async fn fenced_member_cannot_commit_transactional_offsets() {
    let (broker, producer) = started().await;
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range"));
    let join = JoinGroupRequest::default()
        .with_group_id(text("group").into())
        .with_group_instance_id(Some(text("i")))
        .with_session_timeout_ms(45_000)
        .with_rebalance_timeout_ms(60_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol]);
    let first = broker.call(5, &join).await;
    let second = broker.call(5, &join).await;
    assert_eq!((first.error_code, second.error_code), (0, 0));
    let generation = second.generation_id;
    for ((generation, member, instance), error) in [
        ((generation, first.member_id.as_str(), Some("i")), 82),
        ((generation, "stranger", None), 25),
        ((generation, second.member_id.as_str(), Some("j")), 25),
        ((generation - 1, second.member_id.as_str(), Some("i")), 22),
        ((generation + 1, second.member_id.as_str(), Some("i")), 22),
        ((generation, second.member_id.as_str(), Some("i")), 0),
    ] {
        let staged = stage(&broker, 5, &request(producer, (generation, member, instance), &[(0, 5)])).await;
        assert_eq!(staged, [error], "{generation} {member} {instance:?}");
    }
}

/// STALE_MEMBER_EPOCH is for requests that know epochs of members; these know generations.
#[tokio::test]
async fn member_of_a_consumer_group_commits_transactional_offsets_in_its_own_epoch() {
    let (broker, producer) = started().await;
    let join = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(text("group").into())
        .with_member_id(text("m"))
        .with_rebalance_timeout_ms(60_000)
        .with_subscribed_topic_names(Some(vec![topic_name("t")]))
        .with_topic_partitions(Some(Vec::new()));
    let joined = broker.call(1, &join).await;
    assert_eq!(joined.error_code, 0, "{joined:?}");
    let epoch = joined.member_epoch;
    for ((epoch, member), error) in
        [((epoch, "stranger"), 25), ((epoch + 1, "m"), 22), ((epoch, "m"), 0), ((-1, ""), 0)]
    {
        for version in [3, 5] {
            if version == 3 {
                add_group(&broker, producer).await;
            }
            let staged = stage(&broker, version, &request(producer, (epoch, member, None), &[(0, 5)])).await;
            assert_eq!(staged, [error], "{epoch} {member} version {version}");
        }
    }
}

#[tokio::test]
async fn staged_offsets_do_not_block_readers_after_abort() {
    let (broker, producer) = started().await;
    assert_eq!(stage(&broker, 5, &request(producer, NOBODY, &[(0, 5)])).await, [0]);
    // A newer instance: the old one's transaction is aborted.
    let init = kafka_protocol::messages::InitProducerIdRequest::default()
        .with_transactional_id(Some(text("payments").into()))
        .with_transaction_timeout_ms(60_000);
    assert_eq!(broker.call(5, &init).await.error_code, 51);
    assert_eq!(fetch(&broker, true).await, (-1, 0));
    assert_eq!(broker.call(5, &init).await.error_code, 0);
    assert_eq!(stage(&broker, 5, &request(producer, NOBODY, &[(0, 5)])).await, [47], "the old one is fenced");
}

#[tokio::test]
async fn an_end_and_its_retry_answer_the_same_and_others_are_refused() {
    let (broker, producer) = started().await;
    let topic = AddPartitionsToTxnTopic::default().with_name(topic_name("t")).with_partitions(vec![0]);
    let add = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(text("payments").into())
        .with_v3_and_below_producer_id(producer.0.into())
        .with_v3_and_below_producer_epoch(producer.1)
        .with_v3_and_below_topics(vec![topic]);
    assert_eq!(end(&broker, 3, producer, true).await.0, 48, "nothing to commit");
    broker.call(3, &add).await;
    for version in 0..=4 {
        assert_eq!(end(&broker, version, producer, true).await, (0, (-1, -1)), "and its retry in version {version}");
        assert_eq!(end(&broker, version, producer, false).await.0, 48, "version {version}");
    }
    broker.call(3, &add).await;
    let next = end(&broker, 5, producer, true).await;
    assert_eq!(next, (0, (producer.0, producer.1 + 1)));
    assert_eq!(end(&broker, 5, producer, true).await, next, "the retry");
    assert_eq!(end(&broker, 5, producer, false).await, (48, (-1, -1)));
    for (version, error) in [(0, 47), (1, 47), (2, 90), (4, 90)] {
        assert_eq!(end(&broker, version, producer, true).await.0, error, "version {version}");
    }
    assert_eq!(end(&broker, 5, (producer.0, producer.1 + 2), true).await.0, 90);
    assert_eq!(end(&broker, 5, (producer.0 + 1, producer.1), true).await.0, 49);
    let unnamed = EndTxnRequest::default().with_producer_id(producer.0.into()).with_producer_epoch(producer.1);
    assert_eq!(broker.call(5, &unnamed).await.error_code, 42);
}
