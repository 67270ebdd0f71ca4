//! The reading side: each consumer fetches its partitions in a session, one request at a time, and looks at batch headers.

use std::net::SocketAddr;

use super::BenchError;
use super::connection::{Connection, Reading};
use super::fetch_codec::{FetchFrame, Fetched, Session, batches, read_response};
use super::measure::Measure;
use super::payload::stamp_of;
use super::reactor::{Reactor, Ready};
use super::verify::Verified;
use crate::record::BatchHeader;
use crate::types::{ErrorCode, Offset, PartitionIndex};

/// How far a consumer is in a partition.
#[derive(Debug, Clone)]
struct Place {
    index: PartitionIndex,
    /// Next offset to read.
    next: Offset,
    has_read: bool,
    /// Whether the session knows another offset.
    is_changed: bool,
}

struct Consumer {
    connection: Connection,
    /// Partition `index` is the place `index / stride`.
    stride: usize,
    places: Vec<Place>,
    changed: Vec<usize>,
    session: Session,
    correlation_id: i32,
    is_waiting: bool,
    verified: Verified,
}

/// What the consumers are made from.
pub(super) struct ConsumersSpec {
    pub(super) frame: FetchFrame,
    pub(super) address: SocketAddr,
    /// Where to begin, of each partition.
    pub(super) starts: Vec<Offset>,
    pub(super) count: usize,
    /// Whether each consumer reads all partitions, or its share.
    pub(super) is_fan_out: bool,
    pub(super) verify: bool,
    /// Whether batches tell when they were to be sent, and that is wanted.
    pub(super) stamps: bool,
    pub(super) measure: Measure,
}

/// All consumers.
pub(super) struct Consumers {
    frame: FetchFrame,
    consumers: Vec<Consumer>,
    verify: bool,
    stamps: bool,
    /// Where reading ends, of each partition; none for never.
    ends: Option<Vec<Offset>>,
    /// Records and bytes of batches that were read, all consumers, window or not.
    pub(super) records: u64,
    pub(super) measure: Measure,
}

impl Consumers {
    pub(super) fn new(spec: ConsumersSpec) -> Result<Self, BenchError> {
        let mut consumers = Vec::with_capacity(spec.count);
        for number in 0..spec.count {
            let connection = Connection::open(spec.address, None).map_err(BenchError::system("a connection"))?;
            let (first, stride) = if spec.is_fan_out { (0, 1) } else { (number, spec.count) };
            let places: Vec<Place> = spec
                .starts
                .iter()
                .enumerate()
                .skip(first)
                .step_by(stride)
                .map(|(index, next)| Place {
                    index: index as PartitionIndex,
                    next: *next,
                    has_read: false,
                    is_changed: true,
                })
                .collect();
            consumers.push(Consumer {
                connection,
                stride,
                changed: (0..places.len()).collect(),
                places,
                session: Session::NEW,
                correlation_id: 0,
                is_waiting: false,
                verified: Verified::default(),
            });
        }
        Ok(Self {
            frame: spec.frame,
            consumers,
            verify: spec.verify,
            stamps: spec.stamps,
            ends: None,
            records: 0,
            measure: spec.measure,
        })
    }

    pub(super) fn register(&mut self, reactor: &Reactor, first_token: usize) -> Result<(), BenchError> {
        for (index, consumer) in self.consumers.iter_mut().enumerate() {
            let registered = consumer.connection.register(reactor.registry(), mio::Token(first_token + index));
            registered.map_err(BenchError::system("a connection"))?;
            if !consumer.places.is_empty() {
                consumer.fetch(&self.frame);
                consumer.connection.flush().map_err(|error| BenchError::Broken { doing: "fetching", error })?;
            }
        }
        Ok(())
    }

    /// Ends reading at these offsets.
    pub(super) fn end_at(&mut self, ends: Vec<Offset>) {
        self.ends = Some(ends);
    }

    /// Whether everything up to the ends is read.
    pub(super) fn is_done(&self) -> bool {
        let Some(ends) = &self.ends else { return false };
        let is_read = |place: &Place| ends.get(place.index as usize).is_none_or(|end| place.next >= *end);
        self.consumers.iter().all(|consumer| consumer.places.iter().all(is_read))
    }

    /// What all consumers found.
    pub(super) fn verified(&self) -> Verified {
        let mut verified = Verified::default();
        for consumer in &self.consumers {
            verified.add(&consumer.verified);
        }
        verified
    }

    pub(super) fn on_ready(&mut self, index: usize, ready: Ready, now_ns: u64) -> Result<(), BenchError> {
        let consumer = &mut self.consumers[index];
        if ready.is_writable {
            if let Ok(Some(error)) = consumer.connection.take_error() {
                return Err(BenchError::Broken { doing: "connecting", error });
            }
            consumer.connection.flush().map_err(|error| BenchError::Broken { doing: "fetching", error })?;
        }
        if !ready.is_readable {
            return Ok(());
        }
        let Consumer { connection, stride, places, changed, session, correlation_id, is_waiting, verified } = consumer;
        let (measure, records) = (&mut self.measure, &mut self.records);
        let mut reader = Reader {
            stride: *stride,
            places,
            changed,
            verified,
            measure,
            records,
            now_ns,
            verify: self.verify,
            stamps: self.stamps,
        };
        let reading = connection.receive(|frame, _| {
            let id = frame.first_chunk().map(|id| i32::from_be_bytes(*id));
            if id != Some(*correlation_id) {
                return Err(undecodable());
            }
            let body = frame.get(5..).ok_or_else(undecodable)?;
            let (error, session_id) =
                read_response(body, |fetched| reader.partition(fetched)).ok_or_else(undecodable)?;
            *is_waiting = false;
            if error.is_none() {
                *session = match session_id {
                    0 => Session::NEW,
                    id => Session { id, epoch: if session.epoch == i32::MAX { 1 } else { session.epoch + 1 } },
                };
            } else {
                reader.measure.error(error.name(), 1);
                *session = Session::NEW;
            }
            Ok(())
        });
        match reading {
            Ok(Reading::Drained) => {}
            Ok(Reading::Closed) => return Err(BenchError::Closed { unanswered: usize::from(consumer.is_waiting) }),
            Err(error) => return Err(BenchError::Broken { doing: "fetching", error }),
        }
        if !consumer.is_waiting {
            consumer.fetch(&self.frame);
            consumer.connection.flush().map_err(|error| BenchError::Broken { doing: "fetching", error })?;
        }
        Ok(())
    }
}

fn undecodable() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, "an answer to Fetch that does not decode")
}

impl Consumer {
    fn fetch(&mut self, frame: &FetchFrame) {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        self.is_waiting = true;
        let (out, places) = (&mut self.connection.out, &mut self.places);
        if self.session == Session::NEW {
            frame.put(out, self.correlation_id, self.session, places.iter().map(|place| (place.index, place.next)));
        } else {
            let changed = self.changed.iter().map(|place| (places[*place].index, places[*place].next));
            frame.put(out, self.correlation_id, self.session, changed);
        }
        for place in self.changed.drain(..) {
            places[place].is_changed = false;
        }
    }
}

/// Takes one answer in.
struct Reader<'a> {
    stride: usize,
    places: &'a mut [Place],
    changed: &'a mut Vec<usize>,
    verified: &'a mut Verified,
    measure: &'a mut Measure,
    records: &'a mut u64,
    now_ns: u64,
    verify: bool,
    stamps: bool,
}

impl Reader<'_> {
    fn partition(&mut self, fetched: Fetched<'_>) {
        let at = usize::try_from(fetched.index).unwrap_or(usize::MAX) / self.stride;
        let Some(place) = self.places.get_mut(at).filter(|place| place.index == fetched.index) else {
            return self.measure.failure("UNASKED_PARTITION");
        };
        if fetched.error != ErrorCode::NONE {
            return self.measure.error(fetched.error.name(), 1);
        }
        let before = place.next;
        for batch in batches(fetched.records) {
            let Ok(header) = BatchHeader::parse(batch) else {
                self.measure.failure("UNREADABLE_BATCH");
                break;
            };
            let end = header.base_offset.saturating_add(i64::from(header.last_offset_delta)).saturating_add(1);
            if end <= place.next {
                continue; // read already
            }
            if self.verify {
                self.verified.batch(place.index, place.next, !place.has_read, batch);
            }
            let skipped = place.next.saturating_sub(header.base_offset).max(0).unsigned_abs();
            let records = u64::from(header.record_count.max(0).unsigned_abs()).saturating_sub(skipped);
            let stamp = if self.stamps { stamp_of(batch) } else { None };
            *self.records += records;
            self.measure.done(stamp, self.now_ns, records, batch.len() as u64);
            place.next = end;
            place.has_read = true;
        }
        if place.next != before && !std::mem::replace(&mut place.is_changed, true) {
            self.changed.push(at);
        }
    }
}
