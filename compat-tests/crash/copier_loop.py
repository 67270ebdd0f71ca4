"""copier_loop CYCLES CHECKER BROKER WRITER FAMILY=COMMAND...: three transactional copiers of several client families, which are
killed and restarted under the same transactional ids, while the broker is killed by SIGKILL again and again; as Kafka's system test
of transactions does. Then the verdict of the checker.

A writer fills the input. The copiers are one group; each transaction takes records of the input to the same partition of the output
and commits their offsets, and one in five is aborted. Readers of all and of committed records follow the output, and an observer
asks for committed offsets, last stable offsets and high watermarks. Every random choice of this script comes from the seed that is
printed; EINMAL_SEED repeats it (the schedule of processes is not repeated with it).
"""

import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time

from broker_under_test import Broker, judge
from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec
from history import History

INPUT, OUTPUT, PARTITIONS, GROUP, COPIERS = "input", "output", 6, "copiers", 3
# Longer than a transaction's timeout, the broker's look for it, and a member's session.
SETTLED_S = 90
# How a copier ends whose client hangs by a fault of its own; it is started again.
HUNG = 75
cycles, checker, command, writer_command = int(sys.argv[1]), *sys.argv[2:5]
families = dict(argument.split("=", 1) for argument in sys.argv[5:])
seed = int(os.environ.get("EINMAL_SEED", random.SystemRandom().randrange(1 << 32)))
chance = random.Random(seed)


class Copiers:
    """The processes, by transactional id; each writes a history of its own."""

    def __init__(self, bootstrap, work):
        self.bootstrap, self.work = bootstrap, work
        self.alive, self.instances, self.files, self.hung = {}, {}, [], 0

    def start(self, transactional_id, family):
        instance = self.instances[transactional_id] = self.instances.get(transactional_id, 0) + 1
        name = os.path.join(self.work, f"{transactional_id}.{instance}.{family}")
        self.files.append(f"{name}.jsonl")
        arguments = [*shlex.split(families[family]), self.bootstrap, INPUT, OUTPUT, GROUP, transactional_id, str(instance), self.files[-1]]
        with open(f"{name}.log", "wb") as errors:
            self.alive[transactional_id] = subprocess.Popen(arguments, stdin=subprocess.PIPE, stderr=errors)

    def replace_one(self, kill):
        """A copier is killed, or ends, and another, of whichever family, takes its transactional id over."""
        transactional_id = chance.choice(sorted(self.alive))
        if kill:
            self.alive[transactional_id].kill()
        self.end(transactional_id)
        self.start(transactional_id, chance.choice(sorted(families)))

    def end(self, transactional_id):
        process = self.alive.pop(transactional_id)
        process.stdin.close()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            # Each of the clients writes down where its threads are.
            process.send_signal(signal.SIGQUIT)
            time.sleep(1)
            process.kill()
            sys.exit(f"the copier {transactional_id} does not end, see {self.work}")

    def check(self):
        for transactional_id, process in list(self.alive.items()):
            if process.poll() == HUNG:
                self.hung += 1
                self.end(transactional_id)
                self.start(transactional_id, chance.choice(sorted(families)))
            elif process.poll() is not None:
                sys.exit(f"the copier {transactional_id} ended with {process.returncode}, see {self.work}")


class Watcher:
    """A thread that follows until it is closed, with a history of its own."""

    def __init__(self, path, follow):
        self.path, self._ended = path, threading.Event()
        self._history = History(path)
        self._thread = threading.Thread(target=lambda: follow(self._history, self._ended))
        self._thread.start()

    def close(self):
        self._ended.set()
        self._thread.join()
        self._history.close()


def read_output(broker, committed):
    def follow(history, ended):
        reader, poll = broker.consumer(isolation=level(committed)), 0
        reader.assign([TopicPartition(OUTPUT, partition, 0) for partition in range(PARTITIONS)])
        name = "reader of committed records" if committed else "reader of all records"
        while not ended.is_set():
            poll += 1
            messages = [message for message in reader.consume(500, 0.2) if message.error() is None]
            for message in messages:
                place = {"partition": message.partition(), "offset": message.offset(), "payload": message.value().decode()}
                history.note(op="polled", reader=name, committed=committed, poll=poll, **place, at=time.monotonic_ns())
        reader.close()

    return follow


def level(committed):
    return "read_committed" if committed else "read_uncommitted"


def watch_ends(broker):
    """Log start first, then the last stable offset, then the high watermark: in this order each is at most the next."""

    def follow(history, ended):
        admin = None
        asked = [(OffsetSpec.earliest(), False), (OffsetSpec.latest(), True), (OffsetSpec.latest(), False)]
        while not ended.wait(0.1):
            # A new client after each failure: the old one asks with the leader epoch of before the restart for minutes.
            admin = admin or AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 2})
            try:
                found = [list_offsets(admin, *which) for which in asked]
            except KafkaException:
                admin = None
                continue
            for partition in range(PARTITIONS):
                start, stable, high = (offsets[partition] for offsets in found)
                history.note(op="ends", reader="ends", partition=partition, start=start, stable=stable, high=high, at=time.monotonic_ns())

    return follow


def list_offsets(admin, which, committed):
    isolation = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
    places = {TopicPartition(OUTPUT, partition): which for partition in range(PARTITIONS)}
    answers = admin.list_offsets(places, isolation_level=isolation, request_timeout=5)
    offsets = {place.partition: answer.result().offset for place, answer in answers.items()}
    if min(offsets.values()) < 0:
        # What the client says where the connection went in between.
        raise KafkaException(KafkaError(KafkaError._TRANSPORT))
    return offsets


class Progress:
    """Asks for the committed offsets, stable ones only, and knows what it was told last."""

    def __init__(self, broker):
        self.last, self.client = {}, broker.consumer(GROUP, isolation=level(True))

    def follow(self, history, ended):
        places = [TopicPartition(INPUT, partition) for partition in range(PARTITIONS)]
        while not ended.wait(0.05):
            asked = time.monotonic_ns()
            try:
                found = self.client.committed(places, 5)
            except KafkaException:
                continue  # the broker is away, or transactions are open all the time
            for part in found:
                if part.error is None:
                    history.note(op="offset", partition=part.partition, offset=max(part.offset, 0), asked=asked)
                    self.last[part.partition] = max(part.offset, 0)

    def ends(self):
        """The end of each partition of the input."""
        return {part: self.client.get_watermark_offsets(TopicPartition(INPUT, part), 30)[1] for part in range(PARTITIONS)}


def under_kills(broker, copiers, writer):
    for cycle in range(1, cycles + 1):
        time.sleep(chance.uniform(0.5, 4.0))
        if cycle % 2 == 0:
            # The kill falls into the handing over of the transactional id, or shortly after.
            copiers.replace_one(kill=cycle % 6 != 0)
            time.sleep(chance.uniform(0, 0.5))
        copiers.check()
        broker.does("restart")
        if cycle % 10 == 0:
            print(f"  {cycle} kills", flush=True)
    writer.stdin.close()
    if writer.wait(400) != 0:
        print(f"the writer ended with {writer.returncode}: some values stay unknown", flush=True)


def main():
    work = tempfile.mkdtemp(prefix="einmal-crash-copiers-")
    broker = Broker(command, os.path.join(work, "broker"), INPUT, PARTITIONS)
    broker.create(NewTopic(OUTPUT, PARTITIONS, 1))
    print(f"{cycles} kills of the broker at {broker.bootstrap}, seed {seed}, {COPIERS} copiers of {', '.join(families)}", flush=True)
    writer_file = os.path.join(work, "writer.jsonl")
    arguments = [*shlex.split(writer_command), broker.bootstrap, INPUT, str(PARTITIONS), "writer", writer_file]
    writer = subprocess.Popen(arguments, stdin=subprocess.PIPE)
    copiers, progress, watchers = Copiers(broker.bootstrap, work), Progress(broker), []
    follows = {"committed": read_output(broker, True), "all": read_output(broker, False), "ends": watch_ends(broker), "progress": progress.follow}
    try:
        for name, follow in follows.items():
            watchers.append(Watcher(os.path.join(work, f"{name}.jsonl"), follow))
        for number in range(COPIERS):
            copiers.start(f"copier-{number}", sorted(families)[number % len(families)])
        under_kills(broker, copiers, writer)
        ends, deadline = progress.ends(), time.monotonic() + SETTLED_S
        while progress.last != ends:
            copiers.check()
            if time.monotonic() > deadline:
                sys.exit(f"committed is {progress.last}, the ends are {ends}; see {work}")
            time.sleep(0.1)
        for transactional_id in list(copiers.alive):
            copiers.end(transactional_id)
        print(f"{sum(copiers.instances.values())} copiers in turn, of which {copiers.hung} hung and were started again", flush=True)
    finally:
        for watcher in watchers:
            watcher.close()
        writer.kill()
        for process in copiers.alive.values():
            process.kill()
    broker.does("restart")
    drains = [os.path.join(work, f"drain-{what}.jsonl") for what in ("input", "committed", "all")]
    broker.drain(drains[0])
    for path, committed in zip(drains[1:], (True, False)):
        broker.drain_transactional(path, OUTPUT, committed)
    broker.does("stop")
    judge(checker, [writer_file, *(watcher.path for watcher in watchers), *copiers.files, *drains], work)


main()
