//! The file `SYNCED`: the newest sequence number known to be durable, outside the log that it is about.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::types::Uuid;

/// Far enough apart that one torn write cannot harm both slots.
const SLOT_BYTES: u64 = 4096;
pub(in crate::store) const SYNCED_FILE: &str = "SYNCED";
const MAGIC: [u8; 7] = *b"einmalS";
const VERSION: u8 = 1;
const BODY_BYTES: usize = 41;

/// What the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Synced {
    /// Every write up to this sequence number was durable.
    pub(in crate::store) sequence: u64,
    /// Whether the store was closed in order and nothing was written since.
    pub(in crate::store) clean: bool,
    /// The run of the kernel that wrote it, if it could be read.
    pub(in crate::store) boot_id: Option<Uuid>,
}

/// The run of the kernel, new after each restart of the machine; none where the system does not tell.
pub(in crate::store) fn boot_id() -> Option<Uuid> {
    Uuid::parse_str(fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim()).ok()
}

/// The open file. Its two slots are written in turn, so that one is whole after any crash.
#[derive(Debug)]
pub(in crate::store) struct SyncedFile {
    file: File,
    generation: u64,
}

impl SyncedFile {
    /// Opens or creates the file in `dir` and reads the newest whole slot.
    pub(in crate::store) fn open(dir: &Path) -> io::Result<(Self, Option<Synced>)> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(dir.join(SYNCED_FILE))?;
        let newest = newest(&file)?;
        let generation = newest.map_or(0, |(generation, _)| generation);
        Ok((Self { file, generation }, newest.map(|(_, synced)| synced)))
    }

    /// Reads the newest whole slot of the file in `dir`; none if there is none.
    pub(in crate::store) fn read(dir: &Path) -> io::Result<Option<Synced>> {
        match File::open(dir.join(SYNCED_FILE)) {
            Ok(file) => Ok(newest(&file)?.map(|(_, synced)| synced)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes `synced` over the older slot and fsyncs it.
    pub(in crate::store) fn write(&mut self, synced: Synced) -> io::Result<()> {
        self.generation += 1;
        self.file.write_all_at(&encode(self.generation, synced), self.generation % 2 * SLOT_BYTES)?;
        self.file.sync_data()
    }
}

fn newest(file: &File) -> io::Result<Option<(u64, Synced)>> {
    let mut bytes = Vec::new();
    file.take(2 * SLOT_BYTES).read_to_end(&mut bytes)?;
    let slots = [0, SLOT_BYTES as usize].map(|offset| bytes.get(offset..).and_then(decode));
    Ok(slots.into_iter().flatten().max_by_key(|(generation, _)| *generation))
}

fn encode(generation: u64, synced: Synced) -> Vec<u8> {
    let mut slot = Vec::with_capacity(BODY_BYTES + 4);
    slot.extend_from_slice(&MAGIC);
    slot.push(VERSION);
    slot.extend_from_slice(&generation.to_be_bytes());
    slot.extend_from_slice(&synced.sequence.to_be_bytes());
    slot.push(u8::from(synced.clean));
    slot.extend_from_slice(synced.boot_id.unwrap_or(Uuid::nil()).as_bytes());
    slot.extend_from_slice(&crc32c::crc32c(&slot).to_be_bytes());
    slot
}

fn decode(slot: &[u8]) -> Option<(u64, Synced)> {
    let (body, rest) = slot.split_first_chunk::<BODY_BYTES>()?;
    if rest.first_chunk::<4>()? != &crc32c::crc32c(body).to_be_bytes() {
        return None;
    }
    let rest = body.strip_prefix(&MAGIC)?.strip_prefix(&[VERSION])?;
    let (generation, rest) = rest.split_first_chunk::<8>()?;
    let (sequence, rest) = rest.split_first_chunk::<8>()?;
    let (clean, boot_id) = rest.split_first()?;
    let boot_id = Uuid::from_slice(boot_id).ok()?;
    let synced = Synced {
        sequence: u64::from_be_bytes(*sequence),
        clean: *clean == 1,
        boot_id: Some(boot_id).filter(|boot_id| !boot_id.is_nil()),
    };
    Some((u64::from_be_bytes(*generation), synced))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_whole_slot_counts() {
        let dir = tempfile::tempdir().unwrap();
        let at = |sequence| Synced { sequence, clean: sequence == 3, boot_id: Some(Uuid::from_u128(7)) };
        let (mut file, found) = SyncedFile::open(dir.path()).unwrap();
        assert_eq!(found, None);
        for sequence in 1..=3 {
            file.write(at(sequence)).unwrap();
            assert_eq!(SyncedFile::open(dir.path()).unwrap().1, Some(at(sequence)));
        }
        let path = dir.path().join("SYNCED");
        let whole = fs::read(&path).unwrap();
        for byte in SLOT_BYTES as usize..SLOT_BYTES as usize + BODY_BYTES + 4 {
            let mut torn = whole.clone();
            torn[byte] ^= 1;
            fs::write(&path, torn).unwrap();
            assert_eq!(SyncedFile::open(dir.path()).unwrap().1, Some(at(2)), "byte {byte}");
        }
    }
}
