"""Looks at a running story: what is in the log, and what the groups have committed."""

import json

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from progress import READERS, Progress


class Watch:
    """Looks again and again. Power cuts are over by then: what was read of the log stays."""

    def __init__(self, bootstrap):
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        reading = {"group.id": "watch", "enable.auto.commit": False, "enable.partition.eof": True, "fetch.wait.max.ms": 50}
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "log_level": 0, **reading})
        self._ends, self._arrived = dict.fromkeys(READERS.values(), 0), set()

    def look(self, booked):
        """Progress as of now. Offsets are asked for before the log is read: what was committed lies within what is seen of it."""
        try:
            committed = {group: self._committed(group, topic) for group, topic in READERS.items()}
        except KafkaException:
            # Between two lives of the broker, or while a group is moved. Another look tells.
            return None
        if not self._read_to_ends():
            return None
        return Progress(dict(self._ends), committed, frozenset(self._arrived), frozenset(booked))

    def close(self):
        self._consumer.close()

    def _committed(self, group, topic):
        asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0)])
        [answer] = self._admin.list_consumer_group_offsets([asked], request_timeout=10).values()
        [partition] = answer.result(15).topic_partitions
        return partition.offset if partition.offset >= 0 else None

    def _read_to_ends(self):
        """Whether both ends were seen."""
        # One that is at an end already is told of it once more only if it is put there anew.
        self._consumer.assign([TopicPartition(topic, 0, end) for topic, end in self._ends.items()])
        at_end = set()
        for _ in range(100):
            for message in self._consumer.consume(1000, 0.1):
                if message.error() is None:
                    self._ends[message.topic()] = message.offset() + 1
                    if message.topic() == "packets":
                        self._arrived.add(json.loads(message.value())["packet"])
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    at_end.add(message.topic())
            if len(at_end) == len(self._ends):
                return True
        return False
