//! `einmal bench groups`: groups of many members, each with a connection of its own; how long they need to become stable, after a
//! member left and through restarts of members in turn, and then heartbeats and commits for a while.
//!
//! The JSON object has these members beside `args`, `errors` and `client_cpu_s` of [`super::report`]:
//!
//! | Member | Holds |
//! |---|---|
//! | `mode` | `groups` |
//! | `stable_s` | from the first join to all groups stable |
//! | `lost_s` | until the others are stable after a member left; null without `--lose` |
//! | `rolling_s` | all restarts in turn, together; null without `--restarts` |
//! | `seconds` | how long the groups were held then |
//! | `heartbeats`, `commits`, `commits_per_s` | in that time |
//! | `latency_us` | of the commits |

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::SocketAddr;

use mio::Token;
use serde_json::{Value, json};

use super::BenchError;
use super::admin::Admin;
use super::arguments::Groups as Arguments;
use super::clock::{SECOND_NS, monotonic_ns, thread_cpu};
use super::connection::{Connection, Reading};
use super::connections::raise_descriptors;
use super::group_member::{Member, Outcome, Timeouts};
use super::measure::Latencies;
use super::reactor::{Reactor, Ready};
use super::report::latencies_json;

/// Time for a group to become stable.
const PATIENCE_NS: u64 = 120 * SECOND_NS;

/// Connections that are being opened at a time; more would overflow the listener's backlog.
const OPENING_MAX: usize = 100;

/// Descriptors for everything but the connections.
const DESCRIPTORS_RESERVED: u64 = 50;

/// Session timeout of `KafkaConsumer` (`session.timeout.ms`), and its time for a rebalance (`max.poll.interval.ms`), ms.
const TIMEOUTS: Timeouts = Timeouts { session_ms: 45_000, rebalance_ms: 300_000 };

/// What a run found.
#[derive(Debug)]
pub(super) struct Found {
    args: Value,
    stable_s: f64,
    lost_s: Option<f64>,
    rolling_s: Option<f64>,
    held_s: f64,
    heartbeats: u64,
    commits: u64,
    latencies: Latencies,
    errors: BTreeMap<String, u64>,
    client_cpu_s: f64,
}

struct Seat {
    connection: Connection,
    member: Member,
    group: usize,
    /// When its next heartbeat is due, ns.
    beat_ns: u64,
    /// When its commit without an answer was sent, ns.
    committing_ns: Option<u64>,
    is_up: bool,
}

/// Where a group stands by what its members were told.
#[derive(Debug, Clone, Copy, Default)]
struct Standing {
    members: usize,
    generation: i32,
    /// Of this generation.
    stable: usize,
}

struct Run<'a> {
    arguments: &'a Arguments,
    /// How the ids of the groups begin.
    group: String,
    address: SocketAddr,
    reactor: Reactor,
    /// By token; none once the member has left.
    seats: Vec<Option<Seat>>,
    groups: Vec<Standing>,
    beats: BTreeSet<(u64, usize)>,
    opening: usize,
    is_committing: bool,
    heartbeats: u64,
    commits: u64,
    latencies: Latencies,
    errors: BTreeMap<String, u64>,
}

/// Runs all phases that the arguments ask for.
pub(super) fn run(arguments: &Arguments) -> Result<Found, BenchError> {
    let members = u64::from(arguments.groups) * u64::from(arguments.members);
    raise_descriptors(members + DESCRIPTORS_RESERVED)?;
    let mut admin = Admin::connect(&arguments.bootstrap_server)?;
    admin.create_topic(&arguments.topic, arguments.create_partitions, &[])?;
    let cpu = thread_cpu();
    let mut run = Run {
        arguments,
        group: arguments.group.clone().unwrap_or_else(|| format!("einmal-bench-{}", std::process::id())),
        address: admin.address,
        reactor: Reactor::new()?,
        seats: Vec::new(),
        groups: vec![Standing::default(); arguments.groups as usize],
        beats: BTreeSet::new(),
        opening: 0,
        is_committing: false,
        heartbeats: 0,
        commits: 0,
        latencies: Latencies::new()?,
        errors: BTreeMap::new(),
    };
    let stable_s = run.assemble()?;
    let lost_s = arguments.lose.then(|| run.lose_one()).transpose()?;
    let rolling_s = (arguments.restarts > 0).then(|| run.restart_in_turn(arguments.restarts)).transpose()?;
    // Scripts wait for this line before they look at the broker.
    let mut stderr = std::io::stderr();
    let _ = writeln!(stderr, "{members} members are stable").and_then(|()| stderr.flush());
    let held_s = run.hold()?;
    Ok(Found {
        args: json!({
            "bootstrap_server": arguments.bootstrap_server, "topic": arguments.topic, "groups": arguments.groups,
            "members": arguments.members, "heartbeat_interval_ms": arguments.heartbeat_interval_ms,
            "lose": arguments.lose, "restarts": arguments.restarts, "commit": arguments.commit,
            "duration": arguments.duration,
        }),
        stable_s,
        lost_s,
        rolling_s,
        held_s,
        heartbeats: run.heartbeats,
        commits: run.commits,
        latencies: run.latencies,
        errors: run.errors,
        client_cpu_s: (thread_cpu() - cpu).as_secs_f64(),
    })
}

impl Run<'_> {
    /// All members join, as fast as connections come up. Answers how long that took, s.
    fn assemble(&mut self) -> Result<f64, BenchError> {
        let start_ns = monotonic_ns();
        let per_group = self.arguments.members as usize;
        for standing in &mut self.groups {
            standing.members = per_group;
        }
        for group in 0..self.groups.len() {
            for _ in 0..per_group {
                while self.opening >= OPENING_MAX {
                    self.step(start_ns + PATIENCE_NS)?;
                }
                self.seat(group)?;
            }
        }
        self.wait_until_stable(start_ns, vec![0; self.groups.len()])
    }

    /// One member of the first group leaves. Answers how long the others needed, s.
    fn lose_one(&mut self) -> Result<f64, BenchError> {
        let start_ns = monotonic_ns();
        let before = self.generations();
        self.groups[0].members -= 1;
        self.leave(0)?;
        self.wait_until_stable(start_ns, vec![before[0]])
    }

    /// Members of the first group leave in turn, and for each another joins at once; the next follows when the group is stable.
    fn restart_in_turn(&mut self, count: u32) -> Result<f64, BenchError> {
        let start_ns = monotonic_ns();
        for _ in 0..count {
            let before = self.generations();
            // Clients of one group: the first that is there is the one that was there longest.
            let first = self.seats.iter().position(|seat| seat.as_ref().is_some_and(|seat| seat.group == 0));
            self.leave(first.unwrap_or(0))?;
            self.seat(0)?;
            self.wait_until_stable(monotonic_ns(), vec![before[0]])?;
        }
        Ok((monotonic_ns() - start_ns) as f64 / 1e9)
    }

    /// Heartbeats, and commits if they are asked for, for the duration.
    fn hold(&mut self) -> Result<f64, BenchError> {
        let Some(seconds) = self.arguments.duration else { return Ok(0.0) };
        let start_ns = monotonic_ns();
        let end_ns = start_ns + (seconds * SECOND_NS as f64) as u64;
        self.heartbeats = 0;
        self.is_committing = self.arguments.commit;
        if self.is_committing {
            for token in 0..self.seats.len() {
                self.commit(token, start_ns)?;
            }
        }
        while monotonic_ns() < end_ns {
            self.step(end_ns)?;
        }
        Ok((monotonic_ns() - start_ns) as f64 / 1e9)
    }

    fn generations(&self) -> Vec<i32> {
        self.groups.iter().map(|standing| standing.generation).collect()
    }

    /// Until the groups, the first ones as many as `after` names, have a later generation that all members know of.
    fn wait_until_stable(&mut self, start_ns: u64, after: Vec<i32>) -> Result<f64, BenchError> {
        loop {
            let mut standings = self.groups.iter().zip(&after);
            if standings.all(|(now, after)| now.generation > *after && now.stable == now.members) {
                return Ok((monotonic_ns() - start_ns) as f64 / 1e9);
            }
            if monotonic_ns() > start_ns + PATIENCE_NS {
                let stable: usize = self.groups.iter().map(|standing| standing.stable).sum();
                return Err(BenchError::Usage(format!(
                    "not stable in time: {stable} members have an assignment; errors: {:?}",
                    self.errors
                )));
            }
            self.step(start_ns + PATIENCE_NS)?;
        }
    }

    /// Opens the connection of a new member, which joins as soon as it stands.
    fn seat(&mut self, group: usize) -> Result<(), BenchError> {
        let token = self.seats.len();
        let broken = |error| BenchError::Broken { doing: "connecting", error };
        let mut connection = Connection::open(self.address, None).map_err(broken)?;
        connection.register(self.reactor.registry(), Token(token)).map_err(broken)?;
        let group_id = format!("{}-{group}", self.group);
        let mut member = Member::new(&group_id, &self.arguments.topic, TIMEOUTS);
        member.join(&mut connection.out)?;
        self.opening += 1;
        self.seats.push(Some(Seat { connection, member, group, beat_ns: 0, committing_ns: None, is_up: false }));
        Ok(())
    }

    fn leave(&mut self, token: usize) -> Result<(), BenchError> {
        let Some(Some(seat)) = self.seats.get_mut(token) else { return Ok(()) };
        self.beats.remove(&(seat.beat_ns, token));
        seat.member.leave(&mut seat.connection.out)?;
        flush(&mut seat.connection)
    }

    /// Sends what is due, waits for sockets until then or `until_ns`, and takes in what came.
    fn step(&mut self, until_ns: u64) -> Result<(), BenchError> {
        let now_ns = monotonic_ns();
        while let Some(&(due_ns, token)) = self.beats.first().filter(|(due_ns, _)| *due_ns <= now_ns) {
            self.beats.remove(&(due_ns, token));
            self.beat(token, now_ns)?;
        }
        let due_ns = self.beats.first().map_or(u64::MAX, |(due_ns, _)| *due_ns);
        let mut ready = Vec::new();
        self.reactor.wait(due_ns.min(until_ns), &mut ready)?;
        let now_ns = monotonic_ns();
        for event in &ready {
            self.on_ready(*event, now_ns)?;
        }
        Ok(())
    }

    fn beat(&mut self, token: usize, now_ns: u64) -> Result<(), BenchError> {
        let Some(Some(seat)) = self.seats.get_mut(token) else { return Ok(()) };
        seat.beat_ns = now_ns + u64::from(self.arguments.heartbeat_interval_ms) * 1_000_000;
        self.beats.insert((seat.beat_ns, token));
        // While it joins, its request is the sign of life.
        if seat.member.is_stable() {
            self.heartbeats += 1;
            seat.member.heartbeat(&mut seat.connection.out)?;
            flush(&mut seat.connection)?;
        }
        Ok(())
    }

    fn commit(&mut self, token: usize, now_ns: u64) -> Result<(), BenchError> {
        let Some(Some(seat)) = self.seats.get_mut(token) else { return Ok(()) };
        seat.committing_ns = Some(now_ns);
        let partition = (token as i32) % self.arguments.create_partitions;
        seat.member.commit(partition, i64::try_from(now_ns).unwrap_or_default(), &mut seat.connection.out)?;
        flush(&mut seat.connection)
    }

    fn on_ready(&mut self, ready: Ready, now_ns: u64) -> Result<(), BenchError> {
        let Some(Some(seat)) = self.seats.get_mut(ready.token) else { return Ok(()) };
        if ready.is_writable {
            let broken = |error| BenchError::Broken { doing: "connecting", error };
            if let Some(error) = seat.connection.take_error().map_err(broken)? {
                return Err(broken(error));
            }
            if !std::mem::replace(&mut seat.is_up, true) {
                self.opening -= 1;
            }
            flush(&mut seat.connection)?;
        }
        if !ready.is_readable {
            return Ok(());
        }
        let Seat { connection, member, .. } = seat;
        let mut outcomes = Vec::new();
        let reading = connection.receive(|frame, out| {
            outcomes.push(member.on_answer(frame, out)?);
            Ok::<(), BenchError>(())
        })?;
        if reading == Reading::Closed {
            return Err(BenchError::Closed { unanswered: 0 });
        }
        flush(connection)?;
        for outcome in outcomes {
            self.on_outcome(ready.token, outcome, now_ns)?;
        }
        Ok(())
    }

    fn on_outcome(&mut self, token: usize, outcome: Outcome, now_ns: u64) -> Result<(), BenchError> {
        let Some(Some(seat)) = self.seats.get_mut(token) else { return Ok(()) };
        match outcome {
            Outcome::Goes => {}
            Outcome::Stable(generation) => {
                let standing = &mut self.groups[seat.group];
                if generation > standing.generation {
                    (standing.generation, standing.stable) = (generation, 0);
                }
                if generation == standing.generation {
                    standing.stable += 1;
                }
                if seat.beat_ns == 0 {
                    // Spread over the interval, as of members that joined at different times.
                    let interval_ns = u64::from(self.arguments.heartbeat_interval_ms) * 1_000_000;
                    seat.beat_ns = now_ns + interval_ns * (token as u64 % 97) / 97;
                    self.beats.insert((seat.beat_ns, token));
                }
            }
            Outcome::Committed => {
                if let Some(sent_ns) = seat.committing_ns.take() {
                    self.latencies.record_ns(now_ns - sent_ns);
                    self.commits += 1;
                }
                if self.is_committing {
                    self.commit(token, now_ns)?;
                }
            }
            Outcome::Left => self.seats[token] = None,
            Outcome::Refused(error) => {
                *self.errors.entry(error.to_string()).or_default() += 1;
                if seat.committing_ns.take().is_some() && self.is_committing {
                    self.commit(token, now_ns)?;
                }
            }
        }
        Ok(())
    }
}

fn flush(connection: &mut Connection) -> Result<(), BenchError> {
    connection.flush().map_err(|error| BenchError::Broken { doing: "sending", error })
}

impl From<std::io::Error> for BenchError {
    fn from(error: std::io::Error) -> Self {
        Self::Broken { doing: "receiving", error }
    }
}

impl Found {
    /// Whether the broker refused nothing.
    pub(super) fn is_clean(&self) -> bool {
        self.errors.is_empty()
    }

    fn commits_per_s(&self) -> f64 {
        if self.held_s > 0.0 { self.commits as f64 / self.held_s } else { 0.0 }
    }

    /// For harnesses: times in seconds, null where the phase was not asked for.
    pub(super) fn json(&self) -> Value {
        json!({
            "mode": "groups", "args": self.args, "stable_s": self.stable_s, "lost_s": self.lost_s,
            "rolling_s": self.rolling_s, "seconds": self.held_s, "heartbeats": self.heartbeats,
            "commits": self.commits, "commits_per_s": self.commits_per_s(),
            "latency_us": latencies_json(&self.latencies), "errors": self.errors, "client_cpu_s": self.client_cpu_s,
        })
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let mut text = format!("stable after         {:.3} s\n", self.stable_s);
        if let Some(lost_s) = self.lost_s {
            text += &format!("after a member left  {lost_s:.3} s\n");
        }
        if let Some(rolling_s) = self.rolling_s {
            text += &format!("restarts in turn     {rolling_s:.3} s\n");
        }
        if self.held_s > 0.0 {
            text += &format!("heartbeats           {} in {:.1} s\n", self.heartbeats, self.held_s);
        }
        if self.commits > 0 {
            text += &format!(
                "commits              {:.0}/s, p50 {} µs, p99 {} µs\n",
                self.commits_per_s(),
                self.latencies.percentile_us(50.0),
                self.latencies.percentile_us(99.0)
            );
        }
        for (error, count) in &self.errors {
            text += &format!("refused              {error} {count}\n");
        }
        text
    }
}
