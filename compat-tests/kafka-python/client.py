"""What the scenarios of kafka-python share: clients of the broker at the address on the command line."""

import sys

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from scenario import until

BOOTSTRAP = sys.argv[1]


def producer(**settings):
    return KafkaProducer(bootstrap_servers=BOOTSTRAP, **settings)


def consumer(group=None, **settings):
    return KafkaConsumer(
        bootstrap_servers=BOOTSTRAP, group_id=group, enable_auto_commit=False, auto_offset_reset="earliest", **settings
    )


def create(topic, partitions=1, configs=None):
    admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    admin.create_topics([NewTopic(topic, num_partitions=partitions, replication_factor=1, topic_configs=configs)])
    admin.close()
    return topic


def send(client, topic, values, **record):
    """Produces the values and returns the offsets they were acknowledged with."""
    futures = [client.send(topic, value and value.encode(), **record) for value in values]
    client.flush(30)
    return [future.get(30).offset for future in futures]


def read(topic, count, offset=0, partition=0):
    """The next `count` records from `offset`, by manual assignment."""
    reader, place = consumer(), TopicPartition(topic, partition)
    reader.assign([place])
    reader.seek(place, offset)
    found = []
    until(lambda: found.extend(reader.poll(200).get(place, [])) or len(found) >= count)
    reader.close()
    return found[:count]


def values(records):
    return [record.value.decode() for record in records]
