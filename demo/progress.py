"""How far the opener and the bookkeeper have come, and when the books are closed: once nothing is on its way any more."""

import time
from dataclasses import dataclass

# Who reads what. The groups are named like the programs.
READERS = {"opener": "packets", "bookkeeper": "credits"}
# How long nothing may move after all groups are at the ends, until what is not booked counts as lost.
LOST_AFTER_S = 5


@dataclass(frozen=True)
class Progress:
    """`ends`: the offset after the last record, by topic; 0 without records. `committed`: offsets, by group; None before the first."""

    ends: dict
    committed: dict
    arrived: frozenset
    booked: frozenset

    def on_its_way(self):
        """What somebody has yet to do, None if it is nothing. An offset behind the end is one of records that a power cut took: who
        committed it begins anew."""
        for group, topic in READERS.items():
            end, committed = self.ends[topic], self.committed[group]
            if end > 0 and committed != end:
                return f"the {group} is at {committed or 0:,} of {end:,} {topic}"
        return None

    def not_booked(self):
        """How many packets arrived and are not booked. Once nothing is on its way, those are lost."""
        return len(self.arrived - self.booked)


def settle(look, revive, clock=time.monotonic, sleep=time.sleep):
    """Until nothing is on its way any more, however slow the machine is. Programs that die go on doing so, and `revive` ends the story
    when its time is over. `look` returns Progress, or None if it cannot tell."""
    still_since, still = None, None
    while True:
        seen = look()
        waiting_for = "the topics and groups cannot be read" if seen is None else seen.on_its_way()
        revive(waiting_for)
        if waiting_for is None and not seen.not_booked():
            return
        # What arrived and is booked by nobody is lost. A moment more for one that sends and forgets, and has committed before it sent.
        if waiting_for is not None or seen != still:
            still_since, still = clock(), seen
        elif clock() > still_since + LOST_AFTER_S:
            return
        sleep(0.05)
