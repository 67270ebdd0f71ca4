#!/usr/bin/env python3
"""einmal beside Apache Kafka on this machine, row by row, with the durability class on each.

    side_by_side.py [--form short|full|smoke] [--mode shared|split] [--rows ID[,ID]] [--continue FILE] [--list] [--repetitions N]
                    [--without-kafka] [--out DIR]

Rows: workloads.py. D1: acknowledged from the page cache, Kafka's default. D2: acknowledged after an fsync, einmal's default, in
Kafka `log.flush.interval.messages=1`. Repetitions are interleaved, einmal, Kafka, einmal, Kafka …; figures are medians with their
range, a ratio is einmal ÷ Kafka with the range of its repetitions, and claims something only if that range excludes 1. A
repetition in which other processes took more than 3 % of the CPU or the hypervisor more than 1 % is discarded, with its counterpart.
Where the machine never keeps quiet, a row that has too few others is filled with discarded ones, says so, and claims nothing.

How long each row is likely to take is told first ([`estimate`](estimate.py)). What was measured is kept after each row, and `--continue` goes on
with what is missing, in pieces as small as `--rows` makes them.

`--form smoke` takes each row once with hardly any data, to see that the harness works; its figures say nothing.
Without a Kafka (README.md says how it is found) only einmal's column is measured, and nothing that takes Kafka's own client.
"""
import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import clients
import estimate
import figures
import kafka_wire
import kept
import machine
import memory
import page
import proc
from bounds import BOUNDS
from brokers import REPOSITORY, Kafka, no_kafka, reference_kafka
from cores import CORES, MODES
from forms import FORMS, PARTITIONS, RECORD_BYTES
from turn import Turn
from workloads import workloads


# Two rounds of a warm Kafka differ by less than this share.
WARM_SHARE = 0.1
# Warming up ends after this many times its least time at the latest.
WARM_UP_MAX_SHARE = 4


def say(words):
    print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)


class Session:
    """One run of the harness."""

    def __init__(self, form, with_kafka, earlier=None, keep=lambda session: None):
        """`earlier`: what an interrupted run has left ([`kept.Earlier`](kept.py)). `keep` is called after each row."""
        self.form, self.with_kafka, self.keep, self.failures = form, with_kafka, keep, []
        self.rows, self.latencies, self.histograms, self.cold, self.rates = ([], [], [], {}, {}) if earlier is None else earlier.measured
        self.limits = earlier.limits if earlier else clients.limits(tempfile.gettempdir(), form is FORMS["smoke"])
        self.calibration = earlier.calibration if earlier else clients.calibration(min(form.seconds, 5))

    def run(self, todo):
        """`todo`: workloads with a durability class each."""
        for workload, durability in todo:
            if workload.own:
                self.measure(workload, durability, None)
        for durability in ("D1", "D2"):
            of_class = [workload for workload, of in todo if not workload.own and of == durability]
            if of_class:
                self.measure_warm(of_class, durability)

    def measure_warm(self, chosen, durability):
        """One Kafka for all rows of a class: a new JVM would measure its compiler. Each row has topics of its own."""
        if not self.with_kafka:
            for workload in chosen:
                self.measure(workload, durability, None)
            return
        kafka = Kafka(durability)
        try:
            kafka.start()
            self.warm_up(kafka)
            for workload in chosen:
                self.measure(workload, durability, kafka)
        finally:
            kafka.remove()

    def warm_up(self, kafka):
        """Produces and consumes until the time is over and two rounds in turn need the same CPU; the first round is the cold figure."""
        say(f"warming Kafka up for {self.form.warm_up_s} s or more, {kafka.durability}")
        kafka_wire.create_topic(kafka.port, "warm", PARTITIONS)
        kafka_wire.first_produce(kafka.port, "warm", 60)
        began = time.monotonic()
        records = self.form.records["D2"] if kafka.durability == "D2" else self.form.records["D1"]
        previous = None
        while True:
            before = proc.cpu_seconds(kafka.pid)
            rate = clients.producer_performance(kafka.port, "warm", records, RECORD_BYTES)
            cpu = (proc.cpu_seconds(kafka.pid) - before) / (records * RECORD_BYTES / 1e9)
            self.cold.setdefault(kafka.durability, {"records": records, "records_per_s": rate, "cpu_s_per_gb": cpu})
            clients.consume(kafka.port, "warm", records=records)
            taken_s = time.monotonic() - began
            is_steady = previous is not None and abs(cpu - previous) <= WARM_SHARE * previous
            say(f"  a round of {records} records: {cpu:.2f} CPU-s/GB")
            if taken_s >= self.form.warm_up_s and (is_steady or taken_s >= WARM_UP_MAX_SHARE * self.form.warm_up_s):
                return
            previous = cpu

    def measure(self, workload, durability, kafka):
        say(f"{workload.name} {durability}: {workload.title}")
        sides = ["einmal"]
        if self.with_kafka and not workload.einmal_only:
            sides.append("kafka")
        kept, discarded, notes, failed, kafka_runs = [], [], [], set(), 0
        kafka_repetitions = workload.kafka_runs(self.form)
        tries = self.form.repetitions + self.form.retries
        for repetition in range(tries):
            pair, disturbance = {}, None
            for side in sides:
                if side in failed or side == "kafka" and kafka_runs >= kafka_repetitions:
                    continue
                turn = Turn(side, durability, self.form, repetition, kafka, self.rates, workload.name)
                try:
                    pair[side] = workload.run(turn)
                except (AssertionError, OSError, RuntimeError, TimeoutError, ValueError, KeyError, subprocess.SubprocessError) as error:
                    failed.add(side)
                    notes.append(f"{side} could not run it: {type(error).__name__} {error}".strip()[:300])
                    self.failures.append(f"{workload.name} {durability} {side}: {error}")
                    say(f"  {notes[-1]}")
                    continue
                disturbance = disturbance or turn.disturbance
                say(f"  {repetition + 1} {side}: " + ", ".join(f"{k} {v:.4g}" for k, v in pair[side].items() if isinstance(v, (int, float))))
            if disturbance and self.form.discards:
                discarded.append(pair)
                say(f"  discarded: {disturbance}")
            elif pair:
                kept.append(pair)
                kafka_runs += "kafka" in pair
            if len(kept) == self.form.repetitions or failed.issuperset(sides):
                break
        disturbed = discarded[: self.form.repetitions - len(kept)]
        if disturbed:
            say(f"  filled with {len(disturbed)} that were discarded: claims nothing")
            # Where Kafka ran less often, its own stand beside einmal's of the same repetition.
            kept = sorted(kept + disturbed, key=lambda pair: "kafka" not in pair)
        for figure in workload.figures:
            made = figures.row(workload, figure, durability, CORES.mode, kept, self.limits, BOUNDS, len(discarded), notes, self.calibration)
            made.disturb(len(disturbed))
            self.rows.append(made)
        for side in sides:
            self.histograms += [
                {"workload": workload.name, "durability": durability, "broker": side, "repetition": repetition, "us": pair[side]["histogram"]}
                for repetition, pair in enumerate(kept)
                if "histogram" in pair.get(side, {})
            ]
            told = [pair[side]["latency_us"] for pair in kept if "latency_us" in pair.get(side, {})]
            if told:
                middle = {name: figures.median([each[name] for each in told]) for name in told[0]}
                self.latencies.append({"workload": workload.name, "title": workload.title, "durability": durability, "broker": side, "us": middle})
        self.keep(self)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--form", choices=FORMS, default="short")
    parser.add_argument("--rows", default="", metavar="ID[,ID]", help="only rows of these ids, or that begin so")
    parser.add_argument("--continue", dest="earlier", type=Path, metavar="FILE", help="the .json of an interrupted run, at the same commit: the other rows are added to it")
    parser.add_argument("--list", action="store_true", help="only tell the rows and how long each is likely to take")
    parser.add_argument("--mode", choices=MODES, default="shared", help="who runs on which core")
    parser.add_argument("--repetitions", type=int)
    parser.add_argument("--retries", type=int, help="how many more where some are disturbed")
    parser.add_argument("--without-kafka", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    form = FORMS[options.form]
    CORES.mode = options.mode
    if options.repetitions:
        form.repetitions = options.repetitions
    if options.retries is not None:
        form.retries = options.retries
    # Ten thousand connections, and Kafka's three files for each partition.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with_kafka = reference_kafka() is not None and not options.without_kafka
    if not with_kafka:
        why = "as asked" if options.without_kafka else no_kafka()
        say(f"no Kafka to compare with, only einmal's column is measured: {why}")
    earlier = kept.Earlier(options.earlier) if options.earlier else None
    todo = rows(form, options.rows, earlier)
    told = estimate.lines(todo, form, with_kafka)
    if options.list:
        print("\n".join(told))
        return
    if options.form != "smoke":
        say("about how long it takes:\n" + "\n".join(told))
    began = time.monotonic()
    with memory.prepared(options.form != "smoke") as prepared:
        facts = machine.facts(options.form, options.mode) | {"memory": prepared}
        out = options.out or (Path(tempfile.mkdtemp(prefix="einmal-smoke-")) if options.form == "smoke" else REPOSITORY / "bench/results")
        if earlier:
            earlier.check(facts, form)
            out, facts = options.earlier.parent, earlier.facts
        minutes = facts.get("minutes", 0)

        def keep(session):
            return page.write(out, facts | {"minutes": round(minutes + (time.monotonic() - began) / 60, 1)}, form, session)

        session = Session(form, with_kafka, earlier, keep)
        try:
            session.run(todo)
        except KeyboardInterrupt:
            say(f"interrupted: what was measured so far is written. To go on: --form {options.form} --continue {out / page.stem(facts)}.json")
    print(keep(session))
    missed = [f"{row.what} ({row.durability})" for row in session.rows if row.reached is False]
    if missed and options.form != "smoke":
        say(f"missed: {'; '.join(missed)}")
    if session.failures:
        sys.exit("could not run: " + "; ".join(session.failures))


def rows(form, only, earlier):
    """The workloads to be measured, with a durability class each."""
    chosen = [each for each in workloads(form) if not only or each.name.startswith(tuple(only.split(",")))]
    if not reference_kafka():
        left_out = [each.name for each in chosen if each.kafka_client]
        if left_out:
            say(f"left out, their client comes with Kafka: {', '.join(left_out)}")
        chosen = [each for each in chosen if not each.kafka_client]
    done = earlier.done if earlier else set()
    return [(each, durability) for each in chosen for durability in each.classes if (each.name, durability) not in done]


if __name__ == "__main__":
    main()
