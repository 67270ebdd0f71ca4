"""Doubles the values of INPUT into OUTPUT, each record once: a result carries the number of its source.

OUTPUT has message.dedup.mode=sequence and as many partitions as INPUT. Result and resume point are one write, without a transaction.
"""

import os
import pathlib
import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer

sys.path.append(str(pathlib.Path(__file__).parents[1]))
from recipe import Steps, batches, member, partitions_of, to_end, topic_ids

step = Steps("resumed", "received", "handed-over", "stored")

INPUT, OUTPUT, SEQUENCES = os.environ["INPUT"], os.environ["OUTPUT"], "__einmal_sequences"
# By partition: the name under which its results are counted.
names = {}


def resume(consumer, partitions):
    """Reads on behind the source of the newest result. What is committed in Kafka is for tools that show how far behind the group is."""
    # The source's id, not its name: one that was created anew counts from 1 again.
    input_id, output_id = topic_ids(INPUT, OUTPUT)
    # It is there once something has been numbered. The newest record of a key counts; one without a value ends it.
    told = (message for partition in partitions_of(SEQUENCES) for message in to_end(SEQUENCES, partition))
    reached = {message.key().decode(): int(message.value() or 0) for message in told}
    for part in partitions:
        name = names[part.partition] = f"{input_id}/{part.partition}"
        # The number of a result is the offset of its source and 1, and so the offset of the next.
        part.offset = reached.get(f"{OUTPUT}/{output_id}/{part.partition}/{name}") or OFFSET_BEGINNING
    step("resumed")
    consumer.assign(partitions)


def failed(error, message):
    """Nothing may follow a result that was not stored: its number would be passed, and it could not be sent again."""
    if error is not None:
        print(error, file=sys.stderr, flush=True)
        os._exit(1)


# In order, whatever is sent again, and for as long as it takes.
producer = Producer({
    "bootstrap.servers": os.environ["BOOTSTRAP"],
    "enable.idempotence": True,
    "enable.gapless.guarantee": True,
    "message.timeout.ms": 0,
})
# Where the number points to what is no longer there, records are missing: stop, and skip nothing in silence.
consumer = Consumer({**member(), "auto.offset.reset": "error", "isolation.level": "read_committed"})
consumer.subscribe([INPUT], on_assign=resume)
for batch in batches(consumer, 100):
    step("received")
    for message in batch:
        part = message.partition()
        # Stops a zombie: what its successor has sent is not above the number of this name, and is not stored again.
        numbered = {"producer-name": names[part], "producer-sequence": str(message.offset() + 1)}
        result = str(2 * int(message.value()))
        producer.produce(OUTPUT, result, message.key(), part, headers=numbered, on_delivery=failed)
        step("handed-over")
    producer.flush()
    step("stored")
consumer.close()
