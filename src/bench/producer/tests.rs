use std::net::TcpListener;

use clap::Parser;

use super::answers::{DELIVERY_TIMEOUT_NS, RETRY_BACKOFF_NS};
use super::*;
use crate::bench::payload::PayloadSpec;
use crate::record::codec::Codec;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    load: Load,
}

const NOW_NS: u64 = SECOND_NS;
const MS_NS: u64 = SECOND_NS / 1000;

/// Producers of one partition with 1,000 records a second from [`NOW_NS`] on for ten seconds, and the peer, which neither
/// accepts nor answers.
fn producers(flags: &[&str], producer: Option<(ProducerId, ProducerEpoch)>) -> (Producers, TcpListener) {
    let peer = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let load = Flags::parse_from([&["bench", "--records-per-batch", "10"], flags].concat()).load;
    let spec = PayloadSpec {
        record_bytes: 20,
        record_count: 10,
        codec: Codec::None,
        is_transactional: false,
        timestamp: 1,
        seed: 1,
        ids: None,
    };
    let producers = Producers::new(ProducersSpec {
        load: &load,
        frame: ProduceFrame { version: 9, transactional_id: None, topic: "t".to_owned(), acks: -1, timeout_ms: 1000 },
        payload: Payload::new(&spec),
        partitions: 1,
        schedule: Some(Schedule::new(super::super::schedule::Arrival::Constant, 100.0, NOW_NS, 0)),
        until: Until::Time(NOW_NS + 10 * SECOND_NS),
        measure: Measure::new(NOW_NS, NOW_NS, NOW_NS + 10 * SECOND_NS).unwrap(),
        start_ns: NOW_NS,
        address: peer.local_addr().expect("it is bound"),
        producers: producer.into_iter().collect(),
    });
    (producers.expect("sockets connect"), peer)
}

fn answer(producers: &mut Producers, correlation_id: i32, error: ErrorCode, now_ns: u64) {
    producers.on_answer(0, correlation_id, &[(0, error, 0)], now_ns).expect("it was asked for");
}

fn in_flight(producers: &Producers) -> Vec<(u64, i32)> {
    producers.senders[0].in_flight.iter().map(|sending| (sending.intended_ns, sending.sequence)).collect()
}

#[test]
fn requests_that_cannot_go_out_wait_and_count_from_when_they_were_due() {
    let (mut producers, _peer) = producers(&["--in-flight", "1"], None);
    producers.send_due(NOW_NS + 25 * MS_NS).unwrap();
    assert_eq!((in_flight(&producers).len(), producers.backlog), (1, 2));
    answer(&mut producers, 0, ErrorCode::NONE, NOW_NS + 30 * MS_NS);
    producers.mark(0);
    producers.send_due(NOW_NS + 30 * MS_NS).unwrap();
    answer(&mut producers, 1, ErrorCode::NONE, NOW_NS + 40 * MS_NS);
    assert_eq!(producers.measure.latencies.count(), 2);
    assert_eq!(producers.measure.latencies.max_us() / 100, 300, "due at 10 ms, answered at 40 ms");
    assert_eq!(producers.acked, [20]);
}

#[test]
fn what_is_unsent_at_the_end_is_told_and_counts_with_the_time_it_waited() {
    let (mut producers, _peer) = producers(&["--in-flight", "1"], None);
    producers.send_due(NOW_NS + 10 * SECOND_NS).unwrap();
    assert_eq!((in_flight(&producers).len(), producers.final_backlog), (0, 1000));
    assert_eq!(producers.measure.latencies.count(), 1000);
    assert_eq!(producers.measure.latencies.max_us() / 100_000, 100);
    assert!(producers.is_done());
}

#[test]
fn a_retriable_error_is_sent_again_and_keeps_its_first_intended_time() {
    let (mut producers, _peer) = producers(&[], None);
    producers.send_due(NOW_NS).unwrap();
    answer(&mut producers, 0, ErrorCode::NOT_LEADER_OR_FOLLOWER, NOW_NS + MS_NS);
    assert_eq!(producers.measure.errors.get("NOT_LEADER_OR_FOLLOWER"), Some(&1));
    assert_eq!((producers.measure.latencies.count(), producers.acked[0]), (0, 0));
    producers.senders[0].due.clear();
    producers.send_due(NOW_NS + 2 * MS_NS).unwrap();
    assert_eq!(in_flight(&producers), [], "not before the backoff is over");
    producers.send_due(NOW_NS + MS_NS + RETRY_BACKOFF_NS).unwrap();
    assert_eq!(in_flight(&producers)[0], (NOW_NS, 0));
    answer(&mut producers, 1, ErrorCode::NONE, NOW_NS + 200 * MS_NS);
    assert_eq!(producers.measure.latencies.max_us() / 100, 2000);
    assert_eq!(producers.acked, [10]);
}

#[test]
fn behind_a_refused_batch_a_producer_sends_all_again_in_order() {
    let (mut producers, _peer) = producers(&[], Some((ProducerId(9), ProducerEpoch(0))));
    producers.send_due(NOW_NS + 25 * MS_NS).unwrap();
    let sent = in_flight(&producers);
    assert_eq!(sent.iter().map(|(_, sequence)| *sequence).collect::<Vec<_>>(), [0, 10, 20]);
    answer(&mut producers, 0, ErrorCode::NOT_LEADER_OR_FOLLOWER, NOW_NS + 26 * MS_NS);
    producers.mark(0);
    producers.send_due(NOW_NS + 35 * MS_NS).unwrap();
    assert_eq!(in_flight(&producers).len(), 2, "what is due now must not overtake");
    answer(&mut producers, 1, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, NOW_NS + 36 * MS_NS);
    answer(&mut producers, 2, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, NOW_NS + 36 * MS_NS);
    producers.send_due(NOW_NS + 36 * MS_NS + RETRY_BACKOFF_NS).unwrap();
    assert_eq!(in_flight(&producers)[..3], sent);
}

#[test]
fn without_a_rate_refused_requests_keep_their_place_in_the_pipe() {
    let (mut producers, _peer) = producers(&["--in-flight", "2"], None);
    producers.schedule = None;
    producers.mark(0);
    producers.send_due(NOW_NS).unwrap();
    assert_eq!(in_flight(&producers).len(), 2);
    for correlation_id in 0..2 {
        answer(&mut producers, correlation_id, ErrorCode::KAFKA_STORAGE_ERROR, NOW_NS + MS_NS);
    }
    producers.mark(0);
    producers.send_due(NOW_NS + 2 * MS_NS).unwrap();
    assert_eq!((in_flight(&producers).len(), producers.senders[0].retries.len()), (0, 2), "nothing new in the backoff");
    producers.mark(0);
    producers.send_due(NOW_NS + MS_NS + RETRY_BACKOFF_NS).unwrap();
    assert_eq!((in_flight(&producers).len(), producers.senders[0].retries.len()), (2, 0));
}

#[test]
fn what_is_refused_for_longer_than_a_client_waits_is_given_up() {
    let (mut producers, _peer) = producers(&["--in-flight", "1"], None);
    producers.send_due(NOW_NS).unwrap();
    answer(&mut producers, 0, ErrorCode::KAFKA_STORAGE_ERROR, NOW_NS + DELIVERY_TIMEOUT_NS + 1);
    assert!(producers.senders[0].retries.is_empty());
    assert_eq!(producers.measure.errors.get("KAFKA_STORAGE_ERROR"), Some(&1));
}

#[test]
fn a_refusal_that_is_final_is_not_sent_again() {
    let (mut producers, _peer) = producers(&[], None);
    producers.send_due(NOW_NS).unwrap();
    answer(&mut producers, 0, ErrorCode::MESSAGE_TOO_LARGE, NOW_NS + MS_NS);
    assert!(producers.senders[0].retries.is_empty());
    assert_eq!(producers.measure.errors.get("MESSAGE_TOO_LARGE"), Some(&1));
}

#[test]
fn a_request_without_an_answer_counts_once_with_the_time_it_was_waited_for() {
    let (mut producers, _peer) = producers(&["--request-timeout-ms", "50", "--in-flight", "1"], None);
    producers.send_due(NOW_NS).unwrap();
    producers.send_due(NOW_NS + 50 * MS_NS).unwrap();
    producers.send_due(NOW_NS + 90 * MS_NS).unwrap();
    assert_eq!(producers.measure.errors.get("CLIENT_TIMEOUT"), Some(&1));
    assert_eq!((producers.measure.latencies.count(), producers.measure.latencies.max_us() / 100), (1, 500));
    answer(&mut producers, 0, ErrorCode::NONE, NOW_NS + 95 * MS_NS);
    assert_eq!((producers.measure.latencies.count(), producers.acked[0]), (1, 10), "late, but acknowledged");
}
