"""What writers and the drain report: JSON lines for the checker, and payloads that carry their own checksum."""

import json
import threading
import time
import zlib


def payload(name, seq):
    """PRODUCER/SEQ/FILL/CRC32, as the checker reads it."""
    body = f"{name}/{seq}/" + "x" * (20 + seq % 200)
    return f"{body}/{zlib.crc32(body.encode()):08x}".encode()


class History:
    """A file of JSON lines in the order in which things were seen, whichever thread saw them."""

    def __init__(self, path, by_line=False):
        """`by_line`: whoever kills this process finds every line that was noted."""
        self._file = open(path, "w", buffering=1 if by_line else -1, encoding="utf-8")
        self._lock = threading.Lock()

    def note(self, **event):
        with self._lock:
            self._file.write(json.dumps(event) + "\n")

    def close(self):
        with self._lock:
            self._file.close()


class GroupHistory(History):
    """What a member of a group is told and does. Times are those of CLOCK_MONOTONIC, the same in all processes, in ns."""

    def __init__(self, path, name):
        super().__init__(path, by_line=True)
        self._name = name

    def _event(self, op, partition, **more):
        self.note(op=op, member=self._name, partition=partition, at=time.monotonic_ns(), **more)

    def assigned(self, partition):
        self._event("assigned", partition)

    def revoked(self, partition):
        self._event("revoked", partition)

    def processed(self, partition, offset, value):
        self._event("processed", partition, offset=offset, payload=value.decode(errors="replace"))

    def committing(self, partition, offset):
        self._event("committing", partition, offset=offset)

    def committed(self, partition, offset):
        self._event("committed", partition, offset=offset)


def transformed(value, txn):
    """A consumed payload as the transaction of this name writes it: the same value, the transaction in place of the fill."""
    producer, seq, _ = value.decode().split("/", 2)
    body = f"{producer}/{seq}/{txn}"
    return producer, int(seq), f"{body}/{zlib.crc32(body.encode()):08x}".encode()


class TransactionHistory(History):
    """What a transactional producer does and is told, a name for each of its transactions."""

    def __init__(self, path, transactional_id, instance):
        super().__init__(path, by_line=True)
        self._id, self._instance, self._count, self.txn = transactional_id, int(instance), 0, ""

    def initialized(self):
        self.note(op="initialized", id=self._id, instance=self._instance, at=time.monotonic_ns())

    def begin(self):
        self._count += 1
        self.txn = f"{self._id}.{self._instance}.{self._count}"
        self.note(op="begin", id=self._id, instance=self._instance, txn=self.txn, at=time.monotonic_ns())

    def consumed(self, partition, offset, value):
        self.note(op="consumed", txn=self.txn, partition=partition, offset=offset, payload=value.decode())

    def send(self, producer, seq, partition):
        self.note(op="send", txn=self.txn, producer=producer, seq=seq, partition=partition)

    def sent(self, txn, producer, seq, partition, offset):
        self.note(op="sent", txn=txn, producer=producer, seq=seq, partition=partition, offset=offset)

    def staged(self, partition, offset):
        self.note(op="staged", txn=self.txn, partition=partition, offset=offset)

    def ending(self, commit):
        self.note(op="ending", txn=self.txn, commit=commit, at=time.monotonic_ns())

    def ended(self, commit):
        self.note(op="ended", txn=self.txn, commit=commit, at=time.monotonic_ns())
