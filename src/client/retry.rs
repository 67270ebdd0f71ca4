//! Asking again what a broker is not ready for yet.

use std::thread;
use std::time::{Duration, Instant};

use super::ClientError;
use super::waiting::wait_for;
use crate::types::ErrorCode;

/// Between two tries.
const RETRY_AFTER: Duration = Duration::from_millis(20);

/// What a coordinator answers that is moving, or has not read its log yet.
pub const COORDINATOR_MOVES: &[ErrorCode] =
    &[ErrorCode::NOT_COORDINATOR, ErrorCode::COORDINATOR_NOT_AVAILABLE, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS];

/// Asks until the code of the answer is none of `not_ready`, for `patience` at the most. Answers the last answer with its code.
///
/// # Errors
/// The first that `ask` has.
pub fn until_ready<T>(
    patience: Duration,
    not_ready: &[ErrorCode],
    mut ask: impl FnMut() -> Result<(ErrorCode, T), ClientError>,
) -> Result<(ErrorCode, T), ClientError> {
    let give_up = Instant::now() + patience;
    let mut _waiting = None;
    loop {
        let (code, answer) = ask()?;
        if !not_ready.contains(&code) || Instant::now() >= give_up {
            return Ok((code, answer));
        }
        _waiting.get_or_insert_with(|| wait_for(|| format!("the broker, which answers {code} for now")));
        thread::sleep(RETRY_AFTER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often is asked, and the code in the end, of a broker that answers with these codes in turn.
    fn asked(patience: Duration, codes: &[ErrorCode]) -> (usize, ErrorCode) {
        let mut count = 0;
        let ask = || {
            count += 1;
            Ok((codes[count - 1], count))
        };
        let (code, last) = until_ready(patience, COORDINATOR_MOVES, ask).expect("no error of its own");
        assert_eq!(last, count, "another answer than the last");
        (count, code)
    }

    #[test]
    fn only_what_a_broker_is_not_ready_for_is_asked_again_and_not_for_ever() {
        const PATIENCE: Duration = Duration::from_secs(3600);
        let (loads, none) = (ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, ErrorCode::NONE);
        assert_eq!(asked(PATIENCE, &[none]), (1, none));
        assert_eq!(asked(PATIENCE, &[loads, ErrorCode::NOT_COORDINATOR, none]), (3, none));
        let refused = ErrorCode::GROUP_AUTHORIZATION_FAILED;
        assert_eq!(asked(PATIENCE, &[loads, refused]), (2, refused));
        assert_eq!(asked(Duration::ZERO, &[loads]), (1, loads));
        let broken = until_ready(PATIENCE, COORDINATOR_MOVES, || Err::<(_, ()), _>(ClientError::NoBroker(1)));
        assert!(matches!(broken, Err(ClientError::NoBroker(1))));
    }
}
