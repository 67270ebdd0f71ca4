//! SIGTERM and SIGINT end the broker, SIGHUP has it read settings again.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Reload;
use crate::config::load::Loaded;
use crate::config::loggers::Loggers;
use crate::telemetry::output;

/// Signals this close to the first are its echo: `timeout`, for one, signals the process and then its group.
pub(super) const ECHO: Duration = Duration::from_millis(500);

/// SIGTERM and SIGINT, alike.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Returns at the next of them.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Returns at the next of them that comes after `instant`.
    pub(super) async fn next_after(&mut self, instant: Instant) {
        self.next().await;
        while Instant::now() < instant {
            self.next().await;
        }
    }
}

/// Takes the log level over anew at each SIGHUP, which would else end the process. Other settings are those of the start.
pub(super) fn reload_on_hangup(loggers: Arc<Loggers>, reload: Reload) -> std::io::Result<impl Future<Output = ()>> {
    let mut hangups = signal(SignalKind::hangup())?;
    Ok(async move {
        while hangups.recv().await.is_some() {
            let reload = Arc::clone(&reload);
            // Not on a thread that serves connections.
            let read = tokio::task::spawn_blocking(move || reload());
            let Ok(read) = read.await else { continue };
            let replaced = read.map_err(|error| error.to_string()).and_then(|Loaded { config, .. }| {
                output::replace(&loggers, &config.log_level).map_err(|error| error.to_string())?;
                Ok(config.log_level)
            });
            match replaced {
                Ok(level) => {
                    tracing::info!(level, "settings read again: the log level is in force, others need a start")
                }
                Err(error) => tracing::warn!(error, "settings cannot be read again, those in force stay"),
            }
        }
    })
}
