//! `einmal bench transactions`: producers that run one transaction after the other, each a Produce and an EndTxn, and how long it
//! takes until they are committed.
//!
//! The JSON object has these members beside `args`, `seconds`, `errors` and `client_cpu_s` of [`super::report`]:
//!
//! | Member | Holds |
//! |---|---|
//! | `mode` | `transactions` |
//! | `transactions`, `transactions_per_s` | committed in the window |
//! | `latency_us` | from when a transaction was due to the answer of its EndTxn |
//! | `commit_latency_us` | from EndTxn to its answer |
//! | `retries` | by name of the error code: requests that were sent again |
//! | `complete` | whether the partitions end where all records and markers are there |

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mio::Token;
use serde_json::{Value, json};

use super::BenchError;
use super::admin::{Admin, End};
use super::arguments::Transactions as Arguments;
use super::clock::{SECOND_NS, monotonic_ns, thread_cpu, wall_ms};
use super::connection::{Connection, Reading};
use super::measure::Latencies;
use super::payload::{Payload, PayloadSpec};
use super::reactor::{Reactor, Ready};
use super::report::latencies_json;
use super::schedule::{Arrival, Schedule};
use super::transactional_producer::{END_TXN_VERSION, PRODUCE_VERSION, Step, TransactionalProducer};
use crate::client::ClientError;
use crate::record::codec::Codec;
use crate::types::{Offset, PartitionIndex};

/// Time until a request is sent again that the broker was not ready for, ns.
const BACKOFF_NS: u64 = 1_000_000;

/// Time for what is under way when the run ends, ns.
const PATIENCE_NS: u64 = 30 * SECOND_NS;

/// Looks at the ends of the partitions, 10 ms apart, until every marker is there.
const LOOKS_MAX: u32 = 1000;

/// What a run found.
#[derive(Debug)]
pub(super) struct Found {
    args: Value,
    seconds: f64,
    counts: Counts,
    /// Whether partitions ended where they should.
    is_complete: bool,
    client_cpu_s: f64,
}

/// Of what was committed after the warm-up and before the end.
#[derive(Debug)]
struct Counts {
    transactions: u64,
    /// From when a transaction was due to its commit.
    whole: Latencies,
    /// From EndTxn to its answer.
    commit: Latencies,
    /// Requests that were sent again.
    retries: BTreeMap<String, u64>,
}

struct Seat {
    connection: Connection,
    producer: TransactionalProducer,
    /// When its transaction was due, and when its commit was asked for.
    due_ns: u64,
    ending_ns: u64,
}

struct Run<'a> {
    arguments: &'a Arguments,
    reactor: Reactor,
    seats: Vec<Seat>,
    payload: Payload,
    partitions: PartitionIndex,
    /// Where the next transaction begins to write.
    next_partition: PartitionIndex,
    schedule: Option<Schedule>,
    /// Producers without a transaction.
    idle: Vec<usize>,
    /// Those whose request is to be sent again, and when.
    again: BTreeSet<(u64, usize)>,
    counting_ns: std::ops::Range<u64>,
    counts: Counts,
    committed: u64,
}

/// Runs transactions for the time that the arguments ask for.
pub(super) fn run(arguments: &Arguments) -> Result<Found, BenchError> {
    let mut admin = Admin::connect(&arguments.bootstrap_server)?;
    admin.version("Produce", 0, (PRODUCE_VERSION, PRODUCE_VERSION))?;
    admin.version("EndTxn", 26, (END_TXN_VERSION, END_TXN_VERSION))?;
    let partitions = admin.create_topic(&arguments.topic, arguments.create_partitions, &[])?;
    if i64::from(arguments.partitions_per_transaction) > i64::from(partitions) {
        return Err(BenchError::Usage(format!(
            "the topic has {partitions} partitions, fewer than a transaction is to have"
        )));
    }
    let reactor = Reactor::new()?;
    let mut seats = Vec::new();
    for number in 0..arguments.producers {
        let id = format!("{}-{number}", arguments.transactional_id);
        let (producer_id, epoch) = admin.init_transactions(&id)?;
        let broken = |error| BenchError::Broken { doing: "connecting", error };
        let mut connection = Connection::open(admin.address, None).map_err(broken)?;
        connection.register(reactor.registry(), Token(seats.len())).map_err(broken)?;
        let producer = TransactionalProducer::new(&id, producer_id, epoch, &arguments.topic);
        seats.push(Seat { connection, producer, due_ns: 0, ending_ns: 0 });
    }
    let before = admin.offsets(&arguments.topic, partitions, End::Latest)?;
    let start_ns = monotonic_ns();
    let counting_from_ns = start_ns + (arguments.warm_up * SECOND_NS as f64) as u64;
    let end_ns = counting_from_ns + (arguments.duration * SECOND_NS as f64) as u64;
    let mut run = Run {
        arguments,
        reactor,
        idle: (0..seats.len()).collect(),
        seats,
        payload: Payload::new(&PayloadSpec {
            record_bytes: arguments.record_size as usize,
            record_count: arguments.records_per_batch as usize,
            codec: Codec::None,
            is_transactional: true,
            timestamp: wall_ms(),
            seed: 1,
            ids: None,
        }),
        partitions,
        next_partition: 0,
        schedule: (arguments.rate > 0.0).then(|| Schedule::new(Arrival::Constant, arguments.rate, start_ns, 1)),
        again: BTreeSet::new(),
        counting_ns: counting_from_ns..end_ns,
        counts: Counts {
            transactions: 0,
            whole: Latencies::new()?,
            commit: Latencies::new()?,
            retries: BTreeMap::new(),
        },
        committed: 0,
    };
    let cpu = thread_cpu();
    run.drive(end_ns)?;
    let client_cpu_s = (thread_cpu() - cpu).as_secs_f64();
    // A record's batch and a marker in each partition of each transaction.
    let per_transaction =
        i64::from(arguments.partitions_per_transaction) * (i64::from(arguments.records_per_batch) + 1);
    let added = i64::try_from(run.committed).unwrap_or(i64::MAX).saturating_mul(per_transaction);
    let expected = total(&before).saturating_add(added);
    let is_complete = ends_at(&mut admin, &arguments.topic, partitions, expected)?;
    Ok(Found {
        args: json!({
            "bootstrap_server": arguments.bootstrap_server, "topic": arguments.topic, "producers": arguments.producers,
            "partitions_per_transaction": arguments.partitions_per_transaction, "record_size": arguments.record_size,
            "records_per_batch": arguments.records_per_batch, "rate": arguments.rate, "duration": arguments.duration,
            "warm_up": arguments.warm_up,
        }),
        seconds: arguments.duration,
        counts: run.counts,
        is_complete,
        client_cpu_s,
    })
}

fn total(offsets: &[Offset]) -> i64 {
    offsets.iter().sum()
}

/// Whether the partitions come to end at `expected` together. Kafka writes markers after it has answered.
fn ends_at(admin: &mut Admin, topic: &str, partitions: PartitionIndex, expected: i64) -> Result<bool, BenchError> {
    for _ in 0..LOOKS_MAX {
        if total(&admin.offsets(topic, partitions, End::Latest)?) >= expected {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(total(&admin.offsets(topic, partitions, End::Latest)?) == expected)
}

impl Run<'_> {
    /// Begins transactions until `end_ns`, and takes them all to their ends.
    fn drive(&mut self, end_ns: u64) -> Result<(), BenchError> {
        while monotonic_ns() < end_ns {
            self.begin_due()?;
            self.step(end_ns)?;
        }
        while self.idle.len() < self.seats.len() {
            if monotonic_ns() > end_ns + PATIENCE_NS {
                let open = self.seats.len() - self.idle.len();
                return Err(BenchError::Usage(format!("{open} transactions were not committed in time")));
            }
            self.step(end_ns + PATIENCE_NS)?;
        }
        Ok(())
    }

    /// Begins what is due in producers that have nothing to do.
    fn begin_due(&mut self) -> Result<(), BenchError> {
        let now_ns = monotonic_ns();
        while let Some(token) = self.idle.last().copied() {
            let due_ns = match &mut self.schedule {
                None => now_ns,
                Some(schedule) if schedule.due_ns() <= now_ns => schedule.take(),
                Some(_) => return Ok(()),
            };
            self.idle.pop();
            let count = self.arguments.partitions_per_transaction as PartitionIndex;
            let partitions = (0..count).map(|each| (self.next_partition + each) % self.partitions).collect();
            self.next_partition = (self.next_partition + count) % self.partitions;
            self.seats[token].due_ns = due_ns;
            self.seats[token].producer.begin(partitions);
            self.send(token, now_ns)?;
        }
        Ok(())
    }

    /// Sends again what is due, waits for sockets until the next thing is or `until_ns`, and takes in what came.
    fn step(&mut self, until_ns: u64) -> Result<(), BenchError> {
        let now_ns = monotonic_ns();
        while let Some(&(due_ns, token)) = self.again.first().filter(|(due_ns, _)| *due_ns <= now_ns) {
            self.again.remove(&(due_ns, token));
            self.send(token, now_ns)?;
        }
        let again_ns = self.again.first().map_or(u64::MAX, |(due_ns, _)| *due_ns);
        let due_ns = self.schedule.as_ref().filter(|_| !self.idle.is_empty()).map_or(u64::MAX, Schedule::due_ns);
        let mut ready = Vec::new();
        self.reactor.wait(until_ns.min(again_ns).min(due_ns), &mut ready)?;
        for event in &ready {
            self.on_ready(*event)?;
        }
        Ok(())
    }

    fn send(&mut self, token: usize, now_ns: u64) -> Result<(), BenchError> {
        let seat = &mut self.seats[token];
        seat.producer.put(&mut seat.connection.out, &self.payload, now_ns)?;
        seat.connection.flush().map_err(|error| BenchError::Broken { doing: "sending", error })
    }

    fn on_ready(&mut self, ready: Ready) -> Result<(), BenchError> {
        let seat = &mut self.seats[ready.token];
        if ready.is_writable {
            let broken = |error| BenchError::Broken { doing: "connecting", error };
            if let Some(error) = seat.connection.take_error().map_err(broken)? {
                return Err(broken(error));
            }
            seat.connection.flush().map_err(|error| BenchError::Broken { doing: "sending", error })?;
        }
        if !ready.is_readable {
            return Ok(());
        }
        let Seat { connection, producer, .. } = seat;
        let mut steps = Vec::new();
        let reading = connection.receive(|frame, _| {
            steps.push(producer.on_answer(frame)?);
            Ok::<(), BenchError>(())
        })?;
        if reading == Reading::Closed {
            return Err(BenchError::Closed { unanswered: 1 });
        }
        let now_ns = monotonic_ns();
        for step in steps {
            self.on_step(ready.token, step, now_ns)?;
        }
        Ok(())
    }

    fn on_step(&mut self, token: usize, step: Step, now_ns: u64) -> Result<(), BenchError> {
        let seat = &mut self.seats[token];
        match step {
            Step::Written => {
                seat.ending_ns = now_ns;
                return self.send(token, now_ns);
            }
            Step::Again(error) => {
                *self.counts.retries.entry(error.to_string()).or_default() += 1;
                self.again.insert((now_ns + BACKOFF_NS, token));
            }
            Step::Committed => {
                self.committed += 1;
                if self.counting_ns.contains(&now_ns) {
                    self.counts.transactions += 1;
                    self.counts.whole.record_ns(now_ns - seat.due_ns);
                    self.counts.commit.record_ns(now_ns - seat.ending_ns);
                }
                self.idle.push(token);
            }
            Step::Refused(error) => {
                return Err(ClientError::Refused { api: "a transaction", error, message: String::new() }.into());
            }
        }
        Ok(())
    }
}

impl Found {
    /// Whether the broker stored everything once; what it refuses ends the run.
    pub(super) fn is_clean(&self) -> bool {
        self.is_complete
    }

    fn per_s(&self) -> f64 {
        self.counts.transactions as f64 / self.seconds
    }

    /// For harnesses: times in µs and seconds.
    pub(super) fn json(&self) -> Value {
        json!({
            "mode": "transactions", "args": self.args, "seconds": self.seconds, "transactions": self.counts.transactions,
            "transactions_per_s": self.per_s(), "latency_us": latencies_json(&self.counts.whole),
            "commit_latency_us": latencies_json(&self.counts.commit), "retries": self.counts.retries,
            "errors": {}, "complete": self.is_complete, "client_cpu_s": self.client_cpu_s,
        })
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let mut text = format!("transactions         {:.0}/s\n", self.per_s());
        for (name, latencies) in
            [("from due to done    ", &self.counts.whole), ("commit alone        ", &self.counts.commit)]
        {
            let (p50, p99) = (latencies.percentile_us(50.0), latencies.percentile_us(99.0));
            text += &format!("{name} p50 {p50} µs, p99 {p99} µs, max {} µs\n", latencies.max_us());
        }
        for (error, count) in &self.counts.retries {
            text += &format!("asked again          {error} {count}\n");
        }
        if !self.is_complete {
            text += "the partitions do not end where the committed transactions would have them end\n";
        }
        text
    }
}
