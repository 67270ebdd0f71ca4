#!/usr/bin/env python3
"""einmal beside Apache Kafka on this machine: one row a figure, the durability class on each row.

    side_by_side.py [--repetitions N] [--records N] [--only ROW[,ROW]] [--out DIR]

Rows: start, idle, produce-D1, produce-D2, partitions. D1: acknowledged from the page cache, Kafka's default. D2: acknowledged
after an fsync, einmal's default, in Kafka `log.flush.interval.messages=1`. Repetitions are interleaved, einmal on a fresh data
directory each time, Kafka warm on a fresh topic. Figures are medians with their range; a ratio is einmal ÷ Kafka, repetition by
repetition. CPU is the broker process's user and system time. Without `reference-kafka` only einmal's column is measured.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import kafka_wire
from brokers import REPOSITORY, Einmal, Kafka, cpu_seconds, producer_performance, reference_kafka, rss_mb

RECORD_BYTES = 1024
PARTITIONS = 6


def say(words):
    print(words, file=sys.stderr, flush=True)


def measured_start(repetitions):
    """Milliseconds from exec to the first accepted produce on a data directory that has topics and a clean stop behind it."""
    figures = []
    broker = Einmal("D2")
    try:
        broker.start()
        kafka_wire.Connection(broker.port).create_topic("start", 1)
        kafka_wire.first_produce(broker.port, "start", 10)
        broker.stop()
        for _ in range(max(5, repetitions)):
            began = broker.start()
            figures.append((kafka_wire.first_produce(broker.port, "start", 10) - began) * 1000)
            broker.stop()
    finally:
        broker.remove()
    kafka = []
    if reference_kafka():
        other = Kafka("D2")
        try:
            other.start()
            kafka_wire.Connection(other.port).create_topic("start", 1)
            kafka_wire.first_produce(other.port, "start", 30)
            for _ in range(2):
                began = other.restart()
                kafka.append((kafka_wire.first_produce(other.port, "start", 60) - began) * 1000)
        finally:
            other.remove()
    return [row("exec to first accepted produce", "ms", "D2", figures, kafka, goal="≤ 50 ms", reached=statistics.median(figures) <= 50)]


def measured_idle(repetitions):
    """Resident memory after the start, with one topic, nothing connected."""
    figures, kafka = [], []
    for _ in range(repetitions):
        broker = Einmal("D2")
        try:
            broker.start()
            kafka_wire.Connection(broker.port).create_topic("idle", 1)
            time.sleep(2)
            figures.append(rss_mb(broker.pid))
        finally:
            broker.remove()
    if reference_kafka():
        other = Kafka("D2")
        try:
            other.start()
            time.sleep(2)
            kafka.append(rss_mb(other.pid))
        finally:
            other.remove()
    return [row("idle RSS", "MB", "–", figures, kafka, goal="≤ 30 MB", reached=statistics.median(figures) <= 30)]


def measured_produce(durability, repetitions, records, goal):
    """Broker CPU-seconds per GB of 1 KiB records, six partitions, Kafka's own ProducerPerformance."""
    if not reference_kafka():
        say("  skipped: ProducerPerformance comes with reference-kafka, which is not here")
        return []
    cpu, rate, kafka_cpu, kafka_rate = [], [], [], []
    gigabytes = records * RECORD_BYTES / 1e9
    other = Kafka(durability)
    try:
        other.start()
        kafka_wire.Connection(other.port).create_topic("warm", PARTITIONS)
        kafka_wire.first_produce(other.port, "warm", 30)
        for turn in range(3 if durability == "D1" else 2):
            say(f"  warming Kafka up, {turn + 1}")
            producer_performance(other.port, "warm", records, RECORD_BYTES)
        for turn in range(repetitions):
            broker = Einmal(durability)
            try:
                broker.start()
                for under_test, cpus, rates in ((broker, cpu, rate), (other, kafka_cpu, kafka_rate)):
                    topic = f"produce-{turn}"
                    kafka_wire.Connection(under_test.port).create_topic(topic, PARTITIONS)
                    kafka_wire.first_produce(under_test.port, topic, 30)
                    before = cpu_seconds(under_test.pid)
                    rates.append(producer_performance(under_test.port, topic, records, RECORD_BYTES))
                    cpus.append((cpu_seconds(under_test.pid) - before) / gigabytes)
                    say(f"  repetition {turn + 1}, {under_test.name}: {cpus[-1]:.2f} CPU-s/GB, {rates[-1]:.0f} records/s")
            finally:
                broker.remove()
    finally:
        other.remove()
    ratio = statistics.median(cpu) / statistics.median(kafka_cpu)
    return [
        row("produce 1 KiB, 6 partitions: broker CPU", "CPU-s/GB", durability, cpu, kafka_cpu, goal=f"≤ {goal} × Kafka", reached=ratio <= goal),
        row("produce 1 KiB, 6 partitions: rate", "records/s", durability, rate, kafka_rate),
    ]


def measured_partitions(repetitions, count=10_000):
    """Creates, produces one record to, and reads back 10,000 partitions; resident memory at the end."""
    memory, seconds = [], []
    for _ in range(repetitions):
        broker = Einmal("D2")
        try:
            broker.start()
            connection = kafka_wire.Connection(broker.port, 120)
            began = time.monotonic()
            error = connection.create_topic("many", count)
            assert error == 0, f"creating {count} partitions was answered {error}"
            now = int(time.time() * 1000)
            batch = kafka_wire.record_batch(b"x" * RECORD_BYTES, now)
            for first in range(0, count, 1000):
                answers = connection.produce("many", {partition: batch for partition in range(first, first + 1000)})
                assert all(answer == (0, 0) for answer in answers.values()) and len(answers) == 1000, "a produce was refused"
            missing = set(range(count))
            while missing:
                some = sorted(missing)[:1000]
                got = {p for p, (e, high, size) in connection.fetch_sizes("many", some).items() if e == 0 and high == 1 and size == len(batch)}
                assert got, "a fetch brought nothing"
                missing -= got
            seconds.append(time.monotonic() - began)
            memory.append(rss_mb(broker.pid))
        finally:
            broker.remove()
    return [
        row("10,000 partitions created, produced to, read back: RSS", "MB", "D2", memory, [], goal="< 300 MB", reached=statistics.median(memory) < 300),
        row("10,000 partitions created, produced to, read back: time", "s", "D2", seconds, []),
    ]


def row(what, unit, durability, einmal, kafka, goal=None, reached=None):
    return {"what": what, "unit": unit, "durability": durability, "einmal": einmal, "kafka": kafka, "goal": goal, "reached": reached}


def spread(figures):
    if not figures:
        return "–"
    digits = 0 if statistics.median(figures) >= 100 else 2
    return f"{statistics.median(figures):.{digits}f} ({min(figures):.{digits}f}–{max(figures):.{digits}f})"


def ratio(row):
    if not row["kafka"]:
        return "–"
    middle = statistics.median(row["einmal"]) / statistics.median(row["kafka"])
    pairs = [a / b for a, b in zip(row["einmal"], row["kafka"])]
    return f"{middle:.3g} ({min(pairs):.3g}–{max(pairs):.3g})"


def table(rows):
    lines = ["| What | Class | einmal | Apache Kafka 4.3.1 | einmal ÷ Kafka | Goal |", "|---|---|---|---|---|---|"]
    for each in rows:
        goal = "–" if each["goal"] is None else f"{each['goal']}: {'reached' if each['reached'] else 'missed'}"
        lines.append(f"| {each['what']}, {each['unit']} | {each['durability']} | {spread(each['einmal'])} | {spread(each['kafka'])} | {ratio(each)} | {goal} |")
    return "\n".join(lines)


def machine():
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "unknown")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True).stdout.strip()
    return {"date": time.strftime("%Y-%m-%d"), "commit": commit, "cpu": model, "cores": os.cpu_count(), "kernel": platform.release()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--only", default="start,idle,produce-D1,produce-D2,partitions")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "bench/results")
    options = parser.parse_args()
    measurements = {
        "start": lambda: measured_start(options.repetitions),
        "idle": lambda: measured_idle(options.repetitions),
        "produce-D1": lambda: measured_produce("D1", options.repetitions, options.records, 0.5),
        "produce-D2": lambda: measured_produce("D2", options.repetitions, options.records // 2, 0.2),
        "partitions": lambda: measured_partitions(options.repetitions),
    }
    rows = []
    for name in options.only.split(","):
        say(f"{name}: {measurements[name].__doc__ or ''}".rstrip(": "))
        rows += measurements[name]()
    where = machine()
    options.out.mkdir(parents=True, exist_ok=True)
    stem = f"{where['date']}-{where['commit']}"
    (options.out / f"{stem}.json").write_text(json.dumps({"machine": where, "rows": rows}, indent=1) + "\n")
    head = f"Measured {where['date']} at commit {where['commit']} on {where['cores']} cores ({where['cpu']}), Linux {where['kernel']}; client and broker share the cores."
    page = f"{head} Medians with their range, {options.repetitions} interleaved repetitions.\n\n{table(rows)}\n"
    (options.out / f"{stem}.md").write_text(page)
    print(page)
    missed = [each["what"] for each in rows if each["reached"] is False]
    if missed:
        say(f"missed: {'; '.join(missed)}")


if __name__ == "__main__":
    main()
