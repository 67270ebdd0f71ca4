"""writer BOOTSTRAP TOPIC PARTITIONS NAME HISTORY: writes unique values by kafka-python until its stdin ends."""

import sys
import threading
import time

from kafka import KafkaProducer
from history import History, payload

bootstrap, topic, partitions, name, path = sys.argv[1:]
history = History(path)
client = KafkaProducer(
    bootstrap_servers=bootstrap, enable_idempotence=True, acks="all", linger_ms=5, delivery_timeout_ms=600_000
)


def acknowledged(seq):
    return lambda meta: history.note(op="ok", producer=name, seq=seq, partition=meta.partition, offset=meta.offset)


def gave_up(seq):
    def note(error):
        print(name, seq, error, file=sys.stderr)
        history.note(op="unknown", producer=name, seq=seq)

    return note


ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
seq = 0
under_way = []
while not ended.is_set():
    history.note(op="invoke", producer=name, seq=seq)
    future = client.send(topic, payload(name, seq), partition=seq % int(partitions))
    future.add_callback(acknowledged(seq))
    future.add_errback(gave_up(seq))
    under_way.append(future)
    seq += 1
    time.sleep(0.002)
    while len(under_way) > 2000 and not ended.is_set():
        under_way = [future for future in under_way if not future.is_done]
        time.sleep(0.05)
client.flush(300)
client.close()
history.close()
