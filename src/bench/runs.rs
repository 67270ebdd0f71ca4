//! What each mode prepares, runs and reports.

use serde_json::{Map, Value, json};

use super::BenchError;
use super::admin::{Admin, End};
use super::arguments::{Acks, Compression, Consume, EndToEnd, From, Isolation, Load, Produce, Reading, Target};
use super::clock::{SECOND_NS, monotonic_ns, thread_cpu, wall_ms};
use super::consumer::{Consumers, ConsumersSpec};
use super::drive::{ReadUntil, Run};
use super::fetch_codec::{self, FetchFrame};
use super::measure::{Measure, is_held};
use super::payload::{CHECKED_VALUE_BYTES, Payload, PayloadSpec};
use super::produce_codec::{self, ProduceFrame};
use super::producer::{Producers, ProducersSpec, Until, requests_per_second};
use super::progress::Progress;
use super::report::{Report, Sent, Side};
use super::schedule::Schedule;
use super::verify::Verified;
use crate::types::Offset;

/// Seconds that are measured if neither a duration nor a number of records is given.
const DURATION_S: f64 = 10.0;

/// Batches of a producer that brokers remember (`MAX_IN_FLIGHT_REQUESTS_FOR_IDEMPOTENCE`).
const IDEMPOTENT_IN_FLIGHT_MAX: u32 = 5;

/// Time between preparation and the first send, so that connections stand.
const HEAD_START_NS: u64 = SECOND_NS / 20;

/// Time in which what was sent must become readable.
const READABLE_NS: u64 = 30 * SECOND_NS;

/// Reading for verification: large answers, no waiting for more.
const VERIFY_READING: Reading = Reading {
    isolation_level: Isolation::ReadUncommitted,
    fetch_max_wait_ms: 100,
    fetch_min_bytes: 1,
    fetch_max_bytes: 50 << 20,
    max_partition_fetch_bytes: 1 << 20,
};

const fn never() -> ReadUntil {
    ReadUntil { time_ns: u64::MAX, records: u64::MAX }
}

/// `einmal bench produce`
pub(super) fn produce(arguments: &Produce) -> Result<Report, BenchError> {
    let (target, load) = (&arguments.target, &arguments.load);
    let mut prepared = prepare(target, load)?;
    let cpu = thread_cpu();
    let mut run = Run { producers: Some(prepared.producers), consumers: None, read_until: never() };
    let ended_ns = run.drive(&mut Progress::new(prepared.start_ns))?;
    let client_cpu_s = (thread_cpu() - cpu).as_secs_f64();
    let Some(mut producers) = run.producers else { return Err(BenchError::Usage("nothing was sent".to_owned())) };
    producers.measure.finish(producers.backlog);
    let expected = producers.acked.iter().sum();
    let verified = match target.verify {
        true => Some((read_back(&mut prepared.admin, target, prepared.starts, expected)?, expected)),
        false => None,
    };
    let side = sent_side(producers, load, prepared.per_second, ended_ns);
    Ok(Report { mode: "produce", args: prepared.args, side, produce: None, client_cpu_s, verified, opened: None })
}

/// `einmal bench consume`
pub(super) fn consume(arguments: &Consume) -> Result<Report, BenchError> {
    let (target, reading) = (&arguments.target, &arguments.reading);
    let mut admin = Admin::connect(&target.bootstrap_server)?;
    admin.version("Fetch", 1, (fetch_codec::VERSION, fetch_codec::VERSION))?;
    let partitions = existing(&mut admin, &target.topic)?;
    let latest = admin.offsets(&target.topic, partitions, End::Latest)?;
    let starts = match arguments.from {
        From::Earliest => admin.offsets(&target.topic, partitions, End::Earliest)?,
        From::Latest => latest.clone(),
    };
    let is_catching_up = arguments.duration.is_none() && arguments.records.is_none();
    if is_catching_up && arguments.from == From::Latest {
        return Err(BenchError::Usage("--from latest reads until --duration or --records says stop".to_owned()));
    }
    let start_ns = monotonic_ns();
    let end_ns = arguments.duration.map_or(u64::MAX, |seconds| start_ns + nanoseconds(seconds));
    let mut consumers = Consumers::new(ConsumersSpec {
        frame: fetch_frame(&target.topic, reading),
        address: admin.address,
        starts: starts.clone(),
        count: arguments.connections as usize,
        is_fan_out: false,
        verify: target.verify,
        stamps: arguments.from == From::Latest,
        measure: Measure::new(start_ns, start_ns, end_ns)?,
    })?;
    // What has no gaps at the end need not have had all of it: compacted and control records have offsets, too.
    let expected = count(&starts, &latest);
    if is_catching_up {
        consumers.end_at(latest);
    }
    let cpu = thread_cpu();
    let read_until = ReadUntil { time_ns: end_ns, records: arguments.records.unwrap_or(u64::MAX) };
    let mut run = Run { producers: None, consumers: Some(consumers), read_until };
    let ended_ns = run.drive(&mut Progress::new(start_ns))?;
    let client_cpu_s = (thread_cpu() - cpu).as_secs_f64();
    let Some(mut consumers) = run.consumers else { return Err(BenchError::Usage("nothing was read".to_owned())) };
    consumers.measure.finish(0);
    let verified = target.verify.then(|| {
        let verified = consumers.verified();
        // A run that ends by time or count ends somewhere.
        let expected = if is_catching_up { expected } else { consumers.records };
        (verified, expected)
    });
    let args = json!({
        "bootstrap_server": target.bootstrap_server, "topic": target.topic, "partitions": partitions,
        "connections": arguments.connections, "duration": arguments.duration, "records": arguments.records,
        "fetch_max_wait_ms": reading.fetch_max_wait_ms, "fetch_min_bytes": reading.fetch_min_bytes,
        "fetch_max_bytes": reading.fetch_max_bytes, "max_partition_fetch_bytes": reading.max_partition_fetch_bytes,
    });
    let seconds = consumers.measure.seconds(ended_ns);
    let side = Side { measure: consumers.measure, seconds, sent: None };
    Ok(Report { mode: "consume", args: object(args), side, produce: None, client_cpu_s, verified, opened: None })
}

/// `einmal bench e2e`
pub(super) fn end_to_end(arguments: &EndToEnd) -> Result<Report, BenchError> {
    let (target, load) = (&arguments.target, &arguments.load);
    if load.acks == Acks::None {
        let wish = "e2e reads until what was acknowledged is read, and acks=0 acknowledges nothing";
        return Err(BenchError::Usage(wish.to_owned()));
    }
    if load.compression.codec() != super::Codec::None || (load.record_size as usize) < CHECKED_VALUE_BYTES {
        let wish = format!(
            "e2e writes the send time into each batch: it needs --compression none and --record-size {CHECKED_VALUE_BYTES} or more"
        );
        return Err(BenchError::Usage(wish));
    }
    let mut prepared = prepare(target, load)?;
    let (from_ns, to_ns) = window(load, prepared.start_ns);
    let consumers = Consumers::new(ConsumersSpec {
        frame: fetch_frame(&target.topic, &arguments.reading),
        address: prepared.admin.address,
        starts: prepared.starts.clone(),
        count: arguments.consumers as usize,
        is_fan_out: true,
        verify: target.verify,
        stamps: true,
        measure: Measure::new(prepared.start_ns, from_ns, to_ns)?,
    })?;
    let cpu = thread_cpu();
    let mut run = Run { producers: Some(prepared.producers), consumers: Some(consumers), read_until: never() };
    let ended_ns = run.drive(&mut Progress::new(prepared.start_ns))?;
    let client_cpu_s = (thread_cpu() - cpu).as_secs_f64();
    let (Some(mut producers), Some(mut consumers)) = (run.producers, run.consumers) else {
        return Err(BenchError::Usage("nothing was sent".to_owned()));
    };
    producers.measure.finish(producers.backlog);
    consumers.measure.finish(0);
    let expected = producers.acked.iter().sum::<u64>() * u64::from(arguments.consumers);
    let verified = target.verify.then(|| (consumers.verified(), expected));
    prepared.args.insert("consumers".to_owned(), json!(arguments.consumers));
    let produce = sent_side(producers, load, prepared.per_second, ended_ns);
    let seconds = consumers.measure.seconds(ended_ns);
    let side = Side { measure: consumers.measure, seconds, sent: None };
    Ok(Report { mode: "e2e", args: prepared.args, side, produce: Some(produce), client_cpu_s, verified, opened: None })
}

/// Everything of a sending run but the run.
struct Prepared {
    admin: Admin,
    producers: Producers,
    /// Ends of the partitions before the run.
    starts: Vec<Offset>,
    start_ns: u64,
    /// Requests a second; 0 in a closed loop.
    per_second: f64,
    args: Map<String, Value>,
}

fn prepare(target: &Target, load: &Load) -> Result<Prepared, BenchError> {
    if load.idempotent && (load.acks != Acks::All || load.in_flight > IDEMPOTENT_IN_FLIGHT_MAX) {
        let wish = format!("--idempotent needs --acks all and --in-flight {IDEMPOTENT_IN_FLIGHT_MAX} or less");
        return Err(BenchError::Usage(wish));
    }
    if load.id_header.is_some() && load.compression != Compression::None {
        return Err(BenchError::Usage("--id-header needs --compression none".to_owned()));
    }
    let mut admin = Admin::connect(&target.bootstrap_server)?;
    let version = admin.version("Produce", 0, produce_codec::VERSIONS)?;
    let partitions = match load.create_partitions {
        Some(partitions) => admin.create_topic(&target.topic, partitions, &load.topic_config)?,
        None => existing(&mut admin, &target.topic)?,
    };
    let starts = admin.offsets(&target.topic, partitions, End::Latest)?;
    let mut ids = Vec::new();
    if load.idempotent {
        for _ in 0..load.connections {
            ids.push(admin.init_producer_id()?);
        }
    }
    let payload = Payload::new(&PayloadSpec {
        record_bytes: load.record_size as usize,
        record_count: load.records_per_batch as usize,
        codec: load.compression.codec(),
        is_transactional: false,
        timestamp: wall_ms(),
        seed: load.seed,
        // A run with the ids of another would send nothing new.
        ids: load.id_header.as_deref().map(|name| (name, load.seed ^ monotonic_ns())),
    });
    let is_stamped = payload.is_stamped();
    let timeout_ms = i32::try_from(load.request_timeout_ms).unwrap_or(i32::MAX);
    let frame = ProduceFrame {
        version,
        transactional_id: None,
        topic: target.topic.clone(),
        acks: load.acks.number(),
        timeout_ms,
    };
    let start_ns = monotonic_ns() + HEAD_START_NS;
    let per_second = requests_per_second(load, partitions);
    let (from_ns, to_ns) = window(load, start_ns);
    let producers = Producers::new(ProducersSpec {
        load,
        frame,
        payload,
        partitions,
        schedule: (per_second > 0.0).then(|| Schedule::new(load.arrival, per_second, start_ns, load.seed)),
        until: load.records.map_or(Until::Time(to_ns), Until::Records),
        measure: Measure::new(start_ns, from_ns, to_ns)?,
        start_ns,
        address: admin.address,
        producers: ids,
    })?;
    let args = object(json!({
        "bootstrap_server": target.bootstrap_server, "topic": target.topic, "partitions": partitions,
        "record_size": load.record_size, "records_per_batch": load.records_per_batch,
        "compression": load.compression.name(), "acks": load.acks.name(), "idempotent": load.idempotent,
        "id_header": load.id_header,
        "rate": load.rate, "arrival": load.arrival.name(), "seed": load.seed, "duration": load.duration,
        "records": load.records, "warm_up": load.warm_up, "connections": load.connections,
        "in_flight": load.in_flight, "partitions_per_request": load.partitions_per_request,
        "request_timeout_ms": load.request_timeout_ms, "produce_version": version, "stamped": is_stamped,
    }));
    Ok(Prepared { admin, producers, starts, start_ns, per_second, args })
}

/// From when to when things count, ns.
fn window(load: &Load, start_ns: u64) -> (u64, u64) {
    let from_ns = start_ns + nanoseconds(load.warm_up);
    let to_ns = match load.records {
        Some(_) => u64::MAX,
        None => from_ns + nanoseconds(load.duration.unwrap_or(DURATION_S)),
    };
    (from_ns, to_ns)
}

fn sent_side(producers: Producers, load: &Load, per_second: f64, ended_ns: u64) -> Side {
    let backlog = producers.final_backlog.max(producers.backlog);
    let sent = Sent {
        held: (per_second > 0.0).then(|| {
            let ended_at = producers.ended_ns.unwrap_or(ended_ns);
            let seconds = producers.measure.seconds_until(ended_at);
            let rows = &producers.measure.timeline;
            let window = rows.get(load.warm_up as usize..(seconds as usize).min(rows.len())).unwrap_or_default();
            let backlogs: Vec<u64> = window.iter().map(|row| row.backlog).collect();
            is_held(&backlogs, backlog, per_second, seconds)
        }),
        send_lag: producers.send_lag,
        backlog,
    };
    let seconds = producers.measure.seconds(ended_ns);
    Side { measure: producers.measure, seconds, sent: Some(sent) }
}

/// Reads everything from `starts` to the ends and checks it. With acks=0 and 1 what was sent, `expected` records, may not be
/// readable at once.
fn read_back(admin: &mut Admin, target: &Target, starts: Vec<Offset>, expected: u64) -> Result<Verified, BenchError> {
    let partitions = i32::try_from(starts.len()).unwrap_or(i32::MAX);
    let give_up_ns = monotonic_ns() + READABLE_NS;
    let ends = loop {
        let ends = admin.offsets(&target.topic, partitions, End::Latest)?;
        if count(&starts, &ends) >= expected || monotonic_ns() > give_up_ns {
            break ends;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    let now_ns = monotonic_ns();
    let mut consumers = Consumers::new(ConsumersSpec {
        frame: fetch_frame(&target.topic, &VERIFY_READING),
        address: admin.address,
        starts,
        count: 1,
        is_fan_out: true,
        verify: true,
        stamps: false,
        measure: Measure::new(now_ns, now_ns, u64::MAX)?,
    })?;
    consumers.end_at(ends);
    let mut run = Run { producers: None, consumers: Some(consumers), read_until: never() };
    run.drive(&mut Progress::new(now_ns))?;
    Ok(run.consumers.map(|consumers| consumers.verified()).unwrap_or_default())
}

/// Offsets between `starts` and `ends`.
fn count(starts: &[Offset], ends: &[Offset]) -> u64 {
    starts.iter().zip(ends).map(|(start, end)| end.saturating_sub(*start).max(0).unsigned_abs()).sum()
}

fn existing(admin: &mut Admin, topic: &str) -> Result<i32, BenchError> {
    let missing = || format!("there is no topic {topic}: --create-partitions N of produce and e2e creates it");
    admin.partition_count(topic)?.ok_or_else(|| BenchError::Usage(missing()))
}

fn fetch_frame(topic: &str, reading: &Reading) -> FetchFrame {
    FetchFrame {
        topic: topic.to_owned(),
        is_read_committed: reading.isolation_level == Isolation::ReadCommitted,
        max_wait_ms: reading.fetch_max_wait_ms,
        min_bytes: reading.fetch_min_bytes,
        max_bytes: reading.fetch_max_bytes,
        partition_max_bytes: reading.max_partition_fetch_bytes,
    }
}

fn nanoseconds(seconds: f64) -> u64 {
    (seconds * SECOND_NS as f64) as u64
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
