//! Batches of topics with a `compression.type` of their own, compressed anew before the engine sees them.
//!
//! The work is done on the batch's connection: it holds up nobody else's appends, and the order of the connection is kept. One request for
//! each core but one is at it at a time, the others wait as tasks and not on threads ([`RecompressMemory::slot`]): however many
//! clients send to such topics, there are threads for everybody else.
//!
//! Invariant: what becomes of such batches takes at most `queued.max.request.bytes` beside the frames that they came in, all connections
//! together, until their requests are answered or given up; a small compressed batch may become a hundred times larger where a topic
//! wants it uncompressed. The encoders take as much again at the most while they work, no more of them at once than there are cores: zstd
//! takes up to 138 MiB at level 22. One that takes more than the limit works alone.

use std::sync::Arc;

use bytes::BytesMut;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::check::Refusal;
use super::encoders::Encoders;
use crate::config::{CompressionType, TopicConfig};
use crate::log::catalog::Topics;
use crate::record::BatchHeader;
use crate::record::codec::{Codec, Compression, DecompressionLimits};
use crate::record::recompress::{RecompressError, measure, recompress};
use crate::record::validate::BatchRejected;
use crate::types::ErrorCode;
use crate::wire::produce_request::ProduceRequest;

/// What a codec may add to records that it cannot make smaller: frames, block headers, checksums.
const FRAMING_BYTES_MAX: u64 = 4 << 10;

/// Memory for batches that are compressed anew. Clones share one budget.
#[derive(Debug, Clone)]
pub struct RecompressMemory {
    bytes: Arc<Semaphore>,
    bytes_max: usize,
    encoders: Encoders,
    slots: Arc<Semaphore>,
}

/// How many requests may be at it on so many cores: one is left to the others.
fn slot_count(cores: usize) -> usize {
    cores.saturating_sub(1).max(1)
}

impl RecompressMemory {
    /// A budget of `bytes` for what comes out, and as much for the encoders.
    pub fn new(bytes: usize) -> Self {
        let bytes_max = bytes.min(u32::MAX as usize).min(Semaphore::MAX_PERMITS);
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (bytes, slots) = (Arc::new(Semaphore::new(bytes_max)), Arc::new(Semaphore::new(slot_count(cores))));
        Self { bytes, bytes_max, encoders: Encoders::new(cores, bytes_max as u64), slots }
    }

    /// The right of a request to have its batches compressed, until it is dropped. Waits in turn.
    pub(super) async fn slot(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.slots).acquire_owned().await.expect("nobody closes the slots")
    }

    pub(super) fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        if bytes > self.bytes_max {
            return Err(Refusal::of(ErrorCode::MESSAGE_TOO_LARGE));
        }
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.bytes.clone().try_acquire_many_owned(permits).map_err(|_| {
            // Retriable for every client, and what Kafka says where nothing has been appended and later may be.
            let message = "too much memory is taken by batches that are compressed anew; try again".to_owned();
            Refusal::saying(ErrorCode::NOT_ENOUGH_REPLICAS, message)
        })
    }
}

/// A batch as its topic wants it.
#[derive(Debug)]
pub(super) struct Recompressed {
    pub(super) bytes: BytesMut,
    pub(super) header: BatchHeader,
    /// Goes with the bytes until they are answered.
    pub(super) permit: OwnedSemaphorePermit,
}

/// How a batch that came with `codec` is to be compressed; none if it stays as it is. Levels do not count: a batch of the right
/// codec is taken as it is, as in Kafka.
pub(super) fn target(config: &TopicConfig, codec: Codec) -> Option<Compression> {
    let wanted = match config.compression_type? {
        CompressionType::Uncompressed => Compression::of(Codec::None),
        CompressionType::Gzip => Compression { codec: Codec::Gzip, level: config.compression_gzip_level },
        CompressionType::Snappy => Compression::of(Codec::Snappy),
        CompressionType::Lz4 => Compression::of(Codec::Lz4),
        CompressionType::Zstd => Compression { codec: Codec::Zstd, level: config.compression_zstd_level },
    };
    (wanted.codec != codec).then_some(wanted)
}

/// Whether a batch of `request` seems to want to be compressed anew. It is judged again when that is done: settings may change.
pub(super) fn is_wanted(topics: &Topics, request: &ProduceRequest) -> bool {
    let is_wanted = |config: &TopicConfig, bytes: &[u8]| {
        let codec = BatchHeader::parse(bytes).ok().and_then(|header| header.codec().ok());
        codec.is_some_and(|codec| target(config, codec).is_some())
    };
    request.topics.iter().any(|named| {
        let topic = super::find(topics, &named.topic).filter(|topic| topic.config.compression_type.is_some());
        topic.is_some_and(|topic| {
            let mut batches = named.partitions.iter().filter_map(|partition| partition.records.as_ref());
            batches.any(|bytes| is_wanted(&topic.config, bytes))
        })
    })
}

/// The checked batch in `bytes`, whose header is `header`, with its records as `to` says. As in Kafka, the topic's limit holds for
/// what was sent and again for what is to be stored. Waits on the thread where too many are at it.
pub(super) fn recompressed(
    bytes: &[u8],
    header: &BatchHeader,
    to: Compression,
    config: &TopicConfig,
    memory: &RecompressMemory,
) -> Result<Recompressed, Refusal> {
    let limits = DecompressionLimits::default();
    let measured = measure(bytes, header, limits).map_err(BatchRejected::from)?;
    let bytes_max = config.max_message_bytes as usize;
    let plain_bytes = measured.plain_bytes;
    let needed = (plain_bytes + plain_bytes / 4 + FRAMING_BYTES_MAX).min(u64::from(config.max_message_bytes));
    let mut permit = memory.take(usize::try_from(needed).unwrap_or(usize::MAX))?;
    // Last, for who waits for nothing more: what it waits for is at work and will end.
    let _room = memory.encoders.room(to.encoder_bytes(plain_bytes));
    let (bytes, header) = recompress(bytes, header, measured, to, limits, bytes_max).map_err(|error| match error {
        RecompressError::Invalid(invalid) => Refusal::from(BatchRejected::from(invalid)),
        RecompressError::TooLarge { .. } => Refusal::of(ErrorCode::MESSAGE_TOO_LARGE),
    })?;
    drop(permit.split(permit.num_permits().saturating_sub(bytes.len())));
    Ok(Recompressed { bytes, header, permit })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::build::BatchBuilder;

    fn topic(compression_type: Option<CompressionType>) -> TopicConfig {
        TopicConfig { compression_type, compression_gzip_level: 3, compression_zstd_level: 5, ..TopicConfig::default() }
    }

    #[test]
    fn one_core_is_left_to_others_where_there_is_one() {
        assert_eq!([1, 2, 3, 16].map(slot_count), [1, 1, 2, 15]);
    }

    #[test]
    fn only_another_codec_than_the_topics_is_changed() {
        use CompressionType::*;
        let all = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
        for (wanted, codec, level) in [
            (None, None, 0),
            (Some(Uncompressed), Some(Codec::None), 0),
            (Some(Gzip), Some(Codec::Gzip), 3),
            (Some(Snappy), Some(Codec::Snappy), 0),
            (Some(Lz4), Some(Codec::Lz4), 0),
            (Some(Zstd), Some(Codec::Zstd), 5),
        ] {
            for from in all {
                let expected = codec.filter(|codec| *codec != from).map(|codec| Compression { codec, level });
                assert_eq!(target(&topic(wanted), from), expected, "{from} where {wanted:?} is wanted");
            }
        }
    }

    #[test]
    fn batches_wait_while_cores_or_memory_are_taken_by_others() {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        for taken in [vec![1; cores], vec![1 << 20]] {
            let memory = RecompressMemory::new(1 << 20);
            let rooms: Vec<_> = taken.into_iter().map(|bytes| memory.encoders.room(bytes)).collect();
            let (own, (done, is_done)) = (memory.clone(), std::sync::mpsc::channel());
            std::thread::spawn(move || {
                let batch = BatchBuilder::new().record(1, None, Some(&[7; 4000])).build();
                let header = BatchHeader::parse(&batch).expect("a batch");
                let config = topic(Some(CompressionType::Lz4));
                let made = recompressed(&batch, &header, Compression::of(Codec::Lz4), &config, &own);
                let _ = done.send(made.map(|made| made.header.codec()));
            });
            while memory.encoders.now().2 == 0 {
                assert!(is_done.try_recv().is_err(), "it did not wait");
                std::thread::yield_now();
            }
            drop(rooms);
            assert_eq!(is_done.recv().expect("an answer").expect("a batch"), Ok(Codec::Lz4));
            assert_eq!(memory.encoders.now(), (0, 0, 0));
        }
    }

    #[test]
    fn memory_is_taken_while_a_batch_is_there_and_refused_where_there_is_none() {
        let memory = RecompressMemory::new(10_000);
        let batch = BatchBuilder::new().codec(Codec::Gzip).record(1, None, Some(&[7; 4000])).build();
        let header = BatchHeader::parse(&batch).expect("a batch");
        let to = Compression::of(Codec::None);
        let config = topic(Some(CompressionType::Uncompressed));
        let again = || recompressed(&batch, &header, to, &config, &memory);
        let first = again().expect("there is room");
        assert_eq!(memory.bytes.available_permits(), 10_000 - first.bytes.len());
        // The second would fit, but that is known only once it is made.
        assert_eq!(again().expect_err("no room").error, ErrorCode::NOT_ENOUGH_REPLICAS);
        drop(first);
        assert_eq!(memory.bytes.available_permits(), 10_000);
        assert!(again().is_ok());
        let small = RecompressMemory::new(4000);
        let refused = recompressed(&batch, &header, to, &config, &small).expect_err("never any room");
        assert_eq!(refused.error, ErrorCode::MESSAGE_TOO_LARGE);
    }
}
