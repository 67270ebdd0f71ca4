"""Runs a client's scenarios and prints one PASS or FAIL line each."""

import os
import subprocess
import sys
import time
import traceback
import uuid


def restart_broker():
    """SIGKILL and start again, by the command that the driver gave."""
    subprocess.run(os.environ["BROKER_RESTART"], shell=True, check=True)


def fresh(name):
    """A topic or group name that no earlier run used."""
    return f"{name}-{uuid.uuid4().hex[:8]}"


def until(condition, seconds=30):
    """Waits until condition() is true and returns its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError("the condition never came true")
        time.sleep(0.05)


def run(scenarios):
    """Runs each function, or those named on the command line after the bootstrap address."""
    wanted = sys.argv[2:]
    failed = 0
    for scenario in scenarios:
        if wanted and scenario.__name__ not in wanted:
            continue
        try:
            scenario()
            print(f"PASS {scenario.__name__}", flush=True)
        except Exception as error:  # noqa: BLE001 - any error is a failed scenario
            failed += 1
            print(f"FAIL {scenario.__name__} {type(error).__name__}: {str(error)[:300]}", flush=True)
            traceback.print_exc()
    sys.exit(1 if failed else 0)
