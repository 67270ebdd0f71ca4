//! The way back: connections drain, what is queued is committed, the store is closed, all in a time of its own.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::Failure;
use crate::engine::Engine;
use crate::engine::command::EngineGone;
use crate::store::StoreError;

/// Time from the first signal to the end: `docker stop` allows 10 s, of which closing the store needs its part.
const STOP_BUDGET: Duration = Duration::from_secs(8);

/// Of [`STOP_BUDGET`], what connections may take.
const DRAIN_BUDGET: Duration = Duration::from_secs(5);

pub(super) async fn wind_down(
    engine: Engine,
    mut serving: JoinHandle<()>,
    stop: watch::Sender<bool>,
    began: Instant,
) -> Result<(), Failure> {
    // Fails only if nobody listens any more, and then all connections are closed.
    let _ = stop.send(true);
    if tokio::time::timeout(DRAIN_BUDGET, &mut serving).await.is_err() {
        tracing::warn!("connections did not finish in time and are closed");
        serving.abort();
    }
    closed_within(STOP_BUDGET.saturating_sub(began.elapsed()), engine.stop()).await
}

/// How `stop` ends, unless a write or sync fails before: then nothing more is to be waited for, and that is what there is to tell.
pub(super) async fn unless_failed(
    failed: oneshot::Receiver<StoreError>,
    stop: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    tokio::select! {
        // First: who has failed has told so before its end is seen.
        biased;
        Ok(error) = failed => Err(Failure::Commit(error)),
        stopped = stop => stopped,
    }
}

/// Whether the engine has marked the stop as clean before its time was over.
async fn closed_within(left: Duration, stop: impl Future<Output = Result<(), EngineGone>>) -> Result<(), Failure> {
    match tokio::time::timeout(left, stop).await {
        Ok(stopped) => stopped.map_err(Failure::Unclean),
        Err(_) => Err(Failure::Overdue),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_disk_that_fails_while_the_broker_stops_is_what_ended_it() {
        let error = || StoreError::Failed("Input/output error".to_owned());
        let gone = || std::future::ready(Err(Failure::Unclean(EngineGone)));
        let (fail, failed) = oneshot::channel();
        fail.send(error()).expect("it is listened to");
        let ended = unless_failed(failed, gone()).await.expect_err("the disk has failed");
        assert_eq!(ended.exit_code(), 7);
        assert!(ended.to_string().contains("Input/output error"), "{ended}");

        let (fail, failed) = oneshot::channel();
        let waits = tokio::spawn(unless_failed(failed, std::future::pending()));
        fail.send(error()).expect("it is listened to");
        assert!(matches!(waits.await, Ok(Err(Failure::Commit(_)))), "nobody waits for the rest of the stop");

        // An engine that has ended in order fails no more.
        let (fail, failed) = oneshot::channel::<StoreError>();
        drop(fail);
        assert!(unless_failed(failed, std::future::ready(Ok(()))).await.is_ok());
    }

    #[tokio::test]
    async fn stop_that_is_not_known_to_be_clean_is_no_success() {
        let left = Duration::from_secs(60);
        assert!(closed_within(left, std::future::ready(Ok(()))).await.is_ok());
        let gone = closed_within(left, std::future::ready(Err(EngineGone))).await;
        assert!(matches!(gone, Err(Failure::Unclean(_))), "{gone:?}");
        let overdue = closed_within(Duration::ZERO, std::future::pending()).await.expect_err("not closed");
        assert_ne!(overdue.exit_code(), 0);
        assert!(overdue.to_string().contains("did not close in time"), "{overdue}");
    }
}
