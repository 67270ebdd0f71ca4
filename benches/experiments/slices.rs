//! `slices`: message ids in files, as a long window has them: what one costs to put there, to keep and to look up.
//!
//! Takes `dir`, `slices` and `ids` (of each slice), `batch` (ids that are looked up together) and `asked` (how many are).

use std::sync::Arc;
use std::time::Instant;

use einmal::dedup::slice::SealedId;
use einmal::dedup::{BatchId, Fingerprint, Secret};
use einmal::engine::sealing::SealedIds;
use einmal::store::slices::{Slice, SliceFolder, SliceMaker};
use einmal::types::TopicNo;
use serde_json::json;

use crate::{Outcome, Parameters, meter};

const TOPIC: TopicNo = TopicNo(1);

pub fn measure(parameters: &Parameters) -> Outcome {
    let folder = SliceFolder::of(&parameters.dir()?);
    let slices = parameters.number("slices", 25)?;
    let ids = parameters.number("ids", 4_000_000)?;
    let batch = parameters.number("batch", 100)?;
    let asked = parameters.number("asked", 4_000_000)?;
    let secret = Secret::new(*b"of an experiment");

    let (mut sorting_s, mut writing_s) = (0.0, 0.0);
    for slice in 0..slices {
        let before = meter::cpu_s();
        let mut placed: Vec<_> = (slice * ids..(slice + 1) * ids).map(|number| sealed(secret, number)).collect();
        placed.sort_unstable_by_key(|(place, id)| (*place, id.fingerprint.0));
        let sorted = meter::cpu_s();
        let mut maker = SliceMaker::begin(&folder, TOPIC, slice + 1, 0, u32::try_from(ids)?)?;
        for (place, id) in &placed {
            maker.push(*place, id)?;
        }
        maker.finish(&folder)?;
        (sorting_s, writing_s) = (sorting_s + sorted - before, writing_s + meter::cpu_s() - sorted);
    }

    let opening = Instant::now();
    let open = (1..=slices).map(|number| Ok(Arc::new(Slice::open(&folder, number)?))).collect::<Outcome<Vec<_>>>()?;
    let open_s = opening.elapsed().as_secs_f64();
    let memory_bytes: usize = open.iter().map(|slice| slice.memory_bytes()).sum();
    let file_bytes: u64 = open.iter().map(|slice| slice.head.file_bytes()).sum();
    let all = SealedIds::of(secret, open);

    // Ids that nobody had, then such that are there, wherever.
    let total = slices * ids;
    let (new_us, new_found, reads) = look_up(&all, batch, (0..asked).map(|number| total + number))?;
    let known = (0..asked / 20).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % total);
    let (known_us, known_found, _) = look_up(&all, batch, known)?;
    assert_eq!((new_found, known_found), (0, asked / 20), "each is known exactly if it is there");
    Ok(json!({
        "ids": total,
        "memory_bytes_per_id": memory_bytes as f64 / total as f64,
        "file_bytes_per_id": file_bytes as f64 / total as f64,
        "seal_cpu_us_per_id": (sorting_s + writing_s) * 1e6 / total as f64,
        "of_it_writing": writing_s * 1e6 / total as f64,
        "open_s": open_s,
        "new_id_cpu_us": new_us,
        "reads_per_new_id": reads,
        "known_id_cpu_us": known_us,
        "rss_mb": meter::memory_mb("VmRSS"),
    }))
}

/// The id with this number: as random as UUIDs of version 4.
fn fingerprint(number: u64) -> Fingerprint {
    let half = |seed: u64| {
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u128::from(mixed ^ (mixed >> 31))
    };
    Fingerprint((half(2 * number + 1) << 64 | half(2 * number + 2)).to_be_bytes())
}

fn sealed(secret: Secret, number: u64) -> (u64, SealedId) {
    let fingerprint = fingerprint(number);
    let id = SealedId { fingerprint, partition: 0, offset: number as i64, time: number as i64 };
    (secret.sealed_place(&fingerprint), id)
}

/// CPU of a look-up, how many were found, and reads of files for each.
fn look_up(all: &SealedIds, batch: u64, numbers: impl Iterator<Item = u64>) -> Outcome<(f64, u64, f64)> {
    let ids: Vec<BatchId> =
        numbers.map(|number| BatchId { fingerprint: fingerprint(number), offset_delta: 0 }).collect();
    let (mut found, mut candidates) = (0, 0);
    let before = meter::cpu_s();
    for ids in ids.chunks(usize::try_from(batch)?) {
        let perhaps = all.ask(TOPIC, ids);
        candidates += perhaps.candidates();
        found += perhaps.read(ids)?.found.len() as u64;
    }
    let cpu_us = (meter::cpu_s() - before) * 1e6 / ids.len() as f64;
    Ok((cpu_us, found, candidates as f64 / ids.len() as f64))
}
