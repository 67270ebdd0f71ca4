#!/usr/bin/env python3
"""Has promtool evaluate each rule of alerts.yml over series that make it fire, that do not, and that are not there.

A rule has a way to fire for each side of an `or`, and for each value that its labels may have; each way is tried alone. It gives the
series of trouble and of health, a sample a minute. The trouble lasts an hour and is followed by two hours of health: the alert must
fire so long after its expression is true as the table says, and no sooner, still fire at the end, be silent in health, and have ended
two hours after it. Of a rule with an `or` one side at a time is evaluated, too: its own way makes it fire, and no other does."""

import dataclasses
import json
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
BY = 'job="einmal",instance="a"'
MINUTE_S = 60
HOUR = 60
# Rules are evaluated twice a minute, so that a `for` of half a minute can be told from none.
STEP_S = 30


def flat(value):
    return value, 0


def rising(step):
    """A counter that rises by `step` each minute."""
    return 0, step


def histogram(metric, labels, low, high, a_minute=100):
    """Counters of so many samples a minute, all between two bounds."""
    slow, all_of_them = (flat(0), rising(a_minute)), (rising(a_minute), rising(a_minute))
    return {
        f'{metric}_bucket{{{BY}{labels},le="{low}"}}': slow,
        f'{metric}_bucket{{{BY}{labels},le="{high}"}}': all_of_them,
        f'{metric}_bucket{{{BY}{labels},le="+Inf"}}': all_of_them,
        f'{metric}_count{{{BY}{labels}}}': all_of_them,
    }


def of(metric, trouble, health, labels=""):
    return {f"{metric}{{{BY}{labels}}}": (trouble, health)}


def calm_of(metric, values, labels=""):
    return {f"{metric}{{{BY}{labels}}}": values}


@dataclasses.dataclass
class Rule:
    """`ways`: series to (start, step) in trouble and in health, in the order of the sides of an `or`. `calm`: series that only look
    like trouble."""

    for_s: int
    ways: list
    calm: list = dataclasses.field(default_factory=list)


GROUP = ',group="g"'
READ = ',group="g",topic="t"'
ERRORS = "KAFKA_STORAGE_ERROR", "UNKNOWN_SERVER_ERROR", "COORDINATOR_LOAD_IN_PROGRESS", "COORDINATOR_NOT_AVAILABLE", "REQUEST_TIMED_OUT"


def stuck(lag, members, committed):
    """Trouble of a group, a sample of each."""
    return {"einmal_group_lag_records": (lag, READ), "einmal_group_members": (members, GROUP), "einmal_group_last_commit_timestamp_seconds": (committed, GROUP)}


RULES = {
    "EinmalDown": Rule(
        60,
        # The second: nobody scrapes it at all, until somebody does.
        [of("up", flat(0), flat(1)), {'up{job="other",instance="b"}': (flat(1), flat(1)), f"up{{{BY}}}": (None, flat(1))}],
        [{'up{job="other",instance="b"}': flat(0), f"up{{{BY}}}": flat(1)}],
    ),
    "EinmalRestarting": Rule(0, [of("process_start_time_seconds", rising(60), flat(7))], [{'process_start_time_seconds{job="other",instance="b"}': rising(60)}]),
    "EinmalRequestErrorRatio": Rule(
        5 * MINUTE_S,
        [
            of("einmal_request_errors_total", rising(50), rising(0.01), f',api="Produce",error="{error}"') | of("einmal_requests_total", rising(1000), rising(1000), ',api="Produce",version="12"')
            for error in ERRORS
        ],
        # What clients cause.
        [calm_of("einmal_request_errors_total", rising(500), ',api="Produce",error="REBALANCE_IN_PROGRESS"') | calm_of("einmal_requests_total", rising(1000), ',api="Produce",version="12"')],
    ),
    "EinmalFileDescriptorsHigh": Rule(10 * MINUTE_S, [of("process_open_fds", flat(90), flat(10)) | of("process_max_fds", flat(100), flat(100))]),
    # Of this process: a restart, which ends it, begins at 0 again.
    "EinmalThreadEnded": Rule(0, [of("einmal_engine_thread_panics_total", flat(1), flat(0), ',thread="log-cleaner"')]),
    "EinmalPanics": Rule(0, [of("einmal_panics_total", rising(1), flat(60))]),
    "EinmalWritesStopped": Rule(
        30,
        [
            of("einmal_storage_write_stopped", flat(1), flat(0), ',db="log"') | of("einmal_disk_low", flat(0), flat(0)),
            of("einmal_storage_write_stopped", flat(0), flat(0), ',db="log"') | of("einmal_disk_low", flat(1), flat(0)),
        ],
    ),
    "EinmalBackgroundError": Rule(0, [of("einmal_storage_background_errors", rising(1), flat(60), ',db="log"')], [calm_of("einmal_storage_background_errors", flat(6), ',db="log"')]),
    "EinmalCorruption": Rule(0, [of("einmal_storage_corruption_total", rising(1), flat(60))]),
    "EinmalWriteSlowdown": Rule(
        5 * MINUTE_S,
        [
            of("einmal_storage_delayed_write_rate_bytes", flat(1e6), flat(0), ',db="log"') | of("einmal_storage_stall_seconds_total", flat(0), flat(0), ',db="log"'),
            of("einmal_storage_delayed_write_rate_bytes", flat(0), flat(0), ',db="log"') | of("einmal_storage_stall_seconds_total", rising(6), flat(360), ',db="log"'),
        ],
        [calm_of("einmal_storage_stall_seconds_total", rising(1), ',db="log"')],
    ),
    "EinmalDiskLow": Rule(5 * MINUTE_S, [of("einmal_storage_disk_free_bytes", flat(5), flat(50), ',dir="d"') | of("einmal_storage_disk_total_bytes", flat(100), flat(100), ',dir="d"')]),
    "EinmalDiskFillsSoon": Rule(30 * MINUTE_S, [of("einmal_storage_disk_free_bytes", (1e9, -1e7), flat(1e12), ',dir="d"')]),
    "EinmalSpaceNotGivenBack": Rule(
        15 * MINUTE_S,
        [of("einmal_storage_reclaim_failures_total", rising(1), flat(60), ',reason="no_room"')],
        # Once, and it worked a minute later.
        [calm_of("einmal_storage_reclaim_failures_total", (0, 0, 1), ',reason="error"')],
    ),
    # A slow disk.
    "EinmalSyncHangs": Rule(0, [of("einmal_wal_sync_running_seconds", (0, 60), flat(0))], [calm_of("einmal_wal_sync_running_seconds", flat(5))]),
    "EinmalSyncSlow": Rule(10 * MINUTE_S, [histogram("einmal_wal_sync_duration_seconds", "", 0.05, 1)]),
    "EinmalProduceSlow": Rule(
        10 * MINUTE_S,
        [histogram("einmal_request_duration_seconds", ',api="Produce"', 0.1, 2.5)],
        # One in a while, and requests that wait on purpose.
        [
            {series: trouble for series, (trouble, _) in histogram("einmal_request_duration_seconds", labels, 0.1, 2.5, a_minute).items()}
            for labels, a_minute in ((',api="Produce"', 30), (',api="Fetch"', 100))
        ],
    ),
    "EinmalEngineSaturated": Rule(10 * MINUTE_S, [of("einmal_engine_busy_seconds_total", rising(58), rising(5))]),
    "EinmalFsyncDisabled": Rule(0, [{'einmal_fsync_disabled{job="einmal-prod",instance="a"}': (flat(1), flat(0))}], [calm_of("einmal_fsync_disabled", flat(1))]),
    "EinmalTransactionTooOld": Rule(
        2 * MINUTE_S,
        [
            of("einmal_txn_oldest_open_age_seconds", (0, 60), flat(1)) | of("einmal_txn_timeout_max_seconds", flat(7200), flat(60)),
            of("einmal_txn_oldest_open_age_seconds", flat(100), flat(1)) | of("einmal_txn_timeout_max_seconds", flat(60), flat(60)),
        ],
        [
            calm_of("einmal_txn_oldest_open_age_seconds", flat(800)) | calm_of("einmal_txn_timeout_max_seconds", flat(600)),
            # It was just begun when the two were read, one after the other.
            calm_of("einmal_txn_oldest_open_age_seconds", flat(1)) | calm_of("einmal_txn_timeout_max_seconds", flat(0)),
        ],
    ),
    "EinmalLsoStalled": Rule(
        2 * MINUTE_S,
        [
            of("einmal_lso_stalled_seconds_max", (0, 60), flat(0)) | of("einmal_partitions_late_txn", flat(0), flat(0)),
            of("einmal_lso_stalled_seconds_max", flat(0), flat(0)) | of("einmal_partitions_late_txn", flat(1), flat(0)),
        ],
    ),
    "EinmalEndStuck": Rule(5 * MINUTE_S, [of("einmal_txn_markers_pending", flat(1), flat(0))]),
    "EinmalOutOfOrder": Rule(0, [of("einmal_producer_out_of_order_total", rising(1), flat(60), ',topic="t"')]),
    "EinmalOutOfOrderStorm": Rule(0, [of("einmal_producer_out_of_order_total", rising(30), flat(1800), ',topic="t"')], [calm_of("einmal_producer_out_of_order_total", rising(9), ',topic="t"')]),
    "EinmalFencingStorm": Rule(10 * MINUTE_S, [of("einmal_txn_fenced_total", rising(30), flat(1800), ',reason="newer_epoch"')]),
    "EinmalAbortRatio": Rule(
        15 * MINUTE_S,
        [
            of("einmal_txn_completed_total", rising(50), flat(3000), ',result="abort",initiator="timeout"')
            | of("einmal_txn_completed_total", rising(100), rising(100), ',result="commit",initiator="client"')
        ],
        # Clients may abort as often as they like.
        [
            calm_of("einmal_txn_completed_total", rising(50), ',result="abort",initiator="client"')
            | calm_of("einmal_txn_completed_total", rising(100), ',result="commit",initiator="client"')
            | calm_of("einmal_txn_completed_total", flat(0), ',result="abort",initiator="timeout"')
        ],
    ),
    "EinmalDuplicateStorm": Rule(
        15 * MINUTE_S,
        [
            of("einmal_producer_batches_total", rising(100), flat(6000), ',outcome="duplicate"')
            | of("einmal_producer_batches_total", rising(900), rising(900), ',outcome="appended"')
        ],
        [calm_of("einmal_producer_batches_total", rising(100), ',outcome="fenced"') | calm_of("einmal_producer_batches_total", flat(0), ',outcome="duplicate"')],
    ),
    "EinmalIdsEvicted": Rule(
        0,
        [of("einmal_dedup_evicted_total", rising(1), flat(60), ',topic="t"')],
        # Of long ago, and of topics whose ids go when their time is over.
        [calm_of("einmal_dedup_evicted_total", flat(5000), ',topic="t"') | calm_of("einmal_dedup_duplicates_total", rising(100), ',topic="t",reason="open"')],
    ),
    "EinmalProducerIdChurn": Rule(15 * MINUTE_S, [of("einmal_producer_ids_allocated_total", rising(1200), rising(1))]),
    "EinmalGroupLagTime": Rule(
        10 * MINUTE_S,
        [of("einmal_group_lag_seconds", (0, 60), flat(400), READ)],
        # Late, and no later; and hardly late.
        [calm_of("einmal_group_lag_seconds", flat(5000), READ), calm_of("einmal_group_lag_seconds", (0, 4), READ)],
    ),
    "EinmalGroupStuck": Rule(
        5 * MINUTE_S,
        [
            of("einmal_group_lag_records", flat(10), flat(10), READ)
            | of("einmal_group_members", flat(2), flat(2), GROUP)
            | of("einmal_group_last_commit_timestamp_seconds", flat(0), (3600, 60), GROUP)
        ],
        # It has read all; nobody reads; it commits.
        [
            {f"{metric}{{{BY}{labels}}}": values for metric, (values, labels) in group.items()}
            for group in (stuck(flat(0), flat(2), flat(0)), stuck(flat(10), flat(0), flat(0)), stuck(flat(10), flat(2), (0, 60)))
        ],
    ),
    "EinmalGroupEmptyWithLag": Rule(
        15 * MINUTE_S,
        [of("einmal_group_members", flat(0), flat(0), GROUP) | of("einmal_group_lag_records", rising(10), flat(600), READ)],
        [
            calm_of("einmal_group_members", flat(1), GROUP) | calm_of("einmal_group_lag_records", rising(10), READ),
            calm_of("einmal_group_members", flat(0), GROUP) | calm_of("einmal_group_lag_records", flat(600), READ),
        ],
    ),
    # Neither reason alone is a storm.
    "EinmalRebalanceStorm": Rule(
        0,
        [
            of("einmal_group_rebalances_total", rising(1), flat(60), ',group="g",reason="join"')
            | of("einmal_group_rebalances_total", rising(1), flat(60), ',group="g",reason="leave"')
        ],
        [calm_of("einmal_group_rebalances_total", (0, 0.5), ',group="g",reason="join"')],
    ),
}


def notation(parts):
    """promtool's notation of (values, minutes), one after the other: (start, step), (start, step, once more after half of the time), or
    none for no sample."""
    words = []
    for values, minutes in parts:
        if values is None:
            words.append(f"_x{minutes}")
            continue
        start, step, *more = values
        half = minutes // 2 if more else minutes
        words.append(f"{start}{'+' if step >= 0 else '-'}{abs(step)}x{half - 1}")
        words += [f"{start + more[0]}x{minutes - half - 1}" for _ in more[:1]]
    return " ".join(words)


def input_series(series, *minutes):
    """Each series over its parts of so many minutes."""
    return [{"series": name, "values": notation(list(zip(parts, minutes)))} for name, parts in series.items()]


def firing(alert, at, is_firing):
    samples = [{"labels": "{}", "value": 1}] if is_firing else []
    expr = f'clamp_max(count(ALERTS{{alertname="{alert}",alertstate="firing"}}), 1)'
    return {"expr": expr, "eval_time": f"{at}m", "exp_samples": samples}


def waited(alert, seconds, at):
    """That it first fired so long after its expression was first true."""
    first = f'min(min_over_time(timestamp(ALERTS{{alertname="{alert}",alertstate="firing"}})[{HOUR}m:{STEP_S}s]))'
    true_since = f'min(min_over_time(ALERTS_FOR_STATE{{alertname="{alert}"}}[{HOUR}m:{STEP_S}s]))'
    return {"expr": f"{first} - {true_since}", "eval_time": f"{at}m", "exp_samples": [{"labels": "{}", "value": seconds}]}


def test(name, series, checks):
    return {"interval": "1m", "name": name, "input_series": series, "promql_expr_test": checks}


def tests(alert, rule):
    """Those of a whole rule."""
    for number, way in enumerate(rule.ways, 1):
        checks = [waited(alert, rule.for_s, HOUR - 1), firing(alert, HOUR - 1, True), firing(alert, 3 * HOUR - 2, False)]
        yield test(f"{alert} fires and ends, way {number}", input_series(way, HOUR, 2 * HOUR), checks)
        health = {name: (good,) for name, (_, good) in way.items()}
        yield test(f"{alert} in health, way {number}", input_series(health, 3 * HOUR), [firing(alert, at, False) for at in (1, HOUR - 1, 3 * HOUR - 2)])
    absent = {f"up{{{BY}}}": (flat(1),)}
    yield test(f"{alert} without its series", input_series(absent, 3 * HOUR), [firing(alert, HOUR, False)])
    for calm in rule.calm:
        series = {name: (values,) for name, values in calm.items()}
        yield test(f"{alert} where all is well", input_series(series, HOUR), [firing(alert, at, False) for at in (HOUR // 2 + 2, HOUR - 1)])


def tests_of_side(alert, rule, side):
    """Those of the rule with one side of its `or` alone."""
    for number, way in enumerate(rule.ways):
        yield test(f"{alert}, side {side + 1} alone, way {number + 1}", input_series(way, HOUR, 2 * HOUR), [firing(alert, HOUR - 1, number == side)])


def sides(expr):
    """What stands between the `or` that are in no parentheses."""
    found, depth, begin = [], 0, 0
    for word in re.finditer(r"[()]|\bor\b", expr):
        depth += {"(": 1, ")": -1}.get(word[0], 0)
        if word[0] == "or" and depth == 0:
            found.append(expr[begin : word.start()])
            begin = word.end()
    return [*found, expr[begin:]]


def blocks(text):
    """{alert: (its lines, its expression)}."""
    found = {}
    for block in re.findall(r"^      - alert: .*\n(?:        .*\n)+", text, re.MULTILINE):
        alert = re.match(r" *- alert: (\w+)", block)[1]
        expr = re.search(r"^        expr: (?:\|\n((?:          .*\n)+)|(.*)\n)", block, re.MULTILINE)
        found[alert] = block, " ".join((expr[1] or expr[2]).split())
    return found


def untried(expr, rule):
    """Label values of the expression that no series has with which it is tried."""
    matchers = re.findall(r'(\w+)(=~?)"([^"]*)"', expr)
    values = {(label, value) for label, sign, text in matchers if ".*" not in text for value in (text.split("|") if sign == "=~" else [text])}
    tried = {pair for way in rule.ways for name in way for pair in re.findall(r'(\w+)="([^"]*)"', name)}
    return sorted(values - tried)


def main():
    rules = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else HERE / "alerts.yml").resolve()
    found = blocks(rules.read_text())
    if set(found) != set(RULES):
        sys.exit(f"rules and cases differ: {sorted(set(found) ^ set(RULES))}")
    runbook = set(re.findall(r"^### (\w+)", (HERE / "README.md").read_text(), re.MULTILINE))
    if set(found) != runbook:
        sys.exit(f"rules and runbook differ: {sorted(set(found) ^ runbook)}")
    subprocess.run(["promtool", "check", "rules", str(rules)], check=True)
    count, files = 0, []
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)

        def put(name, rules_text, of_rule):
            """A file of tests beside the one rule that they are of: each evaluates all that it is given."""
            (work / f"{name}.rules").write_text(rules_text)
            # JSON is YAML.
            content = {"rule_files": [f"{name}.rules"], "evaluation_interval": f"{STEP_S}s", "tests": of_rule}
            (work / f"{name}.yml").write_text(json.dumps(content))
            files.append(str(work / f"{name}.yml"))
            return len(of_rule)

        for alert, (block, expr) in found.items():
            rule = RULES[alert]
            if untried(expr, rule):
                sys.exit(f"{alert} is not tried with {untried(expr, rule)}")
            count += put(alert, f"groups:\n  - name: alone\n    rules:\n{block}", list(tests(alert, rule)))
            parts = sides(expr)
            if len(parts) > 1 and len(parts) != len(rule.ways):
                sys.exit(f"{alert} has {len(parts)} sides and {len(rule.ways)} ways to fire")
            for side, part in enumerate(parts if len(parts) > 1 else []):
                alone = {"groups": [{"name": "alone", "rules": [{"alert": alert, "expr": part}]}]}
                count += put(f"{alert}-{side}", json.dumps(alone), list(tests_of_side(alert, rule, side)))
        ran = subprocess.run(["promtool", "test", "rules", *files], capture_output=True, text=True)
        if ran.returncode != 0:
            sys.exit(ran.stdout + ran.stderr)
    print(f"{count} cases of {len(RULES)} rules")


if __name__ == "__main__":
    main()
