"""Does each job of INPUT once, whoever else is given it too: who may do it, LEDGER says.

The effect lies where no transaction reaches, and can be asked whether it has happened; here it is the table `done`.
"""

import os
import pathlib
import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

sys.path.append(str(pathlib.Path(__file__).parents[1]))
from recipe import Steps, connect, header, member, partitions_of, records, to_end

step = Steps("received", "refused", "claimed", "looked", "acted", "committed")

GROUP, OWNER, LEDGER = os.environ["GROUP"], os.environ["OWNER"], os.environ["LEDGER"]
# Longer than the effect takes and a program that was killed needs to come back. Within it nobody takes a claim over.
LEASE_MS = int(os.environ.get("LEASE_MS", 60_000))


def claim(job, from_owner):
    """Whether the claim is ours. Who sends its own again gets the same answer."""
    headers = {"claim-expires": str(LEASE_MS)}
    if from_owner:
        headers["claim-takes-over"] = from_owner
    outcome = []
    producer.produce(LEDGER, OWNER, f"{GROUP}/{job}", headers=headers, on_delivery=lambda error, _: outcome.append(error))
    producer.flush()
    (error,) = outcome
    if error is not None and error.code() != KafkaError.INVALID_RECORD:
        raise KafkaException(error)
    return error is None


def owner_of(job):
    """Whose claim was accepted last."""
    everywhere = (message for partition in partitions_of(LEDGER) for message in to_end(LEDGER, partition))
    owners = [message.value().decode() for message in everywhere if message.key().decode() == f"{GROUP}/{job}"]
    if not owners:
        sys.exit(f"{LEDGER} refuses the claim of {GROUP}/{job} and has no record of another: retention has deleted it before the claim "
                 "was over. Set cleanup.policy=compact there; the job goes on after message.dedup.window.ms")
    return owners[-1]


def is_ours(job):
    """Waits until the claim is ours, or the job is done. An owner that died has it until its lease is over."""
    from_owner = None
    while not claim(job, from_owner):
        step("refused")
        if is_done(job):
            return False
        from_owner = owner_of(job)
        time.sleep(min(1, LEASE_MS / 10_000))
    return True


def is_done(job):
    return database.execute("SELECT count(*) FROM done WHERE job = ?", (job,)).fetchone()[0] > 0


database = connect(os.environ["DATABASE_URL"])
# A refused claim takes its neighbours along: each travels alone.
producer = Producer({
    "bootstrap.servers": os.environ["BOOTSTRAP"],
    "batch.num.messages": 1,
    "linger.ms": 0,
    "acks": "all",
    "enable.idempotence": False,
})
consumer = Consumer({**member(), "enable.auto.commit": False, "auto.offset.reset": "earliest"})
consumer.subscribe([os.environ["INPUT"]])
for message in records(consumer):
    job = header(message, "message-id")
    step("received")
    if is_ours(job):
        step("claimed")
        # It may be an earlier claim, of ours or of one who died, and done since. No one else acts between this look and the effect.
        if not is_done(job):
            step("looked")
            database.execute("INSERT INTO done (job, owner) VALUES (?, ?)", (job, OWNER))
            step("acted")
    consumer.commit(message, asynchronous=False)
    step("committed")
consumer.close()
