"""word_count KILLS BROKER COMMAND: a word count by Kafka Streams with exactly_once_v2, killed together with the broker again and again,
and the same once more without any kill: both outputs hold each count of each word once, and in order.
"""

import collections
import os
import random
import shlex
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "crash"))
from broker_under_test import Broker  # noqa: E402
from confluent_kafka import KafkaError, Producer, TopicPartition  # noqa: E402
from confluent_kafka.admin import NewTopic  # noqa: E402

PARTITIONS, WAIT_S = 2, 90
kills, command, app = int(sys.argv[1]), sys.argv[2], shlex.split(sys.argv[3])
seed = int(os.environ.get("EINMAL_SEED", random.SystemRandom().randrange(1 << 32)))
chance = random.Random(seed)
WORDS = [f"word{number}" for number in range(50)]


def start(broker, work, name):
    arguments = [*app, broker.bootstrap, "lines", f"{name}-counts", name, os.path.join(work, name)]
    with open(os.path.join(work, f"{name}.log"), "ab") as log:
        return subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=log, stderr=log)


def write(client, expected, seconds):
    """Lines all the while, so that whoever is killed then has a transaction open."""
    ended = time.monotonic() + seconds
    while time.monotonic() < ended:
        words = [chance.choice(WORDS) for _ in range(5)]
        expected.update(words)
        client.produce("lines", " ".join(words), partition=chance.randrange(PARTITIONS))
        client.poll(0)
        time.sleep(0.005)


def write_until_it_counts(broker, client, expected):
    """It takes its time: what was killed before is a member of the group until its session ends."""
    reader, deadline = broker.consumer(), time.monotonic() + WAIT_S
    places = [TopicPartition("killed-counts", partition) for partition in range(PARTITIONS)]
    began = [reader.get_watermark_offsets(place, 30) for place in places]
    while [reader.get_watermark_offsets(place, 30) for place in places] == began:
        if time.monotonic() > deadline:
            sys.exit("nothing is counted")
        write(client, expected, 0.1)
    reader.close()


def counts(broker, topic):
    """The committed counts of each word in the order in which they lie there."""
    found = collections.defaultdict(list)
    reader = broker.consumer(**{"enable.partition.eof": True})
    for partition in range(PARTITIONS):
        reader.assign([TopicPartition(topic, partition, 0)])
        is_at_end = False
        while not is_at_end:
            for message in reader.consume(1000, 1):
                if message.error() is None:
                    found[message.key().decode()].append(int(message.value()))
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    is_at_end = True
    reader.close()
    return found


def wait_for(broker, process, name, expected):
    deadline, total = time.monotonic() + WAIT_S, sum(expected.values())
    while True:
        found = counts(broker, f"{name}-counts")
        if sum(map(len, found.values())) >= total:
            return found
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"{name}: {sum(map(len, found.values()))} of {total} counts; its end {process.poll()}")
        time.sleep(0.5)


def main():
    work = tempfile.mkdtemp(prefix="einmal-streams-")
    broker = Broker(command, os.path.join(work, "broker"), "lines", PARTITIONS)
    for name in ("killed", "single"):
        broker.create(NewTopic(f"{name}-counts", PARTITIONS, 1))
    print(f"{kills} kills of the broker and a word count by Kafka Streams, seed {seed}", flush=True)
    client = Producer({"bootstrap.servers": broker.bootstrap, "enable.idempotence": True, "message.timeout.ms": 600_000, "log_level": 2})
    expected = collections.Counter()
    process = start(broker, work, "killed")
    try:
        for _ in range(kills):
            write_until_it_counts(broker, client, expected)
            write(client, expected, chance.uniform(0.5, 3))
            process.kill()
            process.wait()
            broker.does("restart")
            process = start(broker, work, "killed")
        write(client, expected, 1)
        assert client.flush(60) == 0, "not everything was delivered"
        killed = wait_for(broker, process, "killed", expected)
        process.stdin.close()
        process.wait(60)
        process = start(broker, work, "single")
        single = wait_for(broker, process, "single", expected)
        process.stdin.close()
        process.wait(60)
    finally:
        process.kill()
    killed = counts(broker, "killed-counts")
    broker.does("stop")
    wanted = {word: list(range(1, count + 1)) for word, count in expected.items()}
    wrong = [word for word in sorted(wanted.keys() | killed.keys()) if not wanted.get(word) == killed.get(word) == single.get(word)]
    print(f"{sum(expected.values())} words, {len(expected)} different ones, {len(wrong)} counted wrongly", flush=True)
    if wrong:
        word = wrong[0]
        ends = [(len(found.get(word, [])), found.get(word, [])[-1:]) for found in (killed, single)]
        sys.exit(f"{word}: counts and the last of them are {ends}, with kills and without, {expected[word]} were written; kept: {work}")
    subprocess.run(["rm", "-rf", work], check=True)


main()
