"""Who runs on which core, by the mode that each row names.

shared: every core is free for broker and client, the client stands back (nice +5), so that what is tested is not starved by what
tests it. split: the broker has the first core and the client the second, a "one-core broker".
"""
import os
from pathlib import Path

MODES = ("shared", "split")
BROKER_CORE, CLIENT_CORE = 0, 1


class Cores:
    """Chosen once per run of the harness."""

    mode = "shared"

    def client(self):
        """What precedes a client's command."""
        return ["nice", "-n", "5"] if self.mode == "shared" else ["taskset", "-c", str(CLIENT_CORE)]

    def place(self, pid):
        """Puts a broker where it belongs; threads that it starts later stay there."""
        if self.mode == "split":
            for task in Path(f"/proc/{pid}/task").iterdir():
                try:
                    os.sched_setaffinity(int(task.name), {BROKER_CORE})
                except ProcessLookupError:
                    pass


CORES = Cores()
