"""Compares what the shop owed with what the accounts got, and tells of each difference what made it."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

# What can go wrong, in the order in which the guarantees remove it.
LOST = ["never arrived", "lost with the power", "arrived, not booked"]
DOUBLED = ["sent again by a retry", "sent again by a new life of the shop", "opened twice", "booked twice"]


@dataclass
class Audit:
    """Packets by what happened to them, and their money in cents."""

    packets: Counter = field(default_factory=Counter)
    cents: Counter = field(default_factory=Counter)

    def note(self, what, cents):
        self.packets[what] += 1
        self.cents[what] += cents

    def lost(self):
        return sum(self.cents[what] for what in LOST)

    def doubled(self):
        return sum(self.cents[what] for what in DOUBLED)


def audit(owed, acknowledged, arrived, credits):
    """`owed`: cents by packet. `acknowledged`, `arrived`: packets that the broker said it has, and has. `credits`: all that was
    booked, as (packet, shop_life, packet_offset, opener_life, credit_offset)."""
    result, booked = Audit(), defaultdict(list)
    for packet, *path in credits:
        booked[packet].append(tuple(path))
    for packet, cents in owed.items():
        paths = booked[packet]
        if not paths:
            in_power_cut = packet in acknowledged and packet not in arrived
            result.note(LOST[1] if in_power_cut else LOST[2] if packet in arrived else LOST[0], cents)
        for what in surplus(paths):
            result.note(what, cents)
    return result


def surplus(paths):
    """Why there is more than one booking, once for each that is too many: by the first place at which paths part."""
    lives = {life for life, *_ in paths}
    arrivals = {path[:2] for path in paths}
    openings = {path[:3] for path in paths}
    credits = {path[:4] for path in paths}
    yield from [DOUBLED[1]] * max(len(lives) - 1, 0)
    yield from [DOUBLED[0]] * (len(arrivals) - len(lives))
    yield from [DOUBLED[2]] * (len(openings) - len(arrivals))
    # The opener's producer sent again what it had sent.
    yield from [DOUBLED[0]] * (len(credits) - len(openings))
    yield from [DOUBLED[3]] * (len(paths) - len(credits))
