//! Reads from RocksDB's manifest which write-ahead logs are still needed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::record::{Item, RecordReader};

/// More than the fields of interest take, which stand before all others in an edit (`VersionEdit::EncodeTo`).
const EDIT_HEAD_BYTES: usize = 1024;

/// What the manifest says of the write-ahead logs.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct LiveLogs {
    /// Logs with lower numbers are in tables already.
    pub(super) number_min: u64,
    /// Newest sequence number that is in tables.
    pub(super) sequence: u64,
}

/// What there is to read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A manifest.
    Live(LiveLogs),
    /// No database.
    Nothing,
    /// A database whose manifest cannot be told or is gone.
    Damaged {
        /// What is wrong.
        what: &'static str,
        /// With which file.
        path: PathBuf,
    },
}

/// Reads the manifest that `CURRENT` in `db_dir` names.
pub(super) fn live_logs(db_dir: &Path) -> io::Result<Found> {
    let path = db_dir.join("CURRENT");
    let current = match fs::read(&path) {
        Ok(current) => current,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(error),
    };
    let Some(name) = manifest_name(&current) else {
        return Ok(Found::Damaged { what: "it names no manifest", path });
    };
    let path = db_dir.join(name);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Found::Damaged { what: "the manifest that CURRENT names is not there", path });
        }
        Err(error) => return Err(error),
    };
    let mut reader = RecordReader::new(file, EDIT_HEAD_BYTES);
    let mut live = LiveLogs::default();
    // What comes after a bad record RocksDB does not use either; whether it then opens is its own decision.
    while let Some(Item::Record { head, .. }) = reader.next()? {
        apply_edit(&head, &mut live);
    }
    Ok(Found::Live(live))
}

/// The name that RocksDB has written into `CURRENT`.
fn manifest_name(current: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(current).ok()?.strip_suffix('\n')?;
    let number = name.strip_prefix("MANIFEST-")?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(name)
}

/// Applies the leading fields of one edit, `VersionEdit` in RocksDB.
fn apply_edit(edit: &[u8], live: &mut LiveLogs) {
    const COMPARATOR: u64 = 1;
    const LOG_NUMBER: u64 = 2;
    const NEXT_FILE_NUMBER: u64 = 3;
    const LAST_SEQUENCE: u64 = 4;
    const PREVIOUS_LOG_NUMBER: u64 = 9;
    const LOG_NUMBER_TO_KEEP_MIN: u64 = 10;
    const COLUMN_FAMILY_MAX: u64 = 203;
    const DB_ID: u64 = 8193;

    let mut rest = edit;
    while let Some(tag) = varint(&mut rest) {
        match tag {
            COMPARATOR | DB_ID => {
                let Some(text) = varint(&mut rest).and_then(|length| rest.get(usize::try_from(length).ok()?..)) else {
                    return;
                };
                rest = text;
            }
            LOG_NUMBER | LOG_NUMBER_TO_KEEP_MIN => {
                let Some(number) = varint(&mut rest) else { return };
                live.number_min = live.number_min.max(number);
            }
            LAST_SEQUENCE => {
                let Some(sequence) = varint(&mut rest) else { return };
                live.sequence = live.sequence.max(sequence);
            }
            NEXT_FILE_NUMBER | PREVIOUS_LOG_NUMBER | COLUMN_FAMILY_MAX => {
                if varint(&mut rest).is_none() {
                    return;
                }
            }
            _ => return,
        }
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn edit_moves_the_oldest_log_and_the_newest_sequence() {
        let mut live = LiveLogs { number_min: 4, sequence: 10 };
        // comparator "ab", log number 300, next file 7, sequence 200, then a field that is not of interest.
        apply_edit(&[1, 2, b'a', b'b', 2, 0xac, 2, 3, 7, 4, 0xc8, 1, 103, 9, 9], &mut live);
        assert_eq!(live, LiveLogs { number_min: 300, sequence: 200 });
        // A log number behind a field that is not of interest belongs to something else.
        apply_edit(&[103, 2, 0xff, 0x7f], &mut live);
        assert_eq!(live, LiveLogs { number_min: 300, sequence: 200 });
    }

    #[test]
    fn current_that_names_no_manifest_and_a_manifest_that_is_gone_are_damage_with_their_path() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(live_logs(dir.path()).unwrap(), Found::Nothing);
        for current in [
            "",
            "\n",
            "MANIFEST-000019",
            "LANIFEST-000019\n",
            "MANIFEST-\n",
            "MANIFEST-00001y\n",
            "MANIFEST-000019\u{b}",
        ] {
            fs::write(dir.path().join("CURRENT"), current).unwrap();
            let Found::Damaged { path, .. } = live_logs(dir.path()).unwrap() else { panic!("{current:?} is a name") };
            assert!(path.ends_with("CURRENT"), "{current:?}");
        }
        fs::write(dir.path().join("CURRENT"), "MANIFEST-000019\n").unwrap();
        let Found::Damaged { path, .. } = live_logs(dir.path()).unwrap() else { panic!("it is not there") };
        assert!(path.ends_with("MANIFEST-000019"));
        fs::write(dir.path().join("MANIFEST-000019"), "").unwrap();
        assert_eq!(live_logs(dir.path()).unwrap(), Found::Live(LiveLogs::default()));
    }

    proptest! {
        #[test]
        fn arbitrary_edits_never_panic(edit in proptest::collection::vec(any::<u8>(), 0..64)) {
            apply_edit(&edit, &mut LiveLogs::default());
        }
    }
}
