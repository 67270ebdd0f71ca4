//! Writes a slice in one go.

use std::io::{self, Write};

use super::filter::Filter;
use super::{BUCKET_IDS, CRC_BYTES, ID_BYTES, SealedId, SliceHead, SliceIndex, bucket_crc, share};
use crate::types::{Timestamp, TopicNo};

/// Takes the ids of a slice by rising places, and writes all that lies behind its head. The head comes last, and makes the file one.
pub struct SliceWriter<W> {
    out: W,
    topic: TopicNo,
    number: u64,
    until: Timestamp,
    oldest: Timestamp,
    newest: Timestamp,
    ids: u32,
    buckets: u32,
    starts: Vec<u32>,
    /// The ids of the last bucket.
    bucket: Vec<u8>,
    filter: Filter,
    last: Option<(u64, [u8; 16])>,
}

impl<W: Write> SliceWriter<W> {
    /// A slice of about `ids` ids. With many more its filter errs more often, with many less it is larger than it need be.
    pub fn new(out: W, topic: TopicNo, number: u64, until: Timestamp, ids: u32) -> Self {
        let buckets = (ids / BUCKET_IDS as u32).max(1);
        let mut starts = Vec::with_capacity(buckets as usize + 1);
        starts.push(0);
        Self {
            out,
            topic,
            number,
            until,
            oldest: Timestamp::MAX,
            newest: Timestamp::MIN,
            ids: 0,
            buckets,
            starts,
            bucket: Vec::with_capacity(2 * BUCKET_IDS * ID_BYTES),
            filter: Filter::for_ids(ids),
            last: None,
        }
    }

    /// Takes an id in.
    ///
    /// # Errors
    /// What `out` says.
    ///
    /// # Panics
    /// If its place lies before that of the one before it, or is the same and its fingerprint is not higher.
    pub fn push(&mut self, place: u64, id: &SealedId) -> io::Result<()> {
        let order = (place, id.fingerprint.0);
        assert!(self.last.is_none_or(|last| last < order), "ids come in the order of their places");
        self.last = Some(order);
        let bucket = share(place, self.buckets) as usize;
        while self.starts.len() <= bucket {
            self.end_bucket()?;
        }
        self.bucket.extend_from_slice(&id.encode());
        self.filter.add(place);
        self.ids = self.ids.checked_add(1).expect("an index has fewer than 2^32 ids");
        (self.oldest, self.newest) = (self.oldest.min(id.time), self.newest.max(id.time));
        Ok(())
    }

    fn end_bucket(&mut self) -> io::Result<()> {
        let number = self.starts.len() as u32 - 1;
        self.out.write_all(&self.bucket)?;
        self.out.write_all(&bucket_crc(self.number, number, &self.bucket).to_be_bytes())?;
        self.bucket.clear();
        self.starts.push(self.ids);
        Ok(())
    }

    /// Writes the rest; answers the head, to be written in front of it, and what is kept in memory.
    ///
    /// # Errors
    /// What `out` says.
    pub fn finish(mut self) -> io::Result<(W, SliceHead, SliceIndex)> {
        while self.starts.len() <= self.buckets as usize {
            self.end_bucket()?;
        }
        let mut index_crc = 0;
        let mut write = |out: &mut W, bytes: &[u8]| {
            index_crc = crc32c::crc32c_append(index_crc, bytes);
            out.write_all(bytes)
        };
        for start in &self.starts {
            write(&mut self.out, &start.to_be_bytes())?;
        }
        for block in self.filter.encode() {
            write(&mut self.out, &block)?;
        }
        let head = SliceHead {
            topic: self.topic,
            number: self.number,
            until: self.until,
            oldest: self.oldest,
            newest: self.newest,
            ids: self.ids,
            buckets: self.buckets,
            filter_blocks: self.filter.blocks(),
            index_crc,
        };
        let index = SliceIndex { number: self.number, starts: self.starts.into_boxed_slice(), filter: self.filter };
        Ok((self.out, head, index))
    }
}

const _: () = assert!(CRC_BYTES == size_of::<u32>());
