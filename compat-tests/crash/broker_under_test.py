"""What the kill loops need: the broker under test, a client that assigns by hand, and the drain at the end."""

import subprocess
import sys
import time

from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from history import History


class Broker:
    """The broker of `../broker` in a directory, started with a topic."""

    def __init__(self, command, directory, topic, partitions, settings=()):
        self._command, self._directory = command, directory
        self.topic, self.partitions = topic, partitions
        self.bootstrap = self.does("start", *settings)
        self.create(NewTopic(topic, partitions, 1))

    def create(self, topic):
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 2})
        admin.create_topics([topic])[topic.topic].result(30)

    def does(self, command, *settings):
        arguments = [self._command, command, self._directory, *settings]
        result = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True)
        return result.stdout.strip()

    def consumer(self, group="kill-loop", isolation="read_committed", **more):
        return Consumer({
            "bootstrap.servers": self.bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "isolation.level": isolation,
            "log_level": 2,
            **more,
        })

    def drain(self, path):
        """Reads every partition from its start to its end."""
        history, reader = History(path), self.consumer()
        for partition in range(self.partitions):
            _, high = reader.get_watermark_offsets(TopicPartition(self.topic, partition), 30)
            reader.assign([TopicPartition(self.topic, partition, 0)])
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

    def drain_transactional(self, path, topic, committed):
        """Reads every partition of a topic with transactions, all records or the committed ones: the end shows no record."""
        isolation = "read_committed" if committed else "read_uncommitted"
        history, reader = History(path), self.consumer(isolation=isolation, **{"enable.partition.eof": True})
        for partition in range(self.partitions):
            reader.assign([TopicPartition(topic, partition, 0)])
            is_at_end, deadline = False, time.monotonic() + 120
            while not is_at_end:
                if time.monotonic() > deadline:
                    sys.exit(f"the drain of {topic}, partition {partition}, comes to no end")
                for message in reader.consume(1000, 1):
                    if message.error() is None:
                        place = {"partition": partition, "offset": message.offset()}
                        history.note(op="final", committed=committed, **place, payload=message.value().decode(errors="replace"))
                    elif message.error().code() == KafkaError._PARTITION_EOF:
                        is_at_end = True
        reader.close()
        history.close()


def judge(checker, files, work):
    """Ends the process by the checker's verdict; what was seen is kept if that is not good."""
    verdict = subprocess.run([checker, *files], check=False).returncode
    if verdict != 0:
        print(f"kept for a look: {work}")
        sys.exit(verdict)
    subprocess.run(["rm", "-rf", work], check=True)
