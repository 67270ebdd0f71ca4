"""The opener: it takes packets from one topic and puts what is in them, a credit for an account, into another."""

import json
import sys

from confluent_kafka import Consumer, KafkaException, Producer

from actor import Actor


def main():
    actor = Actor()
    on = actor.guarantees
    consumer = Consumer(actor.config({**on.consumer_config(), "group.id": "opener", "group.instance.id": "opener"}))
    consumer.subscribe(["packets"])
    transactional = {"transactional.id": "opener", "transaction.timeout.ms": 10_000} if on.transactions else {}
    producer = Producer(actor.config({**on.producer_config(), **transactional}))
    if on.transactions:
        producer.init_transactions()
    while True:
        packets = [message for message in consumer.consume(25, 0.05) if message.error() is None]
        if not packets:
            continue
        if on.transactions:
            producer.begin_transaction()
        for packet in packets:
            credit = {**json.loads(packet.value()), "packet_offset": packet.offset(), "opener_life": actor.life}
            producer.produce("credits", json.dumps(credit), packet.key())
        if on.transactions:
            producer.send_offsets_to_transaction(consumer.position(consumer.assignment()), consumer.consumer_group_metadata())
            producer.flush()
            actor.worst_moment()
            producer.commit_transaction()
        elif on.retries:
            while producer.flush(0.01):
                pass
            actor.worst_moment()
            consumer.commit(asynchronous=False)
        else:
            actor.worst_moment()
            producer.poll(0)


try:
    main()
except KafkaException as error:
    # The next life goes on from what has been committed; a transaction that is open is aborted by then.
    sys.exit(f"opener: {error}")
