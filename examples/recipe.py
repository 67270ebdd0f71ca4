"""What the recipes share and a program of yours has in its own way: settings, the steps at which their test kills them, and an end."""

import os
import signal
import sqlite3
import sys
import time

from confluent_kafka import (
    OFFSET_BEGINNING, Consumer, IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec


class Steps:
    """The places between two effects on the world outside. At that of KILL_AT the program kills itself, at its KILL_AFTER-th passing;
    with KILL_SIGNAL=STOP it only stops. `--steps` prints them."""

    def __init__(self, *names):
        if sys.argv[1:] == ["--steps"]:
            print(*names, sep="\n")
            sys.exit()
        self._names = names
        self._last = os.environ.get("KILL_AT")
        self._left = int(os.environ.get("KILL_AFTER", 1))
        self._signal = signal.Signals["SIG" + os.environ.get("KILL_SIGNAL", "KILL")]

    def __call__(self, name):
        if name not in self._names:
            raise ValueError(f"no step of this recipe: {name}")
        if name == self._last:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), self._signal)


def member():
    """What a consumer needs to be the member OWNER of GROUP."""
    session_ms = int(os.environ.get("SESSION_TIMEOUT_MS", 45_000))
    return {
        "bootstrap.servers": os.environ["BOOTSTRAP"],
        "group.id": os.environ["GROUP"],
        # Who comes back under this name is given its partitions at once.
        "group.instance.id": os.environ["OWNER"],
        "session.timeout.ms": session_ms,
        "heartbeat.interval.ms": session_ms // 3,
    }


def batches(consumer, most):
    """What comes, up to `most` records at once. Ends when it has partitions and nothing came for IDLE_EXIT_MS.

    Not at the end of a partition: behind its last record there may be holes, and whoever reads on there never hears of an end.
    """
    idle_s = float(os.environ.get("IDLE_EXIT_MS", "inf")) / 1000
    assigned, busy = [], time.monotonic()
    while time.monotonic() - busy < idle_s:
        messages = consumer.consume(most, 0.05)
        for message in messages:
            if message.error() is not None:
                raise KafkaException(message.error())
        if messages:
            yield messages
        before, assigned = assigned, consumer.assignment()
        if messages or not assigned or assigned != before:
            busy = time.monotonic()


def records(consumer):
    """The same, one record at a time."""
    for (message,) in batches(consumer, 1):
        yield message


def to_end(topic, partition):
    """What is committed in a partition, up to the end that it has now. Waits for the transactions that are open there."""
    here = TopicPartition(topic, partition)
    admin = AdminClient({"bootstrap.servers": os.environ["BOOTSTRAP"]})
    # The end of all that is written, not of what is committed: a transaction before it may be open, and others after it committed.
    asked = admin.list_offsets({here: OffsetSpec.latest()}, isolation_level=IsolationLevel.READ_UNCOMMITTED)
    end = asked[here].result(30).offset
    reader = Consumer({
        "bootstrap.servers": os.environ["BOOTSTRAP"],
        "group.id": "none: it commits nothing",
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
    })
    reader.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
    position = 0
    while position < end:
        message = reader.poll(1)
        if message is None:
            continue
        if message.error() is None:
            position = message.offset() + 1
            yield message
        elif message.error().code() == KafkaError._PARTITION_EOF:
            # Behind the last record there may be the marks of transactions, or holes.
            position = message.offset()
        else:
            raise KafkaException(message.error())
    reader.close()


def partitions_of(topic):
    """Their numbers; none of a topic that is not there."""
    topics = AdminClient({"bootstrap.servers": os.environ["BOOTSTRAP"]}).list_topics(timeout=30).topics
    return sorted(topics[topic].partitions) if topic in topics else []


def topic_ids(*topics):
    """A topic that is deleted and created anew has another id, and other records at the same offsets."""
    admin = AdminClient({"bootstrap.servers": os.environ["BOOTSTRAP"]})
    described = admin.describe_topics(TopicCollection(list(topics)))
    return [str(described[topic].result(30).topic_id) for topic in topics]


def header(message, name):
    """The last header of that name, as text."""
    return dict(message.headers())[name].decode()


def connect(url):
    """A database in which each statement is a transaction of its own, but between BEGIN and COMMIT; parameters are `?`."""
    if url.startswith("sqlite:"):
        return sqlite3.connect(url.removeprefix("sqlite:"), timeout=30, isolation_level=None)
    return Postgres(url)


class Postgres:
    def __init__(self, url):
        # Here, for it takes a second to load that programs on SQLite need not wait.
        import psycopg

        self._connection = psycopg.connect(url, autocommit=True)

    def execute(self, sql, values=()):
        return self._connection.execute(sql.replace("?", "%s"), values)
