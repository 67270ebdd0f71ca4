"""A broker with a plug: pulling it kills the broker and takes from its write-ahead log what no fsync has told the disk of."""

import os
import pathlib
import signal
import subprocess
import time


class Broker:
    """The broker of ../compat-tests/broker, behind a cable, in a directory of its own."""

    def __init__(self, directory, shim, cable):
        self.directory, self.cuts, self.lost_bytes = directory, 0, 0
        self._fsync_log, self._fsync_log_read, self._synced = directory / "fsyncs", 0, {}
        self._environment = {**os.environ, "LD_PRELOAD": str(shim), "FSYNC_LOG": str(self._fsync_log)}
        address = self._does("start", f"advertised.listeners=PLAINTEXT://{cable.address}", "einmal.log.level=error")
        cable.plug_in(address)

    def pull_the_plug(self, patience_s=0.5):
        """Once there is something to lose: a cut at any other moment shows nothing."""
        deadline = time.monotonic() + patience_s
        while not self._unsynced() and time.monotonic() < deadline:
            time.sleep(0.001)
        os.kill(int((self.directory / "pid").read_text()), signal.SIGKILL)
        self._does("kill")
        for path, bytes_synced in self._unsynced():
            self.lost_bytes += path.stat().st_size - bytes_synced
            os.truncate(path, bytes_synced)
        self.cuts += 1
        self._does("restart")

    def stop(self):
        self._does("stop")

    def _unsynced(self):
        """Write-ahead logs that are longer than what of them is on the disk."""
        if self._fsync_log.exists():
            with self._fsync_log.open() as log:
                log.seek(self._fsync_log_read)
                # The last line may not be whole yet.
                *lines, _ = log.read().split("\n")
            self._fsync_log_read += sum(len(line) + 1 for line in lines)
            for line in lines:
                inode, size = line.split()
                self._synced[int(inode)] = int(size)
        found = []
        for path in (self.directory / "data").rglob("*.log"):
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue
            if stat.st_size > self._synced.get(stat.st_ino, 0):
                found.append((path, self._synced.get(stat.st_ino, 0)))
        return found

    def _does(self, command, *settings):
        script = pathlib.Path(__file__).parent.parent / "compat-tests" / "broker"
        # The script's own tools need no shim: only the broker is started by `env`.
        arguments = [script, command, self.directory, *settings]
        result = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True, env=self._environment)
        return result.stdout.strip()
