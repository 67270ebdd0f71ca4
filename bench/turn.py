"""One repetition of a workload on one broker."""
from contextlib import contextmanager

import clients
import kafka_wire
from brokers import Einmal, Kafka
from forms import PARTITIONS, RECORD_BYTES
from interval import Interval

PERCENTILES = ("p50", "p90", "p99", "p99_9", "p99_99", "max")


class Turn:
    """What a workload's function works with: the broker, the sizes, a topic that nobody had, and who is watching."""

    def __init__(self, side, durability, form, repetition, warm_kafka, rates, workload):
        self.side, self.durability, self.form, self.repetition = side, durability, form, repetition
        self.warm_kafka, self._rates = warm_kafka, rates
        self.topic = f"{workload}-{repetition}".lower()
        self.intervals = []

    @property
    def is_first(self):
        """The repetition in which what was written is read back and checked."""
        return self.repetition == 0

    @contextmanager
    def broker(self):
        """einmal on an empty directory, or the warm Kafka."""
        if self.side == "kafka":
            yield self.warm_kafka
        else:
            with self.own_broker() as broker:
                yield broker

    @contextmanager
    def own_broker(self, *settings):
        """`settings` are einmal's."""
        broker = Einmal(self.durability, settings) if self.side == "einmal" else Kafka(self.durability)
        try:
            broker.start()
            yield broker
        finally:
            broker.remove()

    def interval(self, broker, to_device=False, idle=None):
        """`idle` is another broker that runs beside, if it is not the warm Kafka."""
        idle = idle or (self.warm_kafka if self.side == "einmal" else None)
        self.intervals.append(Interval(broker, idle, to_device))
        return self.intervals[-1]

    def latency(self, result):
        found = result["latency_us"]
        return {"latency_us": {name: found[name] for name in PERCENTILES if name in found}, "histogram": found["histogram"]}

    def slower_rate(self):
        """Records a second that the slower broker takes in this class, one record a batch; measured once, when first asked for."""
        if self.durability not in self._rates:
            load = {"record_size": RECORD_BYTES, "records_per_batch": 1, "connections": 4, "in_flight": 50}
            rates = []
            for side in ("einmal", "kafka") if self.warm_kafka else ("einmal",):
                other = Turn(side, self.durability, self.form, 0, self.warm_kafka, self._rates, "maximum")
                with other.broker() as broker:
                    kafka_wire.create_topic(broker.port, other.topic, PARTITIONS)
                    for _ in range(2):
                        result = clients.produce(broker.port, other.topic, **load, duration=self.form.maximum_s)
                rates.append(result["records_per_s"])
            self._rates[self.durability] = min(rates)
        return self._rates[self.durability]

    @property
    def disturbance(self):
        """Words for what disturbed it, or none."""
        for interval in self.intervals:
            if interval.is_disturbed:
                return f"others took {interval.others:.1%}, unseen ones {interval.unseen:.1%}, the hypervisor {interval.steal:.1%}"
        return None
