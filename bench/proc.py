"""What the kernel tells of processes, devices and the machine; every function reads once and keeps nothing."""
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
SECTOR_BYTES = 512


@dataclass(frozen=True)
class Process:
    """What it used itself, its threads included, and what those of its children used that have ended; user and system time, s."""

    parent: int
    cpu_s: float
    ended_children_cpu_s: float


def cpu_seconds(pid):
    """User and system time of a process, threads that have ended included, by the scheduler's own clock: `/proc` tells it in steps of a
    tick, which is as much as a scrape takes. The number of the clock is made as `clock_getcpuclockid` makes it."""
    return time.clock_gettime((~pid << 3) | 2)


def is_running(pid):
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _stat(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return Process(int(fields[1]), (int(fields[11]) + int(fields[12])) / TICKS, (int(fields[13]) + int(fields[14])) / TICKS)


def processes():
    """{pid: [`Process`]} of all that run."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = _stat(entry.name)
            except OSError:
                pass
    return found


def machine_seconds():
    """(processes, steal, total) of all cores since the boot; the first is user and system time. Unlike the time of a process it is
    counted by looking at each tick of the clock who runs: of a load that keeps step with the clock that may tell many times as much."""
    user, nice, system, idle, wait, irq, softirq, steal = (
        int(field) / TICKS for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    )
    return user + nice + system, steal, user + nice + system + idle + wait + irq + softirq + steal


def rss_mb(pid):
    return _status(pid, "VmRSS") / 1024


def rss_peak_mb(pid):
    """Since the start, or the last [`forget_peak`]."""
    return _status(pid, "VmHWM") / 1024


def forget_peak(pid):
    try:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    except OSError:
        pass


def context_switches(pid):
    """Of the threads that live."""
    count = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            count += sum(int(number) for number in re.findall(r"ctxt_switches:\s+(\d+)", (task / "status").read_text()))
        except OSError:
            pass
    return count


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def _status(pid, name):
    return int(re.search(rf"^{name}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[1])


def device_written(directory):
    """(bytes written, flushes) of the device that holds the directory, or none where it is not one of the kernel's."""
    device = os.stat(directory).st_dev
    number = [str(os.major(device)), str(os.minor(device))]
    for line in Path("/proc/diskstats").read_text().splitlines():
        fields = line.split()
        if fields[:2] == number:
            return int(fields[9]) * SECTOR_BYTES, int(fields[18]) if len(fields) > 18 else 0
    return None


def file_system(directory):
    """Type of the file system that holds the directory."""
    best = ("", "unknown")
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind = line.split()[:3]
        if str(directory).startswith(where) and len(where) >= len(best[0]):
            best = (where, kind)
    return best[1]
