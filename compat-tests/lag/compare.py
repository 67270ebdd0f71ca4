"""compare.py: groups with a known lag, and what kafka_exporter, Burrow, `einmal group lag` and `/metrics` say of it.

Ends with 1 where two of them differ, or one is not there. Burrow is only checked to be as far as README.md says: it asks for ends with
ListOffsets v0, which Kafka 4 does not answer either (KIP-896), and reads groups from records in `__consumer_offsets` alone."""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import zookeeper
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

HERE = pathlib.Path(__file__).parent
PATIENCE_S = 20
# What Burrow logs when the broker closes the connection on a version that it does not know.
REFUSED = "failed to fetch offsets from broker"
TOPICS = {"orders": 3, "clicks": 2, "payments": 1}
# Records of each partition. A marker of a transaction has an offset, too.
FILL = {("orders", 0): 100, ("orders", 1): 50, ("orders", 2): 7, ("clicks", 0): 20, ("clicks", 1): 0, ("payments", 0): 10}
MARKERS = {("payments", 0): 2}
# What groups have committed: one that nobody belongs to, one that is done, one with a member.
COMMITTED = {
    "idle": {("orders", 0): 40, ("orders", 1): 50, ("clicks", 0): 1, ("payments", 0): 0},
    "done": {("orders", 0): 100, ("orders", 1): 50, ("orders", 2): 7},
    "live": {("clicks", 0): 5, ("clicks", 1): 0},
}


def lag():
    ends = {at: count + MARKERS.get(at, 0) for at, count in FILL.items()}
    return {(group, *at): ends[at] - offset for group, offsets in COMMITTED.items() for at, offset in offsets.items()}


def until(what, find, log=None):
    """What `find` answers as soon as it is something; else ends, with what the log says last."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = find()
        if found:
            return found
        time.sleep(0.1)
    if log:
        print("\n".join(log.read_text().splitlines()[-20:]))
    sys.exit(f"waited {PATIENCE_S} s for {what}")


def get(url):
    """The body, or none if nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()
    except OSError:
        return None


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def fill(bootstrap):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for made in admin.create_topics([NewTopic(topic, count, 1) for topic, count in TOPICS.items()]).values():
        made.result()
    plain = Producer({"bootstrap.servers": bootstrap})
    transactional = Producer({"bootstrap.servers": bootstrap, "transactional.id": "lag"})
    transactional.init_transactions()
    for (topic, partition), count in FILL.items():
        if (topic, partition) not in MARKERS:
            for number in range(count):
                plain.produce(topic, value=str(number), partition=partition)
            continue
        # Half of them committed, half aborted: both count until readers are past them.
        for end in (transactional.commit_transaction, transactional.abort_transaction):
            transactional.begin_transaction()
            for number in range(count // 2):
                transactional.produce(topic, value=str(number), partition=partition)
            transactional.flush()
            end()
    plain.flush()
    for group, offsets in COMMITTED.items():
        consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
        consumer.commit(offsets=[TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()], asynchronous=False)
        consumer.close()


def live_member(bootstrap):
    """A member of the group `live` that is alive and does not go on."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "live", "enable.auto.commit": False})
    consumer.subscribe(["clicks"])
    until("an assignment", lambda: consumer.poll(0.1) is None and consumer.assignment())
    consumer.pause(consumer.assignment())
    return consumer


def of_einmal(bootstrap):
    said = subprocess.run([os.environ["EINMAL"], "group", "lag", *COMMITTED, "--bootstrap", bootstrap, "-o", "json"], check=True, capture_output=True, text=True).stdout
    return {(row["group"], row["topic"], row["partition"]): row["lag"] for row in json.loads(said)}


def of_exposition(text):
    found = {}
    for line in text.splitlines():
        if line.startswith("kafka_consumergroup_lag{"):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
            found[labels["consumergroup"], labels["topic"], int(labels["partition"])] = int(float(line.rsplit(" ", 1)[1]))
    return found


def members_of(text):
    return {group: int(float(count)) for group, count in re.findall(r'^kafka_consumergroup_members\{.*?consumergroup="([^"]*)".*?\} (\S+)', text, re.MULTILINE)}


def of_kafka_exporter(program, bootstrap):
    """Its exposition."""
    port = free_port()
    running = subprocess.Popen([program, f"--kafka.server={bootstrap}", f"--web.listen-address=127.0.0.1:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return until("kafka_exporter", lambda: get(f"http://127.0.0.1:{port}/metrics"))
    finally:
        running.terminate()
        running.wait()


def of_burrow(program, bootstrap, zookeeper, work):
    """Topics, lag by groups, and whether its questions for ends of partitions came to nothing."""
    port = free_port()
    (work / "burrow.toml").write_text(f"""
[zookeeper]
servers = ["{zookeeper}"]
[general]
pidfile = "{work}/burrow.pid"
[logging]
filename = "{work}/burrow.log"
level = "info"
[client-profile.here]
client-id = "burrow"
kafka-version = "2.0.0"
[cluster.here]
class-name = "kafka"
servers = ["{bootstrap}"]
client-profile = "here"
topic-refresh = 5
offset-refresh = 1
[consumer.here]
class-name = "kafka"
cluster = "here"
servers = ["{bootstrap}"]
client-profile = "here"
[httpserver.default]
address = "127.0.0.1:{port}"
[storage.default]
class-name = "inmemory"
intervals = 2
min-distance = 0
""")
    running = subprocess.Popen([program, "--config-dir", str(work)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}/v3/kafka/here"

    def ask(path):
        answer = json.loads(get(f"{base}/{path}") or '{"error": true}')
        return None if answer["error"] else answer

    try:
        until("Burrow", lambda: ask("topic"), work / "burrow.log")
        until("Burrow's first look", lambda: REFUSED in (work / "burrow.log").read_text() or ask("topic/orders"), work / "burrow.log")
        lags = {}
        for group in [group for group in ask("consumer")["consumers"] if group in COMMITTED]:
            for partition in ask(f"consumer/{group}/lag")["status"]["partitions"]:
                lags[group, partition["topic"], partition["partition"]] = partition["current_lag"]
        return set(ask("topic")["topics"]), lags, REFUSED in (work / "burrow.log").read_text()
    finally:
        running.terminate()
        running.wait()


def differences(name, found, expected):
    for key in sorted(found.keys() | expected.keys()):
        if found.get(key) != expected.get(key):
            yield f"{name}: {key} is {found.get(key)}, expected {expected.get(key)}"


def judge(bootstrap, dir, work):
    expected = lag()
    wrong = list(differences("einmal group lag", of_einmal(bootstrap), expected))
    own = subprocess.run(["../broker", "metrics", dir], cwd=HERE, check=True, capture_output=True, text=True).stdout
    wrong += differences("/metrics", of_exposition(own), expected)
    print(f"einmal group lag and /metrics: {len(expected)} partitions of {len(COMMITTED)} groups, {sum(expected.values())} records behind")

    exporter = os.environ.get("EXPORTER") or shutil.which("kafka_exporter")
    if exporter:
        text = of_kafka_exporter(exporter, bootstrap)
        # It says -1 of the other partitions of topics in which a group has committed something.
        told = {at: records for at, records in of_exposition(text).items() if records != -1}
        wrong += differences("kafka_exporter", told, expected)
        wrong += differences("kafka_exporter, members", members_of(text), {"idle": 0, "done": 0, "live": 1})
        print(f"kafka_exporter: {len(told)} partitions, {sum(told.values())} records behind")
    else:
        wrong.append("kafka_exporter is not there: put it on the path, or name it in EXPORTER")

    with zookeeper.running() as address:
        topics, lags, is_refused = of_burrow(os.environ.get("BURROW") or shutil.which("Burrow"), bootstrap, address, work)
    print(f"Burrow: {len(topics)} topics, {len({group for group, _, _ in lags})} groups; its ListOffsets v0 is {'refused' if is_refused else 'answered'}")
    # One that learns to ask newer brokers, or an einmal with records in __consumer_offsets, is news for README.md.
    if not is_refused or topics or lags:
        wrong.append(f"Burrow is not where README.md says: {topics} {lags}")
    return wrong


def main():
    with tempfile.TemporaryDirectory() as work:
        dir = f"{work}/broker"
        bootstrap = subprocess.run(["../broker", "start", dir], cwd=HERE, check=True, capture_output=True, text=True).stdout.strip()
        try:
            fill(bootstrap)
            member = live_member(bootstrap)
            try:
                wrong = judge(bootstrap, dir, pathlib.Path(work))
            finally:
                member.close()
        finally:
            subprocess.run(["../broker", "stop", dir], cwd=HERE, check=True)
    print("\n".join(wrong) or "all agree")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
