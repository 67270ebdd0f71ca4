"""The clients, the same for both brokers and every setting explicit: Kafka's ProducerPerformance and `einmal bench`."""
import json
import re
import subprocess
import tempfile
from contextlib import contextmanager

from brokers import einmal_binary, reference_kafka
from cores import CORES
from forms import PARTITIONS, RECORD_BYTES


def producer_performance(port, topic, records, record_bytes):
    """Kafka's own ProducerPerformance, idempotent with acks=all. Returns its records per second."""
    properties = {
        "bootstrap.servers": f"127.0.0.1:{port}",
        "acks": "all",
        "enable.idempotence": "true",
        "max.in.flight.requests.per.connection": "5",
        "batch.size": "16384",
        "linger.ms": "5",
        "buffer.memory": "33554432",
        "max.request.size": "1048576",
        "send.buffer.bytes": "131072",
        "receive.buffer.bytes": "32768",
        "compression.type": "none",
    }
    command = [*CORES.client(), reference_kafka(), "tool", "org.apache.kafka.tools.ProducerPerformance", "--topic", topic, "--num-records", str(records)]
    command += ["--record-size", str(record_bytes), "--throughput", "-1", "--producer-props", *(f"{k}={v}" for k, v in properties.items())]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    last = [line for line in output.splitlines() if "records/sec" in line][-1]
    sent, rate = re.match(r"(\d+) records sent, ([\d.]+) records/sec", last).groups()
    assert int(sent) == records, f"{sent} of {records} records were sent"
    return float(rate)


def _bench(mode, flags):
    """One run of `einmal bench`; returns its JSON."""
    with tempfile.NamedTemporaryFile(suffix=".json") as result:
        command = [*CORES.client(), einmal_binary(), "bench", mode, "--json", result.name]
        command += _flags(flags)
        run = subprocess.run(command, capture_output=True, text=True)
        # A result that is not clean has an exit code of its own; what was wrong stands in it.
        text = result.read()
        assert text, f"einmal bench {mode}: {run.stderr.strip()[-200:]}"
        return json.loads(text)


def _flags(flags):
    words = []
    for name, value in flags.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            words.append(flag)
        elif value not in (None, False):
            words += [flag, str(value)]
    return words


def produce(port, topic, **flags):
    """`einmal bench produce`: open loop with a rate, else closed; acks=all, no compression."""
    return _answered(_bench("produce", {"bootstrap_server": f"127.0.0.1:{port}", "topic": topic, "acks": "all", "compression": "none", **flags}))


def consume(port, topic, **flags):
    """`einmal bench consume`: all that is there."""
    return _answered(consume_unchecked(port, topic, **flags))


def consume_unchecked(port, topic, **flags):
    fetch = {"fetch_max_wait_ms": 500, "fetch_min_bytes": 1, "fetch_max_bytes": 50 << 20, "max_partition_fetch_bytes": 1 << 20}
    return _bench("consume", {"bootstrap_server": f"127.0.0.1:{port}", "topic": topic, **fetch, **flags})


def read_back(port, topic, own_payload=True):
    """Reads everything, checks that offsets have no gaps and no checksum is wrong, and answers the number of records. The checksum
    of each payload is known only if `einmal bench` wrote it."""
    found = consume_unchecked(port, topic, verify=True)["verified"]
    wrong = found["gaps"] + found["overlaps"] + found["corrupt_batches"] + (found["corrupt_records"] if own_payload else 0)
    assert wrong == 0, f"what was read is not what was written: {found}"
    return found["records"] + found["corrupt_records"]


def end_to_end(port, topic, **flags):
    """`einmal bench e2e`: from the intended send to the consumer."""
    return _answered(_bench("e2e", {"bootstrap_server": f"127.0.0.1:{port}", "topic": topic, "acks": "all", "compression": "none", **flags}))


def connections(port, count, seconds):
    """Starts `einmal bench connections`, which holds them; returns the process. They come from several addresses, of which each may
    have 2,000 (einmal's `max.connections.per.ip`)."""
    command = [*CORES.client(), einmal_binary(), "bench", "connections", "--bootstrap-server", f"127.0.0.1:{port}", "--count", str(count)]
    command += ["--source-addresses", str(count // 1500 + 1), "--duration", str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextmanager
def groups(port, **flags):
    """`einmal bench groups` for `with`: inside, all groups are stable, and what they do for the duration has begun; the function that
    it yields waits for the end and answers the result."""
    with tempfile.NamedTemporaryFile(suffix=".json") as result:
        command = [*CORES.client(), einmal_binary(), "bench", "groups", "--bootstrap-server", f"127.0.0.1:{port}", "--json", result.name, *_flags(flags)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            said = process.stderr.readline()
            assert "are stable" in said, f"einmal bench groups: {said.strip()[-200:]}"

            def end():
                process.wait()
                text = result.read()
                assert text, f"einmal bench groups: {process.stderr.read().strip()[-200:]}"
                return _answered(json.loads(text))

            yield end
        finally:
            process.kill()
            process.wait()
            process.stderr.close()


def transactions(port, topic, **flags):
    """`einmal bench transactions`; nothing is lost or doubled."""
    result = _answered(_bench("transactions", {"bootstrap_server": f"127.0.0.1:{port}", "topic": topic, **flags}))
    assert result["complete"], "the partitions do not end where the committed transactions would have them end"
    return result


def calibration(seconds):
    """What `einmal bench` itself costs, and can do at most: its loads against a server that only answers."""
    server = subprocess.Popen([einmal_binary(), "bench", "null-server", "--partitions", str(PARTITIONS)], stdout=subprocess.PIPE, text=True)
    try:
        port = int(server.stdout.readline().rsplit(":", 1)[1])
        load = {"record_size": RECORD_BYTES, "records_per_batch": 1, "duration": seconds}
        full = produce(port, "null", **load, connections=4, in_flight=50)
        single = produce(port, "null", **load, connections=1, in_flight=1)
        # The loads of P5-2000 and P5-100.
        paced = {rate: produce(port, "null", **load, connections=1, in_flight=100, rate=rate) for rate in (2000, 100)}
    finally:
        server.kill()
        server.wait()
    return {
        "ceiling_records_per_s": full["records_per_s"],
        "client_cpu_us_per_record": full["client_cpu_s"] * 1e6 / full["records"],
        "floor_p50_us": single["latency_us"]["p50"],
        "floor_p99_us": single["latency_us"]["p99"],
        "floor_p99_ms": single["latency_us"]["p99"] / 1000,
        **{f"floor_{rate}_p99_ms": result["latency_us"]["p99"] / 1000 for rate, result in paced.items()},
    }


def limits(directory, short):
    """`einmal bench limits` of the disk that holds the directory."""
    size = ["--each-ms", "20", "--file-mib", "8"] if short else []
    command = [einmal_binary(), "bench", "limits", "--json", "--dir", str(directory), *size]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _answered(result):
    assert not result["errors"], f"the broker refused: {result['errors']}"
    verified = result.get("verified")
    assert verified is None or verified["ok"], f"what was read is not what was written: {verified}"
    return result
