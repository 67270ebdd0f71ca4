use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::harness::*;
use crate::wire::Close;

#[tokio::test]
async fn pipelined_answers_leave_in_the_order_of_requests() {
    let mut server = Server::start(Options::default()).await;
    let mut client = server.connect().await;
    for id in 1..=4 {
        client.send(PRODUCE, id, b"records").await;
    }
    let (first, second) = (server.begun(1).await, server.begun(2).await);
    let (third, fourth) = (server.begun(3).await, server.begun(4).await);
    assert_eq!(first.request.body.as_ref(), b"records");
    fourth.answer(b"four");
    third.answer(b"three");
    // Without acknowledgement there is no answer, and the order of the others stays.
    second.end(Ok(None));
    settle().await;
    first.answer(b"one");
    assert_eq!(client.answer(1).await, b"one");
    assert_eq!(client.answer(3).await, b"three");
    assert_eq!(client.answer(4).await, b"four");
}

#[tokio::test]
async fn a_serial_request_waits_for_all_before_it_and_holds_up_all_after_it() {
    let mut server = Server::start(Options::default()).await;
    let mut client = server.connect().await;
    let requests = [(PRODUCE, 1), (FETCH, 2), (PRODUCE, 3), (FETCH, 4), (FETCH, 5)];
    client.write(&requests.map(|(key, id)| request(key, 1, id, b"")).concat()).await;
    let first = server.begun(1).await;
    server.begins_nothing().await;
    first.answer(b"");
    let second = server.begun(2).await;
    server.begins_nothing().await;
    second.answer(b"");
    let third = server.begun(3).await;
    server.begins_nothing().await;
    third.answer(b"");
    server.begun(4).await.answer(b"");
    server.begun(5).await.answer(b"");
    for id in 1..=5 {
        client.answer(id).await;
    }
}

#[tokio::test]
async fn a_request_may_arrive_in_any_pieces() {
    let mut server = Server::start(Options::default()).await;
    let mut client = server.connect().await;
    let frame = request(FETCH, 1, 7, b"a longer body");
    for byte in &frame {
        client.write(&[*byte]).await;
        settle().await;
    }
    let begun = server.begun(7).await;
    assert_eq!(begun.request.body.as_ref(), b"a longer body");
    assert_eq!(begun.request.frame_bytes, frame.len());
    begun.answer(b"");
    client.answer(7).await;

    // One piece that ends in the middle of the second request.
    let both = [request(FETCH, 1, 8, b"x"), request(FETCH, 1, 9, b"yz")].concat();
    client.write(&both[..both.len() - 1]).await;
    server.begun(8).await.answer(b"");
    client.answer(8).await;
    server.begins_nothing().await;
    client.write(b"z").await;
    assert_eq!(server.begun(9).await.request.body.as_ref(), b"yz");
}

#[tokio::test]
async fn a_large_request_and_a_large_answer_of_many_pieces_go_through_whole() {
    let mut server = Server::start(Options::default()).await;
    let mut client = server.connect().await;
    let body: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
    let frame = request(PRODUCE, 1, 1, &body);
    let (mut receive, mut send) = client.stream.split();
    let (sent, begun) = tokio::join!(within(send.write_all(&frame)), server.begun(1));
    sent.unwrap();
    assert!(begun.request.body == body);
    let pieces: Vec<Bytes> = body.chunks(9_999).map(Bytes::copy_from_slice).collect();
    assert!(pieces.len() > 256, "more than a few writes");
    begun.answer_with(pieces);
    let mut answer = vec![0; 8 + body.len()];
    within(receive.read_exact(&mut answer)).await.unwrap();
    assert!(answer[8..] == body);
}

#[tokio::test]
async fn what_was_answered_before_a_failure_is_sent_and_nothing_after_it() {
    let mut server = Server::start(Options::default()).await;
    let mut client = server.connect().await;
    for id in 1..=3 {
        client.send(PRODUCE, id, b"").await;
    }
    let (first, second, third) = (server.begun(1).await, server.begun(2).await, server.begun(3).await);
    third.answer(b"");
    second.end(Err(Close::Ending));
    first.answer(b"one");
    assert_eq!(client.answer(1).await, b"one");
    client.is_closed().await;
}
