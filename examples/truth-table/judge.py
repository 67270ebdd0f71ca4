"""What became of one message, by what was counted, and whether that is what is claimed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Seen:
    """Of one message, after all is over."""

    # Records of it in the topic that is consumed.
    stored: int
    # In the database, or committed in the output topic.
    effects: int
    # In a database that the consumer's transaction in Kafka knows nothing of.
    outside: int = 0
    # Whether the effect came by one who took the claim of another over.
    taken_over: bool = False


def outcome(seen, resent=False):
    """The word for it. `resent`: the sender had its acknowledgement, and sent it again all the same."""
    if seen.effects == 0:
        return "lost"
    if seen.effects > 1:
        return "repeated"
    if seen.outside > 1:
        return "once in Kafka, repeated outside"
    if seen.taken_over:
        return "late"
    if resent:
        return "not stored" if seen.stored == 1 else "skipped"
    return "once"


def differences(claims, observed):
    """What was seen otherwise than claimed, a sentence each. `claims`: outcomes by condition; `observed`: by condition, outcomes by
    the way in which it came to it."""
    found = []
    for condition, claimed in claims.items():
        for way, seen in (observed.get(condition) or {"": "nothing"}).items():
            if seen != claimed:
                said = " ".join(word for word in ["claimed", claimed, condition, way and f"({way})"] if word)
                found.append(f"{said}, seen {seen}")
    return found + [f"{condition} is not claimed" for condition in observed if condition not in claims]
