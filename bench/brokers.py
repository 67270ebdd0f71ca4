"""Starts, measures and ends the brokers under test: einmal's built binary, and Apache Kafka where `reference-kafka` is at hand."""
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """User and system time of a process, its threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_mb(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


class Einmal:
    name = "einmal"

    def __init__(self, durability):
        self.binary = subprocess.run(["make", "-s", "binary"], cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout.strip()
        self.settings = ["log.flush.interval.messages=9223372036854775807"] if durability == "D1" else []
        self.data = Path(tempfile.mkdtemp(prefix="einmal-bench-"))
        self.process = None
        self.port = None

    def start(self):
        """Starts on the data directory of before; returns when the process was executed."""
        arguments = [self.binary, "start", "--data-dir", str(self.data), "--set", f"listeners=PLAINTEXT://127.0.0.1:{self.port or 0}"]
        arguments += ["--set", "einmal.admin.listener=127.0.0.1:0"]
        for setting in self.settings:
            arguments += ["--set", setting]
        log = open(self.data.with_suffix(".log"), "ab")
        began = time.monotonic()
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=log, text=True)
        for line in self.process.stdout:
            if line.startswith("listening PLAINTEXT://"):
                self.port = int(line.strip().rsplit(":", 1)[1])
            if line.strip() == "ready":
                return began
        raise RuntimeError(f"einmal ended at start, see {log.name}")

    @property
    def pid(self):
        return self.process.pid

    def stop(self, sig=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(sig)
            self.process.wait(30)

    def remove(self):
        self.stop()
        shutil.rmtree(self.data, ignore_errors=True)


class Kafka:
    """A warm Apache Kafka: it keeps running over the repetitions of a row, since a new JVM would measure its compiler."""

    name = "kafka"

    def __init__(self, durability, port=21092):
        self.durability, self.port = durability, port
        self.script = reference_kafka()

    def start(self):
        began = time.monotonic()
        settings = ["log.flush.interval.messages=1"] if self.durability == "D2" else []
        subprocess.run([self.script, "start", str(self.port), *settings], check=True, stdout=subprocess.DEVNULL)
        return began

    @property
    def pid(self):
        return int(subprocess.run([self.script, "pid", str(self.port)], check=True, capture_output=True, text=True).stdout)

    def restart(self):
        began = time.monotonic()
        subprocess.run([self.script, "restart", str(self.port)], check=True, stdout=subprocess.DEVNULL)
        return began

    def remove(self):
        subprocess.run([self.script, "stop", str(self.port)], check=False, stdout=subprocess.DEVNULL)


def reference_kafka():
    """Path of the script that runs a real Kafka, or none."""
    script = Path(os.environ.get("REFERENCE_KAFKA", REPOSITORY.parent / "shared/kafka/reference-kafka"))
    return str(script) if script.exists() else None


def producer_performance(port, topic, records, record_bytes):
    """Kafka's own ProducerPerformance, idempotent with acks=all, every setting explicit. Returns its records per second."""
    properties = {
        "bootstrap.servers": f"127.0.0.1:{port}",
        "acks": "all",
        "enable.idempotence": "true",
        "max.in.flight.requests.per.connection": "5",
        "batch.size": "16384",
        "linger.ms": "5",
        "buffer.memory": "33554432",
        "compression.type": "none",
    }
    command = [reference_kafka(), "tool", "org.apache.kafka.tools.ProducerPerformance", "--topic", topic, "--num-records", str(records)]
    command += ["--record-size", str(record_bytes), "--throughput", "-1", "--producer-props", *(f"{k}={v}" for k, v in properties.items())]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    last = [line for line in output.splitlines() if "records/sec" in line][-1]
    sent, rate = re.match(r"(\d+) records sent, ([\d.]+) records/sec", last).groups()
    assert int(sent) == records, f"{sent} of {records} records were sent"
    return float(rate)
