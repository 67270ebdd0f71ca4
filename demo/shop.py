"""The shop: it keeps the red packets that it owes in a table of its own, sends them, and marks them as sent."""

import json
import sqlite3
import time

from confluent_kafka import Producer

from actor import Actor

BATCH = 25
# There is no hurry, and there is to be time for trouble.
PAUSE_S = 0.08


def main():
    actor = Actor()
    outbox = sqlite3.connect(actor.database, isolation_level=None)
    producer = Producer(actor.config(actor.guarantees.producer_config()))
    acknowledged = []

    def note(error, message):
        if error is None:
            acknowledged.append(int(message.key()))

    while True:
        rows = outbox.execute("SELECT packet, account, cents FROM packets WHERE sent = 0 LIMIT ?", (BATCH,)).fetchall()
        for packet, account, cents in rows:
            value = {"packet": packet, "account": account, "cents": cents, "shop_life": actor.life}
            # The id is the packet's own: whoever sends it again, and whenever, sends the same.
            headers = {"packet-id": f"packet-{packet}"}
            producer.produce("packets", json.dumps(value), str(packet), headers=headers, on_delivery=note)
        if actor.guarantees.retries:
            while producer.flush(0.01):
                pass
        else:
            producer.poll(0)
        if not rows and not producer.flush(5):
            return
        time.sleep(PAUSE_S)
        actor.worst_moment()
        outbox.execute("BEGIN")
        outbox.executemany("UPDATE packets SET sent = 1 WHERE packet = ?", [(row[0],) for row in rows])
        outbox.executemany("UPDATE packets SET acknowledged = 1 WHERE packet = ?", [(packet,) for packet in acknowledged])
        outbox.execute("COMMIT")
        acknowledged.clear()


main()
