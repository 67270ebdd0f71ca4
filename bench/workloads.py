"""The table of workloads: what is done to a broker once, and which figures come of it. Ids as in the README: P produce, C consume,
A administration, N connections, G groups, T transactions, M message ids, O observing, S start and memory.

A workload's function takes a [`Turn`](turn.py) and answers the values of one repetition by the keys of its figures; under
"latency_us" percentiles for the plot.
"""
import time
from dataclasses import dataclass
from typing import Callable

import clients
import kafka_wire
import message_ids
import observing
import proc
import topics
from figures import Figure, Goal
from forms import PARTITIONS, RECORD_BYTES

# Members hear of a rebalance by their heartbeats: of a group that is rebalanced again and again in short time, ms.
HEARTBEAT_MS = 100
# New groups, one after the other, of which the slowest but one in a hundred counts.
JOINS = 100


@dataclass(frozen=True)
class Workload:
    """`classes`: durability classes it is measured in. `own`: starts brokers of its own, so that no warm Kafka may run beside;
    Kafka takes part in the first `kafka_repetitions` of it, if that is given, else of `form.kafka_starts`."""

    name: str
    title: str
    run: Callable
    figures: tuple
    classes: tuple = ("D1", "D2")
    own: bool = False
    kafka_repetitions: int | None = None
    einmal_only: bool = False
    # Its client comes with Kafka.
    kafka_client: bool = False
    headline: bool = True

    def kafka_runs(self, form):
        """Repetitions in which Kafka takes part."""
        return self.kafka_repetitions or (form.kafka_starts if self.own else form.repetitions)


def ms(result, percentile):
    return result["latency_us"][percentile] / 1000


def start(turn):
    """From exec to the first accepted produce, on a data directory with a topic and a clean stop behind it."""
    with turn.own_broker() as broker:
        kafka_wire.create_topic(broker.port, "start", 1)
        kafka_wire.first_produce(broker.port, "start", 60)
        began = broker.restart()
        return {"ms": (kafka_wire.first_produce(broker.port, "start", 60) - began) * 1000}


def idle(turn):
    with turn.own_broker() as broker:
        kafka_wire.create_topic(broker.port, "idle", 1)
        time.sleep(turn.form.pause_s)
        return {"rss_mb": proc.rss_mb(broker.pid)}


def recovery(turn):
    """From the start after SIGKILL to the first accepted produce; nothing of the log had been flushed by the broker."""
    with turn.own_broker() as broker:
        records = turn.form.unflushed_mb * 1_000_000 // RECORD_BYTES
        kafka_wire.create_topic(broker.port, "unflushed", PARTITIONS)
        clients.produce(broker.port, "unflushed", records=records, record_size=RECORD_BYTES)
        broker.kill()
        began = broker.restart()
        seconds = kafka_wire.first_produce(broker.port, "unflushed", 300) - began
        return {"s": seconds, "s_per_gb": seconds / (1 + turn.form.unflushed_mb / 1000)}


def many_partitions(count):
    def run(turn):
        """Creates, produces one record to, and reads back every partition; then starts with them, after a stop and after SIGKILL."""
        with turn.own_broker(f"einmal.partitions.max={count}") as broker:
            with kafka_wire.Connection(broker.port, 300) as connection:
                began = time.monotonic()
                for first in range(0, count, 10_000):
                    connection.create_topics({f"many-{first}": {}}, min(10_000, count - first))
                batch = kafka_wire.record_batch(b"x" * RECORD_BYTES, int(time.time() * 1000))
                for first in range(0, count, 10_000):
                    _write_and_read(connection, f"many-{first}", min(10_000, count - first), batch)
                seconds = time.monotonic() - began
            pid = broker.pid
            found = {"rss_mb": proc.rss_mb(pid), "rss_peak_mb": proc.rss_peak_mb(pid), "s": seconds, "descriptors": proc.descriptors(pid)}
            for figure, end in (("start_s", broker.stop), ("start_killed_s", broker.kill)):
                end()
                began = broker.restart()
                found[figure] = kafka_wire.first_produce(broker.port, "many-0", 300) - began
            return found

    return run


def _write_and_read(connection, topic, count, batch):
    for first in range(0, count, 1000):
        some = range(first, min(first + 1000, count))
        answers = connection.produce(topic, {partition: batch for partition in some})
        assert all(answer == (0, 0) for answer in answers.values()) and len(answers) == len(some), "a produce was refused"
    missing = set(range(count))
    while missing:
        answers = connection.fetch_sizes(topic, sorted(missing)[:1000])
        got = {p for p, (error, high, size) in answers.items() if error == 0 and high == 1 and size == len(batch)}
        assert got, "a fetch brought nothing"
        missing -= got


def connections(turn):
    """Memory while connections are held that have each asked for the versions."""
    with turn.own_broker() as broker:
        before, descriptors = proc.rss_mb(broker.pid), proc.descriptors(broker.pid)
        holder = clients.connections(broker.port, turn.form.connections, 300)
        try:
            deadline = time.monotonic() + 120
            while proc.descriptors(broker.pid) - descriptors < turn.form.connections:
                assert holder.poll() is None and time.monotonic() < deadline, "the connections were not all opened"
                time.sleep(0.1)
            time.sleep(turn.form.pause_s)
            rss = proc.rss_mb(broker.pid)
        finally:
            holder.terminate()
            holder.wait()
        return {"rss_mb": rss, "kb_each": (rss - before) * 1024 / turn.form.connections}


def produce(turn):
    """Kafka's own ProducerPerformance, idempotent, acks=all."""
    records = turn.form.records[turn.durability]
    with turn.broker() as broker:
        kafka_wire.create_topic(broker.port, turn.topic, PARTITIONS)
        kafka_wire.first_produce(broker.port, turn.topic, 60)
        with turn.interval(broker, to_device=True) as interval:
            rate = clients.producer_performance(broker.port, turn.topic, records, RECORD_BYTES)
        if turn.is_first:
            read = clients.read_back(broker.port, turn.topic, own_payload=False)
            assert read == records + 1, f"{records + 1} records were acknowledged, {read} are there"
        return {"records_per_s": rate, **interval.costs(records * RECORD_BYTES / 1e9)}


def single_records(turn):
    """2,000 requests a second of one record each."""
    with turn.broker() as broker:
        kafka_wire.create_topic(broker.port, turn.topic, 1)
        load = {"record_size": RECORD_BYTES, "records_per_batch": 1, "rate": 2000, "connections": 1, "in_flight": 100}
        clients.produce(broker.port, turn.topic, **load, duration=max(turn.form.settle_s, 0.5))
        with turn.interval(broker) as interval:
            result = clients.produce(broker.port, turn.topic, **load, duration=turn.form.seconds, verify=turn.is_first)
        return {"cpu_us": interval.cpu_s * 1e6 / result["records"], "p50_ms": ms(result, "p50"), "p99_ms": ms(result, "p99"), **turn.latency(result)}


def light_load(turn):
    """100 requests a second of one record each."""
    with turn.broker() as broker:
        kafka_wire.create_topic(broker.port, turn.topic, 1)
        load = {"record_size": RECORD_BYTES, "records_per_batch": 1, "rate": 100, "connections": 1, "in_flight": 100}
        clients.produce(broker.port, turn.topic, **load, duration=max(turn.form.settle_s, 0.5))
        with turn.interval(broker):
            result = clients.produce(broker.port, turn.topic, **load, duration=turn.form.seconds)
        return {"p50_ms": ms(result, "p50"), "p99_ms": ms(result, "p99"), **turn.latency(result)}


def one_in_flight(turn):
    """One producer with one request in flight, as fast as it is answered."""
    with turn.broker() as broker:
        kafka_wire.create_topic(broker.port, turn.topic, 1)
        load = {"record_size": RECORD_BYTES, "records_per_batch": 1, "connections": 1, "in_flight": 1}
        clients.produce(broker.port, turn.topic, **load, duration=max(turn.form.settle_s, 0.5))
        with turn.interval(broker):
            result = clients.produce(broker.port, turn.topic, **load, duration=turn.form.seconds)
        return {"p50_ms": ms(result, "p50"), "p99_ms": ms(result, "p99"), "records_per_s": result["records_per_s"], **turn.latency(result)}


def partitions(count):
    def run(turn):
        """Batches of one record to partitions in turn, 16 a request, as fast as they are answered."""
        with turn.broker() as broker:
            kafka_wire.create_topic(broker.port, turn.topic, count)
            load = {"record_size": RECORD_BYTES, "records_per_batch": 1, "connections": 4, "in_flight": 5}
            load["partitions_per_request"] = min(count, 16)
            clients.produce(broker.port, turn.topic, **load, duration=max(2 * turn.form.settle_s, 0.5))
            with turn.interval(broker) as interval:
                result = clients.produce(broker.port, turn.topic, **load, duration=turn.form.seconds)
            if turn.is_first:
                clients.read_back(broker.port, turn.topic)
            costs = interval.costs(result["records"] * RECORD_BYTES / 1e9)
            return {"records_per_s": result["records_per_s"], "p99_ms": ms(result, "p99"), **costs}

    return run


def consume(turn):
    """A topic read from its start by one consumer; it lies in the page cache."""
    with turn.broker() as broker:
        kafka_wire.create_topic(broker.port, turn.topic, PARTITIONS)
        clients.produce(broker.port, turn.topic, records=turn.form.fill_records, record_size=RECORD_BYTES)
        with turn.interval(broker) as interval:
            result = clients.consume(broker.port, turn.topic)
        if turn.is_first:
            read = clients.read_back(broker.port, turn.topic)
            assert read == result["records"], f"{read} records are there, {result['records']} were read"
        return {"records_per_s": result["records_per_s"], **interval.costs(result["records"] * RECORD_BYTES / 1e9)}


def _ready_for_groups(broker, turn):
    kafka_wire.create_topic(broker.port, turn.topic, PARTITIONS)
    kafka_wire.first_produce(broker.port, turn.topic, 60)
    kafka_wire.wait_for_coordinator(broker.port, turn.topic)


def single_member(turn):
    """New groups of one member, from its connection to its first record."""
    with turn.broker() as broker:
        _ready_for_groups(broker, turn)
        joins = max(round(JOINS * min(turn.form.seconds, 4) / 4), 5)
        times = sorted(kafka_wire.consume_in_group(broker.port, f"{turn.topic}-{join}", turn.topic) * 1000 for join in range(joins))
        return {"p50_ms": times[len(times) // 2], "p99_ms": times[-1 - joins // 100]}


def many_members(turn):
    """A group that comes together, loses a member, and has members restarted in turn."""
    form = turn.form
    load = {"topic": turn.topic, "members": form.members, "heartbeat_interval_ms": HEARTBEAT_MS, "lose": True, "restarts": form.restarts}
    with turn.broker() as broker:
        _ready_for_groups(broker, turn)
        with turn.interval(broker):
            with clients.groups(broker.port, **load) as end:
                result = end()
        return {"stable_s": result["stable_s"], "lost_s": result["lost_s"], "restart_s": result["rolling_s"] / form.restarts}


def commits(turn):
    """Groups of one member, each of which commits as soon as it is answered."""
    load = {"topic": turn.topic, "groups": turn.form.committing, "members": 1, "commit": True}
    with turn.broker() as broker:
        _ready_for_groups(broker, turn)
        if turn.form.settle_s:
            with clients.groups(broker.port, **load, duration=turn.form.settle_s) as end:
                end()
        with clients.groups(broker.port, **load, duration=turn.form.seconds) as end:
            with turn.interval(broker) as interval:
                result = end()
        return {"commits_per_s": result["commits_per_s"], "cpu_us": interval.cpu_s * 1e6 / result["commits"], "p99_ms": ms(result, "p99"), **turn.latency(result)}


def idle_members(turn):
    """A group that does nothing but send heartbeats, one a member in 3 s, Kafka's default."""
    load = {"topic": turn.topic, "members": turn.form.idle_members}
    with turn.broker() as broker:
        _ready_for_groups(broker, turn)
        with clients.groups(broker.port, **load, duration=turn.form.seconds + turn.form.pause_s) as end:
            # What the joining left to do is not what idling costs.
            time.sleep(turn.form.pause_s / 2)
            with turn.interval(broker) as interval:
                end()
        return {"cpu_percent": interval.cpu_s / interval.wall_s * 100}


def transactions(partitions, producers):
    def run(turn):
        """Producers that each run one transaction after the other."""
        with turn.broker() as broker:
            kafka_wire.create_topic(broker.port, turn.topic, partitions)
            load = {"producers": producers, "partitions_per_transaction": partitions, "transactional_id": turn.topic}
            with turn.interval(broker):
                result = clients.transactions(broker.port, turn.topic, **load, duration=turn.form.seconds, warm_up=turn.form.settle_s)
            return {"transactions_per_s": result["transactions_per_s"], "p99_ms": result["commit_latency_us"]["p99"] / 1000}

    return run


def light_transactions(turn):
    """20 transactions a second of one record each; the time of the commit alone, from EndTxn to its answer."""
    with turn.broker() as broker:
        kafka_wire.create_topic(broker.port, turn.topic, PARTITIONS)
        load = {"producers": 4, "rate": 20, "transactional_id": turn.topic}
        with turn.interval(broker):
            result = clients.transactions(broker.port, turn.topic, **load, duration=turn.form.seconds * 2, warm_up=turn.form.settle_s)
        latency = {"latency_us": result["commit_latency_us"]}
        return {"p50_ms": ms(latency, "p50"), "p99_ms": ms(latency, "p99"), **turn.latency(latency)}


def isolation(turn):
    """The same tailing consumer with either isolation level, in turns, so that both meet the same machine."""
    load = {"record_size": RECORD_BYTES, "connections": 1, "in_flight": 5, "rate": 20_000, "duration": turn.form.seconds / 2}
    levels = ("read_uncommitted", "read_committed")
    with turn.broker() as broker:
        records, cpu_s = ({level: 0 for level in levels} for _ in range(2))
        topics = {level: f"{turn.topic}-{level}" for level in levels}
        for topic in topics.values():
            kafka_wire.create_topic(broker.port, topic, PARTITIONS)
        for level in (*levels, *reversed(levels)) * 2:
            with turn.interval(broker) as interval:
                result = clients.end_to_end(broker.port, topics[level], **load, isolation_level=level)
            records[level] += result["produce"]["records"]
            cpu_s[level] += interval.cpu_s
        uncommitted, committed = (cpu_s[level] / records[level] for level in levels)
        return {"cpu_ratio": committed / uncommitted}


def idempotence(turn):
    """The same load with and without, in turns, so that both meet the same machine; the ratio is the broker's own."""
    load = {"record_size": RECORD_BYTES, "connections": 1, "in_flight": 5, "duration": turn.form.seconds / 2}
    with turn.broker() as broker:
        records, seconds, cpu_s = ({False: 0, True: 0} for _ in range(3))
        topics = {idempotent: f"{turn.topic}-{idempotent}".lower() for idempotent in (False, True)}
        for topic in topics.values():
            kafka_wire.create_topic(broker.port, topic, PARTITIONS)
        for idempotent in (False, True, True, False) * 2:
            with turn.interval(broker) as interval:
                result = clients.produce(broker.port, topics[idempotent], **load, idempotent=idempotent)
            records[idempotent] += result["records"]
            seconds[idempotent] += result["seconds"]
            cpu_s[idempotent] += interval.cpu_s
        rate, cpu = ({each: figure[each] / by[each] for each in topics} for figure, by in ((records, seconds), (cpu_s, records)))
        return {"rate_ratio": rate[True] / rate[False], "cpu_ratio": cpu[True] / cpu[False]}


def tail(share):
    def run(turn):
        """A consumer at the end of the log, at a share of what the slower broker holds."""
        with turn.broker() as broker:
            kafka_wire.create_topic(broker.port, turn.topic, PARTITIONS)
            load = {"record_size": RECORD_BYTES, "records_per_batch": 1, "connections": 4, "in_flight": 50}
            rate = max(round(turn.slower_rate() * share / 100), 50)
            with turn.interval(broker):
                result = clients.end_to_end(broker.port, turn.topic, **load, rate=rate, duration=turn.form.seconds, warm_up=turn.form.settle_s)
            held = 1.0 if result["produce"]["held"] else 0.0
            return {"rate": rate, "held": held, "p50_ms": ms(result, "p50"), "p99_ms": ms(result, "p99"), **turn.latency(result)}

    return run


def producers(count):
    def run(turn):
        """Producers that share 1,000 requests a second."""
        with turn.broker() as broker:
            kafka_wire.create_topic(broker.port, turn.topic, PARTITIONS)
            load = {"record_size": RECORD_BYTES, "records_per_batch": 1, "connections": count, "in_flight": 5, "rate": 1000}
            with turn.interval(broker):
                result = clients.produce(broker.port, turn.topic, **load, duration=turn.form.seconds, warm_up=turn.form.settle_s)
            return {"p50_ms": ms(result, "p50"), "p99_ms": ms(result, "p99"), "p999_ms": ms(result, "p99_9"), **turn.latency(result)}

    return run


def cpu(goals=None, bound="produce_cpu"):
    return Figure("cpu_s_per_gb", "broker CPU", "CPU-s/GB", goal=goals, bound=bound)


P50, P99 = Figure("p50_ms", "p50", "ms"), Figure("p99_ms", "p99", "ms", bound="latency_p99")
RATE = Figure("records_per_s", "rate", "records/s", "higher", bound="record_rate")
RSS_PEAK = Figure("rss_peak_mb", "RSS, peak", "MB")


def p99(ratio, client_alone=None):
    return Figure("p99_ms", "p99", "ms", goal=Goal("ratio", ratio), bound="latency_p99", client_alone=client_alone)


def rate(ratio=None):
    return Figure("records_per_s", "rate", "records/s", "higher", Goal("ratio", ratio) if ratio else None, "record_rate")


COSTS = (
    RSS_PEAK,
    Figure("client_cpu_s_per_gb", "client CPU", "CPU-s/GB"),
    Figure("context_switches_per_gb", "context switches", "per GB"),
    Figure("syncs_per_gb", "syncs", "per GB"),
    Figure("device_flushes_per_gb", "device flushes", "per GB"),
)


def device_bytes(bound):
    return Figure("device_bytes_ratio", "bytes to the device ÷ payload", "×", goal=Goal("value", bound))


def workloads(form):
    """All rows in the order of the page. Goals differ between the classes, so such a workload has a line for each."""
    table = [
        Workload("S1", "exec to first accepted produce", start, (Figure("ms", "time", "ms", goal=Goal("value", 50)),), ("D2",), own=True,
                 kafka_repetitions=form.repetitions),
        Workload("S2", "idle", idle, (Figure("rss_mb", "RSS", "MB", goal=Goal("value", 30)),), ("D2",), own=True),
        Workload("S3", f"recovery after SIGKILL, {form.unflushed_mb} MB unflushed", recovery, (
            Figure("s", "start to first accepted produce", "s"), Figure("s_per_gb", "of the allowed 1 s + 1 s per GB", "×", goal=Goal("value", 1)),
        ), ("D1",), own=True),
        Workload("N1", f"{form.connections:,} idle connections", connections, (
            Figure("rss_mb", "RSS", "MB", goal=Goal("value", 250)), Figure("kb_each", "RSS of each", "KiB"),
        ), ("D2",), own=True),
    ]
    for count in form.partition_counts:
        table.append(Workload(f"P3-{count}-open", f"{count:,} partitions created, produced to, read back", many_partitions(count), (
            Figure("rss_mb", "RSS", "MB", goal=Goal("value", 1000 if count > 10_000 else 300)), RSS_PEAK, Figure("s", "time", "s"),
            Figure("start_s", "start to first accepted produce", "s", goal=Goal("value", 1) if count > 10_000 else None),
            Figure("start_killed_s", "the same after SIGKILL", "s"),
        ), ("D2",), own=True, einmal_only=True))
    for durability, cpu_goal, rate_goal, device_goal in (("D1", 0.3, 1, 1.1), ("D2", 0.1, 3, 2.1)):
        table.append(Workload("P2", "produce 1 KiB, 6 partitions, ProducerPerformance", produce, (
            cpu(Goal("ratio", cpu_goal)), rate(rate_goal), device_bytes(device_goal), *COSTS,
        ), (durability,), kafka_client=True))
    table += [
        Workload("P5-2000", "2,000 single records a second", single_records, (
            Figure("cpu_us", "broker CPU per request", "µs", goal=Goal("ratio", 0.3), bound="request_cpu"), P50, p99(1, "floor_2000_p99_ms"),
        )),
        Workload("P5-100", "100 single records a second", light_load, (P50, p99(0.2, "floor_100_p99_ms"))),
        Workload("P5", "one request in flight", one_in_flight, (P50, p99(0.2, "floor_p99_ms"), RATE)),
    ]
    for count in form.partitions:
        goal = 10 if count >= 1000 else None
        table.append(Workload(f"P3-{count}", f"batches of one record, {count:,} partitions", partitions(count), (rate(goal), cpu(), P99, RSS_PEAK), ("D2",)))
    for count in form.producers:
        table.append(Workload(f"P4-{count}", f"{count} producers, 1,000 requests a second", producers(count), (
            P50, p99(1), Figure("p999_ms", "p99.9", "ms"),
        ), ("D2",), headline=False))
    table.append(Workload("C2", "consume from the start, 6 partitions", consume, (
        cpu(Goal("ratio", 0.5), "consume_cpu"), Figure("records_per_s", "rate", "records/s", "higher"), RSS_PEAK,
    ), ("D1",)))
    for share in form.tail_shares:
        table.append(Workload(f"C1-{share}", f"tailing consumer at {share} % of the slower broker's maximum", tail(share), (
            Figure("rate", "offered", "records/s", "higher"), Figure("held", "held", "of 1", "higher"), P50, p99(1),
        )))
    table += [
        Workload("G1", "a new group of one member, from its connection to its first record", single_member, (
            P50, Figure("p99_ms", "p99", "ms", goal=Goal("value", 100)),
        ), ("D2",)),
        Workload("G2", f"a group of {form.members:,} members, heartbeats every {HEARTBEAT_MS} ms", many_members, (
            Figure("stable_s", "from the first join to stable", "s", goal=Goal("ratio", 1)),
            Figure("lost_s", "stable after a member left", "s", goal=Goal("ratio", 1)),
            Figure("restart_s", "a member's restart, in a rolling one", "s", goal=Goal("ratio", 1)),
        ), ("D2",)),
        Workload("G3", f"{form.committing:,} groups that commit", commits, (
            Figure("commits_per_s", "rate", "commits/s", "higher", Goal("value", 10_000)),
            Figure("cpu_us", "broker CPU per commit", "µs", goal=Goal("value", 100)), P99,
        ), ("D2",)),
        Workload("G4", f"{form.idle_members:,} idle members, heartbeats every 3 s", idle_members, (
            Figure("cpu_percent", "broker CPU", "% of a core", goal=Goal("value", 2)),
        ), ("D2",)),
    ]
    table += [
        Workload("A1", f"{form.topics:,} topics created and deleted, {topics.KAFKA_PER_REQUEST:,} in a request, and described in one", topics.many_topics(form.topics, topics.KAFKA_PER_REQUEST), (
            Figure("create_s", "from the first request until all are there", "s", goal=Goal("ratio", 1)),
            Figure("answer_s", "all answers", "s"),
            Figure("describe_s", "described", "s", goal=Goal("ratio", 1)),
            Figure("delete_s", "from the first request until none is there", "s", goal=Goal("ratio", 1)),
        ), ("D2",), own=True, headline=False),
        Workload("A1-1", "the same with one request for all, which Kafka refuses", topics.many_topics(form.topics, form.topics), (
            Figure("create_s", "from the request until all are there", "s"),
            Figure("delete_s", "from the request until none is there", "s"),
        ), ("D2",), own=True, einmal_only=True, headline=False),
        Workload("A2", f"one record to each of {form.fresh_partitions:,} partitions straight after their creation", topics.straight_after_creation(form.fresh_partitions), (
            Figure("refused_permille", "refused", "of 1,000", goal=Goal("value", 0)),
        ), ("D2",), own=True),
        Workload("A3", "100 single records a second while retention and compaction run", topics.beside_cleaning, (
            Figure("p99_ratio", "p99, beside ÷ without", "×", goal=Goal("value", 1.2)), P99,
        ), ("D2",), own=True, headline=False),
    ]
    one, many = form.transactional
    table += [
        Workload("T1-1", f"{one} transactional producers, one partition in each transaction", transactions(1, one), (
            Figure("transactions_per_s", "rate", "transactions/s", "higher", Goal("ratio", 2)), P99,
        ), ("D2",)),
        Workload("T1-100", f"{many} transactional producers, 100 partitions in each transaction", transactions(100, many), (
            Figure("transactions_per_s", "rate", "transactions/s", "higher", Goal("ratio", 5)), P99,
        ), ("D2",)),
        Workload("T2", "commit of 20 transactions a second", light_transactions, (P50, p99(0.5)), ("D2",)),
        Workload("T3", "tailing consumer, read_committed ÷ read_uncommitted", isolation, (
            Figure("cpu_ratio", "broker CPU per record", "×", goal=Goal("value", 1.03)),
        ), ("D1",), einmal_only=True),
    ]
    table.append(Workload("P6", "idempotent producer ÷ plain one", idempotence, (
        Figure("rate_ratio", "rate", "×", "higher", Goal("value", 0.97)), Figure("cpu_ratio", "broker CPU per record", "×"),
    ), ("D1",), einmal_only=not form.all_rows))
    table += [
        Workload("M1", "records of 200 B with a message id, 100 a batch: a topic that remembers ids − one that does not", message_ids.cost, (
            Figure("cpu_us", "broker CPU per record", "µs", goal=Goal("value", 0.2)), Figure("without_us", "without, broker CPU per record", "µs"),
        ), ("D1",), einmal_only=True),
        Workload("M2", f"{form.message_ids:,} message ids remembered, after a restart", message_ids.live_ids, (
            Figure("rss_mb", "RSS", "MB", goal=Goal("value", 350)), RSS_PEAK,
            Figure("s", "start to first accepted produce", "s", goal=Goal("value", 5)),
        ), ("D1",), own=True, einmal_only=True, headline=False),
        Workload("M3", "idempotence, acks=all and message ids together, in Kafka without ids", message_ids.all_together, (
            Figure("records_per_s", "rate", "records/s", "higher", Goal("ratio", 1)), Figure("cpu_us", "broker CPU per record", "µs"),
        ), headline=False),
    ]
    topics_observed, groups_observed = form.observed
    seen = f"{topics_observed:,} topics of {observing.PARTITIONS_EACH} partitions and {groups_observed:,} groups"
    table += [
        Workload("O1", f"a scrape of /metrics, {seen}", observing.scrape, (
            Figure("ms", "time", "ms", goal=Goal("value", 100)),
            Figure("cpu_percent", f"broker CPU, one in {observing.SCRAPE_INTERVAL_S} s", "% of a core", goal=Goal("value", 1)), Figure("mb", "size", "MB"),
        ), ("D2",), own=True, einmal_only=True, headline=False),
        Workload("O2", f"the page of the admin port, {seen}", observing.page, (
            Figure("ms", "time", "ms", goal=Goal("value", 50)),
        ), ("D2",), own=True, einmal_only=True, headline=False),
        Workload("O3", "einmal doctor against a healthy broker", observing.doctor, (
            Figure("s", "time", "s", goal=Goal("value", 3)),
        ), ("D2",), own=True, einmal_only=True, headline=False),
        Workload("O4", "with metrics ÷ without (einmal.metrics.level=off)", observing.counting, (
            Figure("produce_ratio", "broker CPU per GB, produce", "×", goal=Goal("value", 1.02)),
            Figure("consume_ratio", "broker CPU per GB, consume", "×", goal=Goal("value", 1.02)),
            Figure("produce_without", "without, produce", "CPU-s/GB"), Figure("consume_without", "without, consume", "CPU-s/GB"),
        ), ("D1",), own=True, einmal_only=True, headline=False),
    ]
    return [each for each in table if form.all_rows or each.headline]
