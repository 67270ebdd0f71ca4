"""A broker and a PostgreSQL of the check's own, in a temporary directory."""

import contextlib
import glob
import os
import pathlib
import random
import shutil
import subprocess
import tempfile

import psycopg

BROKER = pathlib.Path(__file__).parents[2] / "compat-tests" / "broker"
# Sessions are short, so that a stopped member is given up soon.
SETTINGS = ["group.min.session.timeout.ms=500"]


class Broker:
    def __init__(self, directory):
        self._directory = directory
        self.bootstrap = self._run("start", *SETTINGS)

    def kill(self):
        """SIGKILL."""
        self._run("kill")

    def restart(self):
        self._run("restart")

    def _run(self, command, *more):
        # Not a pipe: the broker would keep it open.
        with tempfile.TemporaryFile("w+") as told:
            subprocess.run([BROKER, command, self._directory, *more], check=True, stdout=told)
            told.seek(0)
            return told.read().strip()


class Postgres:
    """Runs as another user where this one is root, which it refuses."""

    def __init__(self, directory):
        (programs,) = glob.glob("/usr/lib/postgresql/*/bin")[-1:] or [os.path.dirname(shutil.which("initdb") or "")]
        self._user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        self._data, self._log = directory / "data", directory / "log"
        if self._user:
            shutil.chown(directory, "postgres", "postgres")
        self._run(f"{programs}/initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        self._control = f"{programs}/pg_ctl"
        for _ in range(20):
            self._port = random.randrange(20_000, 32_000)
            # What a power cut would take is not what is tried here.
            options = f"-p {self._port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
            started = self._run(self._control, "start", "-w", "-D", self._data, "-l", self._log, "-o", options, check=False)
            if started == 0:
                return
        raise SystemExit(f"PostgreSQL does not start:\n{self._log.read_text()}")

    def create(self, database):
        """Makes it, and tells its address."""
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{database}"')
        return self._url(database)

    def stop(self):
        self._run(self._control, "stop", "-m", "immediate", "-D", self._data)

    def _url(self, database):
        return f"postgresql://postgres@127.0.0.1:{self._port}/{database}"

    def _run(self, *command, check=True):
        done = subprocess.run(command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=check, **self._user)
        return done.returncode


@contextlib.contextmanager
def directory():
    """That a server of another user may enter."""
    made = pathlib.Path(tempfile.mkdtemp(prefix="recipes-"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made)
