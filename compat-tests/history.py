"""What writers and the drain report: JSON lines for the checker, and payloads that carry their own checksum."""

import json
import threading
import zlib


def payload(name, seq):
    """PRODUCER/SEQ/FILL/CRC32, as the checker reads it."""
    body = f"{name}/{seq}/" + "x" * (20 + seq % 200)
    return f"{body}/{zlib.crc32(body.encode()):08x}".encode()


class History:
    """A file of JSON lines in the order in which things were seen, whichever thread saw them."""

    def __init__(self, path):
        self._file = open(path, "w", encoding="utf-8")
        self._lock = threading.Lock()

    def note(self, **event):
        with self._lock:
            self._file.write(json.dumps(event) + "\n")

    def close(self):
        with self._lock:
            self._file.close()
