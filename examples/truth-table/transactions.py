"""Copies each record of INPUT into OUTPUT; the copy and the offset are written in one transaction.

It also has an effect outside of Kafka, in a database, of which the transaction knows nothing."""

import os
import pathlib
import sys

from confluent_kafka import Consumer, Producer

sys.path.append(str(pathlib.Path(__file__).parents[1]))
from recipe import Steps, connect, header, member, records

step = Steps("received", "written", "offsets-sent", "committed")

database = connect(os.environ["DATABASE_URL"])
producer = Producer({
    "bootstrap.servers": os.environ["BOOTSTRAP"],
    "transactional.id": f"{os.environ['GROUP']}-{os.environ['OWNER']}",
    "transaction.timeout.ms": 10_000,
})
producer.init_transactions()
consumer = Consumer({
    **member(),
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    "isolation.level": "read_committed",
})
consumer.subscribe([os.environ["INPUT"]])
for message in records(consumer):
    step("received")
    producer.begin_transaction()
    producer.produce(os.environ["OUTPUT"], message.value(), message.key(), headers=message.headers())
    database.execute("INSERT INTO effects VALUES (?)", (header(message, "message-id"),))
    producer.flush()
    step("written")
    # Stops a zombie: refused if the group has gone on to another generation.
    offsets = consumer.position(consumer.assignment())
    producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata())
    step("offsets-sent")
    producer.commit_transaction()
    step("committed")
consumer.close()
