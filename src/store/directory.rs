//! The data directory: one broker at a time, one format.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::wal::SYNCED_FILE;

/// Format of the data directory that this version writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

const FORMAT_FILE: &str = "FORMAT";
const FORMAT_FILE_NEW: &str = "FORMAT.new";
const LOCK_FILE: &str = "einmal.lock";
const FORMAT_INTRODUCTION: &str = "einmal data directory, format ";

/// Why a data directory cannot be opened; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("data directory {} is in use by another einmal: stop that one, or choose another directory", dir.display())]
    Locked {
        /// The data directory.
        dir: PathBuf,
    },
    /// Permissions or a read-only file system.
    #[error("data directory {} cannot be written ({source}): give this user the right to write there, or choose another directory", dir.display())]
    NotWritable {
        /// The data directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of that name is in the way, or of the name of a directory above.
    #[error("data directory {} cannot be: it is a file, or lies under one; name a directory", dir.display())]
    NotADirectory {
        /// The data directory.
        dir: PathBuf,
    },
    /// A later version wrote it.
    #[error(
        "data directory has format {found} and this version of einmal reads up to {supported}: start the version that wrote it, or a later one"
    )]
    NewerFormat {
        /// Format found.
        found: u32,
        /// Newest format that this version reads.
        supported: u32,
    },
    /// It belongs to something else.
    #[error("{} is not a data directory of einmal (it holds {found}): choose an empty directory", dir.display())]
    ForeignFormat {
        /// The data directory.
        dir: PathBuf,
        /// What betrays it.
        found: String,
    },
    /// There is nothing of einmal to read.
    #[error(
        "{} is no data directory of einmal: {}; one has a file {FORMAT_FILE} beside a folder db, and is what a broker's --data-dir names, or \
         log.dirs, or einmal-data where it was started",
        dir.display(),
        if *exists { "it has no FORMAT" } else { "it does not exist" }
    )]
    NoDataDirectory {
        /// The path.
        dir: PathBuf,
        /// Whether it is a directory.
        exists: bool,
    },
    /// More is missing or wrong than a crash can explain. Nothing was changed.
    #[error(
        "{}: {what} ({place}): restore the directory from a backup{}",
        if *acknowledged { "data that was acknowledged as durable is damaged" } else { "stored data is damaged" },
        if *acceptable { ", or accept the loss by starting once with einmal.storage.accept.loss=true" } else { "" }
    )]
    Damaged {
        /// What is wrong.
        what: String,
        /// File, and where in it.
        place: String,
        /// Whether it is known that data acknowledged as durable is missing.
        acknowledged: bool,
        /// Whether `einmal.storage.accept.loss` opens what is left. It does where the write-ahead log is damaged.
        acceptable: bool,
    },
    /// The device is full.
    #[error("no space left for data directory {}: free some, then start again", dir.display())]
    NoSpace {
        /// The data directory.
        dir: PathBuf,
    },
    /// The machine lacks instructions that this build uses.
    #[error("this processor lacks {missing}, which this build of einmal needs: run it on a newer machine")]
    Processor {
        /// The missing instructions.
        missing: &'static str,
    },
    /// Anything else.
    #[error("data directory {} cannot be opened: {detail}", dir.display())]
    Failed {
        /// The data directory.
        dir: PathBuf,
        /// What the system or RocksDB said.
        detail: String,
    },
}

impl OpenError {
    /// Exit code of the process: 2 the path is a wrong one, 3 the directory cannot be used as it is, 4 damage, 6 disk full, 1 anything
    /// else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Locked { .. }
            | Self::NotADirectory { .. }
            | Self::NotWritable { .. }
            | Self::NewerFormat { .. }
            | Self::ForeignFormat { .. } => 3,
            Self::NoDataDirectory { .. } => 2,
            Self::Damaged { .. } => 4,
            Self::NoSpace { .. } => 6,
            Self::Processor { .. } | Self::Failed { .. } => 1,
        }
    }

    /// What an I/O error in `dir` means.
    pub(super) fn from_io(dir: &Path, source: io::Error) -> Self {
        let dir = dir.to_owned();
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::NotWritable { dir, source },
            // Making the directory meets a file of its name, or under one.
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => Self::NotADirectory { dir },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { dir },
            _ => Self::Failed { dir, detail: source.to_string() },
        }
    }
}

/// The exclusive right to a data directory, held while it lives.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _file: File,
}

/// Takes `dir`, which is made if missing, and checks or writes its format.
pub(super) fn claim(dir: &Path) -> Result<DirectoryLock, OpenError> {
    let lock = lock(dir)?;
    match read_format(dir).map_err(|error| OpenError::from_io(dir, error))? {
        Some(text) => check_format(dir, &text)?,
        None => {
            check_unclaimed(dir)?;
            write_format(dir).map_err(|error| OpenError::from_io(dir, error))?;
        }
    }
    Ok(lock)
}

/// Takes `dir`, which must be a data directory already, without writing to it.
pub(super) fn claim_to_read(dir: &Path) -> Result<DirectoryLock, OpenError> {
    let io_error = |error| OpenError::from_io(dir, error);
    let Some(text) = read_format(dir).map_err(io_error)? else {
        check_unclaimed(dir)?;
        return Err(OpenError::NoDataDirectory { dir: dir.to_owned(), exists: dir.exists() });
    };
    check_format(dir, &text)?;
    let file = File::open(dir.join(LOCK_FILE)).map_err(io_error)?;
    locked(dir, file)
}

/// Refuses a pipe or a device in the place of a file that is read: it would keep the reader waiting for ever. `folders` are those of which
/// every file is read.
///
/// # Errors
/// [`OpenError::Damaged`]. What cannot be looked at is for its reader to judge.
pub(super) fn check_files(dir: &Path, folders: &[&Path]) -> Result<(), OpenError> {
    let in_folders = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let own = [FORMAT_FILE, LOCK_FILE, SYNCED_FILE].map(|name| dir.join(name));
    for path in own.into_iter().chain(in_folders.map(|entry| entry.path())) {
        if fs::metadata(&path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
            let (what, place) = ("a pipe or a device is where a file was".to_owned(), path.display().to_string());
            return Err(OpenError::Damaged { what, place, acknowledged: false, acceptable: false });
        }
    }
    Ok(())
}

fn lock(dir: &Path) -> Result<DirectoryLock, OpenError> {
    let open = || {
        fs::create_dir_all(dir)?;
        File::options().write(true).create(true).truncate(false).open(dir.join(LOCK_FILE))
    };
    let file = open().map_err(|error| OpenError::from_io(dir, error))?;
    locked(dir, file)
}

fn locked(dir: &Path, file: File) -> Result<DirectoryLock, OpenError> {
    match file.try_lock() {
        Ok(()) => Ok(DirectoryLock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { dir: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(OpenError::from_io(dir, error)),
    }
}

fn read_format(dir: &Path) -> io::Result<Option<String>> {
    match fs::read(dir.join(FORMAT_FILE)) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn check_format(dir: &Path, text: &str) -> Result<(), OpenError> {
    let version = text.strip_prefix(FORMAT_INTRODUCTION).and_then(|version| version.trim_end().parse::<u32>().ok());
    match version {
        Some(found) if found > FORMAT_VERSION => Err(OpenError::NewerFormat { found, supported: FORMAT_VERSION }),
        Some(1..) => Ok(()),
        _ => Err(OpenError::ForeignFormat { dir: dir.to_owned(), found: format!("an unknown {FORMAT_FILE} file") }),
    }
}

/// A directory without a format file may hold anything but the data of somebody else: other files beside ours harm nobody.
fn check_unclaimed(dir: &Path) -> Result<(), OpenError> {
    const BETRAYALS: [(&str, &str); 4] = [
        ("meta.properties", "a log of Apache Kafka"),
        ("CURRENT", "a RocksDB database"),
        ("db", "a db folder, but no format"),
        (SYNCED_FILE, "marks of einmal, but no format"),
    ];
    match BETRAYALS.iter().find(|(name, _)| dir.join(name).exists()) {
        Some((_, found)) => Err(OpenError::ForeignFormat { dir: dir.to_owned(), found: (*found).to_owned() }),
        None => Ok(()),
    }
}

fn write_format(dir: &Path) -> io::Result<()> {
    let new = dir.join(FORMAT_FILE_NEW);
    fs::write(&new, format!("{FORMAT_INTRODUCTION}{FORMAT_VERSION}\n"))?;
    File::open(&new)?.sync_all()?;
    fs::rename(&new, dir.join(FORMAT_FILE))?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_claim_is_refused_while_the_first_lives() {
        let dir = tempfile::tempdir().unwrap();
        let first = claim(dir.path()).unwrap();
        assert!(matches!(claim(dir.path()), Err(OpenError::Locked { .. })));
        drop(first);
        claim(dir.path()).unwrap();
    }

    #[test]
    fn format_decides_who_may_open() {
        for (format, expected) in [
            ("einmal data directory, format 1\n", None),
            ("einmal data directory, format 2\n", Some((3, "start the version that wrote it"))),
            ("einmal data directory, format 0\n", Some((3, "unknown FORMAT file"))),
            ("something else", Some((3, "unknown FORMAT file"))),
            ("", Some((3, "unknown FORMAT file"))),
        ] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(FORMAT_FILE), format).unwrap();
            match (claim(dir.path()), expected) {
                (Ok(_), None) => {}
                (Err(error), Some((code, text))) => {
                    assert_eq!(error.exit_code(), code, "{error}");
                    assert!(error.to_string().contains(text), "{error}");
                }
                (result, _) => panic!("{format}: {result:?}"),
            }
        }
    }

    #[test]
    fn foreign_directories_are_left_alone() {
        for (file, found) in [
            ("meta.properties", Some("Apache Kafka")),
            ("CURRENT", Some("RocksDB")),
            ("broker.log", None),
            (".keep", None),
        ] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(file), "").unwrap();
            match (claim(dir.path()), found) {
                (Ok(_), None) => {}
                (Err(error), Some(found)) => assert!(error.to_string().contains(found), "{error}"),
                (result, _) => panic!("{file}: {result:?}"),
            }
        }
    }
}
