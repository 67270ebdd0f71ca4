//! The sending side: requests that become due, wait for their turn, are in flight, are answered or sent again.
//!
//! Partitions are cut into groups of `--partitions-per-request`. A lane is one group on one connection; requests go to the
//! lanes in turn. A lane's producer numbers its batches, so all partitions of a lane have the same sequence.
//!
//! Invariant: a request that became due is answered, timed out, refused or told as backlog; none is dropped.

mod answers;
mod lanes;

use std::collections::VecDeque;
use std::net::SocketAddr;

pub(super) use lanes::requests_per_second;
use lanes::{Lane, lanes};

use super::BenchError;
use super::arguments::{Acks, Load};
use super::clock::{SECOND_NS, monotonic_ns};
use super::connection::{Connection, Reading};
use super::measure::{Latencies, Measure};
use super::payload::{Payload, Producer};
use super::produce_codec::{ProduceFrame, read_response};
use super::reactor::{Reactor, Ready};
use super::schedule::Schedule;
use crate::record::advance_sequence;
use crate::types::{ErrorCode, Offset, PartitionIndex, ProducerEpoch, ProducerId};

/// Requests due and unsent at which a run is given up as not held.
const BACKLOG_MAX: u64 = 10_000_000;

/// How often retries and timeouts are looked for.
const CHECK_NS: u64 = 20_000_000;

/// One request, from when it is due to its answer.
#[derive(Debug)]
struct Sending {
    intended_ns: u64,
    sent_ns: u64,
    lane: usize,
    sequence: i32,
    correlation_id: i32,
    /// The partitions that a retry is for; none means all of the lane.
    only: Option<Vec<PartitionIndex>>,
    is_timed_out: bool,
}

struct Sender {
    connection: Connection,
    producer: Option<(ProducerId, ProducerEpoch)>,
    lanes: Vec<usize>,
    next_lane: usize,
    next_correlation_id: i32,
    /// Due, in order: when, and the lane.
    due: VecDeque<(u64, usize)>,
    /// Refused, to be sent again from `sent_ns` on.
    retries: VecDeque<Sending>,
    in_flight: VecDeque<Sending>,
    is_dirty: bool,
}

/// When sending ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// At this time; what is due and unsent then stays unsent.
    Time(u64),
    /// With the request that completes this many records.
    Records(u64),
}

/// All senders.
pub(super) struct Producers {
    frame: ProduceFrame,
    payload: Payload,
    schedule: Option<Schedule>,
    until: Until,
    in_flight_max: usize,
    timeout_ns: u64,
    senders: Vec<Sender>,
    lanes: Vec<Lane>,
    next_lane: usize,
    /// Senders with something to do.
    dirty: Vec<usize>,
    /// An empty list in reserve.
    spare: Vec<usize>,
    /// Records of requests that became due.
    due_records: u64,
    /// Nothing is sent before, so that connections stand when it counts.
    start_ns: u64,
    is_sending: bool,
    next_check_ns: u64,
    /// Requests due and not sent.
    pub(super) backlog: u64,
    /// The same when sending ended.
    pub(super) final_backlog: u64,
    /// When sending ended, ns.
    pub(super) ended_ns: Option<u64>,
    pub(super) measure: Measure,
    /// From when a request was due to when it was handed to the system.
    pub(super) send_lag: Latencies,
    /// Records acknowledged, of each partition.
    pub(super) acked: Vec<u64>,
    /// Offset after the last acknowledged record, of each partition; 0 where none is known.
    pub(super) acked_end: Vec<Offset>,
    outcomes: Vec<(PartitionIndex, ErrorCode, Offset)>,
}

/// What the senders are made from.
pub(super) struct ProducersSpec<'a> {
    pub(super) load: &'a Load,
    pub(super) frame: ProduceFrame,
    pub(super) payload: Payload,
    pub(super) partitions: i32,
    pub(super) schedule: Option<Schedule>,
    pub(super) until: Until,
    pub(super) measure: Measure,
    /// When sending begins, ns.
    pub(super) start_ns: u64,
    pub(super) address: SocketAddr,
    /// One for each connection, or none at all.
    pub(super) producers: Vec<(ProducerId, ProducerEpoch)>,
}

impl Producers {
    pub(super) fn new(spec: ProducersSpec<'_>) -> Result<Self, BenchError> {
        let connections = spec.load.connections as usize;
        let lanes = lanes(spec.partitions, spec.load.partitions_per_request, connections);
        let mut senders = Vec::with_capacity(connections);
        for index in 0..connections {
            let connection = Connection::open(spec.address, None).map_err(BenchError::system("a connection"))?;
            let own = lanes.iter().enumerate().filter(|(_, lane)| lane.connection == index).map(|(lane, _)| lane);
            senders.push(Sender {
                connection,
                producer: spec.producers.get(index).copied(),
                lanes: own.collect(),
                next_lane: 0,
                next_correlation_id: 0,
                due: VecDeque::new(),
                retries: VecDeque::new(),
                in_flight: VecDeque::new(),
                is_dirty: true,
            });
        }
        let partitions = spec.partitions.max(1) as usize;
        Ok(Self {
            frame: spec.frame,
            payload: spec.payload,
            schedule: spec.schedule,
            until: spec.until,
            in_flight_max: spec.load.in_flight as usize,
            timeout_ns: u64::from(spec.load.request_timeout_ms) * (SECOND_NS / 1000),
            dirty: (0..senders.len()).collect(),
            spare: Vec::new(),
            senders,
            lanes,
            next_lane: 0,
            due_records: 0,
            start_ns: spec.start_ns,
            is_sending: true,
            next_check_ns: 0,
            backlog: 0,
            final_backlog: 0,
            ended_ns: None,
            measure: spec.measure,
            send_lag: Latencies::new()?,
            acked: vec![0; partitions],
            acked_end: vec![0; partitions],
            outcomes: Vec::new(),
        })
    }

    pub(super) fn connection_count(&self) -> usize {
        self.senders.len()
    }

    pub(super) fn register(&mut self, reactor: &Reactor) -> Result<(), BenchError> {
        for (index, sender) in self.senders.iter_mut().enumerate() {
            let registered = sender.connection.register(reactor.registry(), mio::Token(index));
            registered.map_err(BenchError::system("a connection"))?;
        }
        Ok(())
    }

    /// Whether nothing is to be sent and nothing to be waited for.
    pub(super) fn is_done(&self) -> bool {
        let waits = |sender: &Sender| {
            !sender.retries.is_empty()
                || !sender.due.is_empty()
                || sender.in_flight.iter().any(|sending| !sending.is_timed_out)
        };
        !self.is_sending && !self.senders.iter().any(waits)
    }

    /// Whether sending ended before `then_ns`.
    pub(super) fn is_idle_since(&self, then_ns: u64) -> bool {
        !self.is_sending && self.ended_ns.is_some_and(|ended_ns| ended_ns < then_ns)
    }

    /// Sends what is due at `now_ns`.
    pub(super) fn send_due(&mut self, now_ns: u64) -> Result<(), BenchError> {
        if now_ns < self.start_ns {
            return Ok(());
        }
        self.take_due(now_ns);
        if now_ns >= self.next_check_ns {
            self.next_check_ns = now_ns + CHECK_NS;
            self.find_timeouts(now_ns);
        }
        // One round: without acknowledgements a sender is dirty again at once, and answers and the end must get their turn.
        let mut turn = std::mem::replace(&mut self.dirty, std::mem::take(&mut self.spare));
        for index in turn.drain(..) {
            self.senders[index].is_dirty = false;
            self.fill(index, now_ns)?;
        }
        self.spare = turn;
        Ok(())
    }

    /// When [`Producers::send_due`] has something to do, if nothing happens before.
    pub(super) fn next_wake_ns(&self) -> u64 {
        if !self.dirty.is_empty() {
            return self.start_ns;
        }
        let due_ns = match &self.schedule {
            Some(schedule) if self.is_sending => schedule.due_ns(),
            _ => u64::MAX,
        };
        let end_ns = match self.until {
            Until::Time(end_ns) if self.is_sending => end_ns,
            _ => u64::MAX,
        };
        due_ns.min(end_ns).min(self.next_check_ns).max(self.start_ns)
    }

    fn mark(&mut self, index: usize) {
        if !std::mem::replace(&mut self.senders[index].is_dirty, true) {
            self.dirty.push(index);
        }
    }

    fn take_due(&mut self, now_ns: u64) {
        while self.is_sending {
            if let Until::Time(end_ns) = self.until
                && self.schedule.as_ref().map_or(now_ns, |schedule| schedule.due_ns().min(now_ns)) >= end_ns
            {
                return self.end_sending(now_ns);
            }
            let Some(schedule) = &mut self.schedule else { return };
            if schedule.due_ns() > now_ns {
                return;
            }
            let intended_ns = schedule.take();
            let index = self.next_lane;
            self.next_lane = (index + 1) % self.lanes.len();
            let connection = self.lanes[index].connection;
            self.senders[connection].due.push_back((intended_ns, index));
            self.backlog += 1;
            self.mark(connection);
            self.count_due(index, now_ns);
            if self.backlog >= BACKLOG_MAX {
                self.end_sending(now_ns);
            }
        }
    }

    fn count_due(&mut self, lane: usize, now_ns: u64) {
        self.due_records += (self.lanes[lane].partition_count * self.payload.record_count) as u64;
        if let Until::Records(records) = self.until
            && self.due_records >= records
        {
            self.is_sending = false;
            self.ended_ns = Some(now_ns);
            self.final_backlog = self.backlog;
        }
    }

    /// What is due and unsent stays so; it counts with the time that it has waited.
    fn end_sending(&mut self, now_ns: u64) {
        self.is_sending = false;
        self.ended_ns = Some(now_ns);
        self.final_backlog = self.backlog;
        for sender in &mut self.senders {
            for (intended_ns, _) in sender.due.drain(..) {
                self.measure.latency(intended_ns, now_ns);
            }
        }
        self.backlog = 0;
    }

    fn find_timeouts(&mut self, now_ns: u64) {
        for index in 0..self.senders.len() {
            for sending in &mut self.senders[index].in_flight {
                if now_ns.saturating_sub(sending.sent_ns) < self.timeout_ns {
                    break;
                }
                if !std::mem::replace(&mut sending.is_timed_out, true) {
                    self.measure.latency(sending.intended_ns, now_ns);
                    self.measure.failure("CLIENT_TIMEOUT");
                }
            }
            if !self.senders[index].retries.is_empty() {
                self.mark(index);
            }
        }
    }

    /// Sends on one connection as much as may be in flight.
    fn fill(&mut self, index: usize, now_ns: u64) -> Result<(), BenchError> {
        while self.senders[index].in_flight.len() < self.in_flight_max {
            let Some(sending) = self.next_sending(index, now_ns) else { break };
            self.put(index, sending, now_ns);
        }
        self.flush(index)
    }

    fn next_sending(&mut self, index: usize, now_ns: u64) -> Option<Sending> {
        let sender = &mut self.senders[index];
        if let Some(retry) = sender.retries.front() {
            if retry.sent_ns <= now_ns {
                return sender.retries.pop_front();
            }
            // What a producer numbered later must not overtake. Without a rate it keeps its place in the pipe: else more and more
            // would wait for as long as the broker refuses.
            if sender.producer.is_some() || self.schedule.is_none() {
                return None;
            }
        }
        let (intended_ns, lane) = if self.schedule.is_some() {
            let due = sender.due.pop_front()?;
            self.backlog -= 1;
            due
        } else {
            if !self.is_sending {
                return None;
            }
            let lane = *sender.lanes.get(sender.next_lane)?;
            sender.next_lane = (sender.next_lane + 1) % sender.lanes.len();
            self.count_due(lane, now_ns);
            (now_ns, lane)
        };
        let records = i32::try_from(self.payload.record_count).unwrap_or(i32::MAX);
        let sequence = self.lanes[lane].next_sequence;
        self.lanes[lane].next_sequence = advance_sequence(sequence, records);
        self.send_lag.record_ns(now_ns.saturating_sub(intended_ns));
        Some(Sending {
            intended_ns,
            sent_ns: now_ns,
            lane,
            sequence,
            correlation_id: 0,
            only: None,
            is_timed_out: false,
        })
    }

    fn put(&mut self, index: usize, mut sending: Sending, now_ns: u64) {
        let sender = &mut self.senders[index];
        sending.sent_ns = now_ns;
        sending.correlation_id = sender.next_correlation_id;
        sender.next_correlation_id = sender.next_correlation_id.wrapping_add(1);
        let base_sequence = sending.sequence;
        let producer = sender.producer.map(|(id, epoch)| Producer { id, epoch, base_sequence });
        let lane = &self.lanes[sending.lane];
        let (out, id, intended_ns) = (&mut sender.connection.out, sending.correlation_id, sending.intended_ns);
        match &sending.only {
            Some(only) => self.frame.put(out, id, only.iter().copied(), &self.payload, producer, intended_ns),
            None => {
                let all = (0..lane.partition_count).map(|nth| lane.first_partition + nth as PartitionIndex);
                self.frame.put(out, id, all, &self.payload, producer, intended_ns);
            }
        }
        sender.in_flight.push_back(sending);
    }

    fn flush(&mut self, index: usize) -> Result<(), BenchError> {
        let sender = &mut self.senders[index];
        sender.connection.flush().map_err(|error| BenchError::Broken { doing: "sending", error })?;
        if self.frame.acks == Acks::None.number() && sender.connection.is_flushed() && !sender.in_flight.is_empty() {
            // Nothing is answered: what the system has taken is done, now and not when it was begun.
            let now_ns = monotonic_ns();
            while let Some(sending) = self.senders[index].in_flight.pop_front() {
                let lane = &self.lanes[sending.lane];
                let (first, count) = (lane.first_partition as usize, lane.partition_count);
                for acked in &mut self.acked[first..first + count] {
                    *acked += self.payload.record_count as u64;
                }
                self.count_done(&sending, count, now_ns);
            }
            self.mark(index);
        }
        Ok(())
    }

    fn count_done(&mut self, sending: &Sending, partitions: usize, now_ns: u64) {
        let (records, bytes) = (partitions * self.payload.record_count, partitions * self.payload.value_bytes);
        let intended_ns = (!sending.is_timed_out).then_some(sending.intended_ns);
        self.measure.done(intended_ns, now_ns, records as u64, bytes as u64);
    }

    /// Something happened on the connection with this index.
    pub(super) fn on_ready(&mut self, ready: Ready, now_ns: u64) -> Result<(), BenchError> {
        let index = ready.token;
        if ready.is_writable {
            if let Ok(Some(error)) = self.senders[index].connection.take_error() {
                return Err(BenchError::Broken { doing: "connecting", error });
            }
            self.flush(index)?;
        }
        if ready.is_readable {
            self.receive(index, now_ns)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
