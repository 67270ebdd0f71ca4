//! For tests: stores that lie over another one, and are it in most that they do.

/// The named methods of a [`Store`](super::Store), as the store in the field `$below` has them: `as_below!(memory: sync, get);`
macro_rules! as_below {
    ($below:ident: $($method:ident),+ $(,)?) => {
        $($crate::store::layer::as_below!(@$method $below);)+
    };
    (@write $below:ident) => {
        fn write(&self, rows: &$crate::store::Rows, synced: u64) -> Result<u64, $crate::store::StoreError> {
            self.$below.write(rows, synced)
        }
    };
    (@sync $below:ident) => {
        fn sync(&self) -> Result<(), $crate::store::StoreError> {
            self.$below.sync()
        }
    };
    (@sequence $below:ident) => {
        fn sequence(&self) -> u64 {
            self.$below.sequence()
        }
    };
    (@get $below:ident) => {
        fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, $crate::store::StoreError> {
            self.$below.get(key)
        }
    };
    (@scan $below:ident) => {
        fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), $crate::store::StoreError> {
            self.$below.scan(prefix, visit)
        }
    };
    (@scan_range $below:ident) => {
        fn scan_range(&self, from: &[u8], to: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), $crate::store::StoreError> {
            self.$below.scan_range(from, to, visit)
        }
    };
    (@last_before $below:ident) => {
        fn last_before(&self, prefix: &[u8], before: &[u8]) -> Result<Option<$crate::store::KeyAndValue>, $crate::store::StoreError> {
            self.$below.last_before(prefix, before)
        }
    };
    (@read_log $below:ident) => {
        fn read_log(&self, partition: $crate::types::PartitionId, from: $crate::types::Offset, to: $crate::types::Offset, bytes_max: usize) -> Result<Vec<$crate::store::StoredBatch>, $crate::store::StoreError> {
            self.$below.read_log(partition, from, to, bytes_max)
        }
    };
    (@scan_log $below:ident) => {
        fn scan_log(&self, partition: $crate::types::PartitionId, from: $crate::types::Offset, to: $crate::types::Offset, visit: &mut dyn FnMut($crate::store::schema::LogKey) -> bool) -> Result<(), $crate::store::StoreError> {
            self.$below.scan_log(partition, from, to, visit)
        }
    };
    (@reclaim_log_range $below:ident) => {
        fn reclaim_log_range(&self, from: &[u8], to: &[u8]) -> Result<(), $crate::store::StoreError> {
            self.$below.reclaim_log_range(from, to)
        }
    };
    (@move_log_range $below:ident) => {
        fn move_log_range(&self, from: &[u8], to: &[u8]) -> Result<(), $crate::store::StoreError> {
            self.$below.move_log_range(from, to)
        }
    };
    (@move_oldest_batches $below:ident) => {
        fn move_oldest_batches(&self, bytes_max: u64) -> Result<u64, $crate::store::StoreError> {
            self.$below.move_oldest_batches(bytes_max)
        }
    };
    (@batch_space $below:ident) => {
        fn batch_space(&self) -> $crate::store::BatchSpace {
            self.$below.batch_space()
        }
    };
    (@slices $below:ident) => {
        fn slices(&self) -> std::sync::Arc<dyn $crate::store::slices::SliceFiles> {
            self.$below.slices()
        }
    };
    (@disk_space $below:ident) => {
        fn disk_space(&self) -> Option<$crate::store::disk::DiskSpace> {
            self.$below.disk_space()
        }
    };
    (@stats $below:ident) => {
        fn stats(&self) -> $crate::store::StoreStats {
            self.$below.stats()
        }
    };
    (@close $below:ident) => {
        fn close(&self) -> Result<(), $crate::store::StoreError> {
            self.$below.close()
        }
    };
}
pub(crate) use as_below;
