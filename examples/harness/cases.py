"""What is done to a recipe. Each case leaves a world in which every message must have had its effect once."""

import signal

from program import Failed, Program

FIRST, THEN = range(8), range(8, 20)


def killed(step):
    """Killed at a step, and killed there again as soon as it is back."""

    def case(command, world, broker):
        world.send(FIRST)
        if hasattr(world, "claim_for_the_dead"):
            world.claim_for_the_dead(2)
        status = Program(command, world, KILL_AT=step).life()
        if status == 0:
            raise Failed(f"step {step} never comes")
        if status != -signal.SIGKILL:
            raise Failed(f"ended with {status} before step {step}")
        # Some steps come only once in a life.
        status = Program(command, world, KILL_AT=step, KILL_AFTER="2").life()
        if status not in (0, -signal.SIGKILL):
            raise Failed(f"ended with {status} before it came to step {step} again")
        Program(command, world).to_end()

    return case


def repeated(command, world, broker):
    """Nothing happens to it but messages that were sent again."""
    world.send(FIRST)
    Program(command, world).to_end()


def zombie(command, world, broker):
    """The old owner of the partitions stands still while another takes them over, and then goes on with what it had in hand."""
    world.send(FIRST)
    old = Program(command, world, "ada", KILL_AT=world.zombie_at, KILL_SIGNAL="STOP", LEASE_MS="600000")
    if not old.until_stopped():
        raise Failed(f"step {world.zombie_at} never comes")
    # Of a claim ledger: it waits for the claim of the other, and stops where it is refused.
    refused = {"KILL_AT": "refused", "KILL_SIGNAL": "STOP"} if hasattr(world, "claim_for_the_dead") else {}
    new = Program(command, world, "bob", **refused)
    if refused:
        if new.until_stopped():
            new.go_on()
        old.go_on()
        new.to_end()
    else:
        new.to_end()
        old.go_on()
    old.to_end()


def forgotten(command, world, broker):
    """The offsets of the group are set back to the beginning."""
    world.send(FIRST)
    Program(command, world).to_end()
    world.forget_offsets()
    world.send(THEN)
    Program(command, world).to_end()


def recreated(command, world, broker):
    """The source is deleted and created anew, and has other records at the same offsets."""
    world.send(FIRST)
    Program(command, world).to_end()
    world.recreate_input()
    world.send([*THEN, *FIRST] if world.knows_ids else THEN)
    Program(command, world).to_end()


def broker_killed(command, world, broker):
    """The broker is killed while a record is in work, and starts again."""
    world.send(FIRST)
    program = Program(command, world, KILL_AT=world.zombie_at, KILL_SIGNAL="STOP")
    if not program.until_stopped():
        raise Failed(f"step {world.zombie_at} never comes")
    broker.kill()
    program.go_on()
    broker.restart()
    program.to_end()
    world.send(THEN)
    Program(command, world).to_end()


TROUBLES = {
    "messages sent again": repeated,
    "a zombie goes on": zombie,
    "offsets set back to earliest": forgotten,
    "source deleted and created anew": recreated,
    "broker killed": broker_killed,
}
# By the names that faults are planted for.
NOTICING = {"repeated": repeated, "zombie": zombie, "recreated": recreated}
