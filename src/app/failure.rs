//! Why the process ends other than as told: one sentence for people, one exit code for scripts.

use std::path::PathBuf;

use crate::config::build::BuildError;
use crate::config::load::LoadError;
use crate::engine::StartError;
use crate::engine::command::EngineGone;
use crate::server::BindError;
use crate::store::StoreError;
use crate::store::rocks::OpenError;
use crate::telemetry::admin::AdminBindError;
use crate::telemetry::output::InvalidFilter;

/// Each says what happened, and what to do where that is known.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Settings.
    #[error(transparent)]
    Config(#[from] LoadError),
    /// The filter of the program's own words.
    #[error(transparent)]
    Filter(#[from] InvalidFilter),
    /// A listener.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The admin port.
    #[error(transparent)]
    AdminBind(#[from] AdminBindError),
    /// The data directory of `--ephemeral`.
    #[error("no temporary data directory {} can be made ({error}): TMPDIR names where such directories are", dir.display())]
    Temporary {
        /// The data directory.
        dir: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The data directory.
    #[error("{0}{advice}", advice = of_opening(.0))]
    Open(#[from] OpenError),
    /// What the data directory holds.
    #[error("cannot recover the data directory: {0}{advice}", advice = of_recovering(.0))]
    Recovery(#[from] StartError),
    /// Settings that AlterConfigs stored.
    #[error("a setting that AlterConfigs stored in the data directory cannot be used any more: {0}")]
    StoredSettings(#[from] BuildError),
    /// A topic of `einmal.create.topics`.
    #[error("einmal.create.topics: topic {name} cannot be created: {reason}")]
    FirstTopic {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// A commit, while serving or stopping, or what a stop writes out. What was acknowledged before is kept.
    #[error(
        "a write or sync of the data directory failed, and nothing was acknowledged after it: {0}; check the disk, then start again"
    )]
    Commit(StoreError),
    /// The engine did not mark the stop as clean; what it had to say stands in the log.
    #[error("the stop is not clean: {0}; nothing acknowledged is lost, the next start replays the write-ahead log")]
    Unclean(EngineGone),
    /// The store was not closed when the time for stopping was over.
    #[error(
        "the store did not close in time; nothing acknowledged is lost, the next start replays the write-ahead log"
    )]
    Overdue,
    /// A second signal before the stop was complete.
    #[error("told to stop at once: the next start replays the write-ahead log")]
    Interrupted,
    /// The probe found no healthy broker.
    #[error(transparent)]
    Probe(#[from] super::probe::Unhealthy),
    /// Nobody takes the result.
    #[error("cannot write the result: {0}")]
    Output(std::io::Error),
    /// Metrics.
    #[error("cannot record metrics: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    /// Threads, signals, sockets.
    #[error("the system refused what a broker needs: {0}")]
    Runtime(std::io::Error),
    /// A defect.
    #[error("a defect of einmal ended it: {0}")]
    Panicked(tokio::task::JoinError),
}

impl Failure {
    /// 1 runtime, 2 settings, 3 data directory locked or of a newer format, 4 damage, 5 port in use, 6 disk full at the
    /// start, 7 write or sync failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Filter(_) | Self::FirstTopic { .. } => 2,
            Self::Bind(BindError::InUse { .. }) => 5,
            Self::AdminBind(error) if error.is_in_use() => 5,
            Self::Bind(_) | Self::AdminBind(_) => 2,
            Self::Temporary { .. } => 3,
            Self::Open(error) => error.exit_code(),
            Self::Recovery(StartError::OtherCluster { .. }) => 2,
            Self::Recovery(StartError::Store(StoreError::Corrupt { .. })) => 4,
            Self::Recovery(StartError::Store(StoreError::NoSpace(_))) => 6,
            Self::Commit(_) => 7,
            Self::Recovery(_)
            | Self::StoredSettings(_)
            | Self::Unclean(_)
            | Self::Overdue
            | Self::Interrupted
            | Self::Probe(_)
            | Self::Output(_)
            | Self::Metrics(_)
            | Self::Runtime(_)
            | Self::Panicked(_) => 1,
        }
    }

    /// Whether the store may still be written to, by a thread that nobody waits for.
    pub(super) fn leaves_store_open(&self) -> bool {
        matches!(
            self,
            Self::Commit(_)
                | Self::Unclean(_)
                | Self::Overdue
                | Self::Interrupted
                | Self::Panicked(_)
                | Self::FirstTopic { .. }
        )
    }
}

/// What to do beside what the error says: a log that is damaged can be read on.
fn of_opening(error: &OpenError) -> &'static str {
    match error {
        OpenError::Damaged { acceptable: true, .. } => "; einmal verify tells what is hit",
        _ => "",
    }
}

/// The same of rows and files that a database which opens holds.
fn of_recovering(error: &StartError) -> &'static str {
    match error {
        StartError::Store(StoreError::Corrupt { .. }) => {
            ": restore the directory from a backup; einmal verify tells what is hit"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_has_its_exit_code() {
        let corrupt = || StoreError::Corrupt { place: "p".to_owned(), detail: "d".to_owned() };
        let full = || StoreError::NoSpace("d".to_owned());
        for (failure, expected) in [
            (Failure::Config(LoadError::Listener(crate::config::listeners::ListenerError::None)), 2),
            (Failure::Bind(BindError::InUse { listener: "A".into(), address: ([127, 0, 0, 1], 1).into() }), 5),
            (Failure::Open(OpenError::Locked { dir: "d".into() }), 3),
            (Failure::Recovery(corrupt().into()), 4),
            (Failure::Recovery(full().into()), 6),
            (Failure::Commit(full()), 7),
            (Failure::Commit(corrupt()), 7),
            (Failure::Overdue, 1),
            (Failure::Interrupted, 1),
        ] {
            assert_eq!(failure.exit_code(), expected, "{failure}");
        }
    }

    #[test]
    fn damage_that_can_be_walked_is_sent_to_verify() {
        let log = |acceptable| OpenError::Damaged {
            what: "w".to_owned(),
            place: "p".to_owned(),
            acknowledged: true,
            acceptable,
        };
        let row = StoreError::Corrupt { place: "p".to_owned(), detail: "d".to_owned() };
        let advises = |failure: Failure| {
            let said = failure.to_string();
            (said.contains("accept.loss=true"), said.contains("einmal verify"), said.contains("from a backup"))
        };
        assert_eq!(advises(Failure::Open(log(true))), (true, true, true));
        assert_eq!(advises(Failure::Open(log(false))), (false, false, true));
        assert_eq!(advises(Failure::Recovery(row.into())), (false, true, true));
    }
}
