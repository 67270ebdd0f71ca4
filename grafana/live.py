#!/usr/bin/env python3
"""live.py [--seconds N] [--pictures DIR]: a broker under load, scraped by a real Prometheus, which then evaluates every
expression of every panel and rule. Fails on an error, on a panel without data, and on a metric, a label or a value of a label that no
series has: behind `or vector(0)` these look like nothing that happened.

With --pictures, draws each board as it stands then. EINMAL is the binary; prometheus and promtool must be on the path."""

import argparse
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).parent
REPO = HERE.parent
MANY = 600


def get(url, **parameters):
    query = urllib.parse.urlencode(parameters)
    try:
        with urllib.request.urlopen(f"{url}?{query}", timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return json.load(error)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def filled_in(expr, interval):
    """With Grafana's variables as they are when all is chosen."""
    for name, value in {"__rate_interval": f"{interval}s", "__interval": f"{interval}s", "__range": "10m"}.items():
        expr = expr.replace(f"${name}", value)
    return re.sub(r"\$(job|instance|topic|group|api)\b", ".*", expr)


def metrics_of(expr):
    return set(re.findall(r"\b(?:einmal|kafka|process)_[a-z0-9_]+", expr)) - {"kafka_exporter"}


# Values of labels by family and label that no series has under this load, and why. All values where there is none named.
UNSEEN = {
    ("einmal_metrics_folded", None): (None, "nothing is folded with few topics and groups; the collector's own tests fold"),
    ("einmal_request_errors_total", "error"): (
        {"KAFKA_STORAGE_ERROR", "UNKNOWN_SERVER_ERROR", "COORDINATOR_LOAD_IN_PROGRESS", "COORDINATOR_NOT_AVAILABLE", "REQUEST_TIMED_OUT"},
        "a sound broker answers none of them; tests/readme.rs knows their names",
    ),
}
# What Prometheus gives to each series, or to those of histograms.
GIVEN_LABELS = {"job", "instance", "le"}


def matchers_of(expr):
    """(family, label, value) of each literal value in a selector of the expression, whether it is wanted or not."""
    for name, matchers in re.findall(r"\b([a-z_][a-z0-9_]*)\{([^}]*)\}", expr):
        for label, sign, text in re.findall(r'(\w+)(=~|!=|!~|=)"([^"]*)"', matchers):
            for value in text.split("|") if "~" in sign else [text]:
                if value and not re.search(r"[.*+$\[(]", value):
                    yield name, label, value


def labels_of(expr):
    """Labels by which it groups or joins."""
    return {label for labels in re.findall(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)", expr) for label in re.split(r"\W+", labels) if label} - GIVEN_LABELS


class Seen:
    """Which series there have been."""

    def __init__(self, prometheus):
        self.prometheus, self.by_name, self.used = prometheus, {}, set()

    def values(self, name, label):
        if name not in self.by_name:
            self.by_name[name] = get(f"{self.prometheus.url}/api/v1/series", **{"match[]": name})["data"]
        return {series[label] for series in self.by_name[name] if label in series}

    def is_excused(self, name, label, value):
        family = re.sub(r"_(bucket|sum|count)$", "", name)
        values, _ = UNSEEN.get((family, label), (set(), None))
        if (family, None) in UNSEEN or values is None or value in values:
            self.used.add((family, None if (family, None) in UNSEEN else label))
            return True
        return False

    def wrong(self, expr):
        """What the expression names and nobody has."""
        names = metrics_of(expr)
        for name in names:
            if not self.values(name, "__name__") and not self.is_excused(name, "__name__", name):
                yield f"no metric {name}"
        for name, label, value in matchers_of(expr):
            if value not in self.values(name, label) and not self.is_excused(name, label, value):
                yield f'no series {name}{{{label}="{value}"}}'
        for label in labels_of(expr):
            if not any(self.values(name, label) for name in names):
                yield f"no label {label}"

    def stale(self):
        """What is excused and need not be."""
        for (family, label), (values, _) in UNSEEN.items():
            there = self.values(family, label or "__name__") & values if values else self.values(family, "__name__")
            if there or (family, label) not in self.used:
                yield f"{family} {label or ''} is in UNSEEN, and " + (f"{sorted(there)} is there" if there else "no expression asks for it")


class Prometheus:
    def __init__(self, work, target):
        self.url = f"http://127.0.0.1:{free_port()}"
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "5s"},
            "rule_files": [str(HERE / "alerts.yml")],
            "scrape_configs": [{"job_name": "einmal", "static_configs": [{"targets": [target]}]}],
        }
        # JSON is YAML.
        (work / "prometheus.yml").write_text(json.dumps(config))
        subprocess.run(["promtool", "check", "config", str(work / "prometheus.yml")], check=True, stdout=subprocess.DEVNULL)
        log = open(work / "prometheus.log", "w")
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={work}/prometheus.yml", f"--storage.tsdb.path={work}/tsdb", f"--web.listen-address={self.url[7:]}", "--web.cors.origin=.*"],
            stdout=log,
            stderr=log,
        )
        for _ in range(MANY):
            try:
                urllib.request.urlopen(f"{self.url}/-/ready", timeout=1)
                return
            except OSError:
                time.sleep(0.1)
        sys.exit("Prometheus does not start:\n" + (work / "prometheus.log").read_text())

    def stop(self):
        self.process.terminate()
        self.process.wait()


def check(prometheus, interval):
    """What is wrong, one line each, and how many expressions were evaluated."""
    wrong, count = [], 0
    seen = Seen(prometheus)
    for path in sorted((HERE / "dashboards").glob("*.json")):
        board = json.loads(path.read_text())
        for variable in board["templating"]["list"]:
            query = re.fullmatch(r"label_values\((.*), (\w+)\)", variable.get("definition", ""))
            if query:
                answer = get(f"{prometheus.url}/api/v1/label/{query[2]}/values", **{"match[]": filled_in(query[1], interval)})
                if not answer.get("data"):
                    wrong.append(f"{path.name}: variable {variable['name']} has no values: {answer}")
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                count += 1
                where = f"{path.name}: {panel['title']}: {target['expr']}"
                answer = get(f"{prometheus.url}/api/v1/query", query=filled_in(target["expr"], interval))
                if answer["status"] != "success":
                    wrong.append(f"{where}: {answer}")
                elif not answer["data"]["result"]:
                    wrong.append(f"{where}: no data")
                wrong += [f"{where}: {what}" for what in seen.wrong(filled_in(target["expr"], interval))]
    rules = get(f"{prometheus.url}/api/v1/rules")["data"]["groups"]
    for group in rules:
        for rule in group["rules"]:
            count += 1
            if rule["health"] != "ok":
                wrong.append(f"alerts.yml: {rule['name']}: {rule}")
            wrong += [f"alerts.yml: {rule['name']}: {what}" for what in seen.wrong(rule["query"])]
            if rule["state"] == "firing":
                print(f"note: {rule['name']} fires")
    return wrong + list(seen.stale()), count


# Families that are there from the start, and that this load moves.
MOVED = {
    "einmal_bootstrap_only_connections_total": "",
    "einmal_dedup_duplicates_total": 'topic="red-packets",reason="open"',
    "einmal_dedup_live_ids": 'topic="red-packets"',
    "einmal_dedup_scan_seconds_count": "",
    "einmal_client_software": 'name="confluent-kafka-python"',
    "einmal_group_commits_total": 'result="refused"',
    "einmal_group_rebalances_total": 'reason="join"',
    "einmal_request_phase_seconds_count": 'api="Produce",phase="send"',
    "einmal_runtime_poll_delay_seconds_count": "",
    "einmal_topic_records_out_total": 'topic="payments"',
    "einmal_txn_records_sum": "",
}


def still(page):
    """Which of them have not moved, by what was scraped under load and after it."""
    samples = [line.rsplit(" ", 1) for line in page.splitlines() if line and not line.startswith("#")]
    moved = lambda name, labels: any(series.split("{")[0] == name and labels in series and float(value) > 0 for series, value in samples)
    return [f"{name} {labels}: has not moved" for name, labels in MOVED.items() if not moved(name, labels)]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--seconds", type=float, default=40)
    arguments.add_argument("--pictures", type=pathlib.Path)
    arguments = arguments.parse_args()
    broker = REPO / "compat-tests" / "broker"
    python = subprocess.run([REPO / "compat-tests" / "venv", "confluent-kafka==2.16.1"], check=True, capture_output=True, text=True).stdout.strip()
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        directory = work / "broker"
        bootstrap = subprocess.run([broker, "start", directory], check=True, capture_output=True, text=True).stdout.strip()
        admin = re.search(r"listening admin http://(\S+)", (directory / "out").read_text())[1]
        prometheus = None
        try:
            prometheus = Prometheus(work, admin)
            # Drawing takes its time, and what is under way should be in the pictures.
            lasting = arguments.seconds + (600 if arguments.pictures else 0)
            load = subprocess.Popen([python, HERE / "load.py", bootstrap, str(lasting)], stderr=subprocess.DEVNULL if not os.environ.get("VERBOSE") else None)
            # While the load is on: some panels show what is under way.
            time.sleep(arguments.seconds - 4)
            wrong, count = check(prometheus, 15)
            page = urllib.request.urlopen(f"http://{admin}/metrics").read()
            # Names of other exporters are as they are.
            ours = b"".join(line for line in page.splitlines(True) if b"kafka_" not in line[:20])
            linted = subprocess.run(["promtool", "check", "metrics"], input=ours, capture_output=True)
            wrong += [f"promtool check metrics: {line}" for line in linted.stderr.decode().splitlines()]
            if arguments.pictures:
                import pictures

                pictures.draw(prometheus.url, f"http://{admin}", arguments.pictures, max(1, int(arguments.seconds / 60)))
                load.terminate()
                load.wait()
            elif load.wait() != 0:
                wrong.append("the load failed")
            else:
                wrong += still((page + urllib.request.urlopen(f"http://{admin}/metrics").read()).decode())
        finally:
            if prometheus:
                prometheus.stop()
            subprocess.run([broker, "stop", directory], check=True)
    for line in wrong:
        print(line)
    if wrong or not count:
        sys.exit(f"{len(wrong)} of {count} expressions are wrong")
    print(f"{count} expressions of panels and rules have data or are silent as they should")


if __name__ == "__main__":
    main()
