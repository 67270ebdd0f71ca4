"""What the scenarios of librdkafka share: clients of the broker at the address on the command line."""

import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

BOOTSTRAP = {"bootstrap.servers": sys.argv[1], "log_level": 2}
END = -1


def producer(**settings):
    return Producer({**BOOTSTRAP, "linger.ms": 5, **{key.replace("_", "."): value for key, value in settings.items()}})


def consumer(group="reader"):
    return Consumer({**BOOTSTRAP, "group.id": group, "enable.auto.commit": False, "auto.offset.reset": "earliest"})


def create(topic, partitions=1, configs=None):
    admin = AdminClient(BOOTSTRAP)
    admin.create_topics([NewTopic(topic, partitions, 1, config=configs or {})])[topic].result(30)
    return topic


def send(client, topic, values, **record):
    """Produces the values and returns the offsets they were acknowledged with."""
    offsets = []

    def report(error, message):
        assert error is None, error
        offsets.append(message.offset())

    for value in values:
        client.produce(topic, value, on_delivery=report, **record)
    assert client.flush(30) == 0, "not everything was delivered"
    return offsets


def read(topic, count, offset=0, partition=0, seconds=30):
    """The next `count` records from `offset`, by manual assignment."""
    reader = consumer()
    reader.assign([TopicPartition(topic, partition, offset)])
    found, deadline = [], time.monotonic() + seconds
    while len(found) < count and time.monotonic() < deadline:
        message = reader.poll(0.2)
        if message is not None:
            assert message.error() is None, message.error()
            found.append(message)
    reader.close()
    return found


def values(messages):
    return [message.value().decode() for message in messages]
