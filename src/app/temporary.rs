//! The data directory of `einmal start --ephemeral`: made for one start, gone when that has ended.
//!
//! Invariant: nothing is removed that was not made here.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::Failure;

/// How often it is tried to remove it: a compaction that is still under way may make a file meanwhile.
const ATTEMPTS_MAX: usize = 5;

/// A directory of ours.
#[derive(Debug)]
pub(super) struct Temporary(PathBuf);

impl Temporary {
    /// Makes it, for this user alone: where temporary files are, others have access.
    ///
    /// # Errors
    /// [`Failure::Temporary`], also where something has its name already.
    pub(super) fn make(dir: &Path) -> Result<Self, Failure> {
        match DirBuilder::new().mode(0o700).create(dir) {
            Ok(()) => Ok(Self(dir.to_owned())),
            Err(error) => Err(Failure::Temporary { dir: dir.to_owned(), error }),
        }
    }

    /// Removes it after a broker that `ended` so, and says where that is not done: nobody else would. Where the store may still be
    /// written to it stays; a signal while it is being opened is not known of here.
    pub(super) fn remove_after(self, ended: &Result<(), Failure>) {
        let data_dir = self.0.display();
        if ended.as_ref().is_err_and(Failure::leaves_store_open) {
            tracing::warn!(%data_dir, "the temporary data directory is left, as the stop is not clean");
            return;
        }
        let is = |removed: &io::Result<()>, kind| removed.as_ref().is_err_and(|error| error.kind() == kind);
        let mut removed = fs::remove_dir_all(&self.0);
        for _ in 1..ATTEMPTS_MAX {
            if !is(&removed, ErrorKind::DirectoryNotEmpty) {
                break;
            }
            removed = fs::remove_dir_all(&self.0);
        }
        if let Err(error) = removed
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(%data_dir, %error, "the temporary data directory is not removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn made(above: &Path) -> (PathBuf, Temporary) {
        let dir = above.join("einmal");
        let temporary = Temporary::make(&dir).expect("made");
        fs::create_dir(dir.join("db")).expect("ours");
        fs::write(dir.join("db/file"), "x").expect("ours");
        (dir, temporary)
    }

    #[test]
    fn it_is_made_for_one_user_and_removed_with_what_it_holds() {
        let above = tempfile::tempdir().expect("a directory");
        let (dir, temporary) = made(above.path());
        assert_eq!(fs::metadata(&dir).expect("it is there").permissions().mode() & 0o777, 0o700);
        temporary.remove_after(&Ok(()));
        assert_eq!(fs::read_dir(above.path()).expect("it is there").count(), 0);
    }

    #[test]
    fn it_stays_where_a_store_may_still_be_open() {
        let above = tempfile::tempdir().expect("a directory");
        let (dir, temporary) = made(above.path());
        temporary.remove_after(&Err(Failure::Overdue));
        assert!(dir.join("db/file").exists());
    }

    #[test]
    fn what_is_there_already_is_not_taken() {
        let above = tempfile::tempdir().expect("a directory");
        let refused = Temporary::make(above.path()).expect_err("it is somebody's");
        assert!(refused.to_string().contains("TMPDIR"), "{refused}");
        assert!(above.path().exists());
    }
}
