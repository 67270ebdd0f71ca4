"""As much of a ZooKeeper as Burrow wants to see before it starts: sessions are opened, and every node is made as soon as it is asked for."""

import contextlib
import socketserver
import struct
import threading

CREATE, EXISTS, CLOSE = 1, 3, -11
OK, NO_NODE = 0, -101


class _Session(socketserver.StreamRequestHandler):
    def handle(self):
        # Protocol, timeout in ms, session, password.
        if self._read():
            self._write(struct.pack(">iiqi", 0, 10_000, 1, 16) + bytes(16))
        while frame := self._read():
            xid, kind = struct.unpack(">ii", frame[:8])
            path = frame[8 : 12 + struct.unpack(">i", frame[8:12])[0]] if kind == CREATE else b""
            self._write(struct.pack(">iqi", xid, 1, NO_NODE if kind == EXISTS else OK) + path)
            if kind == CLOSE:
                return

    def _read(self):
        head = self.rfile.read(4)
        return self.rfile.read(struct.unpack(">i", head)[0]) if len(head) == 4 else b""

    def _write(self, body):
        self.wfile.write(struct.pack(">i", len(body)) + body)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


@contextlib.contextmanager
def running():
    """Its address."""
    with _Server(("127.0.0.1", 0), _Session) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
