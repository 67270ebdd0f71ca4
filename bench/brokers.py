"""Starts and ends the brokers under test: einmal's built binary, and Apache Kafka where `reference-kafka` is at hand."""
import functools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import proc
from cores import CORES

REPOSITORY = Path(__file__).resolve().parent.parent


@functools.cache
def einmal_binary():
    return subprocess.run(["make", "-s", "binary"], cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout.strip()


class Einmal:
    """On a data directory of its own, empty at first."""

    name = "einmal"

    def __init__(self, durability, settings=()):
        self.settings = ["log.flush.interval.messages=9223372036854775807"] if durability == "D1" else []
        self.settings += settings
        self.data = Path(tempfile.mkdtemp(prefix="einmal-bench-"))
        self.log = self.data.with_suffix(".log")
        self.process = self.port = self.admin = None

    def start(self):
        """Starts on the data directory of before; returns when the process was executed."""
        arguments = [einmal_binary(), "start", "--data-dir", str(self.data), "--set", f"listeners=PLAINTEXT://127.0.0.1:{self.port or 0}"]
        arguments += ["--set", "einmal.admin.listener=127.0.0.1:0"]
        for setting in self.settings:
            arguments += ["--set", setting]
        with open(self.log, "ab") as log:
            began = time.monotonic()
            self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=log, text=True)
        for line in self.process.stdout:
            if line.startswith("listening PLAINTEXT://"):
                self.port = int(line.strip().rsplit(":", 1)[1])
            if line.startswith("listening admin "):
                self.admin = line.split()[2]
            if line.strip() == "ready":
                CORES.place(self.pid)
                return began
        raise RuntimeError(f"einmal ended at start, see {self.log}")

    @property
    def pid(self):
        return self.process.pid

    def stop(self, sig=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(sig)
            self.process.wait(30)

    def kill(self):
        self.stop(signal.SIGKILL)

    def restart(self):
        self.stop()
        return self.start()

    def remove(self):
        self.stop()
        shutil.rmtree(self.data, ignore_errors=True)
        self.log.unlink(missing_ok=True)


class Kafka:
    """An Apache Kafka on an empty data directory."""

    name = "kafka"

    def __init__(self, durability, port=21092):
        self.durability, self.port = durability, port
        self.script = reference_kafka()
        home = Path(os.environ.get("REFERENCE_KAFKA_HOME", Path.home() / ".cache/reference-kafka"))
        self.data = home / f"node-{port}"
        self._pid = None

    def start(self):
        began = time.monotonic()
        settings = ["log.flush.interval.messages=1"] if self.durability == "D2" else []
        self._run("start", *settings)
        CORES.place(self.pid)
        return began

    @property
    def pid(self):
        if self._pid is None:
            self._pid = int(subprocess.run([self.script, "pid", str(self.port)], check=True, capture_output=True, text=True).stdout)
        return self._pid

    def restart(self):
        """The clock starts once the old process is gone, as for einmal; after `kill` it is."""
        if proc.is_running(self.pid):
            os.kill(self.pid, signal.SIGTERM)
        while proc.is_running(self.pid):
            time.sleep(0.01)
        began = time.monotonic()
        self._run("restart")
        CORES.place(self.pid)
        return began

    def kill(self):
        self._run("kill")

    def remove(self):
        self._run("stop")

    def _run(self, command, *settings):
        self._pid = None
        subprocess.run([self.script, command, str(self.port), *settings], check=True, stdout=subprocess.DEVNULL)


def reference_kafka():
    """Path of the script that runs a real Kafka (README.md says how it is called), or none."""
    named, unpacked = os.environ.get("REFERENCE_KAFKA"), os.environ.get("KAFKA_HOME")
    beside = REPOSITORY.parent / "shared/kafka/reference-kafka"
    script = Path(named) if named else Path(__file__).parent / "kafka-home" if unpacked else beside
    return str(script) if script.exists() else None


def no_kafka():
    """Why there is none, and what to do about it."""
    named = os.environ.get("REFERENCE_KAFKA")
    if named:
        return f"REFERENCE_KAFKA names {named}, which is not there"
    return "set KAFKA_HOME to the directory of an unpacked Apache Kafka, or REFERENCE_KAFKA to a script that runs one (bench/README.md)"
