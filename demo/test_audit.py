"""What is told of lost and doubled packets, by hand-made books."""

import unittest

from audit import audit

# shop_life, packet_offset, opener_life, credit_offset
FIRST = (0, 10, 0, 20)


def of(*paths, acknowledged=True, arrived=True):
    credits = [(7, *path) for path in paths]
    found = audit({7: 100}, {7} if acknowledged else set(), {7} if arrived else set(), credits)
    return {what: count for what, count in found.packets.items() if count}, found.lost(), found.doubled()


class AuditTest(unittest.TestCase):
    def test_a_packet_that_is_booked_once_is_nothing_to_tell_of(self):
        self.assertEqual(of(FIRST), ({}, 0, 0))

    def test_a_lost_packet_is_told_by_where_it_was_last(self):
        for acknowledged, arrived, what in [
            (False, False, "never arrived"),
            (True, False, "lost with the power"),
            (True, True, "arrived, not booked"),
            (False, True, "arrived, not booked"),
        ]:
            self.assertEqual(of(acknowledged=acknowledged, arrived=arrived), ({what: 1}, 100, 0))

    def test_a_doubled_packet_is_told_by_where_its_paths_part(self):
        for second, what in [
            ((1, 11, 0, 21), "sent again by a new life of the shop"),
            ((0, 11, 0, 21), "sent again by a retry"),
            ((0, 10, 1, 21), "opened twice"),
            ((0, 10, 0, 21), "sent again by a retry"),
            ((0, 10, 0, 20), "booked twice"),
        ]:
            self.assertEqual(of(FIRST, second), ({what: 1}, 0, 100), second)

    def test_each_booking_too_many_counts_once(self):
        paths = [FIRST, FIRST, (1, 11, 0, 21), (1, 11, 1, 22), (1, 11, 1, 22)]
        packets, _, doubled = of(*paths)
        self.assertEqual(packets, {"booked twice": 2, "opened twice": 1, "sent again by a new life of the shop": 1})
        self.assertEqual(doubled, 400)


if __name__ == "__main__":
    unittest.main()
