"""The failure points. Each brings a cell to its failure, lets it go on to the end, and sees what became of one message."""

import sender
from judge import Seen
from stage import PATIENCE_S, until

MESSAGE = "message"
# Members that stop or die are given up after this.
SOON = {"SESSION_TIMEOUT_MS": "1000"}
# And those that are to commit before: a busy machine must not cost them their session.
LATER = {"SESSION_TIMEOUT_MS": "4000"}
LEASE = {"LEASE_MS": "3000"}


def seen(cell, message=MESSAGE, taken_over=False):
    return Seen(cell.stored(message), cell.effects(message), cell.outside(message), taken_over)


def answer_lost(cell, idempotent, meanwhile=lambda: None):
    """The broker has stored the message when its answer gets lost; the producer sends it again."""
    client_id = f"{cell.name}-sender"
    client = sender.producer(cell.stage.bootstrap, client_id, idempotent)
    with cell.stage.cable.answers_lost(client_id) as answered:
        sender.send(client, cell.input, MESSAGE)
        if not answered.wait(PATIENCE_S):
            raise TimeoutError("no answer came that could get lost")
        meanwhile()
    sender.acknowledged(client)
    if cell.stage.cable.produced(client_id) < 2:
        raise RuntimeError("it was not sent again")


def ack_lost_idempotent(cell):
    cell.create_topics()
    answer_lost(cell, idempotent=True)
    cell.consume()
    return seen(cell)


def ack_lost(cell):
    cell.create_topics()
    answer_lost(cell, idempotent=False)
    cell.consume()
    return seen(cell)


def broker_killed(cell):
    cell.create_topics()
    answer_lost(cell, idempotent=True, meanwhile=cell.stage.kill_and_restart)
    cell.consume()
    return seen(cell)


def sender_restarts(cell, **window):
    cell.create_topics(**window)
    client_id = f"{cell.name}-sender"
    with cell.stage.cable.answers_lost(client_id) as answered:
        first_life = cell.sender(client_id, MESSAGE)
        if not answered.wait(PATIENCE_S):
            raise TimeoutError("no answer came that could get lost")
        first_life.kill()
    cell.sender(client_id, MESSAGE).succeeds()
    cell.consume()
    return seen(cell)


def window_over(cell):
    # A process takes longer to start.
    return sender_restarts(cell, **{"message.dedup.window.ms": "1"})


def resent(cell):
    cell.create_topics()
    cell.send(MESSAGE)
    cell.send(MESSAGE)
    cell.consume()
    return seen(cell)


def dies_before(cell):
    if cell.condition != "if another takes over":
        return dies_at(cell, cell.way)
    cell.create_topics()
    cell.send(MESSAGE)
    cell.start("one", KILL_AT=cell.way, **SOON, **LEASE).dies()
    cell.consume("two", **LEASE)
    return seen(cell, taken_over=cell.asked("SELECT count(*) FROM done WHERE owner = 'two' AND job = ?", MESSAGE) > 0)


def dies_after(cell):
    return dies_at(cell, cell.way)


def commit_first(cell):
    return dies_at(cell, "committed")


def dies_at(cell, step):
    """The owner dies there, and comes back."""
    cell.create_topics()
    cell.send(MESSAGE)
    cell.start(KILL_AT=step).dies()
    cell.consume()
    return seen(cell)


def zombie(cell):
    """The old owner stops with the message in its hand, and goes on when its successor is through."""
    cell.create_topics()
    cell.send(MESSAGE)
    if cell.condition == "within the lease":
        return zombie_within_lease(cell)
    old = cell.start("old", KILL_AT=cell.way, KILL_SIGNAL="STOP", **SOON, **LEASE)
    old.stops()
    cell.consume("new", **LATER, **LEASE)
    old.goes_on()
    # Its successor is gone, and so it is given what comes now; or it ends, because it finds itself out of the group.
    cell.comes_to_a_new_message(old)
    return seen(cell)


def zombie_within_lease(cell):
    """The successor comes while the old owner's claim is in force, is refused, and goes on when the old one is through."""
    old = cell.start("old", KILL_AT=cell.way, KILL_SIGNAL="STOP", **SOON)
    old.stops()
    new = cell.start("new", KILL_AT="refused", KILL_SIGNAL="STOP", **SOON)
    until(lambda: new.has_stopped() or cell.effects(MESSAGE), "the new owner is refused, or acts")
    old.goes_on()
    until(lambda: cell.effects(MESSAGE) or old.has_ended(), "the old owner acts")
    new.goes_on()
    cell.comes_to_a_new_message(new)
    return seen(cell)


def offsets_lost(cell):
    cell.create_topics()
    cell.send(MESSAGE)
    cell.consume(**LATER)
    if cell.effects(MESSAGE) != 1:
        raise RuntimeError("it had no effect in the first place")
    if cell.way == "lost":
        cell.forget_group()
    else:
        cell.rewind_group()
    cell.consume(**LATER)
    return seen(cell)


def topic_recreated(cell):
    cell.create_topics()
    cell.send("message of the first topic")
    first = cell.start()
    # With the effect of the second, the offset of the first is committed by those who commit.
    for _ in range(2):
        if not cell.comes_to_a_new_message(first):
            raise RuntimeError(f"it ended by {first.ends()} and said: {first.last_words()}")
    first.kill()
    if cell.effects("message of the first topic") != 1:
        raise RuntimeError("it had no effect in the first place")
    count = sum(1 for _ in cell.read(cell.input))
    cell.recreate_input()
    # More than there were: who goes on by the number finds something.
    cell.send(MESSAGE, *(f"filler {number}" for number in range(count)))
    cell.consume()
    return seen(cell)


FAILURES = {
    "ack-lost-idempotent": ack_lost_idempotent,
    "ack-lost": ack_lost,
    "sender-restarts": sender_restarts,
    "window-over": window_over,
    "broker-killed": broker_killed,
    "dies-before": dies_before,
    "dies-after": dies_after,
    "zombie": zombie,
    "offsets-lost": offsets_lost,
    "topic-recreated": topic_recreated,
    "resent": resent,
    "commit-first": commit_first,
}


def ways(row, column):
    """How a cell comes to its failure: all of them are to have the same outcome."""
    if row == "offsets-lost":
        return ["lost", "reset"]
    if row == "broker-killed":
        return ["SIGKILL", "power cut"]
    return column.steps.get(row, [""])
