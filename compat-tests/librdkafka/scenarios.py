"""librdkafka through confluent-kafka against BOOTSTRAP."""

import threading

from client import BOOTSTRAP, END, consumer, create, producer, read, send, values
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from groups import GROUPS
from scenario import HOLED_BATCHES, HOLED_LOG, HOLES, SPINNING, fetches_answered, fresh, restart_broker, run, until


def create_topic_explicitly():
    topic = create(fresh("explicit"), 3)
    assert len(AdminClient(BOOTSTRAP).list_topics(topic, 10).topics[topic].partitions) == 3


def create_topic_by_first_use():
    topic = fresh("first-use")
    assert send(producer(), topic, ["a"]) == [0]
    assert values(read(topic, 1)) == ["a"]


def produce_with_each_acks():
    topic = create(fresh("acks"))
    for acks in ["0", "1", "all"]:
        send(producer(acks=acks), topic, [f"acks {acks}"])
    assert values(read(topic, 3)) == ["acks 0", "acks 1", "acks all"]


def each_codec():
    topic = create(fresh("codec"))
    codecs = ["none", "gzip", "snappy", "lz4", "zstd"]
    sent = [f"{codec} {index} " + "x" * 200 for codec in codecs for index in range(20)]
    for codec in codecs:
        send(producer(compression_type=codec), topic, [value for value in sent if value.startswith(codec)])
    assert values(read(topic, 100)) == sent


def each_codec_to_each_that_a_topic_asks_for():
    codecs = ["none", "gzip", "snappy", "lz4", "zstd"]
    sent = [f"{codec} {index} " + "x" * 200 for codec in codecs for index in range(20)]
    for wanted in ["uncompressed", "gzip", "snappy", "lz4", "zstd"]:
        topic = create(fresh(f"to-{wanted}"), configs={"compression.type": wanted})
        for codec in codecs:
            send(producer(compression_type=codec), topic, [value for value in sent if value.startswith(codec)])
        assert values(read(topic, 100)) == sent, wanted


def keys_headers_and_nulls():
    topic = create(fresh("headers"))
    send(producer(), topic, ["v"], key="k", headers=[("h", b"1"), ("h", b"2"), ("empty", None)], timestamp=1_700_000_000_123)
    send(producer(), topic, [None], key="gone")
    first, second = read(topic, 2)
    assert (first.key(), first.value(), first.timestamp()[1]) == (b"k", b"v", 1_700_000_000_123)
    assert first.headers() == [("h", b"1"), ("h", b"2"), ("empty", None)], first.headers()
    assert (second.key(), second.value()) == (b"gone", None)


def idempotent_producer():
    topic = create(fresh("idempotent"), 2)
    client = producer(enable_idempotence=True)
    sent = [str(index) for index in range(5000)]
    assert send(client, topic, sent, partition=1) == list(range(5000))
    assert values(read(topic, 5000, partition=1)) == sent


def fetch_by_offset():
    topic = create(fresh("by-offset"))
    send(producer(), topic, [str(index) for index in range(100)])
    assert values(read(topic, 3, offset=57)) == ["57", "58", "59"]
    reader = consumer()
    assert reader.get_watermark_offsets(TopicPartition(topic, 0), 10) == (0, 100)
    reader.close()


def fetch_by_time():
    topic = create(fresh("by-time"))
    for second in range(10):
        send(producer(), topic, [str(second)], timestamp=1_700_000_000_000 + second * 1000)
    reader = consumer()
    found = reader.offsets_for_times([TopicPartition(topic, 0, 1_700_000_004_500)], 10)[0]
    beyond = reader.offsets_for_times([TopicPartition(topic, 0, 1_800_000_000_000)], 10)[0]
    reader.close()
    assert found.offset == 5, found
    assert beyond.offset == END, beyond


def tail_with_long_poll():
    topic = create(fresh("tail"))
    reader = consumer()
    reader.assign([TopicPartition(topic, 0, 0)])
    assert reader.poll(0.5) is None
    threading.Timer(0.3, lambda: send(producer(), topic, ["at last"])).start()
    message = until(lambda: reader.poll(1))
    reader.close()
    assert message.value() == b"at last"


def read_past_records_that_are_missing():
    topic, gaps = create(fresh("holes"), configs=HOLES), producer(linger_ms="200")
    for names in HOLED_BATCHES:
        for name in names:
            gaps.produce(topic, name, headers=[("message-id", name.encode())])
        assert gaps.flush(30) == 0
    reader, found = consumer(), []
    reader.assign([TopicPartition(topic, 0, 0)])
    until(lambda: found.extend(reader.consume(10, 1)) or len(found) >= len(HOLED_LOG))
    assert [(message.offset(), message.value().decode()) for message in found] == HOLED_LOG, found
    fetches = fetches_answered()
    assert reader.poll(3) is None
    assert fetches_answered() - fetches < SPINNING, "it spins at the end"
    send(gaps, topic, ["h"], headers=[("message-id", b"h")])
    message = until(lambda: reader.poll(1))
    assert message.value() == b"h"
    reader.close()


def commit_and_read_offsets():
    topic, group = create(fresh("commit"), 2), fresh("group")
    writer = consumer(group)
    writer.commit(offsets=[TopicPartition(topic, 0, 7, "half way"), TopicPartition(topic, 1, 9)], asynchronous=False)
    writer.close()
    reader = consumer(group)
    found = reader.committed([TopicPartition(topic, 0), TopicPartition(topic, 1)], 10)
    reader.close()
    assert [(part.offset, part.metadata or "") for part in found] == [(7, "half way"), (9, "")], found


def kill_and_restart_in_between():
    topic, group = create(fresh("restart")), fresh("group")
    client = producer(enable_idempotence=True)
    send(client, topic, [str(index) for index in range(500)])
    reader = consumer(group)
    reader.commit(offsets=[TopicPartition(topic, 0, 250)], asynchronous=False)
    for index in range(500, 600):
        client.produce(topic, str(index))
    restart_broker()
    send(client, topic, [str(index) for index in range(600, 1000)])
    assert values(read(topic, 1000)) == [str(index) for index in range(1000)]
    assert reader.committed([TopicPartition(topic, 0)], 30)[0].offset == 250
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
