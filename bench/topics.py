"""Workloads of topics as operators manage them: many in one request, one that is written to as soon as it is there, and what giving
old records back costs those who produce meanwhile. Functions of a [`Turn`](turn.py), as those of workloads.py."""
import struct
import time
from contextlib import contextmanager

import clients
import kafka_wire
from kafka_wire import text

RECORD_BYTES = 1024
# Between two looks whether all topics are there, or gone.
LOOK_S = 0.005
OFFSET_OUT_OF_RANGE = 1
RETRIABLE = {3: "UNKNOWN_TOPIC_OR_PARTITION", 5: "LEADER_NOT_AVAILABLE", 6: "NOT_LEADER_OR_FOLLOWER"}


def create(connection, topics, timeout_ms=120_000):
    """CreateTopics 2 of one partition each with these settings, all in one request; {name: settings}."""
    body = struct.pack(">i", len(topics))
    for name, settings in topics.items():
        body += text(name) + struct.pack(">ihii", 1, 1, 0, len(settings))
        body += b"".join(text(key) + text(value) for key, value in settings.items())
    answer = connection.call(19, 2, body + struct.pack(">ib", timeout_ms, 0))
    (count,) = struct.unpack(">i", answer[4:8])
    at = 8
    for _ in range(count):
        (length,) = struct.unpack(">h", answer[at : at + 2])
        (error, message) = struct.unpack(">hh", answer[at + 2 + length : at + 6 + length])
        assert error == 0, f"creating topics was answered {error} {answer[at + 6 + length : at + 6 + length + max(message, 0)]}"
        at += 6 + length + max(message, 0)
    assert count == len(topics), f"{count} of {len(topics)} topics were answered"


def delete(connection, names, timeout_ms=120_000):
    """DeleteTopics 1, all in one request."""
    answer = connection.call(20, 1, struct.pack(">i", len(names)) + b"".join(map(text, names)) + struct.pack(">i", timeout_ms))
    (count,) = struct.unpack(">i", answer[4:8])
    at = 8
    for _ in range(count):
        (length,) = struct.unpack(">h", answer[at : at + 2])
        (error,) = struct.unpack(">h", answer[at + 2 + length : at + 4 + length])
        assert error == 0, f"deleting topics was answered {error}"
        at += 4 + length
    assert count == len(names), f"{count} of {len(names)} topics were answered"


def described(connection, names):
    """Metadata 4 of all of them in one request: how many have a partition with a leader."""
    answer = connection.call(3, 4, struct.pack(">i", len(names)) + b"".join(map(text, names)) + b"\0")
    at, ready = 4, 0

    def take(form):
        nonlocal at
        found = struct.unpack_from(">" + form, answer, at)
        at += struct.calcsize(">" + form)
        return found

    def skip_text():
        nonlocal at
        (length,) = take("h")
        at += max(length, 0)

    for _ in range(take("i")[0]):  # brokers: id, host, port, rack
        take("i")
        skip_text()
        take("i")
        skip_text()
    skip_text()  # cluster id
    take("i")  # controller
    (count,) = take("i")
    for _ in range(count):
        (error,) = take("h")
        skip_text()
        take("b")
        partitions = []
        for _ in range(take("i")[0]):
            partitions.append(take("hii"))
            for _ in range(2):  # replicas, in sync
                take(f"{take('i')[0]}i")
        ready += error == 0 and any(error == 0 and leader >= 0 for error, _, leader in partitions)
    return ready


def many_topics(count):
    def run(turn):
        """Topics created in one request, described in one until all are there, and deleted in one until none is."""
        with turn.own_broker() as broker:
            kafka_wire.create_topic(broker.port, "first", 1)
            connection = kafka_wire.Connection(broker.port, 300)
            names = [f"topic-{number}" for number in range(count)]
            began = time.monotonic()
            create(connection, {name: {} for name in names})
            answered = time.monotonic()
            while described(connection, names) < count:
                time.sleep(LOOK_S)
            there = time.monotonic()
            assert described(connection, names) == count
            looked = time.monotonic()
            delete(connection, names)
            while described(connection, names) > 0:
                time.sleep(LOOK_S)
            gone = time.monotonic()
            connection.close()
            # A client can use them when they are described, not when their creation is answered.
            return {"create_s": there - began, "answer_s": answered - began, "describe_s": looked - there, "delete_s": gone - looked}

    return run


def straight_after_creation(count):
    def run(turn):
        """One record to each partition of a topic as soon as its creation is answered; nothing is sent again."""
        with turn.own_broker() as broker:
            kafka_wire.create_topic(broker.port, "first", 1)
            connection = kafka_wire.Connection(broker.port, 300)
            batch = kafka_wire.record_batch(b"x" * RECORD_BYTES, int(time.time() * 1000))
            refused = sent = 0
            for round_ in range(turn.form.repetitions):
                topic = f"straight-{round_}"
                error = connection.create_topic(topic, count)
                assert error == 0, f"creating {topic} was answered {error}"
                answers = connection.produce(topic, {partition: batch for partition in range(count)})
                odd = {error for error, _ in answers.values()} - {0, *RETRIABLE}
                assert len(answers) == count and not odd, f"produce was answered {odd}"
                refused += sum(error != 0 for error, _ in answers.values())
                sent += count
            connection.close()
            return {"refused_permille": refused / sent * 1000}

    return run


def beside_cleaning(turn):
    """A light load alone, and the same while retention and compaction take away what others write; both on one broker."""
    load = {"record_size": RECORD_BYTES, "records_per_batch": 1, "rate": 100, "connections": 1, "in_flight": 100}
    often = ("log.retention.check.interval.ms=500", "log.cleaner.backoff.ms=500")
    with turn.own_broker(*often) as broker:
        kafka_wire.create_topic(broker.port, "light", 1)
        connection = kafka_wire.Connection(broker.port, 60)
        create(connection, {
            "short": {"retention.bytes": "200000", "segment.bytes": "1048576"},
            "keyed": {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", "segment.bytes": "1048576"},
        })
        clients.produce(broker.port, "light", **load, duration=max(turn.form.settle_s, 0.5))
        # Both loads run both times; the topics of the first run are neither short nor keyed.
        p99 = {}
        for kind, topics in (("alone", ("plain-0", "plain-1")), ("beside", ("short", "keyed"))):
            if kind == "alone":
                create(connection, {topic: {} for topic in topics})
            with _writing(connection, broker.port, topics):
                with turn.interval(broker):
                    result = clients.produce(broker.port, "light", **load, duration=turn.form.seconds)
            p99[kind] = result["latency_us"]["p99"] / 1000
        end = time.monotonic() + 30
        while connection.fetch_sizes("short", [0])[0][0] != OFFSET_OUT_OF_RANGE:
            assert time.monotonic() < end, "retention has taken nothing away"
            time.sleep(0.1)
        connection.close()
        return {"p99_ratio": p99["beside"] / p99["alone"], "p99_ms": p99["beside"]}


@contextmanager
def _writing(connection, port, topics):
    """Writes 2 MB/s to each of two topics in the background, to the second with 100 keys."""
    import threading

    ended = threading.Event()
    failed = []

    def write():
        own = kafka_wire.Connection(port, 60)
        now = int(time.time() * 1000)
        plain = kafka_wire.record_batch(b"x" * 20_000, now)
        keyed = [kafka_wire.record_batch(b"x" * 20_000, now, key=f"key {number}".encode()) for number in range(100)]
        number = 0
        try:
            while not ended.wait(0.01):
                for topic, batch in zip(topics, (plain, keyed[number % 100])):
                    (error, _) = own.produce(topic, {0: batch}, acks=1)[0]
                    assert error == 0 or error in RETRIABLE, f"produce to {topic} was answered {error}"
                number += 1
        except (AssertionError, OSError) as error:
            failed.append(error)
        finally:
            own.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()
    assert not failed, failed
