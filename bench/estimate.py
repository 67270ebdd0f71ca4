"""How long a run takes, told before it begins: by what its rows took on two cores. Nothing is claimed by it."""
# Limits of the machine, and memory touched once, s.
MACHINE_S = 45
CALIBRATION_LOADS = 4
KAFKA_START_S = 6
WARM_UP_ROUNDS = 4
# Records a second of ProducerPerformance, its start included.
RATES = {("D1", "einmal"): 90_000, ("D1", "kafka"): 90_000, ("D2", "einmal"): 62_000, ("D2", "kafka"): 19_000}
# Megabytes written and read back, or recovered, in a second.
FILL_MB_PER_S = 250


def _loads(seconds, settles=0.0, einmal=0.4, kafka=0.4):
    """A turn of so many times the form's time of a load and its time before one, and what is beside them, s."""
    return lambda form, side, durability: seconds * form.seconds + settles * form.settle_s + (einmal if side == "einmal" else kafka)


def _fixed(einmal, kafka=0.0):
    return _loads(0, 0, einmal, kafka)


# By how the row's id begins, the longest that fits.
TURNS = {
    "S1": _fixed(0.3, 11),
    "S2": lambda form, side, _: form.pause_s + (0.3 if side == "einmal" else KAFKA_START_S),
    "S3": lambda form, side, _: form.unflushed_mb / FILL_MB_PER_S + (0.3 if side == "einmal" else 2 * KAFKA_START_S),
    "N1": lambda form, side, _: form.pause_s + (1 if side == "einmal" else KAFKA_START_S + 3),
    "M1": lambda form, side, _: 4 * min(form.seconds / 2, 2.5) + form.settle_s + 1.5,
    "M2": lambda form, side, _: form.message_ids / 250_000 + 6,
    "M3": lambda form, side, _: min(form.seconds, 10) + form.settle_s + 1,
    "O1": lambda form, side, _: form.observed[0] / 500 + form.scrapes * 0.05 + 1,
    "O2": lambda form, side, _: form.observed[0] / 500 + form.scrapes * 0.01 + 1,
    "O3": lambda form, side, _: form.scrapes / 10 * 0.2 + 0.5,
    "O4": lambda form, side, _: 8 * min(form.seconds / 2, 2.5) + 10 * min(form.fill_records, 1_000_000) / 1000 / FILL_MB_PER_S + 2,
    "P2": lambda form, side, durability: form.records[durability] / RATES[durability, side],
    "P3": _loads(1, 2, 1, 2),
    "P3-10000-open": _fixed(0.3),
    "P3-100000-open": _fixed(1.6),
    "P4": _loads(1, 1),
    "P5": _loads(1, 1),
    "P6": _loads(4, 0, 2, 2),
    "A1": lambda form, side, _: form.topics / (20_000 if side == "einmal" else 500) + (1 if side == "einmal" else KAFKA_START_S),
    "A2": lambda form, side, _: 1 if side == "einmal" else KAFKA_START_S + form.repetitions,
    "A3": _loads(2, 1),
    "C1": _loads(1, 1, 0.5, 0.5),
    "C2": lambda form, side, _: form.fill_records / 1000 / FILL_MB_PER_S + 1.5,
    "G1": _fixed(0.5, 1),
    "G2": lambda form, side, _: (0.5 if side == "einmal" else 3) + 0.13 * form.restarts,
    "G3": _loads(1, 1, 0.6, 3),
    "G4": lambda form, side, _: form.seconds + form.pause_s + (0.6 if side == "einmal" else 4),
    "T1": _loads(1, 1),
    "T2": _loads(2, 1),
    "T3": _loads(4, 0, 1, 1),
}


def row_s(workload, durability, form, with_kafka):
    """Of all its repetitions, none of them disturbed."""
    turn = TURNS[max((name for name in TURNS if workload.name.startswith(name)), key=len)]
    taken = form.repetitions * turn(form, "einmal", durability)
    if with_kafka and not workload.einmal_only:
        taken += workload.kafka_runs(form) * turn(form, "kafka", durability)
    return taken


def beside_s(todo, form, with_kafka):
    """What is measured of the machine, the warming up, and the maximum that C1 is a share of."""
    taken = MACHINE_S + CALIBRATION_LOADS * min(form.seconds, 5)
    for durability in {durability for workload, durability in todo if not workload.own}:
        if with_kafka:
            round_s = form.records[durability] / RATES[durability, "kafka"]
            taken += KAFKA_START_S + max(form.warm_up_s, WARM_UP_ROUNDS * round_s)
        if any(workload.name.startswith("C1") for workload, of_class in todo if of_class == durability):
            taken += (4 if with_kafka else 2) * form.maximum_s
    return taken


def lines(todo, form, with_kafka):
    """A line for each row, and one for all."""
    told = [(f"{workload.name} {durability}", row_s(workload, durability, form, with_kafka), workload.title) for workload, durability in todo]
    total = sum(each[1] for each in told) + beside_s(todo, form, with_kafka)
    return [f"{seconds / 60:6.1f} min  {name}: {title}" for name, seconds, title in told] + [f"{total / 60:6.1f} min  in all, with warming up; disturbed repetitions are taken again"]
