//! The whole check, from reading the marks to fsyncing what is kept.

use std::fs::File;
use std::io;
use std::path::Path;

use super::cut::{TailCut, cut};
use super::judge::{Verdict, judge};
use super::manifest::{self, Found};
use super::survey::{BadSpot, Survey, survey};
use super::synced::{Synced, SyncedFile};
use crate::store::directory::OpenError;
use crate::types::Uuid;

/// What the check did.
#[derive(Debug)]
pub(in crate::store) enum Checked {
    /// RocksDB may open the database.
    Usable {
        /// Bytes that it will replay.
        replay_bytes: u64,
        /// What was cut off.
        cut: Option<TailCut>,
    },
    /// More is missing than a crash can take, and the loss was not accepted. Nothing was changed.
    Damaged(Damage),
}

/// More missing than a crash can take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// What is wrong.
    pub what: String,
    /// Where.
    pub place: String,
    /// Whether it is known that data acknowledged as durable is missing.
    pub acknowledged: bool,
    /// Whether the rest can be opened once the loss is accepted.
    pub acceptable: bool,
}

impl From<Damage> for OpenError {
    fn from(Damage { what, place, acknowledged, acceptable }: Damage) -> Self {
        Self::Damaged { what, place, acknowledged, acceptable }
    }
}

/// Checks the logs of the database in `db_dir`; `dir` is the data directory around it.
pub(in crate::store) fn check(
    dir: &Path,
    db_dir: &Path,
    synced: Option<&Synced>,
    boot_id: Option<Uuid>,
    accept_loss: bool,
) -> io::Result<Checked> {
    let live = match manifest::live_logs(db_dir)? {
        Found::Live(live) => live,
        Found::Nothing => {
            let refused = gone(db_dir, synced).filter(|damage| !(accept_loss && damage.acceptable));
            return Ok(refused.map_or(Checked::Usable { replay_bytes: 0, cut: None }, Checked::Damaged));
        }
        Found::Damaged { what, path } => return Ok(Checked::Damaged(unreadable(what, &path, synced))),
    };
    let mut survey = survey(db_dir, live)?;
    let cut = match judge(&survey, synced, boot_id) {
        Verdict::Whole => None,
        Verdict::TornTail(spot) => Some(cut(dir, &survey, &spot)?),
        Verdict::Damaged { spot, synced } if !accept_loss => {
            return Ok(Checked::Damaged(missing(db_dir, &survey, spot.as_ref(), synced)));
        }
        Verdict::Damaged { spot, .. } => spot.map(|spot| cut(dir, &survey, &spot)).transpose()?,
    };
    if let Some(cut) = &cut {
        survey.files.retain(|file| *file <= cut.file);
        survey.bytes -= cut.bytes;
    }
    fsync(db_dir, &survey)?;
    Ok(Checked::Usable { replay_bytes: survey.bytes, cut })
}

/// What [`inspect`] saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// What a start would refuse.
    pub damage: Option<Damage>,
    /// Whether the end of the log is torn, as after a power cut; a start cuts it off, and nothing acknowledged is lost.
    pub is_torn: bool,
}

/// Judges the logs as [`check`] does, and changes nothing.
pub(in crate::store) fn inspect(dir: &Path, db_dir: &Path, boot_id: Option<Uuid>) -> io::Result<Inspected> {
    let synced = SyncedFile::read(dir)?;
    let live = match manifest::live_logs(db_dir)? {
        Found::Live(live) => live,
        Found::Nothing => return Ok(Inspected { damage: gone(db_dir, synced.as_ref()), is_torn: false }),
        Found::Damaged { what, path } => {
            return Ok(Inspected { damage: Some(unreadable(what, &path, synced.as_ref())), is_torn: false });
        }
    };
    let survey = survey(db_dir, live)?;
    let (damage, is_torn) = match judge(&survey, synced.as_ref(), boot_id) {
        Verdict::Whole => (None, false),
        Verdict::TornTail(_) => (None, true),
        Verdict::Damaged { spot, synced } => (Some(missing(db_dir, &survey, spot.as_ref(), synced)), false),
    };
    Ok(Inspected { damage, is_torn })
}

/// What is missing where there is no database; nothing if none of its writes was durable.
fn gone(db_dir: &Path, synced: Option<&Synced>) -> Option<Damage> {
    synced.filter(|synced| synced.sequence > 0).map(|synced| Damage {
        what: format!("the database with {} durable writes is gone", synced.sequence),
        place: db_dir.display().to_string(),
        acknowledged: true,
        // A new one is not made among the files of an old one.
        acceptable: !has_files(db_dir),
    })
}

/// A database that cannot be read without its manifest.
fn unreadable(what: &str, path: &Path, synced: Option<&Synced>) -> Damage {
    let acknowledged = synced.is_some_and(|synced| synced.sequence > 0);
    Damage { what: what.to_owned(), place: path.display().to_string(), acknowledged, acceptable: false }
}

/// Whether the folder has files of a database that hold data.
fn has_files(db_dir: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(db_dir) else { return false };
    entries.flatten().any(|entry| {
        let path = entry.path();
        path.extension().is_some_and(|extension| ["log", "sst", "blob"].iter().any(|data| extension == *data))
    })
}

/// What is missing of the logs.
fn missing(db_dir: &Path, survey: &Survey, spot: Option<&BadSpot>, synced: Option<u64>) -> Damage {
    let at = spot.and_then(|spot| Some((survey.files.get(spot.file)?, spot)));
    let (what, place) = match at {
        Some((file, spot)) => (spot.what.to_owned(), format!("{} byte {}", file.display(), spot.offset)),
        None => ("the log ends too early".to_owned(), db_dir.display().to_string()),
    };
    let what = match synced {
        Some(synced) => format!("{what}: writes {} to {synced} are missing", survey.next_sequence),
        None => what,
    };
    Damage { what, place, acknowledged: synced.is_some(), acceptable: true }
}

/// RocksDB replays logs that it has not fsynced and never fsyncs them: a batch found in one and answered as a duplicate would
/// be acknowledged without being durable.
fn fsync(db_dir: &Path, survey: &Survey) -> io::Result<()> {
    for file in &survey.files {
        File::open(file)?.sync_all()?;
    }
    File::open(db_dir)?.sync_all()
}
