//! Sets aside what cannot be used of the write-ahead logs, so that RocksDB sees a clean end.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::survey::{BadSpot, Survey};

/// A tail that was cut off at the start, because it was never acknowledged as durable or because the loss was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailCut {
    /// The log in which the cut was made.
    pub file: PathBuf,
    /// Offset of the cut in that log.
    pub offset: u64,
    /// Why.
    pub what: &'static str,
    /// Bytes cut off, of that log and all later ones.
    pub bytes: u64,
    /// Folder that holds them.
    pub kept_in: PathBuf,
}

/// Cuts the logs at `spot`; the rest is kept in the folder `cut` of `dir`.
pub(super) fn cut(dir: &Path, survey: &Survey, spot: &BadSpot) -> io::Result<TailCut> {
    let kept_in = dir.join("cut");
    fs::create_dir_all(&kept_in)?;
    let (Some(file), later) = (survey.files.get(spot.file), survey.files.iter().skip(spot.file + 1)) else {
        return Err(io::Error::other("no log at the place of the cut"));
    };
    let mut bytes = copy_tail(file, spot.offset, &kept_in)?;
    for later in later {
        bytes += fs::metadata(later)?.len();
        fs::rename(later, kept_in.join(name(later)?))?;
    }
    File::open(&kept_in)?.sync_all()?;
    // Only after the copy is durable, so that a crash in between loses nothing.
    let log = File::options().write(true).open(file)?;
    log.set_len(spot.offset)?;
    log.sync_all()?;
    if let Some(folder) = file.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(TailCut { file: file.clone(), offset: spot.offset, what: spot.what, bytes, kept_in })
}

fn copy_tail(file: &Path, offset: u64, kept_in: &Path) -> io::Result<u64> {
    let mut log = File::open(file)?;
    log.seek(SeekFrom::Start(offset))?;
    let mut kept = File::create(kept_in.join(format!("{}.from-{offset}", name(file)?)))?;
    let bytes = io::copy(&mut log, &mut kept)?;
    kept.sync_all()?;
    Ok(bytes)
}

fn name(file: &Path) -> io::Result<&str> {
    file.file_name().and_then(|name| name.to_str()).ok_or_else(|| io::Error::other("log without a name"))
}
