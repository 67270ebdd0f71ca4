"""What the three programs of the story share: their arguments, quick reconnects, and deaths at the worst moment."""

import json
import os
import pathlib
import random
import signal
import sys

from guarantees import Guarantees


class Actor:
    """One run of a program: `life` counts them from 0."""

    def __init__(self):
        given = json.loads(sys.argv[1])
        self.guarantees = Guarantees(given["steps"])
        self.bootstrap, self.database, self.life = given["bootstrap"], given["database"], given["life"]
        # Not its path: a seed is to tell the same from wherever the program is started.
        program = pathlib.Path(sys.argv[0]).stem
        self._moments_left = random.Random(f"{program} {given['seed']} {self.life}").randrange(5, 25)

    def worst_moment(self):
        """Each life ends in one of those. No handler, no farewell: what has not been told by now is not told."""
        self._moments_left -= 1
        if self._moments_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def config(self, more):
        """Of a client of this program."""
        return {
            "bootstrap.servers": self.bootstrap,
            # librdkafka (from 2.10 on) begins anew from bootstrap.servers when its last connection is lost, and waits one to two
            # seconds before. With a single broker that is every lost connection, and finds the same broker.
            "metadata.recovery.strategy": "none",
            "reconnect.backoff.ms": 10,
            "reconnect.backoff.max.ms": 50,
            "retry.backoff.ms": 20,
            "retry.backoff.max.ms": 50,
            "log_level": 0,
            **more,
        }
