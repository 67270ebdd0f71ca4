"""A recipe's program while it runs."""

import os
import signal
import subprocess
import tempfile
import time

PATIENCE_S = 60
LIVES_MAX = 5


class Failed(Exception):
    """It did what it must not do."""


class Program:
    """Started with what the world gives to `owner`, and with `more`."""

    def __init__(self, command, world, owner="ada", **more):
        self._command, self._environment = command, {**os.environ, **world.environment(owner)}
        # Deaths that nobody meant; it is started again after them, as by whatever supervises a service.
        self.restarts = 0
        self._start(more)

    def _start(self, more):
        self._told = tempfile.TemporaryFile("w+")
        environment = {**self._environment, **more}
        self._process = subprocess.Popen(self._command, env=environment, stdout=self._told, stderr=subprocess.STDOUT)

    def life(self):
        """Waits for its end, and tells how it came."""
        try:
            return self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise Failed(f"it never ends{self._output()}") from None
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()

    def until_stopped(self):
        """Waits until it has stopped itself; true unless it ended before."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            state = os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if state is not None:
                return state.si_code == os.CLD_STOPPED
            if time.monotonic() > deadline:
                self._process.kill()
                raise Failed(f"it never stops{self._output()}")
            time.sleep(0.01)

    def go_on(self):
        self._process.send_signal(signal.SIGCONT)

    def to_end(self):
        """Until it ends by itself; where it gave up, it is started again."""
        while (status := self.life()) != 0:
            self.restarts += 1
            if self.restarts == LIVES_MAX:
                raise Failed(f"it ended with {status} time and again{self._output()}")
            self._start({})

    def _output(self):
        self._told.seek(0)
        told = self._told.read().strip()
        return f":\n{told[-3000:]}" if told else ""
