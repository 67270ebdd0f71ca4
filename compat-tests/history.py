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
