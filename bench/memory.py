"""Makes first touches of memory cost the same for all.

On a virtual machine with free page reporting the kernel gives free memory back to the hypervisor, and whoever touches it next pays
for its return: here 2.3 CPU-seconds per GB of page cache instead of 0.26. Which broker that is depends on what ran before. As root,
the harness turns the reporting off while it measures and touches the free memory once; otherwise it says that it could not.
"""
import contextlib
import mmap
import re
from pathlib import Path

ORDER = Path("/sys/module/page_reporting/parameters/page_reporting_order")
# Larger than any block of the kernel: nothing is reported.
NEVER = "11"
STEP_BYTES = 1 << 20
TOUCHED_SHARE = 0.75


def touch(share):
    """Writes to `share` of the available memory, once, and gives it back to the kernel."""
    available = int(re.search(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text())[1]) * 1024
    size = int(available * share) // STEP_BYTES * STEP_BYTES
    page = b"\1" * STEP_BYTES
    with mmap.mmap(-1, size) as memory:
        for at in range(0, size, STEP_BYTES):
            memory[at : at + STEP_BYTES] = page


@contextlib.contextmanager
def prepared(is_wanted=True):
    """Yields what was done, for the page."""
    if not ORDER.exists():
        yield "the kernel reports no free pages"
        return
    before = ORDER.read_text().strip()
    try:
        if is_wanted:
            ORDER.write_text(NEVER)
    except OSError:
        is_wanted = False
    if not is_wanted:
        yield "free pages are reported to the hypervisor: first touches of memory are dear"
        return
    try:
        touch(TOUCHED_SHARE)
        yield "free page reporting turned off while measuring, free memory touched once before"
    finally:
        ORDER.write_text(before)
