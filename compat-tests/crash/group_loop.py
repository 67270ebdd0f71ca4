"""group_loop CYCLES CHECKER BROKER WRITER FAMILY=COMMAND...: one group with members of several client families, and the broker
killed by SIGKILL again and again while a writer produces; then the verdict of the checker.

Members also leave, join and are killed, so that kills fall into rebalances. An observer asks for the committed offsets all the
while. Every random choice comes from the seed that is printed; EINMAL_SEED repeats it (the schedule of processes is not repeated
with it).
"""

import os
import random
import shlex
import subprocess
import sys
import tempfile
import threading
import time

from broker_under_test import Broker, judge
from confluent_kafka import KafkaException, TopicPartition
from history import History

TOPIC, PARTITIONS, GROUP = "crash-groups", 12, "crash-groups"
# Members of KIP-848 are told by the broker what those of the classic protocol choose for themselves.
SETTINGS = [
    "group.consumer.min.session.timeout.ms=6000",
    "group.consumer.session.timeout.ms=6000",
    "group.consumer.min.heartbeat.interval.ms=500",
    "group.consumer.heartbeat.interval.ms=500",
]
# Longer than the members' sessions, and their patience in a rebalance.
SETTLED_S = 90
cycles, checker, command, writer_command = int(sys.argv[1]), *sys.argv[2:5]
families = dict(argument.split("=", 1) for argument in sys.argv[5:])
seed = int(os.environ.get("EINMAL_SEED", random.SystemRandom().randrange(1 << 32)))
chance = random.Random(seed)


class Members:
    """The processes of the group, by name; each writes a history of its own."""

    def __init__(self, bootstrap, work):
        self.bootstrap, self.work = bootstrap, work
        self.alive, self.files, self.started = {}, [], 0

    def start(self, family):
        self.started += 1
        name = f"{family}-{self.started}"
        self.files.append(os.path.join(self.work, f"{name}.jsonl"))
        errors = open(os.path.join(self.work, f"{name}.log"), "wb")
        arguments = [*shlex.split(families[family]), self.bootstrap, TOPIC, GROUP, name, self.files[-1]]
        self.alive[name] = (family, subprocess.Popen(arguments, stdin=subprocess.PIPE, stderr=errors))

    def replace_one(self, kill):
        """A member leaves, or is killed, and another of its family joins."""
        name = chance.choice(sorted(self.alive))
        family, process = self.alive.pop(name)
        if kill:
            process.kill()
        self.end(name, process)
        self.start(family)

    def end(self, name, process):
        process.stdin.close()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            sys.exit(f"the member {name} does not end, see {self.work}")

    def check(self):
        for name, (_, process) in self.alive.items():
            if process.poll() is not None:
                sys.exit(f"the member {name} ended with {process.returncode}, see {self.work}")


class Observer:
    """Asks for the committed offsets, and knows what it was told last."""

    def __init__(self, broker, path):
        self.broker, self.history, self.last = broker, History(path), {}
        self.client = broker.consumer(GROUP)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        places = [TopicPartition(TOPIC, partition) for partition in range(PARTITIONS)]
        while not self._ended.wait(0.05):
            asked = time.monotonic_ns()
            try:
                found = self.client.committed(places, 5)
            except KafkaException:
                continue  # the broker is away
            for part in found:
                if part.error is None:
                    self.history.note(op="offset", partition=part.partition, offset=max(part.offset, 0), asked=asked)
                    self.last[part.partition] = max(part.offset, 0)

    def ends(self):
        """The end of each partition."""
        return {part: self.client.get_watermark_offsets(TopicPartition(TOPIC, part), 30)[1] for part in range(PARTITIONS)}

    def close(self):
        self._ended.set()
        self._thread.join()
        self.client.close()
        self.history.close()


def main():
    work = tempfile.mkdtemp(prefix="einmal-crash-groups-")
    broker = Broker(command, os.path.join(work, "broker"), TOPIC, PARTITIONS, SETTINGS)
    print(f"{cycles} kills of the broker at {broker.bootstrap}, seed {seed}, a group of {', '.join(families)}", flush=True)
    writer_file, observer_file = os.path.join(work, "writer.jsonl"), os.path.join(work, "observer.jsonl")
    arguments = [*shlex.split(writer_command), broker.bootstrap, TOPIC, str(PARTITIONS), "writer", writer_file]
    writer = subprocess.Popen(arguments, stdin=subprocess.PIPE)
    members, observer = Members(broker.bootstrap, work), Observer(broker, observer_file)
    try:
        for family in families:
            members.start(family)
        for cycle in range(1, cycles + 1):
            time.sleep(chance.uniform(0.5, 4.0))
            if cycle % 3 == 0:
                # The kill falls into the rebalance, or shortly after.
                members.replace_one(kill=cycle % 2 == 0)
                time.sleep(chance.uniform(0, 0.5))
            members.check()
            broker.does("restart")
            if cycle % 10 == 0:
                print(f"  {cycle} kills", flush=True)
        writer.stdin.close()
        if writer.wait(400) != 0:
            print(f"the writer ended with {writer.returncode}: some values stay unknown", flush=True)
        ends, deadline = observer.ends(), time.monotonic() + SETTLED_S
        while observer.last != ends:
            members.check()
            if time.monotonic() > deadline:
                sys.exit(f"committed is {observer.last}, the ends are {ends}; see {work}")
            time.sleep(0.1)
        for name, (_, process) in members.alive.items():
            members.end(name, process)
    finally:
        observer.close()
        writer.kill()
        for _, process in members.alive.values():
            process.kill()
    broker.does("restart")
    drain_file = os.path.join(work, "drain.jsonl")
    broker.drain(drain_file)
    broker.does("stop")
    judge(checker, [writer_file, observer_file, drain_file, *members.files], work)


main()
