"""Tries each cell of the truth table against a broker, and compares what is seen with what is claimed.

table.py [--short] [--update] [ROW/COLUMN ...]: all cells, and each column without its mechanism, or the given cells alone. `--short`
tries one way to each failure; `--update` writes the table into README.md if all is as claimed.
"""

import argparse
import collections
import concurrent.futures
import datetime
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import replace

from claims import CLAIMS, OUTCOMES, ROWS, cell_text, markdown, parse
from columns import COLUMNS as WAYS_TO_CONSUME
from columns import FAULTS, HERE, faulty
from failures import FAILURES, ways
from judge import differences, outcome
from stage import Cell, PluggedStage, Stage

# Most of the time goes by in waiting for sessions to end.
AT_ONCE = 12
README = HERE / "README.md"
TABLE = re.compile(r"(?<=<!-- table: begin -->\n).*(?=<!-- table: end -->)", re.DOTALL)


class Try:
    """One cell, on one condition and by one way; `column` may be a faulty one."""

    def __init__(self, row, name, condition, way, column):
        self.row, self.name, self.condition, self.way = row, name, condition, way
        self._column = replace(column, program=HERE / "at_most_once.py") if row == "commit-first" else column

    def run(self, stage, directory):
        """The outcome, or what went wrong on the way to it."""
        if self.row == "broker-killed":
            own_stage = PluggedStage if self.way == "power cut" else Stage
            with own_stage(directory.with_name(directory.name + "-broker")) as own:
                return self._run(own, directory)
        return self._run(stage, directory)

    def _run(self, stage, directory):
        cell = Cell(stage, directory, self._column, self.condition, self.way)
        try:
            return outcome(FAILURES[self.row](cell), resent=self.row == "resent")
        # Whatever it is, the cell is not as claimed.
        except Exception as error:  # noqa: BLE001
            return f"{type(error).__name__}: {error}"
        finally:
            cell.end()


def tries(cells, claims, short):
    for row, name in cells:
        column = WAYS_TO_CONSUME[name]
        for condition in claims[row, name]:
            for way in ways(row, column)[: 1 if short else None]:
                yield Try(row, name, condition, way, column)


def faulty_tries(claims):
    """Each column without its mechanism, at the failure point that has to show it."""
    for name, (row, _) in FAULTS.items():
        column = faulty(name)
        yield Try(row, name, next(iter(claims[row, name])), ways(row, column)[0], column)


def run_all(all_tries, work):
    """The outcomes, in the order of the tries."""
    with Stage(work / "broker") as stage, concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        directories = [work / f"{number:03}-{one.name}-{one.row}" for number, one in enumerate(all_tries)]
        return list(pool.map(lambda one, directory: one.run(stage, directory), all_tries, directories))


def judged(cells, claims, outcomes):
    """By cell, what differs from its claims."""
    observed = collections.defaultdict(lambda: collections.defaultdict(dict))
    for one, seen in outcomes:
        observed[one.row, one.name][one.condition][one.way] = seen
    return {cell: differences(claims[cell], observed[cell]) for cell in cells if claims[cell]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("cells", nargs="*", metavar="ROW/COLUMN")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--update", action="store_true")
    given = parser.parse_args()
    if given.update and (given.cells or given.short):
        parser.error("what was not seen is not to be written down")
    claims = parse(CLAIMS)
    cells = [tuple(cell.split("/")) for cell in given.cells] or list(claims)
    for cell in cells:
        if cell not in claims:
            known = [", ".join(dict.fromkeys(names)) for names in zip(*claims)]
            parser.error(f"{'/'.join(cell)} is no ROW/COLUMN; rows: {known[0]}; columns: {known[1]}")
    began = time.monotonic()
    right, faults = list(tries(cells, claims, given.short)), [] if given.cells else list(faulty_tries(claims))
    # The slow ones first.
    both = sorted([*right, *faults], key=lambda one: one.row not in ("zombie", "offsets-lost", "dies-before"))
    with tempfile.TemporaryDirectory(prefix="truth-table-") as work:
        outcome_of = dict(zip(both, run_all(both, pathlib.Path(work))))
    wrong = judged(cells, claims, [(one, outcome_of[one]) for one in right])
    told = {cell: f"{'✗' if wrong[cell] else '✓'} {cell_text(claims[cell])}" if cell in wrong else "–" for cell in claims}
    print(markdown(told))
    for (row, column), sentences in wrong.items():
        for sentence in sentences:
            print(f"{column}, {ROWS[row]}: {sentence}")
    unnoticed = []
    for one in faults:
        is_noticed = outcome_of[one] in OUTCOMES and outcome_of[one] != claims[one.row, one.name][one.condition]
        unnoticed += [] if is_noticed else [one.name]
        print(f"{one.name} without its mechanism, {ROWS[one.row]}: {outcome_of[one]}{'' if is_noticed else ', NOT NOTICED'}")
    empty = [cell for cell in cells if not claims[cell]]
    print(f"left empty: {', '.join(f'{row}/{column}' for row, column in empty) or 'none'}")
    as_claimed = sum(not sentences for sentences in wrong.values())
    print(f"{len(cells)} cells, {as_claimed} as claimed, {len(empty)} left empty, {len(right)} tries in {time.monotonic() - began:.0f} s")
    if as_claimed + len(empty) < len(cells) or unnoticed:
        sys.exit(1)
    if given.update:
        README.write_text(TABLE.sub(lambda _: rendered(claims), README.read_text()))


def rendered(claims):
    """What README.md says."""
    told = subprocess.run([os.environ["EINMAL"], "version"], check=True, stdout=subprocess.PIPE, text=True).stdout
    revision = re.search(r"[0-9a-f]{12}(-dirty)?", told)
    table = markdown({cell: cell_text(claims[cell]) for cell in claims})
    return f"{table}\n\nSeen on {datetime.date.today().isoformat()} with a broker of commit {revision[0]}.\n"


if __name__ == "__main__":
    main()
