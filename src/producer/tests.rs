use proptest::prelude::*;

use super::*;
use crate::record::build::BatchBuilder;
use crate::types::{ErrorCode, ProducerId};

const NOW: Timestamp = 1_700_000_000_000;

/// The header of a batch of `record_count` records, made without the records.
fn header(epoch: i16, base_sequence: i32, record_count: i32) -> BatchHeader {
    let bytes = BatchBuilder::new()
        .producer(ProducerId(9), ProducerEpoch(epoch), base_sequence)
        .record(NOW, None, None)
        .build();
    let header = BatchHeader::parse(&bytes).expect("a batch");
    BatchHeader { record_count, last_offset_delta: record_count - 1, ..header }
}

/// `first+count` with the epoch before it, and `t` behind it for transactional.
fn batch(word: &str) -> BatchHeader {
    let (epoch, rest) = word.split_once(':').expect("epoch:first+count");
    let (rest, transactional) = rest.strip_suffix('t').map_or((rest, false), |rest| (rest, true));
    let (first, count) = rest.split_once('+').expect("first+count");
    let number = |word: &str| word.parse::<i32>().expect("a number");
    let first = if first == "MAX" { i32::MAX } else { number(first) };
    let mut header = header(epoch.parse().expect("an epoch"), first, number(count));
    header.attributes |= if transactional { 0b1_0000 } else { 0 };
    header
}

/// Judges a batch that belongs to no transaction, or to the one it should.
fn judge(state: Option<&ProducerState>, header: &BatchHeader) -> Result<Decision, AppendRejected> {
    decide(state, header, false, || Ok(()))
}

/// A marker of epoch `word`, written by coordinator epoch 7.
fn marker(word: &str, result: TransactionResult) -> EndMarker {
    let producer_epoch = ProducerEpoch(word.parse().expect("an epoch"));
    EndMarker { producer_epoch, coordinator_epoch: 7, result, raises_epoch: false, by: MarkerWriter::Coordinator }
}

/// Appends the batches one behind the other from offset 100 on. A word `commit:3` is a marker of epoch 3, `abort:3` likewise; each takes
/// an offset. `!3:0+1` is a first batch that was refused, `=3:0+1` one of which
/// all is known since offset 7.
fn state(words: &str) -> Option<ProducerState> {
    let mut state: Option<ProducerState> = None;
    let mut offset = 100;
    for word in words.split_whitespace().filter(|word| *word != "nothing") {
        let end = match word.split_once(':') {
            Some(("commit", epoch)) => Some(marker(epoch, TransactionResult::Commit)),
            Some(("abort", epoch)) => Some(marker(epoch, TransactionResult::Abort)),
            _ => None,
        };
        match (end, &mut state) {
            (Some(end), Some(state)) => {
                state.end(&end, NOW);
                offset += 1;
            }
            (Some(end), None) => {
                state = Some(ProducerState::of_marker(&end, NOW));
                offset += 1;
            }
            (None, None) if word.starts_with('!') => state = Some(ProducerState::awaiting(&batch(&word[1..]), NOW)),
            (None, state) if word.starts_with('=') => {
                let header = batch(&word[1..]);
                match state {
                    Some(state) => state.pass_over(&header, 7, NOW),
                    None => *state = Some(ProducerState::first_passed_over(&header, 7, NOW)),
                }
            }
            (None, state) => {
                let header = batch(word);
                match state {
                    Some(state) => state.append(&header, offset, NOW),
                    None => *state = Some(ProducerState::first(&header, offset, NOW)),
                }
                offset += i64::from(header.record_count);
            }
        }
    }
    state
}

/// Stored batches | batch that comes | what happens: `append`, `duplicate` with its base offset, or an error code.
const RULES: &str = "
    nothing                               | 0:0+1    | append
    nothing                               | 5:123+2  | append
    3:0+10                                | 3:10+1   | append
    3:0+10                                | 3:0+10   | duplicate 100
    3:0+10                                | 3:0+9    | 45
    3:0+10                                | 3:1+9    | 45
    3:0+10                                | 3:5+10   | 45
    3:0+10                                | 3:11+1   | 45
    3:0+10 3:10+5                         | 3:0+10   | duplicate 100
    3:0+10 3:10+5                         | 3:10+5   | duplicate 110
    3:0+10 3:10+5                         | 3:0+15   | 45
    3:0+1 3:1+1 3:2+1 3:3+1 3:4+1         | 3:0+1    | duplicate 100
    3:0+1 3:1+1 3:2+1 3:3+1 3:4+1 3:5+1   | 3:0+1    | 45
    3:0+1 3:1+1 3:2+1 3:3+1 3:4+1 3:5+1   | 3:1+1    | duplicate 101
    3:MAX+1                               | 3:0+1    | append
    3:MAX+1                               | 3:MAX+1  | duplicate 100
    3:MAX+3                               | 3:2+1    | append
    3:MAX+3                               | 3:0+1    | 45
    3:MAX+3                               | 3:MAX+3  | duplicate 100
    3:MAX+3                               | 3:MAX+2  | 45
    3:0+10                                | 4:0+1    | append
    3:0+10                                | 4:10+1   | 45
    3:0+10                                | 4:1+1    | 45
    3:0+10                                | 2:0+10   | 47
    3:0+10                                | 2:10+1   | 47
    3:0+10 4:0+2                          | 4:2+1    | append
    3:0+10 4:0+2                          | 4:0+10   | 45
    3:0+10 4:0+2                          | 3:0+10   | 47
    3:0+10 commit:4                       | 4:0+1    | append
    3:0+10 commit:4                       | 4:10+1   | 45
    3:0+10 commit:4                       | 4:0+10   | append
    3:0+10 commit:4                       | 3:10+1   | 47
    commit:4                              | 4:0+1    | append
    commit:4                              | 4:1+1    | 45
    commit:4                              | 3:0+1    | 47
    3:0+2t                                | 3:2+1t   | append
    3:0+2t                                | 3:2+1    | 48
    3:0+2t                                | 4:0+1    | 48
    3:0+2t                                | 3:0+2    | duplicate 100
    3:0+2t                                | 2:2+1    | 47
    3:0+2t                                | 3:3+1    | 45
    3:0+2t commit:3                       | 3:2+1    | append
    3:0+2t commit:3                       | 3:0+2t   | duplicate 100
    3:0+2t abort:3                        | 3:0+2t   | 45
    3:0+2t abort:3                        | 3:2+1t   | append
    3:0+2t commit:3 3:2+2t abort:3        | 3:0+2t   | 45
    3:0+2t commit:3 3:2+2t abort:3        | 3:2+2t   | 45
    3:0+2t 3:2+2t abort:3                 | 3:0+2t   | 45
    3:0+2t 3:2+2t abort:3                 | 3:2+2t   | 45
    3:0+2t abort:3 3:2+1t                 | 3:2+1t   | duplicate 103
    3:0+2t abort:3 commit:3               | 3:0+2t   | 45
    3:0+2 abort:3                         | 3:0+2    | 45
    =3:0+2t                               | 3:0+2t   | duplicate 7
    =3:0+2t commit:3                      | 3:0+2t   | duplicate 7
    =3:0+2t abort:3                       | 3:0+2t   | 45
    =3:0+2t abort:3                       | 3:2+1t   | append
    3:0+1t =3:1+2t abort:3                | 3:1+2t   | 45
    !3:0+2                                | 3:2+1    | 45
    !3:0+2                                | 3:0+2    | append
    !3:0+2                                | 3:0+1    | append
    !3:0+2                                | 4:1+1    | 45
    !3:0+2                                | 4:0+1    | append
    !3:0+2                                | 2:0+1    | 47
    !3:0+2 3:0+2                          | 3:0+2    | duplicate 100
    !3:0+2 3:0+2                          | 3:2+1    | append
    !3:0+2 abort:3                        | 3:2+1t   | 45
    !3:0+2 abort:3                        | 3:0+1t   | append
    !3:7+2                                | 3:9+1    | 45
    !3:7+2                                | 3:7+2    | append
    !3:7+2                                | 3:6+1    | 45
    !3:7+2                                | 4:0+1    | append
    !3:7+2 3:7+2                          | 3:7+2    | duplicate 100
    !3:7+2 3:7+2                          | 3:6+1    | 45
    !3:MAX+2                              | 3:1+1    | 45
    !3:MAX+2                              | 3:MAX+2  | append
";

#[test]
fn batches_are_judged_by_epoch_sequence_and_transaction() {
    for line in RULES.lines().filter(|line| !line.trim().is_empty()) {
        let [stored, incoming, expected] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("three columns: {line}")
        };
        let outcome = match judge(state(stored).as_ref(), &batch(incoming)) {
            Ok(Decision::Append) => "append".to_owned(),
            Ok(Decision::Duplicate(original)) => format!("duplicate {}", original.base_offset()),
            Err(rejected) => rejected.error().0.to_string(),
        };
        assert_eq!(outcome, expected, "{line}");
    }
}

/// Stored batches | batch that comes in a transaction | whether it belongs to one | what happens in version 1 | in version 2.
const MEMBERSHIP: &str = "
    nothing            | 5:0+2t   | yes | append        | append
    nothing            | 5:9+2t   | yes | append        | 45
    nothing            | 5:9+2t   | no  | no member     | no member
    3:0+2t             | 3:2+1t   | no  | no member     | no member
    3:0+2t             | 3:2+1t   | yes | append        | append
    3:0+2t             | 3:3+1t   | no  | no member     | no member
    3:0+2t             | 3:3+1t   | yes | 45            | 45
    3:0+2t             | 2:2+1t   | no  | 47            | 47
    3:0+2t commit:3    | 3:0+2t   | no  | duplicate 100 | duplicate 100
    3:0+2t commit:4    | 3:0+2t   | no  | 47            | 47
    3:0+2t commit:4    | 4:0+2t   | yes | append        | append
    3:0+2t commit:4    | 4:0+2t   | no  | no member     | no member
    3:0+2t abort:4     | 4:2+2t   | yes | 45            | 45
";

/// Why a batch of the table is not appended.
#[derive(Debug)]
enum Refused {
    NoMember,
    Producer(AppendRejected),
}

impl From<AppendRejected> for Refused {
    fn from(rejected: AppendRejected) -> Self {
        Self::Producer(rejected)
    }
}

#[test]
fn membership_is_asked_after_epoch_and_duplicate_and_before_the_sequence() {
    for line in MEMBERSHIP.lines().filter(|line| !line.trim().is_empty()) {
        let [stored, incoming, belongs, v1, v2] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("five columns: {line}")
        };
        for (begins_at_zero, expected) in [(false, v1), (true, v2)] {
            let admit = || if belongs == "yes" { Ok(()) } else { Err(Refused::NoMember) };
            let outcome = match decide(state(stored).as_ref(), &batch(incoming), begins_at_zero, admit) {
                Ok(Decision::Append) => "append".to_owned(),
                Ok(Decision::Duplicate(original)) => format!("duplicate {}", original.base_offset()),
                Err(Refused::NoMember) => "no member".to_owned(),
                Err(Refused::Producer(rejected)) => rejected.error().0.to_string(),
            };
            assert_eq!(outcome, expected, "{line}");
        }
    }
}

/// Stored batches | marker's epoch | of which coordinator epoch | what happens in version 1 | in version 2 | if it is an
/// administrator's.
const MARKERS: &str = "
    nothing               | 3     | 7 | append | append | replay
    3:0+2t                | 3     | 7 | append | append | append
    3:0+2t                | 4     | 7 | append | append | 47
    3:0+2t                | 32767 | 7 | append | append | 47
    3:0+2t                | 2     | 7 | append | append | 47
    3:0+2                 | 3     | 7 | append | replay | replay
    3:0+2                 | 4     | 7 | append | append | replay
    3:0+2                 | 2     | 7 | append | append | 47
    3:0+2t commit:4       | 4     | 7 | append | replay | replay
    3:0+2t commit:4       | 5     | 7 | append | append | replay
    3:0+2t commit:4       | 4     | 6 | append | replay | 52
    3:0+2t commit:4       | 4     | 8 | append | replay | replay
    3:0+2t commit:4       | 3     | 6 | append | append | 47
    3:0+2t commit:3 3:2+1t| 3     | 6 | append | append | 52
    3:0+2t commit:3 3:2+1t| 3     | 7 | append | append | append
    32766:0+1t            | 32767 | 7 | append | append | 47
    32767:0+1t            | 32767 | 7 | append | append | append
    32766:0+1t abort:32767| 32767 | 7 | append | replay | replay
";

#[test]
fn markers_are_judged_by_epoch_and_coordinator() {
    for line in MARKERS.lines().filter(|line| !line.trim().is_empty()) {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let [stored, epoch, coordinator_epoch, v1, v2, foreign] = columns[..] else { panic!("six columns: {line}") };
        let (own, admin) = (MarkerWriter::Coordinator, MarkerWriter::Administrator);
        for (by, raises_epoch, expected) in [(own, false, v1), (own, true, v2), (admin, false, foreign)] {
            let coordinator_epoch = coordinator_epoch.parse().expect("an epoch");
            let end = EndMarker { coordinator_epoch, raises_epoch, by, ..marker(epoch, TransactionResult::Commit) };
            let outcome = match decide_marker(state(stored).as_ref(), &end) {
                Ok(MarkerDecision::Append) => "append".to_owned(),
                Ok(MarkerDecision::Replay) => "replay".to_owned(),
                Err(rejected) => rejected.error().0.to_string(),
            };
            assert_eq!(outcome, expected, "{line}");
        }
    }
}

#[test]
fn marker_ends_the_transaction_and_says_where_it_began() {
    let mut state = state("3:0+2 3:2+2t 3:4+1t").expect("a state");
    let end = marker("3", TransactionResult::Abort);
    assert_eq!(state.end(&end, NOW + 5), Some(102));
    assert_eq!((state.open_transaction, state.coordinator_epoch, state.last_timestamp), (None, 7, NOW + 5));
    assert!(state.window.iter().all(|batch| batch.aborted));
    assert_eq!(state.end(&end, NOW + 6), None);
}

#[test]
fn refusal_tells_what_was_expected() {
    let state = state("3:0+10");
    let rejected = |word| judge(state.as_ref(), &batch(word)).expect_err("refused").to_string();
    assert_eq!(rejected("3:12+1"), "out of order sequence number of producer 9 with epoch 3: expected 10, got 12");
    assert_eq!(rejected("2:10+1"), "producer 9 with epoch 2 is fenced by epoch 3");
}

#[test]
fn retry_of_last_five_batches_returns_original_offset() {
    let mut state = ProducerState::first(&header(0, 0, 3), 50, NOW);
    for index in 1..9 {
        state.append(&header(0, 3 * index, 3), 50 + 10 * i64::from(index), NOW);
    }
    for index in 0..9 {
        let outcome = judge(Some(&state), &header(0, 3 * index, 3));
        match outcome {
            Ok(Decision::Duplicate(original)) if index >= 4 => {
                assert_eq!(original.base_offset(), 50 + 10 * i64::from(index));
            }
            Err(rejected) if index < 4 => assert_eq!(rejected.error(), ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER),
            _ => panic!("batch {index}: {outcome:?}"),
        }
    }
}

#[test]
fn sequence_wraps_after_int_max() {
    let mut state = ProducerState::first(&header(0, i32::MAX - 1, 2), 0, NOW);
    assert_eq!(judge(Some(&state), &header(0, 0, 5)), Ok(Decision::Append));
    state.append(&header(0, 0, 5), 2, NOW);
    assert_eq!(judge(Some(&state), &header(0, 5, 1)), Ok(Decision::Append));

    let mut state = ProducerState::first(&header(0, i32::MAX - 1, 5), 0, NOW);
    assert_eq!(state.window[0].last_sequence(), 2);
    assert_eq!(judge(Some(&state), &header(0, 3, 1)), Ok(Decision::Append));
    state.append(&header(0, 3, 1), 5, NOW);
    let retried = judge(Some(&state), &header(0, i32::MAX - 1, 5));
    assert!(matches!(retried, Ok(Decision::Duplicate(original)) if original.base_offset() == 0));
}

#[test]
fn transaction_opens_at_its_first_batch() {
    let state = state("3:0+2 3:2+2t 3:4+2t").expect("a state");
    assert_eq!(state.open_transaction, Some(102));
}

#[test]
fn idle_producer_expires_unless_its_transaction_is_open() {
    let mut state = ProducerState::first(&header(0, 0, 1), 0, NOW);
    assert!(!state.is_expired(NOW + 999, 1_000));
    assert!(state.is_expired(NOW + 1_000, 1_000));
    assert!(!state.is_expired(NOW - 1_000_000, 1_000));
    state.append(&header(0, 1, 1), 1, NOW + 500);
    assert!(!state.is_expired(NOW + 1_000, 1_000));
    state.open_transaction = Some(1);
    assert!(!state.is_expired(i64::MAX, 1_000));
}

/// Remembers every batch that was ever appended: epoch, first and last sequence, base offset.
#[derive(Debug, Default)]
struct Model {
    appended: Vec<(i16, i32, i32, Offset)>,
    log_end: Offset,
}

/// Sequences counted without a machine integer's wrap.
fn after(sequence: i32, count: i32) -> i32 {
    ((i64::from(sequence) + i64::from(count)) % (1 << 31)) as i32
}

impl Model {
    fn epoch(&self) -> i16 {
        self.appended.last().map_or(0, |batch| batch.0)
    }

    fn next_sequence(&self) -> i32 {
        self.appended.last().map_or(0, |batch| after(batch.2, 1))
    }

    /// The base offset of the original for a duplicate, none for an append, or the code.
    fn judge(&self, epoch: i16, first: i32, last: i32) -> Result<Option<Offset>, ErrorCode> {
        if self.appended.is_empty() {
            return Ok(None);
        }
        if epoch < self.epoch() {
            return Err(ErrorCode::INVALID_PRODUCER_EPOCH);
        }
        if epoch == self.epoch() {
            let newest = self.appended.iter().rev().take(5).filter(|batch| batch.0 == epoch);
            if let Some(original) = newest.rev().find(|batch| (batch.1, batch.2) == (first, last)) {
                return Ok(Some(original.3));
            }
        }
        let expected = if epoch == self.epoch() { self.next_sequence() } else { 0 };
        if first == expected { Ok(None) } else { Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER) }
    }
}

/// What a client may do next.
#[derive(Debug, Clone)]
enum Step {
    Next { count: i32 },
    Retry { back: usize, shorter: bool },
    Gap { skipped: i32, count: i32 },
    Bump { first: i32, count: i32 },
    OldEpoch { count: i32 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let count = || prop_oneof![4 => 1..20_i32, 1 => 1..=i32::MAX];
    let step = prop_oneof![
        6 => count().prop_map(|count| Step::Next { count }),
        5 => (0..9_usize, prop::bool::weighted(0.2)).prop_map(|(back, shorter)| Step::Retry { back, shorter }),
        1 => (1..5_i32, count()).prop_map(|(skipped, count)| Step::Gap { skipped, count }),
        1 => (prop_oneof![3 => Just(0), 1 => 1..5_i32], count()).prop_map(|(first, count)| Step::Bump { first, count }),
        1 => count().prop_map(|count| Step::OldEpoch { count }),
    ];
    prop::collection::vec(step, 1..60)
}

/// Epoch, first sequence and count of the batch that `step` sends.
fn sent(model: &Model, step: &Step, first_ever: i32) -> (i16, i32, i32) {
    let next = if model.appended.is_empty() { first_ever } else { model.next_sequence() };
    match *step {
        Step::Next { count } => (model.epoch(), next, count),
        Step::Retry { back, shorter } => match model.appended.iter().rev().nth(back) {
            Some(&(epoch, first, last, _)) => {
                let count = (i64::from(last) - i64::from(first)).rem_euclid(1 << 31) as i32 + 1;
                (epoch, first, if shorter { (count - 1).max(1) } else { count })
            }
            None => (model.epoch(), next, 1),
        },
        Step::Gap { skipped, count } => (model.epoch(), after(next, skipped), count),
        Step::Bump { first, count } => (model.epoch() + 1, first, count),
        Step::OldEpoch { count } => (model.epoch() - 1, next, count),
    }
}

proptest! {
    #[test]
    fn window_of_five_agrees_with_a_model_that_remembers_everything(
        first_ever in prop_oneof![Just(0), i32::MAX - 40..=i32::MAX, 0..=i32::MAX], steps in steps(),
    ) {
        let mut model = Model::default();
        let mut state: Option<ProducerState> = None;
        for step in steps {
            let (epoch, first, count) = sent(&model, &step, first_ever);
            let last = after(first, count - 1);
            let header = header(epoch, first, count);
            prop_assert_eq!(header.last_sequence(), last);
            let outcome = match judge(state.as_ref(), &header) {
                Ok(Decision::Append) => Ok(None),
                Ok(Decision::Duplicate(original)) => Ok(Some(original.base_offset())),
                Err(rejected) => Err(rejected.error()),
            };
            prop_assert_eq!(outcome, model.judge(epoch, first, last), "{:?}", step);
            if outcome == Ok(None) {
                match &mut state {
                    Some(state) => state.append(&header, model.log_end, NOW),
                    None => state = Some(ProducerState::first(&header, model.log_end, NOW)),
                }
                model.appended.push((epoch, first, last, model.log_end));
                model.log_end += i64::from(count);
            }
        }
    }
}
