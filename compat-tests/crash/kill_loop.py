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

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from history import History

TOPIC, PARTITIONS = "crash", 4
cycles, checker, broker = int(sys.argv[1]), sys.argv[2], sys.argv[3]
families = dict(argument.split("=", 1) for argument in sys.argv[4:])
seed = int(os.environ.get("EINMAL_SEED", random.SystemRandom().randrange(1 << 32)))
chance = random.Random(seed)


def broker_does(command, directory):
    result = subprocess.run([broker, command, directory], check=True, stdout=subprocess.PIPE, text=True)
    return result.stdout.strip()


def consumer(bootstrap):
    return Consumer({
        "bootstrap.servers": bootstrap,
        "group.id": "kill-loop",
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "log_level": 2,
    })


def follow(bootstrap, path, ended):
    """Reads behind the writers and notes each record and each high watermark that it was told."""
    history, reader = History(path), consumer(bootstrap)
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


def drain(bootstrap, path):
    """Reads every partition from its start to its end."""
    history, reader = History(path), consumer(bootstrap)
    for partition in range(PARTITIONS):
        _, high = reader.get_watermark_offsets(TopicPartition(TOPIC, partition), 30)
        reader.assign([TopicPartition(TOPIC, partition, 0)])
        next_offset, deadline = 0, time.monotonic() + 120
        while next_offset < high:
            if time.monotonic() > deadline:
                sys.exit(f"the drain of partition {partition} stands at {next_offset} of {high}")
            for message in reader.consume(1000, 1):
                if message.error() is None:
                    payload = message.value().decode(errors="replace")
                    history.note(op="drain", partition=partition, offset=message.offset(), payload=payload)
                    next_offset = message.offset() + 1
    reader.close()
    history.close()


def main():
    work = tempfile.mkdtemp(prefix="einmal-crash-")
    directory = os.path.join(work, "broker")
    result = subprocess.run([broker, "start", directory], check=True, stdout=subprocess.PIPE, text=True)
    bootstrap = result.stdout.strip()
    print(f"{cycles} kills of the broker at {bootstrap}, seed {seed}, writers {', '.join(families)}", flush=True)
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})
    admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(30)

    files, writers = [], {}
    for family, command in families.items():
        files.append(os.path.join(work, f"{family}.jsonl"))
        arguments = [*shlex.split(command), bootstrap, TOPIC, str(PARTITIONS), family, files[-1]]
        writers[family] = subprocess.Popen(arguments, stdin=subprocess.PIPE)
    files.append(os.path.join(work, "follower.jsonl"))
    ended = threading.Event()
    follower = threading.Thread(target=follow, args=(bootstrap, files[-1], ended))
    follower.start()

    try:
        for cycle in range(1, cycles + 1):
            time.sleep(chance.uniform(0.05, 3.0))
            broker_does("restart", directory)
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

    broker_does("restart", directory)
    files.append(os.path.join(work, "drain.jsonl"))
    drain(bootstrap, files[-1])
    broker_does("stop", directory)
    verdict = subprocess.run([checker, *files], check=False).returncode
    if verdict != 0:
        print(f"kept for a look: {work}")
        sys.exit(verdict)
    subprocess.run(["rm", "-rf", work], check=True)


main()
