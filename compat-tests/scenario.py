"""Runs a client's scenarios and prints one PASS or FAIL line each."""

import os
import re
import subprocess
import sys
import time
import traceback
import uuid


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
