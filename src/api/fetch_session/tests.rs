use super::*;

/// What a session is told of partition `index`: nothing happened unless a test says so.
const QUIET: Outcome =
    Outcome { has_records: false, is_error: false, is_diverging: false, high_watermark: 10, log_start: 0 };

fn key(index: i32) -> PartitionKey {
    PartitionKey { topic: TopicKey::Name("t".into()), index }
}

fn asked(fetch_offset: Offset) -> Asked {
    Asked { fetch_offset, bytes_max: 1, current_leader_epoch: -1, last_fetched_epoch: -1 }
}

fn named(indexes: &[i32]) -> Vec<(PartitionKey, Asked)> {
    indexes.iter().map(|index| (key(*index), asked(0))).collect()
}

fn request(id: i32, epoch: i32) -> SessionRequest {
    SessionRequest { id, epoch, by_topic_id: false }
}

/// One client of a cache, at one time.
struct Client<'a> {
    sessions: &'a FetchSessions,
    now: Instant,
}

impl Client<'_> {
    /// A whole fetch; what is answered: session id and the partitions listed.
    fn fetch(
        &self,
        request: SessionRequest,
        named: Vec<(PartitionKey, Asked)>,
        forgotten: &[PartitionKey],
        outcome: impl Fn(i32) -> Outcome,
    ) -> Result<(i32, Vec<i32>), ErrorCode> {
        let fetching = self.sessions.begin(self.now, request, named, forgotten)?;
        let indexes = indexes(&fetching);
        let outcomes: Vec<_> = indexes.iter().map(|index| outcome(*index)).collect();
        let mut ids = 1..;
        let finished = self.sessions.finish(self.now, &fetching, &outcomes, || ids.next())?;
        let listed = indexes.into_iter().zip(finished.listed).filter_map(|(index, listed)| listed.then_some(index));
        Ok((finished.session_id, listed.collect()))
    }

    fn open(&self, indexes: &[i32]) -> i32 {
        self.fetch(request(0, 0), named(indexes), &[], |_| QUIET).expect("full fetch").0
    }
}

fn indexes(fetching: &Fetching) -> Vec<i32> {
    fetching.partitions.iter().map(|(key, _)| key.index).collect()
}

#[test]
fn epochs_and_ids_decide_what_a_request_is() {
    use ErrorCode as E;
    // Session 1 is open at epoch 1 in each row.
    for (id, epoch, by_topic_id, expected) in [
        (0, -1, false, Ok((0, vec![0]))),
        (1, -1, false, Ok((0, vec![0]))),
        (0, 0, false, Ok((2, vec![0]))),
        (1, 0, false, Ok((1, vec![0]))),
        (1, 1, false, Ok((1, vec![]))),
        (1, 2, false, Err(E::INVALID_FETCH_SESSION_EPOCH)),
        (1, -2, false, Err(E::INVALID_FETCH_SESSION_EPOCH)),
        (1, 1, true, Err(E::FETCH_SESSION_TOPIC_ID_ERROR)),
        (1, 2, true, Err(E::INVALID_FETCH_SESSION_EPOCH)),
        (7, 1, false, Err(E::FETCH_SESSION_ID_NOT_FOUND)),
        (0, 1, false, Err(E::FETCH_SESSION_ID_NOT_FOUND)),
    ] {
        let sessions = FetchSessions::new(10, 100);
        let client = Client { sessions: &sessions, now: Instant::now() };
        assert_eq!(client.open(&[0]), 1);
        let answer = client.fetch(SessionRequest { id, epoch, by_topic_id }, named(&[0]), &[], |_| QUIET);
        assert_eq!(answer, expected, "session {id} epoch {epoch} by topic id {by_topic_id}");
    }
}

#[test]
fn sessionless_and_full_fetches_close_the_session_they_name() {
    for epoch in [-1, 0] {
        let sessions = FetchSessions::new(10, 100);
        let client = Client { sessions: &sessions, now: Instant::now() };
        let id = client.open(&[0]);
        client.fetch(request(id, epoch), named(&[]), &[], |_| QUIET).expect("answered");
        assert_eq!(sessions.count(), 0, "epoch {epoch}");
    }
}

#[test]
fn epoch_rises_with_each_fetch_and_wraps_to_one() {
    let sessions = FetchSessions::new(10, 100);
    let client = Client { sessions: &sessions, now: Instant::now() };
    let id = client.open(&[0]);
    for epoch in [1, 2, 3] {
        client.fetch(request(id, epoch), vec![], &[], |_| QUIET).expect("next epoch");
    }
    assert_eq!(
        client.fetch(request(id, 3), vec![], &[], |_| QUIET),
        Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH),
        "a repeated request"
    );
    assert_eq!(next_epoch(i32::MAX), 1);
}

#[test]
fn incremental_answer_lists_exactly_what_changed() {
    let error = Outcome { is_error: true, high_watermark: -1, log_start: -1, ..QUIET };
    for (outcome, listed) in [
        (QUIET, false),
        (Outcome { has_records: true, ..QUIET }, true),
        (Outcome { high_watermark: 11, ..QUIET }, true),
        (Outcome { log_start: 1, ..QUIET }, true),
        (Outcome { is_diverging: true, ..QUIET }, true),
        (error, true),
    ] {
        let sessions = FetchSessions::new(10, 100);
        let client = Client { sessions: &sessions, now: Instant::now() };
        let id = client.open(&[0, 1]);
        let answer = client.fetch(request(id, 1), vec![], &[], |index| if index == 1 { outcome } else { QUIET });
        assert_eq!(answer, Ok((id, if listed { vec![1] } else { vec![] })), "{outcome:?}");
        // Told once, it is not told again.
        let again = client.fetch(request(id, 2), vec![], &[], |index| match index {
            1 if !outcome.is_error => Outcome { has_records: false, is_diverging: false, ..outcome },
            _ => QUIET,
        });
        let recovered = if outcome.is_error { vec![1] } else { vec![] };
        assert_eq!(again, Ok((id, recovered)), "after {outcome:?}");
    }
}

#[test]
fn recovery_at_the_same_offsets_is_listed_after_an_error_with_offsets() {
    let sessions = FetchSessions::new(10, 100);
    let client = Client { sessions: &sessions, now: Instant::now() };
    let id = client.open(&[0]);
    let out_of_range = Outcome { is_error: true, ..QUIET };
    assert_eq!(client.fetch(request(id, 1), vec![], &[], |_| out_of_range), Ok((id, vec![0])));
    assert_eq!(client.fetch(request(id, 2), vec![], &[], |_| QUIET), Ok((id, vec![0])));
    assert_eq!(client.fetch(request(id, 3), vec![], &[], |_| QUIET), Ok((id, vec![])));
}

#[test]
fn incremental_request_adds_changes_and_forgets() {
    let sessions = FetchSessions::new(10, 100);
    let now = Instant::now();
    let client = Client { sessions: &sessions, now };
    let id = client.open(&[0, 1, 2]);
    let changes = vec![(key(1), asked(5)), (key(3), asked(7))];
    let fetching = sessions.begin(now, request(id, 1), changes, &[key(0), key(9)]).expect("begins");
    assert_eq!(fetching.partitions, vec![(key(1), asked(5)), (key(2), asked(0)), (key(3), asked(7))]);
}

#[test]
fn session_without_partitions_is_closed() {
    let sessions = FetchSessions::new(10, 100);
    let client = Client { sessions: &sessions, now: Instant::now() };
    let id = client.open(&[0]);
    assert_eq!(client.fetch(request(id, 1), vec![], &[key(0)], |_| QUIET), Ok((NO_SESSION, vec![])));
    assert_eq!(sessions.count(), 0);
}

#[test]
fn partitions_with_records_go_to_the_end() {
    let sessions = FetchSessions::new(10, 100);
    let now = Instant::now();
    let client = Client { sessions: &sessions, now };
    let id = client.open(&[0, 1, 2]);
    let busy = |index| Outcome { has_records: index == 0, ..QUIET };
    client.fetch(request(id, 1), vec![], &[], busy).expect("answered");
    let fetching = sessions.begin(now, request(id, 2), vec![], &[]).expect("begins");
    assert_eq!(indexes(&fetching), [1, 2, 0]);
}

#[test]
fn partition_named_twice_is_read_once_as_last_named() {
    let sessions = FetchSessions::new(10, 100);
    let twice = vec![(key(0), asked(1)), (key(1), asked(2)), (key(0), asked(3))];
    let fetching = sessions.begin(Instant::now(), request(0, -1), twice, &[]).expect("begins");
    assert_eq!(fetching.partitions, vec![(key(0), asked(3)), (key(1), asked(2))]);
}

#[test]
fn only_idle_sessions_make_room() {
    for (slots, partitions_max) in [(2, 100), (100, 4)] {
        let sessions = FetchSessions::new(slots, partitions_max);
        let start = Instant::now();
        let at = |seconds| Client { sessions: &sessions, now: start + Duration::from_secs(seconds) };
        let first = at(0).open(&[0, 1]);
        let second = at(1).open(&[0, 1]);
        assert_eq!(at(2).open(&[0, 1]), NO_SESSION, "both are in use");
        at(100).fetch(request(first, 1), vec![], &[], |_| QUIET).expect("in use");
        let third = at(121).open(&[0, 1]);
        assert_eq!(third, second, "its id is free again");
        assert_eq!(sessions.count(), 2);
        assert!(at(122).fetch(request(first, 2), vec![], &[], |_| QUIET).is_ok());
    }
}

#[test]
fn session_that_outgrows_the_cache_is_closed() {
    let sessions = FetchSessions::new(2, 3);
    let client = Client { sessions: &sessions, now: Instant::now() };
    let id = client.open(&[0, 1]);
    let answer = client.fetch(request(id, 1), named(&[2, 3]), &[], |_| QUIET);
    assert_eq!(answer, Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND));
    assert_eq!(client.open(&[0, 1, 2, 3]), NO_SESSION);
    assert_ne!(client.open(&[0, 1, 2]), NO_SESSION);
}

#[test]
fn session_is_idle_from_its_answer_on() {
    let sessions = FetchSessions::new(1, 100);
    let start = Instant::now();
    let client = |now| Client { sessions: &sessions, now };
    let id = client(start).open(&[0]);
    // A long poll: asked for at once, answered much later.
    let fetching = sessions.begin(start, request(id, 1), vec![], &[]).expect("next epoch");
    let answered = start + IDLE_BEFORE_EVICTION;
    sessions.finish(answered, &fetching, &[QUIET], || None).expect("answered");
    let almost = answered + IDLE_BEFORE_EVICTION - Duration::from_millis(1);
    assert_eq!(client(almost).open(&[0]), 0, "no room yet");
    assert_ne!(client(answered + IDLE_BEFORE_EVICTION).open(&[0]), 0);
}
