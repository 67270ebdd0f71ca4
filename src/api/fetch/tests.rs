use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use kafka_protocol::messages::FetchResponse as Response;
use kafka_protocol::messages::fetch_request::{FetchPartition as Part, FetchTopic as Named, ForgottenTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::protocol::StrBytes;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::*;
use crate::api::testing::{TestBroker, batch, decode, produce_request};
use crate::api::{Pending, fetch_memory};
use crate::engine::command::TopicRef;
use crate::metrics::{TAIL_CACHE_HITS_TOTAL, TAIL_CACHE_MISSES_TOTAL};
use crate::types::Uuid;

pub const VERSIONS: std::ops::RangeInclusive<i16> = 4..=18;

/// Long enough never to end a test that works.
pub const FOREVER_MS: i32 = i32::MAX;

pub fn part(index: i32, offset: i64) -> Part {
    Part::default().with_partition(index).with_fetch_offset(offset).with_partition_max_bytes(1 << 20)
}

fn named(name: &str, id: Uuid, version: i16, parts: Vec<Part>) -> Named {
    let named = Named::default().with_partitions(parts);
    if version >= TOPIC_ID_FROM {
        named.with_topic_id(id)
    } else {
        named.with_topic(StrBytes::from_string(name.to_owned()).into())
    }
}

/// Without a session, waiting for nothing.
pub fn request(topic: &Topic, version: i16, parts: Vec<Part>) -> FetchRequest {
    FetchRequest::default().with_min_bytes(1).with_max_bytes(1 << 20).with_topics(vec![named(
        &topic.name,
        topic.id,
        version,
        parts,
    )])
}

pub fn parts(answer: &Response) -> Vec<&PartitionData> {
    answer.responses.iter().flat_map(|topic| &topic.partitions).collect()
}

fn errors(answer: &Response) -> Vec<i16> {
    parts(answer).iter().map(|part| part.error_code).collect()
}

pub fn sizes(answer: &Response) -> Vec<usize> {
    parts(answer).iter().map(|part| part.records.as_ref().map_or(0, |records| records.len())).collect()
}

/// Lets it run as far as it can.
pub async fn is_pending(pending: &mut Pending) -> bool {
    poll_fn(|cx| Poll::Ready(pending.as_mut().poll(cx).is_pending())).await
}

/// Parks: the first poll finds nothing to answer.
pub async fn parked(broker: &TestBroker, version: i16, request: FetchRequest) -> Pending {
    let mut pending = broker.send(version, &request);
    assert!(is_pending(&mut pending).await, "answered at once");
    pending
}

/// The answer of a parked request that something has woken.
pub async fn woken(version: i16, pending: Pending) -> Response {
    let answer = tokio::time::timeout(Duration::from_secs(20), pending).await.expect("woken");
    decode::<FetchRequest>(version, answer.unwrap().unwrap())
}

#[tokio::test]
async fn batches_come_back_as_they_were_sent_in_every_version_from_memory_and_from_the_store() {
    for tail_cache_bytes in ["33554432", "0"] {
        let broker = TestBroker::with_settings(&[("einmal.tail.cache.bytes", tail_cache_bytes)]);
        let topic = broker.create_topic("t", 1).await;
        let mut sent = Vec::new();
        for version in 3..=13 {
            let batch = batch(1000, &["a", &"b".repeat(version as usize)]);
            let answer = broker.call(version, &produce_request(&topic, -1, &[(0, batch.clone())])).await;
            let answer = &answer.responses[0].partition_responses[0];
            assert_eq!((answer.error_code, answer.base_offset), (0, 2 * sent.len() as i64), "Produce {version}");
            sent.push(batch);
        }
        for version in VERSIONS {
            let answer = broker.call(version, &request(&topic, version, vec![part(0, 0)])).await;
            let part = parts(&answer)[0].clone();
            assert_eq!((part.error_code, part.high_watermark, part.last_stable_offset), (0, 22, 22), "{version}");
            assert_eq!(part.log_start_offset, if version >= 5 { 0 } else { -1 });
            let mut records = part.records.unwrap();
            for (number, batch) in sent.iter().enumerate() {
                let stored = records.split_to(batch.len());
                assert_eq!(stored[..8], (2 * number as i64).to_be_bytes(), "base offset");
                assert_eq!(stored[8..12], batch[8..12], "length");
                assert_eq!(stored[16..], batch[16..], "all after the leader epoch");
            }
            assert!(records.is_empty());
        }
    }
}

#[tokio::test]
async fn topics_and_partitions_that_are_not_there_are_told_by_name_and_by_id() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 1).await;
    for version in VERSIONS {
        let mut request = request(&topic, version, vec![part(0, 0), part(1, 0), part(-1, 0)]);
        request.topics.push(named("u", Uuid::from_u128(7), version, vec![part(0, 0)]));
        let unknown = if version >= TOPIC_ID_FROM { 100 } else { 3 };
        assert_eq!(errors(&broker.call(version, &request).await), [0, 3, 3, unknown], "version {version}");
    }
}

#[tokio::test]
async fn name_that_no_topic_can_have_closes_the_connection() {
    let broker = TestBroker::start();
    let topics = vec![named(&"x".repeat(250), Uuid::nil(), 12, vec![part(0, 0)])];
    let answer = broker.try_call(12, &FetchRequest::default().with_topics(topics)).await;
    assert!(matches!(answer, Err(Close::Decode { .. })), "{answer:?}");
}

#[tokio::test]
async fn offsets_outside_of_the_log_are_refused_with_the_real_ones() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 1).await;
    for _ in 0..4 {
        broker.append(&topic, 0, batch(1, &["a"])).await;
    }
    broker.cx.broker.engine.delete_records(topic.partitions[0].id, 2).await.unwrap().unwrap();
    for (offset, error) in [(1, 1), (2, 0), (4, 0), (5, 1), (-1, 1)] {
        let answer = broker.call(11, &request(&topic, 11, vec![part(0, offset)])).await;
        let part = parts(&answer)[0];
        assert_eq!((part.error_code, part.high_watermark, part.log_start_offset), (error, 4, 2), "offset {offset}");
    }
}

#[tokio::test]
async fn epochs_that_are_not_ours_are_told() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 1).await;
    broker.append(&topic, 0, batch(1, &["a"])).await;
    let ours = topic.partitions[0].leader_epoch().0;
    for (epoch, error) in [(ours - 1, if ours == 0 { 0 } else { 74 }), (ours, 0), (ours + 1, 75), (-1, 0)] {
        let parts = vec![part(0, 0).with_current_leader_epoch(epoch)];
        assert_eq!(errors(&broker.call(12, &request(&topic, 12, parts)).await), [error], "epoch {epoch}");
    }
    let fetched = part(0, 1).with_last_fetched_epoch(ours + 1);
    assert_eq!(errors(&broker.call(12, &request(&topic, 12, vec![fetched])).await), [1], "an epoch of the future");
}

#[tokio::test]
async fn only_read_committed_has_an_array_of_aborted_transactions() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 1).await;
    for version in VERSIONS {
        for (isolation, expected) in [(0, None), (1, Some(0))] {
            let request = request(&topic, version, vec![part(0, 0)]).with_isolation_level(isolation);
            let answer = broker.call(version, &request).await;
            let aborted = parts(&answer)[0].aborted_transactions.as_ref().map(Vec::len);
            assert_eq!(aborted, expected, "version {version} isolation {isolation}");
        }
    }
}

#[tokio::test]
async fn who_claims_to_be_a_follower_gets_nothing() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 1).await;
    broker.append(&topic, 0, batch(1, &["a"])).await;
    let old = request(&topic, 14, vec![part(0, 0)]).with_replica_id(0.into());
    let mut new = request(&topic, 15, vec![part(0, 0)]);
    new.replica_state.replica_id = 1.into();
    for (version, request) in [(14, old), (15, new)] {
        let answer = broker.call(version, &request).await;
        assert_eq!((errors(&answer), sizes(&answer)), (vec![29], vec![0]), "version {version}");
    }
}

#[tokio::test]
async fn limits_are_kept_but_for_the_first_batch() {
    let broker = TestBroker::with_settings(&[("fetch.max.bytes", "1024")]);
    let topic = broker.create_topic("t", 3).await;
    let batch = batch(1, &["a"]);
    let size = batch.len();
    for index in [1, 2] {
        for _ in 0..3 {
            broker.append(&topic, index, batch.clone()).await;
        }
    }
    let limited = |max_bytes, part_max_bytes| {
        let parts = (0..3).map(|index| part(index, 0).with_partition_max_bytes(part_max_bytes)).collect();
        request(&topic, 12, parts).with_max_bytes(max_bytes)
    };
    let bytes = |batches: usize| (size * batches) as i32;
    for (max_bytes, part_max_bytes, expected) in [
        (i32::MAX, i32::MAX, [0, 3, 3]),
        (i32::MAX, bytes(2), [0, 2, 2]),
        (bytes(4), i32::MAX, [0, 3, 1]),
        (bytes(2), 0, [0, 1, 0]),
        (0, i32::MAX, [0, 1, 0]),
    ] {
        let answer = broker.call(12, &limited(max_bytes, part_max_bytes)).await;
        assert_eq!(sizes(&answer), expected.map(|batches| size * batches), "{max_bytes} {part_max_bytes}");
    }
}

#[tokio::test]
async fn brokers_limit_caps_the_clients() {
    let broker = TestBroker::with_settings(&[("fetch.max.bytes", "1024")]);
    let topic = broker.create_topic("t", 1).await;
    let batch = batch(1, &[&"x".repeat(500)]);
    for _ in 0..3 {
        broker.append(&topic, 0, batch.clone()).await;
    }
    let answer = broker.call(12, &request(&topic, 12, vec![part(0, 0)]).with_max_bytes(i32::MAX)).await;
    assert_eq!(sizes(&answer), [batch.len()]);
}

#[tokio::test]
async fn parked_fetch_is_woken_by_an_append_and_not_by_less_than_it_waits_for() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 2).await;
    let batch = batch(1, &["a"]);
    let patient = request(&topic, 13, vec![part(0, 0), part(1, 0)])
        .with_max_wait_ms(FOREVER_MS)
        .with_min_bytes(batch.len() as i32 + 1);
    let mut pending = parked(&broker, 13, patient).await;
    broker.append(&topic, 1, batch.clone()).await;
    assert!(is_pending(&mut pending).await, "one batch is not enough");
    broker.append(&topic, 0, batch.clone()).await;
    assert_eq!(sizes(&woken(13, pending).await), [batch.len(), batch.len()]);
}

/// Reads of the log so far, by the metrics that count them.
fn reads(metrics: &PrometheusHandle) -> u64 {
    let told = metrics.render();
    let counts = [TAIL_CACHE_HITS_TOTAL, TAIL_CACHE_MISSES_TOTAL].map(|name| {
        let line = told.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        line.unwrap_or(0)
    });
    counts.iter().sum()
}

#[tokio::test]
async fn parked_fetch_reads_once_more_when_there_is_enough_however_often_it_is_woken() {
    for (tail_cache_bytes, isolation) in [("33554432", 0), ("0", 1)] {
        let recorder = PrometheusBuilder::new().build_recorder();
        let start = || TestBroker::with_settings(&[("einmal.tail.cache.bytes", tail_cache_bytes)]);
        let broker = metrics::with_local_recorder(&recorder, start);
        let metrics = recorder.handle();
        let topic = broker.create_topic("t", 2).await;
        let batch = batch(1, &["a"]);
        broker.append(&topic, 0, batch.clone()).await;
        let patient = request(&topic, 13, vec![part(0, 0), part(1, 0)])
            .with_max_wait_ms(FOREVER_MS)
            .with_isolation_level(isolation)
            .with_min_bytes(batch.len() as i32 * 20);
        let mut pending = broker.send(13, &patient);
        // A read from the store comes from another thread, so the first poll need not have parked it.
        while reads(&metrics) == 0 {
            assert!(is_pending(&mut pending).await);
        }
        for count in 1..19 {
            broker.append(&topic, count % 2, batch.clone()).await;
            assert!(is_pending(&mut pending).await, "{count} batches more are not enough");
        }
        assert_eq!(reads(&metrics), 1, "of the one batch at the start");
        broker.append(&topic, 0, batch.clone()).await;
        assert_eq!(sizes(&woken(13, pending).await).iter().sum::<usize>(), batch.len() * 20);
        assert_eq!(reads(&metrics), 3, "of both partitions");
    }
}

#[tokio::test]
async fn limit_of_a_partition_bounds_what_a_parked_fetch_waits_for() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 2).await;
    let batch = batch(1, &["a"]);
    let size = batch.len() as i32;
    let limited = |index| part(index, 0).with_partition_max_bytes(size);
    let patient =
        request(&topic, 13, vec![limited(0), limited(1)]).with_max_wait_ms(FOREVER_MS).with_min_bytes(size * 2);
    let mut pending = parked(&broker, 13, patient).await;
    for _ in 0..3 {
        broker.append(&topic, 0, batch.clone()).await;
        assert!(is_pending(&mut pending).await, "one partition alone cannot give enough");
    }
    broker.append(&topic, 1, batch.clone()).await;
    assert_eq!(sizes(&woken(13, pending).await), [batch.len(), batch.len()]);
}

#[tokio::test]
async fn parked_fetch_is_told_of_a_log_start_beyond_its_offset_and_of_a_new_topic_of_the_same_name() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 1).await;
    let batch = batch(1, &["a"]);
    let patient = || request(&topic, 12, vec![part(0, 0)]).with_max_wait_ms(FOREVER_MS).with_min_bytes(1 << 20);
    broker.append(&topic, 0, batch.clone()).await;
    let pending = parked(&broker, 12, patient()).await;
    broker.cx.broker.engine.delete_records(topic.partitions[0].id, 1).await.unwrap().unwrap();
    assert_eq!(errors(&woken(12, pending).await), [1]);

    broker.cx.broker.engine.delete_topics(vec![TopicRef::Name("t".into())]).await.unwrap();
    broker.create_topic("t", 1).await;
    let mut pending = parked(&broker, 12, patient()).await;
    broker.cx.broker.engine.delete_topics(vec![TopicRef::Name("t".into())]).await.unwrap();
    broker.create_topic("t", 1).await;
    assert!(!is_pending(&mut pending).await, "what it waits for is not there any more");
}

#[tokio::test]
async fn wake_up_without_news_does_not_deafen_a_parked_fetch() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 1).await;
    let patient = request(&topic, 13, vec![part(0, 0)]).with_max_wait_ms(FOREVER_MS);
    let mut pending = parked(&broker, 13, patient).await;
    // What a waiter sees that was left between the new offsets and their wake-up.
    topic.partitions[0].publish_log_start(0, 0);
    assert!(is_pending(&mut pending).await);
    broker.append(&topic, 0, batch(1, &["a"])).await;
    assert_ne!(sizes(&woken(13, pending).await), [0]);
}

#[tokio::test]
async fn parked_fetch_ends_with_its_topic_its_broker_and_its_time() {
    let broker = TestBroker::start();
    let (topic, other) = (broker.create_topic("t", 1).await, broker.create_topic("u", 1).await);
    let patient = |topic, wait| request(topic, 13, vec![part(0, 0)]).with_max_wait_ms(wait);
    let pending = parked(&broker, 13, patient(&topic, FOREVER_MS)).await;
    broker.cx.broker.engine.delete_topics(vec![TopicRef::Name("t".into())]).await.unwrap();
    assert_eq!(errors(&woken(13, pending).await), [100], "deleted");

    let pending = parked(&broker, 13, patient(&other, 1)).await;
    assert_eq!(errors(&woken(13, pending).await), [0], "out of time");

    let pending = parked(&broker, 13, patient(&other, FOREVER_MS)).await;
    broker.stop();
    assert_eq!(errors(&woken(13, pending).await), [0], "stopping");
    let answer = broker.call(13, &patient(&other, FOREVER_MS)).await;
    assert_eq!(errors(&answer), [0], "stopped");
}

#[tokio::test]
async fn one_error_answers_for_all() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 1).await;
    let patient = request(&topic, 13, vec![part(0, 0), part(5, 0)]).with_max_wait_ms(FOREVER_MS);
    assert_eq!(errors(&broker.call(13, &patient).await), [0, 3]);
    let nothing = FetchRequest::default().with_min_bytes(1).with_max_wait_ms(FOREVER_MS);
    assert_eq!(errors(&broker.call(13, &nothing).await), [] as [i16; 0]);
}

#[tokio::test]
async fn session_lists_what_changed_and_only_that() {
    for version in [7, 12, 13, 18] {
        let broker = TestBroker::start();
        let topic = broker.create_topic("t", 3).await;
        let full = request(&topic, version, (0..3).map(|index| part(index, 0)).collect()).with_session_epoch(0);
        let answer = broker.call(version, &full).await;
        let id = answer.session_id;
        assert!(id > 0 && answer.error_code == 0, "version {version}");
        assert_eq!(parts(&answer).len(), 3);

        let next = |epoch| FetchRequest::default().with_session_id(id).with_session_epoch(epoch).with_min_bytes(0);
        let answer = broker.call(version, &next(1)).await;
        assert_eq!((answer.session_id, parts(&answer).len()), (id, 0));

        broker.append(&topic, 1, batch(1, &["a"])).await;
        let answer = broker.call(version, &next(2)).await;
        assert_eq!(parts(&answer).iter().map(|part| part.partition_index).collect::<Vec<_>>(), [1]);

        let again = broker.call(version, &next(2)).await;
        assert_eq!((again.error_code, again.responses.len()), (71, 0));
        let stranger = broker.call(version, &next(3).with_session_id(id ^ 1)).await;
        assert_eq!((stranger.error_code, stranger.session_id), (70, 0));
        let other_naming = if version >= TOPIC_ID_FROM { 12 } else { 13 };
        assert_eq!(broker.call(other_naming, &next(3)).await.error_code, 106);

        let forgotten = ForgottenTopic::default().with_partitions(vec![0, 1, 2]);
        let forgotten = match version {
            TOPIC_ID_FROM.. => forgotten.with_topic_id(topic.id),
            _ => forgotten.with_topic(StrBytes::from_static_str("t").into()),
        };
        let answer = broker.call(version, &next(3).with_forgotten_topics_data(vec![forgotten])).await;
        assert_eq!((answer.error_code, answer.session_id), (0, NO_SESSION));
        assert_eq!(broker.cx.broker.fetch_sessions.count(), 0);
    }
}

#[tokio::test]
async fn hundred_thousand_partitions_are_answered() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 1).await;
    let many = request(&topic, 12, (0..100_000).map(|index| part(index, 0)).collect());
    let answer = broker.call(12, &many).await;
    assert_eq!(errors(&answer).iter().filter(|error| **error == 0).count(), 1);
    assert_eq!(answer.responses[0].partitions.len(), 100_000);
}

#[test]
fn negative_limits_count_as_none_and_the_broker_caps_the_rest() {
    let request = FetchRequest::default().with_max_bytes(-1).with_min_bytes(-5).with_max_wait_ms(-1);
    let terms = super::terms(&request, 1000);
    assert_eq!((terms.bytes_min, terms.bytes_max, terms.wait_max), (0, 0, Duration::ZERO));
    let request = FetchRequest::default().with_max_bytes(i32::MAX).with_min_bytes(i32::MAX);
    let terms = super::terms(&request, 1000);
    assert_eq!((terms.bytes_min, terms.bytes_max), (1000, 1000));
}

#[tokio::test]
async fn answers_shrink_and_wait_while_others_are_not_taken() {
    // Of it 3000 bytes are for fetches. What one may read is the first batch alone, for which as much is granted as the topic takes.
    let broker = TestBroker::with_settings(&[("einmal.fetch.memory.bytes", "4000"), ("message.max.bytes", "1000")]);
    let topic = broker.create_topic("t", 1).await;
    let value = "v".repeat(500);
    for _ in 0..3 {
        broker.append(&topic, 0, batch(1, &[&value])).await;
    }
    let batch_bytes = batch(1, &[&value]).len();
    let asked = || request(&topic, 12, vec![part(0, 0)]).with_max_wait_ms(0);
    let mut untaken = Vec::new();
    let memory = &broker.cx.broker.fetch_memory;
    // The most that leaves less than one batch of 1000 bytes free.
    while untaken.len() * batch_bytes <= 2000 {
        let answer = broker.send(12, &asked()).await.unwrap().unwrap();
        assert_eq!(sizes(&decode::<FetchRequest>(12, answer.clone())), [batch_bytes], "shrunk to the first batch");
        untaken.push(answer);
    }
    assert_eq!(memory.free_bytes(fetch_memory::Part::Fetch), 3000 - untaken.len() * batch_bytes);
    let mut waiting = broker.send(12, &asked());
    assert!(is_pending(&mut waiting).await, "there is no memory for its first batch");
    untaken.pop();
    assert_eq!(sizes(&woken(12, waiting).await), [batch_bytes]);
    untaken.clear();
    assert_eq!(memory.free_bytes(fetch_memory::Part::Fetch), 3000, "all is given back");

    // A broker that stops does not wait for those who do not read.
    let taken = memory.grant(0, 3000).await;
    let mut waiting = broker.send(12, &asked());
    assert!(is_pending(&mut waiting).await);
    broker.stop();
    assert_eq!(sizes(&woken(12, waiting).await), [0]);
    drop(taken);
}

#[tokio::test]
async fn no_fetch_waits_longer_than_a_connection_may_be_idle() {
    let broker = TestBroker::with_settings(&[("connections.max.idle.ms", "50")]);
    let topic = broker.create_topic("t", 1).await;
    let waiting = parked(&broker, 12, request(&topic, 12, vec![part(0, 0)]).with_max_wait_ms(FOREVER_MS)).await;
    assert_eq!(sizes(&woken(12, waiting).await), [0]);
}
