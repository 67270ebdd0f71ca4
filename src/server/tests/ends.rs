use tokio::io::AsyncWriteExt;

use super::harness::*;

/// Sends `bytes` on a connection of their own: the server closes it, and serves others on.
async fn is_refused(server: &mut Server, bytes: &[u8]) {
    let mut client = server.connect().await;
    client.write(bytes).await;
    client.is_closed().await;
    let mut other = server.connect().await;
    other.send(FETCH, 1, b"").await;
    server.begun(1).await.answer(b"");
    other.answer(1).await;
}

#[tokio::test]
async fn what_is_no_request_closes_its_connection_only() {
    let mut server = Server::start(Options::default()).await;
    is_refused(&mut server, b"GET /metrics HTTP/1.1\r\n\r\n").await;
    is_refused(&mut server, &[0x16, 3, 1, 2, 0, 1, 0]).await;
    is_refused(&mut server, &[0xff, 0xff, 0xff, 0xff]).await;
    is_refused(&mut server, &[0, 0, 0, 0]).await;
    is_refused(&mut server, &[0, 0x80, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]).await;
    // A Fetch above its own limit is refused by its first bytes.
    is_refused(&mut server, &request(FETCH, 1, 1, &[0; 200_000])[..12]).await;
    is_refused(&mut server, &request(99, 1, 1, b"")).await;
    is_refused(&mut server, &request(FETCH, 0, 1, b"")).await;
    is_refused(&mut server, &request(FETCH, 4, 1, b"")).await;
    // A header of version 2 with a tag section that does not fit.
    is_refused(&mut server, &request(FETCH, 3, 1, &[1, 0, 50])).await;
}

#[tokio::test]
async fn api_versions_is_asked_at_every_version() {
    let mut server = Server::start(Options::default()).await;
    let mut client = server.connect().await;
    for version in [1, 3, 4, 99, -1] {
        client.write(&request(API_VERSIONS, version, 5, &[0])).await;
        let begun = server.begun(5).await;
        assert_eq!(begun.request.header.api_version, version);
        begun.answer(b"");
        client.answer(5).await;
    }
}

#[tokio::test]
async fn a_refused_request_leaves_earlier_ones_to_be_answered() {
    let mut server = Server::start(Options::default()).await;
    let mut client = server.connect().await;
    client.send(PRODUCE, 1, b"").await;
    client.send(99, 2, b"").await;
    client.send(PRODUCE, 3, b"").await;
    let first = server.begun(1).await;
    server.begins_nothing().await;
    first.answer(b"one");
    assert_eq!(client.answer(1).await, b"one");
    client.is_closed().await;
}

#[tokio::test]
async fn a_panic_ends_its_connection_only() {
    let mut server = Server::start(Options::default()).await;
    is_refused(&mut server, &request(PANIC, 1, 1, b"")).await;
    is_refused(&mut server, &request(PANIC_LATER, 1, 1, b"")).await;
}

#[tokio::test]
async fn a_peer_that_goes_away_cancels_what_it_waits_for() {
    let mut server = Server::start(Options::default()).await;
    for key in [FETCH, LIST_OFFSETS] {
        let mut client = server.connect().await;
        client.send(key, 1, b"").await;
        let mut parked = server.begun(1).await;
        drop(client);
        within(parked.answer.closed()).await;
    }
}

#[tokio::test]
async fn what_waits_for_its_turn_is_told_that_its_peer_went_away() {
    let mut server = Server::start(Options::default()).await;
    let mut client = server.connect().await;
    client.send(METADATA, 1, b"").await;
    let mut waiting = server.begun(1).await;
    drop(client);
    within(waiting.answer.closed()).await;
    // Also if it went before the request began.
    let mut client = server.connect().await;
    client.write(&[request(API_VERSIONS, 1, 1, b""), request(METADATA, 1, 2, b"")].concat()).await;
    let first = server.begun(1).await;
    drop(client);
    server.begins_nothing().await;
    first.end(Ok(None));
    within(server.begun(2).await.answer.closed()).await;
}

#[tokio::test]
async fn what_a_peer_sent_before_it_went_away_is_still_begun() {
    let mut server = Server::start(Options::default()).await;
    for key in [FETCH, LIST_OFFSETS, METADATA] {
        let mut client = server.connect().await;
        client.write(&[request(key, 1, 1, b""), request(PRODUCE, 1, 2, b"")].concat()).await;
        let mut parked = server.begun(1).await;
        server.begins_nothing().await;
        drop(client);
        within(parked.answer.closed()).await;
        server.begun(2).await.end(Ok(None));
    }
}

#[tokio::test]
async fn a_peer_is_seen_to_go_away_behind_what_is_not_read_of_it() {
    let mut server = Server::start(Options::default()).await;
    // What ends the connection, and more than is taken from the socket while the first waits.
    let many: Vec<u8> = (2..3_000).flat_map(|id| request(METADATA, 1, id, b"")).collect();
    for behind in [(-1_i32).to_be_bytes().to_vec(), many] {
        let mut client = server.connect().await;
        client.write(&[request(METADATA, 1, 1, b""), behind].concat()).await;
        let mut waiting = server.begun(1).await;
        server.begins_nothing().await;
        drop(client);
        within(waiting.answer.closed()).await;
    }
}

#[tokio::test]
async fn what_a_peer_asked_to_change_is_done_after_it_went_away() {
    let mut server = Server::start(Options::default()).await;
    let mut client = server.connect().await;
    let change = |correlation_id| request(API_VERSIONS, 1, correlation_id, b"");
    client.write(&[request(PRODUCE, 1, 1, b""), change(2), change(3)].concat()).await;
    let first = server.begun(1).await;
    drop(client);
    server.begins_nothing().await;
    first.end(Ok(None));
    for correlation_id in [2, 3] {
        let change = server.begun(correlation_id).await;
        server.begins_nothing().await;
        assert!(!change.answer.is_closed(), "request {correlation_id} is dropped half done");
        change.end(Ok(None));
    }
}

#[tokio::test]
async fn a_peer_that_only_stops_sending_gets_its_answers() {
    let mut server = Server::start(Options::default()).await;
    let mut client = server.connect().await;
    client.write(&[request(PRODUCE, 1, 1, b""), request(API_VERSIONS, 1, 2, b"")].concat()).await;
    client.stream.shutdown().await.unwrap();
    server.begun(1).await.answer(b"one");
    assert_eq!(client.answer(1).await, b"one");
    server.begun(2).await.answer(b"two");
    assert_eq!(client.answer(2).await, b"two");
    client.is_closed().await;
}

#[tokio::test]
async fn stop_answers_what_is_under_way_and_closes() {
    let mut server = Server::start(Options::default()).await;
    let mut idle = server.connect().await;
    let mut waiting = server.connect().await;
    waiting.send(FETCH, 1, b"").await;
    waiting.send(FETCH, 2, b"").await;
    let begun = server.begun(1).await;
    server.stopping.send(true).unwrap();
    idle.is_closed().await;
    begun.answer(b"last");
    assert_eq!(waiting.answer(1).await, b"last");
    waiting.is_closed().await;
    within(&mut server.handle).await.unwrap();
    server.begins_nothing().await;
}
