"""From repetitions to figures: medians, ranges, ratios, and what may be claimed of them."""
import statistics
from dataclasses import dataclass, field

from reasons import reason

# Fewer repetitions have no range worth the name.
CLAIM_REPETITIONS_MIN = 3


@dataclass(frozen=True)
class Goal:
    """`kind`: "ratio" of einmal to Kafka, or "value" of einmal's own."""

    kind: str
    bound: float

    def words(self, figure):
        sign = "≤" if figure.better == "lower" else "≥"
        return f"{sign} {self.bound:g} × Kafka" if self.kind == "ratio" else f"{sign} {self.bound:g} {figure.unit}"


@dataclass(frozen=True)
class Figure:
    """One number of a workload: its key among the values of a repetition, and what it means."""

    key: str
    what: str
    unit: str
    better: str = "lower"
    goal: Goal | None = None
    # Name of a function of bounds.py.
    bound: str | None = None
    # What the client's calibration calls the same figure of a server that only answers.
    client_alone: str | None = None


@dataclass
class Row:
    """One figure of a workload in one durability class, over all repetitions that count."""

    workload: str
    what: str
    unit: str
    better: str
    durability: str
    mode: str
    einmal: list = field(default_factory=list)
    kafka: list = field(default_factory=list)
    goal: str | None = None
    # By the median; None: not measured.
    reached: bool | None = None
    # Whether each repetition says the same.
    settled: bool = False
    # Why the goal was missed.
    reason: str | None = None
    ratio: tuple | None = None
    claim: bool = False
    bound: float | None = None
    bound_fraction: float | None = None
    bound_term: str | None = None
    client_alone: float | None = None
    discarded: int = 0
    # How many of the repetitions that it stands on were disturbed.
    disturbed: int = 0
    notes: list = field(default_factory=list)

    def disturb(self, repetitions):
        """So many of its repetitions were disturbed: with one of them it claims nothing."""
        self.disturbed = repetitions
        self.claim = self.claim and not repetitions

    @classmethod
    def of(cls, told):
        """What a result's file tells of it; JSON knows no tuples."""
        return cls(**told | {"ratio": told["ratio"] and tuple(told["ratio"])})


def median(figures):
    return statistics.median(figures) if figures else None


def ratio(einmal, kafka):
    """(ratio of medians, smallest, largest of repetition by repetition); none without both."""
    if not einmal or not kafka or median(kafka) == 0:
        return None
    pairs = [a / b for a, b in zip(einmal, kafka) if b]
    # Where one side was measured less often, its median stands for it.
    pairs += [a / median(kafka) for a in einmal[len(kafka) :]]
    return median(einmal) / median(kafka), min(pairs), max(pairs)


def row(workload, figure, durability, mode, samples, limits, bounds, discarded, notes, calibration=None):
    """`samples`: one {"einmal": values, "kafka": values} per repetition, either of them absent."""
    made = Row(workload.name, f"{workload.title}: {figure.what}", figure.unit, figure.better, durability, mode)
    for name in ("einmal", "kafka"):
        values = [pair[name].get(figure.key) for pair in samples if name in pair]
        setattr(made, name, [value for value in values if value is not None])
    made.discarded, made.notes = discarded, notes
    made.client_alone = (calibration or {}).get(figure.client_alone)
    made.ratio = ratio(made.einmal, made.kafka)
    if made.ratio:
        enough = min(len(made.einmal), len(made.kafka)) >= CLAIM_REPETITIONS_MIN
        made.claim = enough and not made.ratio[1] <= 1 <= made.ratio[2]
    judge(made, figure)
    if made.reached is False:
        made.reason = reason(workload.name, figure.key, durability)
    if figure.bound and limits and made.einmal:
        made.bound, made.bound_term = bounds[figure.bound](limits, durability)
        ours = median(made.einmal)
        if ours:
            made.bound_fraction = made.bound / ours if figure.better == "lower" else ours / made.bound
    return made


def judge(made, figure):
    if not figure.goal:
        return
    made.goal = figure.goal.words(figure)
    if figure.goal.kind == "value":
        told = (median(made.einmal), min(made.einmal), max(made.einmal)) if made.einmal else None
    else:
        told = made.ratio
    if told:
        verdicts = [each <= figure.goal.bound if figure.better == "lower" else each >= figure.goal.bound for each in told]
        made.reached, made.settled = verdicts[0], len(set(verdicts)) == 1
