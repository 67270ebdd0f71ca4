//! What a run counts: latencies by the second and in total, records, bytes, errors.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::BenchError;
use super::clock::SECOND_NS;

/// Largest latency that is told apart, µs; longer ones count as this.
const LATENCY_MAX_US: u64 = 60_000_000;

/// Latencies, 1 µs to 60 s with three significant digits.
#[derive(Debug, Clone)]
pub(super) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(super) fn new() -> Result<Self, BenchError> {
        let histogram = Histogram::new_with_bounds(1, LATENCY_MAX_US, 3);
        histogram.map(Self).map_err(|error| BenchError::Usage(error.to_string()))
    }

    pub(super) fn record_ns(&mut self, latency_ns: u64) {
        self.0.saturating_record((latency_ns / 1000).clamp(1, LATENCY_MAX_US));
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    /// µs that `percent` of the latencies do not exceed; 0 without any.
    pub(super) fn percentile_us(&self, percent: f64) -> u64 {
        self.0.value_at_percentile(percent).min(self.max_us())
    }

    pub(super) fn max_us(&self) -> u64 {
        self.0.max()
    }

    pub(super) fn mean_us(&self) -> f64 {
        self.0.mean()
    }

    /// All of them: `µs:count` in rising order with a space between, µs being the largest that the histogram does not tell apart.
    pub(super) fn text(&self) -> String {
        let bucket = |value: u64, count: u64| format!("{}:{count}", value.min(self.max_us()));
        let buckets = self.0.iter_recorded().map(|each| bucket(each.value_iterated_to(), each.count_at_value()));
        buckets.collect::<Vec<_>>().join(" ")
    }
}

/// One second of a run.
#[derive(Debug, Clone)]
pub(super) struct Second {
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
    pub(super) p999_us: u64,
    pub(super) max_us: u64,
    pub(super) errors: u64,
    /// Requests due and not sent at its end.
    pub(super) backlog: u64,
}

/// One side of a run: sending, or reading.
#[derive(Debug)]
pub(super) struct Measure {
    start_ns: u64,
    /// From when on things count, and until when.
    window_ns: (u64, u64),
    last_ns: u64,
    pub(super) latencies: Latencies,
    /// Requests answered, or batches read, in the window.
    pub(super) count: u64,
    pub(super) records: u64,
    pub(super) bytes: u64,
    /// By name: all, also of the warm-up.
    pub(super) errors: BTreeMap<String, u64>,
    /// Of these errors, those that nothing made good.
    pub(super) failed: u64,
    pub(super) timeline: Vec<Second>,
    second: Latencies,
    second_records: u64,
    second_bytes: u64,
    second_errors: u64,
}

impl Measure {
    /// For a run that starts at `start_ns` and counts from `from_ns` to `to_ns`.
    pub(super) fn new(start_ns: u64, from_ns: u64, to_ns: u64) -> Result<Self, BenchError> {
        Ok(Self {
            start_ns,
            window_ns: (from_ns, to_ns),
            last_ns: from_ns,
            latencies: Latencies::new()?,
            count: 0,
            records: 0,
            bytes: 0,
            errors: BTreeMap::new(),
            failed: 0,
            timeline: Vec::new(),
            second: Latencies::new()?,
            second_records: 0,
            second_bytes: 0,
            second_errors: 0,
        })
    }

    /// Something that was due at `intended_ns` is complete. Throughput counts what completes in the window, latency what was
    /// due in it.
    pub(super) fn done(&mut self, intended_ns: Option<u64>, now_ns: u64, records: u64, bytes: u64) {
        if let Some(intended_ns) = intended_ns {
            self.latency(intended_ns, now_ns);
        }
        self.second_records += records;
        self.second_bytes += bytes;
        if (self.window_ns.0..self.window_ns.1).contains(&now_ns) {
            self.count += 1;
            self.records += records;
            self.bytes += bytes;
            self.last_ns = now_ns;
        }
    }

    /// The latency alone, of something that is not complete and will not be waited for.
    pub(super) fn latency(&mut self, intended_ns: u64, now_ns: u64) {
        let latency_ns = now_ns.saturating_sub(intended_ns);
        self.second.record_ns(latency_ns);
        if (self.window_ns.0..self.window_ns.1).contains(&intended_ns) {
            self.latencies.record_ns(latency_ns);
        }
    }

    /// An error that nothing makes good, once.
    pub(super) fn failure(&mut self, name: &str) {
        self.failed += 1;
        self.error(name, 1);
    }

    /// An error that need not be the end: what it befell is sent again.
    pub(super) fn error(&mut self, name: &str, count: u64) {
        self.second_errors += count;
        match self.errors.get_mut(name) {
            Some(errors) => *errors += count,
            None => drop(self.errors.insert(name.to_owned(), count)),
        }
    }

    /// Ends the seconds that are over at `now_ns`.
    pub(super) fn roll(&mut self, now_ns: u64, backlog: u64) {
        while now_ns >= self.start_ns + (self.timeline.len() as u64 + 1) * SECOND_NS {
            self.end_second(backlog);
        }
    }

    /// Ends the last, broken second if anything happened in it.
    pub(super) fn finish(&mut self, backlog: u64) {
        if self.second_records + self.second_errors + self.second.count() > 0 {
            self.end_second(backlog);
        }
    }

    fn end_second(&mut self, backlog: u64) {
        self.timeline.push(Second {
            records: std::mem::take(&mut self.second_records),
            bytes: std::mem::take(&mut self.second_bytes),
            p50_us: self.second.percentile_us(50.0),
            p99_us: self.second.percentile_us(99.0),
            p999_us: self.second.percentile_us(99.9),
            max_us: self.second.max_us(),
            errors: std::mem::take(&mut self.second_errors),
            backlog,
        });
        self.second.0.reset();
    }

    /// Seconds of the run, warm-up included, that are over at `now_ns`.
    pub(super) fn seconds_until(&self, now_ns: u64) -> f64 {
        now_ns.saturating_sub(self.start_ns) as f64 / 1e9
    }

    /// Seconds over which records and bytes count: the window, or up to the last completion where the window is open or the
    /// run ended early.
    pub(super) fn seconds(&self, ended_ns: u64) -> f64 {
        let to_ns = match self.window_ns.1 {
            u64::MAX => self.last_ns,
            to_ns => to_ns.min(ended_ns),
        };
        to_ns.saturating_sub(self.window_ns.0) as f64 / 1e9
    }
}

/// Whether a broker held an open-loop run of `per_second` requests a second over `seconds`: at the end less than a second's
/// requests, and a tenth of all, were due and unsent, and the backlog did not grow by more than 1 % of the rate, by the
/// least-squares line through its values at the end of each second of the window.
pub(super) fn is_held(backlogs: &[u64], final_backlog: u64, per_second: f64, seconds: f64) -> bool {
    let allowed = per_second * (seconds / 10.0).min(1.0);
    if final_backlog as f64 > allowed.max(1.0) {
        return false;
    }
    // A line through two points is made by one hiccup.
    backlogs.len() < 3 || slope(backlogs) <= per_second * 0.01
}

fn slope(values: &[u64]) -> f64 {
    let middle = (values.len() - 1) as f64 / 2.0;
    let mean = values.iter().sum::<u64>() as f64 / values.len() as f64;
    let (mut above, mut below) = (0.0, 0.0);
    for (index, value) in values.iter().enumerate() {
        let distance = index as f64 - middle;
        above += distance * (*value as f64 - mean);
        below += distance * distance;
    }
    above / below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_that_grows_is_not_held() {
        let growing: Vec<u64> = (0..10).map(|second| second * 20).collect();
        for (backlogs, last, held) in [
            (&[0, 0, 0, 0][..], 0, true),
            (&[0, 40, 5, 0], 3, true),
            (&growing, 180, false),
            (&[0, 0], 999, true),
            (&[0, 0], 1001, false),
            (&[300, 200, 100, 0], 0, true),
            (&[], 0, true),
        ] {
            assert_eq!(is_held(backlogs, last, 1000.0, 60.0), held, "{backlogs:?} {last}");
        }
        assert!(is_held(&[], 50, 1000.0, 0.5));
        assert!(!is_held(&[], 51, 1000.0, 0.5), "a tenth of what a short run offers");
    }

    #[test]
    fn latency_belongs_to_when_it_was_due_and_throughput_to_when_it_was_done() {
        let mut measure = Measure::new(0, SECOND_NS, 3 * SECOND_NS).unwrap();
        measure.done(Some(SECOND_NS - 1), SECOND_NS, 1, 10); // due in the warm-up, done in the window
        measure.done(Some(2 * SECOND_NS), 3 * SECOND_NS, 2, 20); // due in the window, done after it
        assert_eq!((measure.records, measure.bytes, measure.latencies.count()), (1, 10, 1));
        assert_eq!(measure.latencies.max_us() / 10_000, 100);
        assert_eq!(measure.seconds(9 * SECOND_NS), 2.0);
    }

    #[test]
    fn each_second_has_its_own_row_and_empty_ones_are_kept() {
        let mut measure = Measure::new(0, 0, u64::MAX).unwrap();
        measure.done(Some(0), 5000, 3, 30);
        measure.roll(2 * SECOND_NS + 1, 7);
        measure.error("NOT_LEADER_OR_FOLLOWER", 2);
        measure.finish(0);
        let rows: Vec<_> =
            measure.timeline.iter().map(|row| (row.records, row.max_us, row.errors, row.backlog)).collect();
        assert_eq!(rows, [(3, 5, 0, 7), (0, 0, 0, 7), (0, 0, 2, 0)]);
    }

    #[test]
    fn text_of_latencies_has_each_of_them_once() {
        let mut latencies = Latencies::new().unwrap();
        [7_000, 7_999, 100_000, 5_000_000_000, 5_000_000_001].into_iter().for_each(|ns| latencies.record_ns(ns));
        let text = latencies.text();
        let pairs: Vec<(u64, u64)> = text
            .split(' ')
            .map(|pair| pair.split_once(':').map(|(us, count)| (us.parse().unwrap(), count.parse().unwrap())).unwrap())
            .collect();
        assert_eq!(pairs, [(7, 2), (100, 1), (latencies.max_us(), 2)], "{text}");
        assert_eq!(Latencies::new().unwrap().text(), "");
    }

    #[test]
    fn latencies_beyond_the_range_count_as_its_ends() {
        let mut latencies = Latencies::new().unwrap();
        latencies.record_ns(0);
        latencies.record_ns(u64::MAX);
        assert_eq!(latencies.count(), 2);
        assert!((latencies.max_us() as f64 / LATENCY_MAX_US as f64 - 1.0).abs() < 0.001);
    }
}
