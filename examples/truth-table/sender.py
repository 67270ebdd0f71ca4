"""Sends one message to INPUT and ends when it is acknowledged: `sender.py CLIENT_ID MESSAGE_ID`."""

import os
import sys

from confluent_kafka import KafkaException, Producer


def producer(bootstrap, client_id, idempotent=True):
    return Producer({
        "bootstrap.servers": bootstrap,
        "client.id": client_id,
        "acks": "all",
        "enable.idempotence": idempotent,
        "linger.ms": 0,
        # The only broker comes back at the same address: no need to begin anew, or to wait.
        "metadata.recovery.strategy": "none",
        "reconnect.backoff.ms": 10,
        "reconnect.backoff.max.ms": 50,
        "retry.backoff.ms": 20,
        "retry.backoff.max.ms": 50,
        "log_level": 0,
    })


def send(client, topic, message_id):
    """Hands it over; `acknowledged` waits. All that tells one message from another is its id."""

    def report(error, _):
        if error is not None:
            raise KafkaException(error)

    client.produce(topic, "1", message_id, headers={"message-id": message_id}, on_delivery=report)
    client.poll(0)


def acknowledged(client):
    if client.flush(60):
        raise TimeoutError("not acknowledged")


if __name__ == "__main__":
    life = producer(os.environ["BOOTSTRAP"], sys.argv[1])
    send(life, os.environ["INPUT"], sys.argv[2])
    acknowledged(life)
