//! A restart changes nothing that a client can see; a stop answers before it ends.

mod support;

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{FetchRequest, MetadataRequest, MetadataResponse, ProduceRequest};
use support::requests::{
    FETCH_VERSION, PRODUCE_VERSION, Producer, batch, create_topic, drain, fetch_request, produce, produce_request,
    topic_name,
};
use support::{TestClient, TestServer};

/// How a stop that was asked for ends.
const CLEAN: &str = "exit status: 0";

fn metadata(client: &mut TestClient) -> MetadataResponse {
    client.call(&MetadataRequest::default().with_topics(None), 12)
}

#[test]
fn topics_their_ids_and_the_cluster_id_survive_a_clean_restart_and_sigkill() {
    let mut server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "first", 3);
    create_topic(&mut client, "second", 1);
    let before = metadata(&mut client);
    assert_eq!(server.terminate().to_string(), CLEAN);
    server = server.restart();
    let after_stop = metadata(&mut TestClient::connect(&server));
    server.kill9();
    server = server.restart();
    let after_kill = metadata(&mut TestClient::connect(&server));
    for after in [after_stop, after_kill] {
        assert_eq!(after.cluster_id, before.cluster_id);
        let ids = |answer: &MetadataResponse| {
            let mut ids: Vec<_> = answer
                .topics
                .iter()
                .map(|topic| (topic.name.clone(), topic.topic_id, topic.partitions.len()))
                .collect();
            ids.sort();
            ids
        };
        assert_eq!(ids(&after), ids(&before));
    }
}

#[test]
fn a_stop_is_clean_although_the_signal_comes_twice_at_once() {
    for _ in 0..5 {
        assert_eq!(TestServer::start().terminate_with_echo().to_string(), CLEAN);
    }
}

#[test]
fn a_stop_under_load_loses_nothing_that_was_acknowledged() {
    const WRITERS: i32 = 4;
    let mut server = TestServer::start();
    create_topic(&mut TestClient::connect(&server), "busy", WRITERS);
    let writers: Vec<_> = (0..WRITERS)
        .map(|partition| {
            let mut client = TestClient::connect(&server);
            // Each has one acknowledged before the stop, and goes on until it is closed.
            assert_eq!(produce(&mut client, "busy", partition, batch(Producer::NONE, -1, &["0"])).error_code, 0);
            std::thread::spawn(move || {
                let mut acknowledged = 1;
                loop {
                    let records = batch(Producer::NONE, -1, &[&acknowledged.to_string()]);
                    let request =
                        support::client::frame(&produce_request("busy", partition, -1, records), PRODUCE_VERSION, 7);
                    // Closed before it was sent, or before it was read.
                    let support::Reply::Frame(answer) =
                        client.send_bytes(&request).map_or(support::Reply::Closed, |()| client.reply())
                    else {
                        return acknowledged;
                    };
                    let answer =
                        support::client::decode::<ProduceRequest>(answer, 7, PRODUCE_VERSION).expect("it decodes");
                    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
                    acknowledged += 1;
                }
            })
        })
        .collect();
    assert_eq!(server.terminate().to_string(), CLEAN);
    let acknowledged: Vec<usize> = writers.into_iter().map(|writer| writer.join().expect("no panic")).collect();
    let server = server.restart();
    let mut client = TestClient::connect(&server);
    for (partition, acknowledged) in (0..).zip(acknowledged) {
        let offset = produce(&mut client, "busy", partition, batch(Producer::NONE, -1, &["after"])).base_offset;
        // One more may have been under way.
        assert!((acknowledged..=acknowledged + 1).contains(&(offset as usize)), "{offset} of {acknowledged}");
    }
}

#[test]
fn a_second_signal_ends_a_stop_that_waits_for_a_client() {
    let mut server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "large", 1);
    let value = "x".repeat(900_000);
    for _ in 0..8 {
        assert_eq!(produce(&mut client, "large", 0, batch(Producer::NONE, -1, &[&value])).error_code, 0);
    }
    // More than sockets hold, and nobody reads it.
    for _ in 0..8 {
        client.send(&fetch_request("large", 0, 0), FETCH_VERSION);
    }
    metadata(&mut TestClient::connect(&server));
    server.signal("TERM");
    while server.is_alive() {
        server.signal("TERM");
    }
    assert!(server.log_with(&["told to stop at once"]).contains("told to stop at once"), "{}", server.log());
    // What was acknowledged is there all the same.
    let server = server.restart();
    assert_eq!(drain(&mut TestClient::connect(&server), "large", 0).len(), 8);
}

#[test]
fn records_are_found_after_a_clean_restart() {
    let mut server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "kept", 1);
    produce(&mut client, "kept", 0, batch(Producer::NONE, -1, &["a", "b"]));
    assert_eq!(server.terminate().to_string(), CLEAN);
    let server = server.restart();
    let mut client = TestClient::connect(&server);
    assert_eq!(drain(&mut client, "kept", 0), [(0, "a".to_owned()), (1, "b".to_owned())]);
    assert_eq!(produce(&mut client, "kept", 0, batch(Producer::NONE, -1, &["c"])).base_offset, 2);
}

#[test]
fn a_topic_that_was_created_again_has_a_new_id_and_none_of_the_old_records() {
    use kafka_protocol::messages::DeleteTopicsRequest;
    let mut server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "again", 1);
    produce(&mut client, "again", 0, batch(Producer::NONE, -1, &["old"]));
    let old_id = metadata(&mut client).topics[0].topic_id;
    let delete = DeleteTopicsRequest::default().with_topic_names(vec![topic_name("again")]).with_timeout_ms(1000);
    assert_eq!(client.call(&delete, 5).responses[0].error_code, 0);
    create_topic(&mut client, "again", 1);
    assert_ne!(metadata(&mut client).topics[0].topic_id, old_id);
    assert_eq!(drain(&mut client, "again", 0), []);
    server.kill9();
    let server = server.restart();
    assert_eq!(drain(&mut TestClient::connect(&server), "again", 0), []);
}

#[test]
fn a_stop_answers_parked_long_polls() {
    let mut server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "parked", 1);
    let long_poll = fetch_request("parked", 0, 0).with_min_bytes(1).with_max_wait_ms(60_000);
    let parked = client.send(&long_poll, FETCH_VERSION);
    // Once a later connection is served, the fetch has been read or is in the socket; either way it must not hang.
    metadata(&mut TestClient::connect(&server));
    assert_eq!(server.terminate().to_string(), CLEAN);
    if let support::Reply::Frame(answer) = client.reply() {
        let answer = support::client::decode::<FetchRequest>(answer, parked, FETCH_VERSION).expect("it decodes");
        assert_eq!(answer.error_code, 0);
    }
}

#[test]
fn a_topic_is_created_by_first_use_and_stays() {
    let mut server = TestServer::start_with(&["num.partitions=4"]);
    let asked = MetadataRequestTopic::default().with_name(Some(topic_name("by-use")));
    let request = MetadataRequest::default().with_topics(Some(vec![asked])).with_allow_auto_topic_creation(true);
    let answer = TestClient::connect(&server).call(&request, 5);
    assert_eq!((answer.topics[0].error_code, answer.topics[0].partitions.len()), (0, 4));
    server.kill9();
    let server = server.restart();
    assert_eq!(metadata(&mut TestClient::connect(&server)).topics.len(), 1);
}
