//! The thread that makes slices out of the rows of ids, and removes files of dropped ones.
//!
//! It reads the rows, not the writer's memory, so that the writer does nothing for it; and it reads them several times, each time for a
//! part of all places, so that it needs memory for [`IDS_PER_PASS`] ids, however many there are.

use std::sync::mpsc::Receiver;
use std::sync::{Arc, Weak};
use std::time::Instant;

use super::super::asker::{Asker, Queued};
use super::super::background::until_panic;
use super::super::command::Command;
use super::super::seat::Seat;
use super::{Job, Sealed};
use crate::dedup::Secret;
use crate::dedup::slice::SealedId;
use crate::store::schema::{IdBlock, RowError, RowValue, id_block_of_key, id_blocks_prefix};
use crate::store::slices::{Slice, SliceMaker};
use crate::store::{Store, StoreError};
use crate::types::{Offset, Timestamp, TopicNo};

/// Ids that are sorted in memory at a time, about: 48 bytes each.
const IDS_PER_PASS: u32 = 1 << 20;

/// Starts the thread. It ends with the writer, which has the other end of `jobs`.
pub(in crate::engine) fn start(
    store: Arc<dyn Store>,
    secret: Secret,
    jobs: Receiver<Job>,
    seat: Weak<Seat>,
    queued: Queued,
) -> std::io::Result<()> {
    const THREAD: &str = "engine-sealer";
    std::thread::Builder::new().name(THREAD.to_owned()).spawn(move || {
        until_panic(THREAD, || {
            let files = store.slices();
            for job in jobs {
                match job {
                    #[cfg(test)]
                    Job::Rest(reply) => drop(reply),
                    Job::Remove(slice) => {
                        // The error names the file.
                        if let Err(error) = files.remove(slice.head.number) {
                            tracing::warn!(%error, "a file of dropped message ids stays until the next start");
                        }
                    }
                    Job::Seal { topic, number, until, ids } => {
                        let began = Instant::now();
                        let made = seal(store.as_ref(), secret, topic, (number, until, ids));
                        metrics::histogram!(crate::metrics::DEDUP_SEAL_SECONDS).record(began.elapsed());
                        if let Err(error) = &made {
                            tracing::error!(%error, "message ids cannot leave memory now; tried again within two minutes");
                        }
                        let sealed = Sealed { topic, slice: made.ok() };
                        let Some(seat) = seat.upgrade() else { return };
                        let asker = Asker { seat, queued: queued.clone() };
                        if asker.ask(|reply| Command::Sealed { sealed, reply }).is_none() {
                            return;
                        }
                    }
                }
            }
        });
    })?;
    Ok(())
}

/// Makes the slice `number` of all ids of `topic` whose rows say that they were appended `until` then, about `ids` of them.
fn seal(
    store: &dyn Store,
    secret: Secret,
    topic: TopicNo,
    (number, until, ids): (u64, Timestamp, u32),
) -> Result<Slice, StoreError> {
    let files = store.slices();
    let mut maker = SliceMaker::begin(files.as_ref(), topic, number, until, ids)?;
    let passes = ids.div_ceil(IDS_PER_PASS).max(1);
    for pass in 0..passes {
        let mut placed = read_pass(store, secret, topic, until, (pass, passes))?;
        // Of one fingerprint the newest comes first.
        placed.sort_unstable_by(|(place, id), (other_place, other)| {
            (place, id.fingerprint.0, other.time).cmp(&(other_place, other.fingerprint.0, id.time))
        });
        placed.dedup_by(|(_, older), (_, newer)| older.fingerprint == newer.fingerprint);
        for (place, id) in &placed {
            maker.push(*place, id)?;
        }
    }
    maker.finish(files.as_ref())
}

/// The ids whose places are in one part of `passes`.
fn read_pass(
    store: &dyn Store,
    secret: Secret,
    topic: TopicNo,
    until: Timestamp,
    (pass, passes): (u32, u32),
) -> Result<Vec<(u64, SealedId)>, StoreError> {
    let mut placed = Vec::new();
    let mut damage: Option<RowError> = None;
    store.scan(&id_blocks_prefix(Some(topic)), &mut |key, value| {
        let row = id_block_of_key(key).and_then(|named| Ok((named, IdBlock::decode(value)?)));
        let ((partition, base_offset, _), block) = match row {
            Ok(row) => row,
            Err(error) => {
                damage.get_or_insert(error);
                return;
            }
        };
        if block.time > until {
            return;
        }
        for id in &block.kept.ids {
            let place = secret.sealed_place(&id.fingerprint);
            if (u128::from(place) * u128::from(passes)) >> 64 == u128::from(pass) {
                let offset = base_offset + Offset::from(id.offset_delta);
                let fingerprint = id.fingerprint;
                placed.push((place, SealedId { fingerprint, partition: partition.index, offset, time: block.time }));
            }
        }
    })?;
    damage.map_or(Ok(placed), |error| Err(error.into()))
}
