"""Workloads of topics as operators manage them: many in one request, one that is written to as soon as it is there, and what giving
old records back costs those who produce meanwhile. Functions of a [`Turn`](turn.py), as those of workloads.py."""
import threading
import time
from contextlib import contextmanager

import clients
import kafka_wire
from forms import RECORD_BYTES

# Between two looks whether all topics are there, or gone.
LOOK_S = 0.005
# Of a request with all topics, ms.
ALL_TIMEOUT_MS = 120_000
# Apache Kafka 4.3.1 refuses requests that would write more than 10,000 records of metadata, two for each of these topics.
KAFKA_PER_REQUEST = 2_500
RETRIABLE = {kafka_wire.UNKNOWN_TOPIC_OR_PARTITION, kafka_wire.LEADER_NOT_AVAILABLE, kafka_wire.NOT_LEADER_OR_FOLLOWER}


@contextmanager
def _fresh_broker(turn):
    """A connection to a broker of its own, which has served one topic."""
    with turn.own_broker() as broker:
        kafka_wire.create_topic(broker.port, "first", 1)
        with kafka_wire.Connection(broker.port, 300) as connection:
            yield connection


def many_topics(count, per_request):
    def run(turn):
        """Topics created `per_request` at a time, described in one request until all are there, and deleted as they were created until
        none is."""
        names = [f"topic-{number}" for number in range(count)]
        requests = [names[first:first + per_request] for first in range(0, count, per_request)]
        with _fresh_broker(turn) as connection:
            began = time.monotonic()
            for part in requests:
                connection.create_topics({name: {} for name in part}, timeout_ms=ALL_TIMEOUT_MS)
            answered = time.monotonic()
            while connection.count_with_leader(names) < count:
                time.sleep(LOOK_S)
            there = time.monotonic()
            assert connection.count_with_leader(names) == count
            looked = time.monotonic()
            for part in requests:
                connection.delete_topics(part, timeout_ms=ALL_TIMEOUT_MS)
            while connection.count_with_leader(names) > 0:
                time.sleep(LOOK_S)
            gone = time.monotonic()
            # A client can use them when they are described, not when their creation is answered.
            return {"create_s": there - began, "answer_s": answered - began, "describe_s": looked - there, "delete_s": gone - looked}

    return run


def straight_after_creation(count):
    def run(turn):
        """One record to each partition of a topic as soon as its creation is answered; nothing is sent again."""
        with _fresh_broker(turn) as connection:
            batch = kafka_wire.record_batch(b"x" * RECORD_BYTES, int(time.time() * 1000))
            refused = sent = 0
            for round_ in range(turn.form.repetitions):
                topic = f"straight-{round_}"
                connection.create_topics({topic: {}}, count)
                answers = connection.produce(topic, {partition: batch for partition in range(count)})
                odd = {error for error, _ in answers.values()} - {0, *RETRIABLE}
                assert len(answers) == count and not odd, f"produce was answered {odd}"
                refused += sum(error != 0 for error, _ in answers.values())
                sent += count
            return {"refused_permille": refused / sent * 1000}

    return run


def beside_cleaning(turn):
    """A light load alone, and the same while retention and compaction take away what others write; both on one broker."""
    load = {"record_size": RECORD_BYTES, "records_per_batch": 1, "rate": 100, "connections": 1, "in_flight": 100}
    often = ("log.retention.check.interval.ms=500", "log.cleaner.backoff.ms=500")
    with turn.own_broker(*often) as broker, kafka_wire.Connection(broker.port) as connection:
        kafka_wire.create_topic(broker.port, "light", 1)
        # Both loads run both times; the topics of the first run are neither short nor keyed.
        connection.create_topics({
            "plain-0": {},
            "plain-1": {},
            "short": {"retention.bytes": "200000", "segment.bytes": "1048576"},
            "keyed": {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", "segment.bytes": "1048576"},
        })
        clients.produce(broker.port, "light", **load, duration=max(turn.form.settle_s, 0.5))
        p99 = {}
        for kind, topics in (("alone", ("plain-0", "plain-1")), ("beside", ("short", "keyed"))):
            with _writing(broker.port, topics), turn.interval(broker):
                result = clients.produce(broker.port, "light", **load, duration=turn.form.seconds)
            p99[kind] = result["latency_us"]["p99"] / 1000
        end = time.monotonic() + 30
        while connection.fetch_sizes("short", [0])[0][0] != kafka_wire.OFFSET_OUT_OF_RANGE:
            assert time.monotonic() < end, "retention has taken nothing away"
            time.sleep(0.1)
        return {"p99_ratio": p99["beside"] / p99["alone"], "p99_ms": p99["beside"]}


@contextmanager
def _writing(port, topics):
    """Writes 2 MB/s to each of two topics in the background, to the second with 100 keys."""
    ended = threading.Event()
    failed = []

    def write():
        now = int(time.time() * 1000)
        plain = kafka_wire.record_batch(b"x" * 20_000, now)
        keyed = [kafka_wire.record_batch(b"x" * 20_000, now, key=f"key {number}".encode()) for number in range(100)]
        number = 0
        try:
            with kafka_wire.Connection(port) as own:
                while not ended.wait(0.01):
                    for topic, batch in zip(topics, (plain, keyed[number % 100])):
                        (error, _) = own.produce(topic, {0: batch}, acks=1)[0]
                        assert error == 0 or error in RETRIABLE, f"produce to {topic} was answered {error}"
                    number += 1
        except (AssertionError, OSError) as error:
            failed.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()
    assert not failed, failed
