#!/usr/bin/env python3
"""The experiments that decide the shape of the store, on the store alone, each in about three minutes.

    experiments.py [--only E1[,E2]] [--quick] [--out DIR]

Each measurement is a process of its own (benches/experiments) on an empty directory. Tables and figures go to
`bench/results/DATE-COMMIT-experiments.md` and `.json`; what was decided by them is in bench/experiments.md, by hand. `--only`
renews those alone in the files of the same day and commit. `--quick` takes
hardly any data, to see that all of it works.

Bytes to the device are what the process made dirty less what it deleted before it was written (/proc/self/io).
"""
import argparse
import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine
import memory
from brokers import REPOSITORY

MEMORY_LIMIT = 2 << 30
ALLOCATORS = {"jemalloc": "libjemalloc.so.2", "mimalloc": "libmimalloc.so.2"}


def say(words):
    print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)


def built():
    """The program in the one profile."""
    command = ["cargo", "build", "--release", "--quiet", "--bench", "experiments", "--message-format", "json"]
    lines = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout.splitlines()
    artifacts = [each for each in map(json.loads, lines) if each["reason"] == "compiler-artifact"]
    (path,) = {each["executable"] for each in artifacts if each["target"]["name"] == "experiments"}
    if not json.loads(subprocess.run([path, "build"], check=True, capture_output=True, text=True).stdout)["optimised"]:
        sys.exit("experiments: this build has debug assertions, its figures would say nothing")
    return path


class Experiments:
    """`quick` divides all sizes."""

    def __init__(self, program, quick):
        self.program, self.scale = program, 50 if quick else 1

    def run(self, kind, directory=None, cgroup=None, environment=None, **parameters):
        """One measurement; its figures."""
        parameters = {name: value // self.scale if name in ("mb", "partitions", "keep", "ids") and value > 100 else value for name, value in parameters.items()}
        if self.scale > 1 and "seconds" in parameters:
            parameters["seconds"] = 1
        with contextlib.ExitStack() as stack:
            directory = directory or stack.enter_context(tempfile.TemporaryDirectory(prefix="einmal-experiment-"))
            command = [self.program, kind, f"dir={directory}", *(f"{name}={value}" for name, value in parameters.items())]
            enter = (lambda: (cgroup / "cgroup.procs").write_text(str(os.getpid()))) if cgroup else None
            run = subprocess.run(command, capture_output=True, text=True, preexec_fn=enter, env=os.environ | (environment or {}))
        if run.returncode:
            raise RuntimeError(f"{' '.join(command)}: {run.stderr.strip()[-300:]}")
        figures = json.loads(run.stdout.splitlines()[-1])
        say("  " + ", ".join(f"{name} {value:.4g}" for name, value in {**parameters, **figures}.items() if isinstance(value, (int, float))))
        return figures

    def e1(self):
        """Bytes to the device ÷ payload, without syncs, in a memory cgroup of 2 GiB, at several rates."""
        with memory_cgroup() as cgroup:
            where = "memory cgroup of 2 GiB" if cgroup else "no cgroup could be made: the machine's memory"
            for name, load in {
                "16 KiB, as fast as it goes, 8 GB": {"mb": 8000},
                "1 KiB, as fast as it goes, 3 GB": {"mb": 3000, "batch": 1024, "batches_per_commit": 256},
                "16 KiB, 100 MB/s, 40 s": {"rate": 100, "mb": 4000, "seconds": 40},
                "16 KiB, 10 MB/s, 45 s": {"rate": 10, "mb": 450, "seconds": 45, "batches_per_commit": 4},
                "16 KiB, 1 MB/s, 75 s": {"rate": 1, "mb": 75, "seconds": 75, "batches_per_commit": 1},
            }.items():
                yield {"load": name, "memory": where, **self.run("write", cgroup=cgroup, **load)}

    def e2(self):
        """Size of the memtables: 3 GB of one-batch commits of 16 KiB, unpaced, and at 100 MB/s."""
        for mib in (16, 64, 256):
            yield {"memtable": f"{mib} MiB", "load": "as fast as it goes", **self.run("write", memtable=mib, batches_per_commit=1, mb=3000)}
            yield {"memtable": f"{mib} MiB", "load": "100 MB/s", **self.run("write", memtable=mib, batches_per_commit=1, mb=2000, rate=100)}

    def e3(self):
        """Who syncs: 1, 64 and 512 clients with one batch of 16 KiB each under way, 4 s each, in two rounds."""
        schemes = {
            "the writer, per group": {"scheme": "group"},
            "a sync thread": {"scheme": "thread"},
            "a sync thread, async_wal_precreate": {"scheme": "thread", "rocksdb": "async_wal_precreate=true"},
            "a sync thread, recycled logs": {"scheme": "thread", "rocksdb": "recycle_log_file_num=4"},
        }
        for clients, _, name in itertools.product((1, 64, 512), range(2), schemes):
            # What was written before must not share the device with it.
            os.sync()
            yield {"clients": clients, "syncs": name, **self.run("sync", clients=clients, seconds=4, **schemes[name])}

    def e6(self):
        """Rows beside the batches, and from which size values go to blob files: 64 batches a commit."""
        for size in (300, 1000):
            for sides in ("commit", "batch"):
                yield {"batch": f"{size} B", "side rows": f"per {sides}", **self.run("write", batch=size, batches_per_commit=64, sides=sides, mb=400)}
        for size in (200, 500, 1000):
            for least in (0, 512, 1024, 4096):
                load = {"batch": size, "batches_per_commit": 256, "mb": 400, "read": 1, "rocksdb": f"min_blob_size={least}"}
                yield {"batch": f"{size} B", "min_blob_size": least, **self.run("write", **load)}

    def e8(self):
        """Opening 100,000 partitions with 64 index entries each (100 GB of log in batches of 16 KiB), clean and after a crash."""
        with tempfile.TemporaryDirectory(prefix="einmal-experiment-") as directory:
            yield {"step": "written", **self.run("fill", directory, partitions=100_000, batches=64)}
            for _ in range(3):
                yield {"step": "clean", **self.run("open", directory)}
            for mb in (60, 60, 250):
                self.run("crash", directory, mb=mb, partitions=6)
                yield {"step": f"after a crash, {mb} MB unflushed", **self.run("open", directory)}

    def e9(self):
        """How the batch for RocksDB is made: 2 GB in commits of 16 batches of 16 KiB, two times."""
        for _ in range(2):
            for how in ("reserved", "growing", "reused", "parts"):
                yield {"batch": how, **self.run("batch", how=how, mb=2000)}

    def e12(self):
        """The C++ side's allocator (Rust has mimalloc in any case): 6 GB written, read and deleted again every 500 MB."""
        churn = {"mb": 6000, "keep": 500}
        yield {"allocator": "glibc, tuned by einmal", **self.run("write", **churn)}
        for name, library in ALLOCATORS.items():
            found = subprocess.run(["sh", "-c", f"ldconfig -p | grep -F {library} | head -n 1"], capture_output=True, text=True).stdout
            if not found:
                yield {"allocator": name, "could not": f"{library} is not installed"}
                continue
            path = found.split("=>")[1].strip()
            yield {"allocator": name, **self.run("write", environment={"LD_PRELOAD": path}, **churn)}

    def e13(self):
        """Message ids in files: 100 million in 25 files, then 4 million that nobody had, looked up 100 at a time; and fewer files."""
        for slices, ids in ((25, 4_000_000), (8, 12_500_000), (8, 1_250_000)):
            yield {"files": slices, "ids of each": ids, **self.run("slices", slices=slices, ids=ids)}


@contextlib.contextmanager
def memory_cgroup():
    """A group with a limit, as root where the kernel lets us; else none."""
    for root, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        group = Path(root) / f"einmal-experiments-{os.getpid()}"
        try:
            group.mkdir()
            (group / limit).write_text(str(MEMORY_LIMIT))
        except OSError:
            with contextlib.suppress(OSError):
                group.rmdir()
            continue
        try:
            yield group
        finally:
            with contextlib.suppress(OSError):
                group.rmdir()
        return
    yield None


def cell(value):
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def table(rows):
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(name.replace("_", " ") for name in names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(cell(row.get(name, "–")) for name in names) + " |" for row in rows]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="ids, with commas")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    experiments = Experiments(built(), options.quick)
    chosen = [each.upper() for each in options.only.split(",") if each] or ["E1", "E2", "E3", "E6", "E8", "E9", "E12", "E13"]
    began, found = time.monotonic(), {}
    out = options.out or (Path(tempfile.mkdtemp(prefix="einmal-experiments-")) if options.quick else REPOSITORY / "bench/results")
    with memory.prepared(not options.quick) as prepared:
        for name in chosen:
            run = getattr(experiments, name.lower())
            say(f"{name}: {run.__doc__}")
            found[name] = list(run())
            facts = machine.facts("experiments", "shared", time.monotonic() - began) | {"memory": prepared}
            page = write(out, facts, found)
    print(page)


def write(out, facts, found):
    """The files, with what they have of other experiments; answers the page."""
    out.mkdir(parents=True, exist_ok=True)
    stem = f"{facts['date']}-{facts['commit'].rstrip('+')}-experiments"
    kept = out / f"{stem}.json"
    if kept.exists():
        found = json.loads(kept.read_text())["experiments"] | found
    kept.write_text(json.dumps({"machine": facts, "experiments": found}, indent=1) + "\n")
    words = [f"# Experiments, {facts['date']}, commit {facts['commit']}", ""]
    words += [f"{facts['cores']} cores ({facts['cpu']}), {facts['memory_gib']} GiB, Linux {facts['kernel']}, {facts['file_system']}; {facts['memory']}.", ""]
    words += ["One run each by [experiments.py](../experiments.py); what they decided: [experiments.md](../experiments.md).", ""]
    for name, rows in sorted(found.items(), key=lambda each: int(each[0][1:])):
        words += [f"## {name}", "", getattr(Experiments, name.lower()).__doc__, "", table(rows), ""]
    page = out / f"{stem}.md"
    page.write_text("\n".join(words))
    return page


if __name__ == "__main__":
    main()
