"""The red packets: a shop owes money to accounts, a broker carries it, and everything dies now and then.

The same packets are sent again and again, each time with one guarantee more. Meanwhile the network loses answers, the power fails, and
each program is killed where it hurts most. Then the books are compared."""

import argparse
import json
import pathlib
import random
import sqlite3
import sys
import tempfile
import time

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

import report
from audit import audit
from cable import Cable
from cast import Cast, Process
from guarantees import STEPS, Guarantees
from power import Broker
from progress import settle
from watch import Watch

HERE = pathlib.Path(__file__).parent
ACCOUNTS = 20
# A step of 1,200 packets takes 20 s on a machine that has nothing else to do, and minutes on others.
PATIENCE_S, PATIENCE_S_PER_PACKET = 600, 0.5


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packets", type=int, default=1200, help="how many the shop owes (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="of amounts and of the work between deaths, not of timing (default: another each time)")
    parser.add_argument("--steps", default="0-6", help="which steps, FROM-TO (default: %(default)s)")
    parser.add_argument("--page", type=pathlib.Path, default=pathlib.Path("red-packets.html"), help="where the page goes")
    parser.add_argument("--picture", type=pathlib.Path, help="where the picture alone goes, SVG")
    parser.add_argument("--json", type=pathlib.Path, help="where the figures go")
    parser.add_argument("--shim", required=True, help=argparse.SUPPRESS)
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.randrange(1_000_000)
    first, last = map(int, given.steps.split("-"))
    debts = packets(given.packets, seed)
    report.opening(debts, ACCOUNTS, seed, last - first + 1)
    told = []
    for steps in range(first, last + 1):
        report.beginning(steps)
        told.append(tell(steps, debts, seed, given.shim))
        report.step(told[-1])
    report.closing(told)
    given.page.write_text(report.page(told, debts, seed))
    print(f"\nThe same with a picture: {given.page}")
    if given.picture:
        given.picture.write_text(report.picture(told))
    if given.json:
        given.json.write_text(json.dumps([report.figures(one) for one in told], indent=1))
    if last == len(STEPS) - 1 and (told[-1].audit.lost() or told[-1].audit.doubled()):
        sys.exit("money is missing or doubled with every guarantee on: that is a bug of einmal, please report it with the seed")


def packets(count, seed):
    """Packet, account, cents."""
    dice = random.Random(seed)
    return [(number, f"account-{dice.randrange(ACCOUNTS)}", dice.randrange(1, 20_000)) for number in range(count)]


def tell(steps, debts, seed, shim):
    """One step of the story, from an empty broker to the books."""
    guarantees = Guarantees(steps)
    with tempfile.TemporaryDirectory(prefix="red-packets-") as name:
        directory = pathlib.Path(name)
        outbox, ledger = directory / "outbox.db", directory / "ledger.db"
        write_books(outbox, ledger, debts)
        cable = Cable()
        with Broker(directory / "broker", shim, cable) as broker:
            for topic in ["packets", "credits"]:
                create(cable.address, NewTopic(topic, 1, 1, config=guarantees.topic_config(topic == "packets")))
            given = {"steps": steps, "bootstrap": cable.address, "seed": seed}
            processes = {
                name: Process(HERE / f"{name}.py", {**given, "database": str(database)}, directory / f"{name}.stderr")
                for name, database in [("shop", outbox), ("opener", ledger), ("bookkeeper", ledger)]
            }
            began = time.monotonic()
            with Cast(processes, max(PATIENCE_S, PATIENCE_S_PER_PACKET * len(debts))) as cast:
                trouble(cast, cable, broker, random.Random(f"{seed} {steps}"))
                watch = Watch(cable.address)
                settle(lambda: watch.look({packet for packet, in rows(ledger, "SELECT packet FROM credits")}), cast.revive)
                watch.close()
            seconds = time.monotonic() - began
            arrived = read_packets(cable.address)
        owed = {packet: cents for packet, _, cents in debts}
        result = audit(
            owed,
            {packet for packet, in rows(outbox, "SELECT packet FROM packets WHERE acknowledged = 1")},
            arrived,
            rows(ledger, "SELECT packet, shop_life, packet_offset, opener_life, credit_offset FROM credits"),
        )
        check_accounts(ledger, owed, result)
        return report.Told(steps, result, cast.deaths(), cable.breaks, broker.cuts, seconds)


def trouble(cast, cable, broker, dice):
    """Until the shop has sent all."""
    next_cut, next_outage = time.monotonic() + 0.5, time.monotonic() + 2
    while not cast["shop"].is_done():
        cast.revive()
        now = time.monotonic()
        if now > next_cut:
            cable.cut()
            next_cut = now + dice.uniform(0.4, 1.2)
        if now > next_outage:
            broker.pull_the_plug()
            next_outage = time.monotonic() + dice.uniform(1.5, 3)
        time.sleep(0.01)


def write_books(outbox, ledger, debts):
    with sqlite3.connect(outbox) as books:
        books.execute("PRAGMA journal_mode = WAL")
        books.execute("CREATE TABLE packets (packet INTEGER PRIMARY KEY, account, cents, sent DEFAULT 0, acknowledged DEFAULT 0)")
        books.executemany("INSERT INTO packets (packet, account, cents) VALUES (?, ?, ?)", debts)
    with sqlite3.connect(ledger) as books:
        books.execute("PRAGMA journal_mode = WAL")
        books.execute("CREATE TABLE accounts (account PRIMARY KEY, cents DEFAULT 0)")
        books.execute("CREATE TABLE credits (packet, account, cents, shop_life, packet_offset, opener_life, credit_offset)")
        books.execute("CREATE TABLE watermarks (topic_id PRIMARY KEY, next_offset)")
        books.executemany("INSERT INTO accounts (account) VALUES (?)", [(f"account-{each}",) for each in range(ACCOUNTS)])


def rows(database, query):
    books = sqlite3.connect(database, timeout=10)
    try:
        return books.execute(query).fetchall()
    finally:
        books.close()


def check_accounts(ledger, owed, result):
    """The accounts themselves, not what is said of them: what they hold is what is owed, less what was lost, plus what was doubled."""
    [(held,)] = rows(ledger, "SELECT sum(cents) FROM accounts")
    expected = sum(owed.values()) - result.lost() + result.doubled()
    assert held == expected, (held, expected, result)


def create(bootstrap, topic):
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    admin.create_topics([topic])[topic.topic].result(30)


def read_packets(bootstrap):
    """The packets that are in the log."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "auditor", "enable.auto.commit": False, "log_level": 0})
    _, high = consumer.get_watermark_offsets(TopicPartition("packets", 0), 10)
    consumer.assign([TopicPartition("packets", 0, 0)])
    found, at, deadline = set(), 0, time.monotonic() + 30
    while at < high:
        for message in consumer.consume(1000, 0.1):
            if message.error() is None:
                found.add(json.loads(message.value())["packet"])
        [position] = consumer.position([TopicPartition("packets", 0)])
        at = max(position.offset, 0)
        if time.monotonic() > deadline:
            sys.exit(f"the log of packets cannot be read beyond {at} of {high}")
    consumer.close()
    return found


if __name__ == "__main__":
    main()
