//! Space of the file system that holds the data directory.

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What the system says of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// Its size.
    pub total_bytes: u64,
    /// What this process may still write: without the blocks that are kept for root.
    pub free_bytes: u64,
}

impl DiskSpace {
    /// Of the file system that holds `dir`; none if the system does not tell.
    pub fn of(dir: &Path) -> Option<Self> {
        let path = CString::new(dir.as_os_str().as_bytes()).ok()?;
        let mut stat = MaybeUninit::<libc::statvfs>::uninit();
        // SAFETY: the path ends with a zero byte, and the result is read only if the call says that it wrote it.
        let stat = unsafe {
            if libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) != 0 {
                return None;
            }
            stat.assume_init()
        };
        let bytes = |blocks: libc::fsblkcnt_t| blocks.saturating_mul(stat.f_frsize);
        Some(Self { total_bytes: bytes(stat.f_blocks), free_bytes: bytes(stat.f_bavail) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_lies_on_a_disk_and_a_missing_one_on_none() {
        let dir = tempfile::tempdir().unwrap();
        let space = DiskSpace::of(dir.path()).unwrap();
        assert!(space.total_bytes > 0 && space.free_bytes <= space.total_bytes, "{space:?}");
        assert_eq!(DiskSpace::of(&dir.path().join("missing")), None);
    }
}
