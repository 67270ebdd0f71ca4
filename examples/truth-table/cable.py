"""The network between clients and broker, which loses the answers to one client's Produce requests when it is told to."""

import asyncio
import contextlib
import struct
import threading

PRODUCE = 0
PATIENCE_S = 60


class Cable:
    """Forwards connections to the broker that is plugged in; `address` is the one that clients are told."""

    def __init__(self):
        self._broker, self._lost, self._produced = None, {}, {}
        self._connections = set()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._server = self._do(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.address = "{}:{}".format(*self._server.sockets[0].getsockname())

    def plug_in(self, broker):
        self._broker = broker.rsplit(":", 1)

    @contextlib.contextmanager
    def answers_lost(self, client_id):
        """Inside, no answer to a Produce of this client gets through; at the end its connections are gone.

        Gives an event that is set once such an answer was there: by then the broker has stored what was sent."""
        answered = threading.Event()
        self._lost[client_id] = answered
        try:
            yield answered
        finally:
            self._do(self._cut(client_id))

    def produced(self, client_id):
        """How many Produce requests of this client have passed."""
        return self._produced.get(client_id, 0)

    def close(self):
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _do(self, what):
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(PATIENCE_S)

    async def _cut(self, client_id):
        for connection in [each for each in self._connections if each.client_id == client_id]:
            connection.abort()
        del self._lost[client_id]

    async def _close(self):
        self._server.close()
        for connection in list(self._connections):
            connection.abort()

    async def _accept(self, reader, writer):
        try:
            broker_reader, broker_writer = await asyncio.open_connection(*self._broker)
        except OSError:
            writer.transport.abort()
            return
        connection = _Connection((writer, broker_writer))
        self._connections.add(connection)
        try:
            await asyncio.gather(self._requests(connection, reader, broker_writer), self._answers(connection, broker_reader, writer))
        finally:
            self._connections.discard(connection)

    async def _requests(self, connection, reader, broker_writer):
        async for frame in _frames(reader, connection):
            api, _, correlation_id, length = struct.unpack_from(">hhih", frame, 4)
            connection.client_id = frame[14 : 14 + max(length, 0)].decode()
            if api == PRODUCE:
                connection.produces.add(correlation_id)
                self._produced[connection.client_id] = self.produced(connection.client_id) + 1
            broker_writer.write(frame)

    async def _answers(self, connection, broker_reader, writer):
        async for frame in _frames(broker_reader, connection):
            (correlation_id,) = struct.unpack_from(">i", frame, 4)
            is_produce = correlation_id in connection.produces
            connection.produces.discard(correlation_id)
            if is_produce and connection.client_id in self._lost:
                self._lost[connection.client_id].set()
            else:
                writer.write(frame)


class _Connection:
    def __init__(self, writers):
        self.client_id, self.produces, self._writers = None, set(), writers

    def abort(self):
        for writer in self._writers:
            writer.transport.abort()


async def _frames(reader, connection):
    """Each with its length in front. When one side ends, so does the other."""
    try:
        while True:
            head = await reader.readexactly(4)
            yield head + await reader.readexactly(*struct.unpack(">i", head))
    except (OSError, asyncio.IncompleteReadError):
        connection.abort()
