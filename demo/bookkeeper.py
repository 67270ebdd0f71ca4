"""The bookkeeper: it adds each credit to its account, in a database that knows nothing of Kafka."""

import json
import sqlite3
import sys
import time

from confluent_kafka import Consumer, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from actor import Actor

# Books are kept with care.
WORK_S = 0.03
CREDIT = """INSERT INTO credits (packet, account, cents, shop_life, packet_offset, opener_life, credit_offset)
            VALUES (:packet, :account, :cents, :shop_life, :packet_offset, :opener_life, :credit_offset)"""
# The condition is what makes it safe: whoever comes with an offset that has been seen, a second instance or an older one, changes
# no row, and then nothing.
ADVANCE = "UPDATE watermarks SET next_offset = :offset + 1 WHERE topic_id = :topic_id AND next_offset <= :offset"


def main():
    actor = Actor()
    on = actor.guarantees
    ledger = sqlite3.connect(actor.database, isolation_level=None, timeout=10)
    config = actor.config({**on.consumer_config(), "group.id": "bookkeeper", "group.instance.id": "bookkeeper"})
    consumer = Consumer(config)
    # A topic that is created anew has the same name and other records.
    topic_id = id_of(actor, "credits")
    ledger.execute("INSERT OR IGNORE INTO watermarks VALUES (?, 0)", (topic_id,))

    def assigned(consumer, partitions):
        if on.watermark:
            for partition in partitions:
                watermark = ledger.execute("SELECT next_offset FROM watermarks WHERE topic_id = ?", (topic_id,))
                partition.offset = watermark.fetchone()[0]
            consumer.assign(partitions)

    consumer.subscribe(["credits"], on_assign=assigned)
    while True:
        messages = [message for message in consumer.consume(25, 0.05) if message.error() is None]
        if not messages:
            continue
        time.sleep(WORK_S)
        if not on.retries:
            # Between reading and booking, where the clock may have committed already.
            actor.worst_moment()
        ledger.execute("BEGIN IMMEDIATE")
        for message in messages:
            offset = message.offset()
            if on.watermark and ledger.execute(ADVANCE, {"offset": offset, "topic_id": topic_id}).rowcount == 0:
                continue
            credit = {**json.loads(message.value()), "credit_offset": offset}
            ledger.execute("UPDATE accounts SET cents = cents + :cents WHERE account = :account", credit)
            ledger.execute(CREDIT, credit)
        ledger.execute("COMMIT")
        actor.worst_moment()
        if on.retries:
            consumer.commit(asynchronous=False)


def id_of(actor, topic):
    admin = AdminClient(actor.config({}))
    described = admin.describe_topics(TopicCollection([topic]))
    return str(described[topic].result(10).topic_id)


try:
    main()
except KafkaException as error:
    sys.exit(f"bookkeeper: {error}")
