//! For how long ids are remembered, and how many.

use super::*;

#[tokio::test]
async fn id_is_forgotten_when_its_window_is_over_and_its_row_with_it() {
    let broker = start(WINDOW).await;
    broker.offer(&["a"]).await;
    broker.time.advance(HOUR_MS - 1);
    assert_eq!(broker.offer(&["a"]).await, at(0));
    assert_eq!(broker.offer(&["b"]).await, at(1));
    broker.time.advance(1);
    assert_eq!(broker.offer(&["a"]).await, at(2));
    let broker = broker.restart().await;
    assert_eq!((broker.id_rows(), broker.offer(&["b"]).await), (2, at(1)));
    broker.time.advance(2 * HOUR_MS);
    broker.idle_round();
    assert_eq!(broker.id_rows(), 0);
    assert_eq!(broker.offer(&["b"]).await, at(3));
}

#[tokio::test]
async fn no_clock_forgets_an_id_but_the_time_that_passes() {
    let broker = start(WINDOW).await;
    broker.offer(&["a"]).await;
    for jump in [100 * HOUR_MS, -200 * HOUR_MS, 50 * HOUR_MS] {
        broker.time.jump(jump);
        assert_eq!(broker.offer(&["a"]).await, at(0), "{jump}");
    }
    let broker = broker.restart().await;
    broker.time.jump(1000 * HOUR_MS);
    let broker = broker.crash(0);
    assert_eq!(broker.offer(&["a"]).await, at(0));
}

#[tokio::test]
async fn full_window_forgets_the_oldest_or_asks_to_come_again() {
    let broker = start(&with(&[("message.dedup.window.max.ids", "4")])).await;
    for ids in [["a", "b"], ["c", "d"], ["e", "f"]] {
        broker.offer(&ids).await;
    }
    assert_eq!(broker.id_rows(), 2);
    assert_eq!(broker.offer(&["c"]).await, at(2));
    assert_eq!(broker.offer(&["a"]).await, at(6));
    assert!(refused(ErrorCode::INVALID_RECORD, &broker.offer(&["1", "2", "3", "4", "5"]).await).contains("max.ids=4"));

    let broker = start(&with(&[("message.dedup.window.max.ids", "4"), ("message.dedup.overflow", "throttle")])).await;
    broker.offer(&["a", "b", "c"]).await;
    refused(ErrorCode::NOT_ENOUGH_REPLICAS, &broker.offer(&["d", "e"]).await);
    assert_eq!(broker.offer(&["d"]).await, at(3));
    refused(ErrorCode::NOT_ENOUGH_REPLICAS, &broker.offer(&["e"]).await);
    assert_eq!(broker.offer(&["a", "d"]).await, at(0), "what is known needs no room");
    broker.time.advance(HOUR_MS);
    broker.idle_round();
    assert_eq!(broker.offer(&["e"]).await, at(4));
}

#[tokio::test]
async fn an_open_transaction_does_not_lift_the_limit() {
    let broker = start(&with(&[("message.dedup.window.max.ids", "4")])).await;
    let open = identified(&["a"]).producer(ProducerId(1), ProducerEpoch(0), 0).transactional();
    assert_eq!(broker.offer_batch(open).await, at(0));
    assert_eq!(broker.offer(&["b", "c", "d"]).await, at(1));
    refused(ErrorCode::NOT_ENOUGH_REPLICAS, &broker.offer(&["e"]).await);
    broker.end(&["t"], 1, 0, TransactionResult::Commit).await;
    assert_eq!(broker.offer(&["e"]).await, at(5), "the oldest goes again");
}

#[tokio::test]
async fn memory_of_all_topics_is_taken_from_the_largest() {
    let settings = Settings { dedup_memory_bytes: 64 << 10, ..settings() };
    let broker = start_with(settings.clone(), WINDOW).await;
    broker.create("small", WINDOW).await;
    let small = broker.with_ids(broker.partition("small").id, &identified(&["s"]));
    broker.engine().append(Acks::All, vec![small]).await.expect("answered");
    for batch in 0..50 {
        let ids: Vec<_> = (0..100).map(|id| format!("{batch}-{id}")).collect();
        broker.offer(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    assert!((5..45).contains(&broker.id_rows()), "{} batches are remembered", broker.id_rows());
    assert_eq!(broker.offer(&["49-7"]).await, at(4907));
    assert_eq!(broker.offer(&["0-7"]).await, at(5000));
    let again = broker.with_ids(broker.partition("small").id, &identified(&["s"]));
    assert_eq!(broker.engine().append(Acks::All, vec![again]).await, Ok(vec![at(0)]));

    let throttled = start_with(settings, &with(&[("message.dedup.overflow", "throttle")])).await;
    let mut answers = Vec::new();
    for batch in 0..50 {
        let ids: Vec<_> = (0..100).map(|id| format!("{batch}-{id}")).collect();
        answers.push(throttled.offer(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await.error);
    }
    assert!(answers.is_sorted() && answers.contains(&ErrorCode::NOT_ENOUGH_REPLICAS), "{answers:?}");
    assert_eq!(throttled.offer(&["0-7"]).await, at(7));
}

#[tokio::test]
async fn repetitions_extend_the_life_of_an_id_where_the_topic_says_so() {
    let rows_left = async |repeats: i64| {
        let mut broker = start(&with(&[("message.dedup.window.refresh", "true")])).await;
        broker.offer(&["a", "b", "c"]).await;
        // Half a window apart, so that without the setting the third would be stored.
        for round in 0..repeats {
            broker.time.advance(HOUR_MS / 2);
            assert_eq!(broker.offer(&["c", "a", "c"]).await, at(2), "{round}");
            broker.idle_round();
            if round % 2 == 0 {
                broker = broker.restart().await;
            }
        }
        let rows = broker.id_rows();
        broker.time.advance(HOUR_MS - 1);
        assert_eq!(broker.offer(&["a"]).await, at(0), "an hour after the last repetition");
        assert_eq!(broker.offer(&["b"]).await, at(3), "which was not repeated");
        broker.time.advance(HOUR_MS + HOUR_MS / 8);
        assert_eq!(broker.offer(&["c", "a"]).await, at(4), "nothing lives for ever");
        rows
    };
    assert_eq!((rows_left(4).await, rows_left(20).await), (3, 3), "rows of repetitions go with time");
}

#[tokio::test]
async fn id_that_is_sent_all_the_time_costs_no_more_than_nine_entries() {
    let broker = start(&with(&[("message.dedup.window.refresh", "true")])).await;
    broker.offer(&["a"]).await;
    for _ in 0..1000 {
        broker.time.advance(HOUR_MS / 250);
        assert_eq!(broker.offer(&["a"]).await, at(0));
        assert!(broker.id_rows() <= 9, "{} rows", broker.id_rows());
    }
}

#[tokio::test]
async fn refused_repetition_extends_no_life_and_that_of_a_marked_one_names_the_first() {
    let broker =
        start(&with(&[("message.dedup.window.refresh", "true"), ("message.dedup.on.duplicate", "reject")])).await;
    broker.offer(&["a"]).await;
    for _ in 0..2 {
        broker.time.advance(HOUR_MS / 2);
        refused(ErrorCode::INVALID_RECORD, &broker.offer(&["a"]).await);
    }
    broker.time.advance(HOUR_MS / 8);
    assert_eq!(broker.offer(&["a"]).await, at(1));

    let broker =
        start(&with(&[("message.dedup.window.refresh", "true"), ("message.dedup.on.duplicate", "mark")])).await;
    for offset in 0..4 {
        assert_eq!(broker.offer(&["a"]).await, at(offset));
        broker.time.advance(HOUR_MS / 2);
    }
    let marked = broker.read("t").await;
    let names_first = |batch: &&crate::store::StoredBatch| batch.bytes.windows(3).any(|at| at == b"0:0");
    assert_eq!(marked.iter().filter(names_first).count(), 3, "all name the first");
}

/// Records with ids and times in minutes, whose values say both.
fn timed(records: &[(&str, i64)]) -> BatchBuilder {
    records.iter().fold(BatchBuilder::new(), |batch, (id, minute)| {
        let (header, value) = ([(&b"message-id"[..], Some(id.as_bytes()))], format!("{id}{minute}"));
        batch.record_with_headers(START_TIME + minute * 60_000, None, Some(value.as_bytes()), &header)
    })
}

#[tokio::test]
async fn mirror_with_legal_repeats_keeps_them_by_the_records_own_times() {
    let create = [("message.dedup.time.source", "create"), ("message.timestamp.after.max.ms", "9223372036854775807")];
    let broker = start(&with(&create)).await;
    // A day of one id, copied within a millisecond: each hour it is another message.
    let day: Vec<_> = (0..24).map(|hour| ("a", hour * 60)).collect();
    assert_eq!(broker.offer_batch(timed(&day[..12])).await, at(0));
    assert_eq!(broker.offer_batch(timed(&day[12..16])).await, at(12));
    // The mirror begins anew, and meets all that is remembered.
    let mut broker = broker.restart().await;
    for _ in 0..2 {
        assert_eq!(broker.offer_batch(timed(&day[4..12])).await, at(4));
        assert_eq!(broker.offer_batch(timed(&[("a", 15 * 60 + 59), ("a", 14 * 60 - 1)])).await, at(15));
        broker = broker.crash(0);
    }
    // What comes late is another message, too; and so it is in one batch.
    assert_eq!(broker.offer_batch(timed(&[("b", 600), ("b", 0), ("b", 541), ("b", 660)])).await, at(16));
    assert_eq!(broker.offer_batch(timed(&[("b", 59), ("b", 61), ("b", 700)])).await, at(20));
    let values = broker.values().await;
    assert!(values.ends_with("a900 b600 b0 b660 b61"), "{values}");
    // By the broker's time all is forgotten, and a far time forgets nothing.
    assert_eq!(broker.offer_batch(timed(&[("c", 1_000_000_000)])).await, at(23));
    assert_eq!(broker.offer_batch(timed(&[("b", 61)])).await, at(21));
    broker.time.advance(HOUR_MS);
    broker.idle_round();
    assert_eq!(broker.id_rows(), 0);
    assert_eq!(broker.offer_batch(timed(&[("b", 61)])).await, at(24));
}

#[tokio::test]
async fn one_id_of_very_many_times_costs_no_long_search() {
    let create = [("message.dedup.time.source", "create"), ("message.timestamp.after.max.ms", "9223372036854775807")];
    let broker = start(&with(&create)).await;
    let many: Vec<_> = (0..2000).map(|hour| ("a", hour * 60)).collect();
    for batch in many.chunks(500) {
        assert!(broker.offer_batch(timed(batch)).await.error.is_none());
    }
    // Of one batch, or of earlier ones, the newest are told.
    assert_eq!(broker.offer_batch(timed(&many[1990..])).await, at(1990));
    assert_eq!(broker.offer_batch(timed(&many[..1])).await, at(2000), "the oldest are not");
    let broker = broker.restart().await;
    assert_eq!(broker.offer_batch(timed(&many[1990..])).await, at(1990));
}

#[tokio::test]
async fn settings_of_time_change_what_comes_and_forget_nothing() {
    let create = ("message.dedup.time.source", "create");
    let broker = start(WINDOW).await;
    broker.offer_batch(timed(&[("a", 0)])).await;
    broker.set(&with(&[create, ("message.dedup.window.refresh", "true")])).await;
    assert_eq!(broker.offer_batch(timed(&[("a", 600)])).await, at(0), "known by the time of its append");
    broker.offer_batch(timed(&[("b", 0), ("b", 600)])).await;
    broker.time.advance(HOUR_MS / 2);
    assert_eq!(broker.offer_batch(timed(&[("b", 30), ("b", 600), ("a", 610)])).await, at(1));
    let broker = broker.restart().await;
    assert_eq!(broker.offer_batch(timed(&[("b", 90)])).await, at(1), "an hour from 30");
    broker.time.advance(HOUR_MS - 1);
    assert_eq!(broker.offer_batch(timed(&[("b", 600), ("a", 610)])).await, at(2), "both were sent again");
    broker.set(WINDOW).await;
    assert_eq!(broker.offer_batch(timed(&[("b", 10_000)])).await.error, ErrorCode::NONE);
    assert_eq!(broker.offsets("t").log_end, 3, "the times do not matter any more");
}
