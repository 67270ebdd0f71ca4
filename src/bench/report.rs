//! The result of a run: a table for people, JSON for harnesses.
//!
//! The JSON object has these members, and later versions only add to them:
//!
//! | Member | Holds |
//! |---|---|
//! | `mode` | `produce`, `consume`, `e2e` or `connections` |
//! | `args` | what the run was told, by the names of the flags with `_`, and `partitions`, as found |
//! | `records`, `bytes` | in the measured window; produce counts the values of acknowledged records, consume and e2e the batches that were read, all consumers together |
//! | `seconds` | length of the window: without `--duration` up to the last completion |
//! | `records_per_s`, `mb_per_s` | their quotients; MB are 10^6 bytes |
//! | `requests` | answered requests (produce) or batches read (consume, e2e) in the window |
//! | `latency_us` | `p50 p90 p99 p99_9 p99_99 max mean count`, and `histogram`, all of them as text `µs:count µs:count …` to three digits; produce: from the intended send time to the answer; e2e: from the intended send time to the arrival at a consumer; null where nothing was measured |
//! | `send_lag_us` | the same members: from the intended send time to when the request was handed to the system |
//! | `timeline` | for each second from the run's start on, warm-up included: `second records bytes p50_us p99_us p99_9_us max_us errors backlog` |
//! | `errors` | by name of the error code, all partitions and the warm-up; `CLIENT_TIMEOUT` has no code |
//! | `failed` | how many of the errors nothing made good: refusals that are final, and timeouts |
//! | `backlog` | requests that were due and unsent when sending ended |
//! | `held` | whether the backlog did not grow; null in a closed loop |
//! | `client_cpu_s` | CPU time of the client's thread during the run, warm-up included |
//! | `verified` | null, or `ok records expected batches gaps overlaps corrupt_batches corrupt_records first_fault` |
//! | `opened` | connections only: `up failed seconds per_s`; the other members are of the requests on them |
//! | `produce` | e2e only: the sending side, with the members from `records` to `held` |

use std::collections::BTreeMap;
use std::io::Write as _;

use serde_json::{Map, Value, json};

use super::BenchError;
use super::measure::{Latencies, Measure};
use super::verify::Verified;

/// One side of a run, ready to be told.
pub(super) struct Side {
    pub(super) measure: Measure,
    pub(super) seconds: f64,
    /// The sending side's.
    pub(super) sent: Option<Sent>,
}

/// What only the sending side has.
pub(super) struct Sent {
    pub(super) send_lag: Latencies,
    pub(super) backlog: u64,
    /// None in a closed loop.
    pub(super) held: Option<bool>,
}

/// A whole run.
pub(super) struct Report {
    pub(super) mode: &'static str,
    pub(super) args: Map<String, Value>,
    pub(super) side: Side,
    /// The sending side of a run that reads too.
    pub(super) produce: Option<Side>,
    pub(super) client_cpu_s: f64,
    /// What was found, and the records that should have been.
    pub(super) verified: Option<(Verified, u64)>,
    /// How connections came up, where that is the subject.
    pub(super) opened: Option<Opened>,
}

/// Connections of a run that is about them.
pub(super) struct Opened {
    pub(super) up: usize,
    pub(super) failed: usize,
    /// From the first attempt to the last answer.
    pub(super) seconds: f64,
}

impl Opened {
    /// For people, and for scripts that wait for it.
    pub(super) fn line(&self) -> String {
        let per_s = self.per_s();
        format!("{} connections up in {:.3} s: {per_s:.0} connections/s, {} failed", self.up, self.seconds, self.failed)
    }

    fn per_s(&self) -> f64 {
        if self.seconds > 0.0 { self.up as f64 / self.seconds } else { 0.0 }
    }
}

impl Report {
    /// Whether everything that was asked for went well. A broker that does not hold a rate, or refuses what is then sent again,
    /// is a result, no failure.
    pub(super) fn is_clean(&self) -> bool {
        let sides = [Some(&self.side), self.produce.as_ref()];
        let has_failed = sides.iter().flatten().any(|side| side.measure.failed > 0);
        let verified = self.verified.as_ref();
        !has_failed && verified.is_none_or(|(verified, expected)| is_ok(verified, *expected))
    }

    /// As JSON.
    pub(super) fn json(&self) -> Value {
        let mut result = Map::new();
        result.insert("mode".to_owned(), json!(self.mode));
        result.insert("args".to_owned(), Value::Object(self.args.clone()));
        result.extend(self.side.json());
        result.insert("client_cpu_s".to_owned(), json!(self.client_cpu_s));
        let verified = self.verified.as_ref().map(|(verified, expected)| verified_json(verified, *expected));
        result.insert("verified".to_owned(), verified.unwrap_or(Value::Null));
        if let Some(Opened { up, failed, seconds, .. }) = &self.opened {
            let per_s = self.opened.as_ref().map(Opened::per_s);
            let opened = json!({ "up": up, "failed": failed, "seconds": seconds, "per_s": per_s });
            result.insert("opened".to_owned(), opened);
        }
        if let Some(produce) = &self.produce {
            result.insert("produce".to_owned(), Value::Object(produce.json()));
        }
        Value::Object(result)
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let mut lines = Vec::new();
        let arguments = self.args.iter().map(|(name, value)| match value {
            Value::String(text) => format!("{name}={text}"),
            value => format!("{name}={value}"),
        });
        lines.push(format!("{}: {}", self.mode, arguments.collect::<Vec<_>>().join(" ")));
        lines.extend(self.opened.as_ref().map(Opened::line));
        if let Some(produce) = &self.produce {
            produce.put_lines("sent", "acknowledged after", &mut lines);
        }
        match self.mode {
            "produce" => self.side.put_lines("sent", "acknowledged after", &mut lines),
            "connections" => put_latencies("answered after", &self.side.measure.latencies, &mut lines),
            _ => self.side.put_lines("read", "end to end", &mut lines),
        }
        // CPU time is that of the whole run, so the bytes are, too: those of the warm-up, and in both directions.
        let sides = [Some(&self.side), self.produce.as_ref()];
        let moved = sides.iter().flatten().flat_map(|side| &side.measure.timeline).map(|row| row.bytes).sum::<u64>();
        let share = match moved {
            0 => String::new(),
            bytes => format!(", {:.3} CPU-s/GB", self.client_cpu_s * 1e9 / bytes as f64),
        };
        lines.push(format!("client's own CPU: {:.3} s{share}", self.client_cpu_s));
        if let Some((verified, expected)) = &self.verified {
            let verdict = if is_ok(verified, *expected) { "verified" } else { "VERIFICATION FAILED" };
            lines.push(format!(
                "{verdict}: {} of {expected} records, {} batches, {} gaps, {} overlaps, {} corrupt batches, {} corrupt records",
                verified.records,
                verified.batches,
                verified.gaps,
                verified.overlaps,
                verified.corrupt_batches,
                verified.corrupt_records
            ));
            lines.extend(verified.first_fault.clone());
        }
        lines.join("\n") + "\n"
    }
}

impl Side {
    fn json(&self) -> Map<String, Value> {
        let measure = &self.measure;
        let (records, bytes) = (measure.records, measure.bytes);
        let (records_per_s, mb_per_s) = self.rates();
        let timeline = measure.timeline.iter().enumerate().map(|(second, row)| {
            json!({
                "second": second, "records": row.records, "bytes": row.bytes, "p50_us": row.p50_us,
                "p99_us": row.p99_us, "p99_9_us": row.p999_us, "max_us": row.max_us, "errors": row.errors,
                "backlog": row.backlog,
            })
        });
        let members = json!({
            "records": records, "bytes": bytes, "seconds": self.seconds, "records_per_s": records_per_s,
            "mb_per_s": mb_per_s, "requests": measure.count, "latency_us": latencies_json(&measure.latencies),
            "send_lag_us": self.sent.as_ref().map(|sent| latencies_json(&sent.send_lag)),
            "timeline": timeline.collect::<Vec<_>>(), "errors": measure.errors, "failed": measure.failed,
            "backlog": self.sent.as_ref().map_or(0, |sent| sent.backlog),
            "held": self.sent.as_ref().and_then(|sent| sent.held),
        });
        match members {
            Value::Object(members) => members,
            _ => Map::new(),
        }
    }

    fn rates(&self) -> (f64, f64) {
        let per_second = |count: u64| if self.seconds > 0.0 { count as f64 / self.seconds } else { 0.0 };
        (per_second(self.measure.records), per_second(self.measure.bytes) / 1e6)
    }

    fn put_lines(&self, verb: &str, latency: &str, lines: &mut Vec<String>) {
        let (records_per_s, mb_per_s) = self.rates();
        lines.push(format!(
            "{verb}: {} records in {:.3} s: {records_per_s:.0} records/s, {mb_per_s:.1} MB/s",
            self.measure.records, self.seconds
        ));
        put_latencies(latency, &self.measure.latencies, lines);
        if let Some(sent) = &self.sent {
            match sent.held {
                None => lines.push("closed loop: latency from the send time, the rate is the broker's".to_owned()),
                Some(held) => {
                    put_latencies("sent late by", &sent.send_lag, lines);
                    let verdict = if held { "held" } else { "NOT HELD" };
                    lines.push(format!("{verdict}: {} requests were due and unsent at the end", sent.backlog));
                }
            }
        }
        if !self.measure.errors.is_empty() {
            let text = errors_text(&self.measure.errors);
            lines.push(format!("errors: {text}; {} of them final", self.measure.failed));
        }
    }
}

fn put_latencies(what: &str, latencies: &Latencies, lines: &mut Vec<String>) {
    if latencies.count() > 0 {
        let percentiles = PERCENTILES
            .iter()
            .map(|(name, percent)| format!("{} {}", name.replacen('_', ".", 1), latencies.percentile_us(*percent)));
        let percentiles = percentiles.collect::<Vec<_>>().join("  ");
        lines.push(format!("{what}, µs: {percentiles}  max {}", latencies.max_us()));
    }
}

const PERCENTILES: &[(&str, f64)] = &[("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99_9", 99.9), ("p99_99", 99.99)];

pub(super) fn latencies_json(latencies: &Latencies) -> Value {
    if latencies.count() == 0 {
        return Value::Null;
    }
    let percentiles =
        PERCENTILES.iter().map(|(name, percent)| ((*name).to_owned(), json!(latencies.percentile_us(*percent))));
    let mut members: Map<String, Value> = percentiles.collect();
    members.insert("max".to_owned(), json!(latencies.max_us()));
    members.insert("mean".to_owned(), json!(latencies.mean_us()));
    members.insert("count".to_owned(), json!(latencies.count()));
    members.insert("histogram".to_owned(), json!(latencies.text()));
    Value::Object(members)
}

fn errors_text(errors: &BTreeMap<String, u64>) -> String {
    errors.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

fn is_ok(verified: &Verified, expected: u64) -> bool {
    verified.is_clean() && verified.records == expected
}

fn verified_json(verified: &Verified, expected: u64) -> Value {
    json!({
        "ok": is_ok(verified, expected), "records": verified.records, "expected": expected,
        "batches": verified.batches, "gaps": verified.gaps, "overlaps": verified.overlaps,
        "corrupt_batches": verified.corrupt_batches, "corrupt_records": verified.corrupt_records,
        "first_fault": verified.first_fault,
    })
}

/// Prints the table, and writes the JSON where it was asked for; on stdout the JSON stands alone.
pub(super) fn publish(table: &str, json: &Value, file: Option<&str>) -> Result<(), BenchError> {
    let json = format!("{json:#}\n");
    match file {
        Some("-") => print(&json),
        file => {
            if let Some(path) = file {
                std::fs::write(path, json).map_err(BenchError::system(RESULT_FILE))?;
            }
            print(table)
        }
    }
}

const RESULT_FILE: &str = "the result file";

/// To stdout.
pub(super) fn print(text: &str) -> Result<(), BenchError> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(BenchError::system(RESULT_FILE))
}
