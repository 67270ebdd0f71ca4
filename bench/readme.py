#!/usr/bin/env python3
"""Puts the headline rows and plots of a result into the README, and removes the plots of older results.

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
README = REPOSITORY / "README.md"
BETWEEN = re.compile(r"(<!-- bench: generated -->\n).*?(<!-- /bench -->)", re.DOTALL)


def section(path):
    result = json.loads(path.read_text())
    machine = result["machine"]
    rows = [Row.of(row) for row in result["rows"]]
    told = [row for row in rows if row.goal]
    stem = path.relative_to(REPOSITORY).with_suffix("")
    pictures = [path.with_name(f"{path.stem}-{name}.svg") for name in PICTURES]
    parts = [
        f"Measured {machine['date']} at commit {machine['commit']} on {machine['cores']} cores ({machine['cpu']}), Linux {machine['kernel']}, "
        f"{machine['file_system']}; client and broker share the cores. [All rows, the limits of the machine and how it was measured]({stem}.md).",
        page.table(told),
        page.missed(told),
        *(f"![{picture.stem[len(path.stem) + 1:].replace('-', ' ')}]({picture.relative_to(REPOSITORY)})" for picture in pictures if picture.exists()),
    ]
    return "\n\n".join(part for part in parts if part)


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
    text = README.read_text()
    renewed, count = BETWEEN.subn(lambda found: f"{found[1]}\n{section(path)}\n\n{found[2]}", text)
    if count != 1:
        sys.exit("README.md has no place for figures: <!-- bench: generated --> … <!-- /bench -->")
    README.write_text(renewed)
    remove_older_pictures(path)


if __name__ == "__main__":
    main()
