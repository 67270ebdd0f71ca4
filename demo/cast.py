"""The programs of the story: whoever dies lives again, until that leads nowhere."""

import json
import signal
import subprocess
import sys
import time

# A program that ends by itself this often in a row, each time this soon, cannot run at all: the network's and the broker's failures
# end a life now and then.
FAILURES_MAX = 10
AT_ONCE_S = 2


class Process:
    """One program, which lives again and again. `life` counts its lives from 0, `killed` those that a SIGKILL ended."""

    def __init__(self, script, given, said):
        """`given`: told to each life as JSON, with its number. `said`: the file of what they write to stderr."""
        self.life, self.killed, self.failures = -1, 0, 0
        self._script, self._given, self._said = script, given, said
        self._live()

    def _live(self):
        self.life += 1
        self._began = time.monotonic()
        given = json.dumps({**self._given, "life": self.life})
        with self._said.open("ab") as said:
            self._process = subprocess.Popen([sys.executable, self._script, given], stderr=said)

    def is_done(self):
        """Whether it has ended with success."""
        return self._process.poll() == 0

    def revive(self):
        """If it died, it lives again."""
        status = self._process.poll()
        if status in (None, 0):
            return
        if status == -signal.SIGKILL:
            self.killed += 1
            self.failures = 0
        else:
            self.failures = self.failures + 1 if time.monotonic() - self._began < AT_ONCE_S else 1
        self._live()

    def last_words(self):
        """The last line of its stderr, of whichever life."""
        lines = self._said.read_text(errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "nothing")

    def end(self):
        self._process.kill()
        self._process.wait()


class Cast:
    """All programs of one step, by name, and how long they may take for it; `with` ends them."""

    def __init__(self, processes, patience_s):
        self._processes, self._patience_s = processes, patience_s
        self._deadline = time.monotonic() + patience_s

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self._processes.values():
            process.end()

    def __getitem__(self, name):
        return self._processes[name]

    def deaths(self):
        """How often each was killed."""
        return {name: process.killed for name, process in self._processes.items()}

    def revive(self, waiting_for=None):
        """Who died lives again. Ends the story, with what the programs said last, if one cannot run or the time is over; `waiting_for`
        says what for."""
        for name, process in self._processes.items():
            process.revive()
            if process.failures >= FAILURES_MAX:
                self._give_up(f"the {name} ended {process.failures} times in a row as soon as it was started")
        if time.monotonic() > self._deadline:
            not_done = f"the programs were not done after {self._patience_s:.0f} s"
            if waiting_for:
                not_done += f" ({waiting_for}): too slow a machine, or one of them hangs. Of the money nothing can be told"
            self._give_up(not_done)

    def _give_up(self, why):
        said = [f"  {name}: {process.last_words()}" for name, process in self._processes.items()]
        sys.exit("\n".join([f"{why}; what they said last:", *said]))
