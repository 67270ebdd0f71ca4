//! Kafka's names for what the recorder has rendered: requests, their times, connections.

use std::collections::BTreeMap;

use super::writer::Writer;
use crate::metrics::{self as catalogue, compat};
use crate::telemetry::exposition::sample;

/// Quantiles that Kafka's histograms show.
const QUANTILES: &[(&str, f64)] = &[("0.50", 0.5), ("0.75", 0.75), ("0.95", 0.95), ("0.99", 0.99), ("0.999", 0.999)];

/// Labels of a sample by name, and its value. Values of the families read here hold neither commas nor quotes.
fn parse<'a>(line: &'a str, name: &str) -> Option<(BTreeMap<&'a str, &'a str>, f64)> {
    let (labels, value) = line.strip_prefix(name)?.strip_prefix('{')?.split_once("} ")?;
    let labels = labels.split(',').filter_map(|label| {
        let (name, value) = label.split_once('=')?;
        Some((name, value.trim_matches('"')))
    });
    Some((labels.collect(), value.parse().ok()?))
}

/// Appends the families that follow from `recorded`.
pub(super) fn jmx(writer: &mut Writer<'_>, recorded: &str) {
    let samples = |name: String| recorded.lines().filter_map(move |line| parse(line, &name));
    writer.family(compat::REQUESTS, |family, text| {
        for (labels, value) in samples(catalogue::REQUESTS_TOTAL.to_owned()) {
            let label = |name: &str| labels.get(name).copied().unwrap_or_default();
            sample(text, family, &[label("api"), label("version")], value);
        }
    });
    writer.family(compat::CONNECTION_COUNT, |family, text| {
        for (labels, value) in samples(catalogue::CONNECTIONS.to_owned()) {
            sample(text, family, &[labels.get("listener").copied().unwrap_or_default(), "0"], value);
        }
    });
    // Upper bound and count up to it, by API, in rising order.
    let mut buckets: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for (labels, value) in samples(format!("{}_bucket", catalogue::REQUEST_DURATION_SECONDS)) {
        if let (Some(api), Some(bound)) = (labels.get("api"), labels.get("le")) {
            buckets.entry(*api).or_default().push((bound.parse().unwrap_or(f64::INFINITY), value));
        }
    }
    writer.family(compat::REQUEST_TIME, |family, text| {
        let seen = buckets.iter().filter(|(_, buckets)| buckets.last().is_some_and(|(_, count)| *count > 0.0));
        for (api, buckets) in seen {
            for (name, quantile) in QUANTILES {
                sample(text, family, &[api, name], quantile_of(buckets, *quantile) * 1_000.0);
            }
        }
    });
}

/// As `histogram_quantile` does: even within a bucket, and the highest bound for what lies above it. 0 for no samples.
fn quantile_of(buckets: &[(f64, f64)], quantile: f64) -> f64 {
    let rank = buckets.last().map_or(0.0, |(_, count)| count * quantile);
    let (mut lower, mut below) = (0.0, 0.0);
    for (bound, count) in buckets {
        if *count >= rank && *count > below {
            let is_last = bound.is_infinite();
            return if is_last { lower } else { lower + (bound - lower) * (rank - below) / (count - below) };
        }
        (lower, below) = (*bound, *count);
    }
    0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_that_prometheus_would_tell() {
        let buckets = [(1.0, 10.0), (2.0, 20.0), (f64::INFINITY, 20.0)];
        assert_eq!(quantile_of(&buckets, 0.5), 1.0);
        assert_eq!(quantile_of(&buckets, 0.75), 1.5);
        assert_eq!(quantile_of(&[(1.0, 0.0), (f64::INFINITY, 4.0)], 0.5), 1.0);
        assert_eq!(quantile_of(&[(1.0, 0.0), (f64::INFINITY, 0.0)], 0.5), 0.0);
        assert_eq!(quantile_of(&[], 0.5), 0.0);
    }

    #[test]
    fn requests_and_connections_are_shown_by_kafkas_names() {
        let recorded = "einmal_requests_total{api=\"Fetch\",version=\"17\"} 3\neinmal_connections{listener=\"A\"} 2\n\
                        einmal_request_duration_seconds_bucket{api=\"Fetch\",le=\"0.5\"} 4\n\
                        einmal_request_duration_seconds_bucket{api=\"Fetch\",le=\"+Inf\"} 4\n";
        let mut text = String::new();
        jmx(&mut Writer::new(&mut text, 10), recorded);
        for line in [
            "kafka_network_requestmetrics_requests_total{request=\"Fetch\",version=\"17\"} 3",
            "kafka_network_requestmetrics_totaltimems{request=\"Fetch\",quantile=\"0.50\"} 250",
            "kafka_server_socket_server_metrics_connection_count{listener=\"A\",networkProcessor=\"0\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
