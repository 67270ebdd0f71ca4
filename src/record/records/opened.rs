//! The records of a batch, to be looked at more than once, in memory that does not grow with what they expand to.
//!
//! What expands to little is kept expanded; of more one record is there at a time, and each look expands the batch anew. Views of all
//! records of a batch would take about a hundred bytes for each of seven.

use std::borrow::Cow;
use std::io::{self, BufRead, Read};

use super::RecordsInvalid;
use super::varint::{ReadError, read_length};
use super::views::{RecordView, read_record};
use crate::record::codec::{self, Codec, DecompressError, DecompressionLimits};
use crate::record::{BatchHeader, HEADER_BYTES};

/// Records that expand to more are expanded anew for each look, bytes.
const KEPT_EXPANDED_BYTES_MAX: u64 = 8 << 20;

/// See the module.
pub struct Opened<'a> {
    header: BatchHeader,
    codec: Codec,
    limits: DecompressionLimits,
    packed: &'a [u8],
    /// None of more than [`KEPT_EXPANDED_BYTES_MAX`].
    plain: Option<Cow<'a, [u8]>>,
}

impl<'a> Opened<'a> {
    /// Of the batch in `bytes`, whose header is `header`. `limits` hold for each look.
    ///
    /// # Errors
    /// [`RecordsInvalid`] if the records do not decompress; of large ones a look may tell it later.
    pub fn of(bytes: &'a [u8], header: &BatchHeader, limits: DecompressionLimits) -> Result<Self, RecordsInvalid> {
        let codec = header.codec()?;
        let packed = bytes.get(HEADER_BYTES..).unwrap_or_default();
        let few = DecompressionLimits { bytes_max: limits.bytes_max.min(KEPT_EXPANDED_BYTES_MAX), ..limits };
        let plain = match codec::decompress(codec, packed, few) {
            Ok(plain) => Some(plain),
            Err(DecompressError::TooLarge { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        Ok(Self { header: *header, codec, limits, packed, plain })
    }

    /// The header that was given.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// Begins a look.
    ///
    /// # Errors
    /// [`RecordsInvalid`] if the records do not decompress.
    pub fn look(&self) -> Result<Look<'_>, RecordsInvalid> {
        let source = match &self.plain {
            Some(plain) => Box::new(&plain[..]),
            None => codec::reader(self.codec, self.packed, self.limits)?,
        };
        let (codec, record_count) = (self.codec, self.header.record_count);
        Ok(Look { source, codec, record_count, index: 0, used: 0, record: Vec::new() })
    }

    /// Shows all records to `visit`, in order, as long as it answers true.
    ///
    /// # Errors
    /// [`RecordsInvalid`] if they are not exactly those that the header counts, of as many as were looked at.
    pub fn each(&self, mut visit: impl FnMut(&RecordView<'_>) -> bool) -> Result<(), RecordsInvalid> {
        let mut look = self.look()?;
        while let Some(record) = look.next()? {
            if !visit(&record) {
                break;
            }
        }
        Ok(())
    }
}

/// One look at all records, in order.
pub struct Look<'a> {
    source: Box<dyn BufRead + 'a>,
    codec: Codec,
    record_count: i32,
    index: i32,
    /// Bytes of the source that the record last given takes.
    used: usize,
    /// A record that does not lie in one piece in the source.
    record: Vec<u8>,
}

impl Look<'_> {
    /// The next record; none after the last.
    ///
    /// # Errors
    /// [`RecordsInvalid`], after which nothing is to be asked any more.
    #[expect(clippy::should_implement_trait, reason = "what it gives borrows from it")]
    pub fn next(&mut self) -> Result<Option<RecordView<'_>>, RecordsInvalid> {
        self.source.consume(std::mem::take(&mut self.used));
        let (index, codec) = (self.index, self.codec);
        let told = |error| match error {
            ReadError::Malformed(detail) => RecordsInvalid::Malformed { index, detail },
            ReadError::Stream(error) => codec::from_io(codec, error).into(),
        };
        if index >= self.record_count {
            let left = self.source.fill_buf().map_err(|error| told(ReadError::Stream(error)))?;
            let is_end = left.is_empty();
            return if is_end { Ok(None) } else { Err(RecordsInvalid::TrailingBytes { count: self.record_count }) };
        }
        self.index += 1;
        self.read().map(Some).map_err(told)
    }

    fn read(&mut self) -> Result<RecordView<'_>, ReadError> {
        if let Some(bytes) = whole_record_bytes(self.source.fill_buf()?)? {
            self.used = bytes;
            // The same bytes: nothing has been consumed.
            return read_record(&mut &self.source.fill_buf()?[..bytes]);
        }
        self.record.clear();
        let mut length = Copied { from: &mut self.source, to: &mut self.record };
        let bytes = read_length(&mut length)?.ok_or(ReadError::Malformed("its length is negative"))?;
        // Grows with what is there, not with what is declared.
        (&mut self.source).take(bytes as u64).read_to_end(&mut self.record)?;
        read_record(&mut &self.record[..])
    }
}

/// Bytes of the first record of `buffered`, its length included, if all of it is there.
fn whole_record_bytes(buffered: &[u8]) -> Result<Option<usize>, ReadError> {
    let mut rest = buffered;
    match read_length(&mut rest) {
        Ok(Some(bytes)) => Ok((bytes <= rest.len()).then(|| buffered.len() - rest.len() + bytes)),
        Ok(None) => Err(ReadError::Malformed("its length is negative")),
        // Perhaps the rest of the number lies in the next piece.
        Err(_) => Ok(None),
    }
}

/// Keeps what is read.
struct Copied<'a, R> {
    from: &'a mut R,
    to: &'a mut Vec<u8>,
}

impl<R: Read> Read for Copied<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.to.extend_from_slice(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::build::BatchBuilder;
    use crate::record::records::records;

    const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    fn batch(codec: Codec, sizes: &[usize]) -> (Vec<u8>, BatchHeader) {
        let values = sizes.iter().map(|size| vec![7; *size]);
        let batch =
            values.fold(BatchBuilder::new().codec(codec), |batch, value| batch.record(5, Some(b"k"), Some(&value)));
        let bytes = batch.build().to_vec();
        let header = BatchHeader::parse(&bytes).expect("a batch");
        (bytes, header)
    }

    #[test]
    fn each_look_gives_the_records_whether_they_are_kept_or_expanded_anew() {
        let limits = DecompressionLimits::default();
        for codec in CODECS {
            // Across the buffers of a stream, in it, empty.
            for sizes in [&[0, 1, 300, 70_000, 9, 200_000, 64 << 10][..], &[100_000; 100]] {
                let (bytes, header) = batch(codec, sizes);
                let plain = codec::decompress(codec, &bytes[HEADER_BYTES..], limits).expect("expands");
                let expected: Vec<_> = records(&plain, header.record_count).map(Result::unwrap).collect();
                let opened = Opened::of(&bytes, &header, limits).expect("opens");
                let is_kept = codec == Codec::None || plain.len() as u64 <= KEPT_EXPANDED_BYTES_MAX;
                assert_eq!(opened.plain.is_some(), is_kept, "{codec}");
                for _ in 0..2 {
                    let mut index = 0;
                    opened
                        .each(|record| {
                            assert_eq!(*record, expected[index], "{codec}");
                            index += 1;
                            true
                        })
                        .expect("reads");
                    assert_eq!(index, expected.len());
                }
            }
        }
    }

    #[test]
    fn what_is_not_exactly_the_records_is_told() {
        let limits = DecompressionLimits::default();
        for sizes in [&[10; 3][..], &[3_000_000; 3]] {
            let (bytes, header) = batch(Codec::Gzip, sizes);
            let told = |record_count, limits| {
                let header = BatchHeader { record_count, ..header };
                Opened::of(&bytes, &header, limits).and_then(|opened| opened.each(|_| true))
            };
            assert_eq!(told(3, limits), Ok(()));
            assert_eq!(told(2, limits), Err(RecordsInvalid::TrailingBytes { count: 2 }));
            let early = RecordsInvalid::Malformed { index: 3, detail: "it ends early" };
            assert_eq!(told(4, limits), Err(early));
            let few = DecompressionLimits { bytes_max: 20, ratio_max: 1 };
            assert!(matches!(told(3, few), Err(RecordsInvalid::Decompress(DecompressError::TooLarge { .. }))));
        }
    }
}
