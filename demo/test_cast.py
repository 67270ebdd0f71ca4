"""Programs that die, and those that do nothing else."""

import pathlib
import tempfile
import unittest
from unittest import mock

import cast
from cast import Cast, Process


class CastTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        # However slowly a program is started here, it ended at once.
        self.enterContext(mock.patch.multiple(cast, AT_ONCE_S=600, FAILURES_MAX=3))

    def of(self, program, patience_s=60):
        script = self.directory / "shop.py"
        script.write_text(f"import json, os, signal, sys\nlife = json.loads(sys.argv[1])['life']\n{program}\n")
        given = {"shop": Process(script, {}, self.directory / "shop.stderr")}
        return self.enterContext(Cast(given, patience_s))

    def ends(self, one):
        with self.assertRaises(SystemExit) as ended:
            while not one["shop"].is_done():
                one.revive()
        return str(ended.exception)

    def test_a_program_that_cannot_run_ends_the_story_with_what_it_said(self):
        one = self.of("import nothing_of_this_name")
        told = self.ends(one)
        self.assertIn(f"the shop ended {cast.FAILURES_MAX} times in a row", told)
        self.assertIn("  shop: ModuleNotFoundError: No module named 'nothing_of_this_name'", told)
        self.assertEqual(one.deaths(), {"shop": 0})

    def test_the_story_ends_when_the_time_is_over(self):
        self.assertIn("not done after 0 s; what they said last:\n  shop: nothing", self.ends(self.of("signal.pause()", patience_s=0)))

    def test_only_who_was_killed_counts_as_killed_and_that_is_no_failure(self):
        one = self.of("""
how = ["fail", "fail", "be killed", "be killed", "be killed", "fail", "fail", "be killed", "end"][life]
if how == "be killed":
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(how if how == "fail" else 0)""")
        while not one["shop"].is_done():
            one.revive()
        self.assertEqual(one.deaths(), {"shop": 4})


if __name__ == "__main__":
    unittest.main()
