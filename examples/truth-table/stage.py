"""Where a cell of the table is tried: a broker behind a cable, topics and a database of its own, and its consumers as processes."""

import collections
import contextlib
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import time

import sender
from cable import Cable
from columns import EXAMPLES
from confluent_kafka import OFFSET_BEGINNING, Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

sys.path.append(str(EXAMPLES.parent / "demo"))
import power  # noqa: E402 - it is no package

PATIENCE_S = 60
# Sessions are short, so that a stopped member is given up soon.
SETTINGS = ["group.min.session.timeout.ms=500", "einmal.log.level=error"]


def until(condition, what):
    """Waits until condition() is true, and returns its value."""
    deadline = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"never came true: {what}")
        time.sleep(0.02)
    return value


class Stage:
    """The broker; `with` stops it."""

    def __init__(self, directory):
        directory.mkdir(parents=True)
        self.directory, self.cable = directory, Cable()
        self.bootstrap = self.cable.address
        # Clients are told the cable's address.
        self.cable.plug_in(self._does("start", f"advertised.listeners=PLAINTEXT://{self.bootstrap}", *SETTINGS))
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def kill_and_restart(self):
        """SIGKILL."""
        self._does("restart")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._does("stop")
        self.cable.close()

    def _does(self, command, *settings):
        script = EXAMPLES.parent / "compat-tests" / "broker"
        # A file, not a pipe: the broker would keep it open.
        with (self.directory / "answer").open("w+") as answer:
            subprocess.run([script, command, self.directory, *settings], check=True, stdout=answer)
            answer.seek(0)
            return answer.read().strip()


class PluggedStage:
    """The same, of which the power can be cut: what no fsync has told the disk of is gone then."""

    def __init__(self, directory):
        directory.mkdir(parents=True)
        self.cable = Cable()
        self.bootstrap = self.cable.address
        shim = subprocess.run([EXAMPLES.parent / "demo" / "shim"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        self._broker = power.Broker(directory, shim, self.cable)
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def kill_and_restart(self):
        """By its plug."""
        # What is acknowledged has been synced: there need be nothing to lose.
        self._broker.pull_the_plug(patience_s=0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._broker.__exit__()
        self.cable.close()


class Cell:
    """One try of one cell: `condition` is that of the claim, `way` how it comes to the failure where there are several."""

    def __init__(self, stage, directory, column, condition="", way=""):
        directory.mkdir(parents=True)
        self.stage, self.directory, self.column = stage, directory, column
        self.condition, self.way = condition, way
        self.name = directory.name
        self.input, self.output, self.ledger, self.group = (f"{self.name}-{what}" for what in ["input", "output", "ledger", "group"])
        self._processes, self._markers = [], 0
        self._program = self._edited(column.program, (*column.edits, *column.variants.get(condition, ())))
        self._database = directory / "database"
        with sqlite3.connect(self._database) as database:
            database.execute("CREATE TABLE effects (message TEXT NOT NULL)")
            for schema in column.program.parent.glob("schema.sql"):
                database.executescript(schema.read_text())

    def create_topics(self, **input_settings):
        """`input_settings` hold for the topic that is consumed where it has deduplication."""
        self.input_settings = {**self.column.input, **(input_settings if self.column.input else {})}
        self.create(self.input, self.input_settings)
        self.create(self.output, self.column.output)
        self.create(self.ledger, self.column.ledger)

    def create(self, topic, settings):
        self.stage.admin.create_topics([NewTopic(topic, 1, 1, config=settings)])[topic].result(PATIENCE_S)

    def start(self, owner="one", **environment):
        """A consumer."""
        process = Process([sys.executable, self._program], self.directory / f"stderr-{len(self._processes)}", {
            "BOOTSTRAP": self.stage.bootstrap,
            "GROUP": self.group,
            "INPUT": self.input,
            "OUTPUT": self.output,
            "LEDGER": self.ledger,
            "DATABASE_URL": f"sqlite:{self._database}",
            "OWNER": owner,
            "SESSION_TIMEOUT_MS": "10000",
            "PYTHONPATH": str(EXAMPLES),
            **environment,
        })
        self._processes.append(process)
        return process

    def consume(self, owner="one", **environment):
        """All that is there: by a consumer that is killed when it has come to a message that is sent now."""
        process = self.start(owner, **environment)
        if not self.comes_to_a_new_message(process):
            raise RuntimeError(f"it ended by {process.ends()} and said: {process.last_words()}")
        process.kill()

    def comes_to_a_new_message(self, process):
        """Sends one, and waits for its effect: what lies before it is over by then. False if the process ends before."""
        self._markers += 1
        marker = f"marker {self._markers}"
        self.send(marker)
        shown = self._shown_in_output if self.column.effects is None else self._shown_in_database
        return shown(marker, process)

    def send(self, *messages):
        """By a sender that lives just for it."""
        client = sender.producer(self.stage.bootstrap, f"{self.name}-sender")
        for message in messages:
            sender.send(client, self.input, message)
        sender.acknowledged(client)

    def _shown_in_database(self, marker, process):
        until(lambda: self.effects(marker) or process.has_ended(), f"the effect of {marker}")
        return self.effects(marker) > 0

    def _shown_in_output(self, marker, process):
        deadline = time.monotonic() + PATIENCE_S
        with self._reader(self.output) as reader:
            while not process.has_ended():
                record = reader.poll(0.1)
                if record is not None and record.error() is None and record.key().decode() == marker:
                    return True
                if time.monotonic() > deadline:
                    raise TimeoutError(f"never came true: the effect of {marker}")
        return False

    def sender(self, client_id, message):
        """A process that sends one message."""
        command = [sys.executable, pathlib.Path(__file__).parent / "sender.py", client_id, message]
        process = Process(command, self.directory / f"stderr-{len(self._processes)}", {"BOOTSTRAP": self.stage.bootstrap, "INPUT": self.input})
        self._processes.append(process)
        return process

    def stored(self, message):
        return self._committed(self.input)[message]

    def effects(self, message):
        if self.column.effects is None:
            return self._committed(self.output)[message]
        return self.asked(self.column.effects, message)

    def outside(self, message):
        return self.asked(self.column.outside, message) if self.column.outside else 0

    def asked(self, query, *values):
        """One number of the database."""
        with sqlite3.connect(self._database) as database:
            return database.execute(query, values).fetchone()[0]

    def _committed(self, topic):
        """How many records of each key a reader of committed records is given, to the end."""
        counts = collections.Counter()
        for record in self.read(topic):
            counts[record.key().decode()] += 1
        return counts

    @contextlib.contextmanager
    def _reader(self, topic):
        """Of committed records, from the beginning."""
        reader = Consumer({
            "bootstrap.servers": self.stage.bootstrap,
            "group.id": "none: it commits nothing",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "log_level": 0,
        })
        reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        try:
            yield reader
        finally:
            reader.close()

    def read(self, topic):
        """The records, to the end that there is now. Waits for a transaction that is open there."""
        with self._reader(topic) as reader:
            _, end = reader.get_watermark_offsets(TopicPartition(topic, 0), PATIENCE_S)
            deadline, position = time.monotonic() + PATIENCE_S, 0
            while position < end:
                record = reader.poll(1)
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{topic} is read to {position} of {end}")
                if record is None:
                    continue
                if record.error() is None:
                    position = record.offset() + 1
                    yield record
                elif record.error().code() == KafkaError._PARTITION_EOF:
                    # Behind the last record there may be the marks of transactions.
                    position = record.offset()
                else:
                    raise KafkaException(record.error())

    def forget_group(self):
        """With what it has committed, as soon as it is empty."""
        self._as_soon_as_empty(lambda: self.stage.admin.delete_consumer_groups([self.group])[self.group])

    def rewind_group(self):
        """To the earliest record."""
        there = ConsumerGroupTopicPartitions(self.group, [TopicPartition(self.input, 0, 0)])
        self._as_soon_as_empty(lambda: self.stage.admin.alter_consumer_group_offsets([there])[self.group])

    def recreate_input(self):
        self.stage.admin.delete_topics([self.input])[self.input].result(PATIENCE_S)
        self.create(self.input, self.input_settings)

    def _as_soon_as_empty(self, ask):
        """Static members stay for the time of a session."""

        def asked():
            try:
                done = ask().result(PATIENCE_S)
            except KafkaException as error:
                if error.args[0].code() in (KafkaError.NON_EMPTY_GROUP, KafkaError.UNKNOWN_MEMBER_ID):
                    return False
                raise
            errors = [part.error for part in getattr(done, "topic_partitions", []) if part.error]
            if errors and errors[0].code() not in (KafkaError.NON_EMPTY_GROUP, KafkaError.UNKNOWN_MEMBER_ID):
                raise KafkaException(errors[0])
            return not errors

        until(asked, f"{self.group} is empty")

    def end(self):
        for process in self._processes:
            process.kill()

    def _edited(self, program, edits):
        """The program, or its variant in the cell's directory."""
        if not edits:
            return program
        source = program.read_text()
        for line, instead in edits:
            if source.count(line) != 1:
                raise ValueError(f"{program.name} has {source.count(line)} times: {line.strip()}")
            source = source.replace(line, instead)
        variant = self.directory / program.name
        variant.write_text(source)
        return variant


class Process:
    """A program that may kill or stop itself."""

    def __init__(self, command, said, environment):
        self._said = said
        with said.open("wb") as stderr:
            self._process = subprocess.Popen(command, stderr=stderr, env={**os.environ, **environment})

    def ends(self):
        """How: 0 is success, -9 a SIGKILL."""
        try:
            return self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"it does not end; it said: {self.last_words()}") from None

    def has_ended(self):
        return self._process.poll() is not None

    def succeeds(self):
        if self.ends() != 0:
            raise RuntimeError(f"it ended by {self._process.returncode} and said: {self.last_words()}")

    def dies(self):
        """By the SIGKILL that it was to give itself, not by an error before."""
        if self.ends() != -signal.SIGKILL:
            raise RuntimeError(f"it was to be killed, and ended by {self._process.returncode}; it said: {self.last_words()}")

    def stops(self):
        """Where it was to."""
        until(lambda: self.has_stopped() or self.has_ended(), "it stops")
        if self.has_ended():
            raise RuntimeError(f"it was to stop, and ended; it said: {self.last_words()}")

    def has_stopped(self):
        return not self.has_ended() and pathlib.Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(") ", 1)[1][0] == "T"

    def goes_on(self):
        self._process.send_signal(signal.SIGCONT)

    def kill(self):
        self._process.kill()
        self._process.wait()

    def last_words(self):
        lines = self._said.read_text(errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "nothing")
