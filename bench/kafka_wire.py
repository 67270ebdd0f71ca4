"""The few raw Kafka requests that the benchmark sends itself, so that no client's start-up is measured with the broker's."""
import socket
import struct
import time

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


class Connection:
    """One blocking connection; requests with header version 1."""

    def __init__(self, port, timeout_s=60):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.correlation_id = 0

    def close(self):
        self.socket.close()

    def call(self, api_key, version, body):
        self.correlation_id += 1
        head = struct.pack(">hhi", api_key, version, self.correlation_id) + text("einmal-bench")
        self.socket.sendall(struct.pack(">i", len(head) + len(body)) + head + body)
        (length,) = struct.unpack(">i", self._exactly(4))
        answer = self._exactly(length)
        assert struct.unpack(">i", answer[:4])[0] == self.correlation_id, "answers out of order"
        return answer[4:]

    def _exactly(self, count):
        parts = bytearray()
        while len(parts) < count:
            part = self.socket.recv(count - len(parts))
            if not part:
                raise ConnectionError("the broker closed the connection")
            parts += part
        return bytes(parts)

    def create_topic(self, name, partitions, timeout_ms=60000):
        """CreateTopics 2; returns the error code."""
        topic = text(name) + struct.pack(">ihii", partitions, 1, 0, 0)
        answer = self.call(19, 2, struct.pack(">i", 1) + topic + struct.pack(">ib", timeout_ms, 0))
        name_length = struct.unpack(">h", answer[8:10])[0]
        return struct.unpack(">h", answer[10 + name_length : 12 + name_length])[0]

    def produce(self, topic, batches, acks=-1, timeout_ms=30000):
        """Produce 7 of {partition: batch} to one topic; returns {partition: (error, base offset)}."""
        body = struct.pack(">hhii", -1, acks, timeout_ms, 1) + text(topic) + struct.pack(">i", len(batches))
        body += b"".join(struct.pack(">ii", partition, len(batch)) + batch for partition, batch in batches.items())
        answer = self.call(0, 7, body)
        at = 4 + 2 + len(topic.encode())
        (count,) = struct.unpack(">i", answer[at : at + 4])
        at += 4
        results = {}
        for _ in range(count):
            partition, error, offset, _time, _start = struct.unpack(">ihqqq", answer[at : at + 30])
            results[partition] = (error, offset)
            at += 30
        return results

    def fetch_sizes(self, topic, partitions, offset=0):
        """Fetch 4 from one offset of many partitions; returns {partition: (error, high watermark, bytes)}."""
        body = struct.pack(">iiiibi", -1, 100, 1, 50 << 20, 0, 1) + text(topic) + struct.pack(">i", len(partitions))
        body += b"".join(struct.pack(">iqi", partition, offset, 1 << 20) for partition in partitions)
        answer = self.call(1, 4, body)
        at = 4 + 4 + 2 + len(topic.encode())
        (count,) = struct.unpack(">i", answer[at : at + 4])
        at += 4
        results = {}
        for _ in range(count):
            partition, error, high_watermark, _stable, aborted = struct.unpack(">ihqqi", answer[at : at + 26])
            at += 26 + max(aborted, 0) * 16
            (size,) = struct.unpack(">i", answer[at : at + 4])
            at += 4 + max(size, 0)
            results[partition] = (error, high_watermark, max(size, 0))
        return results

    def _error_at(self, answer, at, what):
        (error,) = struct.unpack(">h", answer[at : at + 2])
        assert error == 0, f"{what} was answered {error}"

    def join_alone(self, group, topic):
        """Joins a group that has no other member, and takes all partitions of a topic as its leader does: FindCoordinator 1,
        JoinGroup 5 twice (the first asks for an id), SyncGroup 3, OffsetFetch 5."""
        self._error_at(self.call(10, 1, text(group) + b"\x00"), 4, "FindCoordinator")
        subscription = struct.pack(">hi", 0, 1) + text(topic) + struct.pack(">i", -1)
        member = ""
        for _ in range(2):
            body = text(group) + struct.pack(">ii", 45000, 300000) + text(member) + struct.pack(">h", -1) + text("consumer")
            answer = self.call(11, 5, body + struct.pack(">i", 1) + text("range") + struct.pack(">i", len(subscription)) + subscription)
            error, generation = struct.unpack(">hi", answer[4:10])
            at = 10
            for _ in range(3):  # protocol, leader, this member
                (length,) = struct.unpack(">h", answer[at : at + 2])
                member = answer[at + 2 : at + 2 + length].decode()
                at += 2 + length
            if error == 0:
                break
            assert error == MEMBER_ID_REQUIRED, f"JoinGroup was answered {error}"
        assignment = struct.pack(">hi", 0, 1) + text(topic) + struct.pack(">iii", 1, 0, -1)
        body = text(group) + struct.pack(">i", generation) + text(member) + struct.pack(">hi", -1, 1) + text(member)
        self._error_at(self.call(14, 3, body + struct.pack(">i", len(assignment)) + assignment), 4, "SyncGroup")
        body = text(group) + struct.pack(">i", 1) + text(topic) + struct.pack(">ii", 1, 0)
        assert len(self.call(9, 5, body)) > len(topic), "OffsetFetch was not answered"


def consume_in_group(port, group, topic):
    """A member of a new group, from the connection to its first record; returns the seconds."""
    began = time.monotonic()
    connection = Connection(port)
    try:
        connection.join_alone(group, topic)
        error, _, size = connection.fetch_sizes(topic, [0])[0]
        assert error == 0 and size > 0, f"the fetch was answered {error} with {size} bytes"
        return time.monotonic() - began
    finally:
        connection.close()


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
            connection = Connection(port, 5)
            try:
                if connection.produce(topic, {0: batch})[0][0] == 0:
                    return time.monotonic()
            finally:
                connection.close()
        except OSError:
            pass
    raise TimeoutError(f"no produce was accepted on port {port} within {deadline_s} s")


def create_topic(port, topic, partitions, deadline_s=120):
    """Creates it and waits until all of its partitions are served: Kafka answers before they have leaders."""
    connection = Connection(port, deadline_s)
    try:
        error = connection.create_topic(topic, partitions)
        assert error == 0, f"creating {topic} was answered {error}"
        missing, end = set(range(partitions)), time.monotonic() + deadline_s
        while missing:
            some = sorted(missing)[:1000]
            missing -= {partition for partition, (error, _, _) in connection.fetch_sizes(topic, some).items() if error == 0}
            if time.monotonic() > end:
                raise TimeoutError(f"{len(missing)} partitions of {topic} are not served after {deadline_s} s")
    finally:
        connection.close()
