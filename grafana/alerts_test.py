#!/usr/bin/env python3
"""Has promtool evaluate each rule of alerts.yml over series that make it fire, that do not, and that are not there.

A case gives the series of trouble and of health in promtool's notation, a sample a minute. The trouble lasts an hour and is
followed by two hours of health: the alert must fire at its end, be silent in health, and have ended two hours after it."""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
BY = 'job="einmal",instance="a"'
HOUR = 60


def flat(value):
    return value, 0


def rising(step):
    """A counter that rises by `step` each minute."""
    return 0, step


def histogram(metric, labels, low, high):
    """Counters of 100 samples a minute, all between two bounds."""
    return {
        f'{metric}_bucket{{{BY}{labels},le="{low}"}}': (flat(0), rising(100)),
        f'{metric}_bucket{{{BY}{labels},le="{high}"}}': (rising(100), rising(100)),
        f'{metric}_bucket{{{BY}{labels},le="+Inf"}}': (rising(100), rising(100)),
        f'{metric}_count{{{BY}{labels}}}': (rising(100), rising(100)),
    }


def of(metric, trouble, health, labels=""):
    return {f"{metric}{{{BY}{labels}}}": (trouble, health)}


# alert: series, each with (start, step) in trouble and in health.
CASES = {
    "EinmalDown": of("up", flat(0), flat(1)),
    "EinmalRestarting": of("process_start_time_seconds", rising(60), flat(7)),
    "EinmalRequestErrorRatio": of("einmal_request_errors_total", rising(50), rising(0.01), ',api="Produce",error="KAFKA_STORAGE_ERROR"')
    | of("einmal_requests_total", rising(1000), rising(1000), ',api="Produce",version="12"'),
    "EinmalFileDescriptorsHigh": of("process_open_fds", flat(90), flat(10)) | of("process_max_fds", flat(100), flat(100)),
    # Of this process: a restart, which ends it, begins at 0 again.
    "EinmalThreadEnded": of("einmal_engine_thread_panics_total", flat(1), flat(0), ',thread="log-cleaner"'),
    "EinmalPanics": of("einmal_panics_total", rising(1), flat(60)),
    "EinmalSpaceNotGivenBack": of("einmal_storage_reclaim_failures_total", rising(1), flat(60), ',reason="no_room"'),
    "EinmalWritesStopped": of("einmal_storage_write_stopped", flat(1), flat(0), ',db="log"') | of("einmal_disk_low", flat(0), flat(0)),
    "EinmalBackgroundError": of("einmal_storage_background_errors", flat(1), flat(0), ',db="log"'),
    "EinmalCorruption": of("einmal_storage_corruption_total", rising(1), flat(60)),
    "EinmalWriteSlowdown": of("einmal_storage_delayed_write_rate_bytes", flat(1e6), flat(0), ',db="log"')
    | of("einmal_storage_stall_seconds_total", flat(0), flat(0), ',db="log"'),
    "EinmalDiskLow": of("einmal_storage_disk_free_bytes", flat(5), flat(50), ',dir="d"') | of("einmal_storage_disk_total_bytes", flat(100), flat(100), ',dir="d"'),
    "EinmalDiskFillsSoon": of("einmal_storage_disk_free_bytes", (1e9, -1e7), flat(1e12), ',dir="d"'),
    "EinmalSyncSlow": histogram("einmal_wal_sync_duration_seconds", "", 0.05, 1),
    "EinmalProduceSlow": histogram("einmal_request_duration_seconds", ',api="Produce"', 0.1, 2.5),
    "EinmalEngineSaturated": of("einmal_engine_busy_seconds_total", rising(58), rising(5)),
    "EinmalFsyncDisabled": {'einmal_fsync_disabled{job="einmal-prod",instance="a"}': (flat(1), flat(0))},
    "EinmalTransactionTooOld": of("einmal_txn_oldest_open_age_seconds", (0, 60), flat(1)) | of("einmal_txn_timeout_max_seconds", flat(60), flat(60)),
    "EinmalLsoStalled": of("einmal_lso_stalled_seconds_max", (0, 60), flat(0)) | of("einmal_partitions_late_txn", flat(0), flat(0)),
    "EinmalEndStuck": of("einmal_txn_markers_pending", flat(1), flat(0)),
    "EinmalOutOfOrder": of("einmal_producer_out_of_order_total", rising(1), flat(60), ',topic="t"'),
    "EinmalOutOfOrderStorm": of("einmal_producer_out_of_order_total", rising(30), flat(1800), ',topic="t"'),
    "EinmalFencingStorm": of("einmal_txn_fenced_total", rising(30), flat(1800), ',reason="newer_epoch"'),
    "EinmalAbortRatio": of("einmal_txn_completed_total", rising(50), flat(3000), ',result="abort",initiator="timeout"')
    | of("einmal_txn_completed_total", rising(100), rising(100), ',result="commit",initiator="client"'),
    "EinmalDuplicateStorm": of("einmal_producer_batches_total", rising(100), flat(6000), ',outcome="duplicate"')
    | of("einmal_producer_batches_total", rising(900), rising(900), ',outcome="appended"'),
    "EinmalIdsEvicted": of("einmal_dedup_evicted_total", rising(1), flat(60), ',topic="t"'),
    "EinmalProducerIdChurn": of("einmal_producer_ids_allocated_total", rising(1200), rising(1)),
    "EinmalGroupLagTime": of("einmal_group_lag_seconds", (0, 60), flat(400), ',group="g",topic="t"'),
    "EinmalGroupStuck": of("einmal_group_lag_records", flat(10), flat(10), ',group="g",topic="t"')
    | of("einmal_group_members", flat(2), flat(2), ',group="g"')
    | of("einmal_group_last_commit_timestamp_seconds", flat(0), (3600, 60), ',group="g"'),
    "EinmalGroupEmptyWithLag": of("einmal_group_members", flat(0), flat(0), ',group="g"')
    | of("einmal_group_lag_records", rising(10), flat(600), ',group="g",topic="t"'),
    # Neither reason alone is a storm.
    "EinmalRebalanceStorm": of("einmal_group_rebalances_total", rising(1), flat(60), ',group="g",reason="join"')
    | of("einmal_group_rebalances_total", rising(1), flat(60), ',group="g",reason="leave"'),
}

# Also silent over these series, which only look like trouble.
CALM = {
    "EinmalDown": {'up{job="other",instance="b"}': flat(0), 'up{job="einmal",instance="a"}': flat(1)},
    "EinmalFsyncDisabled": {f"einmal_fsync_disabled{{{BY}}}": flat(1)},
    "EinmalGroupLagTime": {f'einmal_group_lag_seconds{{{BY},group="g",topic="t"}}': flat(5000)},
    "EinmalTransactionTooOld": {
        f"einmal_txn_oldest_open_age_seconds{{{BY}}}": flat(800),
        f"einmal_txn_timeout_max_seconds{{{BY}}}": flat(600),
    },
    # Of long ago, and of topics whose ids go when their time is over.
    "EinmalIdsEvicted": {
        f'einmal_dedup_evicted_total{{{BY},topic="t"}}': flat(5000),
        f'einmal_dedup_duplicates_total{{{BY},topic="t",reason="open"}}': rising(100),
    },
    "EinmalGroupEmptyWithLag": {
        f'einmal_group_members{{{BY},group="g"}}': flat(1),
        f'einmal_group_lag_records{{{BY},group="g",topic="t"}}': rising(10),
    },
}


def notation(parts):
    """promtool's notation of (start, step) for so many minutes each."""
    return " ".join(f"{start}{'+' if step >= 0 else '-'}{abs(step)}x{minutes - 1}" for (start, step), minutes in parts)


def firing(alert, at, is_firing):
    samples = [{"labels": "{}", "value": 1}] if is_firing else []
    expr = f'clamp_max(count(ALERTS{{alertname="{alert}",alertstate="firing"}}), 1)'
    return {"expr": expr, "eval_time": f"{at}m", "exp_samples": samples}


def tests():
    for alert, series in CASES.items():
        trouble = [{"series": name, "values": notation([(bad, HOUR), (good, 2 * HOUR)])} for name, (bad, good) in series.items()]
        health = [{"series": name, "values": notation([(good, 3 * HOUR)])} for name, (_, good) in series.items()]
        checks = [firing(alert, HOUR - 1, True), firing(alert, 3 * HOUR - 2, False)]
        yield {"interval": "1m", "name": f"{alert} fires and ends", "input_series": trouble, "promql_expr_test": checks}
        yield {"interval": "1m", "name": f"{alert} in health", "input_series": health, "promql_expr_test": [firing(alert, at, False) for at in (1, HOUR - 1, 3 * HOUR - 2)]}
        absent = [{"series": 'up{job="einmal",instance="a"}', "values": "1x180"}]
        yield {"interval": "1m", "name": f"{alert} without its series", "input_series": absent, "promql_expr_test": [firing(alert, HOUR, False)]}
    for alert, series in CALM.items():
        calm = [{"series": name, "values": notation([(values, HOUR)])} for name, values in series.items()]
        yield {"interval": "1m", "name": f"{alert} where all is well", "input_series": calm, "promql_expr_test": [firing(alert, HOUR - 1, False)]}
    # Nobody scrapes it at all.
    other = [{"series": 'up{job="other",instance="b"}', "values": "1x60"}]
    yield {"interval": "1m", "name": "EinmalDown without a target", "input_series": other, "promql_expr_test": [firing("EinmalDown", 30, True)]}


def main():
    rules = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else HERE / "alerts.yml").resolve()
    named = set(re.findall(r"- alert: (\w+)", rules.read_text()))
    if named != set(CASES):
        sys.exit(f"rules and cases differ: {sorted(named ^ set(CASES))}")
    runbook = set(re.findall(r"^### (\w+)", (HERE / "README.md").read_text(), re.MULTILINE))
    if named != runbook:
        sys.exit(f"rules and runbook differ: {sorted(named ^ runbook)}")
    subprocess.run(["promtool", "check", "rules", str(rules)], check=True)
    all_tests = list(tests())
    with tempfile.TemporaryDirectory() as work:
        # JSON is YAML.
        path = pathlib.Path(work) / "test.yml"
        path.write_text(json.dumps({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": all_tests}))
        subprocess.run(["promtool", "test", "rules", str(path)], check=True)
    print(f"{len(all_tests)} cases of {len(CASES)} rules")


if __name__ == "__main__":
    main()
