#!/usr/bin/env python3
"""live.py [--seconds N] [--pictures DIR]: a broker under load, scraped by a real Prometheus, which then evaluates every
expression of every panel and rule. Fails on an error, on a panel without data, and on a metric that does not exist.

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
    known = set(get(f"{prometheus.url}/api/v1/label/__name__/values")["data"])
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
                wrong += [f"{where}: no metric {name}" for name in metrics_of(target["expr"]) - known]
    rules = get(f"{prometheus.url}/api/v1/rules")["data"]["groups"]
    for group in rules:
        for rule in group["rules"]:
            count += 1
            if rule["health"] != "ok":
                wrong.append(f"alerts.yml: {rule['name']}: {rule}")
            wrong += [f"alerts.yml: {rule['name']}: no metric {name}" for name in metrics_of(rule["query"]) - known]
            if rule["state"] == "firing":
                print(f"note: {rule['name']} fires")
    return wrong, count


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
