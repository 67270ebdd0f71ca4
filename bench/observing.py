#!/usr/bin/env python3
"""observing.py [--rounds N]: what it costs to watch the broker, on the machine as it is: medians and ranges of a few minutes.

O1 a scrape with 1,000 topics of 6 partitions and 100 groups, which all have committed something: time, and CPU of the broker.
O2 the page at `/` with the same.  O3 `einmal doctor` against a healthy broker without them.
Goals: O1 100 ms, and 150 ms of CPU, which is 1 % of a core at a scrape in 15 s; O2 50 ms; O3 3 s."""

import argparse
import statistics
import struct
import subprocess
import time
import urllib.request

import kafka_wire
import proc
from brokers import Einmal, einmal_binary

TOPICS, PARTITIONS, GROUPS = 1000, 6, 100
# Topics that each group has read.
TOPICS_READ = 3


def commit(connection, group, topics):
    """OffsetCommit v2 of offset 0 in all partitions, for a group without members."""
    body = kafka_wire.text(group) + struct.pack(">i", -1) + kafka_wire.text("") + struct.pack(">qi", -1, len(topics))
    for topic in topics:
        body += kafka_wire.text(topic) + struct.pack(">i", PARTITIONS)
        body += b"".join(struct.pack(">iq", partition, 0) + kafka_wire.text("") for partition in range(PARTITIONS))
    connection.call(8, 2, body)


def fill(broker):
    with kafka_wire.Connection(broker.port, 120) as connection:
        connection.create_topics({f"topic-{number}": {} for number in range(TOPICS)}, PARTITIONS)
        # One record in each partition, so that each group lags and each topic has an age.
        batch = kafka_wire.record_batch(b"x" * 100, int(time.time() * 1000))
        for number in range(TOPICS):
            connection.produce(f"topic-{number}", {partition: batch for partition in range(PARTITIONS)}, acks=1)
        for group in range(GROUPS):
            commit(connection, f"group-{group}", [f"topic-{(group * TOPICS_READ + number) % TOPICS}" for number in range(TOPICS_READ)])


def check(broker):
    """That there is something to see."""
    with urllib.request.urlopen(broker.admin + "/metrics") as answer:
        lines = answer.read().decode().splitlines()
    lags = [line for line in lines if line.startswith("einmal_group_lag_records{")]
    assert len(lags) == GROUPS * TOPICS_READ and all(line.endswith(f" {PARTITIONS}") for line in lags), lags[:3]


def rounds(broker, path, count):
    """(seconds, CPU seconds of the broker, bytes) of each."""
    found = []
    for _ in range(count + 1):
        began, cpu = time.monotonic(), proc.cpu_seconds(broker.pid)
        with urllib.request.urlopen(broker.admin + path) as answer:
            size = len(answer.read())
        found.append((time.monotonic() - began, proc.cpu_seconds(broker.pid) - cpu, size))
    # The first is cold.
    return found[1:]


def told(name, goal, values, unit):
    middle = statistics.median(values)
    print(f"| {name} | {goal} | {middle:.1f} {unit} | {min(values):.1f}–{max(values):.1f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50)
    count = parser.parse_args().rounds
    print("| what | goal | median | range |\n|---|---|---|---|")
    broker = Einmal("D2")
    try:
        broker.start()
        doctor = []
        for _ in range(max(3, count // 10)):
            began = time.monotonic()
            subprocess.run([einmal_binary(), "doctor", "--bootstrap", f"127.0.0.1:{broker.port}"], check=True, stdout=subprocess.DEVNULL)
            doctor.append((time.monotonic() - began) * 1000)
        fill(broker)
        check(broker)
        scrapes = rounds(broker, "/metrics", count)
        pages = rounds(broker, "/", count)
    finally:
        broker.remove()
    told(f"O1 scrape, {scrapes[0][2] / 1e6:.1f} MB", "≤ 100 ms", [seconds * 1000 for seconds, _, _ in scrapes], "ms")
    cpu = sum(cpu for _, cpu, _ in scrapes) / count
    print(f"| O1 CPU of a scrape, at one in 15 s | ≤ 1 % of a core | {cpu / 15:.2%} ({cpu * 1000:.0f} ms, mean) | |")
    told("O2 page", "≤ 50 ms", [seconds * 1000 for seconds, _, _ in pages], "ms")
    told("O3 doctor", "≤ 3,000 ms", doctor, "ms")


if __name__ == "__main__":
    main()
