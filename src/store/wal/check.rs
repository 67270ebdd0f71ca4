//! The whole check, from reading the marks to fsyncing what is kept.

use std::fs::File;
use std::io;
use std::path::Path;

use super::cut::{TailCut, cut};
use super::judge::{Verdict, judge};
use super::manifest;
use super::survey::{BadSpot, Survey, survey};
use super::synced::{Synced, SyncedFile};
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
    Damaged {
        /// What is wrong.
        what: String,
        /// Where.
        place: String,
        /// Whether it is known that data acknowledged as durable is missing.
        acknowledged: bool,
    },
}

/// Checks the logs of the database in `db_dir`; `dir` is the data directory around it.
pub(in crate::store) fn check(
    dir: &Path,
    db_dir: &Path,
    synced: Option<&Synced>,
    boot_id: Option<Uuid>,
    accept_loss: bool,
) -> io::Result<Checked> {
    let Some(live) = manifest::live_logs(db_dir)? else {
        return Ok(match synced.filter(|synced| synced.sequence > 0) {
            Some(synced) if !accept_loss => Checked::Damaged {
                what: format!("the database with {} durable writes is gone", synced.sequence),
                place: db_dir.display().to_string(),
                acknowledged: true,
            },
            _ => Checked::Usable { replay_bytes: 0, cut: None },
        });
    };
    let mut survey = survey(db_dir, live)?;
    let cut = match judge(&survey, synced, boot_id) {
        Verdict::Whole => None,
        Verdict::TornTail(spot) => Some(cut(dir, &survey, &spot)?),
        Verdict::Damaged { spot, synced } if !accept_loss => {
            return Ok(damaged(db_dir, &survey, spot.as_ref(), synced));
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
    /// Bytes of write-ahead log that a start would replay.
    pub replay_bytes: u64,
    /// What a start would refuse: what, and where.
    pub damage: Option<(String, String)>,
    /// Whether the end of the log is torn, as after a power cut; a start cuts it off, and nothing acknowledged is lost.
    pub is_torn: bool,
}

/// Judges the logs as [`check`] does, and changes nothing.
pub(in crate::store) fn inspect(dir: &Path, db_dir: &Path, boot_id: Option<Uuid>) -> io::Result<Inspected> {
    let synced = SyncedFile::read(dir)?;
    let Some(live) = manifest::live_logs(db_dir)? else {
        let gone = synced.filter(|synced| synced.sequence > 0).map(|synced| {
            (format!("the database with {} durable writes is gone", synced.sequence), db_dir.display().to_string())
        });
        return Ok(Inspected { replay_bytes: 0, damage: gone, is_torn: false });
    };
    let survey = survey(db_dir, live)?;
    let (damage, is_torn) = match judge(&survey, synced.as_ref(), boot_id) {
        Verdict::Whole => (None, false),
        Verdict::TornTail(_) => (None, true),
        Verdict::Damaged { spot, synced } => match damaged(db_dir, &survey, spot.as_ref(), synced) {
            Checked::Damaged { what, place, .. } => (Some((what, place)), false),
            Checked::Usable { .. } => (None, false),
        },
    };
    Ok(Inspected { replay_bytes: survey.bytes, damage, is_torn })
}

fn damaged(db_dir: &Path, survey: &Survey, spot: Option<&BadSpot>, synced: Option<u64>) -> Checked {
    let at = spot.and_then(|spot| Some((survey.files.get(spot.file)?, spot)));
    let (what, place) = match at {
        Some((file, spot)) => (spot.what.to_owned(), format!("{} byte {}", file.display(), spot.offset)),
        None => ("the log ends too early".to_owned(), db_dir.display().to_string()),
    };
    let what = match synced {
        Some(synced) => format!("{what}: writes {} to {synced} are missing", survey.next_sequence),
        None => what,
    };
    Checked::Damaged { what, place, acknowledged: synced.is_some() }
}

/// RocksDB replays logs that it has not fsynced and never fsyncs them: a batch found in one and answered as a duplicate would
/// be acknowledged without being durable.
fn fsync(db_dir: &Path, survey: &Survey) -> io::Result<()> {
    for file in &survey.files {
        File::open(file)?.sync_all()?;
    }
    File::open(db_dir)?.sync_all()
}
