"""What is claimed of each cell. A cell says one outcome, or several with a condition each: `once if ...; repeated if ...`."""

import re

COLUMNS = {
    "ALO": "act, then commit; plain topic",
    "Dedup": "the same on a topic with message.dedup.mode=window",
    "C1": "watermark in the database of the effect",
    "C2": "claim ledger with a lease",
    "EOS": "Kafka transactions, plain topic",
    "C3": "the same and a ledger of ids",
    "C6": "sequence chaining",
}

ROWS = {
    "ack-lost-idempotent": "ack lost, idempotent producer retries",
    "ack-lost": "ack lost, non-idempotent producer retries",
    "sender-restarts": "sender restarts and resends under the same id",
    "window-over": "the same, after the id left the window",
    "broker-killed": "broker killed, or its power cut, between write and answer, sender alive and idempotent",
    "dies-before": "consumer dies before the effect",
    "dies-after": "consumer dies between effect and commit",
    "zombie": "rebalance, old owner keeps working",
    "offsets-lost": "committed offsets lost or reset to earliest",
    "topic-recreated": "source topic deleted and re-created",
    "resent": "deliberate resend under the same id",
    "commit-first": "commit before the effect (at-most-once), consumer dies",
}

# Row by row, in the order of the columns.
CLAIMS = """
ack-lost-idempotent | once | once | once | once | once | once | once
ack-lost | repeated | once | once | once | repeated | once | once
sender-restarts | repeated | once | once | once | repeated | once | once
window-over | repeated | repeated | repeated | once if the effect can be asked for; repeated if it cannot | repeated | once | repeated
broker-killed | once | once | once | once | once | once | once
dies-before | once | once | once | once if its owner comes back; late if another takes over | once | once | once
dies-after | repeated | repeated | once | once if the effect can be asked for; repeated if it cannot | \
once in Kafka, repeated outside | once in Kafka, repeated outside | once
zombie | repeated | repeated | once | once within the lease; repeated after it | \
once in Kafka, repeated outside | once in Kafka, repeated outside | once
offsets-lost | repeated | repeated | once | once if the effect can be asked for; repeated if it cannot | repeated | once | once
topic-recreated | once | once | once if by topic id; lost if by name | once | once | once | once if by topic id; lost if by name
resent | repeated | not stored | not stored | not stored | repeated | skipped | not stored
commit-first | lost | lost | – | – | – | – | –
"""

OUTCOMES = ["once in Kafka, repeated outside", "not stored", "once", "repeated", "lost", "late", "skipped"]
# What the table leaves empty: who commits first has no use for what these do.
EMPTY = "–"


def parse(text):
    """By row and column: by condition, or by an empty one, the outcome. Nothing for an empty cell."""
    cells = {}
    for line in text.strip().splitlines():
        row, *told = [cell.strip() for cell in line.split("|")]
        if row not in ROWS or len(told) != len(COLUMNS):
            raise ValueError(f"no row of the table: {line}")
        for column, cell in zip(COLUMNS, told):
            cells[row, column] = {} if cell == EMPTY else dict(_claim(one) for one in cell.split("; "))
    if len(cells) != len(ROWS) * len(COLUMNS):
        raise ValueError("rows are missing")
    return cells


def _claim(text):
    match = re.fullmatch(f"({'|'.join(OUTCOMES)})(?: (.+))?", text)
    if not match:
        raise ValueError(f"no claim: {text}")
    return match[2] or "", match[1]


def cell_text(claims):
    """As in the table."""
    return "; ".join(f"{outcome} {condition}".strip() for condition, outcome in claims.items()) or EMPTY


def markdown(cells):
    """The table; `cells`: by row and column, what stands there."""
    lines = ["| Failure point | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for row, title in ROWS.items():
        lines.append("| " + " | ".join([title, *(cells[row, column] for column in COLUMNS)]) + " |")
    return "\n".join(lines)
