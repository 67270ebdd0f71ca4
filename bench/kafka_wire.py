"""The few raw Kafka requests that the benchmark sends itself, so that no client's start-up is measured with the broker's."""
import socket
import struct
import time

OFFSET_OUT_OF_RANGE = 1
UNKNOWN_TOPIC_OR_PARTITION = 3
LEADER_NOT_AVAILABLE = 5
NOT_LEADER_OR_FOLLOWER = 6
MEMBER_ID_REQUIRED = 79

_CRC_TABLE = []
for _byte in range(256):
    _crc = _byte
    for _ in range(8):
        _crc = (_crc >> 1) ^ 0x82F63B78 if _crc & 1 else _crc >> 1
    _CRC_TABLE.append(_crc)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def text(value):
    raw = value.encode()
    return struct.pack(">h", len(raw)) + raw


def record_batch(value, timestamp_ms, producer_id=-1, producer_epoch=-1, base_sequence=-1, key=None):
    """A batch of one uncompressed record without headers."""
    key = b"\x01" if key is None else _zigzag(len(key)) + key
    body = b"\x00" + b"\x00" + b"\x00" + key + _zigzag(len(value)) + value + b"\x00"
    record = _zigzag(len(body)) + body
    after_crc = struct.pack(">hiqqqhii", 0, 0, timestamp_ms, timestamp_ms, producer_id, producer_epoch, base_sequence, 1) + record
    after_length = struct.pack(">ibI", -1, 2, crc32c(after_crc)) + after_crc
    return struct.pack(">qi", 0, len(after_length)) + after_length


def _zigzag(number):
    number = (number << 1) ^ (number >> 63)
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


class Answer:
    """The fields of an answer, taken from front to back."""

    def __init__(self, raw):
        self._raw, self._at = raw, 0

    def take(self, form):
        """Fields of fixed size, by their letters in [`struct`]."""
        fields = struct.Struct(">" + form)
        found = fields.unpack_from(self._raw, self._at)
        self._at += fields.size
        return found

    def count(self):
        """Of the elements of an array that follow."""
        return self.take("i")[0]

    def text(self):
        """A string, or none."""
        (length,) = self.take("h")
        return None if length < 0 else self._bytes(length).decode()

    def skip_bytes(self):
        """Bytes behind their length, which may be none's; returns how many."""
        return len(self._bytes(max(self.count(), 0)))

    def _bytes(self, length):
        found = self._raw[self._at : self._at + length]
        self._at += length
        return found


class Connection:
    """One blocking connection, closed at the end of `with`; requests with header version 1."""

    def __init__(self, port, timeout_s=60):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.correlation_id = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def call(self, api_key, version, body):
        self.correlation_id += 1
        head = struct.pack(">hhi", api_key, version, self.correlation_id) + text("einmal-bench")
        self.socket.sendall(struct.pack(">i", len(head) + len(body)) + head + body)
        (length,) = struct.unpack(">i", self._exactly(4))
        answer = self._exactly(length)
        assert struct.unpack(">i", answer[:4])[0] == self.correlation_id, "answers out of order"
        return Answer(answer[4:])

    def _exactly(self, count):
        parts = bytearray()
        while len(parts) < count:
            part = self.socket.recv(count - len(parts))
            if not part:
                raise ConnectionError("the broker closed the connection")
            parts += part
        return bytes(parts)

    def create_topics(self, topics, partitions=1, timeout_ms=60_000):
        """CreateTopics 2 of {name: settings}, all in one request, each with as many partitions."""
        body = struct.pack(">i", len(topics))
        for name, settings in topics.items():
            body += text(name) + struct.pack(">ihii", partitions, 1, 0, len(settings))
            body += b"".join(text(key) + text(value) for key, value in settings.items())
        answer = self.call(19, 2, body + struct.pack(">ib", timeout_ms, 0))
        self._check_each("creating", topics, answer, has_messages=True)

    def delete_topics(self, names, timeout_ms=60_000):
        """DeleteTopics 1, all in one request."""
        answer = self.call(20, 1, struct.pack(">i", len(names)) + b"".join(map(text, names)) + struct.pack(">i", timeout_ms))
        self._check_each("deleting", names, answer, has_messages=False)

    @staticmethod
    def _check_each(what, names, answer, has_messages):
        answer.take("i")  # throttle time
        count = answer.count()
        for _ in range(count):
            name, (error,) = answer.text(), answer.take("h")
            message = answer.text() if has_messages else None
            assert error == 0, f"{what} {name} was answered {error} {message or ''}".rstrip()
        assert count == len(names), f"{what} topics: {count} of {len(names)} were answered"

    def count_with_leader(self, names):
        """Metadata 4 of all of them in one request: how many have a partition with a leader."""
        answer = self.call(3, 4, struct.pack(">i", len(names)) + b"".join(map(text, names)) + b"\0")
        answer.take("i")  # throttle time
        for _ in range(answer.count()):  # brokers: id, host, port, rack
            answer.take("i")
            answer.text()
            answer.take("i")
            answer.text()
        answer.text()  # cluster id
        answer.take("i")  # controller
        found = 0
        for _ in range(answer.count()):
            (error,) = answer.take("h")
            answer.text()
            answer.take("b")  # internal
            partitions = []
            for _ in range(answer.count()):
                partitions.append(answer.take("hii"))
                for _ in range(2):  # replicas, in sync
                    answer.take(f"{answer.count()}i")
            found += error == 0 and any(error == 0 and leader >= 0 for error, _, leader in partitions)
        return found

    def produce(self, topic, batches, acks=-1, timeout_ms=30000):
        """Produce 7 of {partition: batch} to one topic; returns {partition: (error, base offset)}."""
        body = struct.pack(">hhii", -1, acks, timeout_ms, 1) + text(topic) + struct.pack(">i", len(batches))
        body += b"".join(struct.pack(">ii", partition, len(batch)) + batch for partition, batch in batches.items())
        answer = self.call(0, 7, body)
        answer.count()  # topics: this one
        answer.text()
        results = {}
        for _ in range(answer.count()):
            partition, error, offset, _time, _start = answer.take("ihqqq")
            results[partition] = (error, offset)
        return results

    def fetch_sizes(self, topic, partitions, offset=0):
        """Fetch 4 from one offset of many partitions; returns {partition: (error, high watermark, bytes)}."""
        body = struct.pack(">iiiibi", -1, 100, 1, 50 << 20, 0, 1) + text(topic) + struct.pack(">i", len(partitions))
        body += b"".join(struct.pack(">iqi", partition, offset, 1 << 20) for partition in partitions)
        answer = self.call(1, 4, body)
        answer.take("i")  # throttle time
        answer.count()  # topics: this one
        answer.text()
        results = {}
        for _ in range(answer.count()):
            partition, error, high_watermark, _stable, aborted = answer.take("ihqqi")
            for _ in range(aborted):
                answer.take("qq")
            results[partition] = (error, high_watermark, answer.skip_bytes())
        return results

    def join_alone(self, group, topic):
        """Joins a group that has no other member, and takes all partitions of a topic as its leader does: FindCoordinator 1,
        JoinGroup 5 twice (the first asks for an id), SyncGroup 3, OffsetFetch 5."""
        _throttle, error = self.call(10, 1, text(group) + b"\x00").take("ih")
        assert error == 0, f"FindCoordinator was answered {error}"
        subscription = struct.pack(">hi", 0, 1) + text(topic) + struct.pack(">i", -1)
        member = ""
        for _ in range(2):
            body = text(group) + struct.pack(">ii", 45000, 300000) + text(member) + struct.pack(">h", -1) + text("consumer")
            answer = self.call(11, 5, body + struct.pack(">i", 1) + text("range") + struct.pack(">i", len(subscription)) + subscription)
            _throttle, error, generation = answer.take("ihi")
            _protocol, _leader, member = (answer.text() for _ in range(3))
            if error == 0:
                break
            assert error == MEMBER_ID_REQUIRED, f"JoinGroup was answered {error}"
        assignment = struct.pack(">hi", 0, 1) + text(topic) + struct.pack(">iii", 1, 0, -1)
        body = text(group) + struct.pack(">i", generation) + text(member) + struct.pack(">hi", -1, 1) + text(member)
        _throttle, error = self.call(14, 3, body + struct.pack(">i", len(assignment)) + assignment).take("ih")
        assert error == 0, f"SyncGroup was answered {error}"
        _throttle, topics = self.call(9, 5, text(group) + struct.pack(">i", 1) + text(topic) + struct.pack(">ii", 1, 0)).take("ii")
        assert topics == 1, f"OffsetFetch of a topic was answered with {topics}"


def consume_in_group(port, group, topic):
    """A member of a new group, from the connection to its first record; returns the seconds."""
    began = time.monotonic()
    with Connection(port) as connection:
        connection.join_alone(group, topic)
        error, _, size = connection.fetch_sizes(topic, [0])[0]
        assert error == 0 and size > 0, f"the fetch was answered {error} with {size} bytes"
        return time.monotonic() - began


def wait_for_coordinator(port, topic, deadline_s=60):
    """Until a member can join: Kafka creates the topic of its offsets when it is first asked for a coordinator."""
    end = time.monotonic() + deadline_s
    while True:
        try:
            return consume_in_group(port, f"warm-{topic}", topic)
        except AssertionError:
            if time.monotonic() > end:
                raise


def first_produce(port, topic, deadline_s):
    """Tries until a record is accepted; returns when."""
    end = time.monotonic() + deadline_s
    batch = record_batch(b"first", int(time.time() * 1000))
    while time.monotonic() < end:
        try:
            with Connection(port, 5) as connection:
                if connection.produce(topic, {0: batch})[0][0] == 0:
                    return time.monotonic()
        except OSError:
            pass
    raise TimeoutError(f"no produce was accepted on port {port} within {deadline_s} s")


def create_topic(port, topic, partitions, deadline_s=120):
    """Creates it and waits until all of its partitions are served: Kafka answers before they have leaders."""
    with Connection(port, deadline_s) as connection:
        connection.create_topics({topic: {}}, partitions)
    wait_until_served(port, topic, partitions, deadline_s)


def wait_until_served(port, topic, partitions, deadline_s=120):
    """Waits until all partitions of a topic that was created have leaders."""
    with Connection(port, deadline_s) as connection:
        missing, end = set(range(partitions)), time.monotonic() + deadline_s
        while missing:
            some = sorted(missing)[:1000]
            missing -= {partition for partition, (error, _, _) in connection.fetch_sizes(topic, some).items() if error == 0}
            if time.monotonic() > end:
                raise TimeoutError(f"{len(missing)} partitions of {topic} are not served after {deadline_s} s")
