"""What is to be known of where and with what figures were taken."""
import os
import platform
import subprocess
import tempfile
import time
from pathlib import Path

import proc
from brokers import REPOSITORY, einmal_binary


def _first_line(*command):
    try:
        run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    except OSError:
        return "none"
    return (run.stdout or run.stderr).strip().splitlines()[0] if run.stdout or run.stderr else "unknown"


def facts(form, mode):
    cpu = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "unknown")
    changed = subprocess.run(["git", "status", "--porcelain", "--untracked-files=no"], cwd=REPOSITORY, capture_output=True, text=True).stdout.strip()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "form": form,
        "mode": mode,
        "date": time.strftime("%Y-%m-%d"),
        "commit": _first_line("git", "rev-parse", "--short", "HEAD") + ("+" if changed else ""),
        "einmal": _first_line(einmal_binary(), "version"),
        "java": _first_line("java", "-version"),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(memory),
        "kernel": platform.release(),
        "file_system": proc.file_system(tempfile.gettempdir()),
    }
