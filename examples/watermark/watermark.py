"""Books what INPUT says (key: account, value: cents) in a database, each record once.

How far each partition has been booked stands in the same database, and moves in the same transaction as the balance.
"""

import os
import pathlib
import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer

sys.path.append(str(pathlib.Path(__file__).parents[1]))
from recipe import Steps, connect, member, records, topic_ids

step = Steps("received", "watermark-moved", "effect-written", "committed")

# The condition stops a zombie. An instance that has lost the partition and does not know it yet comes with an offset that its
# successor has booked: it changes no row. While both are in a transaction, the second waits here for the first.
MOVE = """
    INSERT INTO watermarks (topic_id, partition, last_offset) VALUES (?, ?, ?)
    ON CONFLICT (topic_id, partition) DO UPDATE SET last_offset = excluded.last_offset
    WHERE watermarks.last_offset < excluded.last_offset
"""
LAST = "SELECT last_offset FROM watermarks WHERE topic_id = ? AND partition = ?"
BOOK = """
    INSERT INTO balances (account, cents) VALUES (?, ?)
    ON CONFLICT (account) DO UPDATE SET cents = balances.cents + excluded.cents
"""
# By partition: the id of the topic that is read.
topics = {}


def resume(consumer, partitions):
    """Reads on where the database says. What is committed in Kafka is for tools that show how far behind the group is."""
    # By id, not by name: a topic that was created anew begins at offset 0 again.
    (topic_id,) = topic_ids(os.environ["INPUT"])
    for part in partitions:
        topics[part.partition] = topic_id
        last = database.execute(LAST, (topic_id, part.partition)).fetchone()
        part.offset = last[0] + 1 if last else OFFSET_BEGINNING
    consumer.assign(partitions)


def book(topic_id, message):
    # SQLite: takes the lock for writing at once. PostgreSQL: READ COMMITTED, so that the condition sees what it waited for.
    database.execute(BEGIN)
    if database.execute(MOVE, (topic_id, message.partition(), message.offset())).rowcount == 1:
        step("watermark-moved")
        database.execute(BOOK, (message.key().decode(), int(message.value())))
        step("effect-written")
    database.execute("COMMIT")


database = connect(os.environ["DATABASE_URL"])
BEGIN = "BEGIN IMMEDIATE" if os.environ["DATABASE_URL"].startswith("sqlite:") else "BEGIN"
# Where the database points to what is no longer there, or not yet, records are missing: stop, and skip nothing in silence.
consumer = Consumer({**member(), "auto.offset.reset": "error", "isolation.level": "read_committed"})
consumer.subscribe([os.environ["INPUT"]], on_assign=resume)
for message in records(consumer):
    step("received")
    book(topics[message.partition()], message)
    step("committed")
consumer.close()
