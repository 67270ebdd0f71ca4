"""kafka-python against BOOTSTRAP."""

import threading

from client import consumer, create, producer, read, send, values
from groups import GROUPS
from kafka import TopicPartition
from kafka.structs import OffsetAndMetadata
from scenario import HOLED_BATCHES, HOLED_LOG, HOLES, SPINNING, fetches_answered, fresh, restart_broker, run, until


def create_topic_explicitly():
    topic = create(fresh("explicit"), 3)
    reader = consumer()
    assert len(until(lambda: reader.partitions_for_topic(topic))) == 3
    reader.close()


def create_topic_by_first_use():
    topic = fresh("first-use")
    assert send(producer(), topic, ["a"], partition=0) == [0]
    assert values(read(topic, 1)) == ["a"]


def produce_with_each_acks():
    topic = create(fresh("acks"))
    for acks in [0, 1, "all"]:
        send(producer(acks=acks, enable_idempotence=False), topic, [f"acks {acks}"])
    assert values(read(topic, 3)) == ["acks 0", "acks 1", "acks all"]


def each_codec():
    topic = create(fresh("codec"))
    codecs = [None, "gzip", "snappy", "lz4", "zstd"]
    sent = [f"{codec} {index} " + "x" * 200 for codec in codecs for index in range(20)]
    for codec in codecs:
        send(producer(compression_type=codec), topic, [value for value in sent if value.startswith(str(codec))])
    assert values(read(topic, 100)) == sent


def each_codec_to_each_that_a_topic_asks_for():
    codecs = [None, "gzip", "snappy", "lz4", "zstd"]
    sent = [f"{codec} {index} " + "x" * 200 for codec in codecs for index in range(20)]
    for wanted in ["uncompressed", "gzip", "snappy", "lz4", "zstd"]:
        topic = create(fresh(f"to-{wanted}"), configs={"compression.type": wanted})
        for codec in codecs:
            send(producer(compression_type=codec), topic, [value for value in sent if value.startswith(str(codec))])
        assert values(read(topic, 100)) == sent, wanted


def keys_headers_and_nulls():
    topic = create(fresh("headers"))
    client = producer()
    send(client, topic, ["v"], key=b"k", headers=[("h", b"1"), ("h", b"2")], timestamp_ms=1_700_000_000_123)
    send(client, topic, [None], key=b"gone")
    first, second = read(topic, 2)
    assert (first.key, first.value, first.timestamp) == (b"k", b"v", 1_700_000_000_123)
    assert list(first.headers) == [("h", b"1"), ("h", b"2")], first.headers
    assert (second.key, second.value) == (b"gone", None)


def idempotent_producer():
    topic = create(fresh("idempotent"), 2)
    sent = [str(index) for index in range(2000)]
    assert send(producer(enable_idempotence=True), topic, sent, partition=1) == list(range(2000))
    assert values(read(topic, 2000, partition=1)) == sent


def fetch_by_offset():
    topic = create(fresh("by-offset"))
    send(producer(), topic, [str(index) for index in range(100)])
    assert values(read(topic, 3, offset=57)) == ["57", "58", "59"]
    reader, place = consumer(), TopicPartition(topic, 0)
    assert (reader.beginning_offsets([place])[place], reader.end_offsets([place])[place]) == (0, 100)
    reader.close()


def fetch_by_time():
    topic = create(fresh("by-time"))
    client = producer()
    for second in range(10):
        send(client, topic, [str(second)], timestamp_ms=1_700_000_000_000 + second * 1000)
    reader, place = consumer(), TopicPartition(topic, 0)
    assert reader.offsets_for_times({place: 1_700_000_004_500})[place].offset == 5
    assert reader.offsets_for_times({place: 1_800_000_000_000})[place] is None
    reader.close()


def tail_with_long_poll():
    topic = create(fresh("tail"))
    reader, place = consumer(fetch_max_wait_ms=5000), TopicPartition(topic, 0)
    reader.assign([place])
    reader.seek_to_beginning()
    assert not reader.poll(500)
    threading.Timer(0.3, lambda: send(producer(), topic, ["at last"])).start()
    assert values(until(lambda: reader.poll(1000).get(place))) == ["at last"]
    reader.close()


def read_past_records_that_are_missing():
    topic, gaps = create(fresh("holes"), configs=HOLES), producer(linger_ms=200)
    for names in HOLED_BATCHES:
        sent = [gaps.send(topic, name.encode(), headers=[("message-id", name.encode())]) for name in names]
        gaps.flush(30)
        assert all(future.succeeded() for future in sent)
    reader, place, found = consumer(fetch_max_wait_ms=1000), TopicPartition(topic, 0), []
    reader.assign([place])
    reader.seek_to_beginning()
    until(lambda: found.extend(reader.poll(1000).get(place, [])) or len(found) >= len(HOLED_LOG))
    assert [(record.offset, record.value.decode()) for record in found] == HOLED_LOG, found
    fetches = fetches_answered()
    assert not reader.poll(3000)
    assert fetches_answered() - fetches < SPINNING, "it spins at the end"
    send(gaps, topic, ["h"], headers=[("message-id", b"h")])
    assert values(until(lambda: reader.poll(1000).get(place))) == ["h"]
    reader.close()


def commit_and_read_offsets():
    topic, group = create(fresh("commit"), 2), fresh("group")
    first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
    writer = consumer(group)
    writer.assign([first, second])
    writer.commit({first: OffsetAndMetadata(7, "half way", -1), second: OffsetAndMetadata(9, "", -1)})
    writer.close()
    reader = consumer(group)
    reader.assign([first, second])
    assert reader.committed(first, metadata=True).metadata == "half way"
    assert (reader.committed(first), reader.committed(second)) == (7, 9)
    reader.close()


def kill_and_restart_in_between():
    topic, group = create(fresh("restart")), fresh("group")
    client, place = producer(enable_idempotence=True), TopicPartition(topic, 0)
    send(client, topic, [str(index) for index in range(500)])
    reader = consumer(group)
    reader.assign([place])
    reader.commit({place: OffsetAndMetadata(250, "", -1)})
    reader.close()
    pending = [client.send(topic, str(index).encode()) for index in range(500, 600)]
    restart_broker()
    send(client, topic, [str(index) for index in range(600, 1000)])
    assert all(future.succeeded() for future in pending)
    assert values(read(topic, 1000)) == [str(index) for index in range(1000)]
    reader = consumer(group)
    reader.assign([place])
    assert reader.committed(place) == 250
    reader.close()


run([
    create_topic_explicitly,
    create_topic_by_first_use,
    produce_with_each_acks,
    each_codec,
    each_codec_to_each_that_a_topic_asks_for,
    keys_headers_and_nulls,
    idempotent_producer,
    fetch_by_offset,
    fetch_by_time,
    tail_with_long_poll,
    read_past_records_that_are_missing,
    commit_and_read_offsets,
    kill_and_restart_in_between,
    *GROUPS,
])
