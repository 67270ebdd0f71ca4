"""Doubles the values of INPUT into OUTPUT, each message id once: result, id and offset are written in one transaction.

The ids stand in LEDGER, a compacted topic with as many partitions as INPUT, and outlive the offsets of the group.
"""

import os
import pathlib
import sys

from confluent_kafka import Consumer, Producer

sys.path.append(str(pathlib.Path(__file__).parents[1]))
from recipe import Steps, batches, header, member, to_end

step = Steps("ledger-loaded", "received", "written", "offsets-sent", "committed")

OUTPUT, LEDGER = os.environ["OUTPUT"], os.environ["LEDGER"]
# By partition: what ids the ledger holds.
done = {}


def load(consumer, partitions):
    """The ledger of a partition, before its first record is looked at. Waits for a predecessor's open transaction to end."""
    for part in partitions:
        done[part.partition] = {message.key() for message in to_end(LEDGER, part.partition)}
    step("ledger-loaded")


def write(message):
    message_id, known = header(message, "message-id").encode(), done[message.partition()]
    if message_id in known:
        return
    known.add(message_id)
    producer.produce(OUTPUT, str(2 * int(message.value())), message.key(), headers=message.headers())
    # Not without a value: compaction would remove the id.
    producer.produce(LEDGER, os.environ["OWNER"], message_id, partition=message.partition())


# Whoever comes back under its transactional id ends what it had begun. No error is handled: each ends the program, and with it a set
# that may hold ids of a transaction that was aborted.
producer = Producer({
    "bootstrap.servers": os.environ["BOOTSTRAP"],
    "transactional.id": f"{os.environ['GROUP']}-{os.environ['OWNER']}",
    # For so long an instance that is gone holds up those who read what it wrote, and its successor.
    "transaction.timeout.ms": int(os.environ.get("TRANSACTION_TIMEOUT_MS", 10_000)),
})
producer.init_transactions()
consumer = Consumer({
    **member(),
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    "isolation.level": "read_committed",
})
consumer.subscribe([os.environ["INPUT"]], on_assign=load)
for batch in batches(consumer, 100):
    step("received")
    producer.begin_transaction()
    for message in batch:
        write(message)
    # The ids are in the ledger before the offsets are sent: a successor whose generation refuses the offsets of this one waits for
    # the end of what it sees there.
    producer.flush()
    step("written")
    # Stops a zombie: refused if the group has gone on to another generation.
    offsets = consumer.position(consumer.assignment())
    producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata())
    step("offsets-sent")
    producer.commit_transaction()
    step("committed")
consumer.close()
