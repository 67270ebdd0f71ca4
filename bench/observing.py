"""Workloads of those who watch (`/metrics`, the page at `/`, `einmal doctor`), and what counting costs on the way of records. Functions of a
[`Turn`](turn.py), as those of workloads.py."""
import statistics
import struct
import subprocess
import time
import urllib.request

import clients
import kafka_wire
import proc
from brokers import einmal_binary
from forms import PARTITIONS, RECORD_BYTES

# Of the topics that are watched, and those that each group has read.
PARTITIONS_EACH = 6
TOPICS_READ = 3
# Prometheus' own default is a minute; operators take this.
SCRAPE_INTERVAL_S = 15
# Of each load with and without metrics, and records that are read, at the most: two brokers' logs lie beside one another.
LOAD_MAX_S = 2.5
READ_MAX = 1_000_000


def scrape(turn):
    """`/metrics` with many topics and groups: time, and CPU of the broker at a scrape in 15 s."""
    with turn.own_broker() as broker:
        _fill(broker, turn.form)
        with turn.interval(broker):
            taken = _asked(broker, "/metrics", turn.form.scrapes)
        cpu_s = sum(cpu_s for _, cpu_s, _ in taken) / len(taken)
        return {"ms": _median_ms(taken), "cpu_percent": cpu_s / SCRAPE_INTERVAL_S * 100, "mb": taken[0][2] / 1e6}


def page(turn):
    """The page at `/` with the same."""
    with turn.own_broker() as broker:
        _fill(broker, turn.form)
        with turn.interval(broker):
            taken = _asked(broker, "/", turn.form.scrapes)
        return {"ms": _median_ms(taken)}


def doctor(turn):
    """`einmal doctor` against a healthy broker without topics, its start included."""
    times = []
    with turn.own_broker() as broker, turn.interval(broker):
        for _ in range(max(turn.form.scrapes // 10, 1)):
            began = time.monotonic()
            subprocess.run([einmal_binary(), "doctor", "--bootstrap", f"127.0.0.1:{broker.port}"], check=True, stdout=subprocess.DEVNULL)
            times.append(time.monotonic() - began)
    return {"s": statistics.median(times)}


def counting(turn):
    """The same loads on two brokers of one binary, of which one counts nothing, in turns, so that both meet the same machine."""
    load = {"record_size": RECORD_BYTES, "connections": 1, "in_flight": 5}
    produced, read = turn.topic, f"{turn.topic}-read"
    duration = min(turn.form.seconds / 2, LOAD_MAX_S)
    with turn.own_broker() as counts, turn.own_broker("einmal.metrics.level=off") as counts_not:
        brokers = {True: counts, False: counts_not}
        work = {"produce": lambda broker: clients.produce(broker.port, produced, **load, duration=duration), "consume": lambda broker: clients.consume(broker.port, read)}
        for broker in brokers.values():
            for topic in (produced, read):
                kafka_wire.create_topic(broker.port, topic, PARTITIONS)
            # Before the loads that count, for both.
            clients.produce(broker.port, read, **load, records=min(turn.form.fill_records, READ_MAX))
        assert _has_counted(counts) and not _has_counted(counts_not), "both brokers count, or none does"
        ratios = {}
        for kind, run in work.items():
            records, cpu_s = ({each: 0 for each in brokers} for _ in range(2))
            for is_counting in (False, True, True, False) * 2:
                broker = brokers[is_counting]
                with turn.interval(broker, idle=brokers[not is_counting]):
                    # Not the interval's own, which asks the broker for its metrics besides.
                    before = proc.cpu_seconds(broker.pid)
                    records[is_counting] += run(broker)["records"]
                    cpu_s[is_counting] += proc.cpu_seconds(broker.pid) - before
            with_it, without = (cpu_s[each] / records[each] for each in (True, False))
            ratios |= {f"{kind}_ratio": with_it / without, f"{kind}_without": without / RECORD_BYTES * 1e9}
        return ratios


def _has_counted(broker):
    """Whether requests are counted of a broker that was sent some."""
    return any(line.startswith("einmal_requests_total{") for line in _read(broker, "/metrics").decode().splitlines())


def _fill(broker, form):
    """Topics with a record in each partition, so that each group lags and each topic has an age."""
    topics, groups = form.observed
    with kafka_wire.Connection(broker.port, 120) as connection:
        connection.create_topics({f"topic-{number}": {} for number in range(topics)}, PARTITIONS_EACH)
        batch = kafka_wire.record_batch(b"x" * 100, int(time.time() * 1000))
        for number in range(topics):
            connection.produce(f"topic-{number}", {partition: batch for partition in range(PARTITIONS_EACH)}, acks=1)
        for group in range(groups):
            _commit(connection, f"group-{group}", [f"topic-{(group * TOPICS_READ + number) % topics}" for number in range(TOPICS_READ)])
    lags = [line for line in _read(broker, "/metrics").decode().splitlines() if line.startswith("einmal_group_lag_records{")]
    assert len(lags) == groups * TOPICS_READ and all(line.endswith(f" {PARTITIONS_EACH}") for line in lags), f"not what was to be seen: {lags[:3]}"


def _commit(connection, group, topics):
    """OffsetCommit v2 of offset 0 in all partitions, for a group without members."""
    body = kafka_wire.text(group) + struct.pack(">i", -1) + kafka_wire.text("") + struct.pack(">qi", -1, len(topics))
    for topic in topics:
        body += kafka_wire.text(topic) + struct.pack(">i", PARTITIONS_EACH)
        body += b"".join(struct.pack(">iq", partition, 0) + kafka_wire.text("") for partition in range(PARTITIONS_EACH))
    connection.call(8, 2, body)


def _read(broker, path):
    with urllib.request.urlopen(broker.admin + path, timeout=60) as answer:
        return answer.read()


def _asked(broker, path, count):
    """(seconds, CPU seconds of the broker, bytes) of each, the first left out: it is cold."""
    taken = []
    for _ in range(count + 1):
        began, cpu_s = time.monotonic(), proc.cpu_seconds(broker.pid)
        size = len(_read(broker, path))
        taken.append((time.monotonic() - began, proc.cpu_seconds(broker.pid) - cpu_s, size))
    return taken[1:]


def _median_ms(taken):
    return statistics.median(seconds for seconds, _, _ in taken) * 1000
