//! Rows as the engine writes them: batches to partitions in turn, and beside them a row for each partition and its producer.

use bytes::{Bytes, BytesMut};
use einmal::store::Rows;
use einmal::store::rocks::{RocksStore, StoreOptions};
use einmal::store::schema::{LogKey, partition_key, producer_key};
use einmal::types::{Offset, PartitionId, ProducerEpoch, ProducerId, TopicNo};

use crate::{Outcome, Parameters};

/// When the rows beside the batches are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sides {
    PerCommit,
    PerBatch,
}

/// Bytes of such a row's value, about what the engine's have.
const SIDE_BYTES: usize = 48;

/// Makes the commits of one writer.
pub struct Load {
    pub batch_bytes: usize,
    pub batches_per_commit: usize,
    pub partitions: u32,
    pub sides: Sides,
    payload: Bytes,
    next: Vec<Offset>,
    turn: u32,
}

impl Load {
    pub fn of(parameters: &Parameters) -> Outcome<Self> {
        let batch_bytes = parameters.number("batch", 16 << 10)? as usize;
        let partitions = parameters.number("partitions", 6)? as u32;
        Ok(Self {
            batch_bytes,
            batches_per_commit: parameters.number("batches_per_commit", 16)? as usize,
            partitions,
            sides: if parameters.text("sides") == "batch" { Sides::PerBatch } else { Sides::PerCommit },
            payload: (0..batch_bytes).map(|at| (at * 31) as u8).collect(),
            next: vec![0; partitions as usize],
            turn: 0,
        })
    }

    pub fn commit_bytes(&self) -> u64 {
        (self.batch_bytes * self.batches_per_commit) as u64
    }

    /// The rows of the next commit.
    pub fn commit(&mut self) -> Rows {
        let mut rows = Rows::default();
        let mut touched = Vec::new();
        for _ in 0..self.batches_per_commit {
            let partition = PartitionId { topic: TopicNo(1), index: self.turn };
            let offset = &mut self.next[self.turn as usize];
            self.turn = (self.turn + 1) % self.partitions;
            let key = log_key(partition, *offset, self.batch_bytes);
            rows.put(key.encode(), batch(&self.payload, *offset));
            *offset = key.last_offset() + 1;
            if self.sides == Sides::PerBatch {
                put_sides(&mut rows, partition);
            } else if !touched.contains(&partition) {
                touched.push(partition);
            }
        }
        touched.into_iter().for_each(|partition| put_sides(&mut rows, partition));
        rows
    }

    /// Each partition with the end of its log.
    pub fn ends(&self) -> impl Iterator<Item = (PartitionId, Offset)> {
        let id = |index: usize| PartitionId { topic: TopicNo(1), index: index as u32 };
        self.next.iter().enumerate().map(move |(index, end)| (id(index), *end))
    }
}

/// The key of a batch of records of about 1 KiB.
pub fn log_key(partition: PartitionId, base_offset: Offset, size_bytes: usize) -> LogKey {
    LogKey {
        partition,
        base_offset,
        last_offset_delta: (size_bytes / 1024).saturating_sub(1) as u32,
        size_bytes: size_bytes as u32,
        max_timestamp: 0,
        flags: 0,
        producer_id: ProducerId(1),
        producer_epoch: ProducerEpoch(0),
        base_sequence: 0,
    }
}

/// A copy with the header fields that a read compares with the key. The copy stands for the receiving.
fn batch(payload: &[u8], base_offset: Offset) -> Bytes {
    let mut bytes = BytesMut::from(payload);
    bytes[..8].copy_from_slice(&base_offset.to_be_bytes());
    let length = payload.len() as u32 - 12;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes.freeze()
}

pub fn put_sides(rows: &mut Rows, partition: PartitionId) {
    rows.put(partition_key(partition), vec![7; SIDE_BYTES]);
    rows.put(producer_key(partition, ProducerId(1)), vec![8; SIDE_BYTES]);
}

/// The store with the options that the parameters name: `memtable=MiB`, `rocksdb=OPTION=VALUE;...`.
pub fn store(parameters: &Parameters) -> Outcome<RocksStore> {
    let memtable_bytes = parameters.number("memtable", 64)? as usize * (1 << 20);
    let options = StoreOptions { memtable_bytes, ..StoreOptions::default() };
    Ok(RocksStore::open_with(&parameters.dir()?, &options, parameters.text("rocksdb"))?.store)
}
