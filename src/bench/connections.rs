//! `einmal bench connections`: opens connections, asks each for ApiVersions, and holds them.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::{Map, json};

use super::BenchError;
use super::admin::Admin;
use super::arguments::Connections;
use super::clock::{SECOND_NS, monotonic_ns, thread_cpu};
use super::connection::{Connection, Reading};
use super::measure::Measure;
use super::reactor::{Reactor, Ready};
use super::report::{Opened, Report, Side};
use super::schedule::{Arrival, Schedule};

/// Connections that are being opened at a time; more would overflow the listener's backlog.
const OPENING_MAX: usize = 100;

/// Time for all connections to come up.
const OPENING_NS: u64 = 300 * SECOND_NS;

/// Descriptors for everything but the connections.
const DESCRIPTORS_RESERVED: u64 = 50;

/// ApiVersions version 0 without client id; the correlation id is 7.
const API_VERSIONS: &[u8] = &[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];

/// How the answer begins: correlation id, error code 0.
const ANSWER_BEGIN: &[u8] = &[0, 0, 0, 7, 0, 0];

struct Held {
    connection: Connection,
    is_up: bool,
    /// When the request without an answer was due; none is in flight otherwise.
    intended_ns: Option<u64>,
}

struct Holder {
    address: SocketAddr,
    source_addresses: u8,
    reactor: Reactor,
    /// By token; none where the connection failed.
    held: Vec<Option<Held>>,
    up: usize,
    failed: usize,
    measure: Measure,
}

/// Opens and holds the connections until the time is over.
pub(super) fn hold(arguments: &Connections) -> Result<Report, BenchError> {
    let count = arguments.count as usize;
    raise_descriptors(u64::from(arguments.count) + DESCRIPTORS_RESERVED)?;
    let address = Admin::connect(&arguments.bootstrap_server)?.address;
    let cpu = thread_cpu();
    let start_ns = monotonic_ns();
    let mut holder = Holder {
        address,
        source_addresses: arguments.source_addresses,
        reactor: Reactor::new()?,
        held: Vec::with_capacity(count),
        up: 0,
        failed: 0,
        measure: Measure::new(start_ns, start_ns, u64::MAX)?,
    };
    holder.open_all(count, start_ns + OPENING_NS)?;
    let all_up_ns = monotonic_ns();
    let opened = Opened { up: holder.up, failed: holder.failed, seconds: (all_up_ns - start_ns) as f64 / 1e9 };
    // Scripts wait for this line before they look at the broker.
    let mut stderr = std::io::stderr();
    let _ = writeln!(stderr, "{}", opened.line()).and_then(|()| stderr.flush());
    let end_ns = arguments.duration.map_or(u64::MAX, |seconds| all_up_ns + (seconds * SECOND_NS as f64) as u64);
    let (errors, failed) = (std::mem::take(&mut holder.measure.errors), holder.measure.failed);
    holder.measure = Measure::new(all_up_ns, all_up_ns, end_ns)?;
    (holder.measure.errors, holder.measure.failed) = (errors, failed);
    let per_second = arguments.rate_per_connection * holder.up as f64;
    let schedule = (per_second > 0.0).then(|| Schedule::new(Arrival::Constant, per_second, all_up_ns, 0));
    holder.keep(schedule, end_ns)?;
    let args: [(&str, serde_json::Value); 5] = [
        ("bootstrap_server", json!(arguments.bootstrap_server)),
        ("count", json!(arguments.count)),
        ("rate_per_connection", json!(arguments.rate_per_connection)),
        ("duration", json!(arguments.duration)),
        ("source_addresses", json!(arguments.source_addresses)),
    ];
    let args: Map<_, _> = args.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let seconds = holder.measure.seconds(monotonic_ns());
    holder.measure.finish(0);
    Ok(Report {
        mode: "connections",
        args,
        side: Side { measure: holder.measure, seconds, sent: None },
        produce: None,
        client_cpu_s: (thread_cpu() - cpu).as_secs_f64(),
        verified: None,
        opened: Some(opened),
    })
}

impl Holder {
    fn open_all(&mut self, count: usize, give_up_ns: u64) -> Result<(), BenchError> {
        let mut ready = Vec::new();
        while self.up + self.failed < count {
            while self.held.len() < count && self.held.len() - self.up - self.failed < OPENING_MAX {
                self.open();
            }
            self.reactor.wait(give_up_ns, &mut ready)?;
            let now_ns = monotonic_ns();
            if now_ns >= give_up_ns {
                let waiting = self.held.iter().flatten().filter(|held| !held.is_up).count();
                self.measure.error("NOT_UP_IN_TIME", waiting as u64);
                self.measure.failed += waiting as u64;
                self.failed += waiting;
                return Ok(());
            }
            for event in &ready {
                self.on_ready(*event, now_ns);
            }
        }
        Ok(())
    }

    fn open(&mut self) {
        let index = self.held.len();
        let opened = Connection::open(self.address, source_address(index, self.source_addresses));
        let held = opened.and_then(|mut connection| {
            connection.register(self.reactor.registry(), mio::Token(index))?;
            connection.out.extend_from_slice(API_VERSIONS);
            Ok(Held { connection, is_up: false, intended_ns: None })
        });
        match held {
            Ok(held) => self.held.push(Some(held)),
            Err(error) => {
                self.held.push(None);
                self.fail(index, &error);
            }
        }
    }

    fn fail(&mut self, index: usize, error: &std::io::Error) {
        let was_up = self.held[index].take().is_some_and(|held| held.is_up);
        if was_up {
            self.up -= 1;
        }
        self.failed += 1;
        self.measure.failure(&error.kind().to_string());
    }

    fn on_ready(&mut self, ready: Ready, now_ns: u64) {
        let Some(held) = self.held.get_mut(ready.token).and_then(Option::as_mut) else { return };
        match held.advance(ready) {
            Ok(0) => {}
            Ok(_) => {
                if !std::mem::replace(&mut held.is_up, true) {
                    self.up += 1;
                }
                if let Some(intended_ns) = held.intended_ns.take() {
                    self.measure.done(Some(intended_ns), now_ns, 0, 0);
                }
            }
            Err(error) => self.fail(ready.token, &error),
        }
    }

    /// Holds what is up, with requests as `schedule` says.
    fn keep(&mut self, mut schedule: Option<Schedule>, end_ns: u64) -> Result<(), BenchError> {
        let mut ready = Vec::new();
        let mut next = 0;
        loop {
            let now_ns = monotonic_ns();
            self.measure.roll(now_ns, 0);
            if now_ns >= end_ns {
                return Ok(());
            }
            while let Some(schedule) = schedule.as_mut().filter(|schedule| schedule.due_ns() <= now_ns) {
                let intended_ns = schedule.take();
                self.request(next % self.held.len(), intended_ns);
                next += 1;
            }
            let due_ns = schedule.as_ref().map_or(u64::MAX, Schedule::due_ns);
            self.reactor.wait(due_ns.min(end_ns), &mut ready)?;
            let now_ns = monotonic_ns();
            for event in &ready {
                self.on_ready(*event, now_ns);
            }
        }
    }

    fn request(&mut self, index: usize, intended_ns: u64) {
        let Some(held) = &mut self.held[index] else { return };
        if held.intended_ns.is_some() {
            // A second request would hide how long the first waits.
            return self.measure.failure("STILL_UNANSWERED");
        }
        held.intended_ns = Some(intended_ns);
        held.connection.out.extend_from_slice(API_VERSIONS);
        if let Err(error) = held.connection.flush() {
            self.fail(index, &error);
        }
    }
}

impl Held {
    /// Sends and reads what can be. Answers how many answers came.
    fn advance(&mut self, ready: Ready) -> std::io::Result<usize> {
        if ready.is_writable {
            if let Some(error) = self.connection.take_error()? {
                return Err(error);
            }
            self.connection.flush()?;
        }
        let mut answers = 0;
        if ready.is_readable {
            let reading = self.connection.receive(|frame, _| {
                answers += 1;
                match frame.starts_with(ANSWER_BEGIN) {
                    true => Ok(()),
                    false => Err(std::io::Error::from(std::io::ErrorKind::InvalidData)),
                }
            })?;
            if reading == Reading::Closed {
                return Err(std::io::ErrorKind::ConnectionAborted.into());
            }
        }
        Ok(answers)
    }
}

/// Where a connection comes from. One address has 28,000 ports by default, and brokers limit connections per address.
fn source_address(index: usize, addresses: u8) -> Option<IpAddr> {
    let last = u8::try_from(index % usize::from(addresses.max(1)) + 1).unwrap_or(1);
    (addresses > 1).then_some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)))
}

/// Raises the soft limit of open files to the hard one, which must allow `wanted`.
pub(super) fn raise_descriptors(wanted: u64) -> Result<(), BenchError> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a whole rlimit of this stack frame.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 || limit.rlim_cur >= wanted {
        return Ok(());
    }
    if limit.rlim_max < wanted {
        let wish = format!("{wanted} open files are needed and {} allowed: raise ulimit -n", limit.rlim_max);
        return Err(BenchError::Usage(wish));
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: as above; the call only reads. Where it fails, so will the connections beyond the limit, each with its reason.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_come_from_the_addresses_in_turn_or_from_where_the_system_chooses() {
        assert_eq!(source_address(5, 1), None);
        let last = |index| source_address(index, 3).map(|address| address.to_string());
        assert_eq!(
            [last(0), last(1), last(2), last(3)].map(Option::unwrap),
            ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.1"]
        );
    }
}
