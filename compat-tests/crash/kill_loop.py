"""kill_loop CYCLES CHECKER BROKER FAMILY=COMMAND...: SIGKILL under load, again and again, then the verdict of the checker.

A reader of another connection follows all the while. Every random choice comes from the seed that is printed; EINMAL_SEED
repeats it (the schedule of processes is not repeated with it).
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
from confluent_kafka import TopicPartition
from history import History

TOPIC, PARTITIONS = "crash", 4
cycles, checker, command = int(sys.argv[1]), sys.argv[2], sys.argv[3]
families = dict(argument.split("=", 1) for argument in sys.argv[4:])
seed = int(os.environ.get("EINMAL_SEED", random.SystemRandom().randrange(1 << 32)))
chance = random.Random(seed)


def follow(broker, path, ended):
    """Reads behind the writers and notes each record and each high watermark that it was told."""
    history, reader = History(path), broker.consumer()
    reader.assign([TopicPartition(TOPIC, partition, 0) for partition in range(PARTITIONS)])
    while not ended.is_set():
        for message in reader.consume(500, 0.2):
            if message.error() is None:
                place = {"reader": "follower", "partition": message.partition()}
                history.note(op="read", **place, offset=message.offset(), payload=message.value().decode(errors="replace"))
        for partition in range(PARTITIONS):
            _, high = reader.get_watermark_offsets(TopicPartition(TOPIC, partition), cached=True)
            if high >= 0:
                history.note(op="watermark", reader="follower", partition=partition, high=high)
    reader.close()
    history.close()


def main():
    work = tempfile.mkdtemp(prefix="einmal-crash-")
    broker = Broker(command, os.path.join(work, "broker"), TOPIC, PARTITIONS)
    print(f"{cycles} kills of the broker at {broker.bootstrap}, seed {seed}, writers {', '.join(families)}", flush=True)

    files, writers = [], {}
    for family, writer in families.items():
        files.append(os.path.join(work, f"{family}.jsonl"))
        arguments = [*shlex.split(writer), broker.bootstrap, TOPIC, str(PARTITIONS), family, files[-1]]
        writers[family] = subprocess.Popen(arguments, stdin=subprocess.PIPE)
    files.append(os.path.join(work, "follower.jsonl"))
    ended = threading.Event()
    follower = threading.Thread(target=follow, args=(broker, files[-1], ended))
    follower.start()

    try:
        for cycle in range(1, cycles + 1):
            time.sleep(chance.uniform(0.05, 3.0))
            broker.does("restart")
            if cycle % 10 == 0:
                print(f"  {cycle} kills", flush=True)
        for family, writer in writers.items():
            writer.stdin.close()
            if writer.wait(400) != 0:
                print(f"the writer {family} ended with {writer.returncode}: some values stay unknown", flush=True)
    finally:
        ended.set()
        follower.join()
        for writer in writers.values():
            writer.kill()

    broker.does("restart")
    files.append(os.path.join(work, "drain.jsonl"))
    broker.drain(files[-1])
    broker.does("stop")
    judge(checker, files, work)


main()
