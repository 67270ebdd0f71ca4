//! Hands out producer ids, each once.
//!
//! A block of ids is marked as taken, synced, before its first id is given; a restart begins the next block. The first block of a
//! data directory lies at a random high place: Kafka counts from 0, and a client that moves between an einmal and a Kafka cluster
//! keeps its id, so low ones would meet foreign state there. The bound keeps ids exact where tools read them as JSON numbers.

use super::environment::Environment;
use super::group::Group;
use super::state::ProducerIds;
use crate::store::schema::{ProducerIdBlock, RowValue};
use crate::types::ProducerId;

/// Ids per block, as in Kafka.
const BLOCK_IDS: i64 = 1000;
const FIRST_BASE: i64 = 1 << 48;
const LAST_BASE: i64 = (1 << 53) - (1 << 40);

/// The next id. Its answer waits for the sync, so that the block is marked before anyone has the id.
pub(super) fn next(ids: &mut ProducerIds, group: &mut Group) -> ProducerId {
    if ids.next == ids.block_end {
        ids.block_end += BLOCK_IDS;
        group.rows.put(ProducerIdBlock::KEY.to_vec(), ProducerIdBlock { next_block_start: ids.block_end }.encode());
    }
    let id = ProducerId(ids.next);
    ids.next += 1;
    metrics::counter!(crate::metrics::PRODUCER_IDS_ALLOCATED_TOTAL).increment(1);
    id
}

/// Where the first block of a new data directory begins.
pub(super) fn first_base(environment: &mut dyn Environment) -> i64 {
    let span = u64::try_from(LAST_BASE - FIRST_BASE).expect("the range is not empty");
    FIRST_BASE + i64::try_from(environment.random() % span).expect("below 2^53")
}
