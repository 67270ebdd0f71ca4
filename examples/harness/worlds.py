"""Where each recipe runs: its topics, what is sent to it, and what became of each message.

Message K has the id `message-K` and the value 4^K: a sum of such values tells how often each is in it.
"""

import collections
import pathlib
import sqlite3
import time

import psycopg
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

EXAMPLES = pathlib.Path(__file__).parents[1]
PARTITIONS = 2
# Up to which 4^K, counted up to three times, is below 2^63.
MESSAGES_MAX = 31
PATIENCE_S = 60


class World:
    """One case of a recipe."""

    # INPUT knows each message once; where that is the recipe's task, it does not.
    input = {"message.dedup.mode": "window"}
    # The other topics, by the variable that names them.
    more = {}
    # Whether a message is known again in a topic that was created anew.
    knows_ids = False
    stores = [None]
    # Where the old owner of a partition stands while another takes it over.
    zombie_at = "received"

    def __init__(self, broker, name, database=None):
        self.bootstrap, self.name, self.database = broker.bootstrap, name, database
        # A broker that is killed is no news.
        self.client = {"bootstrap.servers": self.bootstrap, "log_level": 0}
        self.admin = AdminClient(self.client)
        self.topics = {kind: f"{name}-{kind.lower()}" for kind in ["INPUT", *self.more]}
        self.sent = set()
        self.create("INPUT", self.input)
        for kind, settings in self.more.items():
            self.create(kind, settings)
        if database:
            schema = (EXAMPLES / self.recipe / "schema.sql").read_text()
            with self.connect() as connection:
                connection.executescript(schema) if self.is_sqlite else connection.execute(schema)

    def environment(self, owner):
        return {
            "BOOTSTRAP": self.bootstrap,
            "GROUP": f"{self.name}-group",
            "OWNER": owner,
            # Longer than a fetch waits, and a partition may have to wait for the fetch of another.
            "IDLE_EXIT_MS": "1500",
            "SESSION_TIMEOUT_MS": "1500",
            "TRANSACTION_TIMEOUT_MS": "3000",
            "LEASE_MS": "1500",
            **({"DATABASE_URL": self.database} if self.database else {}),
            **self.topics,
        }

    def create(self, kind, settings):
        topic = NewTopic(self.topics[kind], PARTITIONS, 1, config=settings)
        self.admin.create_topics([topic])[self.topics[kind]].result(PATIENCE_S)

    def recreate_input(self):
        self.admin.delete_topics([self.topics["INPUT"]])[self.topics["INPUT"]].result(PATIENCE_S)
        self.create("INPUT", self.input)

    def send(self, numbers):
        """Every third message twice in a row, and the first of them once more at the end. A message has its partition."""
        failures = []
        producer = Producer({**self.client, "enable.idempotence": True})
        for number in [*(again for number in numbers for again in [number] * (2 if number % 3 == 0 else 1)), numbers[0]]:
            if number >= MESSAGES_MAX:
                raise ValueError("too many messages to count them")
            producer.produce(
                self.topics["INPUT"], str(4**number), f"account-{number % PARTITIONS}", number % PARTITIONS,
                headers={"message-id": f"message-{number}"}, on_delivery=lambda error, _: error and failures.append(error),
            )
        if producer.flush(PATIENCE_S) or failures:
            raise RuntimeError(f"not sent: {failures}")
        self.sent.update(numbers)

    def forget_offsets(self):
        """Sets what the group has committed back to the earliest offsets, as soon as it has no members."""
        starts = [TopicPartition(self.topics["INPUT"], partition, 0) for partition in range(PARTITIONS)]
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                asked = self.admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(f"{self.name}-group", starts)])
                for told in asked[f"{self.name}-group"].result(PATIENCE_S).topic_partitions:
                    if told.error:
                        raise KafkaException(told.error)
                return
            except KafkaException as error:
                if error.args[0].code() not in {KafkaError.UNKNOWN_MEMBER_ID, KafkaError.NON_EMPTY_GROUP}:
                    raise
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def verdict(self):
        """What went wrong; nothing if each message had its effect once."""
        effects = self.effects()
        lost = sorted(self.sent - effects.keys())
        doubled = sorted(number for number, times in effects.items() if times > 1)
        invented = sorted(str(number) for number in effects.keys() - self.sent)
        told = [("lost", lost), ("more than once", doubled), ("never sent", invented)]
        return "; ".join(f"{what}: {', '.join(map(str, numbers))}" for what, numbers in told if numbers)

    @property
    def is_sqlite(self):
        return self.database.startswith("sqlite:")

    def connect(self):
        return sqlite3.connect(self.database.removeprefix("sqlite:")) if self.is_sqlite else psycopg.connect(self.database)

    def rows(self, sql):
        with self.connect() as connection:
            return connection.execute(sql).fetchall()

    def output(self):
        """How often each message's value, doubled, is in OUTPUT."""
        numbers = {str(2 * 4**number): number for number in range(MESSAGES_MAX)}
        reader = Consumer({
            **self.client, "group.id": "reader", "isolation.level": "read_committed", "enable.partition.eof": True,
        })
        reader.assign([TopicPartition(self.topics["OUTPUT"], partition, 0) for partition in range(PARTITIONS)])
        effects, ended = collections.Counter(), 0
        while ended < PARTITIONS:
            message = reader.poll(PATIENCE_S)
            if message is None:
                raise TimeoutError("OUTPUT has no end")
            if message.error() is None:
                value = message.value().decode()
                effects[numbers.get(value, f"value {value}")] += 1
            elif message.error().code() == KafkaError._PARTITION_EOF:
                ended += 1
            else:
                raise KafkaException(message.error())
        reader.close()
        return effects


class Watermark(World):
    recipe = "watermark"
    stores = ["sqlite", "postgresql"]

    def effects(self):
        """The digits of the balances to the base of 4."""
        effects = collections.Counter()
        for account, cents in self.rows("SELECT account, cents FROM balances"):
            for number in range(MESSAGES_MAX + 1):
                times, partition = (cents >> (2 * number)) & 3, int(account.removeprefix("account-"))
                if times:
                    effects[number if number % PARTITIONS == partition else f"{number} in {account}"] += times
        return effects


class TransactionalLedger(World):
    recipe = "transactional-ledger"
    input = {}
    more = {"OUTPUT": {}, "LEDGER": {"cleanup.policy": "compact"}}
    knows_ids = True
    zombie_at = "written"

    def effects(self):
        return self.output()


class ClaimLedger(World):
    recipe = "claim-ledger"
    input = {}
    more = {
        "LEDGER": {
            "cleanup.policy": "compact",
            "message.dedup.mode": "window",
            "message.dedup.id.source": "key",
            "message.dedup.on.duplicate": "reject",
            "message.dedup.window.ms": str(7 * 24 * 3600 * 1000),
        }
    }
    knows_ids = True
    stores = ["sqlite"]
    zombie_at = "looked"

    def claim_for_the_dead(self, number):
        """A claim of an owner who is gone; its lease ends soon."""
        producer = Producer(self.client)
        producer.produce(
            self.topics["LEDGER"], "one who is gone", f"{self.name}-group/message-{number}", headers={"claim-expires": "1000"}
        )
        if producer.flush(PATIENCE_S):
            raise RuntimeError("the claim of the dead was not sent")

    def effects(self):
        done = collections.Counter(job for (job,) in self.rows("SELECT job FROM done"))
        return collections.Counter({int(job.removeprefix("message-")): times for job, times in done.items()})


class SequenceChaining(World):
    recipe = "sequence-chaining"
    more = {"OUTPUT": {"message.dedup.mode": "sequence"}}

    def effects(self):
        return self.output()


WORLDS = {world.recipe: world for world in [Watermark, TransactionalLedger, ClaimLedger, SequenceChaining]}
