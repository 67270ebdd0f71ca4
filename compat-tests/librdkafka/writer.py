"""writer BOOTSTRAP TOPIC PARTITIONS NAME HISTORY: writes unique values by librdkafka until its stdin ends."""

import sys
import threading
import time

from confluent_kafka import Producer
from history import History, payload

bootstrap, topic, partitions, name, path = sys.argv[1:]
history = History(path)
client = Producer({
    "bootstrap.servers": bootstrap,
    "enable.idempotence": True,
    "acks": "all",
    "linger.ms": 5,
    "message.timeout.ms": 600_000,
    "log_level": 2,
})


def report_as(seq):
    def report(error, message):
        if error is not None:
            print(name, seq, error, file=sys.stderr)
            history.note(op="unknown", producer=name, seq=seq)
        else:
            history.note(op="ok", producer=name, seq=seq, partition=message.partition(), offset=message.offset())

    return report


ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
seq = 0
while not ended.is_set():
    history.note(op="invoke", producer=name, seq=seq)
    client.produce(topic, payload(name, seq), partition=seq % int(partitions), on_delivery=report_as(seq))
    seq += 1
    client.poll(0)
    time.sleep(0.001)
    while len(client) > 2000 and not ended.is_set():
        client.poll(0.1)
left = client.flush(300)
history.close()
sys.exit(1 if left else 0)
