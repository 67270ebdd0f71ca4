"""A broker with a plug: pulling it kills the broker and takes from its write-ahead log what no fsync has told the disk of."""

import os
import pathlib
import signal
import subprocess
import time


class Broker:
    """The broker of ../compat-tests/broker, behind a cable, in a directory of its own; `with` stops it."""

    def __init__(self, directory, shim, cable):
        self.directory, self.cuts = directory, 0
        self._disk = Disk(directory / "data", directory / "fsyncs")
        # The tools of the script are preloaded with it, too; they sync nothing.
        self._environment = {**os.environ, "LD_PRELOAD": str(shim), "FSYNC_LOG": str(directory / "fsyncs")}
        address = self._does("start", f"advertised.listeners=PLAINTEXT://{cable.address}", "einmal.log.level=error")
        cable.plug_in(address)

    def pull_the_plug(self, patience_s=0.5):
        """Once there is something to lose: a cut at any other moment shows nothing."""
        deadline = time.monotonic() + patience_s
        while not self._disk.unsynced() and time.monotonic() < deadline:
            time.sleep(0.001)
        os.kill(int((self.directory / "pid").read_text()), signal.SIGKILL)
        self._does("kill")
        for path, bytes_synced in self._disk.unsynced():
            os.truncate(path, bytes_synced)
        self.cuts += 1
        self._does("restart")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._does("stop")

    def _does(self, command, *settings):
        script = pathlib.Path(__file__).parent.parent / "compat-tests" / "broker"
        arguments = [script, command, self.directory, *settings]
        result = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True, env=self._environment)
        return result.stdout.strip()


class Disk:
    """What of the write-ahead logs below `data` is on the disk, by what fsync_log.c notes: a line `BYTES PATH` for each sync."""

    def __init__(self, data, fsync_log):
        # By path: no write-ahead log is named like an earlier one, while its inode may be that of a deleted one.
        self._data, self._fsync_log, self._fsync_log_read, self._synced = data.resolve(), fsync_log, 0, {}

    def unsynced(self):
        """Write-ahead logs that are longer than what of them is on the disk: (path, bytes on the disk)."""
        if self._fsync_log.exists():
            with self._fsync_log.open() as log:
                log.seek(self._fsync_log_read)
                # The last line may not be whole yet.
                *lines, _ = log.read().split("\n")
            self._fsync_log_read += sum(len(line) + 1 for line in lines)
            for line in lines:
                size, path = line.split(" ", 1)
                self._synced[path] = int(size)
        found = []
        for path in self._data.rglob("*.log"):
            synced = self._synced.get(str(path), 0)
            try:
                if path.stat().st_size > synced:
                    found.append((path, synced))
            except FileNotFoundError:
                continue
        return found
