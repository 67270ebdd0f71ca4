use std::time::Duration;

use super::harness::*;
use crate::server::budget::Charge;

#[tokio::test]
async fn the_budget_is_charged_until_the_answer_and_then_free_again() {
    let mut server = Server::start(Options { budget_bytes: 1 << 20, ..Options::default() }).await;
    let mut client = server.connect().await;
    client.send(PRODUCE, 1, &[1; 300_000]).await;
    let begun = server.begun(1).await;
    assert_eq!(server.budget.free_bytes(), (1 << 20) - 300_010);
    begun.answer(b"");
    client.answer(1).await;
    assert_eq!(server.budget.free_bytes(), 1 << 20);

    // A long poll holds nothing of its request while it waits.
    client.send(FETCH, 4, &[2; 70_000]).await;
    let begun = server.begun(4).await;
    settle().await;
    assert_eq!(server.budget.free_bytes(), 1 << 20);
    begun.answer(b"");
    client.answer(4).await;

    // Half a frame is given back with its connection.
    let half = request(PRODUCE, 1, 3, &[3; 300_000]);
    client.write(&half[..150_000]).await;
    settle().await;
    assert_ne!(server.budget.free_bytes(), 1 << 20);
    drop(client);
    server.stopping.send(true).unwrap();
    within(&mut server.handle).await.unwrap();
    assert_eq!(server.budget.free_bytes(), 1 << 20);
}

#[tokio::test]
async fn requests_larger_than_the_budget_go_through_one_at_a_time() {
    let mut server = Server::start(Options { budget_bytes: 10_000, ..Options::default() }).await;
    let mut senders = Vec::new();
    for id in 1..=3 {
        let mut client = server.connect().await;
        senders.push(tokio::spawn(async move {
            client.send(PRODUCE, id, &[0; 200_000]).await;
            client.answer(id).await;
        }));
    }
    for _ in 1..=3 {
        let begun = server.next_begun().await;
        server.begins_nothing().await;
        begun.answer(b"");
    }
    for sender in senders {
        within(sender).await.unwrap();
    }
    assert_eq!(server.budget.free_bytes(), 10_000);
}

#[tokio::test]
async fn a_connection_stops_reading_at_its_request_bytes() {
    let mut options = Options::default();
    options.limits.request_bytes_max = 12_000;
    let mut server = Server::start(options).await;
    let mut client = server.connect().await;
    for id in 1..=3 {
        client.send(PRODUCE, id, &[0; 10_000]).await;
    }
    let mut begun = server.begun(1).await;
    for id in 2..=3 {
        server.begins_nothing().await;
        begun.answer(b"");
        begun = server.begun(id).await;
    }
    begun.answer(b"");
    // A single request may be larger than the limit.
    client.send(PRODUCE, 4, &[0; 100_000]).await;
    server.begun(4).await.answer(b"");
    for id in 1..=4 {
        client.answer(id).await;
    }
    // What is answered counts no more: the next two fit beside each other.
    client.send(PRODUCE, 5, &[0; 5_000]).await;
    client.send(PRODUCE, 6, &[0; 5_000]).await;
    let (fifth, sixth) = (server.begun(5).await, server.begun(6).await);
    fifth.answer(b"");
    sixth.answer(b"");
}

#[tokio::test]
async fn a_connection_stops_reading_at_64_requests() {
    let mut server = Server::start(Options::default()).await;
    let mut client = server.connect().await;
    client.write(&(1..=70).flat_map(|id| request(PRODUCE, 1, id, b"")).collect::<Vec<u8>>()).await;
    let mut begun = Vec::new();
    for id in 1..=64 {
        begun.push(server.begun(id).await);
    }
    server.begins_nothing().await;
    begun.remove(0).answer(b"");
    begun.push(server.begun(65).await);
    server.begins_nothing().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_their_places_come_back() {
    let mut server = Server::start(Options { connections_max: 1, ..Options::default() }).await;
    let mut first = server.connect().await;
    first.send(FETCH, 1, b"").await;
    server.begun(1).await.answer(b"");
    first.answer(1).await;
    server.connect().await.is_closed().await;
    // The server closes the first for what it sends: from then on its place is free.
    first.write(&[0xff; 4]).await;
    first.is_closed().await;
    let mut third = server.connect().await;
    third.send(FETCH, 2, b"").await;
    server.begun(2).await.answer(b"");
    third.answer(2).await;
}

/// A limit that is reached.
const SHORT: Duration = Duration::from_millis(30);

#[tokio::test]
async fn a_connection_without_a_request_in_time_is_closed() {
    let mut options = Options::default();
    options.limits.first_request = SHORT;
    let server = Server::start(options).await;
    server.connect().await.is_closed().await;
    let mut half = server.connect().await;
    half.write(&request(FETCH, 1, 1, b"")[..9]).await;
    half.is_closed().await;
}

#[tokio::test]
async fn a_frame_that_is_not_finished_in_time_closes_the_connection() {
    let mut options = Options::default();
    options.limits.frame = SHORT;
    let mut server = Server::start(options).await;
    let mut client = server.connect().await;
    client.send(FETCH, 1, b"").await;
    server.begun(1).await.answer(b"");
    client.answer(1).await;
    client.write(&request(FETCH, 1, 2, b"")[..9]).await;
    client.is_closed().await;
}

#[tokio::test]
async fn a_frame_that_the_broker_does_not_receive_is_not_overdue() {
    let mut options = Options::default();
    options.limits.frame = SHORT;
    options.limits.request_bytes_max = 1_000;
    let mut server = Server::start(options).await;
    let mut client = server.connect().await;
    client.send(PRODUCE, 1, &[0; 600]).await;
    let first = server.begun(1).await;
    let second = request(PRODUCE, 1, 2, &[0; 600]);
    client.write(&second[..100]).await;
    settle().await;
    // A later frame is late for as long; when that is over the one for which there is no room is still welcome.
    let mut late = server.connect().await;
    late.send(FETCH, 3, b"").await;
    server.begun(3).await.answer(b"");
    late.answer(3).await;
    late.write(&request(FETCH, 1, 4, b"")[..9]).await;
    late.is_closed().await;
    client.write(&second[100..]).await;
    first.answer(b"one");
    assert_eq!(client.answer(1).await, b"one");
    server.begun(2).await.answer(b"two");
    assert_eq!(client.answer(2).await, b"two");
}

#[tokio::test]
async fn an_idle_connection_is_closed_but_not_one_that_waits() {
    let mut options = Options::default();
    options.limits.idle = SHORT;
    let mut server = Server::start(options).await;
    let mut waiting = server.connect().await;
    waiting.send(FETCH, 1, b"").await;
    let begun = server.begun(1).await;
    // A later connection is idle for as long; when that is over the waiting one is still there.
    let mut idle = server.connect().await;
    idle.send(FETCH, 2, b"").await;
    server.begun(2).await.answer(b"");
    idle.answer(2).await;
    idle.is_closed().await;
    begun.answer(b"patience");
    assert_eq!(waiting.answer(1).await, b"patience");
    waiting.is_closed().await;
}

/// More than the sockets' buffers take.
const LARGE_BYTES: usize = 32 << 20;

#[tokio::test]
async fn a_peer_that_does_not_take_its_answer_is_closed_once_fetches_wait_for_memory() {
    let mut options = Options::default();
    options.limits.stall = Duration::ZERO;
    let memory = options.fetch_memory.clone();
    let mut server = Server::start(options).await;
    let mut silent = server.connect().await;
    silent.write(&[request(FETCH, 1, 1, b""), request(PRODUCE, 1, 2, b"")].concat()).await;
    server.begun(1).await.answer(&vec![7; LARGE_BYTES]);
    // While it takes nothing, nothing more of it is begun; as long as nobody waits for memory that is all.
    server.begins_nothing().await;
    server.stopping.send(true).unwrap();
    server.begins_nothing().await;
    assert!(!server.handle.is_finished(), "its answer is still being sent");
    let others = memory.grant(0, 1 << 20).await;
    let mut waiting = tokio::spawn(async move { memory.grant(0, 1).await.bytes() });
    within(&mut server.handle).await.unwrap();
    drop(others);
    assert_eq!(within(&mut waiting).await.unwrap(), 1);
}

#[tokio::test]
async fn a_peer_that_takes_nothing_for_the_idle_time_is_closed() {
    let mut options = Options::default();
    options.limits.idle = SHORT;
    let mut server = Server::start(options).await;
    let mut silent = server.connect().await;
    silent.send(FETCH, 1, b"").await;
    server.begun(1).await.answer(&vec![7; LARGE_BYTES]);
    server.stopping.send(true).unwrap();
    within(&mut server.handle).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_comes_too_fast_waits_and_is_not_refused() {
    // A few milliseconds late, so that it is served in the end.
    let mut server = Server::start(Options { creation_rate: (1_000, 1_020), ..Options::default() }).await;
    let mut client = server.connect().await;
    client.send(FETCH, 1, b"").await;
    server.begun(1).await.answer(b"");
    client.answer(1).await;

    // Minutes late, and the broker stops meanwhile.
    let mut server = Server::start(Options { creation_rate: (1, 300), ..Options::default() }).await;
    let mut client = server.connect().await;
    client.write(&request(FETCH, 1, 1, b"")).await;
    server.begins_nothing().await;
    server.stopping.send_replace(true);
    within(&mut server.handle).await.unwrap();
    client.is_closed().await;
    server.begins_nothing().await;
}

#[tokio::test]
async fn a_first_request_that_waits_for_the_brokers_memory_is_not_late() {
    let mut options = Options { budget_bytes: 10_000, ..Options::default() };
    options.limits.first_request = SHORT;
    let mut server = Server::start(options).await;
    let (mut all, mut overdraft) = (Charge::default(), Charge::default());
    server.budget.exhaust(&mut all, &mut overdraft).await;
    let mut small = server.connect().await;
    small.send(FETCH, 2, b"").await;
    // Its own time is over by then; a connection that sends nothing is closed.
    let mut silent = server.connect().await;
    silent.is_closed().await;
    drop((all, overdraft));
    server.begun(2).await.answer(b"");
    small.answer(2).await;
}

#[tokio::test]
async fn a_large_frame_that_does_not_get_on_is_closed_once_others_wait_for_memory() {
    let mut options = Options { budget_bytes: 1 << 20, ..Options::default() };
    options.limits.frame_stall = Duration::ZERO;
    let mut server = Server::start(options).await;
    let mut half = server.connect().await;
    // It fits into the part of the large ones, however its bytes arrive.
    half.write(&request(PRODUCE, 1, 1, &[1; 600_000])[..500_000]).await;
    while server.budget.free_bytes() > (1 << 20) - 500_000 {
        settle().await;
    }
    let mut overdraft = Charge::default();
    server.budget.grow(&mut overdraft, 900_000).await;
    // A small request does not wait for it, and nobody is closed.
    let mut small = server.connect().await;
    small.send(PRODUCE, 2, b"").await;
    server.begun(2).await.answer(b"");
    small.answer(2).await;
    half.write(&[1; 1]).await;
    let mut large = server.connect().await;
    large.send(PRODUCE, 3, &[1; 400_000]).await;
    server.begun(3).await.answer(b"");
    large.answer(3).await;
    half.is_closed().await;
}
