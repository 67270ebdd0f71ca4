//! Values that stay where RocksDB has them, as [`Bytes`]: from block cache or blob buffer to the socket without a copy.

use std::sync::Arc;

use bytes::Bytes;
use rocksdb::{DBPinnableSlice, ReadOptions};

use super::Database;
use super::error::store_error;
use crate::store::StoreError;

struct Pinned {
    slice: DBPinnableSlice<'static>,
    // After `slice`: fields are dropped in order, and the slice must go before its database.
    _database: Arc<Database>,
}

impl AsRef<[u8]> for Pinned {
    fn as_ref(&self) -> &[u8] {
        &self.slice
    }
}

/// Options for reads of the log.
#[expect(
    deprecated,
    reason = "deprecated for those who delete no ranges; beside many tombstones it makes seeks 25 times faster"
)]
fn log_read_options() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_ignore_range_deletions(true);
    options.fill_cache(false);
    options
}

/// Values of log rows, in the order of `keys`, which must be sorted; none where there is no row.
pub(super) fn multi_get(database: &Arc<Database>, keys: &[Vec<u8>]) -> Result<Vec<Option<Bytes>>, StoreError> {
    let family = database.db.cf_handle("default").expect("the database is opened with this family");
    let values = database.db.batched_multi_get_cf_opt(family, keys, true, &log_read_options());
    values.into_iter().map(|value| Ok(value.map_err(store_error)?.map(|slice| pin(database, slice)))).collect()
}

fn pin(database: &Arc<Database>, slice: DBPinnableSlice<'_>) -> Bytes {
    // SAFETY: the lifetime stands for the database, which `Pinned` keeps alive for longer than the slice.
    let slice = unsafe { std::mem::transmute::<DBPinnableSlice<'_>, DBPinnableSlice<'static>>(slice) };
    Bytes::from_owner(Pinned { slice, _database: Arc::clone(database) })
}
