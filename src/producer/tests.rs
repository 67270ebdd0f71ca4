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

/// Appends the batches one behind the other from offset 100 on. A word `emptied` is a marker that raised the epoch to 4, `ended` one
/// that ended the transaction, `aborted` one that also took the newest batch back.
fn state(words: &str) -> Option<ProducerState> {
    let mut state: Option<ProducerState> = None;
    let mut offset = 100;
    for word in words.split_whitespace().filter(|word| *word != "nothing") {
        match (word, &mut state) {
            ("emptied", Some(state)) => {
                state.epoch = ProducerEpoch(4);
                state.window.clear();
            }
            ("ended", Some(state)) => state.open_transaction = None,
            ("aborted", Some(state)) => {
                state.open_transaction = None;
                let last = state.window.len() - 1;
                state.window = state
                    .window
                    .iter()
                    .enumerate()
                    .map(|(index, batch)| WindowBatch { aborted: index == last, ..*batch })
                    .collect();
            }
            (_, state) => {
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
    3:0+10 emptied                        | 4:0+1    | append
    3:0+10 emptied                        | 4:10+1   | 45
    3:0+10 emptied                        | 3:10+1   | 47
    3:0+2t                                | 3:2+1t   | append
    3:0+2t                                | 3:2+1    | 48
    3:0+2t                                | 4:0+1    | 48
    3:0+2t                                | 3:0+2    | duplicate 100
    3:0+2t                                | 2:2+1    | 47
    3:0+2t                                | 3:3+1    | 45
    3:0+2t ended                          | 3:2+1    | append
    3:0+2t aborted                        | 3:0+2t   | 45
    3:0+2t aborted                        | 3:2+1t   | append
    3:0+2t 3:2+2t aborted                 | 3:0+2t   | duplicate 100
";

#[test]
fn batches_are_judged_by_epoch_sequence_and_transaction() {
    for line in RULES.lines().filter(|line| !line.trim().is_empty()) {
        let [stored, incoming, expected] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("three columns: {line}")
        };
        let outcome = match decide(state(stored).as_ref(), &batch(incoming)) {
            Ok(Decision::Append) => "append".to_owned(),
            Ok(Decision::Duplicate(original)) => format!("duplicate {}", original.base_offset()),
            Err(rejected) => rejected.error().0.to_string(),
        };
        assert_eq!(outcome, expected, "{line}");
    }
}

#[test]
fn refusal_tells_what_was_expected() {
    let state = state("3:0+10");
    let rejected = |word| decide(state.as_ref(), &batch(word)).expect_err("refused").to_string();
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
        let outcome = decide(Some(&state), &header(0, 3 * index, 3));
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
    assert_eq!(decide(Some(&state), &header(0, 0, 5)), Ok(Decision::Append));
    state.append(&header(0, 0, 5), 2, NOW);
    assert_eq!(decide(Some(&state), &header(0, 5, 1)), Ok(Decision::Append));

    let mut state = ProducerState::first(&header(0, i32::MAX - 1, 5), 0, NOW);
    assert_eq!(state.window[0].last_sequence(), 2);
    assert_eq!(decide(Some(&state), &header(0, 3, 1)), Ok(Decision::Append));
    state.append(&header(0, 3, 1), 5, NOW);
    let retried = decide(Some(&state), &header(0, i32::MAX - 1, 5));
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
            let outcome = match decide(state.as_ref(), &header) {
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
