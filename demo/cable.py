"""The network between clients and broker. It breaks from time to time: requests have arrived by then, their answers get lost."""

import asyncio
import threading


class Cable:
    """Forwards connections to the broker that is plugged in; `address` is the one that clients are told."""

    def __init__(self):
        self.breaks, self._broker, self._writers, self._answers = 0, None, set(), True
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        server = self._do(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.address = "{}:{}".format(*server.sockets[0].getsockname())

    def plug_in(self, broker):
        self._broker = broker.rsplit(":", 1)

    def cut(self, answers_lost_s=0.03):
        """For a moment no answer comes back; then all connections are gone."""
        self._do(self._cut(answers_lost_s))
        self.breaks += 1

    def _do(self, what):
        return asyncio.run_coroutine_threadsafe(what, self._loop).result()

    async def _cut(self, answers_lost_s):
        self._answers = False
        await asyncio.sleep(answers_lost_s)
        for writer in list(self._writers):
            writer.transport.abort()
        self._answers = True

    async def _accept(self, client_reader, client_writer):
        try:
            broker_reader, broker_writer = await asyncio.open_connection(*self._broker)
        except OSError:
            client_writer.transport.abort()
            return
        pair = {client_writer, broker_writer}
        self._writers |= pair
        await asyncio.gather(
            self._forward(client_reader, broker_writer, lambda: True, pair),
            self._forward(broker_reader, client_writer, lambda: self._answers, pair),
        )
        self._writers -= pair

    async def _forward(self, reader, writer, passes, pair):
        try:
            while data := await reader.read(65536):
                if passes():
                    writer.write(data)
                    await writer.drain()
        except OSError:
            pass
        for each in pair:
            each.transport.abort()
