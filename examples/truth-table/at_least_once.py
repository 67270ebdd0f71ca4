"""Acts on each record of INPUT, then commits its offset: the usual consumer."""

import os
import pathlib
import sys

from confluent_kafka import Consumer

sys.path.append(str(pathlib.Path(__file__).parents[1]))
from recipe import Steps, connect, header, member, records

step = Steps("received", "acted", "committed")

database = connect(os.environ["DATABASE_URL"])
consumer = Consumer({**member(), "enable.auto.commit": False, "auto.offset.reset": "earliest"})
consumer.subscribe([os.environ["INPUT"]])
for message in records(consumer):
    step("received")
    database.execute("INSERT INTO effects VALUES (?)", (header(message, "message-id"),))
    step("acted")
    consumer.commit(message, asynchronous=False)
    step("committed")
consumer.close()
