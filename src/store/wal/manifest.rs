//! Reads from RocksDB's manifest which write-ahead logs are still needed.

use std::fs::{self, File};
use std::io;
use std::path::Path;

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

/// Reads the manifest that `CURRENT` names; none if there is no database in `db_dir`.
pub(super) fn live_logs(db_dir: &Path) -> io::Result<Option<LiveLogs>> {
    let name = match fs::read_to_string(db_dir.join("CURRENT")) {
        Ok(name) => name,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut reader = RecordReader::new(File::open(db_dir.join(name.trim_end()))?, EDIT_HEAD_BYTES);
    let mut live = LiveLogs::default();
    // What comes after a bad record RocksDB does not use either; whether it then opens is its own decision.
    while let Some(Item::Record { head, .. }) = reader.next()? {
        apply_edit(&head, &mut live);
    }
    Ok(Some(live))
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

    proptest! {
        #[test]
        fn arbitrary_edits_never_panic(edit in proptest::collection::vec(any::<u8>(), 0..64)) {
            apply_edit(&edit, &mut LiveLogs::default());
        }
    }
}
