//! Questions to the writer, which answers nobody while the disk keeps it waiting.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::engine::command::EngineGone;

/// What is told of a writer that has not answered in time.
pub(super) const SILENCE: &str = "the writer does not answer: a write or sync of the data directory takes its time";

/// How long who asks for nothing but an answer of the writer waits for it: with the wait for a turn less than
/// `einmal.admin.request.timeout.ms` as it is by default, so that he is told why there is none.
pub(super) const ANSWER_PATIENCE: Duration = Duration::from_secs(4);

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoWord {
    /// The time is over.
    Silent,
    /// The engine has ended, or is not there yet.
    Gone,
}

impl From<EngineGone> for NoWord {
    fn from(_: EngineGone) -> Self {
        Self::Gone
    }
}

/// Asks one question at a time: a writer that hangs keeps the answers to all that it was asked, whoever has left.
#[derive(Debug, Clone)]
pub(super) struct Questions(Arc<Semaphore>);

impl Questions {
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }

    /// What `question` is answered within `patience`. It waits for its answer after that, too, and keeps the next one from being asked.
    ///
    /// # Errors
    /// [`NoWord`].
    pub async fn ask<T: Send + 'static>(
        &self,
        patience: Duration,
        question: impl Future<Output = Result<T, EngineGone>> + Send + 'static,
    ) -> Result<T, NoWord> {
        let turns = Arc::clone(&self.0);
        let asked = async move {
            let turn = turns.acquire_owned().await.map_err(|_| NoWord::Gone)?;
            let asked = tokio::spawn(async move {
                let answer = question.await;
                drop(turn);
                answer
            });
            Ok::<T, NoWord>(asked.await.map_err(|_| NoWord::Gone)??)
        };
        tokio::time::timeout(patience, asked).await.unwrap_or(Err(NoWord::Silent))
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_question_without_an_answer_is_the_only_one_that_waits() {
        let questions = Questions::new();
        let (answer, answered) = oneshot::channel();
        let question = async { answered.await.map_err(|_| EngineGone) };
        assert_eq!(questions.ask(Duration::from_millis(1), question).await, Err(NoWord::Silent));
        let waits = questions.ask::<()>(Duration::from_millis(1), async { unreachable!("the writer is silent") });
        assert_eq!(waits.await, Err(NoWord::Silent));
        answer.send(7).expect("it waits for its answer");
        assert_eq!(questions.ask(LONG, async { Ok(8) }).await, Ok(8));
        assert_eq!(questions.ask::<()>(LONG, async { Err(EngineGone) }).await, Err(NoWord::Gone));
    }
}
