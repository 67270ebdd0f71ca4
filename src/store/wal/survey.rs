//! Walks the live write-ahead logs and finds where their gap-free run of records ends.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::manifest::LiveLogs;
use super::record::{BATCH_HEAD_BYTES, BatchHead, Item, RecordReader};

/// The first place at which the logs are not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadSpot {
    /// Index of the file in [`Survey::files`].
    pub(super) file: usize,
    /// Where the last good record ends.
    pub(super) offset: u64,
    /// What is wrong there.
    pub(super) what: &'static str,
    /// Whether the last file just ends too early and nothing follows: all that the kill of a process can leave.
    pub(super) torn_end: bool,
}

/// What the live logs hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Survey {
    /// Oldest first.
    pub(super) files: Vec<PathBuf>,
    /// Bytes of all of them.
    pub(super) bytes: u64,
    /// The sequence number after the last one that is in the gap-free run, or in tables.
    pub(super) next_sequence: u64,
    /// Where the run ends too early.
    pub(super) bad: Option<BadSpot>,
    /// Newest mark in the records that can be read beyond the bad spot.
    pub(super) mark_beyond: u64,
}

/// The logs in `db_dir` that the manifest has not done with, oldest first.
fn live_files(db_dir: &Path, live: LiveLogs) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(db_dir)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
        if let Some(number) = number
            && path.extension().is_some_and(|extension| extension == "log")
            && number >= live.number_min
        {
            files.push((number, path));
        }
    }
    files.sort_unstable();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// Walks the logs of `db_dir`.
pub(super) fn survey(db_dir: &Path, live: LiveLogs) -> io::Result<Survey> {
    let mut walk = Walk {
        survey: Survey {
            files: live_files(db_dir, live)?,
            next_sequence: live.sequence.saturating_add(1),
            ..Survey::default()
        },
        begun: false,
    };
    for index in 0..walk.survey.files.len() {
        let file = File::open(&walk.survey.files[index])?;
        walk.survey.bytes += file.metadata()?.len();
        let mut reader = RecordReader::new(file, BATCH_HEAD_BYTES);
        while let Some(item) = reader.next()? {
            walk.step(index, &item);
        }
    }
    Ok(walk.survey)
}

struct Walk {
    survey: Survey,
    /// Whether a record was met.
    begun: bool,
}

impl Walk {
    fn step(&mut self, file: usize, item: &Item) {
        let (offset, head) = match item {
            Item::Bad { offset, torn } => {
                let what = if *torn { "the file ends inside a record" } else { "bytes that are not a record" };
                return self.bad(file, *offset, what, *torn);
            }
            Item::Record { offset, head } => (*offset, BatchHead::parse(head)),
        };
        let Some(head) = head else { return self.bad(file, offset, "a record too short to be a write", false) };
        if self.survey.bad.is_none() {
            let expected = self.survey.next_sequence;
            let next = head.sequence.saturating_add(u64::from(head.count));
            match head.sequence.cmp(&expected) {
                std::cmp::Ordering::Equal => self.survey.next_sequence = next,
                // The first log may begin with rows that are in tables already.
                std::cmp::Ordering::Less if !self.begun => self.survey.next_sequence = next,
                std::cmp::Ordering::Less => self.bad(file, offset, "a record that repeats sequence numbers", false),
                std::cmp::Ordering::Greater => self.bad(file, offset, "writes are missing", false),
            }
            self.begun = true;
        }
        if let Some(bad) = &mut self.survey.bad {
            bad.torn_end = false;
            self.survey.mark_beyond = self.survey.mark_beyond.max(head.synced.unwrap_or(0));
        }
    }

    fn bad(&mut self, file: usize, offset: u64, what: &'static str, torn: bool) {
        let torn_end = torn && file + 1 == self.survey.files.len();
        match &mut self.survey.bad {
            None => self.survey.bad = Some(BadSpot { file, offset, what, torn_end }),
            Some(bad) => bad.torn_end = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::mark;
    use super::super::record::tests::log_of;
    use super::*;

    fn write(sequence: u64, count: u32, synced: u64) -> Vec<u8> {
        let mut batch = sequence.to_le_bytes().to_vec();
        batch.extend_from_slice(&count.to_le_bytes());
        batch.extend_from_slice(&[3, 11]);
        batch.extend_from_slice(&mark(synced));
        batch.resize(60, 7);
        batch
    }

    /// Logs 5, 7 and 9 of a database whose manifest is done with everything up to log 4 and sequence 10.
    fn survey_of(logs: [&[Vec<u8>]; 3]) -> Survey {
        let dir = tempfile::tempdir().unwrap();
        for (name, log) in ["000005.log", "000007.log", "000009.log"].iter().zip(logs) {
            fs::write(dir.path().join(name), log_of(log).0).unwrap();
        }
        fs::write(dir.path().join("000004.log"), "done with").unwrap();
        survey(dir.path(), LiveLogs { number_min: 5, sequence: 10 }).unwrap()
    }

    #[test]
    fn run_of_sequence_numbers_goes_on_from_log_to_log() {
        let survey = survey_of([&[write(11, 2, 0), write(13, 0, 0)], &[write(13, 5, 12)], &[]]);
        assert_eq!((survey.next_sequence, survey.bad), (18, None));
    }

    #[test]
    fn missing_and_repeated_writes_are_bad_wherever_they_are() {
        let [a, b, c] = [[write(11, 2, 0)], [write(13, 1, 11)], [write(14, 1, 13)]];
        let [ab, ac] = [[a.clone(), b.clone()].concat(), [a.clone(), c.clone()].concat()];
        // logs, file and next sequence of the bad spot, newest mark beyond
        for (logs, file, next_sequence, mark_beyond) in [
            ([&c[..], &[], &[]], 0, 11, 13),
            ([&ac, &[], &[]], 0, 13, 13),
            ([&a, &[], &c], 2, 13, 13),
            ([&a, &c, &b], 1, 13, 13),
            ([&ab, &b, &[]], 1, 14, 11),
        ] {
            let survey = survey_of(logs);
            let bad = survey.bad.unwrap();
            assert_eq!((bad.file, survey.next_sequence, survey.mark_beyond), (file, next_sequence, mark_beyond));
            assert!(!bad.torn_end);
        }
    }

    #[test]
    fn without_records_the_tables_say_what_comes_next() {
        let survey = survey_of([&[], &[], &[]]);
        assert_eq!((survey.next_sequence, survey.bad), (11, None));
    }
}
