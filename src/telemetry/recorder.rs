//! The recorder behind the crate `metrics`: families with closed labels, all there from the start.
//!
//! A family that first appears with its first event hides that event from `rate()`; a zero that is there does not.

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::metrics::{self as catalogue, FAMILIES, Family, Kind, Source};

/// Buckets of durations, seconds.
const LATENCY_BUCKETS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Buckets of sizes, bytes: 256 B, then four times as much, to 1 GiB.
const SIZE_BUCKETS: &[f64] = &[
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
    268_435_456.0,
    1_073_741_824.0,
];

/// Buckets of counts.
const COUNT_BUCKETS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0];

/// Buckets of how long transactions are open, seconds: up to the longest timeout that brokers allow by default.
const OPEN_BUCKETS: &[f64] = &[0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0];

/// Buckets of how old what is sent again is, seconds: from one timeout of a request to those who come back after a day.
const AGE_BUCKETS: &[f64] = &[0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3_600.0, 86_400.0];

/// Buckets of counts of records.
const RECORD_BUCKETS: &[f64] = &[1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0, 1_000_000.0, 10_000_000.0];

/// Buckets of how long a ready task waits for a thread, seconds: tens of microseconds where threads are idle.
const POLL_BUCKETS: &[f64] = &[0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0];

/// Buckets of how long the ids of one batch take to read, seconds.
const SCAN_BUCKETS: &[f64] =
    &[0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.1, 1.0];

/// Samples of histograms wait in memory until they are sorted into buckets; this is how long at most.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Makes the process record metrics if that `is_on`, and answers what renders them. Once per process.
///
/// Without a recorder each metric is a call that returns at once.
pub fn install(is_on: bool) -> Result<PrometheusHandle, BuildError> {
    let recorder = build()?;
    let handle = recorder.handle();
    if !is_on {
        return Ok(handle);
    }
    metrics::set_global_recorder(recorder)?;
    describe();
    Ok(handle)
}

fn build() -> Result<PrometheusRecorder, BuildError> {
    let mut builder = PrometheusBuilder::new().set_buckets(COUNT_BUCKETS)?;
    for (suffix, buckets) in [("_seconds", LATENCY_BUCKETS), ("_bytes", SIZE_BUCKETS)] {
        builder = builder.set_buckets_for_metric(Matcher::Suffix(suffix.to_owned()), buckets)?;
    }
    for (name, buckets) in [
        (catalogue::TXN_DURATION_SECONDS, OPEN_BUCKETS),
        (catalogue::PRODUCER_DUPLICATE_AGE_SECONDS, AGE_BUCKETS),
        (catalogue::TXN_RECORDS, RECORD_BUCKETS),
        (catalogue::RUNTIME_POLL_DELAY_SECONDS, POLL_BUCKETS),
        (catalogue::DEDUP_SCAN_SECONDS, SCAN_BUCKETS),
    ] {
        builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)?;
    }
    Ok(builder.build_recorder())
}

fn describe() {
    for Family { name, kind, help, .. } in FAMILIES {
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, *help),
            Kind::Gauge => metrics::describe_gauge!(*name, *help),
            Kind::Histogram => metrics::describe_histogram!(*name, *help),
        }
    }
}

/// Begins every series whose labels are known beforehand, at 0.
pub fn begin(listeners: &[&str]) {
    for family in FAMILIES.iter().filter(|family| family.source == Source::Recorder) {
        series_known(family, listeners).into_iter().for_each(|labels| touch(family, labels));
    }
    // Not each initiator can have each result.
    for (result, initiator) in [("commit", "client"), ("abort", "client"), ("abort", "timeout"), ("abort", "fencing")] {
        let labels = vec![("result", result.to_owned()), ("initiator", initiator.to_owned())];
        touch(family(catalogue::TXN_COMPLETED_TOTAL), labels);
    }
}

/// Labels of the series of a family that are known beforehand; none if the values of a label are not.
fn series_known(family: &Family, listeners: &[&str]) -> Vec<Vec<(&'static str, String)>> {
    let mut series: Vec<Vec<(&'static str, String)>> = vec![Vec::new()];
    for (label, values) in family.labels.iter().zip(family.values) {
        let values = if *label == "listener" { listeners } else { *values };
        let mut longer = Vec::new();
        for labels in series {
            for value in values {
                let mut labels = labels.clone();
                labels.push((*label, (*value).to_owned()));
                longer.push(labels);
            }
        }
        series = longer;
    }
    series
}

/// The family of this name.
pub(super) fn family(name: &str) -> &'static Family {
    FAMILIES.iter().find(|family| family.name == name).expect("constants of the catalogue are in the catalogue")
}

fn touch(family: &Family, labels: Vec<(&'static str, String)>) {
    match family.kind {
        Kind::Counter => metrics::counter!(family.name, &labels).increment(0),
        Kind::Gauge => metrics::gauge!(family.name, &labels).increment(0.0),
        Kind::Histogram => drop(metrics::histogram!(family.name, &labels)),
    }
}

/// Sorts histogram samples into their buckets, for ever.
pub async fn keep_up(handle: PrometheusHandle) {
    let mut interval = tokio::time::interval(UPKEEP_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        handle.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_families_are_there_at_zero_with_help_and_buckets() {
        let recorder = build().expect("buckets are not empty");
        let text = metrics::with_local_recorder(&recorder, || {
            describe();
            begin(&["PLAINTEXT"]);
            metrics::histogram!(catalogue::REQUEST_SIZE_BYTES, "api" => "Produce").record(300.0);
            recorder.handle().render()
        });
        for line in [
            "einmal_producer_batches_total{outcome=\"duplicate\"} 0",
            "einmal_connections{listener=\"PLAINTEXT\"} 0",
            "einmal_connections_closed_total{listener=\"PLAINTEXT\",cause=\"idle\"} 0",
            "einmal_storage_reclaim_failures_total{reason=\"no_room\"} 0",
            "einmal_txn_completed_total{result=\"abort\",initiator=\"fencing\"} 0",
            "einmal_fetch_sessions 0",
            "einmal_wal_sync_duration_seconds_bucket{le=\"0.0005\"} 0",
            "einmal_engine_group_commands_bucket{le=\"64\"} 0",
            "einmal_request_size_bytes_bucket{api=\"Produce\",le=\"1024\"} 1",
            "# TYPE einmal_wal_sync_duration_seconds histogram",
            "# HELP einmal_fetch_sessions Cached fetch sessions",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(
            !text.contains("einmal_topics ") && !text.contains("result=\"commit\",initiator=\"timeout\""),
            "{text}"
        );
    }

    #[test]
    fn touching_a_family_again_keeps_its_value() {
        let recorder = build().expect("buckets are not empty");
        let text = metrics::with_local_recorder(&recorder, || {
            metrics::gauge!(catalogue::FETCH_SESSIONS).set(3.0);
            begin(&[]);
            recorder.handle().render()
        });
        assert!(text.contains("einmal_fetch_sessions 3"), "{text}");
    }
}
