#!/usr/bin/env python3
"""Puts the rows with goals and plots of a result into docs/performance.md, a few rows into the README, and removes the plots of older
results.

    readme.py bench/results/<date>-<commit>.json
"""
import json
import re
import sys
from pathlib import Path

import page
from brokers import REPOSITORY
from figures import Row

# Of the plots, those that say most; the page has all.
PICTURES = ("cpu-per-gb", "partitions", "latency-P5-2000-D2", "latency-C1-10-D2")
PAGE = REPOSITORY / "docs" / "performance.md"
README = REPOSITORY / "README.md"
# Rows of the README, whether they reach their goals or not: what people ask first.
HEADLINES = (("S1", "D2"), ("S2", "D2"), ("P2", "D2"), ("P3-1000", "D2"), ("P5-2000", "D2"), ("C1-10", "D2"), ("C2", "D1"), ("G3", "D2"), ("T1-1", "D2"))


def section(path):
    result = json.loads(path.read_text())
    machine = result["machine"]
    rows = [Row.of(row) for row in result["rows"]]
    told = [row for row in rows if row.goal]
    stem = Path("..") / path.relative_to(REPOSITORY).with_suffix("")
    pictures = [path.with_name(f"{path.stem}-{name}.svg") for name in PICTURES]
    parts = [
        f"Measured {machine['date']} at commit {machine['commit']} on {machine['cores']} cores ({machine['cpu']}), Linux {machine['kernel']}, "
        f"{machine['file_system']}; client and broker share the cores. [All rows, the limits of the machine and how it was measured]({stem}.md).",
        page.table(told),
        page.missed(told),
        *(f"![{picture.stem[len(path.stem) + 1:].replace('-', ' ')}]({stem.parent / picture.name})" for picture in pictures if picture.exists()),
    ]
    return "\n\n".join(part for part in parts if part)


def headlines(path):
    result = json.loads(path.read_text())
    rows = [row for row in map(Row.of, result["rows"]) if row.goal]
    missed = sum(row.reached is False for row in rows)
    lines = ["| What | Class | einmal | Kafka | einmal ÷ Kafka | Goal |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {row.what}, {row.unit} | {row.durability} | {page.spread(row.einmal)} | {page.spread(row.kafka)} | {page.ratio(row)} | {page.goal(row)} |"
        for row in rows if (row.workload, row.durability) in HEADLINES and row.unit != "×"
    ]
    machine = result["machine"]
    return "\n".join([*lines, "", f"Measured {machine['date']} at commit {machine['commit']} on {machine['cores']} cores. Of {len(rows)} goals {missed} are missed."])


def put(page_path, name, text):
    """Between the marks of `name`."""
    between = re.compile(rf"(<!-- {name}: generated -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    renewed, count = between.subn(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page_path.read_text())
    if count != 1:
        sys.exit(f"{page_path.name} has no place for figures: <!-- {name}: generated --> … <!-- /{name} -->")
    page_path.write_text(renewed)


def remove_older_pictures(path):
    """Those of results of the same kind; their tables and figures stay."""
    kind = _kind(path)
    for other in path.parent.glob("*.json"):
        if other != path and not other.stem.endswith(("-histograms", "-experiments")) and _kind(other) == kind:
            for picture in other.parent.glob(f"{other.stem}-*.svg"):
                picture.unlink()
            told = other.with_suffix(".md")
            if told.exists():
                told.write_text(re.sub(rf"!\[[^\]]*\]\({re.escape(other.stem)}-[^)]*\.svg\)\n\n?", "", told.read_text()))


def _kind(path):
    machine = json.loads(path.read_text())["machine"]
    return machine["form"], machine["mode"]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    path = Path(sys.argv[1]).resolve()
    put(PAGE, "bench", section(path))
    put(README, "headlines", headlines(path))
    remove_older_pictures(path)


if __name__ == "__main__":
    main()
