"""The judge, by a fault planted in each place; and README.md against the claims."""

import pathlib
import unittest

from claims import CLAIMS, COLUMNS, ROWS, cell_text, markdown, parse
from judge import Seen, differences, outcome


class OutcomeTest(unittest.TestCase):
    def test_counts_have_a_word(self):
        for seen, word in [
            (Seen(stored=1, effects=1), "once"),
            (Seen(stored=1, effects=0), "lost"),
            (Seen(stored=1, effects=2), "repeated"),
            (Seen(stored=2, effects=1), "once"),
            (Seen(stored=1, effects=1, outside=1), "once"),
            (Seen(stored=1, effects=1, outside=2), "once in Kafka, repeated outside"),
            (Seen(stored=1, effects=2, outside=2), "repeated"),
            (Seen(stored=1, effects=1, taken_over=True), "late"),
            (Seen(stored=1, effects=2, taken_over=True), "repeated"),
        ]:
            self.assertEqual(outcome(seen), word, seen)

    def test_what_was_sent_again_on_purpose_is_not_stored_or_is_skipped(self):
        self.assertEqual(outcome(Seen(stored=1, effects=1), resent=True), "not stored")
        self.assertEqual(outcome(Seen(stored=2, effects=1), resent=True), "skipped")
        self.assertEqual(outcome(Seen(stored=2, effects=2), resent=True), "repeated")


class DifferencesTest(unittest.TestCase):
    def test_a_consumer_without_its_condition_is_noticed(self):
        observed = {"": {"received": outcome(Seen(stored=1, effects=2))}}
        self.assertEqual(differences({"": "once"}, observed), ["claimed once (received), seen repeated"])

    def test_each_way_and_each_condition_counts(self):
        claims = {"if by topic id": "once", "if by name": "lost"}
        self.assertEqual(differences(claims, {"if by topic id": {"": "once"}, "if by name": {"": "lost"}}), [])
        self.assertEqual(
            differences(claims, {"if by topic id": {"a": "once", "b": "lost"}, "if by name": {"": "once"}}),
            ["claimed once if by topic id (b), seen lost", "claimed lost if by name, seen once"],
        )

    def test_what_did_not_run_is_not_as_claimed(self):
        self.assertEqual(differences({"": "once"}, {}), ["claimed once, seen nothing"])
        self.assertEqual(differences({"": "once"}, {"": {"": "TimeoutError: x"}}), ["claimed once, seen TimeoutError: x"])


class ClaimsTest(unittest.TestCase):
    def test_all_84_cells_are_there_and_five_are_empty(self):
        cells = parse(CLAIMS)
        self.assertEqual(len(cells), len(ROWS) * len(COLUMNS))
        self.assertEqual(len(cells), 84)
        self.assertEqual(sum(not claims for claims in cells.values()), 5)

    def test_a_word_that_no_outcome_has_is_refused(self):
        with self.assertRaises(ValueError):
            parse(CLAIMS.replace("| lost | lost |", "| lost | gone |"))
        with self.assertRaises(ValueError):
            parse(CLAIMS.strip().rsplit("\n", 1)[0])

    def test_the_readme_says_what_is_claimed(self):
        readme = (pathlib.Path(__file__).parent / "README.md").read_text()
        table = readme.split("<!-- table: begin -->\n")[1].split("\n\nSeen on ")[0]
        self.assertEqual(table, markdown({cell: cell_text(claims) for cell, claims in parse(CLAIMS).items()}))
