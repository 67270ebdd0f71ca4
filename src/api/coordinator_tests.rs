use super::*;
use crate::api::testing::{TestBroker, text};

/// `key@host:port error message`.
fn show(found: &Coordinator) -> String {
    let message = found.error_message.as_ref().map_or("null", StrBytes::as_str);
    format!("{}@{}:{} {} {message}", found.key.as_str(), found.host.as_str(), found.port, found.error_code)
}

#[tokio::test]
async fn one_key_is_answered_at_once_below_version_4() {
    let broker = TestBroker::start();
    for version in 0..=3 {
        let request = FindCoordinatorRequest::default().with_key(text("g"));
        let answer = broker.call(version, &request).await;
        assert_eq!((answer.error_code, answer.node_id.0, answer.port), (0, 1, 9092), "version {version}");
        assert_eq!(answer.host.as_str(), "localhost");
        if version >= 1 {
            assert_eq!(answer.error_message.as_ref().map(StrBytes::as_str), Some("NONE"));
            let transaction = broker.call(version, &request.clone().with_key_type(TRANSACTION)).await;
            assert_eq!((transaction.error_code, transaction.node_id.0), (0, 1));
            let share = broker.call(version, &request.with_key_type(2)).await;
            assert_eq!((share.error_code, share.node_id.0, share.port), (42, -1, -1));
        }
    }
}

#[tokio::test]
async fn many_keys_are_answered_one_by_one_from_version_4_on() {
    let mut broker = TestBroker::start();
    broker.cx.listener = "EXTERNAL".into();
    for version in 4..=6 {
        let keys = |keys: &[&str]| keys.iter().copied().map(text).collect();
        for key_type in [GROUP, TRANSACTION] {
            let request =
                FindCoordinatorRequest::default().with_key_type(key_type).with_coordinator_keys(keys(&["a", ""]));
            let answer = broker.call(version, &request).await;
            let shown: Vec<_> = answer.coordinators.iter().map(show).collect();
            assert_eq!(shown, ["a@kafka.example:19092 0 ", "@kafka.example:19092 0 "], "version {version}");
        }
        let request = FindCoordinatorRequest::default().with_key_type(2).with_coordinator_keys(keys(&["g:id:0"]));
        let answer = broker.call(version, &request).await;
        assert_eq!(answer.coordinators[0].error_code, 42);
        assert!(broker.call(version, &FindCoordinatorRequest::default()).await.coordinators.is_empty());
    }
}

#[tokio::test]
async fn who_looks_for_a_coordinator_finds_the_internal_topic_too() {
    let broker = TestBroker::start();
    let internal = |broker: &TestBroker| {
        let topics = broker.cx.broker.catalog.topics();
        topics.by_name.values().map(|topic| (topic.name.to_string(), topic.partitions.len())).collect::<Vec<_>>()
    };
    broker.call(6, &FindCoordinatorRequest::default()).await;
    assert_eq!(internal(&broker), [], "nobody was asked for");
    let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text("g")]);
    for _ in 0..2 {
        broker.call(6, &request).await;
        assert_eq!(internal(&broker), [("__consumer_offsets".to_owned(), 50)]);
    }
    broker.call(3, &FindCoordinatorRequest::default().with_key(text("t")).with_key_type(TRANSACTION)).await;
    assert_eq!(internal(&broker).len(), 2);
}

#[tokio::test]
async fn without_room_for_the_internal_topic_the_coordinator_is_found_all_the_same() {
    let mut broker = TestBroker::with_settings(&[("einmal.partitions.max", "10")]);
    broker.cx.listener = "EXTERNAL".into();
    let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text("g")]);
    let answer = broker.call(6, &request).await;
    assert_eq!(answer.coordinators.iter().map(show).collect::<Vec<_>>(), ["g@kafka.example:19092 0 "]);
    assert!(broker.cx.broker.catalog.topics().by_name.is_empty());
}
