"""check [RECIPE...] [--languages NAME,...] [--short]: one line a case, and one at the end."""

import argparse
import concurrent.futures
import itertools
import sys
import threading
import time
import traceback

import cases
from languages import LANGUAGES, steps
from program import Failed, Program
from servers import Broker, Postgres, directory
from worlds import WORLDS


class Check:
    """What all cases use: a directory, the servers, and names that no other case has."""

    def __init__(self, path):
        self._path, self._numbers, self._lock = path, itertools.count(), threading.Lock()
        self._broker, self._postgres = None, None

    def broker(self, own):
        """That of all cases, or one of this case's own, which it may kill."""
        with self._lock:
            if own:
                return Broker(self.fresh("broker"))
            self._broker = self._broker or Broker(self.fresh("broker"))
            return self._broker

    def database(self, store, name):
        if store == "sqlite":
            return f"sqlite:{self.fresh('database')}/{name}.db"
        with self._lock:
            self._postgres = self._postgres or Postgres(self.fresh("postgres"))
        return self._postgres.create(name)

    def fresh(self, name):
        path = self._path / f"{name}-{next(self._numbers)}"
        path.mkdir()
        return path

    def stop(self):
        if self._broker:
            self._broker.kill()
        if self._postgres:
            self._postgres.stop()

    def run(self, recipe, store, command, case):
        """What went wrong; nothing if all went well."""
        own = case is cases.broker_killed
        broker = self.broker(own)
        try:
            name = f"{recipe}-{next(self._numbers)}"
            world = WORLDS[recipe](broker, name, self.database(store, name) if store else None)
            case(command, world, broker)
            # What only comes late, because the machine was busy and the program took that for the end, is not lost.
            for _ in range(2):
                if "lost" not in world.verdict():
                    break
                Program(command, world, IDLE_EXIT_MS="5000").to_end()
            return world.verdict()
        finally:
            if own:
                broker.kill()


def planned(check, languages, recipes):
    """Each case as language, recipe, store, title, command, function, and whether it has to go wrong."""
    for language, recipe in itertools.product(languages, recipes):
        command = language.command(recipe)
        *_, noticing = language.faults[recipe]
        faulty = language.faulty(recipe, check.fresh("faulty"))
        for store in WORLDS[recipe].stores:
            for step in steps(command):
                yield language, recipe, store, f"killed at {step}", command, cases.killed(step), False
            for title, case in cases.TROUBLES.items():
                yield language, recipe, store, title, command, case, False
            yield language, recipe, store, f"planted fault, seen by: {noticing}", faulty, cases.NOTICING[noticing], True


def planned_short(check, languages, recipes):
    """Of these one death of each recipe in each language, between its effect and what it knows of that, and without a database server;
    and of Python, whose variants need no compiler, a fault that has to be noticed."""
    for language, recipe in itertools.product(languages, recipes):
        command, store = language.command(recipe), WORLDS[recipe].stores[0]
        # The last one follows what makes the effect known.
        *_, step, _ = steps(command)
        yield language, recipe, store, f"killed at {step}", command, cases.killed(step), False
        *_, noticing = language.faults[recipe]
        if language.name == "python" and noticing == "repeated":
            faulty = language.faulty(recipe, check.fresh("faulty"))
            yield language, recipe, store, f"planted fault, seen by: {noticing}", faulty, cases.NOTICING[noticing], True


def judged(check, plan):
    language, recipe, store, title, command, case, has_to_fail = plan
    began = time.monotonic()
    try:
        wrong = check.run(recipe, store, command, case)
        passed, told = bool(wrong) == has_to_fail, wrong or ("not noticed" if has_to_fail else "")
    except Failed as error:
        passed, told = False, str(error)
    except Exception:  # noqa: BLE001 - any error is a failed case
        passed, told = False, traceback.format_exc()
    where = f"{language.name} {recipe}" + (f" {store}" if store else "")
    seconds = time.monotonic() - began
    print(f"{'PASS' if passed else 'FAIL'} {where}: {title}{f' ({told})' if told else ''} [{seconds:.1f} s]", flush=True)
    return passed


def main():
    parser = argparse.ArgumentParser(prog="examples/check")
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", help=", ".join(WORLDS))
    parser.add_argument("--languages", default=",".join(LANGUAGES), help="of " + ",".join(LANGUAGES))
    parser.add_argument("--cases", default="", help="only those whose title holds this")
    parser.add_argument("--short", action="store_true", help="one death of each recipe in each language")
    parser.add_argument("--jobs", type=int, default=6, help="cases at a time; they wait more than they work")
    given = parser.parse_args()
    for name in set(given.recipes) - WORLDS.keys() | set(given.languages.split(",")) - LANGUAGES.keys():
        parser.error(f"no recipe or language: {name}")
    languages = [LANGUAGES[name] for name in given.languages.split(",")]
    recipes = given.recipes or list(WORLDS)
    for language in languages:
        language.build(recipes)
    began = time.monotonic()
    with directory() as path:
        check = Check(path)
        try:
            plan_all = planned_short if given.short else planned
            plans = [plan for plan in plan_all(check, languages, recipes) if given.cases in plan[3]]
            with concurrent.futures.ThreadPoolExecutor(given.jobs) as pool:
                passed = list(pool.map(lambda plan: judged(check, plan), plans))
        finally:
            check.stop()
    print(f"recipes: {sum(passed)} of {len(passed)} cases passed in {time.monotonic() - began:.0f} s")
    sys.exit(0 if passed and all(passed) else 1)


if __name__ == "__main__":
    main()
