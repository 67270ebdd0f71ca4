#!/usr/bin/env python3
"""load.py BOOTSTRAP SECONDS: the traffic of a small shop, so that every panel has something to show.

Idempotent, transactional and plain producers, groups that keep up and one that does not, a transaction that stays open, an error
now and then. One process, a few threads, a bounded rate."""

import random
import socket
import struct
import sys
import threading
import time
import uuid

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

TOPICS = {"orders": 6, "payments": 3, "clicks": 6, "mail": 1, "red-packets": 1}
CONFIGS = {"red-packets": {"message.dedup.mode": "window"}}


def until(deadline, pause):
    while time.monotonic() < deadline:
        yield
        time.sleep(pause)


def produce(bootstrap, deadline, topic, pause, **settings):
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, **settings})
    for _ in until(deadline, pause):
        for _ in range(random.randint(5, 60)):
            producer.produce(topic, key=str(random.randint(0, 999)), value=random.randbytes(random.randint(50, 900)))
        producer.poll(0)
    producer.flush()


def transact(bootstrap, deadline, number):
    """Reads orders, writes payments, commits both; aborts one in ten."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "billing", "enable.auto.commit": False, "auto.offset.reset": "earliest", "isolation.level": "read_committed"})
    consumer.subscribe(["orders"])
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": f"billing-{number}"})
    producer.init_transactions()
    for _ in until(deadline, 0.05):
        records = consumer.consume(200, 0.2)
        if not records:
            continue
        producer.begin_transaction()
        for record in records:
            producer.produce("payments", key=record.key(), value=record.value())
        try:
            producer.send_offsets_to_transaction(consumer.position(consumer.assignment()), consumer.consumer_group_metadata())
            if random.random() < 0.1:
                producer.abort_transaction()
            else:
                producer.commit_transaction()
        except KafkaException as error:
            # A rebalance came between: what was read is read again.
            print(error, file=sys.stderr)
            producer.abort_transaction()
    consumer.close()


def consume(bootstrap, deadline, group, topics, pause, **settings):
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest", "auto.commit.interval.ms": 1000, **settings})
    consumer.subscribe(topics)
    for _ in until(deadline, pause):
        consumer.consume(500, 0.2)
    consumer.close()


def hold(bootstrap, deadline):
    """A transaction that stays open, begun anew each half minute."""
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": "slow-export", "transaction.timeout.ms": 120_000})
    producer.init_transactions()
    while time.monotonic() < deadline:
        producer.begin_transaction()
        producer.produce("mail", value=b"draft")
        producer.flush()
        for _ in until(min(deadline, time.monotonic() + 30), 0.5):
            pass
        producer.commit_transaction()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def repeat(bootstrap, deadline):
    """Sends each batch once and some of them again, as a producer does whose answers get lost. Clients do not do so on demand."""
    host, port = bootstrap.rsplit(":", 1)
    with socket.create_connection((host, int(port))) as connection:

        def ask(key, version, body):
            frame = struct.pack(">hhih", key, version, 0, -1) + body
            connection.sendall(struct.pack(">i", len(frame)) + frame)
            length = struct.unpack(">i", connection.recv(4, socket.MSG_WAITALL))[0]
            return connection.recv(length, socket.MSG_WAITALL)[4:]

        # Throttle time and error come before both.
        producer, epoch = struct.unpack(">qh", ask(22, 0, struct.pack(">hi", -1, 60_000))[6:16])
        sequence = 0
        for _ in until(deadline, 0.3):
            value = b"once" * 10
            record = struct.pack("BBBB", 0, 0, 0, 1) + bytes([2 * len(value)]) + value + b"\0"
            records = bytes([2 * len(record)]) + record
            now = int(time.time() * 1000)
            # Attributes, last offset delta, both timestamps, producer, epoch, sequence, count.
            counted = struct.pack(">hiqqqhii", 0, 0, now, now, producer, epoch, sequence, 1) + records
            tail = struct.pack(">ibI", -1, 2, crc32c(counted)) + counted
            batch = struct.pack(">qi", 0, len(tail)) + tail
            body = struct.pack(">hhi", -1, -1, 10_000) + struct.pack(">ih4sii", 1, 4, b"mail", 1, 0) + struct.pack(">i", len(batch)) + batch
            ask(0, 3, body)
            sequence += 1
            if random.random() < 0.3:
                time.sleep(random.choice([0.01, 0.2, 0.6]))
                ask(0, 3, body)


def resend(bootstrap, deadline):
    """Sends messages with ids and some of them again, later or at once, as senders that restart and relays that replay."""
    producer = Producer({"bootstrap.servers": bootstrap, "client.id": "relay", "linger.ms": 20})
    sent = []
    for _ in until(deadline, 0.1):
        new = [str(uuid.uuid4()) for _ in range(random.randint(1, 20))]
        again = random.sample(sent, min(len(sent), random.choice([0, 0, 5]))) + random.sample(new, 1)
        for message in new + again:
            producer.produce("red-packets", partition=0, value=b"8.88", headers=[("message-id", message)])
        sent = (sent + new)[-5000:]
        producer.poll(0)
    producer.flush()


def fence(bootstrap, deadline):
    """Two instances of one transactional id, of which each shuts the other out."""
    for _ in until(deadline, 8):
        older, newer = (Producer({"bootstrap.servers": bootstrap, "transactional.id": "twins"}) for _ in range(2))
        older.init_transactions()
        older.begin_transaction()
        older.produce("mail", value=b"late")
        older.flush()
        newer.init_transactions()
        try:
            older.commit_transaction()
        except KafkaException:
            pass


def err(bootstrap, deadline):
    """Commits for a member that does not exist, and asks for a topic that does not."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "billing", "allow.auto.create.topics": False})
    for _ in until(deadline, 1):
        try:
            consumer.commit(offsets=[TopicPartition("orders", 0, 0)], asynchronous=False)
        except KafkaException:
            pass
    consumer.close()


def bootstrap_only(bootstrap, deadline):
    """A client that was told an address which it cannot reach: it has but its first connection, and asks again there."""
    host, port = bootstrap.rsplit(":", 1)
    with socket.create_connection((host, int(port))) as connection:
        for _ in until(deadline, 5):
            frame = struct.pack(">hhih4si", 3, 1, 0, 4, b"lost", 0)
            connection.sendall(struct.pack(">i", len(frame)) + frame)
            connection.recv(struct.unpack(">i", connection.recv(4, socket.MSG_WAITALL))[0], socket.MSG_WAITALL)


def main():
    bootstrap, seconds = sys.argv[1], float(sys.argv[2])
    deadline = time.monotonic() + seconds
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for made in admin.create_topics([NewTopic(topic, count, 1, config=CONFIGS.get(topic, {})) for topic, count in TOPICS.items()]).values():
        made.result()
    idempotent = {"enable.idempotence": True}
    work = [
        (produce, "orders", 0.1, idempotent),
        (produce, "clicks", 0.05, {"acks": 1, "compression.type": "lz4"}),
        (produce, "mail", 0.5, idempotent),
        (transact, 1, None, {}),
        (transact, 2, None, {}),
    ]
    threads = []
    for function, *arguments, settings in work:
        arguments = [argument for argument in arguments if argument is not None]
        threads.append(threading.Thread(target=function, args=(bootstrap, deadline, *arguments), kwargs=settings))
    threads += [
        threading.Thread(target=consume, args=(bootstrap, deadline, "dashboard", ["clicks", "payments"], 0.1)),
        threading.Thread(target=consume, args=(bootstrap, deadline, "mailer", ["mail"], 0.1), kwargs={"isolation.level": "read_committed"}),
        # Slower than what it reads.
        threading.Thread(target=consume, args=(bootstrap, deadline, "archive", ["clicks"], 4.0), kwargs={"max.partition.fetch.bytes": 20_000, "queued.min.messages": 10}),
        threading.Thread(target=hold, args=(bootstrap, deadline)),
        threading.Thread(target=err, args=(bootstrap, deadline)),
        threading.Thread(target=repeat, args=(bootstrap, deadline)),
        threading.Thread(target=resend, args=(bootstrap, deadline)),
        threading.Thread(target=fence, args=(bootstrap, deadline)),
        threading.Thread(target=bootstrap_only, args=(bootstrap, deadline)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
