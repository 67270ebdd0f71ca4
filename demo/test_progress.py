"""When the books are closed: by what is on its way, not by how long nothing was booked."""

import pathlib
import tempfile
import unittest

from cast import Cast, Process
from progress import LOST_AFTER_S, Progress, settle


def progress(packets, opened, credits, booked):
    """With all `packets` arrived: 3 of them, say, of which 2 are opened, 1 is in the log as a credit, none is booked."""
    ends = {"packets": packets, "credits": credits}
    return Progress(ends, {"opener": opened, "bookkeeper": booked}, frozenset(range(packets)), frozenset(range(booked or 0)))


class ProgressTest(unittest.TestCase):
    def test_what_is_on_its_way_is_told(self):
        for seen, told in [
            (progress(3, None, 0, None), "the opener is at 0 of 3 packets"),
            (progress(3, 2, 2, 2), "the opener is at 2 of 3 packets"),
            (progress(3, 3, 3, None), "the bookkeeper is at 0 of 3 credits"),
            (progress(3, 3, 3, 2), "the bookkeeper is at 2 of 3 credits"),
            (progress(3, 3, 3, 3), None),
            (progress(0, None, 0, None), None),
            # A power cut took what was committed, and all of it.
            (progress(3, 5, 3, 3), "the opener is at 5 of 3 packets"),
            (progress(3, 3, 0, 3), None),
        ]:
            self.assertEqual(seen.on_its_way(), told)

    def test_what_nobody_has_booked_is_counted(self):
        self.assertEqual(progress(3, 3, 2, 2).not_booked(), 1)
        self.assertEqual(progress(3, 3, 3, 3).not_booked(), 0)


class SettleTest(unittest.TestCase):
    def looks_until_settled(self, seen):
        """How many looks at `seen`, one after the other, the last again and again, and how many seconds it took, one each."""
        self.now, looks = 0, []

        def look():
            looks.append(seen[min(len(looks), len(seen) - 1)])
            self.now += 1
            return looks[-1]

        settle(look, lambda waiting_for: None, lambda: self.now, lambda seconds: None)
        return len(looks)

    def test_a_program_that_books_nothing_for_minutes_is_waited_for(self):
        slow = [progress(3, 3, 2, 1), None, *[progress(3, 3, 3, 1)] * 300, progress(3, 3, 3, 3)]
        self.assertEqual(self.looks_until_settled(slow), 303)

    def test_a_packet_that_is_lost_is_not_waited_for(self):
        lost = [progress(3, 3, 2, 1), progress(3, 3, 2, 2)]
        self.assertEqual(self.looks_until_settled(lost), len(lost) + LOST_AFTER_S + 1)

    def test_one_that_comes_at_the_last_moment_is_not_lost(self):
        late = [*[progress(3, 3, 2, 2)] * LOST_AFTER_S, progress(3, 3, 3, 2), progress(3, 3, 3, 3)]
        self.assertEqual(self.looks_until_settled(late), len(late))

    def test_the_end_of_patience_is_told_as_such(self):
        with tempfile.TemporaryDirectory() as name:
            script = pathlib.Path(name) / "opener.py"
            script.write_text("import signal\nsignal.pause()\n")
            with Cast({"opener": Process(script, {}, pathlib.Path(name) / "said")}, 0) as cast:
                with self.assertRaises(SystemExit) as ended:
                    settle(lambda: progress(3, 2, 2, 2), cast.revive)
        told = str(ended.exception)
        self.assertIn("not done after 0 s (the opener is at 2 of 3 packets): too slow a machine", told)


if __name__ == "__main__":
    unittest.main()
