"""The ways to consume: which program, on which topics, where it is to die, and where its effects are counted."""

import pathlib
from dataclasses import dataclass, field, replace

EXAMPLES = pathlib.Path(__file__).parents[1]
HERE = pathlib.Path(__file__).parent

WINDOW = {"message.dedup.mode": "window"}
CLAIMS = {
    "cleanup.policy": "compact",
    "message.dedup.mode": "window",
    "message.dedup.id.source": "key",
    "message.dedup.on.duplicate": "reject",
}
SEQUENCE = {"message.dedup.mode": "sequence"}


@dataclass(frozen=True)
class Column:
    """`steps`: by failure point, the steps of the program at which it is tried, each."""

    program: pathlib.Path
    input: dict
    steps: dict
    # Where the effects of a message are: a query with its id, or None for the output topic.
    effects: str | None
    outside: str | None = None
    ledger: dict = field(default_factory=dict)
    output: dict = field(default_factory=dict)
    # Lines of the program and what stands for them: what the recipe leaves out and the table needs.
    edits: tuple = ()
    # By condition of a claim: the same.
    variants: dict = field(default_factory=dict)


EFFECTS = "SELECT count(*) FROM effects WHERE message = ?"
KNOWN_JOB = '    return database.execute("SELECT count(*) FROM done WHERE job = ?", (job,)).fetchone()[0] > 0\n'
CANNOT_ASK = {"if it cannot": ((KNOWN_JOB, "    return False\n"),)}
ACT_OUTSIDE = '    connect(os.environ["DATABASE_URL"]).execute("INSERT INTO effects VALUES (?)", (message_id.decode(),))\n'

USUAL = {"dies-before": ["received"], "dies-after": ["acted"], "zombie": ["received"]}

COLUMNS = {
    "ALO": Column(HERE / "at_least_once.py", {}, USUAL, EFFECTS),
    "Dedup": Column(HERE / "at_least_once.py", WINDOW, USUAL, EFFECTS),
    "C1": Column(
        EXAMPLES / "watermark" / "watermark.py",
        WINDOW,
        {"dies-before": ["watermark-moved", "received"], "dies-after": ["committed", "effect-written"], "zombie": ["received"]},
        "SELECT coalesce(sum(cents), 0) FROM balances WHERE account = ?",
        variants={"if by name": (('(topic_id,) = topic_ids(os.environ["INPUT"])', 'topic_id = os.environ["INPUT"]'),)},
    ),
    "C2": Column(
        EXAMPLES / "claim-ledger" / "claim_ledger.py",
        WINDOW,
        {"dies-before": ["claimed"], "dies-after": ["acted"], "zombie": ["looked"]},
        "SELECT count(*) FROM done WHERE job = ?",
        ledger=CLAIMS,
        variants=CANNOT_ASK,
    ),
    "EOS": Column(
        HERE / "transactions.py",
        {},
        {"dies-before": ["received"], "dies-after": ["offsets-sent", "written"], "zombie": ["received"]},
        None,
        outside=EFFECTS,
    ),
    "C3": Column(
        EXAMPLES / "transactional-ledger" / "transactional_ledger.py",
        {},
        {"dies-before": ["received"], "dies-after": ["offsets-sent", "written"], "zombie": ["received"]},
        None,
        outside=EFFECTS,
        ledger={"cleanup.policy": "compact"},
        edits=(
            ("from recipe import Steps, ", "from recipe import connect, Steps, "),
            ("    known.add(message_id)\n", "    known.add(message_id)\n" + ACT_OUTSIDE),
        ),
    ),
    "C6": Column(
        EXAMPLES / "sequence-chaining" / "sequence_chaining.py",
        WINDOW,
        {"dies-before": ["received"], "dies-after": ["stored", "handed-over"], "zombie": ["received"]},
        None,
        output=SEQUENCE,
        variants={"if by name": (('f"{input_id}/{part.partition}"', 'f"{INPUT}/{part.partition}"'),)},
    ),
}

# What is turned off of a column to see the table notice it, and at which failure point it has to.
FAULTS = {
    "Dedup": ("sender-restarts", {"input": {}}),
    "C1": ("zombie", {"edits": (("    WHERE watermarks.last_offset < excluded.last_offset\n", ""),)}),
    "C2": ("zombie", {"edits": (("    return error is None\n", "    return True\n"),)}),
    "EOS": ("zombie", {"edits": (("producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata())", "pass"),)}),
    "C3": ("offsets-lost", {"edits": (*COLUMNS["C3"].edits, ("    if message_id in known:\n", "    if False:\n"))}),
    "C6": ("dies-after", {"output": {}}),
}


def faulty(name):
    """The column without what makes it right."""
    return replace(COLUMNS[name], **FAULTS[name][1])
