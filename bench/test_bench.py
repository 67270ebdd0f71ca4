"""What the harness says of figures: `python3 -m unittest discover bench`."""
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

sys.path.insert(0, str(Path(__file__).parent))

import brokers
import estimate
import figures
import kept
import page
import plots
import proc
import reasons
from bounds import BOUNDS
from figures import Figure, Goal
from forms import FORMS
from interval import Interval
from workloads import workloads

LIMITS = {
    "loopback_receive_64_kib": {"gb_per_s": 4, "cpu_s_per_gb": 0.2},
    "loopback_send_64_kib": {"gb_per_s": 4, "cpu_s_per_gb": 0.15},
    "crc32c": {"gb_per_s": 20, "cpu_s_per_gb": 0.05},
    "write_new_pages": {"gb_per_s": 3, "cpu_s_per_gb": 0.25},
    "request_1_in_flight": {"per_s": 50_000, "cpu_us": 8},
    "reply_1_in_flight": {"per_s": 50_000, "cpu_us": 7},
    "fdatasync_4_kib": {"p99_us": 400, "cpu_us": 60, "gb_per_s": 0.02},
    "fdatasync_1024_kib": {"p99_us": 900, "cpu_us": 200, "gb_per_s": 1.3},
}


def row(figure, einmal, kafka, durability="D2"):
    workload = SimpleNamespace(name="X", title="a load")
    count = max(len(einmal), len(kafka))
    samples = [{side: {figure.key: values[i]} for side, values in (("einmal", einmal), ("kafka", kafka)) if i < len(values)} for i in range(count)]
    return figures.row(workload, figure, durability, "shared", samples, LIMITS, BOUNDS, 0, [])


class Figures(unittest.TestCase):
    def check(self, einmal, kafka, ratio, claim, reached):
        made = row(Figure("k", "time", "s", goal=Goal("ratio", 0.5)), einmal, kafka)
        self.assertEqual((made.ratio, made.claim, made.reached), (ratio, claim, reached))

    def test_a_claim_needs_a_range_without_1_and_three_repetitions(self):
        self.check([1, 2, 3], [4, 4, 4], (0.5, 0.25, 0.75), True, True)
        self.check([1, 3, 5], [4, 4, 4], (0.75, 0.25, 1.25), False, False)
        self.check([8, 8, 8], [4, 4, 4], (2, 2, 2), True, False)
        self.check([1, 1], [4, 4], (0.25, 0.25, 0.25), False, True)
        self.check([2, 4, 4], [4], (1, 0.5, 1), False, False)
        self.check([1, 2, 3], [], None, False, None)

    def test_a_value_is_judged_without_kafka_and_in_its_direction(self):
        for better, bound, expected in (("lower", 2, True), ("lower", 1.9, False), ("higher", 2, True), ("higher", 2.1, False)):
            self.assertEqual(row(Figure("k", "what", "s", better, Goal("value", bound)), [1, 2, 3], []).reached, expected, (better, bound))

    def test_the_bound_is_a_share_with_the_largest_term(self):
        cpu = row(Figure("k", "CPU", "CPU-s/GB", bound="produce_cpu"), [5.0], [])
        self.assertEqual((round(cpu.bound_fraction, 3), cpu.bound_term), (0.1, "write of new pages"))
        rate = row(Figure("k", "rate", "records/s", "higher", bound="record_rate"), [126953.125], [])
        self.assertEqual((round(rate.bound_fraction, 3), rate.bound_term), (0.1, "fdatasync of 1 MiB"))

    def test_every_figure_has_its_bound_and_every_row_a_class(self):
        for form in FORMS.values():
            for workload in workloads(form):
                self.assertTrue(workload.classes and workload.figures, workload.name)
                for figure in workload.figures:
                    self.assertIn(figure.bound, {None, *BOUNDS}, workload.name)


class Goals(unittest.TestCase):
    """Of the short form, as they were set; a goal that moves to the row of another is seen here."""

    GOALS = {
        "S1": {"ms": "≤ 50 ms"},
        "S2": {"rss_mb": "≤ 30 MB"},
        "S3": {"s_per_gb": "≤ 1 ×"},
        "N1": {"rss_mb": "≤ 250 MB"},
        "P3-10000-open": {"rss_mb": "≤ 300 MB"},
        "P3-100000-open": {"rss_mb": "≤ 1000 MB", "start_s": "≤ 1 s"},
        "P2 D1": {"cpu_s_per_gb": "≤ 0.3 × Kafka", "records_per_s": "≥ 1 × Kafka", "device_bytes_ratio": "≤ 1.1 ×"},
        "P2 D2": {"cpu_s_per_gb": "≤ 0.1 × Kafka", "records_per_s": "≥ 3 × Kafka", "device_bytes_ratio": "≤ 2.1 ×"},
        "P5-2000": {"cpu_us": "≤ 0.3 × Kafka", "p99_ms": "≤ 1 × Kafka"},
        "P5-100": {"p99_ms": "≤ 0.2 × Kafka"},
        "P5": {"p99_ms": "≤ 0.2 × Kafka"},
        "P3-1": {},
        "P3-1000": {"records_per_s": "≥ 10 × Kafka"},
        "C2": {"cpu_s_per_gb": "≤ 0.5 × Kafka"},
        "C1-10": {"p99_ms": "≤ 1 × Kafka"},
        "G1": {"p99_ms": "≤ 100 ms"},
        "G2": {"stable_s": "≤ 1 × Kafka", "lost_s": "≤ 1 × Kafka", "restart_s": "≤ 1 × Kafka"},
        "G3": {"commits_per_s": "≥ 10000 commits/s", "cpu_us": "≤ 100 µs"},
        "G4": {"cpu_percent": "≤ 2 % of a core"},
        "A2": {"refused_permille": "≤ 0 of 1,000"},
        "T1-1": {"transactions_per_s": "≥ 2 × Kafka"},
        "T1-100": {"transactions_per_s": "≥ 5 × Kafka"},
        "T2": {"p99_ms": "≤ 0.5 × Kafka"},
        "T3": {"cpu_ratio": "≤ 1.03 ×"},
        "P6": {"rate_ratio": "≥ 0.97 ×"},
        "M1": {"cpu_us": "≤ 0.2 µs"},
    }

    # Of the full form, which alone has them.
    OBSERVING = {
        "O1": {"ms": "≤ 100 ms", "cpu_percent": "≤ 1 % of a core"},
        "O2": {"ms": "≤ 50 ms"},
        "O3": {"s": "≤ 3 s"},
        "O4": {"produce_ratio": "≤ 1.02 ×", "consume_ratio": "≤ 1.02 ×"},
    }

    def test_those_who_watch_have_goals_of_their_own(self):
        watching = [workload for workload in workloads(FORMS["full"]) if workload.name.startswith("O")]
        self.assertEqual({each.name: {figure.key: figure.goal.words(figure) for figure in each.figures if figure.goal} for each in watching}, self.OBSERVING)

    def test_each_row_has_its_own_goal(self):
        told = {}
        for workload in workloads(FORMS["short"]):
            name = workload.name if workload.name in self.GOALS else f"{workload.name} {workload.classes[0]}"
            told[name] = {figure.key: figure.goal.words(figure) for figure in workload.figures if figure.goal}
        self.assertEqual(told, self.GOALS)


class Proc(unittest.TestCase):
    def test_the_time_of_a_process_is_told_finer_than_in_ticks(self):
        before = proc.cpu_seconds(os.getpid())
        self.assertGreater(before, 0)
        self.assertLess(abs(before - proc.processes()[os.getpid()].cpu_s), 3 / proc.TICKS)
        sum(range(10_000))
        self.assertGreater(proc.cpu_seconds(os.getpid()), before)


class Restart(unittest.TestCase):
    def test_a_kafka_that_was_killed_is_started_again(self):
        gone = subprocess.Popen(["true"])
        gone.wait()
        with tempfile.TemporaryDirectory() as place:
            script = Path(place) / "kafka"
            # The process that runs after the restart is this test's.
            script.write_text(f'#!/bin/sh\ncase $1 in pid) if [ -e {place}/up ]; then echo {os.getpid()}; else echo {gone.pid}; fi;; restart) touch {place}/up;; esac\n')
            script.chmod(0o755)
            kafka = brokers.Kafka("D1")
            kafka.script = str(script)
            kafka.restart()
            self.assertEqual(kafka.pid, os.getpid())


class Reasons(unittest.TestCase):
    def test_a_missed_goal_stands_with_its_reason(self):
        figure = Figure("cpu_s_per_gb", "broker CPU", "CPU-s/GB", goal=Goal("ratio", 0.5))
        made = {name: figures.row(SimpleNamespace(name=name, title="t"), figure, "D1", "shared", [{"einmal": {figure.key: 9}, "kafka": {figure.key: kafka}}], {}, BOUNDS, 0, []) for name, kafka in (("C2", 9), ("X", 9), ("P2", 90))}
        told = page.missed(made.values())
        self.assertIn(f"- **C2, D1, broker CPU**: {reasons.REASONS['C2', figure.key, 'D1']}", told)
        self.assertIn("- **X, D1, broker CPU**: why is not known.", told)
        self.assertNotIn("P2", told)
        self.assertEqual(page.missed([made["P2"]]), "")

    def test_each_reason_is_of_a_goal(self):
        goals = {(each.name, figure.key, durability) for each in workloads(FORMS["full"]) for figure in each.figures if figure.goal for durability in each.classes}
        self.assertEqual(set(reasons.REASONS) - goals, set())


class Pieces(unittest.TestCase):
    def session(self, rows):
        return SimpleNamespace(limits={}, calibration={"ceiling_records_per_s": 1, "client_cpu_us_per_record": 1, "floor_p50_us": 1, "floor_p99_us": 1}, cold={},
                               rates={"D1": 7.0}, rows=rows, latencies=[{"workload": row.workload, "durability": row.durability, "broker": "einmal", "title": "t", "us": {"p50": 9}} for row in rows], histograms=[])

    def test_a_run_goes_on_where_it_was_interrupted_with_the_same_program_only(self):
        figure = Figure("k", "CPU", "s")
        done, failed = row(figure, [1.0], [2.0], "D1"), row(figure, [], [1.0], "D2")
        failed.notes = ["einmal could not run it"]
        facts = {"date": "2026-01-01", "commit": "abc", "form": "full", "mode": "shared", "minutes": 3, "einmal": "e", "java": "j", "cores": 2, "cpu": "c", "memory_gib": 1, "kernel": "k", "file_system": "f", "memory": "m"}
        with tempfile.TemporaryDirectory() as place:
            page.write(Path(place), facts, FORMS["full"], self.session([done, failed]))
            earlier = kept.Earlier(Path(place) / "2026-01-01-abc-full.json")
        self.assertEqual(earlier.done, {("X", "D1")})
        rows, latencies, histograms, cold, rates = earlier.measured
        self.assertEqual((rows, [each["durability"] for each in latencies], rates), ([done], ["D1"], {"D1": 7.0}))
        earlier.check(facts, FORMS["full"])
        for other, form in (({"commit": "abd"}, "full"), ({}, "short")):
            with self.assertRaises(SystemExit):
                earlier.check(facts | other, FORMS[form])

    def test_each_row_has_an_estimate_and_the_short_form_takes_a_quarter_of_an_hour(self):
        for form in FORMS.values():
            todo = [(workload, durability) for workload in workloads(form) for durability in workload.classes]
            taken = [estimate.row_s(*each, form, True) for each in todo]
            self.assertGreater(min(taken), 0)
            self.assertEqual(len(estimate.lines(todo, form, True)), len(todo) + 1)
            if form is FORMS["short"]:
                self.assertLess(sum(taken) + estimate.beside_s(todo, form, True), 15 * 60)


class Disturbance(unittest.TestCase):
    BROKER, IDLE, KERNEL, KERNELS, SHELL, BUILD = 50, 51, 2, 60, 70, 71
    # Of two cores for 10 s. Ours are the broker, the idle one and clients that have ended: 8.5 s.
    MACHINE_S = 20.0

    def measured(self, others=None, ticks=9.5, steal=0.0):
        """An interval in which a kernel thread took 1 s, and `others` what they tell: {pid: (parent, before, after)} of each (own, ended children's) seconds."""
        interval = Interval(SimpleNamespace(pid=self.BROKER), SimpleNamespace(pid=self.IDLE))
        still = {"at": 0, "switches": 0, "syncs": None, "device": None, "own": 0.0}
        running = {self.BROKER: (1, (1.0, 0.0), (6.0, 0.0)), self.IDLE: (1, (7.0, 0.0), (7.5, 0.0)), self.KERNELS: (self.KERNEL, (0.0, 0.0), (1.0, 0.0))}
        running |= {os.getpid(): (1, (0.0, 4.0), (0.0, 7.0))} | (others or {})
        before, after = ({pid: proc.Process(each[0], *each[at]) for pid, each in running.items() if each[at]} for at in (1, 2))
        interval._before = {**still, "processes": before, "machine": (0, 0, 0), "children": 0.0}
        interval._snapshot = lambda: {**still, "processes": after, "machine": (ticks, steal, self.MACHINE_S), "children": 3.0}
        peak, proc.rss_peak_mb = proc.rss_peak_mb, lambda _: 1.0
        try:
            interval.__exit__(None)
        finally:
            proc.rss_peak_mb = peak
        return interval

    def test_only_what_is_nobodys_counts(self):
        nothing = (0.0, 0.0)
        for others, expected in (
            ({self.SHELL: (1, nothing, (0.5, 0.0))}, 0.5),
            # It began and ended meanwhile: its parent knows.
            ({self.SHELL: (1, nothing, (0.0, 0.7))}, 0.7),
            # It ran before: only the rest is this interval's.
            ({self.SHELL: (1, nothing, (0.0, 5.0)), self.BUILD: (self.SHELL, (4.2, 0.0), None)}, 0.8),
            # Clients are ours wherever they are.
            ({self.SHELL: (os.getpid(), nothing, (2.0, 0.0)), self.BUILD: (self.SHELL, nothing, (3.0, 0.0))}, 0.0),
        ):
            found = self.measured(others, ticks=9.5 + expected)
            self.assertAlmostEqual(found.others, expected / self.MACHINE_S, msg=str(others))
            self.assertEqual(found.is_disturbed, expected > 0.6, others)

    def test_clock_ticks_alone_discard_only_what_is_far_beyond_them(self):
        for ticks, steal, expected in ((9.5, 0.0, False), (9.5, 0.19, False), (9.5, 0.3, True), (14.5, 0.0, False), (16.0, 0.0, True)):
            self.assertEqual(self.measured(ticks=ticks, steal=steal).is_disturbed, expected, (ticks, steal))


class Page(unittest.TestCase):
    def test_a_row_that_claims_nothing_is_in_parentheses(self):
        figure = Figure("k", "CPU", "CPU-s/GB", goal=Goal("ratio", 0.5), bound="produce_cpu")
        table = page.table([row(figure, [1, 2, 3], [4, 4, 4]), row(figure, [1, 3, 5], [4, 4, 4])])
        self.assertIn("| 0.5 [0.25–0.75] | ≤ 0.5 × Kafka: reached in the median | 25.0% (write of new pages) |", table)
        self.assertIn("| (0.75 [0.25–1.25]) | ≤ 0.5 × Kafka: **missed** in the median |", table)

    def test_a_row_of_disturbed_repetitions_says_so_and_claims_nothing(self):
        figure = Figure("k", "CPU", "CPU-s/GB", goal=Goal("ratio", 0.9))
        made = row(figure, [1, 2, 3], [4, 4, 4])
        made.discarded = 4
        made.disturb(3)
        self.assertIn("| (0.5 [0.25–0.75]) | ≤ 0.9 × Kafka: reached, on a disturbed machine | – | – | 4, 3 of them used |", page.table([made]))

    def test_plots_are_whole_and_show_each_broker(self):
        rows = [row(Figure("k", "broker CPU", "CPU-s/GB"), [1, 2, 3], [4, 4, 4]), row(Figure("k", "rate", "records/s"), [1], [2]), row(Figure("k", "rate", "records/s"), [10], [2])]
        rows[1].workload, rows[2].workload = "P3-1", "P3-1000"
        told = [{"workload": "P5", "title": "one < two", "durability": "D1", "broker": side, "us": {"p50": 100.0, "p99": 900.0, "max": 1e4}} for side in ("einmal", "kafka")]
        pictures = plots.all_of(rows, told)
        self.assertEqual(set(pictures), {"cpu-per-gb", "partitions", "latency-P5-D1"})
        for name, picture in pictures.items():
            ElementTree.fromstring(picture)
            for colour in plots.COLOURS.values():
                self.assertIn(colour, picture, name)


    def test_an_axis_ends_at_or_above_its_largest_value(self):
        for largest in (0.07, 1, 1.2, 5.9, 6.1, 12, 99, 100, 7000):
            for is_logarithmic in (True, False):
                plot = plots.Plot("t", "u", [largest / 7, largest], is_logarithmic)
                self.assertLessEqual(plots.TOP - 0.01, plot.y(largest), (largest, is_logarithmic))
                self.assertGreater(plot.y(plot.low), plot.y(largest))


if __name__ == "__main__":
    unittest.main()
