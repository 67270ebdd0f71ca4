"""What is turned on, one after the other, and what that is in terms of settings."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One guarantee more than in the step before."""

    name: str
    how: str


STEPS = [
    Step("everything off", "send and forget; consumers commit by the clock"),
    Step("+ retries", "send until it is acknowledged; commit after the work"),
    Step("+ sync", "topics without flush.messages: acknowledged is on the disk"),
    Step("+ idempotence", "enable.idempotence=true in every producer"),
    Step("+ message ids", "message.dedup.mode=window on the topic of the shop"),
    Step("+ transactions", "the opener's output and its progress in one transaction"),
    Step("+ watermark", "the ledger's effect and its offset in one transaction of its database"),
]


@dataclass(frozen=True)
class Guarantees:
    """Those of the first `steps` steps."""

    steps: int

    retries = property(lambda self: self.steps >= 1)
    sync = property(lambda self: self.steps >= 2)
    idempotence = property(lambda self: self.steps >= 3)
    message_ids = property(lambda self: self.steps >= 4)
    transactions = property(lambda self: self.steps >= 5)
    watermark = property(lambda self: self.steps >= 6)

    def topic_config(self, of_shop):
        """Settings of a topic."""
        config = {} if self.sync else {"flush.messages": "1000000", "flush.ms": "10000"}
        if of_shop and self.message_ids:
            config |= {"message.dedup.mode": "window", "message.dedup.id.headers": "packet-id"}
        return config

    def producer_config(self):
        """Settings of a producer."""
        return {
            "acks": "all" if self.retries else "1",
            "message.send.max.retries": 1_000_000 if self.retries else 0,
            "enable.idempotence": self.idempotence,
            "linger.ms": 2,
        }

    def consumer_config(self):
        """Settings of a consumer."""
        return {
            "auto.offset.reset": "earliest",
            "enable.auto.commit": not self.retries,
            "auto.commit.interval.ms": 50,
            "fetch.wait.max.ms": 50,
            "session.timeout.ms": 6000,
        }
