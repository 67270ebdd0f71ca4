"""Runs a client's scenarios and prints one PASS or FAIL line each."""

import os
import re
import subprocess
import sys
import time
import traceback
import uuid


# A topic of einmal that leaves out records whose id it knows, so that batches have holes: Kafka knows no such setting and has no holes.
HOLES = {"message.dedup.mode": "window"}
# One batch each, by the ids of its records, which are their values: nothing, the first, one in the middle and the last are missing.
HOLED_BATCHES = [["a", "b"], ["b", "c", "d"], ["e", "a", "f"], ["g", "b", "a"]]
HOLED_LOG = [(0, "a"), (1, "b"), (3, "c"), (4, "d"), (5, "e"), (7, "f"), (8, "g")]
# Requests of a reader that waits at the end for 3 s, 500 ms or more each, and as many again for what goes on beside it.
SPINNING = 20


def _broker(command):
    """What the driver gave as BROKER_<command>."""
    done = subprocess.run(os.environ[f"BROKER_{command}"], shell=True, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def kill_broker():
    """SIGKILL."""
    _broker("KILL")


def restart_broker():
    """SIGKILL and start again, on the same data and port."""
    _broker("RESTART")


def stop_and_start_broker():
    """SIGTERM, and start again once it has ended."""
    _broker("STOP")
    _broker("RESTART")


def rebalances_since_start():
    """Generations that groups began, and requests to join one, since the broker started; none of a broker that does not tell."""
    if "BROKER_METRICS" not in os.environ:
        return None
    counted = r'^(?:einmal_group_rebalances_total\{[^}]*\}|einmal_requests_total\{[^}]*api="JoinGroup"[^}]*\}) (\d+)'
    return sum(int(count) for count in re.findall(counted, _broker("METRICS"), re.MULTILINE))


def fetches_answered():
    """Fetch requests since the broker started; 0 of a broker that does not tell."""
    if "BROKER_METRICS" not in os.environ:
        return 0
    return sum(int(count) for count in re.findall(r'^einmal_requests_total\{[^}]*api="Fetch"[^}]*\} (\d+)', _broker("METRICS"), re.MULTILINE))


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
