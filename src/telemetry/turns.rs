//! Answers that take time and memory to make: a few at once, whoever asks, and however soon he leaves.
//!
//! What goes through the store or over all topics cannot be stopped once it has begun, and a client that has left frees its connection at
//! once. So not the connections bound this work, but turns: who asks waits for one, and what is made keeps it until it is done. What is
//! made lies in memory until its client has taken it, and all of it together is bounded, too.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Answers that are made at the same time: a scrape, and the page beside it.
const TURNS: usize = 2;
/// How long one waits for its turn: shorter than scrapes are given, so that they are told why.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of answers that clients have not taken yet. A larger one takes all of it: it is answered only where nothing else is untaken.
const UNTAKEN_BYTES_MAX: u32 = 64 << 20;

/// Who may make an answer now.
#[derive(Debug, Clone)]
pub(super) struct Turns {
    turns: Arc<Semaphore>,
    /// A permit for each byte.
    room: Arc<Semaphore>,
    patience: Duration,
}

/// Why an answer is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoTurn {
    /// Others are being made, or have not been taken.
    Busy,
    /// Making it has panicked.
    Failed,
}

impl IntoResponse for NoTurn {
    fn into_response(self) -> Response {
        match self {
            Self::Busy => {
                let why = "other answers are being made, or sent to clients that do not take them; ask again\n";
                (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], why).into_response()
            }
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

/// An answer that gives its room back when the last part of it has been sent.
struct Untaken {
    bytes: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Untaken {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Turns {
    pub fn new() -> Self {
        Self::with(TURNS, PATIENCE)
    }

    fn with(turns: usize, patience: Duration) -> Self {
        let room = Arc::new(Semaphore::new(UNTAKEN_BYTES_MAX as usize));
        Self { turns: Arc::new(Semaphore::new(turns)), room, patience }
    }

    /// What `making` makes, once it is its turn. Dropped before, nothing is made; dropped later, it is made all the same, and its turn is
    /// over when it is.
    ///
    /// # Errors
    /// [`NoTurn`].
    async fn made<T: Send + 'static>(&self, making: impl Future<Output = T> + Send + 'static) -> Result<T, NoTurn> {
        let turn = tokio::time::timeout(self.patience, Arc::clone(&self.turns).acquire_owned());
        let Ok(Ok(turn)) = turn.await else { return Err(NoTurn::Busy) };
        let made = tokio::spawn(async move {
            let made = making.await;
            drop(turn);
            made
        });
        made.await.map_err(|_| NoTurn::Failed)
    }

    /// The same of a text, compressed or not, which is counted until it has been sent.
    ///
    /// # Errors
    /// [`NoTurn`].
    pub async fn text<T: Into<Vec<u8>>, E: From<NoTurn> + Send + 'static>(
        &self,
        making: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<Bytes, E> {
        let room = Arc::clone(&self.room);
        let made = self.made(async move {
            let bytes: Vec<u8> = making.await?.into();
            let wanted = u32::try_from(bytes.len()).unwrap_or(u32::MAX).min(UNTAKEN_BYTES_MAX);
            let room = room.try_acquire_many_owned(wanted).map_err(|_| NoTurn::Busy)?;
            Ok(Bytes::from_owner(Untaken { bytes, _room: room }))
        });
        made.await?
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_has_begun_keeps_its_turn_though_nobody_waits_for_it() {
        let turns = Turns::with(1, Duration::ZERO);
        let ((begin, begun), (end, ended)) = (oneshot::channel(), oneshot::channel::<()>());
        let (of_asker, done) = (turns.clone(), Arc::clone(&turns.turns));
        let asker = tokio::spawn(async move {
            let making = async move {
                let _ = begin.send(());
                let _ = ended.await;
            };
            of_asker.made(making).await
        });
        begun.await.expect("it is its turn");
        asker.abort();
        assert!(asker.await.expect_err("it has left").is_cancelled());
        assert_eq!(turns.made(async {}).await, Err(NoTurn::Busy));
        let response = NoTurn::Busy.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key(header::RETRY_AFTER));
        end.send(()).expect("it goes on");
        drop(done.acquire().await.expect("the next turn comes"));
        assert_eq!(turns.made(async { 7 }).await, Ok(7));
    }

    #[tokio::test]
    async fn who_leaves_while_waiting_has_nothing_made() {
        let turns = Turns::with(1, Duration::from_secs(3600));
        let held = Arc::clone(&turns.turns).acquire_owned().await.expect("it is free");
        let waits = turns.made(async { unreachable!("nobody wants it any more") });
        assert!(tokio::time::timeout(Duration::ZERO, waits).await.is_err());
        drop(held);
        assert_eq!(turns.made(async { 7 }).await, Ok(7));
    }

    #[tokio::test]
    async fn answers_that_are_not_taken_leave_no_room_for_more() {
        let turns = Turns::with(1, Duration::from_secs(3600));
        let large = || async { Ok("x".repeat(UNTAKEN_BYTES_MAX as usize / 2 + 1)) };
        let first = turns.text(large()).await.expect("there is room");
        assert_eq!(turns.text(large()).await, Err(NoTurn::Busy));
        let end = first.slice(first.len() - 1..);
        drop(first);
        assert_eq!(turns.text(large()).await, Err(NoTurn::Busy), "some of it has not been sent");
        drop(end);
        let huge = async { Ok::<_, NoTurn>("x".repeat(UNTAKEN_BYTES_MAX as usize + 1)) };
        assert_eq!(turns.text(huge).await.map(|text| text.len()), Ok(UNTAKEN_BYTES_MAX as usize + 1));
    }
}
