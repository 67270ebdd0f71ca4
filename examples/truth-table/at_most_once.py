"""Commits the offset of each record of INPUT, then acts on it."""

import os
import pathlib
import sys

from confluent_kafka import Consumer

sys.path.append(str(pathlib.Path(__file__).parents[1]))
from recipe import Steps, connect, header, member, records

step = Steps("received", "committed", "acted")

database = connect(os.environ["DATABASE_URL"])
consumer = Consumer({**member(), "enable.auto.commit": False, "auto.offset.reset": "earliest"})
consumer.subscribe([os.environ["INPUT"]])
for message in records(consumer):
    step("received")
    consumer.commit(message, asynchronous=False)
    step("committed")
    database.execute("INSERT INTO effects VALUES (?)", (header(message, "message-id"),))
    step("acted")
consumer.close()
