"""copier BOOTSTRAP INPUT OUTPUT GROUP TRANSACTIONAL_ID INSTANCE HISTORY: consumes, transforms and produces in transactions by
librdkafka, some of them aborted, until its stdin ends; as Kafka's TransactionalMessageCopier does."""

import faulthandler
import os
import random
import signal
import sys
import threading

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from history import TransactionHistory, transformed

bootstrap, source, target, group, transactional_id, instance, path = sys.argv[1:]
faulthandler.register(signal.SIGQUIT)
history = TransactionHistory(path, transactional_id, instance)
chance = random.Random(f"{transactional_id} {instance}")
shared = {"bootstrap.servers": bootstrap, "reconnect.backoff.max.ms": 500, "log_level": 2}
# Cooperation is left out: after an abort the copier goes back to what is committed, in all of its partitions.
consumer = Consumer({
    **shared,
    "group.id": group,
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    "isolation.level": "read_committed",
    "partition.assignment.strategy": "range",
    "session.timeout.ms": 6000,
    "heartbeat.interval.ms": 500,
})
producer = Producer({**shared, "transactional.id": transactional_id, "transaction.timeout.ms": 10_000, "linger.ms": 2})
mine = []
# What the process ends with if the client hangs: it is started again as if it had been killed.
HUNG = 75


class Abort(Exception):
    """The transaction cannot be committed."""


def until_done(call):
    """Calls again what may be called again, as the client says; it waits for the broker by itself."""
    while True:
        try:
            return call()
        except KafkaException as failure:
            error = failure.args[0]
            if error.retriable():
                print(transactional_id, instance, "again:", error, file=sys.stderr, flush=True)
                continue
            if error.txn_requires_abort():
                print(transactional_id, instance, error, file=sys.stderr)
                raise Abort from failure
            raise


def copy(messages):
    offsets = {}
    for message in messages:
        partition = message.partition()
        history.consumed(partition, message.offset(), message.value())
        name, seq, value = transformed(message.value(), history.txn)
        history.send(name, seq, partition)
        producer.produce(target, value, partition=partition, on_delivery=report_as(history.txn, name, seq))
        offsets[partition] = message.offset() + 1
    staged = [TopicPartition(source, partition, offset) for partition, offset in offsets.items()]
    member = consumer.consumer_group_metadata()
    # Now and then the client never comes back from this after a lost connection, whatever its timeout says
    # (confluentinc/librdkafka#5456): it sends nothing any more.
    hung = threading.Timer(20, os._exit, [HUNG])
    hung.start()
    until_done(lambda: producer.send_offsets_to_transaction(staged, member, 10))
    hung.cancel()
    for part in staged:
        history.staged(part.partition, part.offset)


def report_as(txn, name, seq):
    def report(error, message):
        if error is None:
            history.sent(txn, name, seq, message.partition(), message.offset())

    return report


def transaction(messages):
    """One transaction of these records."""
    producer.begin_transaction()
    history.begin()
    try:
        copy(messages)
        if chance.random() < 0.2:
            raise Abort
        history.ending(True)
        until_done(lambda: producer.commit_transaction(10))
        history.ended(True)
    except Abort:
        history.ending(False)
        until_done(lambda: producer.abort_transaction(10))
        history.ended(False)
        go_back()


def go_back():
    """To what is committed, or to the start where nothing is."""
    while mine:
        try:
            committed = consumer.committed(mine, 5)
            for part in committed:
                if part.error is not None:
                    raise KafkaException(part.error)
            for part in committed:
                consumer.seek(TopicPartition(source, part.partition, max(part.offset, 0)))
            return
        except KafkaException as error:
            print(transactional_id, instance, "going back:", error, file=sys.stderr)


def on_assign(_, parts):
    mine[:] = [TopicPartition(part.topic, part.partition) for part in parts]


def on_revoke(_, parts):
    mine.clear()


ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
until_done(lambda: producer.init_transactions(30))
history.initialized()
consumer.subscribe([source], on_assign=on_assign, on_revoke=on_revoke, on_lost=on_revoke)
while not ended.is_set():
    read = [message for message in consumer.consume(chance.randint(1, 200), 0.2) if message.error() is None]
    if read:
        transaction(read)
consumer.close()
history.close()
