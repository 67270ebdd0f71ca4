"""member BOOTSTRAP TOPIC GROUP NAME HISTORY: a member of a group that processes and commits by librdkafka until its stdin ends.

GROUP_PROTOCOL=consumer has it speak the protocol of KIP-848."""

import os
import sys
import threading

from confluent_kafka import Consumer, KafkaException, TopicPartition
from history import GroupHistory

bootstrap, topic, group, name, path = sys.argv[1:]
history = GroupHistory(path, name)
protocol = os.environ.get("GROUP_PROTOCOL", "classic")
# To a member of KIP-848 the broker says these.
own = {"partition.assignment.strategy": "range", "session.timeout.ms": 6000, "heartbeat.interval.ms": 500}
client = Consumer({
    **(own if protocol == "classic" else {}),
    "group.protocol": protocol,
    "bootstrap.servers": bootstrap,
    "group.id": group,
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    "max.poll.interval.ms": 10_000,
    "reconnect.backoff.max.ms": 500,
    "log_level": 2,
})
done = {}


def commit():
    """What is processed and not committed; an outcome that is not known stays open."""
    offsets = [TopicPartition(topic, partition, offset) for partition, offset in done.items()]
    if not offsets:
        return
    for part in offsets:
        history.committing(part.partition, part.offset)
    try:
        answers = client.commit(offsets=offsets, asynchronous=False)
    except KafkaException as error:
        print(name, error, file=sys.stderr)
        return
    for part in answers:
        if part.error is None:
            history.committed(part.partition, part.offset)
            done.pop(part.partition)


def on_assign(_, parts):
    for part in parts:
        history.assigned(part.partition)


def on_revoke(_, parts):
    commit()
    lose(_, parts)


def lose(_, parts):
    for part in parts:
        done.pop(part.partition, None)
        history.revoked(part.partition)


ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
client.subscribe([topic], on_assign=on_assign, on_revoke=on_revoke, on_lost=lose)
while not ended.is_set():
    for message in client.consume(200, 0.2):
        if message.error() is None:
            history.processed(message.partition(), message.offset(), message.value())
            done[message.partition()] = message.offset() + 1
    commit()
client.close()
history.close()
