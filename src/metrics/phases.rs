//! How the time of requests is spent: `einmal_request_phase_seconds`, in fixed buckets of atomics.
//!
//! There are four samples for each request. The recorder would keep each until it is sorted into its bucket, and would double what a
//! request costs it; here a sample is two additions, and takes no memory.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets, nanoseconds, and as the text format writes them in seconds. There is one more bucket above them.
const BOUNDS: [(u64, &str); 8] = [
    (100_000, "0.0001"),
    (500_000, "0.0005"),
    (2_500_000, "0.0025"),
    (10_000_000, "0.01"),
    (50_000_000, "0.05"),
    (250_000_000, "0.25"),
    (1_000_000_000, "1"),
    (5_000_000_000, "5"),
];

/// The APIs that are told apart. Operators think of these; the others are one.
const APIS: [&str; 7] = ["Produce", "Fetch", "ListOffsets", "OffsetCommit", "EndTxn", "AddPartitionsToTxn", "Other"];

/// What a request spends time in, from its receipt to its answer in the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Received, while an earlier request of its connection is under way.
    Queue,
    /// A thread works on it: decodes, decides, reads what is in memory, encodes.
    Handle,
    /// It waits for others: the writer and its sync, the disk, records to fetch, members of a group, memory.
    Wait,
    /// Answered, until the answers before it on its connection are there, too, and the socket has taken them all.
    Send,
}

impl Phase {
    const ALL: [(Self, &str); 4] =
        [(Self::Queue, "queue"), (Self::Handle, "handle"), (Self::Wait, "wait"), (Self::Send, "send")];
}

/// One of the APIs that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiClass(usize);

impl ApiClass {
    /// Where the API of this name belongs.
    pub fn of(api: &str) -> Self {
        Self(APIS.iter().position(|name| *name == api).unwrap_or(APIS.len() - 1))
    }
}

#[derive(Debug, Default)]
struct Histogram {
    /// Samples of each bucket alone.
    counts: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

/// All phases of all APIs.
#[derive(Debug, Default)]
pub struct RequestPhases {
    histograms: [[Histogram; Phase::ALL.len()]; APIS.len()],
    is_off: bool,
}

impl RequestPhases {
    /// Of which none is counted.
    pub fn off() -> Self {
        Self { is_off: true, ..Self::default() }
    }

    /// Adds a sample.
    pub fn record(&self, class: ApiClass, phase: Phase, spent: Duration) {
        if self.is_off {
            return;
        }
        let nanoseconds = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|(bound, _)| nanoseconds <= *bound).unwrap_or(BOUNDS.len());
        let histogram = &self.histograms[class.0][phase as usize];
        histogram.counts[bucket].fetch_add(1, Ordering::Relaxed);
        histogram.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Appends all samples in the text format of Prometheus.
    pub fn render(&self, text: &mut String) {
        const NAME: &str = super::REQUEST_PHASE_SECONDS;
        for (api, phases) in APIS.iter().zip(&self.histograms) {
            for ((_, phase), histogram) in Phase::ALL.iter().zip(phases) {
                let labels = format!("api=\"{api}\",phase=\"{phase}\"");
                let bounds = BOUNDS.iter().map(|(_, text)| *text).chain(["+Inf"]);
                let mut count = 0;
                // Writing to a String cannot fail.
                for (bound, samples) in bounds.zip(&histogram.counts) {
                    count += samples.load(Ordering::Relaxed);
                    let _ = writeln!(text, "{NAME}_bucket{{{labels},le=\"{bound}\"}} {count}");
                }
                let sum = Duration::from_nanos(histogram.nanoseconds.load(Ordering::Relaxed)).as_secs_f64();
                let _ = writeln!(text, "{NAME}_sum{{{labels}}} {sum}\n{NAME}_count{{{labels}}} {count}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_lie_in_all_buckets_from_their_own_on() {
        let phases = RequestPhases::default();
        let fetch = ApiClass::of("Fetch");
        phases.record(fetch, Phase::Wait, Duration::from_micros(500));
        phases.record(fetch, Phase::Wait, Duration::from_millis(20));
        phases.record(fetch, Phase::Wait, Duration::from_secs(60));
        phases.record(ApiClass::of("Metadata"), Phase::Queue, Duration::ZERO);
        let mut text = String::new();
        phases.render(&mut text);
        for line in [
            "einmal_request_phase_seconds_bucket{api=\"Fetch\",phase=\"wait\",le=\"0.0001\"} 0",
            "einmal_request_phase_seconds_bucket{api=\"Fetch\",phase=\"wait\",le=\"0.0005\"} 1",
            "einmal_request_phase_seconds_bucket{api=\"Fetch\",phase=\"wait\",le=\"0.05\"} 2",
            "einmal_request_phase_seconds_bucket{api=\"Fetch\",phase=\"wait\",le=\"5\"} 2",
            "einmal_request_phase_seconds_bucket{api=\"Fetch\",phase=\"wait\",le=\"+Inf\"} 3",
            "einmal_request_phase_seconds_count{api=\"Fetch\",phase=\"wait\"} 3",
            "einmal_request_phase_seconds_sum{api=\"Fetch\",phase=\"wait\"} 60.0205",
            "einmal_request_phase_seconds_count{api=\"Other\",phase=\"queue\"} 1",
            "einmal_request_phase_seconds_count{api=\"Produce\",phase=\"send\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
