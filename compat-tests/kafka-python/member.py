"""member BOOTSTRAP TOPIC GROUP NAME HISTORY: a member of a group that processes and commits by kafka-python until its stdin ends."""

import sys
import threading

from history import GroupHistory
from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

bootstrap, topic, group, name, path = sys.argv[1:]
history = GroupHistory(path, name)
client = KafkaConsumer(
    bootstrap_servers=bootstrap,
    group_id=group,
    enable_auto_commit=False,
    auto_offset_reset="earliest",
    partition_assignment_strategy=[RangePartitionAssignor],
    session_timeout_ms=6000,
    max_poll_interval_ms=10_000,
    heartbeat_interval_ms=500,
    reconnect_backoff_max_ms=500,
)
done = {}


def commit():
    """What is processed and not committed; an outcome that is not known stays open."""
    if not done:
        return
    for partition, offset in done.items():
        history.committing(partition, offset)
    offsets = dict(done)
    try:
        client.commit({TopicPartition(topic, partition): OffsetAndMetadata(offset, "", -1) for partition, offset in offsets.items()})
    except KafkaError as error:
        print(name, error, file=sys.stderr)
        return
    for partition, offset in offsets.items():
        history.committed(partition, offset)
    done.clear()


class Listener(ConsumerRebalanceListener):
    def on_partitions_assigned(self, assigned):
        for part in assigned:
            history.assigned(part.partition)

    def on_partitions_revoked(self, revoked):
        if revoked:
            commit()
        self.on_partitions_lost(revoked)

    def on_partitions_lost(self, lost):
        done.clear()
        for part in lost:
            history.revoked(part.partition)


ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
client.subscribe([topic], listener=Listener())
while not ended.is_set():
    # This client forgets that it has joined if the time to poll ends meanwhile.
    for records in client.poll(1000).values():
        for record in records:
            history.processed(record.partition, record.offset, record.value)
            done[record.partition] = record.offset + 1
    commit()
client.close(autocommit=False)
history.close()
